# Copyright the edgebench developers. Apache-2.0.
"""The lookup ``edgebench.testbed.chameleon_machine``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records

DOCUMENTATION = """
name: chameleon_machine
short_description: What is on record of hosts' machines on Chameleon
description:
  - For inventories, which have no address for a machine that is not leased yet.
options:
  _terms:
    description: Names of hosts.
  state_dir:
    description: The directory of records (C(chameleon_state_dir)).
    type: path
    required: true
  fact:
    description:
      - Which fact. C(unfinished) are the directories of logs that have not come home whole; C(sites), of no host, is
        where anything is leased.
    choices: [address, id, unfinished, sites]
    type: str
    required: true
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
ansible_host: >-
  {{ lookup('edgebench.testbed.chameleon_machine', inventory_hostname, state_dir=chameleon_state_dir, fact='address') }}
"""

RETURN = """
_raw:
  description: The fact; an empty string where nothing is on record.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        self.set_options(var_options=variables, direct=options)
        records = Records(Path(self.get_option("state_dir")))
        try:
            if self.get_option("fact") == "sites":
                return records.sites()
            if self.get_option("fact") == "unfinished":
                return [home for host in terms for home in records.unfinished(host)]
            machines = [records.machine(host) or {} for host in terms]
        except TestbedError as exc:
            raise AnsibleLookupError(str(exc)) from exc
        return [str(machine.get(self.get_option("fact")) or "") for machine in machines]
