# Copyright the edgebench developers. Apache-2.0.
"""What servers and containers of a testbed have in common. Only those on record are ever changed or deleted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    GoneError,
    TestbedError,
    UnavailableError,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import Resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Record, Records, utc_text
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site

OWNER = "edgebench"  # the key of the word by which a machine is known to be ours


class Asked(NamedTuple):
    """What is asked for a host.

    Attributes:
        host: of the inventory.
        name: of the machine, on the testbed; another machine may have the same.
        resource: what it is.
        lease: of which it is, as on record.
        options: more, which the kind of machine knows.
        wait_s: how long it may take to be ready; 0 = ask for it, and do not wait.
    """

    host: str
    name: str
    resource: Resource
    lease: Record
    options: dict[str, Any]
    wait_s: float = 1800


class Machines(ABC):
    """The machines of one kind at a site."""

    kind: ClassVar[str]  # server, container
    READY: ClassVar[str]
    BROKEN: ClassVar[tuple[str, ...]]  # states of which none comes back by waiting; such a machine is replaced

    def __init__(self, site: Site, records: Records) -> None:
        self.site, self.records = site, records

    def ensure(self, asked: Asked, check: bool = False) -> tuple[bool, Record | None]:
        """Ensure that a host has its machine; return whether something was made, and the machine's record.

        Raises:
            TestbedError: there is none; says why, by the service's own words.
        """
        record = self.records.machine(asked.host)
        if record and (record["kind"], record["site"]) != (self.kind, self.site.name):
            raise TestbedError(
                f"{asked.host} is on record as a {record['kind']} at {record['site']}; play teardown.yml first, "
                "or give the new machine another name"
            )
        if record and record["lease_id"] != asked.lease["id"]:
            if check:
                return True, None
            self.delete(asked.host)  # of an earlier lease; it went with that
            record = None
        machine = self.find(record) if record else None
        if machine is not None and self.state(machine) in self.BROKEN:
            if check:
                return True, None
            self.site.say(f"{self.site.name}: {self.kind} {asked.name} is {self.describe(machine)} and is replaced")
            self.delete(asked.host)
            machine = None
        changed = machine is None
        if check:
            return changed, record if machine is not None else None
        if machine is None:
            record = self._make(asked)
        elif record["id"] is None:
            record = self._noted(asked.host, record, self.id_of(machine))
        if asked.wait_s:
            record, more = self._made_ready(asked, record)
            changed |= more
        return changed, record

    def delete(self, host: str, wait_s: float = 300) -> bool:
        """Delete a host's machine and forget it; return whether there was one.

        Raises:
            TestbedError: it is still there.
        """
        record = self.records.machine(host)
        if record is None:
            return False
        # A play that was killed may have asked twice.
        machines = {self.id_of(one) for one in (self.find(record), *self._marked(record)) if one is not None}
        for machine_id in machines:
            self.remove(machine_id)
        for machine_id in machines:
            self._await_end(record["name"], machine_id, wait_s)
        self.forget(record)
        self.records.keep_machine(host, None)
        return bool(machines)

    def _await_end(self, name: str, machine_id: str, wait_s: float) -> None:
        def look() -> tuple[bool | None, str]:
            try:
                return None, self.describe(self.get(machine_id))
            except GoneError:
                return True, ""

        self.site.wait(f"the end of {self.kind} {name}", look, wait_s, "chameleon_delete_wait_s")

    def find(self, record: Record) -> Any | None:
        """The machine on record; None when there is none (any more)."""
        if record["id"]:
            try:
                return self.get(record["id"])
            except GoneError:
                return None
        # A play was killed while it was being asked for: it has our name and our mark, if it was made.
        return next(iter(self._marked(record)), None)

    def _marked(self, record: Record) -> list[Any]:
        return [one for one in self.named(record["name"]) if self.owner_of(one) == record["owner"]]

    def _make(self, asked: Asked) -> Record:
        reservation = leases.reservation_of(self.site, asked.lease, asked.resource)
        record = {
            "site": self.site.name,
            "kind": self.kind,
            "name": asked.name,
            "id": None,
            "owner": f"{self.records.owner()}/{asked.host}",
            "asked_utc": utc_text(datetime.now(UTC)),
            "lease_id": asked.lease["id"],
        }
        self.prepare(asked)
        self.records.keep_machine(asked.host, record)
        try:
            made = self.create(asked, reservation, record["owner"])
        except UnavailableError:  # it may be there all the same
            raise
        except TestbedError:
            self.records.keep_machine(asked.host, None)
            raise
        return self._noted(asked.host, record, made)

    def _noted(self, host: str, record: Record, machine_id: str) -> Record:
        record = record | {"id": machine_id}
        self.records.keep_machine(host, record)
        return record

    def _made_ready(self, asked: Asked, record: Record) -> tuple[Record, bool]:
        def look() -> tuple[Any | None, str]:
            machine = self.get(record["id"])
            state = self.state(machine)
            if state == self.READY:
                return machine, ""
            if state in self.BROKEN:
                raise TestbedError(f"{self.site.name}: {self.kind} {asked.name} is {self.describe(machine)}")
            return None, self.describe(machine)

        try:
            machine = self.site.wait(f"{self.kind} {asked.name}", look, asked.wait_s, "chameleon_machine_wait_s")
        except GoneError:
            raise TestbedError(
                f"{self.site.name}: {self.kind} {asked.name} was deleted while it was made; has the lease ended?"
            ) from None
        return self.complete(asked, record, machine)

    # What a kind of machine does in its own way

    @abstractmethod
    def get(self, machine_id: str) -> Any:
        """The machine of this id. Raises GoneError."""

    @abstractmethod
    def named(self, name: str) -> list[Any]:
        """All machines of the project that have this name."""

    @abstractmethod
    def id_of(self, machine: Any) -> str: ...

    @abstractmethod
    def state(self, machine: Any) -> str: ...

    @abstractmethod
    def describe(self, machine: Any) -> str:
        """The state, and the service's reason for it where there is one."""

    @abstractmethod
    def owner_of(self, machine: Any) -> str: ...

    @abstractmethod
    def create(self, asked: Asked, reservation: str, owner: str) -> str:
        """Ask for a machine; return its id."""

    @abstractmethod
    def remove(self, machine_id: str) -> None:
        """Ask for its end. Nothing happens where it is gone."""

    @abstractmethod
    def prepare(self, asked: Asked) -> None:
        """Raise TestbedError for what can be known to be wrong before anything is made."""

    @abstractmethod
    def complete(self, asked: Asked, record: Record, machine: Any) -> tuple[Record, bool]:
        """What a machine needs besides being there; return its record and whether something was changed."""

    def forget(self, record: Record) -> None:  # noqa: B027 - most kinds have nothing
        """What else goes with a machine."""
