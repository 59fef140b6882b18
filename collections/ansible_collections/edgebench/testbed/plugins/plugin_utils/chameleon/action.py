# Copyright the edgebench developers. Apache-2.0.
"""What the actions on a testbed share: they work on the controller, whatever the task's host is."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import SETTINGS, Site

display = Display()


class TestbedAction(ActionBase):
    """An action at one site. A subclass has `SPEC`, its argument spec besides site and state_dir, and `act`."""

    __test__ = False  # for pytest
    TRANSFERS_FILES = False
    SPEC: ClassVar[dict[str, Any]]
    COMMON: ClassVar[dict[str, Any]] = {
        "site": {"type": "dict", "options": SETTINGS, "required": True},
        "state_dir": {"type": "path", "required": True},
    }

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(self.COMMON | self.SPEC)
        try:
            site = Site(args["site"], lambda line: display.display(f"  {line}"))
            return {**result, **self.act(args, site, Records(Path(args["state_dir"])))}
        except TestbedError as exc:
            return {**result, "failed": True, "msg": str(exc)}

    @abstractmethod
    def act(self, args: dict[str, Any], site: Site, records: Records) -> dict[str, Any]:
        """Do the work; return the task's result. `args` are checked, check mode is `self._task.check_mode`."""
