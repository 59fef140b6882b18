# Copyright the edgebench developers. Apache-2.0.
"""What the actions `server` and `container` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.action import TestbedAction
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError, UnavailableError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import Resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import Asked, Machines
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site


class MachineAction(TestbedAction):
    """An action that makes or deletes a host's machine."""

    MACHINES: ClassVar[type[Machines]]
    SPEC = {  # noqa: RUF012
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "host": {"type": "str", "required": True},
        "name": {"type": "str"},
        "image": {"type": "str", "default": ""},
        "known_hosts": {"type": "path", "default": ""},
        "console_wait_s": {"type": "float", "default": 60},
        "home": {"type": "path", "default": ""},
        "su_per_hour": {"type": "float"},
        "wait_s": {"type": "float", "default": 1800},
        "clean_up": {"type": "bool", "default": True},
        "delete_wait_s": {"type": "float", "default": 300},
    }

    def act(self, args: dict[str, Any], site: Site, records: Records) -> dict[str, Any]:
        host, check = args["host"], bool(self._task.check_mode)
        machines = self.MACHINES(site, records)
        if args["state"] == "absent":
            return self._absent(machines, args, check)
        lease = leases.of_host(site, records, host)
        resource = Resource(*lease["hosts"][host])
        options = {key: site.settings[key] for key in ("image", "key", "flavor", "network")}
        options |= {key: args[key] for key in ("known_hosts", "console_wait_s")}
        options["image"] = args["image"] or options["image"]
        asked = Asked(host, args["name"] or host, resource, lease, options, args["wait_s"])
        try:
            changed, record = machines.ensure(asked, check)
        except UnavailableError as exc:
            raise TestbedError(
                f"{exc}. Play again: what is there by then is used. It costs until playbooks/teardown.yml"
            ) from exc
        except TestbedError as exc:
            raise TestbedError(f"{exc}{self._cleaned(machines, args)}") from exc
        if args["home"] and record and not check:
            facts = {
                "kind": resource.kind,
                "type": resource.value,
                "su_per_hour": args["su_per_hour"],
                "node": record.get("node"),
                "host_key": record.get("host_key"),
            }
            changed |= leases.note_home(records, site.name, host, lease, Path(args["home"]), facts)
        return {"changed": changed, "machine": record, "lease": lease}

    def _absent(self, machines: Machines, args: dict[str, Any], check: bool) -> dict[str, Any]:
        host, site = args["host"], machines.site
        if machines.records.machine(host) is None and not any(
            host in one["hosts"] for one in machines.records.leases(site.name)
        ):
            return {"changed": False}
        if check:
            return {"changed": True}
        changed = machines.delete(host, args["delete_wait_s"])
        ended = leases.give_back(site, machines.records, host)
        for name in ended:
            site.say(f"{site.name}: lease {name} has nobody left who needs it and is ended")
        return {"changed": changed or bool(ended), "ended": ended}

    def _cleaned(self, machines: Machines, args: dict[str, Any]) -> str:
        """After a failure the machine, and a lease that was only for it, go: but not one that has measured.

        Returns what came of that, in words.
        """
        if not args["clean_up"]:
            return ""
        if machines.records.unfinished(args["host"]):
            return "; it stays, since what it has measured is not home. See playbooks/teardown.yml"
        try:
            self._absent(machines, args, check=False)
        except TestbedError as exc:
            return f"; nor could it be cleaned up: {exc}; see playbooks/teardown.yml"
        return "; what was made of it is deleted again"
