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
  - A script that was killed, or whose host was rebooted, is started again and goes on where it was. One that paused
    because the machine goes back soon (see M(edgebench.testbed.place_campaign)) is not, and the task fails.
  - What was measured comes home every I(fetch_every_s) seconds, so that a host that dies takes little with it.
  - Changed when runs were measured while it watched.
options:
  directory:
    description: The campaign's directory on the host, with run_benchmark.sh.
    type: str
    required: true
  home:
    description: The host's directory of this campaign on the controller.
    type: path
    required: true
  only_look:
    description: Start nothing; say how it stands.
    type: bool
    default: false
  poll_s:
    description: Seconds between two looks.
    type: int
    default: 5
  show_every_s:
    description: Seconds between two lines of progress; more in long campaigns, a sixtieth of the time that has passed.
    type: int
    default: 10
  fetch_every_s:
    description: Seconds between two times that logs come home while it measures. 0 means only at the end.
    type: int
    default: 600
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Measure
  edgebench.testbed.run_script:
    directory: /home/pi/edgebench/campaigns/2026-11-20
    home: logs/2026-11-20/pi5
"""

RETURN = """
finished:
  description: Runs of the plan that are there, failed and invalid ones among them.
  type: int
  returned: success
failed_runs:
  description: Runs that failed; each has its log.
  type: int
  returned: success
invalid_runs:
  description: Runs that were measured and are not to be trusted.
  type: int
  returned: success
total:
  description: Runs in the plan.
  type: int
  returned: success
