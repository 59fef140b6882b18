# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.server``; documented in ``plugins/modules/server.py``."""

from __future__ import annotations

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machine_action import MachineAction
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.servers import Servers


class ActionModule(MachineAction):
    MACHINES = Servers
