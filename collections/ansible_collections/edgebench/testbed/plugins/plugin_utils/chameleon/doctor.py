# Copyright the edgebench developers. Apache-2.0.
"""Looks at a site before anything is leased: what is right there, and what to do about what is not. Changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import catalogue, credentials
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import (
    GoneError,
    RefusedError,
    TestbedError,
    UnavailableError,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import OVER, Resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Record, Records, utc_text
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.servers import Servers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import Site, silence

OK, WRONG, UNKNOWN = "ok", "WRONG", "unknown"

ANSWER_S = 10  # a site that takes longer for a greeting is no use
CLOCK_S = 60  # leases begin and end by the minute

# What hosts of a kind need of a site: types in Keystone's catalogue.
_SERVICES = {"node": ("compute", "image", "network"), "device": ("container",)}
_DECIMALS = re.compile(r"\.\d+$")


class Host(NamedTuple):
    """What the inventory says of a host.

    Attributes:
        resource: what it is.
        image: that it boots; "" = the site's.
        private_key: path of the key that Ansible logs in with; "" = not said.
    """

    resource: Resource
    image: str = ""
    private_key: str = ""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a site.

    Attributes:
        hosts: those of the inventory that are at the site.
        prefix: the leases' names begin with it.
        start: of the lease; None = now.
    """

    hosts: Mapping[str, Host]
    prefix: str
    start: datetime | None = None


class Row(NamedTuple):
    """One check of a site.

    Attributes:
        site: its name.
        check: what was looked at.
        state: ok, WRONG or unknown.
        found: in words.
        todo: what to do; "" for nothing.
    """

    site: str
    check: str
    state: str
    found: str
    todo: str = ""


class _UnknownError(TestbedError):
    """It cannot be told whether this is right."""


def examine(
    settings: Mapping[str, Any],
    wanted: Wanted,
    records: Records,
    now: datetime,
    connect: Callable[[Mapping[str, Any]], Site] = Site,
) -> list[Row]:
    """Check a site, and return a row for each check; where that needs another one that went wrong, it is unknown.

    Args:
        settings: of the site, as in site.SETTINGS.
        wanted: of it.
        records: of what is ours.
        now: in UTC.
        connect: makes a Site of its settings.
    """
    examination = _Examination(settings, wanted, records, now, connect)
    examination.run()
    return examination.rows


