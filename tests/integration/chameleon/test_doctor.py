"""playbooks/doctor.yml at real services: what is right, what is wrong, and that nothing is changed."""

from __future__ import annotations

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import Records

from tests import playing
from tests.labs.chilab import EDGE, UC
from tests.playing import ROOT
from tests.testbed import IMAGE, KEY, SKYLAKE, Bed, now, wanted

DOCTOR = ROOT / "playbooks/doctor.yml"


@pytest.fixture
def bed(chi_lab, chi_hosts, tmp_path):
    bed = Bed(chi_lab, tmp_path)
    bed.site().nova.keypairs.create(KEY, public_key=chi_hosts.key.with_suffix(".pub").read_text())
    return bed


@pytest.fixture
def inventory(bed, chi_hosts):
    """Two hosts at one site, and one at the other."""
    sites = {
        UC: {"credentials": str(bed.clouds), "image": IMAGE, "key": KEY, "project": "CHI-000000"},
        EDGE: {"credentials": str(bed.clouds), "image": "python:3.11"},
    }
    server = {"chameleon_site": UC, "ansible_ssh_private_key_file": str(chi_hosts.key)}
    hosts = {
        "skylake": server | {"chameleon_node_type": "compute_skylake"},
        "cascadelake": server | {"chameleon_node_type": "compute_cascadelake"},
        "pi4": {"chameleon_site": EDGE, "chameleon_machine_name": "raspberrypi4-64"},
    }
    settings = {"chameleon_state_dir": str(bed.directory / "state"), "chameleon_sites": sites}
    return {"all": {"vars": settings, "children": {"chameleon": {"hosts": hosts}}}}


def rows(played):
    """What was found, by site and check."""
    results = [event["event_data"].get("res", {}) for event in played.events if event["event"] == "runner_on_ok"]
    found = [row for result in results for row in result.get("rows", ())]
    return {(row["site"], row["check"]): row for row in found}


def test_sites_that_are_right(inventory, bed, chi_lab):
    played = playing.play(DOCTOR, inventory, check=True)
    assert played.changed() == 0
    found = rows(played)
    assert not [row for row in found.values() if row["state"] == "WRONG"]
    assert found[UC, "project"]["found"] == "CHI-000000"
    assert found[UC, "compute_skylake"]["found"] == "1 of 1 free now, 1 wanted"
    assert found[EDGE, "container service"]["state"] == "ok"
    assert (EDGE, "compute service") not in found
    assert "2 sites" in played.stdout
    assert "\n          ok       private key" in played.stdout, "a table, for people"
    assert chi_lab.environment()["OS_APPLICATION_CREDENTIAL_SECRET"] not in played.stdout
    assert set(chi_lab.left()) == {"key pairs"}
    assert not (bed.directory / "state").exists()


def test_what_is_wrong_at_one_site_and_the_other_is_looked_at_as_well(inventory, bed, chi_lab):
    lost = leases.ensure(bed.site(), Records(bed.directory / "lost"), wanted(SKYLAKE, name="edgebench"), now()).leases[
        "h0"
    ]
    inventory["all"]["children"]["chameleon"]["hosts"]["cascadelake"]["chameleon_node_type"] = "compute_cascadelak"
    secret = chi_lab.environment(EDGE, "password")["OS_PASSWORD"]
    bed.clouds.write_text(bed.clouds.read_text().replace(secret, "wrong-word"))
    played = playing.play(DOCTOR, inventory)
    assert "WRONG: " in played.failure()
    found = rows(played)
    assert found[EDGE, "login"]["state"] == "WRONG"
    assert found[EDGE, "container service"]["state"] == "unknown"
    assert found[UC, "login"]["state"] == "ok"
    assert found[UC, "compute_skylake"]["found"] == "0 of 1 free now, 1 wanted"
    assert found[UC, "compute_cascadelak"]["todo"].startswith("near it: compute_cascadelake")
    assert found[UC, "not on record"]["found"].startswith(f"{lost['name']} (ACTIVE until ")
    assert "wrong-word" not in played.stdout
    assert chi_lab.left()["leases of CHI@UC"] == [lost["id"]], "and it is left alone"


def test_a_service_that_is_down(inventory, chi_lab):
    chi_lab.stop("neutron")
    found = rows(playing.play(DOCTOR, inventory))
    assert found[UC, "network service"]["state"] == "WRONG"
    assert found[UC, "floating IPs"]["state"] == "unknown"
    assert found[UC, "flavor"]["state"] == "ok"


def test_an_inventory_without_machines_of_the_testbed_is_told_so():
    played = playing.play(DOCTOR, playing.BOX)
    assert played.changed() == 0
    assert "nothing to check" in played.stdout
