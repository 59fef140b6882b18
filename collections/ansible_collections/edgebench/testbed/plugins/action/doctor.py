# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.doctor``; documented in ``plugins/modules/doctor.py``."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.edgebench.testbed.plugins.action.lease import RESOURCES, moment, resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.action import TestbedAction
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.doctor import (
    WRONG,
    Host,
    Row,
    Wanted,
    examine,
    table,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records

INDENT = 8  # of what a play shows


class ActionModule(ActionBase):
    """No TestbedAction: credentials that are missing are a finding."""

    TRANSFERS_FILES = False
    SPEC = TestbedAction.COMMON | {
        "hosts": {"type": "dict", "required": True},
        "name": {"type": "str", "default": "edgebench"},
        "start": {"type": "str", "default": "now"},
    }

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(self.SPEC)
        site, hosts, rows = args["site"], {}, []
        start = None
        try:
            start = moment(args["start"])
        except TestbedError as exc:
            rows.append(Row(site["name"], "inventory", WRONG, str(exc)))
        for host, what in args["hosts"].items():
            try:
                leased = resource({key: what.get(key, "") for key in RESOURCES})
                hosts[host] = Host(leased, what.get("image") or "", what.get("private_key_file") or "")
            except TestbedError as exc:
                rows.append(Row(site["name"], "inventory", WRONG, f"{host}: {exc}"))
        rows += examine(site, Wanted(hosts, args["name"], start), Records(Path(args["state_dir"])), datetime.now(UTC))
        width = shutil.get_terminal_size((120, 40)).columns - INDENT
        return {
            **result,
            "changed": False,
            "rows": [row._asdict() for row in rows],
            "table": table(rows, width),
            "wrong": [f"{row.site} {row.check}" for row in rows if row.state == WRONG],
        }
