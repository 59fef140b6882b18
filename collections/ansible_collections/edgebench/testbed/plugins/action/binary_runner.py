# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.binary_runner``."""

from __future__ import annotations

DOCUMENTATION = """
module: binary_runner
short_description: Install a runner that is one program, and see that it starts
description:
  - The program is a file on the controller, or a download, which the controller keeps for all hosts that are alike.
    The host needs no Python and no internet.
  - When it is there, that is one exchange with the host, and nothing is downloaded.
extends_documentation_fragment:
  - edgebench.testbed.program
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure the official binary is on the host
  edgebench.testbed.binary_runner:
    dest: /home/pi/edgebench/runners/benchmark_model
    path: ~/benchmark_model
    cache_dir: ~/.cache/edgebench/binaries
"""

RETURN = """
runner:
  description: C(argv) and C(environment) that start it, C(version) and C(sha256); null where they are not known yet.
  type: dict
  returned: success
"""

from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils import programs
from ansible_collections.edgebench.testbed.plugins.plugin_utils.downloads import public_url
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import (
    LOOK,
    absent,
    deliver,
    question,
)

# Whether it is there and whether it starts, in one exchange.
LOOK_AND_PROBE = 'sh -c "$1" sh "$2" || exit 1; sh -c "$3" sh "$4" || :'


class ActionModule(HostAction):
    SPEC = programs.SPEC

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        check, fetch = bool(self._task.check_mode), args["fetch_on_host"]
        probe = self.local_file("probe_binary.sh").read_text(encoding="utf-8")
        program = programs.described(args, "0755", shell.say, check)
        runner = {"argv": [args["dest"]], "environment": {}, "version": None, "sha256": None}
        if program is None:
            return {"changed": True, "runner": runner}
        reply = shell.check(
            "cannot look at the runner on the host",
            LOOK_AND_PROBE,
            *(LOOK, "check" if check else "", probe, program.dest),
            stdin=question([program]),
        )
        answer, _, refusal = reply.text.partition("\n")
        wanted = absent([program], answer)
        if wanted and not check:
            if not (fetch and program.url):
                programs.ensure_local(args, program, shell.say)
            deliver(shell, wanted, fetch)
            refusal = shell.run(probe, program.dest).text
        if refusal.strip() and not (wanted and check):
            name = Path(args["dest"]).name
            origin = args["path"] or public_url(args["url"])
            raise HostError(f"{name} (from {origin}) does not start on this host: {' '.join(refusal.split())}")
        # It tells no version of its own.
        runner |= {"version": program.sha256[:12], "sha256": program.sha256}
        return {"changed": bool(wanted), "runner": runner}
