# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.place_campaign``."""

from __future__ import annotations

DOCUMENTATION = """
module: place_campaign
short_description: Put a campaign's plan and script on a host
description:
  - Ensures that the campaign's directory on the host holds this plan and this script, and the runs that are home
    already (a host may have lost them), with what the host had decided from them. A directory with runs of another
    plan is left alone, and the task fails. A plan of an earlier kit, which lacks columns of I(plan) and is the same
    else, goes on as it is.
  - One controller at a time looks after a campaign on a host; while another one does, the task fails and says who.
  - When the machine must be given back is in a file of its own, C(until), so that a moment that changes reaches a
    script that is running. It is by the host's clock, which is compared with the controller's each time.
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
  until:
    description:
      - When the machine must be given back, in UTC, such as C(2026-11-26T18:55:00Z). The script begins no run that
        would not end I(reserve_s) before. Empty means never.
    type: str
    default: ""
  reserve_s:
    description: Seconds kept free before I(until), for logs to come home.
    type: int
    default: 300
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
import time
from datetime import UTC, datetime
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
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import Parcel, deliver, file_sha256, missing

# Of plan.tsv: not in the plans of earlier kits, which had first none of these, then the columns.
LATER_COLUMNS = ("least_memory_mb",)
LATER_PHASES = frozenset(["evaluate"])
CLOCK_JITTER_S = 10  # by so much two comparisons of the same clocks may differ, over a slow link

# stdout: plan=CHECKSUM of what is there, until=LINE likewise, run=NAME for each that counts, now=SECONDS by this clock.
_LOOK = f"""{SHA256}
[ ! -f plan.tsv ] || echo "plan=$(sha256 <plan.tsv)"
[ ! -f until ] || echo "until=$(cat until)"
for file in runs/*.meta; do [ ! -f "$file" ] || {{ file=${{file##*/}}; echo "run=${{file%.meta}}"; }}; done
echo "now=$(date +%s)"
"""
_LOOK_IF_THERE = f'cd "$1" 2>/dev/null || exit 0\n{_LOOK}'

_WRITE_UNTIL = """
if [ -z "$1" ]; then rm -f until; else printf '%s\\n' "$1" >until.new && mv until.new until; fi
"""


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "directory": {"type": "str", "required": True},
        "home": {"type": "path", "required": True},
        "plan": {"type": "str", "required": True},
        "script": {"type": "str", "required": True},
        "until": {"type": "str", "default": ""},
        "reserve_s": {"type": "int", "default": 300},
        "take_over": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        directory, home = args["directory"], Path(args["home"])
        until = parse_moment(args["until"])
        held = HeldCampaign(shell, directory, this_play(), args["take_over"])
        if self._task.check_mode:
            looked = shell.check(f"cannot look into {directory}", _LOOK_IF_THERE, directory)
        else:
            looked = held.run(f"cannot look into {directory}", _LOOK)
        looked_at = time.time()
        lines = [line.split("=", 1) for line in looked.text.splitlines() if "=" in line]
        found, runs = dict(lines), {value for key, value in lines if key == "run"}
        begun = found.get("plan") or (file_sha256(home / "plan.tsv") if (home / "plan.tsv").exists() else None)
        plan, script = going_on(args["plan"], begun).encode(), args["script"].encode()
        parcels = [
            Parcel(f"{directory}/plan.tsv", hashlib.sha256(plan).hexdigest(), content=plan),
            Parcel(f"{directory}/run_benchmark.sh", hashlib.sha256(script).hexdigest(), "0755", content=script),
        ]
        new_until = until_line(until, args["reserve_s"], float(found.get("now", looked_at)) - looked_at)
        until_changes = not means_the_same(found.get("until", ""), new_until)
        if self._task.check_mode:
            return {"changed": until_changes or bool(missing(shell, parcels, check=True)), "restored": []}
        if runs and found.get("plan") not in (None, parcels[0].sha256):
            raise HostError(
                f"{directory} holds {len(runs)} runs of another plan (other models, settings or seed); choose another "
                "campaign_name, or move that directory away"
            )
        wanted = missing(shell, parcels)
        deliver(shell, wanted)
        if until_changes:
            held.run(f"cannot write {directory}/until", _WRITE_UNTIL, new_until)
        restored = restore(shell, directory, home, runs)
        if restored:
            shell.say(f"{len(restored)} runs that are home already were gone here; they count as measured")
        return {"changed": bool(wanted or restored or until_changes), "restored": restored}


def going_on(plan: str, begun: str | None) -> str:
    """The plan as the kit that began the campaign made it.

    Args:
        plan: text of plan.tsv as this kit makes it.
        begun: sha256 of the plan that the campaign was begun with; None for a new campaign.

    Returns:
        `plan`, without the phases and columns that an earlier kit did not know where that is the plan that was begun.
    """
    lines = [line for line in (text.split("\t") for text in plan.splitlines()) if LATER_PHASES.isdisjoint(line)]
    known = [at for at, column in enumerate(lines[0]) if column not in LATER_COLUMNS]
    for columns in (range(len(lines[0])), known):
        earlier = "".join("\t".join(line[at] for at in columns) + "\n" for line in lines)
        if hashlib.sha256(earlier.encode()).hexdigest() == begun:
            return earlier
    return plan


def parse_moment(text: str) -> datetime | None:
    """Read benchmark_run_until: ISO 8601 with a time zone, as YAML's own timestamps have too; None for ''.

    Raises:
        HostError: it is not that.
    """
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        moment = None
    if text and (moment is None or moment.tzinfo is None):
        raise HostError(f"benchmark_run_until is '{text}'; expected a moment in UTC such as 2026-11-26T18:55:00Z")
    return moment


def until_line(until: datetime | None, reserve_s: int, clock_offset_s: float) -> str:
    """The host's file `until`; '' = none.

    Args:
        until: when the machine must be given back.
        reserve_s: how long before that, in seconds, the last run must have ended.
        clock_offset_s: the host's clock minus ours, in seconds.

    Returns:
        The moment after which no run may be going, in seconds since 1970 by the host's clock, and `until` in words.
    """
    if until is None:
        return ""
    last_end_s = max(0, round(until.timestamp() - reserve_s + clock_offset_s))
    return f"{last_end_s} {until.astimezone(UTC):%Y-%m-%d %H:%M UTC}"


def means_the_same(old: str, new: str) -> bool:
    """Whether two lines of the file `until` differ by no more than clocks compared twice."""
    (old_s, _, old_words), (new_s, _, new_words) = old.partition(" "), new.partition(" ")
    if not (old_s.isdecimal() and new_s.isdecimal()):
        return old == new
    return old_words == new_words and abs(int(old_s) - int(new_s)) <= CLOCK_JITTER_S
