# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.shell``."""

from __future__ import annotations

DOCUMENTATION = """
module: shell
short_description: Run a sh script on a host, without Python there
description:
  - The text goes to the host in one exchange; no file is copied. Words from inventories belong in I(args), which need
    no quoting.
options:
  script:
    description: The text. C($1), C($2) and so on are I(args).
    type: str
    required: true
  args:
    description: The script's arguments.
    type: list
    elements: str
    default: []
  stdin:
    description: What the script reads from stdin.
    type: str
    default: ""
  changed_codes:
    description: Exit codes that mean that something was changed. 0 means that nothing was; all others are failures.
    type: list
    elements: int
    default: [10]
  may_refuse_key:
    description: A host that refuses our SSH key may take it in a while, since it has just booted.
    type: bool
    default: false
  check_mode_safe:
    description: The script changes nothing, so it runs in check mode as well.
    type: bool
    default: false
attributes:
  check_mode:
    support: partial
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure the directory is there
  edgebench.testbed.shell:
    script: '[ -d "$1" ] || { mkdir "$1" && exit 10; }'
    args: ["{{ benchmark_work_dir }}"]
"""

RETURN = """
rc:
  description: Exit code.
  type: int
  returned: always
stdout:
  description: What it printed.
  type: str
  returned: always
stdout_lines:
  description: The same, line by line.
  type: list
  elements: str
  returned: always
stderr:
  description: What it complained of.
  type: str
  returned: always
"""

from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostShell


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "script": {"type": "str", "required": True},
        "args": {"type": "list", "elements": "str", "default": []},
        "stdin": {"type": "str", "default": ""},
        "changed_codes": {"type": "list", "elements": "int", "default": [10]},
        "may_refuse_key": {"type": "bool", "default": False},
        "check_mode_safe": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode and not args["check_mode_safe"]:
            return {"skipped": True, "msg": "not run in check mode"}
        shell.may_refuse_key = args["may_refuse_key"]
        reply = shell.run(args["script"], *args["args"], stdin=args["stdin"].encode())
        result = {
            "rc": reply.rc,
            "stdout": reply.text,
            "stdout_lines": reply.text.splitlines(),
            "stderr": reply.stderr,
            "changed": reply.rc in args["changed_codes"],
            "failed": False,  # said, or Ansible takes every rc other than 0 for a failure
        }
        if reply.rc != 0 and not result["changed"]:
            result |= {"failed": True, "msg": f"{shell.host}: {reply.said}"}
        return result
