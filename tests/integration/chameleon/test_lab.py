"""The testbed lab behaves as the true testbed does, towards the libraries that are used there."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import shlex
import subprocess
import sys
import tarfile
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import playing
from tests.labs import common
from tests.labs.chilab import EDGE, NODES, UC, ChiLab, host_keys_on_console
from tests.labs.chilab.cloud import send
from tests.labs.chilab.services import ANSWER_LIMIT_S, BODY_LIMIT
from tests.labs.common import LabError, wait_for
from tests.labs.early import Early

DEADLINE_S = 90
PAUSE_S = 0.2  # between questions, whose answers cost what the services want for what is waited for
HOUR = datetime.timedelta(hours=1)
NODE = ("add_node_reservation", {"amount": 1, "node_type": "compute_skylake"})
PI = ("add_device_reservation", {"amount": 1, "machine_type": "raspberrypi4-64"})
NO_ROOM = "(?i)not enough"

# Another process, which has only the environment.
LOG_IN = "import chi; print(sorted(one['status'] for one in chi.blazar().lease.list()), chi.get('region_name'))"
LOG_IN_TO_CLOUDS = """
import openstack
for cloud in map(openstack.connect, ("uc", "edge")):
    print(cloud.current_user_id != "", cloud.config.region_name)
"""
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


@pytest.fixture
def lab(chi_lab):
    return chi_lab


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


def until(what: str, check) -> None:
    wait_for(what, DEADLINE_S, check, PAUSE_S)


def lease(chi, *reservations) -> dict:
    """Ask Blazar for a lease; python-chi builds the reservations only, since its own way hides Blazar's reason."""
    plan = chi.lease.Lease(f"test-{uuid.uuid4().hex[:6]}", duration=HOUR)
    for add, options in reservations:
        getattr(plan, add)(**options)
    wanted = plan.node_reservations + plan.fip_reservations + plan.device_reservations
    end = f"{datetime.datetime.now(datetime.UTC) + HOUR:%Y-%m-%d %H:%M}"
    return chi.blazar().lease.create(name=plan.name, start="now", end=end, reservations=wanted, events=[])


def becomes(chi, made: dict, status: str) -> dict:
    until(f"{status} of a lease", lambda: chi.blazar().lease.get(made["id"])["status"] == status)
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
    until(f"{status} of a server", lambda: chi.nova().servers.get(server.id).status == status)


def container(chi, hint: str, image: str = "python:3.11", **options):
    return chi.zun().containers.create(
        name="test", image=image, command=["sleep", "infinity"], hints={"reservation": hint}, **options
    )


def running(chi, image: str = "python:3.11", **options) -> str:
    """The id of a container that runs, in a lease of its own."""
    made = becomes(chi, lease(chi, PI), "ACTIVE")
    box = container(chi, made["reservations"][0]["id"], image, **options).uuid
    until("a container", lambda: chi.zun().containers.get(box).status == "Running")
    return box


def inside(chi, box: str, command: str) -> str:
    """What a command of sh prints in a container; it has to succeed."""
    done = chi.zun().containers.execute(box, command=shlex.join(["sh", "-c", command]), run=True)
    assert done["exit_code"] == 0, done
    return done["output"]


def status_of(call, *arguments, **options) -> int:
    """HTTP's number of the error with which a client's call ends."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        call(*arguments, **options)
    return caught.value.http_status


def processes() -> str:
    """The command lines of this machine's processes."""
    return _of_all_processes("cmdline").replace("\0", " ")


def test_a_leased_server_answers_ssh_at_its_address_with_the_key_on_its_console(chi, lab, chi_hosts, tmp_path):
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
    until("the address", lambda: reserved in str(chi.nova().servers.get(server.id).addresses))
    assert set(lab.left()) == {"leases of CHI@UC", "servers", "floating IPs", "ports"}

    assert "login:" in server.get_console_output()
    lab.say_on_console("another server's")
    assert server.get_console_output() == "another server's"
    i = [chi_hosts.address(n) for n in range(chi_hosts.count)].index(reserved)
    lab.say_on_console(host_keys_on_console(chi_hosts.host_key(i)), reserved)
    before, key, after = server.get_console_output().splitlines()
    assert (before, after) == ("-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----")
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"{reserved} {key}\n")
    words = ["ssh", *common.ssh_args(known_hosts), "-i", str(chi_hosts.key), f"lab@{reserved}", "hostname"]
    assert subprocess.run(words, capture_output=True, text=True, check=False).stdout == f"h{i}\n"

    chi.blazar().lease.delete(made["id"])  # takes the server and the address with it
    until("an empty project", lambda: lab.left() == {})


