# Copyright the edgebench developers. Apache-2.0.
"""The end of everything of ours at a site."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.containers import Containers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import Machines
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Record, Records
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.servers import Servers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site

KINDS: dict[str, type[Machines]] = {kind.kind: kind for kind in (Servers, Containers)}


def of_kind(record: Record, site: Site, records: Records) -> Machines:
    """What works with a machine on record."""
    return KINDS[record["kind"]](site, records)


def on_record(records: Records, site: str) -> list[str]:
    """What is ours at a site, in words."""
    machines = [f"{record['kind']} {record['name']}" for record in records.machines(site).values()]
    return [*machines, *(f"lease {lease['name']}" for lease in records.leases(site))]


def end_everything(site: Site, records: Records, keep: Collection[str], wait_s: float) -> list[str]:
    """Delete machines and end leases on record; return what is left, each with the reason. Goes on after an error.

    Args:
        site: where.
        records: of what is ours.
        keep: hosts whose machines, where they are still there, stay, since their logs are not home.
        wait_s: for each end, in seconds.

    Raises:
        TestbedError: the site cannot be logged in to.
    """
    site.login()
    left = []
    for host, record in records.machines(site.name).items():
        if host in keep and of_kind(record, site, records).find(record) is not None:
            left.append(
                f"{record['kind']} {record['name']}: what it has measured is not home and cannot be had now "
                "(-e chameleon_teardown_force=true ends it all the same, and that is lost)"
            )
            continue
        try:
            of_kind(record, site, records).delete(host, wait_s)
        except TestbedError as exc:
            left.append(f"{record['kind']} {record['name']} ({record['id'] or 'id unknown'}): {exc}")
    return left + leases.end_all(site, records, wait_s)
