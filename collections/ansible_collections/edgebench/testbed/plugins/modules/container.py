# Copyright the edgebench developers. Apache-2.0.
"""Documentation of the action ``edgebench.testbed.container``, which does the work (plugins/action/container.py)."""

from __future__ import annotations

DOCUMENTATION = """
module: container
short_description: A host's container on a device of CHI@Edge
description:
  - Works on the controller. The container runs on a device of the host's lease and does nothing by itself; the
    connection plugin P(edgebench.testbed.zun#connection) reaches it.
  - The container is on record (I(state_dir)) before it is asked for. One that is not on record is never changed or
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
  - module: edgebench.testbed.server
  - plugin: edgebench.testbed.zun
    plugin_type: connection
"""

EXAMPLES = """
- name: Have a container
  edgebench.testbed.container:
    site: {name: CHI@Edge, credentials: ~/chameleon/edge-clouds.yaml, image: "python:3.11"}
    state_dir: .chameleon
    host: pi5

- name: Give it back, and its lease when nobody else needs it
  edgebench.testbed.container:
    site: {name: CHI@Edge, credentials: ~/chameleon/edge-clouds.yaml}
    state_dir: .chameleon
    host: pi5
    state: absent
"""

RETURN = """
machine:
  description: The container as it is on record. In a check run null, when one would be made. C(node) may be null.
  type: dict
  returned: success, with O(state=present)
  sample:
    site: CHI@Edge
    kind: container
    name: edgebench-pi5
    id: 0c1f2f46-8a35-4f0e-8c4e-3a6d2d5b8f21
    node: iot-rpi5-03
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
