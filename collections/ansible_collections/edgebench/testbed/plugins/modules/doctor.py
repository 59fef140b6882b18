# Copyright the edgebench developers. Apache-2.0.
"""Documentation of the action ``edgebench.testbed.doctor``, which does the work (plugins/action/doctor.py)."""

from __future__ import annotations

DOCUMENTATION = """
module: doctor
short_description: Check a site of Chameleon before anything is leased there
description:
  - Works on the controller, and changes nothing.
  - Checks credentials, login and project, whether the site answers and its clock agrees with ours, the services that
    the hosts need, key pair and private key, image, flavor, networks, the quota of floating IPs, what is there of
    each kind of machine and free, what is on record of ours, and leases that look like ours and are not on record.
  - What is wrong is a row of the result, not a failure of the task. A check that needs another one that is wrong is
    unknown.
options:
  hosts:
    description:
      - What each host of the inventory at this site is, by its name, as in O(edgebench.testbed.lease#module:hosts);
        and C(image), when it is another one than the site's, and C(private_key_file), which Ansible logs in with.
    type: dict
    required: true
  name:
    description: Names of our leases begin so.
    type: str
    default: edgebench
  start:
    description: When a lease is to begin; V(now), or a time in UTC. What is free is asked for that time.
    type: str
    default: now
extends_documentation_fragment:
  - edgebench.testbed.chameleon
attributes:
  check_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: edgebench.testbed.lease
"""

EXAMPLES = """
- name: Look at a site
  edgebench.testbed.doctor:
    site: {name: CHI@UC, credentials: ~/chameleon/uc-clouds.yaml, image: CC-Ubuntu22.04, key: laptop}
    state_dir: .chameleon
    hosts:
      skylake: {node_type: compute_skylake, private_key_file: ~/.ssh/id_ed25519}
  register: examined

- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ examined.table }}"
"""

RETURN = """
rows:
  description: The checks, in their order.
  type: list
  elements: dict
  returned: always
  contains:
    site:
      description: The site's name.
      type: str
    check:
      description: What was looked at.
      type: str
    state:
      description: V(ok), V(WRONG) or V(unknown).
      type: str
    found:
      description: What was found, in words.
      type: str
    todo:
      description: What to do; empty where there is nothing, or RV(rows[].found) says it.
      type: str
table:
  description: The rows as text, for people.
  type: str
  returned: always
wrong:
  description: Site and check of each row that is V(WRONG).
  type: list
  elements: str
  returned: always
"""