class _Examination:
    """Each check returns what it found, or raises TestbedError with what is wrong, and what to do, in one line."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        wanted: Wanted,
        records: Records,
        now: datetime,
        connect: Callable[[Mapping[str, Any]], Site],
    ) -> None:
        self.name, self.settings, self.wanted, self.records = settings["name"], settings, wanted, records
        self.now, self.connect = now, connect
        self.rows: list[Row] = []
        self.auth_url = settings["auth_url"]
        self.key = ""  # fingerprint of the key pair
        self.leases: list[Record] = []  # on record, and so are these:
        self.machines: dict[str, Record] = {}
        self.unreadable: TestbedError | None = None
        try:
            self.leases, self.machines = records.leases(self.name), records.machines(self.name)
        except TestbedError as exc:
            self.unreadable = exc

    def run(self) -> None:
        nodes = [host for host in self.wanted.hosts.values() if host.resource.kind == "node"]
        devices = [host for host in self.wanted.hosts.values() if host.resource.kind == "device"]
        self.check("credentials", self.credentials)
        self.check("reachability", self.reachability)
        self.check("clock", self.clock, "reachability")
        self.check("login", self.login, "credentials", "reachability")
        self.check("project", self.project, "login")
        for service in ("reservation", *(one for kind in _kinds(self.wanted) for one in _SERVICES[kind])):
            self.check(f"{service} service", lambda service=service: self.service(service), "login")
        if nodes:
            self.check("key pair", self.key_pair, "compute service")
            for path in _distinct(host.private_key for host in nodes):
                self.check("private key", lambda path=path: self.private_key(path))
            for image in _distinct(host.image or self.settings["image"] for host in nodes):
                self.check("image", lambda image=image: self.image(image), "image service")
            self.check("flavor", self.flavor, "compute service")
            for setting in ("network", "public_network"):
                self.check(setting.replace("_", " "), lambda setting=setting: self.network(setting), "network service")
            self.check("floating IPs", self.floating_ips, "network service")
        for image in _distinct(host.image or self.settings["image"] for host in devices):
            self.check("image", lambda image=image: self.container_image(image))
        if self.settings["lease_id"]:
            self.check("your lease", self.own_lease, "reservation service")
        for resource in _distinct(host.resource for host in self.wanted.hosts.values()):
            self.check(str(resource), lambda resource=resource: self.resource(resource), "reservation service")
        self.check("on record", self.on_record)
        self.check("not on record", self.not_on_record, "reservation service")

    def check(self, check: str, look: Callable[[], str], *needs: str) -> None:
        """Add a row, of a check that needs others to be right first."""
        if missing := [need for need in needs if not self.is_right(need)]:
            self.rows.append(Row(self.name, check, UNKNOWN, f"not looked at, since it needs: {missing[0]}"))
            return
        try:
            self.rows.append(Row(self.name, check, OK, look()))
        except TestbedError as exc:
            state = UNKNOWN if isinstance(exc, UnavailableError | _UnknownError) else WRONG
            self.rows.append(Row(self.name, check, state, *_parted(self.name, exc)))

    def is_right(self, check: str) -> bool:
        return any(row.check == check and row.state == OK for row in self.rows)

    def setting(self, name: str) -> str:
        """Where the user sets it."""
        return f"chameleon_sites['{self.name}'].{name}"

    # The way there

    def credentials(self) -> str:
        found = credentials.find(self.name, self.settings, os.environ)
        self.auth_url = found.auth["auth_url"]
        self.site = self.connect(self.settings)
        return found.source

    def reachability(self) -> str:
        setting = self.setting("auth_url")
        if not self.auth_url:
            raise TestbedError(f"there is no address to ask; set {setting}")
        began = time.time()
        answer, took_ms = _get(self.auth_url, f"is {setting} right, and is there a way there (network, VPN, proxy)?")
        self.offset_s = _offset_s(answer.headers.get("Date"), (began + time.time()) / 2)
        if answer.status_code >= 400:
            raise TestbedError(
                f"{self.auth_url} answers {answer.status_code} {answer.reason}; {setting} must be the address of "
                "Keystone, which ends in /v3"
            )
        return f"{self.auth_url} answers in {took_ms:.0f} ms"

    def clock(self) -> str:
        if self.offset_s is None:
            raise _UnknownError("the site does not say what time it is")
        if abs(self.offset_s) > CLOCK_S:
            where = "ahead of" if self.offset_s > 0 else "behind"
            raise TestbedError(
                f"this machine's clock is {abs(self.offset_s):.0f} s {where} the site's; set it (timedatectl set-ntp "
                "true), since leases and tokens go by time"
            )
        return f"within {abs(self.offset_s) + 1:.0f} s of the site's"  # which tells whole seconds

    def login(self) -> str:
        session = self.site.ask("log in", lambda: self.site.chi.session())
        self.access = self.site.ask("log in", lambda: session.session.auth.get_access(session.session))
        return f"as {self.access.username}{self._application_credential(session)}"

    def _application_credential(self, session: Any) -> str:
        """What Keystone says of the application credential that we are, in words."""
        if not getattr(self.access, "application_credential_id", None):
            return ""
        path = f"/users/{self.access.user_id}/application_credentials/{self.access.application_credential_id}"
        with suppress(TestbedError):  # not every site lets it ask of itself
            answer = self.site.ask(
                "look at the credential", lambda: session.get(self.auth_url.rstrip("/") + path).json()
            )
            known = answer["application_credential"]
            words = f", by application credential {known['name']}"
            if known.get("expires_at"):
                words += f" (until {_DECIMALS.sub('', known['expires_at'])} UTC)"
            if not known.get("unrestricted"):
                words += " (restricted: if a lease ends in an internal error of the site, make an unrestricted one)"
            return words
        return ", by application credential"

    def project(self) -> str:
        self.site.login()
        return self.access.project_name

    def service(self, kind: str) -> str:
        session = self.site.chi.session()
        address = self.site.ask(f"find the {kind} service", lambda: session.get_endpoint(service_type=kind))
        advice = "the site may be down for maintenance: see its web interface"
        answer, took_ms = _get(address, advice)
        if answer.status_code >= 500:
            raise TestbedError(f"{address} answers {answer.status_code} {answer.reason}; {advice}")
        return f"answers in {took_ms:.0f} ms"

    # What servers need

    def key_pair(self) -> str:
        pair = Servers(self.site, self.records).key(self.settings["key"])
        self.key = _fingerprint("-", pair.public_key.encode())
        return f"{self.settings['key']} ({self.key or 'of a kind that ssh-keygen does not know'})"

    def private_key(self, path: str) -> str:
        if not path:
            raise _UnknownError(
                "ansible_ssh_private_key_file is not set, so ssh takes what it finds; set it to the key pair's file"
            )
        found = private_key_fingerprint(path)
        if not self.key:
            raise _UnknownError(f"{path} can be used ({found}); whether it is of the key pair cannot be told")
        if found != self.key:
            raise TestbedError(
                f"{path} is another key ({found}) than key pair {self.settings['key']} ({self.key}); set "
                f"ansible_ssh_private_key_file to that one's file, or {self.setting('key')} to the name of this one"
            )
        return f"{path} is of the key pair"

    def image(self, name: str) -> str:
        if not name:
            raise TestbedError(f"none is named; set {self.setting('image')}")
        return f"{name} ({Servers(self.site, self.records).image(name)})"

    def flavor(self) -> str:
        wanted, site = self.settings["flavor"], self.site
        known = [one.name for one in site.ask("list flavors", lambda: site.nova.flavors.list())]
        if wanted not in known:
            raise TestbedError(
                f"there is no flavor '{wanted}', only {', '.join(known) or 'none'}; set {self.setting('flavor')}"
            )
        return wanted

    def network(self, setting: str) -> str:
        wanted, site = self.settings[setting], self.site
        known = site.ask("list networks", lambda: site.neutron.list_networks(fields=["name"])["networks"])
        names = sorted(one["name"] for one in known)
        if wanted not in names:
            raise TestbedError(
                f"there is no network '{wanted}', only {', '.join(names) or 'none'}; set {self.setting(setting)}"
            )
        return wanted

    def floating_ips(self) -> str:
        """A server needs one, which comes with the lease."""
        site, needed = self.site, sum(host.resource.kind == "node" for host in self._without_lease())
        try:
            answer = site.ask("read the quota", lambda: site.neutron.show_quota_details(self.access.project_id))
            quota = answer["quota"]["floatingip"]
        except (RefusedError, KeyError):
            raise _UnknownError("the site does not tell the project's quota") from None
        used, limit = quota["used"] + quota["reserved"], quota["limit"]
        if limit < 0:
            return f"{used} used, without limit"
        words = f"{used} of {limit} used, {needed} wanted"
        if used + needed > limit:
            raise TestbedError(
                f"{words}; release some (Network, Floating IPs), ask the site for more, or leave hosts out (--limit)"
            )
        return words

    # What containers need

    def container_image(self, name: str) -> str:
        if not name:
            raise TestbedError(
                f"none is named; set {self.setting('image')} to one for the devices' architecture (arm64), such as "
                "python:3.11"
            )
        return f"{name} (pulled by the device; not looked up)"

    # What is there, and what is ours of it

    def on_record(self) -> str:
        """What of it is at the site under other names nobody could tell."""
        if self.unreadable:
            raise self.unreadable
        there = self._there if self.is_right("reservation service") else None
        broken = [one["name"] for one in self.leases if there and there.get(one["id"], {}).get("status") == "ERROR"]
        if broken:
            raise TestbedError(
                f"lease {', '.join(broken)} is in ERROR; the next play replaces it (chameleon_lease_on_error), "
                "playbooks/teardown.yml ends it"
            )
        words = [_lease_words(lease, there) for lease in self.leases]
        words += [
            f"{machine['kind']} {machine['name']}" + (f" at {machine['address']}" if machine.get("address") else "")
            for machine in self.machines.values()
        ]
        return "; ".join(words) or "nothing"

    def not_on_record(self) -> str:
        """Leases that look like ours and that nobody would end."""
        if self.unreadable:
            raise _UnknownError("not looked at, since it needs: on record")
        known = {lease["name"] for lease in self.leases}
        others = [
            f"{lease['name']} ({lease['status']} until {_blazar_time(lease['end_date'])}, made by "
            f"{'you' if lease['user_id'] == self.access.user_id else 'somebody else'})"
            for lease in self._there.values()
            if lease["name"].startswith(f"{self.wanted.prefix}-") and lease["name"] not in known
            if lease["status"] not in OVER
        ]
        if others:
            raise _UnknownError(
                f"{', '.join(others)}; if one is yours, and of no other checkout or computer, its record is lost: end "
                "it in the site's web interface (Reservations, Leases)"
            )
        return f"no lease of the project named {self.wanted.prefix}-..."

    @cached_property
    def _there(self) -> dict[str, Any]:
        """The project's leases, by id."""
        found = self.site.ask("list leases", lambda: self.site.blazar.lease.list())
        return {lease["id"]: lease for lease in found}

    def own_lease(self) -> str:
        lease_id, site = self.settings["lease_id"], self.site
        advice = f"name another one in {self.setting('lease_id')}, or none to have one made"
        try:
            lease = site.ask(f"look at lease {lease_id}", lambda: site.blazar.lease.get(lease_id))
        except GoneError:
            raise TestbedError(f"there is no lease of this id ({lease_id}); {advice}") from None
        words = f"{lease['name']}, {lease['status']} until {_blazar_time(lease['end_date'])}"
        if lease["status"] in (*OVER, "ERROR"):
            raise TestbedError(f"{words}; {advice}")
        return words

    def resource(self, resource: Resource) -> str:
        catalogue.check(self.site, [resource])
        wanted = [host.resource for host in self.wanted.hosts.values()].count(resource)
        at = self.wanted.start or self.now
        there = free_at(self.site, resource, at)
        if there is None:
            raise _UnknownError(
                "the site does not let us read what it has and what of it is free; see its web interface (Reservations)"
            )
        free, total = there
        when = f"on {at:%Y-%m-%d %H:%M} UTC" if self.wanted.start else "now"
        words = f"{free} of {total} free {when}"
        if wanted > total:
            raise TestbedError(f"{total} there, {wanted} wanted; leave hosts out (--limit), or take another type")
        if self.settings["lease_id"]:
            return words
        wanted = [host.resource for host in self._without_lease()].count(resource)
        if wanted > free:
            raise TestbedError(
                f"{words}, {wanted} wanted; lease later (-e 'chameleon_lease_start=\"YYYY-MM-DD HH:MM\"', UTC; the "
                "site's web interface shows when), or another type"
            )
        return f"{words}, {wanted} wanted"

    def _without_lease(self) -> list[Host]:
        leased = {host for lease in self.leases for host in lease["hosts"]}
        return [wanted for host, wanted in self.wanted.hosts.items() if host not in leased]


