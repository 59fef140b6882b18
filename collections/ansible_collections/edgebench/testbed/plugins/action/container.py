# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.container``; documented in ``plugins/modules/container.py``."""

from __future__ import annotations

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.containers import Containers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machine_action import MachineAction


class ActionModule(MachineAction):
    MACHINES = Containers
