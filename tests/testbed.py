"""Sites of the Chameleon lab, as the plugins of the collection see them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import Resource, Wanted
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import SETTINGS, Site

from tests.labs.chilab import UC, ChiLab

SKYLAKE = Resource("node", "node_type", "compute_skylake")
CASCADELAKE = Resource("node", "node_type", "compute_cascadelake")
PI = Resource("device", "machine_name", "raspberrypi4-64")
PI5 = Resource("device", "machine_name", "raspberrypi5")
KEY = "laptop"
IMAGE = "CC-Ubuntu22.04"


class Bed:
    """What a controller has: credentials, records, and what was said to its user."""

    def __init__(self, lab: ChiLab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.clouds = directory / "clouds.yaml"
        self.clouds.write_text(lab.clouds_yaml())
        self.records = Records(directory / "state")
        self.said: list[str] = []

    def settings(self, name: str = UC, **more: Any) -> dict[str, Any]:
        """A site's settings, all of them."""
        given = {"name": name, "credentials": str(self.clouds), "image": IMAGE, "key": KEY}
        return {key: spec.get("default") for key, spec in SETTINGS.items()} | given | more

    def site(self, name: str = UC, **more: Any) -> Site:
        site = Site(self.settings(name, **more), self.said.append)
        site.poll_s = 0.3
        return site


def wanted(*hosts: Resource, **more: Any) -> Wanted:
    """A lease of an hour for hosts h0, h1, ..."""
    return Wanted({f"h{i}": host for i, host in enumerate(hosts)}, **{"name": "test", "hours": 1} | more)


def now() -> datetime:
    return datetime.now(UTC)
