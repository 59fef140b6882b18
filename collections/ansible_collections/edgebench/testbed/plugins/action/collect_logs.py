# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.collect_logs``."""

from __future__ import annotations

DOCUMENTATION = """
module: collect_logs
short_description: Bring a host's new logs home, each verified by checksum
description:
  - Compares the checksums of the files below I(src) on the host with those below I(dest) on the controller and
    fetches what is missing. A file is put in place only when its checksum agrees, by rename.
  - A file that is there and differs is never overwritten; the task names it and fails, after everything else has
    come home. The exceptions are script.log, stopping.tsv and idle.tsv, which the host still writes.
  - A run comes home with its sidecar; a log without one is still being written and is left for the next time.
  - Needs sh, tar and sha256sum (or shasum) on the host, and no room on its disk.
options:
  src:
    description: The campaign's directory on the host.
    type: str
    required: true
  dest:
    description: The host's directory below the campaign's logs on the controller.
    type: path
    required: true
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Bring the logs home
  edgebench.testbed.collect_logs:
    src: /home/pi/edgebench/campaigns/2026-11-20
    dest: logs/2026-11-20/pi5
"""

RETURN = """
fetched:
  description: Names of the files that came home.
  type: list
  elements: str
  returned: success
"""

from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.logs import collect


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "src": {"type": "str", "required": True},
        "dest": {"type": "path", "required": True},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        dest = Path(args["dest"]).absolute()
        try:
            fetched, conflicts = collect(shell, args["src"], dest, bool(self._task.check_mode))
        except OSError as exc:
            raise HostError(
                f"cannot write to {dest}: {exc.strerror}; the logs are still on the host. Make room and play again"
            ) from exc
        if conflicts:
            others = f", as do {len(conflicts) - 1} others" if len(conflicts) > 1 else ""
            raise HostError(
                f"{dest / conflicts[0]} differs from the host's file of that name{others}; nothing was overwritten. "
                "Move the older files away, or give the new campaign another campaign_name"
            )
        return {"changed": bool(fetched), "fetched": fetched}
