# Copyright the edgebench developers. Apache-2.0.
"""Containers on the devices of CHI@Edge, made by Zun; the connection plugin `zun` reaches them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import GoneError, TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import OWNER, Asked, Machines
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Record

# Nothing but waiting: everything else is started in it from here.
COMMAND = ["sh", "-c", "while :; do sleep 3600; done"]


class Containers(Machines):
    """Options of Asked: image."""

    kind = "container"
    READY = "Running"
    BROKEN = ("Error", "Stopped", "Dead", "Deleting", "Deleted", "Unknown")

    def get(self, machine_id: str) -> Any:
        found = self.site.ask("look at the container", lambda: self.site.zun.containers.get(machine_id))
        if found is None:
            raise GoneError(f"{self.site.name}: there is no container {machine_id}", 404)
        return found

    def named(self, name: str) -> list[Any]:
        found = self.site.ask("list containers", lambda: self.site.zun.containers.list())
        return [one for one in found if one.name == name]

    def id_of(self, machine: Any) -> str:
        return machine.uuid

    def state(self, machine: Any) -> str:
        return machine.status

    def describe(self, machine: Any) -> str:
        reason = getattr(machine, "status_reason", None) or getattr(machine, "status_detail", None)
        return machine.status + (f" ({reason})" if reason else "")

    def owner_of(self, machine: Any) -> str:
        return (getattr(machine, "labels", None) or {}).get(OWNER, "")

    def prepare(self, asked: Asked) -> None:
        if not asked.options["image"]:
            raise TestbedError(
                f"{self.site.name}: no image is named for {asked.host}; set chameleon_sites['{self.site.name}'].image "
                "to one for the device's architecture (arm64), such as python:3.11"
            )

    def create(self, asked: Asked, reservation: str, owner: str) -> str:
        return self.site.ask(
            f"start a container on {asked.resource}",
            lambda: self.site.zun.containers.create(
                name=asked.name,
                image=asked.options["image"],
                command=COMMAND,
                hints={"reservation": reservation},
                labels={OWNER: owner},
            ),
        ).uuid

    def remove(self, machine_id: str) -> None:
        with suppress(GoneError):
            self.site.ask("delete the container", lambda: self.site.zun.containers.delete(machine_id, force=True))

    def complete(self, asked: Asked, record: Record, machine: Any) -> tuple[Record, bool]:
        node = getattr(machine, "host", None)
        if record.get("node") == node:
            return record, False
        record |= {"node": node}
        self.records.keep_machine(asked.host, record)
        return record, True
