"""The testbed lab behaves as the true testbed does, towards the libraries that are used there."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests import playing
from tests.labs.chilab import EDGE, UC, ChiLab
from tests.labs.chilab.cloud import send
from tests.labs.common import LabError, wait_for
from tests.labs.skipping import started

# Minutes, 700 MB and 2 GB of memory, for what no part of the kit uses yet.
pytestmark = pytest.mark.skipif(
    "EDGEBENCH_TEST_CHILAB" not in os.environ, reason="set EDGEBENCH_TEST_CHILAB=1 to test the Chameleon lab itself"
)

DEADLINE_S = 90
HOUR = datetime.timedelta(hours=1)
NODE = ("add_node_reservation", {"amount": 1, "node_type": "compute_skylake"})
PI = ("add_device_reservation", {"amount": 1, "machine_type": "raspberrypi4-64"})
NO_ROOM = "(?i)not enough"

# Another process, which has only the environment.
LOG_IN = "import chi; print(sorted(one['status'] for one in chi.blazar().lease.list()), chi.get('region_name'))"
# A lab whose process says who it is, and then is killed.
VICTIM = """
import time
from tests.labs.chilab import ChiLab
ChiLab._start_all = lambda lab, pool: [lab._start(name) for name in ("epmd", "rabbitmq")]
with ChiLab() as lab:
    lab._await("rabbitmq")
    print(lab.directory, lab.layout.port("rabbitmq"), flush=True)
    time.sleep(1000)
"""


@pytest.fixture(scope="module")
def testbed():
    """One testbed for all: it takes most of a minute to start."""
    with started(ChiLab()) as lab:
        yield lab


@pytest.fixture
def lab(testbed):
    """The testbed, as it was at first."""
    yield testbed
    testbed.reset()


@pytest.fixture
def chi(lab, monkeypatch):
    """python-chi, logged in with an application credential; at_site() says where."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    for name, value in lab.environment(UC).items():
        monkeypatch.setenv(name, value)
    with contextlib.redirect_stderr(io.StringIO()):  # clients' deprecation notices
        import chi
        import chi.container
        import chi.lease
        import chi.server
        import zunclient.v1.containers

    # Container.submit always sends this key; the registry's zunclient refuses it, Chameleon's has it
    attributes = [*zunclient.v1.containers.CREATION_ATTRIBUTES, "device_profiles"]
    monkeypatch.setattr(zunclient.v1.containers, "CREATION_ATTRIBUTES", attributes)
    at_site(chi, lab, UC)
    return chi


def at_site(chi, lab: ChiLab, site: str) -> None:
    """Have python-chi use this site from now on."""
    given = lab.environment(site)
    chi.set("auth_type", given["OS_AUTH_TYPE"])
    chi.set("auth_url", given["OS_AUTH_URL"])
    chi.set("application_credential_id", given["OS_APPLICATION_CREDENTIAL_ID"])
    chi.set("application_credential_secret", given["OS_APPLICATION_CREDENTIAL_SECRET"])
    chi.set("region_name", site)


def lease(chi, *reservations) -> dict:
    """Ask Blazar for a lease; python-chi builds the reservations only, since its own way hides Blazar's reason."""
    plan = chi.lease.Lease(f"test-{uuid.uuid4().hex[:6]}", duration=HOUR)
    for add, options in reservations:
        getattr(plan, add)(**options)
    wanted = plan.node_reservations + plan.fip_reservations + plan.device_reservations
    end = f"{datetime.datetime.now(datetime.UTC) + HOUR:%Y-%m-%d %H:%M}"
    return chi.blazar().lease.create(name=plan.name, start="now", end=end, reservations=wanted, events=[])


def becomes(chi, made: dict, status: str) -> dict:
    wait_for(f"{status} of a lease", DEADLINE_S, lambda: chi.blazar().lease.get(made["id"])["status"] == status)
    return chi.blazar().lease.get(made["id"])


