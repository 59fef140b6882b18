# Copyright the edgebench developers. Apache-2.0.
"""The filter ``edgebench.testbed.host_facts_reconcile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils.host_facts import reconcile

DOCUMENTATION = """
name: host_facts_reconcile
short_description: Compare a machine with the record made when its campaign began
description:
  - A fact that is unknown in one of the two is not a change; neither is the current clock.
positional: previous, source, allow_change
options:
  _input:
    description: What the machine is now, from the filter P(edgebench.testbed.host_facts#filter).
    type: dict
    required: true
  previous:
    description: The text of the earlier record; null when there is none.
    type: str
    required: true
  source:
    description: Where the earlier record was read, for messages.
    type: str
    required: true
  allow_change:
    description: Whether the campaign may go on although the earlier record does not hold any more.
    type: bool
    required: true
seealso:
  - plugin: edgebench.testbed.host_facts
    plugin_type: filter
"""

EXAMPLES = """
outcome: "{{ record | edgebench.testbed.host_facts_reconcile(lookup('file', path), path, false) }}"
"""

RETURN = """
_value:
  description:
    - C(record), what host.json should hold; C(replaced), whether that gives up an earlier record; C(problem), why
      the campaign cannot go on, in one line, or nothing.
  type: dict
"""


def host_facts_reconcile(now: dict[str, Any], previous: str | None, source: str, allow_change: bool) -> dict[str, Any]:
    return reconcile(previous, now, source, allow_change)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_facts_reconcile": host_facts_reconcile}