def test_hosts_are_as_new_after_a_reset(chi_hosts):
    key = chi_hosts.host_key(0)
    chi_hosts.shell(0, "echo mine > /root/file; echo mine > /srv/work/file; sleep 1000 > /dev/null 2>&1 &")
    chi_hosts.reset()
    assert (
        chi_hosts.shell(0, "ls /root /srv/work; pgrep sleep || echo new") == "/root:\n\n/srv/work:\nlost+found\nnew\n"
    )
    assert chi_hosts.host_key(0) != key
    done = subprocess.run([*chi_hosts.ssh(0), "hostname"], capture_output=True, text=True, check=False)
    assert done.stdout == "h0\n", done.stderr


def test_members_see_hosts_and_who_has_them_when(chi, lab):
    lab.occupy(UC)
    hosts = {host["hypervisor_hostname"]: host for host in chi.blazar().host.list()}
    assert {name: host["node_type"] for name, host in hosts.items()} == NODES
    one = hosts["chi-node-01"]["id"]
    taken = chi.blazar().allocation.list("os-hosts")
    assert {entry["resource_id"] for entry in taken if entry["reservations"]} == {host["id"] for host in hosts.values()}
    [reservation] = chi.blazar().allocation.get("os-hosts", one)["reservations"]
    assert reservation["end_date"] > f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"


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
    assert box.execute("mkdir /data")[1] == "0"

    sent, received = tmp_path / "sent.bin", tmp_path / "received"
    sent.write_bytes(bytes(range(256)) * 64)
    received.mkdir()
    box.upload(str(sent), "/data")
    assert box.execute("sh -c 'wc -c < /data/sent.bin'")[0].strip() == "16384"
    box.download("/data/sent.bin", str(received))
    assert (received / "sent.bin").read_bytes() == sent.read_bytes()
    assert lab.left().get("containers") == [box.id]
    chi.zun().containers.delete(box.id, force=True)
    until("the container's end", lambda: "containers" not in lab.left())


def test_a_container_is_a_machine_of_its_own_with_or_without_python(chi, lab, tmp_path):
    at_site(chi, lab, EDGE)
    labels = {"edgebench": "a campaign's"}
    with_python = running(chi, labels=labels, environment={"GREETING": "hello  you"}, workdir="/srv/here")
    without = running(chi, image="busybox:1.36")
    assert chi.zun().containers.get(with_python).labels == labels
    assert inside(chi, with_python, "python3 -c 'print(6 * 7)'; id -u; pwd") == "42\n0\n/srv/here\n"
    assert inside(chi, with_python, 'echo "$GREETING $HOME $OS_AUTH_URL $CHILAB_FAULTS"') == "hello  you /root  \n"
    assert inside(chi, without, "command -v python3 || echo none") == "none\n"
    assert len({inside(chi, box, "hostname") for box in (with_python, without)} - {os.uname().nodename}) == 2

    assert inside(chi, with_python, f"ls {tmp_path} 2>/dev/null || echo nothing; echo mine > /tmp/file") == "nothing\n"
    assert inside(chi, without, "ls /tmp; cat /proc/1/cmdline").replace("\0", " ") == "sleep infinity "
    for box in (with_python, without):
        put = chi.zun().containers.put_archive
        assert status_of(put, box, "/no/such/place", b"") == 400
        assert status_of(chi.zun().containers.get_archive, box, "/no/such/place") == 400