def boot(chi, hint: str = ""):
    """Ask Nova for a server, in a reservation when there is one."""
    nova = chi.nova()
    [image] = chi.glance().images.list(filters={"name": "CC-Ubuntu22.04"})
    [network] = chi.neutron().list_networks(name="sharednet1")["networks"]
    hints = {"reservation": hint} if hint else None
    flavor = next(one for one in nova.flavors.list() if one.name == "baremetal")
    nics = [{"net-id": network["id"]}]
    return nova.servers.create("test", image=image["id"], flavor=flavor, nics=nics, scheduler_hints=hints)


def turns(chi, server, status: str) -> None:
    wait_for(f"{status} of a server", DEADLINE_S, lambda: chi.nova().servers.get(server.id).status == status)


def container(chi, hint: str):
    return chi.zun().containers.create(
        name="test", image="python:3.11", command=["sleep", "inf"], hints={"reservation": hint}
    )


def test_a_lease_of_a_node_and_an_address_gives_a_server_that_has_it(chi, lab):
    made = becomes(chi, lease(chi, NODE, ("add_fip_reservation", {"amount": 1})), "ACTIVE")
    assert chi.lease.get_lease(made["name"]).id == made["id"]
    by_kind = {one["resource_type"]: one["id"] for one in made["reservations"]}
    server = boot(chi, by_kind["physical:host"])
    turns(chi, server, "ACTIVE")

    tag = f"reservation:{by_kind['virtual:floatingip']}"
    [address] = [one for one in chi.neutron().list_floatingips()["floatingips"] if tag in one["tags"]]
    [port] = chi.neutron().list_ports(device_id=server.id)["ports"]
    chi.neutron().update_floatingip(address["id"], {"floatingip": {"port_id": port["id"]}})
    reserved = address["floating_ip_address"]
    wait_for("the address", DEADLINE_S, lambda: reserved in str(chi.nova().servers.get(server.id).addresses))
    assert set(lab.left()) == {"leases of CHI@UC", "servers", "floating IPs", "ports"}

    chi.blazar().lease.delete(made["id"])  # takes the server and the address with it
    wait_for("an empty project", DEADLINE_S, lambda: lab.left() == {})


def test_nothing_is_booted_without_a_reservation(chi):
    turns(chi, boot(chi), "ERROR")


def test_what_is_not_there_is_refused_and_blazar_says_why(chi, lab):
    with pytest.raises(Exception, match=NO_ROOM):
        lease(chi, ("add_node_reservation", {"amount": 5, "node_type": "compute_skylake"}))
    lab.occupy(UC)
    with pytest.raises(Exception, match=NO_ROOM):
        lease(chi, NODE)
    lab.vacate(UC)
    becomes(chi, lease(chi, NODE), "ACTIVE")

    at_site(chi, lab, EDGE)
    with pytest.raises(Exception, match=NO_ROOM):
        lease(chi, ("add_device_reservation", {"amount": 1, "machine_type": "jetson"}))
    lab.occupy(EDGE)
    with pytest.raises(Exception, match=NO_ROOM):
        lease(chi, PI)


def test_sites_have_leases_of_their_own(chi, lab):
    at_uc = lease(chi, NODE)
    at_site(chi, lab, EDGE)
    at_edge = lease(chi, PI)
    assert [one["id"] for one in chi.blazar().lease.list()] == [at_edge["id"]]
    at_site(chi, lab, UC)
    assert [one["id"] for one in chi.blazar().lease.list()] == [at_uc["id"]]


def test_a_container_runs_commands_and_takes_and_gives_files(chi, lab, tmp_path):
    at_site(chi, lab, EDGE)
    made = becomes(chi, lease(chi, PI), "ACTIVE")
    hint = made["reservations"][0]["id"]
    box = chi.container.Container("test", image_ref="python:3.11", reservation_id=hint, command=["sleep", "inf"])
    with contextlib.redirect_stdout(io.StringIO()):  # python-chi prints
        box.submit(wait_for_active=True, wait_timeout=DEADLINE_S, show=None)
    assert box.status == "Running"
    assert box.execute("echo hello") == ("hello\n", "0")
    assert box.execute("sh -c 'exit 3'")[1] == "3"

    sent, received = tmp_path / "sent.bin", tmp_path / "received"
    sent.write_bytes(bytes(range(256)) * 64)
    received.mkdir()
    box.upload(str(sent), "/data")
    assert box.execute("sh -c 'wc -c < data/sent.bin'")[0].strip() == "16384"
    box.download("/data/sent.bin", str(received))
    assert (received / "sent.bin").read_bytes() == sent.read_bytes()
    assert lab.left().get("containers") == [box.id]
    chi.zun().containers.delete(box.id, force=True)
    wait_for("the container's end", DEADLINE_S, lambda: "containers" not in lab.left())


