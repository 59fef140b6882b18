# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.place_campaign``."""

from __future__ import annotations

DOCUMENTATION = """
module: place_campaign
short_description: Put a campaign's plan and script on a host
description:
  - Ensures that the campaign's directory on the host holds this plan and this script, and the runs that are home
    already (a host may have lost them). A directory with runs of another plan is left alone, and the task fails.
  - One controller at a time looks after a campaign on a host; while another one does, the task fails and says who.
options:
  directory:
    description: The campaign's directory on the host.
    type: str
    required: true
  home:
    description: The host's directory of this campaign on the controller.
    type: path
    required: true
  plan:
    description: The text of plan.tsv.
    type: str
    required: true
  script:
    description: The text of run_benchmark.sh.
    type: str
    required: true
  take_over:
    description: Carry on although another controller looks after the campaign.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure plan and script are there
  edgebench.testbed.place_campaign:
    directory: /home/pi/edgebench/campaigns/demo
    home: logs/demo/pi5
    plan: "{{ plan }}"
    script: "{{ lookup('ansible.builtin.template', 'run_benchmark.sh.j2') }}"
"""

RETURN = """
restored:
  description: Names of the runs that the host had lost and was given back.
  type: list
  elements: str
  returned: success
"""

import hashlib
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils.controller import this_play
from ansible_collections.edgebench.testbed.plugins.plugin_utils.held import HeldCampaign
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import (
    SHA256,
    HostAction,
    HostError,
    HostShell,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.logs import restore
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import Parcel, deliver, missing

# stdout: plan=CHECKSUM of what is there, then run=NAME for each that counts.
_LOOK = f"""{SHA256}
[ ! -f plan.tsv ] || echo "plan=$(sha256 <plan.tsv)"
for file in runs/*.meta; do [ ! -f "$file" ] || {{ file=${{file##*/}}; echo "run=${{file%.meta}}"; }}; done
"""


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "directory": {"type": "str", "required": True},
        "home": {"type": "path", "required": True},
        "plan": {"type": "str", "required": True},
        "script": {"type": "str", "required": True},
        "take_over": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        directory = args["directory"]
        plan, script = args["plan"].encode(), args["script"].encode()
        parcels = [
            Parcel(f"{directory}/plan.tsv", hashlib.sha256(plan).hexdigest(), content=plan),
            Parcel(f"{directory}/run_benchmark.sh", hashlib.sha256(script).hexdigest(), "0755", content=script),
        ]
        if self._task.check_mode:
            return {"changed": bool(missing(shell, parcels, check=True)), "restored": []}
        held = HeldCampaign(shell, directory, this_play(), args["take_over"])
        lines = [line.partition("=") for line in held.run(f"cannot look into {directory}", _LOOK).text.splitlines()]
        runs = {value for key, _, value in lines if key == "run"}
        old_plan = next((value for key, _, value in lines if key == "plan"), None)
        if runs and old_plan not in (None, parcels[0].sha256):
            raise HostError(
                f"{directory} holds {len(runs)} runs of another plan (other models, settings or seed); choose another "
                "campaign_name, or move that directory away"
            )
        wanted = missing(shell, parcels)
        deliver(shell, wanted)
        restored = restore(shell, directory, Path(args["home"]), runs)
        if restored:
            shell.say(f"{len(restored)} runs that are home already were gone here; they count as measured")
        return {"changed": bool(wanted or restored), "restored": restored}
