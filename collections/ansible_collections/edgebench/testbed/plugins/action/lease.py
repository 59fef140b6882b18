# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.lease``; documented in ``plugins/modules/lease.py``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases, teardown
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.action import TestbedAction
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site

# How a host says what it is -> what kind of thing that is, and Blazar's property.
RESOURCES = {
    "node_type": ("node", "node_type"),
    "node_name": ("node", "node_name"),
    "machine_name": ("device", "machine_name"),
    "device_name": ("device", "name"),
}


def resource(what: dict[str, str]) -> leases.Resource:
    """What a host is, from one of node_type, node_name, machine_name, device_name.

    Raises:
        TestbedError: it is none of these, or several.
    """
    given = {key: value for key, value in what.items() if value}
    if len(given) != 1 or not set(given) <= set(RESOURCES):
        raise TestbedError(f"one of {', '.join(RESOURCES)} must say what to lease; given: {given or 'none'}")
    [(key, value)] = given.items()
    return leases.Resource(*RESOURCES[key], value)


class ActionModule(TestbedAction):
    SPEC = {  # noqa: RUF012
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "hosts": {"type": "dict", "default": {}},
        "keep": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str", "default": "edgebench"},
        "start": {"type": "str", "default": "now"},
        "hours": {"type": "float", "default": 4},
        "needed_s": {"type": "dict", "default": {}},
        "on_error": {"type": "str", "choices": ["replace", "report"], "default": "replace"},
        "clean_up": {"type": "bool", "default": True},
        "extend": {"type": "bool", "default": True},
        "wait_s": {"type": "float", "default": 600},
        "delete_wait_s": {"type": "float", "default": 300},
    }

    def act(self, args: dict[str, Any], site: Site, records: Records) -> dict[str, Any]:
        check = bool(self._task.check_mode)
        if args["state"] == "absent":
            return self._absent(args, site, records, check)
        hosts = {host: resource(what) for host, what in args["hosts"].items()}
        wanted = leases.Wanted(
            hosts,
            args["name"],
            moment(args["start"]),
            args["hours"],
            {host: float(seconds) for host, seconds in args["needed_s"].items()},
            args["site"]["lease_id"],
            args["on_error"],
            args["clean_up"],
            args["extend"],
            args["wait_s"],
        )
        done = leases.ensure(site, records, wanted, datetime.now(UTC), check)
        for note in done.notes:
            site.say(note)
        return {"changed": done.changed, "leases": done.leases, "notes": done.notes}

    def _absent(self, args: dict[str, Any], site: Site, records: Records, check: bool) -> dict[str, Any]:
        there = teardown.on_record(records, site.name)
        if check or not there:
            return {"changed": bool(there), "ended": there, "left": []}
        left = teardown.end_everything(site, records, args["keep"], args["delete_wait_s"])
        result = {"changed": True, "ended": there, "left": left}
        if left:
            result |= {
                "failed": True,
                "msg": f"{site.name}: still there, and costing: {'; '.join(left)}. Play again, or end it by hand",
            }
        return result


def moment(text: str) -> datetime | None:
    """When a lease begins, in UTC; None = now.

    Raises:
        TestbedError: it cannot be read, or is over.
    """
    if text in ("", "now"):
        return None
    try:
        start = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise TestbedError(
            f"chameleon_lease_start '{text}' is no time; write now, or as in 2026-11-26 08:00 (UTC)"
        ) from None
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    return start if start > datetime.now(UTC) else None
