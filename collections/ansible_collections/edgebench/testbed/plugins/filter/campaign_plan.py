# Copyright the edgebench developers. Apache-2.0.
"""The filter ``edgebench.testbed.campaign_plan``."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.edgebench.testbed.plugins.module_utils import plan

DOCUMENTATION = """
name: campaign_plan
short_description: The order of runs of one host, as the text of plan.tsv
description:
  - Every configuration (model, variant, runner, threads, delegate, batch size, input size) once in each block, in an
    order drawn anew for every block from the campaign's seed and the host's name. Combinations that a runner does not
    have (a variant, a delegate, a model in its format) are left out, as long as all that is asked for is in some. So
    are those of which there are only files that were compiled for other CPUs than the host's.
positional: host, models, seed, timeout_s, target
options:
  _input:
    description: The campaign's settings, as the module M(edgebench.testbed.campaign) returns them.
    type: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  models:
    description: Entries of the model manifest.
    type: list
    elements: dict
    required: true
  seed:
    description: The campaign's seed.
    type: int
    required: true
  timeout_s:
    description: The longest that one run may take, in seconds.
    type: int
    required: true
  target:
    description: What libraries must be compiled for to run on the host, as in the manifest. Without it none does.
    type: str
"""

EXAMPLES = """
plan: "{{ campaign_settings | edgebench.testbed.campaign_plan(inventory_hostname, models, 42, 600) }}"
"""

RETURN = """
_value:
  description: Tab separated lines, a header first.
  type: str
"""


def campaign_plan(
    settings: dict[str, Any],
    host: str,
    models: list[dict[str, Any]],
    seed: int,
    timeout_s: int,
    target: str | None = None,
) -> str:
    try:
        return plan.to_tsv(plan.build(host, settings, models, seed, timeout_s, target or None))
    except plan.PlanError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"campaign_plan": campaign_plan}
