# Copyright the edgebench developers. Apache-2.0.
"""The filter ``edgebench.testbed.host_facts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.edgebench.testbed.plugins.module_utils.host_facts import HostFactsError, parse

DOCUMENTATION = """
name: host_facts
short_description: The record of a machine (host.json) from the output of collect_facts.sh
description:
  - What the machine does not tell is null in the record.
positional: host, platform_label, collected_utc
options:
  _input:
    description: What roles/host_facts/files/collect_facts.sh printed on the machine.
    type: str
    required: true
  host:
    description: The machine's name in the inventory.
    type: str
    required: true
  platform_label:
    description: Its name in tables; null for the board's or the CPU's own name.
    type: str
    required: true
  collected_utc:
    description: When the script ran, such as 2026-11-20T13:30:00Z.
    type: str
    required: true
seealso:
  - plugin: edgebench.testbed.host_facts_reconcile
    plugin_type: filter
"""

EXAMPLES = """
record: "{{ result.stdout | edgebench.testbed.host_facts(inventory_hostname, none, '2026-11-20T13:30:00Z') }}"
"""

RETURN = """
_value:
  description: The record; its fields are in the README of the role host_facts.
  type: dict
"""


def host_facts(text: str, host: str, platform_label: str | None, collected_utc: str) -> dict[str, Any]:
    try:
        return parse(text, host, platform_label, collected_utc)
    except HostFactsError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_facts": host_facts}