def test_a_lease_can_be_held_and_fail(chi, lab):
    lab.hold("lease.start")
    made = lease(chi, NODE)
    wait_for("its start", DEADLINE_S, lambda: chi.blazar().lease.get(made["id"])["status"] == "STARTING")
    lab.release("lease.start")
    becomes(chi, made, "ACTIVE")

    lab.fail("lease.start")
    at_site(chi, lab, EDGE)
    becomes(chi, lease(chi, PI), "ERROR")


def test_a_server_can_be_held_and_fail(chi, lab):
    made = becomes(chi, lease(chi, NODE), "ACTIVE")
    lab.hold("server.boot")
    server = boot(chi, made["reservations"][0]["id"])
    turns(chi, server, "BUILD")
    lab.fail("server.boot")
    turns(chi, server, "ERROR")


def test_a_container_can_be_held_and_fail(chi, lab):
    at_site(chi, lab, EDGE)
    made = becomes(chi, lease(chi, PI), "ACTIVE")
    lab.hold("container.create")
    box = container(chi, made["reservations"][0]["id"])
    wait_for("its making", DEADLINE_S, lambda: chi.zun().containers.get(box.uuid).status == "Creating")
    lab.fail("container.create")
    wait_for("its failure", DEADLINE_S, lambda: chi.zun().containers.get(box.uuid).status == "Error")


def test_an_api_can_be_away_or_silent_and_comes_back(chi, lab):
    made = becomes(chi, lease(chi, NODE), "ACTIVE")
    lab.stop("blazar")
    with pytest.raises(Exception, match=r"(?i)refused|connect"):
        chi.blazar().lease.get(made["id"])
    lab.start("blazar")
    assert chi.blazar().lease.get(made["id"])["status"] == "ACTIVE"

    lab.hang("blazar")
    with pytest.raises(LabError, match="timed out"):
        send("GET", lab.layout.url("blazar"), timeout_s=2)
    lab.resume("blazar")
    assert chi.blazar().lease.get(made["id"])["status"] == "ACTIVE"


def test_a_service_that_was_restarted_goes_on(chi, lab):
    lab.restart("blazar-manager")
    lab.restart("chi-node-01")
    made = becomes(chi, lease(chi, NODE), "ACTIVE")
    turns(chi, boot(chi, made["reservations"][0]["id"]), "ACTIVE")


@pytest.mark.parametrize("kind", ["application_credential", "password"])
@pytest.mark.parametrize("site", [UC, EDGE])
def test_the_environment_is_all_that_a_process_needs(lab, site, kind):
    own = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    said = subprocess.run(
        [sys.executable, "-c", LOG_IN],
        env=own | lab.environment(site, kind),
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout == f"[] {site}\n", said.stderr[-2000:]


def test_nonsense_is_told(lab):
    for asked in (lambda: lab.hold("lease.strat"), lambda: lab.stop("novo"), lambda: lab.environment("CHI@Mars")):
        with pytest.raises(LabError, match="there is no"):
            asked()


def test_nothing_outlives_a_lab_whose_process_is_killed(lab):
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM], cwd=playing.ROOT, stdout=subprocess.PIPE, text=True
    ) as victim:
        directory, port = victim.stdout.readline().split()
        assert int(port) != lab.layout.port("rabbitmq")  # two labs at once
        victim.kill()
    running = f"{directory}/"
    wait_for("the end of all its processes", 10, lambda: running not in _environments())
    assert Path(lab.directory).exists()


def _environments() -> str:
    """The environments of this machine's processes, as far as we may see them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            found.append(file.read_text(errors="replace"))
    return "\n".join(found)