"""

import contextlib
import math
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.edgebench.testbed.plugins.module_utils.controller import this_play
from ansible_collections.edgebench.testbed.plugins.plugin_utils.held import HeldCampaign
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.logs import collect

START_GRACE_S = 15  # from `start` until the script has taken its lock, on a slow and busy host
ENDED = ("failed", "paused", "stopped")  # states of this start: `start` leaves no earlier progress
RESTARTS = 3  # in a row, without a run measured in between

_WORD = 'exec sh ./run_benchmark.sh "$1"'
_LOOK = f'[ -f "$1/run_benchmark.sh" ] || {{ echo alive=no; exit 0; }}; cd "$1" && shift && {_WORD}'


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "directory": {"type": "str", "required": True},
        "home": {"type": "path", "required": True},
        "only_look": {"type": "bool", "default": False},
        "poll_s": {"type": "int", "default": 5},
        "show_every_s": {"type": "int", "default": 10},
        "fetch_every_s": {"type": "int", "default": 600},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        self._shell, self._args = shell, args
        if args["only_look"]:
            reply = shell.check("cannot look", _LOOK, args["directory"], "status")
            return {"changed": False, **summary(parse_status(reply.text))}
        if self._task.check_mode:
            return {"skipped": True, "msg": "nothing is measured in check mode"}
        self._held = HeldCampaign(shell, args["directory"], this_play())
        try:
            return self._watch()
        finally:
            with contextlib.suppress(AnsibleConnectionFailure, HostError):
                shell.patience_s = 0  # it has been waited for already
                self._held.release()

    def _watch(self) -> dict[str, Any]:
        before = self._status()
        if before.get("is_done") != "yes":
            self._command("start")
        watched_from = time.monotonic()
        deadline = watched_from + START_GRACE_S
        shown_at, fetched_at, shown = -math.inf, watched_from, ""
        begun, restarts_left, measured = False, RESTARTS, before.get("finished")
        while (status := self._status()).get("is_done") != "yes":
            begun = begun or status["alive"] == "yes" or status.get("state") in ENDED
            if status.get("finished", measured) != measured:
                restarts_left, measured = RESTARTS, status["finished"]
            if status["alive"] != "yes" and (begun or time.monotonic() > deadline):
                # It may have ended between two looks of one status.
                if (status := self._status()).get("is_done") == "yes":
                    break
                restarts_left -= 1
                self._start_again(status, before, restarts_left)
                before, begun, deadline = status, False, time.monotonic() + START_GRACE_S
                continue
            line = progress_line(status) if begun and "total" in status else ""
            now = time.monotonic()
            # A night's play is to be read in the morning.
            if line not in ("", shown) and now - shown_at >= max(self._args["show_every_s"], (now - watched_from) / 60):
                self._shell.say(line)
                shown, shown_at = line, now
            if 0 < self._args["fetch_every_s"] <= time.monotonic() - fetched_at:
                self._fetch()
                fetched_at = time.monotonic()
            time.sleep(self._args["poll_s"] if begun else 0.2)
        self._shell.say(progress_line(status))
        return {"changed": before.get("is_done") != "yes", **summary(status)}

    def _status(self) -> dict[str, str]:
        return parse_status(self._command("status"))

    def _command(self, word: str) -> str:
        return self._held.run(f"run_benchmark.sh {word}", _WORD, word).text

    def _start_again(self, status: dict[str, str], before: dict[str, str], restarts_left: int) -> None:
        """Start a script that is gone, or say why that makes no sense."""
        if status.get("state") == "stopped":
            raise HostError(
                f"measuring was stopped after {status['finished']} of {status['total']} runs; play again to go on"
            )
        if status.get("state") == "paused":
            raise HostError(
                f"{status['message']}: {status['finished']} of {status['total']} runs are measured and come home; "
                "play again with a later lease (benchmark_run_until) to go on from there"
            )
        if status.get("state") == "failed":
            raise HostError(status.get("message") or "the script ended early")
        if restarts_left < 0:
            raise HostError(
                f"the script on the host ended {RESTARTS + 1} times before it was done; play again to go on. "
                f"Its script.log ends with: {self._end_of_log()}"
            )
        rebooted = status.get("boot_id", "-") != before.get("boot_id", "-")
        self._shell.say(
            "was rebooted; going on" if rebooted else f"the script was gone; going on: {self._end_of_log()}"
        )
        self._command("start")

    def _end_of_log(self) -> str:
        reply = self._shell.run('tail -n 2 "$1"/script.log', self._args["directory"])
        return " ".join(reply.text.split()) or "(nothing)"

    def _fetch(self) -> None:
        """Bring home what is measured so far; trouble with that is said, and no reason to stop watching."""
        try:
            collect(self._shell, self._args["directory"], Path(self._args["home"]))
        except HostError as exc:
            self._shell.say(f"logs stay there for now: {exc}")
        except OSError as exc:
            self._shell.say(f"logs stay there for now: cannot write to {self._args['home']}: {exc.strerror}")


def parse_status(text: str) -> dict[str, str]:
    """Read what ``run_benchmark.sh status`` printed: key=value lines.

    Raises:
        HostError: it is not that.
    """
    status = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if "alive" not in status:
        raise HostError(f"run_benchmark.sh status gave no answer that can be read: {' '.join(text.split())[:500]}")
    return status


def summary(status: dict[str, str]) -> dict[str, Any]:
    """The task's result, from a status."""
    keys = {"finished": "finished", "failed_runs": "failed", "invalid_runs": "invalid", "total": "total"}
    return {name: int(status.get(key, 0)) for name, key in keys.items()} | {"msg": progress_line(status)}


def progress_line(status: dict[str, str]) -> str:
    """One line for a person who watches, from a status."""
    if "total" not in status:
        return "not begun"
    at_most = "at most " if status.get("at_most") == "yes" else ""  # what is known well enough leaves the plan
    words = [f"{status.get('finished', '?')} of {at_most}{status['total']} runs"]
    words += [f"{status[key]} {key}" for key in ("failed", "invalid", "repeated") if status.get(key, "0") != "0"]
    if status.get("is_done") == "yes":
        return ", ".join([*words, "done"])
    if status.get("state") == "paused":
        return ", ".join([*words, f"paused: {status.get('message')}"])
    if status["alive"] != "yes":
        return ", ".join([*words, f"not measuring now ({status.get('state', 'unknown')})"])
    if status.get("left_s", "-").isdigit():
        words.append(f"about {duration(int(status['left_s']))} left{' at most' if at_most else ''}")
    if status.get("state") == "waiting":
        words.append(f"waiting for the machine: {status.get('message')}")
    elif status.get("run", "-") != "-":
        words.append(f"now {status['run']}")
        if status.get("message"):
            words.append(status["message"])
    return ", ".join(words)


def duration(seconds: int) -> str:
    """Seconds as a person says them: '45 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