def free_at(site: Site, resource: Resource, at: datetime) -> tuple[int, int] | None:
    """How many of a resource nobody has at a time, and how many there are; None where we may not read that."""
    spans = catalogue.reserved(site, resource)
    if spans is None:
        return None
    free = [taken for taken in spans.values() if not any(first <= at < last for first, last in taken)]
    return len(free), len(spans)


# Keys


def private_key_fingerprint(path: str) -> str:
    """The fingerprint (SHA256:...) of a private key that ssh can use without asking anybody.

    Raises:
        TestbedError: there is none, or ssh could not use it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise TestbedError(f"there is no {path}; set ansible_ssh_private_key_file to the private key of the key pair")
    shown = _ssh_keygen("-y", "-P", "", "-f", str(file))
    if shown.returncode == 0:
        return _fingerprint("-", shown.stdout)
    said = shown.stderr.decode(errors="replace")
    if "bad permissions" in said:
        raise TestbedError(f"{path} can be read by others, so ssh refuses it; chmod 600 {path}")
    if "passphrase" not in said:
        raise TestbedError(f"{path} is no private key that ssh can read; set ansible_ssh_private_key_file to one")
    fingerprint = _fingerprint(str(file))
    agent = subprocess.run(["ssh-add", "-l"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if fingerprint and fingerprint in agent.stdout.split():
        return fingerprint
    raise TestbedError(f"{path} has a passphrase, and no agent holds it, so plays cannot use it; ssh-add {path}")


def _fingerprint(file: str, stdin: bytes = b"") -> str:
    """Of a key in a file, or, for "-", on stdin; "" when it cannot be had."""
    words = _ssh_keygen("-l", "-f", file, stdin=stdin).stdout.decode(errors="replace").split()
    return next((word for word in words if word.startswith("SHA256:")), "")


def _ssh_keygen(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *args], input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise _UnknownError("there is no ssh-keygen on this machine; install OpenSSH's client") from None


# The web


def _get(url: str, advice: str) -> tuple[Any, float]:
    """Return the answer to a GET, and how long it took, in ms.

    Raises:
        TestbedError: there is none.
    """
    import requests

    try:
        answer = requests.get(url, timeout=ANSWER_S)
    except (requests.RequestException, ValueError) as exc:  # ValueError: an address that is none
        raise TestbedError(f"no answer from {url} ({silence(exc)}); {advice}") from exc
    return answer, answer.elapsed.total_seconds() * 1000


def _offset_s(date: str | None, here_s: float) -> float | None:
    """How far we are ahead of a Date header; None where it does not tell."""
    with suppress(TypeError, ValueError):
        return here_s - parsedate_to_datetime(date).timestamp()
    return None


# Words


def _parted(site: str, exc: TestbedError) -> tuple[str, str]:
    """What an error found, and what it says to do; what a service or library said is left in one piece."""
    message = str(exc).removeprefix(f"{site}: ").removeprefix(f"{site} ")
    if isinstance(exc, UnavailableError) or (isinstance(exc, RefusedError) and exc.reason and exc.reason in message):
        return message, ""
    parts = re.split(r"; |\. (?=[A-Z])", message, maxsplit=1)
    return parts[0], "".join(parts[1:])


def _lease_words(lease: Record, there: Mapping[str, Any] | None) -> str:
    """A lease on record, and how it is among those that are there (None: nobody knows)."""
    if not lease["id"]:
        return f"lease {lease['name']} (asked for at {lease['asked_utc']}, no answer)"
    found = {} if there is None else there.get(lease["id"], {"status": "not there any more"})
    end = _blazar_time(found["end_date"]) if "end_date" in found else lease["end_utc"]
    hosts = f" for {', '.join(lease['hosts'])}" if lease["hosts"] else ""
    state = f"{found['status']}, " if found else ""
    return f"{'' if lease['ours'] else 'your '}lease {lease['name']} ({state}until {end}){hosts}"


def _blazar_time(text: str) -> str:
    return utc_text(datetime.fromisoformat(text).replace(tzinfo=UTC))


def _kinds(wanted: Wanted) -> list[str]:
    return _distinct(host.resource.kind for host in wanted.hosts.values())


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def table(rows: Iterable[Row], width: int = 120) -> str:
    """The rows as text, a block for each site, in lines of at most `width` characters where words allow it."""
    rows = list(rows)
    column = max((len(row.check) for row in rows), default=0)
    lines = []
    for site in _distinct(row.site for row in rows):
        lines += ["", site] if lines else [site]
        for row in (row for row in rows if row.site == site):
            head = f"  {row.state:7}  {row.check:{column}}  "
            lines += _wrapped(head, row.found, width)
            if row.todo:
                lines += _wrapped(" " * len(head) + "-> ", row.todo, width)
    return "\n".join(lines)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    words = textwrap.TextWrapper(width, head, " " * len(head), break_long_words=False, break_on_hyphens=False)
    return words.wrap(text) or [head.rstrip()]
