# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.campaign``."""

from __future__ import annotations

DOCUMENTATION = """
module: campaign
short_description: Name a campaign, resume an unfinished one, write campaign.json
description:
  - Runs on the controller. Without I(record) it only finds out which campaign is meant. When I(name) is empty, that
    is the newest unfinished campaign of the same hosts and settings, else a new one, named by date and time (UTC).
  - One play at a time carries on with a campaign: with I(record) it fails while another process of this machine does.
  - With I(record) it writes C(<logs_dir>/<name>/campaign.json), once. A campaign that is there already must have been
    begun with the same settings, models and runners, or the module fails and says what differs.
options:
  name:
    description: Name of the campaign; the directory below I(logs_dir). Empty means resume or begin.
    type: str
    default: ""
  logs_dir:
    description: Where raw logs are kept on the controller.
    type: path
    required: true
  hosts:
    description: Names of the hosts that take part.
    type: list
    elements: str
    required: true
  settings:
    description:
      - What is measured; kept in campaign.json. Without it a campaign that is there already is meant, whatever it
        measures.
    type: dict
  seed:
    description: Seed of the order of runs. Empty means one that is drawn from the campaign's name.
    type: str
    default: ""
  resume_days:
    description: Unfinished campaigns older than this many days are not resumed unless they are named.
    type: int
    default: 7
  record:
    description:
      - What else belongs in campaign.json. C(models) is the list of model manifest entries, C(runners) says for each
        host what measures there, and may be added to later; C(versions) is free.
    type: dict
  kit_dir:
    description: The kit's checkout; its git revision is recorded.
    type: path
attributes:
  check_mode:
    support: full
  idempotent:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Find out which campaign is meant
  edgebench.testbed.campaign:
    logs_dir: logs
    hosts: [pi5]
    settings: {models: [MobileNet], variants: [float32, dynamic_range], max_repetitions: 10}
"""

RETURN = """
name:
  description: The campaign's name.
  type: str
  returned: success
seed:
  description: The campaign's seed.
  type: int
  returned: success
resumed:
  description: Whether the campaign was begun earlier.
  type: bool
  returned: success
finished:
  description: Whether every host of it is done.
  type: bool
  returned: success
"""

from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.edgebench.testbed.plugins.module_utils import plan
from ansible_collections.edgebench.testbed.plugins.module_utils.campaign import CampaignError, ensure
from ansible_collections.edgebench.testbed.plugins.module_utils.controller import this_play


class ActionModule(ActionBase):
    """Works on the controller, whatever the task's host is."""

    SPEC = {  # noqa: RUF012
        "name": {"type": "str", "default": ""},
        "logs_dir": {"type": "path", "required": True},
        "hosts": {"type": "list", "elements": "str", "required": True},
        "settings": {"type": "dict"},
        "seed": {"type": "str", "default": ""},
        "resume_days": {"type": "int", "default": 7},
        "record": {"type": "dict"},
        "kit_dir": {"type": "path"},
    }

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(self.SPEC)
        try:
            if args["settings"]:
                plan.check(args["settings"])  # before models are built
            return {**result, **ensure(args, datetime.now(UTC), bool(self._task.check_mode), this_play())}
        except (CampaignError, plan.PlanError) as exc:
            return {**result, "failed": True, "msg": str(exc)}
