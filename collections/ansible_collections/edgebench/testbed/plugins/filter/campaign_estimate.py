# Copyright the edgebench developers. Apache-2.0.
"""The filter ``edgebench.testbed.campaign_estimate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.edgebench.testbed.plugins.module_utils.estimate import EstimateError, estimate

DOCUMENTATION = """
name: campaign_estimate
short_description: Roughly how long a host's runs will take
description:
  - Counts the runs of a host's plan that are not home yet and says how long they will take, to choose the length of a
    lease by. It is rough, and good for nothing else.
  - By the mean of the host's runs that are home; where there are none, by the rules of benchmark_model and the
    multiply-adds of each batch, float32 or not. Runs that will have to be repeated are not foreseen.
positional: home_dir, speed_gmac_s, models, target
options:
  _input:
    description: The campaign's settings, as the module M(edgebench.testbed.campaign) returns them.
    type: dict
    required: true
  home_dir:
    description: The host's directory of the campaign on the controller. It need not be there.
    type: path
    required: true
  speed_gmac_s:
    description: Multiply-adds, in 1e9, that the machine does in a second of float32 inference.
    type: float
    required: true
  models:
    description: Entries of the model manifest, to judge models by whose multiply-adds are not known. May be empty.
    type: list
    elements: dict
    required: true
  target:
    description: What libraries must be compiled for to run on the host.
    type: str
"""

EXAMPLES = """
lease_s: "{{ (campaign_settings | edgebench.testbed.campaign_estimate('logs/demo/pi5', 10, models)).left_s }}"
"""

RETURN = """
_value:
  description:
    - C(total) runs of the host's plan, and how many of them are C(left), not home yet.
    - C(run_s), mean seconds of a run, and C(left_s), seconds that those left will take.
    - C(basis) of the seconds, C(measured) or C(estimated).
  type: dict
"""


def campaign_estimate(
    settings: dict[str, Any],
    home_dir: str,
    speed_gmac_s: float,
    models: Sequence[dict[str, Any]],
    target: str | None = None,
) -> dict[str, Any]:
    try:
        return estimate(settings, Path(home_dir), float(speed_gmac_s), models, target or None)
    except (EstimateError, OSError) as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"campaign_estimate": campaign_estimate}
