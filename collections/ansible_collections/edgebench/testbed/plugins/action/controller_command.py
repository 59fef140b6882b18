# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.controller_command``."""

from __future__ import annotations

DOCUMENTATION = """
module: controller_command
short_description: Run a command on the controller and show its progress while it runs
description:
  - For commands of the kit that take minutes (building models) and speak on stderr while they do. Each line of it is
    shown at once.
  - When the last thing on stdout is a JSON object, it is returned as RV(result), and its C(changed) is the task's.
options:
  argv:
    description: The command and its arguments.
    type: list
    elements: str
    required: true
  chdir:
    description: The directory to run it in.
    type: path
  check_argument:
    description: Added to I(argv) in check mode, in which the command is not run at all without it.
    type: str
  show_stdout:
    description: Show stdout as well, for commands that print a table for people.
    type: bool
    default: false
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure the models are there
  edgebench.testbed.controller_command:
    argv: ["{{ ansible_playbook_python }}", -m, modelzoo, ensure, --models, MobileNet]
    check_argument: --check
"""

RETURN = """
result:
  description: The JSON object that the command printed.
  type: dict
  returned: when there was one
rc:
  description: Exit code.
  type: int
  returned: always
stdout:
  description: Everything on stdout.
  type: str
  returned: always
"""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):
    """Runs beside the play, on the controller, whatever the task's host is."""

    _VALID_ARGS = frozenset(("argv", "chdir", "check_argument", "show_stdout"))

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "argv": {"type": "list", "elements": "str", "required": True},
                "chdir": {"type": "path"},
                "check_argument": {"type": "str"},
                "show_stdout": {"type": "bool", "default": False},
            }
        )
        argv = args["argv"]
        if self._task.check_mode:
            if not args["check_argument"]:
                return {**result, "skipped": True, "msg": "not run in check mode"}
            argv = [*argv, args["check_argument"]]
        try:
            rc, stdout, stderr = _run(argv, args["chdir"], args["show_stdout"])
        except OSError as exc:
            return {**result, "failed": True, "msg": f"cannot run {argv[0]}: {exc.strerror}"}
        result |= {"rc": rc, "stdout": stdout, "changed": False}
        if (reply := _last_object(stdout)) is not None:
            result |= {"result": reply, "changed": bool(reply.get("changed"))}
        if rc != 0:
            said = "\n".join(stderr[-10:]).strip() or stdout[-2000:]
            command = " ".join(Path(word).name for word in argv[:3])
            result |= {"failed": True, "msg": f"{command}: {said or f'exit code {rc}'}"}
        return result


def _run(argv: list[str], chdir: str | None, show_stdout: bool) -> tuple[int, str, list[str]]:
    """Run the command; lines are shown as they come. Return its exit code, stdout and the lines of stderr."""
    process = subprocess.Popen(
        argv,
        cwd=chdir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    lines: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def follow(name: str, shown: bool) -> None:
        for line in getattr(process, name):
            lines[name].append(line.rstrip("\n"))
            if shown:
                display.display(f"  {line.rstrip()}")

    threads = [threading.Thread(target=follow, args=args) for args in (("stdout", show_stdout), ("stderr", True))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return process.wait(), "\n".join(lines["stdout"]), lines["stderr"]


def _last_object(stdout: str) -> dict[str, Any] | None:
    """The JSON object that stdout ends with: on one line, or all of stdout."""
    for text in (stdout, stdout.strip().rpartition("\n")[2]):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None
