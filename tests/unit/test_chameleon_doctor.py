"""What the doctor says of a site: a stand-in that is right in everything, and then wrong in one thing."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.doctor import (
    OK,
    UNKNOWN,
    WRONG,
    Host,
    Row,
    Wanted,
    examine,
    table,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import Resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.site import SETTINGS, Site, silence
from keystoneauth1 import exceptions

SITE = "CHI@UC"
SECRET = "s3cret-word"
NOW = datetime(2026, 11, 25, 16, 0, tzinfo=UTC)
SKYLAKE = Resource("node", "node_type", "compute_skylake")
PI = Resource("device", "machine_name", "raspberrypi5")
NODE_CHECKS = ("key pair", "private key", "image", "flavor", "network", "public network", "floating IPs")


class Web:
    """Answers every GET.

    Attributes:
        status: of the answer, by path.
        ahead_s: the clock of the site, against ours; None = it does not tell.
    """

    def __init__(self):
        self.status, self.ahead_s = {}, 0
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response_only(web.status.get(self.path, 200))
                if web.ahead_s is not None:
                    date = datetime.now(UTC) + timedelta(seconds=web.ahead_s)
                    self.send_header("Date", format_datetime(date, usegmt=True))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    web = Web()
    yield web
    web.close()


class StandIn(Site):
    """A site whose clients answer from here."""

    def __init__(self, world, settings):
        self.name, self.settings, self.source = settings["name"], settings, "clouds.yaml"
        self.chi = SimpleNamespace(session=lambda: world.session)
        self.nova = SimpleNamespace(
            keypairs=SimpleNamespace(get=world.key_pair, list=lambda: []),
            flavors=SimpleNamespace(list=lambda: [SimpleNamespace(name=name) for name in world.flavors]),
        )
        self.glance = SimpleNamespace(images=SimpleNamespace(list=world.images_named, get=world.refuse))
        self.neutron = SimpleNamespace(
            list_networks=lambda **_: {"networks": [{"name": name} for name in world.networks]},
            show_quota_details=lambda _: {"quota": {"floatingip": world.answer(world.quota)}},
        )
        manager = SimpleNamespace(get=lambda path: (None, world.answer(world.there[path])))
        self.blazar = SimpleNamespace(
            lease=SimpleNamespace(list=lambda: world.leases, get=world.lease, request_manager=manager),
            allocation=SimpleNamespace(list=lambda path: world.answer(world.allocations)),
        )


class World:
    """What is at the stand-in; right in everything."""

    def __init__(self, web, directory):
        self.web, self.directory = web, directory
        self.key = directory / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.clouds = directory / "clouds.yaml"
        self.clouds.write_text(
            f"clouds: {{uc: {{region_name: {SITE}, auth_type: v3applicationcredential, auth: {{auth_url: {web.url}/v3, "
            f"application_credential_id: the-id, application_credential_secret: {SECRET}}}}}}}\n"
        )
        self.settings = {key: spec.get("default") for key, spec in SETTINGS.items()} | {
            "name": SITE,
            "credentials": str(self.clouds),
            "project": "CHI-1",
            "image": "CC-Ubuntu22.04",
            "key": "laptop",
        }
        self.hosts = {"sky": Host(SKYLAKE, "", str(self.key)), "pi": Host(PI, "python:3.11")}
        self.start = None
        self.records = Records(directory / "state")
        self.credential = {"name": "laptop", "expires_at": None, "unrestricted": True}
        self.access = SimpleNamespace(username="kim", user_id="u1", project_name="CHI-1", project_id="p1")
        self.services = ["reservation", "compute", "image", "network", "container"]
        self.key_pairs = {"laptop": self.key.with_suffix(".pub").read_text()}
        self.images = {"CC-Ubuntu22.04": ["i1"]}
        self.flavors, self.networks = ["baremetal"], ["sharednet1", "public"]
        self.quota = {"limit": 5, "used": 3, "reserved": 0}
        self.there = {
            "/os-hosts": {"hosts": [{"id": "1", "node_type": "compute_skylake"}, {"id": "2", "node_type": "gpu"}]},
            "/devices": {"devices": [{"id": "d", "machine_name": "raspberrypi5"}]},
        }
        self.allocations = []
        self.leases = []
        auth = SimpleNamespace(get_access=lambda _: self.answer(self.access))
        self.session = SimpleNamespace(
            session=SimpleNamespace(auth=auth),
            get_project_id=lambda: "p1",
            get_endpoint=self.endpoint,
            get=self.get,
        )

    @staticmethod
    def answer(found):
        if isinstance(found, Exception):
            raise found
        return found

    @staticmethod
    def refuse(*_):
        raise exceptions.NotFound("there is none")

    def get(self, url):
        assert url == f"{self.web.url}/v3/users/u1/application_credentials/the-id"
        found = self.answer(self.credential)
        return SimpleNamespace(json=lambda: {"application_credential": found})

    def endpoint(self, service_type):
        if service_type not in self.services:
            raise exceptions.EndpointNotFound(f"public endpoint for {service_type} service not found")
        return f"{self.web.url}/{service_type}"

    def key_pair(self, name):
        return SimpleNamespace(public_key=self.key_pairs[name]) if name in self.key_pairs else self.refuse()

    def images_named(self, filters):
        return [{"id": one} for one in self.images.get(filters["name"], [])]

    def lease(self, lease_id):
        return next((one for one in self.leases if one["id"] == lease_id), None) or self.refuse()

    def occupied(self, resource_id="1", until=NOW + timedelta(hours=1)):
        spans = [{"start_date": "2026-11-25T08:00:00.000000", "end_date": f"{until:%Y-%m-%dT%H:%M:%S.000000}"}]
        self.allocations = [{"resource_id": resource_id, "reservations": spans}]

    def rows(self):
        wanted = Wanted(self.hosts, "edgebench", self.start)
        return examine(self.settings, wanted, self.records, NOW, lambda settings: StandIn(self, settings))

    def one(self, check):
        """The only row of a check."""
        [row] = [row for row in self.rows() if row.check == check]
        return row

    def states(self):
        return {row.check: row.state for row in self.rows()}


@pytest.fixture
def world(web, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "nowhere.yaml"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return World(web, tmp_path)


def lease(name, status="ACTIVE", user="u1", lease_id=None):
    end = "2026-11-25T18:55:00.000000"
    return {"id": lease_id or f"id of {name}", "name": name, "status": status, "user_id": user, "end_date": end}


def note(world, name, hosts, lease_id="l1", ours=True):
    known = {
        "name": name,
        "id": lease_id,
        "ours": ours,
        "asked_utc": "2026-11-25T15:00:00Z",
        "end_utc": "2026-11-25T18:55:00Z",
        "hosts": {host: list(world.hosts[host].resource) for host in hosts},
    }
    world.records.change_leases(SITE, lambda leases: [*leases, known])


def test_a_site_that_is_right(world):
    rows = world.rows()
    assert [row.check for row in rows] == [
        *("credentials", "reachability", "clock", "login", "project"),
        *(f"{one} service" for one in ("reservation", "compute", "image", "network", "container")),
        *NODE_CHECKS,
        *("image", "compute_skylake", "raspberrypi5", "on record", "not on record"),
    ]
    assert {row.state for row in rows} == {OK}, table(rows)
    assert {row.todo for row in rows} == {""}
    assert str(world.clouds) in world.one("credentials").found
    assert world.one("compute_skylake").found == "1 of 1 free now, 1 wanted"
    assert not world.records.directory.exists(), "nothing was changed"


def test_only_what_the_hosts_need_is_looked_at(world):
    del world.hosts["sky"]
    world.services = ["reservation", "container"]
    rows = world.rows()
    assert {row.state for row in rows} == {OK}
    assert not {row.check for row in rows} & ({*NODE_CHECKS, "compute service"} - {"image"})
    world.hosts = {"sky": Host(SKYLAKE, "", str(world.key))}
    assert "container service" not in world.states()


def test_no_secret_is_shown(world):
    shown = table(world.rows())
    world.access = exceptions.Unauthorized(f"The request {SECRET} you have made requires authentication.")
    shown += table(world.rows())
    world.clouds.write_text(f"clouds: [{SECRET}")
    shown += table(world.rows())
    assert "does not accept the credentials" in shown
    assert SECRET not in shown
    assert "the-id" not in shown


# The way there


def test_without_credentials_the_rest_is_unknown_and_the_way_there_is_looked_at(world, web):
    world.clouds.unlink()
    world.settings["auth_url"] = f"{web.url}/v3"
    states = world.states()
    assert {states.pop(one) for one in ("reachability", "clock", "on record")} == {OK}
    assert states.pop("credentials") == WRONG
    assert states.pop("private key") == UNKNOWN, "it can be used, but there is nothing to compare it with"
    assert states.pop("image") == OK, "the container's: nobody is asked"
    assert set(states.values()) == {UNKNOWN}
    row = world.one("login")
    assert "credentials" in row.found


def test_nobody_answers(world):
    world.settings["auth_url"] = "http://127.0.0.1:9/v3"
    row = world.one("reachability")
    assert (row.state, "Connection refused" in row.found, "auth_url" in row.todo) == (WRONG, True, True)
    assert "object at 0x" not in row.found
    states = world.states()
    assert (states["credentials"], states["clock"], states["login"]) == (OK, UNKNOWN, UNKNOWN)
    world.settings["auth_url"] = "no address"
    assert world.one("reachability").state == WRONG


def test_somebody_else_answers(world, web):
    web.status["/v3"] = 404
    row = world.one("reachability")
    assert (row.state, "404" in row.found, "ends in /v3" in row.todo) == (WRONG, True, True)


@pytest.mark.parametrize(
    ("ahead_s", "state", "said"),
    [(20, OK, "within"), (-3600, WRONG, "ahead of"), (3600, WRONG, "behind"), (None, UNKNOWN, "does not say")],
)
def test_the_clock(world, web, ahead_s, state, said):
    web.ahead_s = ahead_s
    row = world.one("clock")
    assert (row.state, said in row.found) == (state, True), row
    assert ("timedatectl" in row.todo) == (state == WRONG)
    assert world.states()["login"] == OK, "everything else is looked at"


def test_credentials_that_are_refused(world):
    world.access = exceptions.Unauthorized("The request you have made requires authentication.")
    row = world.one("login")
    assert (row.state, "wrong, expired or deleted" in row.found) == (WRONG, True)
    assert row.todo.startswith("Make a new application credential")
    assert world.one("project").state == UNKNOWN


def test_what_is_known_of_an_application_credential(world):
    assert world.one("login").found == "as kim"
    world.access.application_credential_id = "the-id"
    assert world.one("login").found == "as kim, by application credential laptop"
    world.credential |= {"expires_at": "2026-12-01T00:00:00.000000", "unrestricted": False}
    assert re.search(r"\(until 2026-12-01T00:00:00 UTC\) \(restricted", world.one("login").found)
    world.credential = exceptions.Forbidden("no")
    assert world.one("login").found == "as kim, by application credential"


def test_another_project(world):
    world.settings["project"] = "CHI-2"
    row = world.one("project")
    assert (row.state, "CHI-1" in row.found, "CHI-2" in row.found) == (WRONG, True, True)
    assert "chameleon_sites['CHI@UC'].project" in row.todo


def test_a_service_that_is_not_there_or_down(world, web):
    world.services.remove("image")
    web.status["/compute"] = 503
    rows = {row.check: row for row in world.rows() if row.check not in ("image",)}
    assert (rows["image service"].state, rows["compute service"].state) == (WRONG, WRONG)
    assert "503" in rows["compute service"].found
    assert (rows["key pair"].state, rows["flavor"].state) == (UNKNOWN, UNKNOWN)
    assert (rows["network"].state, rows["compute_skylake"].state) == (OK, OK)


# What servers need


def test_key_pairs(world):
    world.settings["key"] = "other"
    assert world.one("key pair").state == WRONG
    row = world.one("private key")
    assert (row.state, "SHA256:" in row.found) == (UNKNOWN, True)
    world.settings["key"] = ""
    assert "set chameleon_sites['CHI@UC'].key" in world.one("key pair").todo


def other_key(path):
    path.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], input=b"y\n", check=True)


def with_passphrase(path):
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", path], check=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "there is no"),
        (lambda path: path.chmod(0o644), "can be read by others"),
        (lambda path: path.write_text("no key"), "is no private key"),
        (with_passphrase, "has a passphrase"),
        (other_key, "is another key"),
    ],
)
def test_a_private_key_that_servers_would_not_let_in(world, change, said):
    change(world.key)
    row = world.one("private key")
    assert (row.state, said in row.found, bool(row.todo)) == (WRONG, True, True), row
    assert str(world.key) in row.found


def test_a_private_key_with_a_passphrase_that_an_agent_holds(world, tmp_path, monkeypatch):
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            while not socket.exists():
                assert agent.poll() is None
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            subprocess.run(["ssh-add", "-q", world.key], check=True)
            with_passphrase(world.key)
            assert world.one("private key").state == OK
        finally:
            agent.terminate()


def test_a_private_key_that_is_not_named(world):
    world.hosts["sky"] = Host(SKYLAKE)
    row = world.one("private key")
    assert (row.state, row.found.startswith("ansible_ssh_private_key_file is not set")) == (UNKNOWN, True)


def test_images(world):
    del world.hosts["pi"]
    world.images["CC-Ubuntu22.04"] = ["i1", "i2"]
    row = world.one("image")
    assert (row.state, "i1, i2" in row.todo) == (WRONG, True)
    world.images["CC-Ubuntu22.04"] = []
    assert world.one("image").state == WRONG
    world.settings["image"] = ""
    assert "none is named" in world.one("image").found
    world.hosts["sky"] = Host(SKYLAKE, "own", str(world.key))
    world.images["own"] = ["i3"]
    assert world.one("image").state == OK, "nobody boots the site's image"
    world.hosts = {"pi": Host(PI)}
    assert world.one("image").state == WRONG


def test_flavor_and_networks(world):
    world.flavors, world.networks = ["m1.small"], ["sharednet1"]
    rows = {row.check: row for row in world.rows()}
    assert [rows[one].state for one in ("flavor", "network", "public network")] == [WRONG, OK, WRONG]
    assert "m1.small" in rows["flavor"].found
    assert "public_network" in rows["public network"].todo


def test_floating_ips(world):
    assert world.one("floating IPs").found == "3 of 5 used, 1 wanted"
    world.quota["used"] = 5
    assert world.one("floating IPs").state == WRONG
    note(world, "edgebench-1", ["sky"])
    assert world.one("floating IPs").found == "5 of 5 used, 0 wanted", "its own is one of them"
    world.quota["limit"] = -1
    assert world.one("floating IPs").state == OK
    world.quota = exceptions.Forbidden("no")
    assert world.one("floating IPs").state == UNKNOWN


# What is there


def test_a_misspelt_name(world):
    world.hosts["sky"] = Host(Resource("node", "node_type", "compute_skylak"), "", str(world.key))
    row = world.one("compute_skylak")
    assert (row.state, row.todo) == (WRONG, "near it: compute_skylake")


def test_what_is_free(world):
    world.occupied()
    row = world.one("compute_skylake")
    assert (row.state, row.found) == (WRONG, "0 of 1 free now, 1 wanted")
    assert "chameleon_lease_start" in row.todo
    world.start = NOW + timedelta(hours=2)
    assert world.one("compute_skylake").found == "1 of 1 free on 2026-11-25 18:00 UTC, 1 wanted"
    world.start = None
    note(world, "edgebench-1", ["sky"])
    assert world.one("compute_skylake").found == "0 of 1 free now, 0 wanted", "we have it"
    world.allocations = []
    world.hosts["sky2"] = world.hosts["sky"]
    assert world.one("compute_skylake").found == "1 there, 2 wanted"
    world.there["/os-hosts"]["hosts"].append({"id": "3", "node_type": "compute_skylake", "reservable": False})
    assert world.one("compute_skylake").found == "1 there, 2 wanted", "one that is out of order is none"


def test_a_site_that_does_not_show_what_it_has(world):
    world.there["/devices"] = exceptions.NotFound("no")
    assert world.one("raspberrypi5").state == UNKNOWN
    world.allocations = exceptions.Forbidden("no")
    assert world.one("compute_skylake").state == UNKNOWN


# What is ours


def test_what_is_on_record(world):
    note(world, "edgebench-1", ["sky", "pi"], "l1")
    note(world, "edgebench-2", [], None)
    world.records.keep_machine(
        "sky", {"site": SITE, "kind": "server", "name": "edgebench-sky", "address": "192.0.2.7", "lease_id": "l1"}
    )
    world.leases = [lease("edgebench-1", lease_id="l1"), lease("mine"), lease("edgebench-0", "TERMINATED")]
    row = world.one("on record")
    assert row.state == OK
    assert "lease edgebench-1 (ACTIVE, until 2026-11-25T18:55:00Z) for pi, sky" in row.found
    assert "lease edgebench-2 (asked for at 2026-11-25T15:00:00Z, no answer)" in row.found
    assert "server edgebench-sky at 192.0.2.7" in row.found
    assert world.one("not on record").state == OK
    world.leases = []
    assert "not there any more" in world.one("on record").found
    world.leases = [lease("edgebench-1", "ERROR", lease_id="l1")]
    row = world.one("on record")
    assert (row.state, "teardown.yml" in row.todo) == (WRONG, True)
    assert world.one("not on record").state == OK


def test_leases_that_look_like_ours_and_are_not_on_record(world):
    note(world, "edgebench-1", ["sky"], "l1")
    world.leases = [lease("edgebench-1", lease_id="l1"), lease("edgebench-2"), lease("edgebench-3", user="u2")]
    row = world.one("not on record")
    assert row.state == UNKNOWN
    assert re.fullmatch(
        r"edgebench-2 \(ACTIVE until .*, made by you\), edgebench-3 \(.*, made by somebody else\)", row.found
    )


def test_records_that_cannot_be_read(world):
    note(world, "edgebench-1", ["sky"])
    next(world.records.directory.glob("leases.*")).write_text("{")
    row = world.one("on record")
    assert (row.state, "cannot be read" in row.found) == (WRONG, True)
    assert world.one("not on record").state == UNKNOWN, "nobody knows which are ours"
    assert world.one("flavor").state == OK


def test_a_lease_of_the_users_own(world):
    world.settings["lease_id"] = "own"
    assert world.one("your lease").state == WRONG
    world.leases = [lease("night", lease_id="own")]
    assert world.one("your lease").found == "night, ACTIVE until 2026-11-25T18:55:00Z"
    world.occupied()
    assert world.one("compute_skylake").found == "0 of 1 free now", "by that lease, maybe"
    world.leases = [lease("night", "TERMINATED", lease_id="own")]
    assert world.one("your lease").state == WRONG


# For people


def test_the_table():
    rows = [
        Row("CHI@UC", "login", OK, "as kim"),
        Row("CHI@UC", "key pair", WRONG, "there is no key pair", "import one there and name it"),
        Row("CHI@Edge", "clock", UNKNOWN, "not looked at"),
    ]
    assert table(rows, 40).splitlines() == [
        "CHI@UC",
        "  ok       login     as kim",
        "  WRONG    key pair  there is no key",
        "                     pair",
        "                     -> import one there",
        "                        and name it",
        "",
        "CHI@Edge",
        "  unknown  clock     not looked at",
    ]
    assert table([]) == ""


def test_the_heart_of_a_librarys_error():
    nested = "Pool(port=1): Max retries (Caused by Error('<object at 0x7f>: Failed: [Errno 111] Connection refused'))"
    assert silence(OSError(nested)) == "[Errno 111] Connection refused"
    resolving = "(Caused by Error(\"C(host='x'): Failed to resolve 'x' ([Errno -2] Name or service not known)\"))"
    assert silence(OSError(resolving)) == "Failed to resolve 'x' ([Errno -2] Name or service not known)"
    aborted = OSError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
    assert silence(OSError(str(aborted.args))) == "Connection reset by peer"
    assert silence(OSError()) == "OSError"
