# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.run_script``."""

from __future__ import annotations

DOCUMENTATION = """
module: run_script
short_description: Start the benchmark script on a host and show its progress until it ends
description:
  - The script runs on the host, detached. This action only looks, every I(poll_s) seconds, with a plain shell
    command. So it needs no Python on the host, and a play that is killed or cut off leaves the measuring alone; the
    next play watches it again.
  - Changed when runs were measured while it watched.
options:
  script:
    description: Path of run_benchmark.sh on the host.
    type: path
    required: true
  poll_s:
    description: Seconds between two looks.
    type: int
    default: 5
  show_every_s:
    description: Seconds between two lines of progress.
    type: int
    default: 10
  patience_s:
    description: How long a host may be out of reach before it counts as lost. It goes on measuring meanwhile.
    type: int
    default: 900
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Measure
  edgebench.testbed.run_script:
    script: /home/pi/edgebench/campaigns/2026-11-20/run_benchmark.sh
"""

RETURN = """
finished:
  description: Runs that are there, failed ones among them.
  type: int
  returned: success
failed_runs:
  description: Runs that failed; each has its log.
  type: int
  returned: success
total:
  description: Runs in the plan.
  type: int
  returned: success
"""

import math
import shlex
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

START_GRACE_S = 15  # from `start` until the script has taken its lock, on a slow and busy host


class ScriptError(Exception):
    """The script does not run or ended early; the message is one line for the user."""


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("script", "poll_s", "show_every_s", "patience_s"))

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "script": {"type": "path", "required": True},
                "poll_s": {"type": "int", "default": 5},
                "show_every_s": {"type": "int", "default": 10},
                "patience_s": {"type": "int", "default": 900},
            }
        )
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "nothing is measured in check mode"}
        self._script, self._patience_s = args["script"], args["patience_s"]
        self._host = (task_vars or {}).get("inventory_hostname", "host")
        try:
            return {**result, **self._watch(args["poll_s"], args["show_every_s"])}
        except ScriptError as exc:
            return {**result, "failed": True, "msg": str(exc)}

    def _watch(self, poll_s: int, show_every_s: int) -> dict[str, Any]:
        before = self._status()
        if before.get("is_done") != "yes":
            self._command("start")
        deadline = time.monotonic() + START_GRACE_S
        shown_at, shown, begun = -math.inf, "", False
        while (status := self._status()).get("is_done") != "yes":
            begun = begun or status["alive"] == "yes"
            if status["alive"] != "yes" and (begun or time.monotonic() > deadline):
                # It may have ended between two looks of one status.
                if (status := self._status()).get("is_done") == "yes":
                    break
                raise ScriptError(self._why_it_ended(status))
            line = progress_line(status) if begun else ""
            if line not in ("", shown) and time.monotonic() - shown_at >= show_every_s:
                display.display(f"  [{self._host}] {line}")
                shown, shown_at = line, time.monotonic()
            time.sleep(poll_s if begun else 0.2)
        finished, failed, total = (int(status.get(key, 0)) for key in ("finished", "failed", "total"))
        if begun:
            display.display(f"  [{self._host}] {progress_line(status)}")
        return {
            "changed": before.get("is_done") != "yes",
            "finished": finished,
            "failed_runs": failed,
            "total": total,
            "msg": f"{finished} of {total} runs are there, {failed} of them failed",
        }

    def _status(self) -> dict[str, str]:
        lines = self._command("status").splitlines()
        status = dict(line.split("=", 1) for line in lines if "=" in line)
        if "alive" not in status:
            raise ScriptError(f"{self._script} status gave no answer that can be read: {' '.join(lines)[:500]}")
        return status

    def _command(self, word: str) -> str:
        """Run ``run_benchmark.sh <word>`` on the host, again and again while the host is out of reach."""
        command = f"sh {shlex.quote(self._script)} {word}"
        lost_at = None
        while True:
            try:
                reply = self._low_level_execute_command(command, sudoable=False)
                break
            except AnsibleConnectionFailure as exc:
                now = time.monotonic()
                lost_at = lost_at or now
                if now - lost_at > self._patience_s:
                    raise
                display.display(f"  [{self._host}] out of reach for {now - lost_at:.0f} s, trying again: {exc.message}")
                time.sleep(5)
                self._connection.reset()
        if reply["rc"] != 0:
            said = (reply["stdout"] + reply["stderr"]).strip() or f"exit code {reply['rc']}"
            raise ScriptError(f"{self._script} {word}: {said.removeprefix('error: ')}")
        return reply["stdout"]

    def _why_it_ended(self, status: dict[str, str]) -> str:
        if status.get("state") == "stopped":
            return f"measuring was stopped after {status['finished']} of {status['total']} runs; play again to go on"
        if message := status.get("message"):
            return message
        log = f"{self._script.rpartition('/')[0]}/script.log"
        reply = self._low_level_execute_command(f"tail -n 3 {shlex.quote(log)}", sudoable=False)
        return (
            f"the script on the host ended before it was done; play again to go on. "
            f"{log} ends with: {reply['stdout'].strip() or '(nothing)'}"
        )


def progress_line(status: dict[str, str]) -> str:
    """One line for a person who watches, from what ``run_benchmark.sh status`` says."""
    finished, total = status.get("finished", "?"), status.get("total", "?")
    words = [f"{finished} of {total} runs"]
    if status.get("failed", "0") != "0":
        words.append(f"{status['failed']} failed")
    if status.get("is_done") == "yes":
        return ", ".join([*words, "done"])
    if status.get("left_s", "-").isdigit():
        words.append(f"about {duration(int(status['left_s']))} left")
    if status.get("state") == "waiting":
        words.append(f"waiting for the machine: {status.get('message')}")
    elif status.get("run", "-") != "-":
        words.append(f"now {status['run']}")
    return ", ".join(words)


def duration(seconds: int) -> str:
    """Seconds as a person says them: '45 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
