# Copyright the edgebench developers. Apache-2.0.
"""The lookup ``edgebench.testbed.runners``."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.edgebench.testbed.plugins.module_utils.runners import RUNNERS

DOCUMENTATION = """
name: runners
short_description: What the kit knows of each runner
description:
  - For roles, which would otherwise each have a list of runners.
options: {}
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "litert reads {{ lookup('edgebench.testbed.runners').litert.format }} files"
"""

RETURN = """
_raw:
  description:
    - A dictionary by runner of C(program), C(format), C(delegates), C(variant_flags), C(evaluates), C(profiles),
      C(packages), C(leave_out) and C(advice).
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=options)
        return [{name: {**runner._asdict(), **_lists(runner)} for name, runner in RUNNERS.items()}]


def _lists(runner: Any) -> dict[str, list[str]]:
    return {name: list(getattr(runner, name)) for name in ("delegates", "packages", "leave_out")}
