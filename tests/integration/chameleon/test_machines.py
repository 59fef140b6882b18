"""Servers and containers at real services, on leases that are there."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases, teardown
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.containers import Containers
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.machines import OWNER, Asked
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.servers import Servers

from tests.labs.chilab import EDGE, UC
from tests.labs.chilab.lab import host_keys_on_console
from tests.testbed import CASCADELAKE, IMAGE, KEY, PI, SKYLAKE, Bed, now, wanted


@pytest.fixture
def bed(chi_lab, chi_hosts, tmp_path):
    bed = Bed(chi_lab, tmp_path)
    bed.site().nova.keypairs.create(KEY, public_key=chi_hosts.key.with_suffix(".pub").read_text())
    return bed


def leased(bed, site, *hosts):
    """The kind of machine that belongs there, and what to ask of it for host h0, h1, ..."""
    leases.ensure(site, bed.records, wanted(*hosts), now())
    kind = (Servers if site.name == UC else Containers)(site, bed.records)

    def asked(host="h0", **more):
        lease = leases.of_host(site, bed.records, host)
        options = {
            "image": IMAGE if site.name == UC else "python:3.11",
            "key": KEY,
            "flavor": "baremetal",
            "network": "sharednet1",
            "known_hosts": str(bed.directory / "known_hosts"),
            "console_wait_s": 1,
        } | more.pop("options", {})
        resource = leases.Resource(*lease["hosts"][host])
        return Asked(host, f"test-{host}", resource, lease, options, **{"wait_s": 90} | more)

    return kind, asked


def known_hosts(bed):
    path = bed.directory / "known_hosts"
    return path.read_text() if path.exists() else ""


# Servers


def test_a_server_is_made_once_with_the_leases_address_and_deleted(bed, chi_lab, chi_hosts):
    site = bed.site()
    servers, asked = leased(bed, site, SKYLAKE, CASCADELAKE)
    changed, first = servers.ensure(asked("h0"))
    assert changed
    _, second = servers.ensure(asked("h1"))
    assert {first["address"], second["address"]} == {chi_hosts.address(0), chi_hosts.address(1)}
    [port] = site.neutron.list_ports(device_id=first["id"])["ports"]
    assert site.neutron.show_floatingip(first["floating_ip_id"])["floatingip"]["port_id"] == port["id"]
    changed, again = servers.ensure(asked("h0"))
    assert (changed, again["id"]) == (False, first["id"])

    assert servers.delete("h0")
    assert not servers.delete("h0")
    assert bed.records.machine("h0") is None
    assert chi_lab.left()["servers"] == [second["id"]]
    assert teardown.end_everything(site, bed.records, (), 60) == []
    assert set(chi_lab.left()) == {"key pairs"}, "of the user"


def test_a_host_key_comes_from_the_console(bed, chi_lab, chi_hosts):
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    (bed.directory / "known_hosts").write_text(f"{chi_hosts.address(0)} ssh-ed25519 AAAAofalease before\n")
    chi_lab.say_on_console(f"Linux boots\n{host_keys_on_console(chi_hosts.host_key(0))}login:")
    _, record = servers.ensure(asked())
    assert record["host_key"] == "console"
    assert known_hosts(bed) == f"{record['address']} {' '.join(chi_hosts.host_key(0).split()[:2])}\n"


def test_without_a_console_the_first_contact_counts_and_that_is_said(bed, chi_hosts):
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    (bed.directory / "known_hosts").write_text(f"{chi_hosts.address(0)} ssh-ed25519 AAAAofalease before\n")
    _, record = servers.ensure(asked())
    assert record["host_key"] == "first contact"
    assert known_hosts(bed) == "", "the key of the machine that had this address before"
    assert any("first contact" in line for line in bed.said)


def test_a_server_that_is_only_asked_for_is_waited_for_later(bed, chi_lab):
    chi_lab.hold("server.boot")
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    changed, record = servers.ensure(asked(wait_s=0))
    assert changed
    assert "address" not in record
    with pytest.raises(TestbedError, match=r"waited 2 s for server test-h0, and it is BUILD.*machine_wait_s"):
        servers.ensure(asked(wait_s=2))
    chi_lab.release("server.boot")
    changed, ready = servers.ensure(asked())
    assert changed, "it got its address"
    assert ready["id"] == record["id"]


def test_a_server_that_fails_is_told_with_novas_reason_and_replaced(bed, chi_lab):
    chi_lab.fail("server.boot")
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    with pytest.raises(TestbedError, match=r"CHI@UC: server test-h0 is ERROR \(.+\)"):
        servers.ensure(asked())
    failed = bed.records.machine("h0")
    chi_lab.release("server.boot")
    changed, record = servers.ensure(asked())
    assert changed
    assert record["id"] != failed["id"]
    assert chi_lab.left()["servers"] == [record["id"]]


def test_a_server_that_a_killed_play_asked_for_is_found(bed, chi_lab):
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    _, record = servers.ensure(asked(wait_s=0))
    bed.records.keep_machine("h0", bed.records.machine("h0") | {"id": None})
    _, found = servers.ensure(asked())
    assert found["id"] == record["id"]
    bed.records.keep_machine("h0", bed.records.machine("h0") | {"id": None})
    assert servers.delete("h0")
    assert "servers" not in chi_lab.left()


def test_a_server_of_the_same_name_that_is_not_ours_is_left_alone(bed, chi_lab):
    site = bed.site()
    servers, asked = leased(bed, site, SKYLAKE, CASCADELAKE)
    reservation = leases.reservation_of(site, asked("h1").lease, CASCADELAKE)
    other = servers.create(asked("h0"), reservation, "somebody else")
    _, record = servers.ensure(asked("h0"))
    assert record["id"] != other
    assert servers.delete("h0")
    assert chi_lab.left()["servers"] == [other]


def test_a_machine_of_an_earlier_lease_is_forgotten(bed):
    site = bed.site()
    servers, asked = leased(bed, site, SKYLAKE)
    _, old = servers.ensure(asked())
    leases.end(site, bed.records, asked().lease)
    servers, asked = leased(bed, site, SKYLAKE)
    changed, new = servers.ensure(asked())
    assert changed
    assert new["id"] != old["id"]


def test_a_host_that_is_another_kind_of_machine_now_is_told(bed):
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    bed.records.keep_machine("h0", {"site": EDGE, "kind": "container", "id": "1", "lease_id": "1"})
    with pytest.raises(TestbedError, match="h0 is on record as a container at CHI@Edge"):
        servers.ensure(asked())


def test_a_machine_whose_lease_is_over_is_not_kept_for_its_logs(bed, chi_lab):
    site = bed.site()
    servers, asked = leased(bed, site, SKYLAKE)
    servers.ensure(asked(options={"console_wait_s": 0}))
    [still] = teardown.end_everything(site, bed.records, ["h0"], 60)[:1]
    assert "not home" in still
    site.blazar.lease.delete(asked().lease["id"])
    assert teardown.end_everything(site, bed.records, ["h0"], 60) == []
    assert set(chi_lab.left()) == {"key pairs"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": "CC-Debian"}, "CHI@UC has no image 'CC-Debian'"),
        ({"key": ""}, "no SSH key is named"),
        ({"key": "desktop"}, "has no key pair 'desktop' of yours (it has laptop)"),
        ({"network": "mynet"}, "has no network 'mynet'"),
        ({"flavor": "huge"}, "has no flavor 'huge'"),
    ],
)
def test_what_a_server_needs_and_is_not_there_is_told(bed, chi_lab, options, said):
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    with pytest.raises(TestbedError) as refused:
        servers.ensure(asked(options=options))
    assert said in str(refused.value)
    assert "servers" not in chi_lab.left()
    assert bed.records.machine("h0") is None


def test_a_service_that_goes_away_while_a_server_boots_is_waited_for(bed, chi_lab):
    chi_lab.hold("server.boot")
    servers, asked = leased(bed, bed.site(), SKYLAKE)
    servers.ensure(asked(wait_s=0))

    def outage():
        chi_lab.hang("nova")
        chi_lab.release("server.boot")
        threading.Timer(3, chi_lab.resume, ["nova"]).start()

    threading.Timer(1, outage).start()
    assert servers.ensure(asked())[1]["address"]


# Containers


def test_a_container_is_made_once_and_deleted(bed, chi_lab):
    site = bed.site(EDGE)
    containers, asked = leased(bed, site, PI, PI)
    changed, first = containers.ensure(asked("h0"))
    assert changed
    _, second = containers.ensure(asked("h1"))
    changed, again = containers.ensure(asked("h0"))
    assert (changed, again["id"]) == (False, first["id"])
    assert site.zun.containers.get(first["id"]).labels[OWNER] == f"{bed.records.owner()}/h0"
    assert containers.delete("h0")
    assert chi_lab.left()["containers"] == [second["id"]]
    assert teardown.end_everything(site, bed.records, (), 60) == []
    assert set(chi_lab.left()) == {"key pairs"}


def test_a_container_that_died_is_replaced(bed, chi_lab):
    containers, asked = leased(bed, bed.site(EDGE), PI)
    _, first = containers.ensure(asked())
    chi_lab.kill_container(first["id"])
    changed, second = containers.ensure(asked())
    assert changed
    assert chi_lab.left()["containers"] == [second["id"]]
    assert any("is Stopped" in line and "is replaced" in line for line in bed.said)


def test_a_container_that_fails_is_told_with_zuns_reason(bed, chi_lab):
    chi_lab.fail("container.create")
    containers, asked = leased(bed, bed.site(EDGE), PI)
    with pytest.raises(TestbedError, match=r"CHI@Edge: container test-h0 is Error \(.+\)"):
        containers.ensure(asked())


def test_a_container_that_a_killed_play_asked_for_is_found(bed, chi_lab):
    containers, asked = leased(bed, bed.site(EDGE), PI)
    _, record = containers.ensure(asked())
    bed.records.keep_machine("h0", bed.records.machine("h0") | {"id": None})
    assert containers.ensure(asked())[1]["id"] == record["id"]
    assert chi_lab.left()["containers"] == [record["id"]]


def test_an_image_must_be_named_for_a_device(bed):
    containers, asked = leased(bed, bed.site(EDGE), PI)
    with pytest.raises(TestbedError, match=r"no image is named for h0.*arm64"):
        containers.ensure(asked(options={"image": ""}))
