# Copyright the edgebench developers. Apache-2.0.
"""What a site has, and when: misspelt names are found before anything is leased, and what to try when it is taken."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    RefusedError,
    TestbedError,
    UnavailableError,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import utc_text
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site

if TYPE_CHECKING:
    from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import Resource

# Kind of resource -> its path at Blazar (devices are an addition of Chameleon's).
_PATHS = {"node": "os-hosts", "device": "devices"}


def resources(site: Site, kind: str) -> list[dict[str, Any]] | None:
    """The nodes or devices of a site, with their properties; None where we may not read that."""
    path = _PATHS[kind]
    try:
        _, body = site.ask(f"list {path}", lambda: site.blazar.lease.request_manager.get(f"/{path}"))
    except (RefusedError, UnavailableError):
        return None
    return body.get("hosts" if kind == "node" else "devices")


def check(site: Site, wanted: Iterable[Resource]) -> None:
    """Raises TestbedError for a name that the site does not have, with those that are near."""
    known: dict[str, list[dict[str, Any]] | None] = {}
    for resource in wanted:
        if resource.kind not in known:
            known[resource.kind] = resources(site, resource.kind)
        there = {str(one[resource.by]) for one in known[resource.kind] or () if one.get(resource.by)}
        if there and resource.value not in there:
            near = difflib.get_close_matches(resource.value, there, n=3, cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else f"; it has {', '.join(sorted(there)[:12])}"
            raise TestbedError(f"{site.name} has no {resource.by} '{resource.value}'{hint}")


def explained(
    site: Site, refusal: RefusedError, hosts: Mapping[str, Resource], start: datetime, end: datetime
) -> TestbedError:
    """Blazar's refusal of a lease with what to try next; "not enough" is all that it says itself."""
    if "not enough" not in refusal.reason.lower():
        return refusal
    facts = [f"wanted {_listed(hosts)} from {utc_text(start)} until {utc_text(end)}"]
    facts += filter(None, (_taken(site, resource, hosts, start, end) for resource in dict.fromkeys(hosts.values())))
    return TestbedError(
        f"{site.name}: {refusal.reason.rstrip('.')}: {'; '.join(facts)}. Try a later start "
        "(-e 'chameleon_lease_start=\"YYYY-MM-DD HH:MM\"', UTC), a shorter lease (-e chameleon_lease_hours=...), "
        f"another type, or leave hosts out (--limit 'all:!{next(iter(hosts))}')"
    )


def _listed(hosts: Mapping[str, Resource]) -> str:
    values = [str(resource) for resource in hosts.values()]
    return ", ".join(f"{values.count(value)} {value}" for value in dict.fromkeys(values))


def _taken(site: Site, resource: Resource, hosts: Mapping[str, Resource], start: datetime, end: datetime) -> str:
    """How many of a resource are free in this time, and when enough are; "" if unknown, or if enough are."""
    spans = reserved(site, resource)
    if not spans:
        return ""
    wanted = list(hosts.values()).count(resource)

    def free(begin: datetime) -> int:
        until = begin + (end - start)
        return sum(all(last <= begin or first >= until for first, last in taken) for taken in spans.values())

    available = free(start)
    if available >= wanted:
        return ""
    words = f"{available} of {len(spans)} {resource} free then, {wanted} wanted"
    ends = sorted({last for taken in spans.values() for _, last in taken if last > start})
    later = next((moment for moment in ends if free(moment) >= wanted), None)
    if later:  # a lease ends and the next one begins in the same minute: leave some for tidying up
        words += f"; enough from {(later + timedelta(minutes=5)):%Y-%m-%d %H:%M} UTC on"
    return words


def reserved(site: Site, resource: Resource) -> dict[str, list[tuple[datetime, datetime]]] | None:
    """From when until when each of a resource is reserved, by its id; None where we may not read that.

    Those that nobody can reserve (maintenance) are left out.
    """
    there = resources(site, resource.kind)
    path = _PATHS[resource.kind]
    try:
        allocations = site.ask(f"list reservations of {path}", lambda: site.blazar.allocation.list(path))
    except (RefusedError, UnavailableError):
        return None
    if not there:
        return None
    spans = {str(one["resource_id"]): list(map(_span, one["reservations"])) for one in allocations}
    fitting = [one for one in there if str(one.get(resource.by)) == resource.value and one.get("reservable", True)]
    return {str(one["id"]): spans.get(str(one["id"]), []) for one in fitting}


def _span(reservation: Mapping[str, str]) -> tuple[datetime, datetime]:
    first, last = (datetime.fromisoformat(reservation[key]).replace(tzinfo=UTC) for key in ("start_date", "end_date"))
    return first, last
