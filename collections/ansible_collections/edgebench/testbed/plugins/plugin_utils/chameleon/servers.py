# Copyright the edgebench developers. Apache-2.0.
"""Bare-metal servers of a site: booted by Nova, reached over SSH at a floating IP of the lease."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    GoneError,
    RefusedError,
    TestbedError,
    UnavailableError,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import OWNER, Asked, Machines
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Record

# Between these lines cloud-init shows the host's public keys (cloudinit/config/cc_keys_to_console.py).
_KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})")


class Servers(Machines):
    """Options of Asked: image, key, flavor, network, known_hosts."""

    kind = "server"
    READY = "ACTIVE"
    BROKEN = ("ERROR", "DELETED", "SOFT_DELETED")

    def get(self, machine_id: str) -> Any:
        return self.site.ask("look at the server", lambda: self.site.nova.servers.get(machine_id))

    def named(self, name: str) -> list[Any]:
        found = self.site.ask("list servers", lambda: self.site.nova.servers.list(search_opts={"name": name}))
        return [one for one in found if one.name == name]  # Nova takes the name for a regular expression

    def id_of(self, machine: Any) -> str:
        return machine.id

    def state(self, machine: Any) -> str:
        return machine.status

    def describe(self, machine: Any) -> str:
        fault = (getattr(machine, "fault", None) or {}).get("message", "")
        return machine.status + (f" ({fault})" if fault else "")

    def owner_of(self, machine: Any) -> str:
        return machine.metadata.get(OWNER, "")

    def prepare(self, asked: Asked) -> None:
        self.image(asked.options["image"])
        self.key(asked.options["key"])

    def image(self, name: str) -> str:
        """The id of the image of this name (or id).

        Raises:
            TestbedError: there is none, or more than one.
        """
        site = self.site
        found = site.ask("list images", lambda: list(site.glance.images.list(filters={"name": name})))
        if len(found) == 1:
            return found[0]["id"]
        with suppress(RefusedError):
            return site.ask("look at the image", lambda: site.glance.images.get(name))["id"]
        if found:
            raise TestbedError(
                f"{site.name} has {len(found)} images named '{name}'; take the id of one of them: "
                f"{', '.join(one['id'] for one in found)} (chameleon_sites['{site.name}'].image)"
            )
        raise TestbedError(
            f"{site.name} has no image '{name}'; see Images in its web interface (chameleon_sites['{site.name}'].image)"
        )

    def key(self, name: str) -> Any:
        """The key pair of this name.

        Raises:
            TestbedError: there is none.
        """
        setting = f"chameleon_sites['{self.site.name}'].key"
        if not name:
            raise TestbedError(f"{self.site.name}: no SSH key is named, so nobody could log in; set {setting}")
        try:
            return self.site.ask("look at the key pair", lambda: self.site.nova.keypairs.get(name))
        except GoneError:
            known = self.site.ask("list key pairs", lambda: [one.name for one in self.site.nova.keypairs.list()])
            raise TestbedError(
                f"{self.site.name} has no key pair '{name}' of yours (it has {', '.join(known) or 'none'}); import "
                f"your public key there (Compute, Key Pairs), and set {setting}"
            ) from None

    def create(self, asked: Asked, reservation: str, owner: str) -> str:
        site, options = self.site, asked.options
        image = self.image(options["image"])
        networks = site.ask("list networks", lambda: site.neutron.list_networks(name=options["network"])["networks"])
        flavors = site.ask("list flavors", lambda: site.nova.flavors.list())
        flavor = next((one for one in flavors if one.name == options["flavor"]), None)
        if not networks or flavor is None:
            what = f"network '{options['network']}'" if not networks else f"flavor '{options['flavor']}'"
            raise TestbedError(f"{site.name} has no {what} (chameleon_sites['{site.name}'])")
        return site.ask(
            f"boot {asked.name}",
            lambda: site.nova.servers.create(
                asked.name,
                image=image,
                flavor=flavor,
                key_name=options["key"],
                nics=[{"net-id": networks[0]["id"]}],
                scheduler_hints={"reservation": reservation},
                meta={OWNER: owner},
            ),
        ).id

    def remove(self, machine_id: str) -> None:
        with suppress(GoneError):
            self.site.ask("delete the server", lambda: self.site.nova.servers.delete(machine_id))

    def complete(self, asked: Asked, record: Record, machine: Any) -> tuple[Record, bool]:
        """Give it its address, and learn its host key."""
        changed = False
        record = self._with_floating_ip(asked, record)
        if self._attach(record):
            changed = True
        node = getattr(machine, "OS-EXT-SRV-ATTR:hypervisor_hostname", None)  # not every site tells
        if record.get("host_key") is None:
            record |= {"node": node, "known_hosts": asked.options["known_hosts"]}
            record |= {"host_key": self._learn_host_key(asked, record)}
            self.records.keep_machine(asked.host, record)
            changed = True
        return record, changed

    def _with_floating_ip(self, asked: Asked, record: Record) -> Record:
        """Note which of the lease's addresses is this server's."""
        if record.get("floating_ip_id"):
            return record
        reservation = leases.floating_ip_reservation(asked.lease)
        if reservation is None:
            raise TestbedError(
                f"{self.site.name}: lease {asked.lease['name']} has no floating IP, so {asked.host} cannot be reached"
            )
        found = self.site.ask("list floating IPs", lambda: self.site.neutron.list_floatingips()["floatingips"])
        ours = [one for one in found if f"reservation:{reservation}" in (one.get("tags") or ())]
        with self.records.one_at_a_time():
            taken = {other.get("floating_ip_id") for other in self.records.machines(self.site.name).values()}
            free = [one for one in ours if one["id"] not in taken and not one["port_id"]]
            if not free:
                raise TestbedError(
                    f"{self.site.name}: all {len(ours)} floating IPs of lease {asked.lease['name']} are in use, and "
                    f"none is left for {asked.host}"
                )
            record |= {"floating_ip_id": free[0]["id"], "address": free[0]["floating_ip_address"]}
            self.records.keep_machine(asked.host, record)
        return record

    def _attach(self, record: Record) -> bool:
        """Ensure that the address leads to the server; return whether it did not."""
        neutron = self.site.neutron
        ports = self.site.ask("list ports", lambda: neutron.list_ports(device_id=record["id"])["ports"])
        if not ports:
            raise TestbedError(f"{self.site.name}: server {record['name']} has no network port")
        address = self.site.ask(
            "look at the floating IP", lambda: neutron.show_floatingip(record["floating_ip_id"])["floatingip"]
        )
        if address["port_id"] == ports[0]["id"]:
            return False
        self.site.ask(
            f"attach {record['address']} to {record['name']}",
            lambda: neutron.update_floatingip(address["id"], {"floatingip": {"port_id": ports[0]["id"]}}),
        )
        return True

    def _learn_host_key(self, asked: Asked, record: Record) -> str:
        """Put the server's host keys in known_hosts, from its console where that shows them.

        Returns:
            "console", or "first contact": nobody vouches for the key, and SSH takes what it is shown the first time.
        """
        address, known_hosts = record["address"], Path(asked.options["known_hosts"])
        wait_s, open_since = float(asked.options["console_wait_s"]), []

        def look() -> tuple[str | None, str]:
            with suppress(RefusedError, UnavailableError):  # not every site has a console
                text = self.site.ask(
                    "read the console", lambda: self.site.nova.servers.get_console_output(record["id"])
                )
                if keys := host_keys(text or ""):
                    return "".join(f"{address} {key}\n" for key in keys), ""
            if not wait_s:
                return "", ""
            if _answers(address):
                open_since.append(time.monotonic())
                if time.monotonic() - open_since[0] >= wait_s:
                    return "", ""
                return None, "answering, its console shows no host key yet"
            return None, f"up, and {address} does not answer yet"

        lines = self.site.wait(f"SSH of {asked.host}", look, asked.wait_s, "chameleon_machine_wait_s")
        with self.records.one_at_a_time():
            forget_host_keys(known_hosts, address)  # those of whoever had the address before
            if lines:
                known_hosts.parent.mkdir(parents=True, exist_ok=True)
                with known_hosts.open("a", encoding="ascii") as file:
                    file.write(lines)
        if not lines:
            self.site.say(
                f"{asked.host}: its console shows no host key; the one of the first contact with {address} is taken"
            )
        return "console" if lines else "first contact"

    def forget(self, record: Record) -> None:
        if record.get("address") and record.get("known_hosts"):
            forget_host_keys(Path(record["known_hosts"]), record["address"])


def host_keys(console: str) -> list[str]:
    """The public host keys that cloud-init printed last on a console, as `TYPE BASE64`."""
    blocks = _KEYS.findall(console.replace("\r", ""))
    return [" ".join(key) for key in _KEY.findall(blocks[-1])] if blocks else []


def forget_host_keys(known_hosts: Path, address: str) -> None:
    """Remove an address from a known_hosts file, in which it may stand in the clear or hashed."""
    if known_hosts.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-R", address, "-f", str(known_hosts)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        known_hosts.with_name(f"{known_hosts.name}.old").unlink(missing_ok=True)


def _answers(address: str) -> bool:
    """Whether an SSH server introduces itself there."""
    try:
        with socket.create_connection((address, 22), timeout=3) as connection:
            connection.settimeout(3)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
