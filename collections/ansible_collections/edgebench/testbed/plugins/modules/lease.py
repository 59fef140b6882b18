# Copyright the edgebench developers. Apache-2.0.
"""Documentation of the action ``edgebench.testbed.lease``, which does the work (plugins/action/lease.py)."""

from __future__ import annotations

DOCUMENTATION = """
module: lease
short_description: Lease machines at a site of Chameleon, or end all that is ours there
description:
  - Works on the controller, whatever the task's host is; one task for each site.
  - Every host gets its place in an active lease. One that is on its way (PENDING, STARTING, UPDATING) is waited for,
    one that is over is forgotten, one in ERROR is replaced or reported. Hosts that have none yet get a lease
    together, with a floating IP for each server.
  - A lease is on record (I(state_dir)) before it is asked for, so a play that is killed at any moment leaves nothing
    that the next one does not find. What is not on record is never changed or ended, whatever its name.
  - What cannot be had is an error with the service's own reason, and what to try next.
options:
  state:
    description:
      - V(present) ensures leases for I(hosts).
      - V(absent) ends everything on record at the site, machines too, and goes on after an error. What is left is
        listed, and the task fails.
    type: str
    choices: [present, absent]
    default: present
  hosts:
    description:
      - What each host of the inventory is, by its name; one of C(node_type), C(node_name), C(machine_name),
        C(device_name).
    type: dict
    default: {}
  keep:
    description: Hosts whose machines, and so their leases, stay with O(state=absent).
    type: list
    elements: str
    default: []
  name:
    description: Names of leases begin so; a few random characters follow.
    type: str
    default: edgebench
  start:
    description: When a new lease begins; V(now), or a time in UTC such as V(2026-11-26 08:00).
    type: str
    default: now
  hours:
    description: How long a new lease lasts, at least; it ends five minutes before an hour.
    type: float
    default: 4
  needed_s:
    description: Seconds that each host will need from now on, by its name. A lease that ends before can be extended.
    type: dict
    default: {}
  on_error:
    description: What to do with a lease of ours that is in ERROR.
    type: str
    choices: [replace, report]
    default: replace
  clean_up:
    description: End a lease of ours that fails in the making.
    type: bool
    default: true
  extend:
    description: Extend a lease that ends too early, where the site allows it.
    type: bool
    default: true
  wait_s:
    description: Seconds that a lease may take to be active, from its start on.
    type: float
    default: 600
  delete_wait_s:
    description: Seconds that each end may take.
    type: float
    default: 300
extends_documentation_fragment:
  - edgebench.testbed.chameleon
attributes:
  check_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: edgebench.testbed.server
  - module: edgebench.testbed.container
  - module: edgebench.testbed.doctor
"""

EXAMPLES = """
- name: Lease two servers for a night
  edgebench.testbed.lease:
    site: {name: CHI@UC, credentials: ~/chameleon/uc-clouds.yaml}
    state_dir: .chameleon
    hosts:
      skylake: {node_type: compute_skylake}
      cascadelake: {node_type: compute_cascadelake_r}
    start: 2026-11-26 20:00
    hours: 12

- name: End everything of ours there
  edgebench.testbed.lease:
    site: {name: CHI@UC, credentials: ~/chameleon/uc-clouds.yaml}
    state_dir: .chameleon
    state: absent
"""

RETURN = """
leases:
  description:
    - Each host's lease, by the host's name, as it is on record. In a check run, hosts that would get one are missing.
  type: dict
  returned: success, with O(state=present)
  sample:
    skylake:
      name: edgebench-3f2a91
      id: 8b0f4c1e-5f5e-4b0e-9f4e-2f1f0b7d9a10
      status: ACTIVE
      start_utc: "2026-11-26T20:00:00Z"
      end_utc: "2026-11-27T08:55:00Z"
      ours: true
notes:
  description: What the user should know, such as that a lease will not suffice.
  type: list
  elements: str
  returned: success, with O(state=present)
ended:
  description: What was on record, in words.
  type: list
  elements: str
  returned: with O(state=absent)
left:
  description: What could not be ended, each with the reason.
  type: list
  elements: str
  returned: with O(state=absent)
"""
