# Copyright the edgebench developers. Apache-2.0.
"""Documentation of the action ``edgebench.testbed.server``, which does the work (plugins/action/server.py)."""

from __future__ import annotations

DOCUMENTATION = """
module: server
short_description: A host's bare-metal server on Chameleon
description:
  - Works on the controller. The server boots the image on a node of the host's lease, gets a floating IP of the
    lease, and its host keys go to I(known_hosts), from its console where the site shows it.
  - The server is on record (I(state_dir)) before it is asked for. One that is not on record is never changed or
    deleted, whatever its name.
extends_documentation_fragment:
  - edgebench.testbed.chameleon
  - edgebench.testbed.chameleon.machine
attributes:
  check_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: edgebench.testbed.lease
  - module: edgebench.testbed.container
"""

EXAMPLES = """
- name: Have a server
  edgebench.testbed.server:
    site: {name: CHI@UC, credentials: ~/chameleon/uc-clouds.yaml, image: CC-Ubuntu22.04, key: laptop}
    state_dir: .chameleon
    host: skylake
    known_hosts: .chameleon/known_hosts

- name: Give it back, and its lease when nobody else needs it
  edgebench.testbed.server:
    site: {name: CHI@UC, credentials: ~/chameleon/uc-clouds.yaml}
    state_dir: .chameleon
    host: skylake
    state: absent
"""

RETURN = """
machine:
  description:
    - The server as it is on record. In a check run null, when one would be made. C(host_key) says where its host
      keys are from, C(console) or C(first contact); C(node) may be null.
  type: dict
  returned: success, with O(state=present)
  sample:
    site: CHI@UC
    kind: server
    name: edgebench-skylake
    id: 1c6d1d52-1f0a-4e35-a9c8-8d8a8b4a4f0b
    address: 192.5.87.10
    host_key: console
    node: P3-CPU-001
lease:
  description: The host's lease, as in RV(edgebench.testbed.lease#module:leases).
  type: dict
  returned: success, with O(state=present)
ended:
  description: Names of leases that nobody needed any more.
  type: list
  elements: str
  returned: when something was deleted
"""