@pytest.mark.thorough
def test_what_an_exec_leaves_goes_on_until_the_container_dies(chi, lab):
    at_site(chi, lab, EDGE)
    killed, other = running(chi), running(chi)
    marks = {box: f"sleep {os.getpid()}{n}" for n, box in enumerate((killed, other))}
    for box, mark in marks.items():
        inside(chi, box, f"echo kept > /root/file; {mark} > /dev/null 2>&1 &")
        assert mark in inside(chi, box, "ps -ef")
    assert all(mark in processes() for mark in marks.values())
    lab.kill_container(killed)
    assert chi.zun().containers.get(killed).status == "Stopped"
    assert status_of(chi.zun().containers.execute, killed, command="true", run=True) == 409
    assert status_of(chi.zun().containers.put_archive, killed, "/root", b"") == 409
    assert marks[killed] not in processes()
    assert marks[other] in processes()

    lab.restart("zun-compute")
    assert marks[other] not in processes()
    assert chi.zun().containers.get(other).status == "Stopped"
    chi.zun().containers.start(other)
    until("its second start", lambda: chi.zun().containers.get(other).status == "Running")
    assert inside(chi, other, "cat /root/file") == "kept\n"


@pytest.mark.thorough
def test_what_is_too_large_or_takes_too_long_is_refused_by_a_proxy(chi, lab):
    at_site(chi, lab, EDGE)
    box = running(chi)
    late = f"sh -c 'sleep {ANSWER_LIMIT_S + 1}; echo late > /root/file'"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(status_of, chi.zun().containers.execute, box, command=late, run=True)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("file")
            entry.size = BODY_LIMIT
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
        assert status_of(chi.zun().containers.put_archive, box, "/root", packed.getvalue()) == 413
        assert inside(chi, box, "ls /root") == ""
        assert waiting.result() == 504
    until("its end", lambda: inside(chi, box, "cat /root/file || true") == "late\n")


def test_a_lease_can_be_held_and_fail(chi, lab):
    lab.hold("lease.start")
    made = lease(chi, NODE)
    until("its start", lambda: chi.blazar().lease.get(made["id"])["status"] == "STARTING")
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
    until("its making", lambda: chi.zun().containers.get(box.uuid).status == "Creating")
    lab.fail("container.create")
    until("its failure", lambda: chi.zun().containers.get(box.uuid).status == "Error")


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


@pytest.mark.thorough
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


def test_the_files_that_users_have_say_the_same(lab, tmp_path):
    file = tmp_path / "openrc.sh"
    for site, kind in ((UC, "application_credential"), (EDGE, "password")):
        file.write_text(lab.openrc(site, kind))
        said = subprocess.run(
            ["env", "-i", "/bin/sh", "-c", f". {file}; env"], capture_output=True, text=True, check=True
        )
        shown = dict(line.split("=", 1) for line in said.stdout.splitlines())
        assert {name: shown.get(name) for name in lab.environment(site, kind)} == lab.environment(site, kind)

    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(lab.clouds_yaml())
    own = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    said = subprocess.run(
        [sys.executable, "-c", LOG_IN_TO_CLOUDS],
        env=own | {"OS_CLIENT_CONFIG_FILE": str(clouds)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout == f"True {UC}\nTrue {EDGE}\n", said.stderr[-2000:]


def test_a_lab_that_does_not_start_is_an_error_for_all_that_wait(tmp_path):
    def start(stack):
        stack.callback((tmp_path / "tidied").touch)
        raise LabError("no luck")

    early = Early(start)
    for _ in range(2):
        with pytest.raises(LabError, match="no luck"):
            early.get()
    early.close()
    assert (tmp_path / "tidied").exists()
    go = threading.Event()
    with pytest.raises(LabError, match="in vain"):
        Early(lambda stack: go.wait()).get(deadline_s=0)
    go.set()


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
    wait_for("the end of all its processes", 10, lambda: running not in _of_all_processes("environ"))
    assert Path(lab.directory).exists()


def _of_all_processes(what: str) -> str:
    """A file of each of this machine's processes, as far as we may see them."""
    found = []
    for file in Path("/proc").glob(f"[0-9]*/{what}"):
        with contextlib.suppress(OSError):
            found.append(file.read_text(errors="replace"))
    return "\n".join(found)
