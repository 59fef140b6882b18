# Copyright the edgebench developers. Apache-2.0.
"""Leases of a site: made, waited for, extended, given back. Only those on record are ever changed or ended."""

from __future__ import annotations

import json
import math
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import catalogue
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    GoneError,
    RefusedError,
    TestbedError,
    UnavailableError,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import (
    Record,
    Records,
    utc,
    utc_text,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site

_BLAZAR_TIME = "%Y-%m-%d %H:%M"
# A lease that was asked for and that nobody has seen within this time was never made: no request takes as long.
LOST_AFTER = timedelta(minutes=3)
# Chameleon's leases end a few minutes before the hour, so that the next one may begin with it.
END_MINUTE = 55

ON_THE_WAY = ("CREATING", "PENDING", "STARTING", "UPDATING")
OVER = ("TERMINATED", "TERMINATING", "DELETING")


class Resource(NamedTuple):
    """What a host of the inventory is on the testbed: Blazar's property and its value."""

    kind: str  # node, device
    by: str  # node_type, node_name; machine_name, name
    value: str

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Wanted:
    """What is asked of a site.

    Attributes:
        hosts: what each host is.
        name: the leases' names begin with it.
        start: None = now.
        hours: from start on.
        needed_s: what each host still has to do, in seconds from now; a lease that ends before is extended.
        lease_id: a lease that the user made and that is to be used as it is; "" = none.
        on_error: of a lease of ours that is in ERROR: replace or report.
        clean_up: a lease of ours that fails in the making is ended.
        extend: a lease that is too short is extended where the site allows it.
        wait_s: for a lease to become active, from its start on.
    """

    hosts: Mapping[str, Resource]
    name: str
    start: datetime | None = None
    hours: float = 4
    needed_s: Mapping[str, float] | None = None
    lease_id: str = ""
    on_error: str = "replace"
    clean_up: bool = True
    extend: bool = True
    wait_s: float = 600


class Ensured(NamedTuple):
    """What came of it.

    Attributes:
        changed: something was made or extended, or, in a check run, would be.
        leases: each host's lease, as it is on record; hosts that would get one in a real run are missing.
        notes: what the user should know.
    """

    changed: bool
    leases: dict[str, Record]
    notes: list[str]


def ensure(site: Site, records: Records, wanted: Wanted, now: datetime, check: bool = False) -> Ensured:
    """Ensure that every host has its place in an active lease.

    Args:
        site: where.
        records: of what is ours.
        wanted: by whom.
        now: in UTC.
        check: change nothing.

    Raises:
        TestbedError: it cannot be had; says why, by Blazar's own words, and what to do.
    """
    site.login()
    if wanted.lease_id:
        lease = _theirs(site, records, wanted, check)
        return Ensured(False, dict.fromkeys(wanted.hosts, lease), _too_short(site, lease, wanted, now))
    with records.working_on(site.name):
        known = _look(site, records, now, check)
        changed = False
        for lease in [lease for lease in known if lease["status"] == "ERROR"]:
            if wanted.on_error != "replace":
                raise TestbedError(
                    f"{site.name}: lease {lease['name']} ({lease['id']}) is in ERROR ({_trouble(lease)}); end it "
                    "with playbooks/teardown.yml, or have it replaced with chameleon_lease_on_error: replace"
                )
            changed = True
            if not check:
                site.say(f"{site.name}: lease {lease['name']} is in ERROR and is replaced")
                end(site, records, lease)
            known.remove(lease)
        served = {host: lease for lease in known for host in lease["hosts"] if host in wanted.hosts}
        _check_same(site, served, wanted)
        missing = {host: resource for host, resource in wanted.hosts.items() if host not in served}
        if missing:
            changed = True
            catalogue.check(site, missing.values())
            if not check:
                made = _make(site, records, missing, wanted, now)
                served |= dict.fromkeys(missing, made)
        notes = []
        for lease in {lease["name"]: lease for lease in served.values()}.values():
            if not check:
                _await_active(site, records, lease, wanted, now)
                changed |= _extend(site, records, lease, wanted, now)
            notes += _too_short(site, lease, wanted, now)
        return Ensured(changed, served, notes)


def end_all(site: Site, records: Records, wait_s: float = 300) -> list[str]:
    """End all leases of ours without machines; return what was not ended, and why. Goes on after an error."""
    left = []
    in_use = {machine["lease_id"] for machine in records.machines(site.name).values()}
    with records.working_on(site.name):
        for lease in _settled(site, records):
            if lease["id"] in in_use:
                left.append(f"lease {lease['name']} ({lease['id']}), with its machines")
                continue
            try:
                end(site, records, lease, wait_s)
            except TestbedError as exc:
                left.append(f"lease {lease['name']} ({lease['id']}): {exc}")
        records.change_leases(site.name, lambda leases: [lease for lease in leases if lease["ours"]])
    return left


def end(site: Site, records: Records, lease: Record, wait_s: float = 300) -> None:
    """End a lease of ours, and forget it."""

    def look() -> tuple[bool | None, str]:
        try:
            status = site.ask("look at the lease", lambda: site.blazar.lease.get(lease["id"]))["status"]
        except GoneError:
            return True, ""
        if status == "TERMINATED":
            return True, ""
        with suppress(RefusedError):  # not while it is on its way to another state; then it is asked again
            site.ask("end the lease", lambda: site.blazar.lease.delete(lease["id"]))
        return None, status

    site.wait(f"the end of lease {lease['name']}", look, wait_s, "chameleon_delete_wait_s")
    _forget(site, records, lease, datetime.now(UTC))


def give_back(site: Site, records: Records, host: str) -> list[str]:
    """Note that a host needs its lease no longer; end leases that nobody needs. Returns the names of those."""

    def without(leases: list[Record]) -> list[Record]:
        for lease in leases:
            lease["hosts"].pop(host, None)
        return leases

    unused = [lease for lease in records.change_leases(site.name, without) if not lease["hosts"]]
    ended = [lease for lease in unused if lease["ours"] and lease["id"]]
    with records.working_on(site.name, wait=True):
        for lease in ended:
            end(site, records, lease)
    for lease in unused:
        if not lease["ours"]:
            _drop(site, records, lease)
    return [lease["name"] for lease in ended]


def note_home(records: Records, site: str, host: str, lease: Record, home: Path, facts: Record) -> bool:
    """Note in a campaign's logs which lease serves a host (`leases.json`); return whether that is news.

    Args:
        records: of what is ours.
        site: its name.
        host: of the inventory.
        lease: as on record.
        home: the host's directory of the campaign, on the controller.
        facts: kind, type and su_per_hour of what was leased.
    """
    entry = {
        "site": site,
        "lease": lease["name"],
        "lease_id": lease["id"],
        **facts,
        "start_utc": lease["start_utc"],
        "end_utc": lease["end_utc"],
        "released_utc": None,
        "ours": lease["ours"],
    }

    def with_home(leases: list[Record]) -> list[Record]:
        for known in leases:
            if known["id"] == lease["id"] and str(home) not in known["homes"]:
                known["homes"].append(str(home))
        return leases

    path = home / "leases.json"
    entries = [known for known in _entries(path) if known["lease_id"] != lease["id"]]
    if _entries(path) == [*entries, entry]:
        return False
    records.change_leases(site, with_home)
    machine = records.machine(host)
    if machine and str(home) not in machine.get("homes", []):
        records.keep_machine(host, machine | {"homes": [*machine.get("homes", []), str(home)]})
    home.mkdir(parents=True, exist_ok=True)
    _write_entries(path, [*entries, entry])
    return True


# What there is


def of_host(site: Site, records: Records, host: str) -> Record:
    """The lease that a host's machine is of, as on record.

    Raises:
        TestbedError: it has none.
    """
    for lease in records.leases(site.name):
        if host in lease["hosts"] and lease["id"]:
            return lease
    raise TestbedError(f"{site.name}: {host} has no lease; play playbooks/provision.yml, or site.yml")


def _moment(text: str) -> datetime:
    """A time in Blazar's words, which is UTC and does not say so."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _look(site: Site, records: Records, now: datetime, check: bool) -> list[Record]:
    """The leases on record that are not over, as they are; those that are over are forgotten."""
    there = {lease["id"]: lease for lease in site.ask("list leases", lambda: site.blazar.lease.list())}
    by_name = {lease["name"]: lease for lease in there.values()}
    found, over = [], []
    for known in [known for known in records.leases(site.name) if known["ours"]]:
        # One that was being asked for when a play was killed has a name that nobody else gives to a lease.
        lease = there.get(known["id"]) if known["id"] else by_name.get(known["name"])
        if lease is None and not known["id"] and now - utc(known["asked_utc"]) < LOST_AFTER:
            continue
        if lease is None or lease["status"] in OVER:
            over.append(known["name"])
        else:
            found.append(known | _facts(lease))
    if not check and (found or over):
        as_found = {lease["name"]: lease for lease in found}
        records.change_leases(
            site.name,
            lambda leases: [as_found.get(known["name"], known) for known in leases if known["name"] not in over],
        )
    return found


def _settled(site: Site, records: Records) -> list[Record]:
    """The leases on record when it is known of each whether it is there."""

    def look() -> tuple[list[Record] | None, str]:
        found = _look(site, records, datetime.now(UTC), check=False)
        asked = [lease["name"] for lease in records.leases(site.name) if not lease["id"]]
        return None if asked else found, f"not known whether {', '.join(asked)} was made, when a play was killed"

    return site.wait("leases that may yet appear", look, LOST_AFTER.total_seconds() + 60)


def _facts(lease: Mapping[str, Any]) -> Record:
    """What a record keeps of Blazar's answer."""
    return {
        "id": lease["id"],
        "status": lease["status"],
        "start_utc": utc_text(_moment(lease["start_date"])),
        "end_utc": utc_text(_moment(lease["end_date"])),
        "reservations": [_reservation(reservation) for reservation in lease.get("reservations") or []],
    }


def _reservation(reservation: Mapping[str, Any]) -> Record:
    try:
        condition = json.loads(reservation.get("resource_properties") or "[]")
        operator, by, value = condition
    except (ValueError, TypeError):
        operator, by, value = "", "", ""
    return {
        "id": reservation["id"],
        "type": reservation["resource_type"],
        "status": reservation.get("status", ""),
        "by": str(by).removeprefix("$") if operator in ("==", "=") else "",
        "value": value if operator in ("==", "=") else "",
        "count": int(reservation.get("max") or reservation.get("amount") or 0),
    }


def reservation_of(site: Site, lease: Record, resource: Resource) -> str:
    """The id of the reservation, in a lease, that a host has its machine from.

    Raises:
        TestbedError: the lease has none.
    """
    blazar_type = {"node": "physical:host", "device": "device"}[resource.kind]
    of_kind = [one for one in lease["reservations"] if one["type"] == blazar_type]
    fitting = [one for one in of_kind if (one["by"], one["value"]) == (resource.by, resource.value)]
    if not fitting and len(of_kind) == 1 and not of_kind[0]["by"]:
        fitting = of_kind  # a site that does not say of what a reservation is
    if not fitting:
        has = ", ".join(one["value"] or one["type"] for one in lease["reservations"]) or "nothing"
        raise TestbedError(f"{site.name}: lease {lease['name']} has no {resource}; it holds {has}")
    return fitting[0]["id"]


def floating_ip_reservation(lease: Record) -> str | None:
    """The id of a lease's reservation of floating IPs; None when it has none."""
    return next((one["id"] for one in lease["reservations"] if one["type"] == "virtual:floatingip"), None)


def _theirs(site: Site, records: Records, wanted: Wanted, check: bool) -> Record:
    """The user's own lease, when it is active; it is on record, and never changed or ended."""

    def look() -> tuple[Record | None, str]:
        lease = site.ask(f"look at lease {wanted.lease_id}", lambda: site.blazar.lease.get(wanted.lease_id))
        hosts = {host: list(resource) for host, resource in wanted.hosts.items()}
        record = {"name": lease["name"], "hosts": hosts, "homes": [], "ours": False, **_facts(lease)}
        if lease["status"] == "ACTIVE":
            return record, ""
        if lease["status"] not in ON_THE_WAY:
            raise TestbedError(
                f"{site.name}: your lease {lease['name']} ({wanted.lease_id}) is {lease['status']}; name another one "
                f"in chameleon_sites['{site.name}'].lease_id, or none to have one made"
            )
        return None, f"{lease['status']}, begins at {record['start_utc']}"

    try:
        lease = site.wait(f"your lease {wanted.lease_id}", look, wanted.wait_s, "chameleon_lease_wait_s")
    except GoneError:
        raise TestbedError(
            f"{site.name}: there is no lease {wanted.lease_id}; chameleon_sites['{site.name}'].lease_id must be the id "
            "(not the name) of a lease of this site and project"
        ) from None
    for resource in set(wanted.hosts.values()):
        reservation = reservation_of(site, lease, resource)
        count = next(one["count"] for one in lease["reservations"] if one["id"] == reservation)
        if (hosts := list(wanted.hosts.values()).count(resource)) > count > 0:
            raise TestbedError(
                f"{site.name}: your lease {lease['name']} holds {count} {resource}, and the inventory has {hosts} such "
                "hosts; lease more, or leave hosts out with --limit"
            )
    if not check:
        records.change_leases(site.name, lambda leases: [*(one for one in leases if one["id"] != lease["id"]), lease])
    return lease


def _check_same(site: Site, served: Mapping[str, Record], wanted: Wanted) -> None:
    for host, lease in served.items():
        if lease["hosts"][host] != list(wanted.hosts[host]):
            raise TestbedError(
                f"{site.name}: {host} was leased as {lease['hosts'][host][2]} (lease {lease['name']}), and now the "
                f"inventory says {wanted.hosts[host]}; play playbooks/teardown.yml first, or name the new one otherwise"
            )


# Making


def _make(site: Site, records: Records, hosts: Mapping[str, Resource], wanted: Wanted, now: datetime) -> Record:
    """Ask for a lease for these hosts, on record from before it is asked for."""
    end_at = end_of(wanted.start or now, wanted.hours)
    check_length(site, wanted.start or now, end_at, now)
    lease = {
        "name": f"{wanted.name}-{secrets.token_hex(3)}",
        "id": None,
        "ours": True,
        "asked_utc": utc_text(now),
        "hosts": {host: list(resource) for host, resource in hosts.items()},
        "homes": [],
    }
    asked = _described(hosts.values())
    when = f"from {utc_text(wanted.start)}" if wanted.start else "now"
    site.say(f"{site.name}: leasing {asked}, {when} until {utc_text(end_at)} (lease {lease['name']})")
    reservations = site.ask("look up the public network", lambda: _reservations(site, hosts.values()))
    records.change_leases(site.name, lambda leases: [*leases, lease])
    try:
        made = site.ask(
            f"lease {asked}",
            lambda: site.blazar.lease.create(
                name=lease["name"],
                start=f"{wanted.start:{_BLAZAR_TIME}}" if wanted.start else "now",
                end=f"{end_at:{_BLAZAR_TIME}}",
                reservations=reservations,
                events=[],
            ),
        )
    except RefusedError as exc:  # so there is none; of one that was not answered nobody knows
        _drop(site, records, lease)
        raise catalogue.explained(site, exc, hosts, wanted.start or now, end_at) from exc
    lease |= _facts(made)
    _keep(site, records, lease)
    return lease


def _reservations(site: Site, resources: Iterable[Resource]) -> list[Record]:
    """Blazar's words for these resources, with a floating IP for each node; python-chi builds them."""
    import chi.lease

    plan = chi.lease.Lease("unused", duration=timedelta(hours=1))
    for resource, count in Counter(resources).items():
        if resource.kind == "node" and resource.by == "node_name":
            plan.add_node_reservation(amount=count, node_name=resource.value)
        elif resource.kind == "node":
            plan.add_node_reservation(amount=count, node_type=resource.value)
        elif resource.by == "name":
            plan.add_device_reservation(amount=count, device_name=resource.value)
        else:
            plan.add_device_reservation(amount=count, machine_type=resource.value)
    nodes = sum(resource.kind == "node" for resource in resources)
    if nodes:
        network = site.neutron.list_networks(name=site.settings["public_network"])["networks"]
        if not network:
            raise TestbedError(f"{site.name}: there is no network '{site.settings['public_network']}' for floating IPs")
        plan.fip_reservations.append(
            {"resource_type": "virtual:floatingip", "network_id": network[0]["id"], "amount": nodes}
        )
    return plan.node_reservations + plan.device_reservations + plan.fip_reservations


def _described(resources: Iterable[Resource]) -> str:
    counts = Counter(map(str, resources))
    words = [f"{count} {name}" for name, count in counts.items()]
    if nodes := sum(resource.kind == "node" for resource in resources):
        words.append(f"{nodes} floating IP{'s' if nodes > 1 else ''}")
    return ", ".join(words)


def end_of(start: datetime, hours: float) -> datetime:
    """The end of a lease that lasts at least so long: five minutes before an hour."""
    earliest = start + timedelta(hours=hours)
    end_at = earliest.replace(minute=END_MINUTE, second=0, microsecond=0)
    return end_at if end_at >= earliest else end_at + timedelta(hours=1)


def check_length(site: Site, start: datetime, end_at: datetime, now: datetime) -> None:
    """Raises TestbedError where the site would refuse the lease for its times."""
    limit = site.settings["max_lease_hours"]
    hours = (end_at - start) / timedelta(hours=1)
    if hours > limit:
        raise TestbedError(
            f"{site.name}: a lease may last {limit:g} h at most, and this one would last {hours:.0f} h. Set "
            "chameleon_lease_hours lower: what is not measured by its end goes on in a later lease"
        )
    if end_at <= now:
        raise TestbedError(
            f"{site.name}: the lease would end at {utc_text(end_at)}, which is over; see chameleon_lease_start"
        )


def _keep(site: Site, records: Records, lease: Record) -> None:
    records.change_leases(
        site.name, lambda leases: [lease if known["name"] == lease["name"] else known for known in leases]
    )


def _forget(site: Site, records: Records, lease: Record, now: datetime) -> None:
    """A lease that was given back: logs say when, records nothing any more."""
    for home in lease["homes"]:
        path = Path(home) / "leases.json"
        entries = _entries(path)
        for entry in entries:
            if entry["lease_id"] == lease["id"] and utc(entry["end_utc"]) > now:
                entry["released_utc"] = utc_text(now)
        if entries:
            _write_entries(path, entries)
    _drop(site, records, lease)


def _drop(site: Site, records: Records, lease: Record) -> None:
    records.change_leases(site.name, lambda leases: [known for known in leases if known["name"] != lease["name"]])


def _await_active(site: Site, records: Records, lease: Record, wanted: Wanted, now: datetime) -> None:
    """Wait until a lease is active; `lease` is then as it is."""

    def look() -> tuple[bool | None, str]:
        lease.update(_facts(site.ask("look at the lease", lambda: site.blazar.lease.get(lease["id"]))))
        if lease["status"] == "ACTIVE":
            return True, ""
        if lease["status"] not in ON_THE_WAY:
            raise TestbedError(f"{site.name}: lease {lease['name']} is {lease['status']} ({_trouble(lease)})")
        until = f", begins at {lease['start_utc']}" if utc(lease["start_utc"]) > datetime.now(UTC) else ""
        return None, lease["status"] + until

    until_start_s = max(0.0, (utc(lease["start_utc"]) - now).total_seconds())
    try:
        site.wait(f"lease {lease['name']}", look, until_start_s + wanted.wait_s, "chameleon_lease_wait_s")
    except UnavailableError:
        raise
    except TestbedError as exc:
        if lease["status"] in ON_THE_WAY or not wanted.clean_up:
            raise
        try:
            end(site, records, lease)
        except TestbedError as more:
            raise TestbedError(f"{exc}; nor could it be ended: {more}") from exc
        raise TestbedError(f"{exc}; it was ended. Play again to have a new one") from exc
    _keep(site, records, lease)


def _trouble(lease: Record) -> str:
    """As much as Blazar says of what went wrong with a lease."""
    bad = [one for one in lease["reservations"] if one["status"] == "error"]
    named = ", ".join(one["value"] or one["type"] for one in bad)
    return f"the reservation of {named} failed" if named else "the site does not say why"


# Time


def needed_until(lease: Record, wanted: Wanted, now: datetime) -> datetime:
    """When the hosts of a lease will be done, as far as that was estimated."""
    needed_s = max(
        (s for host, s in (wanted.needed_s or {}).items() if host in lease["hosts"] or not lease["ours"]), default=0
    )
    return now + timedelta(seconds=math.ceil(needed_s))


def _extend(site: Site, records: Records, lease: Record, wanted: Wanted, now: datetime) -> bool:
    """Extend a lease that will not suffice, where that is wanted and allowed; say so where it is not."""
    end_at, needed = utc(lease["end_utc"]), needed_until(lease, wanted, now)
    if needed <= end_at or not wanted.extend:
        return False
    new_end = end_of(needed, 0)
    window = timedelta(hours=site.settings["extend_within_hours"])
    if end_at - now > window:
        site.say(
            f"{site.name}: lease {lease['name']} can be extended in its last "
            f"{site.settings['extend_within_hours']:g} h only; play again then"
        )
        return False
    new_end = min(new_end, end_of(now, site.settings["max_lease_hours"] - 1))
    try:
        site.ask(
            f"extend lease {lease['name']} until {utc_text(new_end)}",
            lambda: site.blazar.lease.update(lease["id"], end_date=f"{new_end:{_BLAZAR_TIME}}"),
        )
    except RefusedError as exc:
        site.say(str(exc))
        return False
    _await_active(site, records, lease, wanted, now)
    if utc(lease["end_utc"]) <= end_at:
        return False
    site.say(f"{site.name}: lease {lease['name']} is extended until {lease['end_utc']}")
    return True


def _too_short(site: Site, lease: Record, wanted: Wanted, now: datetime) -> list[str]:
    end_at, needed = utc(lease["end_utc"]), needed_until(lease, wanted, now)
    if needed <= end_at:
        return []
    share = max(0.0, (end_at - now) / (needed - now))
    return [
        f"{site.name}: lease {lease['name']} ends at {lease['end_utc']}, and measuring would take until about "
        f"{utc_text(needed)}: it will get through about {100 * share:.0f} %; the rest goes on in a later lease"
    ]


# The logs' own record


def _entries(path: Path) -> list[Record]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _write_entries(path: Path, entries: list[Record]) -> None:
    with suppress(OSError):  # the logs may have been moved away; then they keep the agreed end
        if path.parent.exists():
            partial = path.with_suffix(".new")
            partial.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
            partial.replace(path)
