"""Leases at real services: every state that one can be in, and what a user reads when there is none to be had."""

from __future__ import annotations

import dataclasses
import threading
from datetime import timedelta

import pytest
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon import leases, teardown
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.errors import TestbedError, UnavailableError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.leases import Resource
from ansible_collections.edgebench.testbed.plugins.plugin_utils.chameleon.records import utc

from tests.labs.chilab import EDGE, UC
from tests.testbed import CASCADELAKE, PI, PI5, SKYLAKE, Bed, now, wanted


@pytest.fixture
def bed(chi_lab, tmp_path):
    return Bed(chi_lab, tmp_path)


def ensured(bed, site, asked, **more):
    return leases.ensure(site, bed.records, asked, now(), **more)


def status(site, lease_id):
    return site.blazar.lease.get(lease_id)["status"]


def ended(bed, site):
    return teardown.end_everything(site, bed.records, (), 60)


def when(said, bed, do):
    """Have do() done as soon as the user is told something; returns the thread."""

    def watch():
        while not any(said in line for line in bed.said):
            pass
        do()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_lease_is_made_once_used_again_and_ended(bed, chi_lab):
    site = bed.site()
    first = ensured(bed, site, wanted(SKYLAKE, CASCADELAKE))
    assert first.changed
    assert first.leases["h0"] == first.leases["h1"]
    lease = first.leases["h0"]
    assert lease["status"] == "ACTIVE"
    assert {(one["value"], one["count"]) for one in lease["reservations"]} >= {("compute_skylake", 1)}
    assert leases.reservation_of(site, lease, SKYLAKE) != leases.reservation_of(site, lease, CASCADELAKE)
    again = ensured(bed, site, wanted(SKYLAKE, CASCADELAKE))
    assert not again.changed
    assert again.leases["h1"]["id"] == lease["id"]
    assert ended(bed, site) == []
    assert ended(bed, site) == [], "a second time does nothing"
    assert chi_lab.left() == {}
    assert bed.records.leases(UC) == []


def test_a_host_that_is_added_gets_a_lease_of_its_own(bed):
    site = bed.site()
    one = ensured(bed, site, wanted(SKYLAKE))
    two = ensured(bed, site, wanted(SKYLAKE, CASCADELAKE))
    assert two.changed
    assert two.leases["h0"]["id"] == one.leases["h0"]["id"] != two.leases["h1"]["id"]


def test_devices_of_two_kinds_in_one_lease(bed):
    site = bed.site(EDGE)
    lease = ensured(bed, site, wanted(PI, PI5, PI)).leases["h0"]
    assert sorted((one["value"], one["count"]) for one in lease["reservations"]) == [
        ("raspberrypi4-64", 2),
        ("raspberrypi5", 1),
    ]


def test_a_check_run_makes_nothing(bed, chi_lab):
    checked = ensured(bed, bed.site(), wanted(SKYLAKE), check=True)
    assert checked.changed
    assert checked.leases == {}
    assert chi_lab.left() == {}
    assert not (bed.directory / "state/leases.chi-uc.json").exists()


# States


def test_a_lease_that_is_starting_is_waited_for(bed, chi_lab):
    chi_lab.hold("lease.start")
    released = when("STARTING", bed, lambda: chi_lab.release("lease.start"))
    assert ensured(bed, bed.site(), wanted(SKYLAKE)).leases["h0"]["status"] == "ACTIVE"
    released.join()


def test_the_wait_for_a_lease_ends_and_says_what_it_was_for(bed, chi_lab):
    chi_lab.hold("lease.start")
    site = bed.site()
    with pytest.raises(
        TestbedError, match=r"waited 3 s for lease test-\w+, and it is (STARTING|PENDING).*lease_wait_s"
    ):
        ensured(bed, site, wanted(SKYLAKE, wait_s=3))
    chi_lab.release("lease.start")
    found = ensured(bed, site, wanted(SKYLAKE))
    assert not found.changed, "the next play waits for the same lease"
    assert found.leases["h0"]["status"] == "ACTIVE"


def test_a_lease_for_later_is_agreed_now_and_waited_for(bed):
    site, start = bed.site(), now() + timedelta(minutes=90)
    asked = wanted(SKYLAKE, start=start, wait_s=-5390)  # the wait is counted from the lease's start
    with pytest.raises(TestbedError, match="PENDING, begins at"):
        ensured(bed, site, asked)
    [lease] = bed.records.leases(UC)
    assert abs(utc(lease["start_utc"]) - start) < timedelta(minutes=1)
    assert status(site, lease["id"]) == "PENDING"


def test_a_lease_that_fails_is_ended_and_a_later_one_made(bed, chi_lab):
    site = bed.site()
    chi_lab.fail("lease.start")
    with pytest.raises(TestbedError, match=r"lease test-\w+ is ERROR \(.*\); it was ended"):
        ensured(bed, site, wanted(SKYLAKE))
    assert chi_lab.left() == {}
    chi_lab.release("lease.start")
    assert ensured(bed, site, wanted(SKYLAKE)).leases["h0"]["status"] == "ACTIVE"


def test_a_lease_in_error_is_replaced_or_reported(bed, chi_lab):
    site = bed.site()
    chi_lab.fail("lease.start")
    with pytest.raises(TestbedError, match="is ERROR"):
        ensured(bed, site, wanted(SKYLAKE, clean_up=False))
    chi_lab.release("lease.start")
    [failed] = bed.records.leases(UC)
    with pytest.raises(TestbedError, match=r"is in ERROR.*replace"):
        ensured(bed, site, wanted(SKYLAKE, on_error="report"))
    replaced = ensured(bed, site, wanted(SKYLAKE, on_error="replace"))
    assert replaced.leases["h0"]["id"] != failed["id"]
    assert [lease["id"] for lease in bed.records.leases(UC)] == [replaced.leases["h0"]["id"]]


def test_a_lease_that_was_ended_elsewhere_is_never_used_again(bed):
    site = bed.site()
    first = ensured(bed, site, wanted(SKYLAKE)).leases["h0"]
    site.blazar.lease.delete(first["id"])  # somebody, in the web interface
    second = ensured(bed, site, wanted(SKYLAKE)).leases["h0"]
    assert second["id"] != first["id"]
    assert len(bed.records.leases(UC)) == 1


def test_a_lease_that_was_asked_for_by_a_killed_play_is_found(bed):
    """The record of one whose answer never came: a name, and no id."""
    site = bed.site()
    lease = ensured(bed, site, wanted(SKYLAKE)).leases["h0"]
    bed.records.change_leases(UC, lambda leases: [one | {"id": None} for one in leases])
    found = ensured(bed, site, wanted(SKYLAKE))
    assert not found.changed
    assert found.leases["h0"]["id"] == lease["id"]


def test_leases_that_are_not_ours_are_left_alone(bed, chi_lab):
    site = bed.site()
    mine = ensured(bed, site, wanted(SKYLAKE)).leases["h0"]
    reservation = {
        "resource_type": "physical:host",
        "resource_properties": '["==", "$node_type", "compute_cascadelake"]',
        "hypervisor_properties": "",
        "min": 1,
        "max": 1,
    }
    end = f"{now() + timedelta(hours=1):%Y-%m-%d %H:%M}"
    other = site.blazar.lease.create(mine["name"], "now", end, [reservation], [])  # of the same name
    ensured(bed, site, wanted(SKYLAKE))
    assert ended(bed, site) == []
    assert chi_lab.left()["leases of CHI@UC"] == [other["id"]]


def test_a_lease_of_the_users_own_is_used_and_never_ended(bed, chi_lab):
    (bed.directory / "web").mkdir()
    theirs = Bed(chi_lab, bed.directory / "web")
    lease = ensured(theirs, theirs.site(), wanted(SKYLAKE)).leases["h0"]
    site = bed.site()
    asked = wanted(SKYLAKE, lease_id=lease["id"], needed_s={"h0": 9e5})
    used = ensured(bed, site, asked)
    assert not used.changed
    assert used.leases["h0"]["id"] == lease["id"]
    assert "ends at" in used.notes[0], "it is too short, and said to be; it is not extended"
    assert leases.of_host(site, bed.records, "h0")["id"] == lease["id"]
    assert leases.give_back(site, bed.records, "h0") == []
    ensured(bed, site, asked)
    assert ended(bed, site) == []
    assert chi_lab.left()["leases of CHI@UC"] == [lease["id"]]
    with pytest.raises(TestbedError, match="has no compute_cascadelake; it holds compute_skylake"):
        ensured(bed, site, wanted(CASCADELAKE, lease_id=lease["id"]))
    with pytest.raises(TestbedError, match="holds 1 compute_skylake, and the inventory has 2"):
        ensured(bed, site, wanted(SKYLAKE, SKYLAKE, lease_id=lease["id"]))
    with pytest.raises(TestbedError, match=r"there is no lease 0815.*must be the id"):
        ensured(bed, site, wanted(SKYLAKE, lease_id="0815"))


def test_a_lease_goes_when_its_last_host_is_given_back(bed, chi_lab):
    site = bed.site()
    lease = ensured(bed, site, wanted(SKYLAKE, CASCADELAKE)).leases["h0"]
    assert leases.give_back(site, bed.records, "h0") == []
    assert status(site, lease["id"]) == "ACTIVE"
    assert leases.give_back(site, bed.records, "h1") == [lease["name"]]
    assert chi_lab.left() == {}


# Time


def test_a_lease_that_will_not_suffice_is_extended(bed):
    site = bed.site()
    first = ensured(bed, site, wanted(SKYLAKE)).leases["h0"]
    asked = wanted(SKYLAKE, needed_s={"h0": 3 * 3600.0})
    kept = ensured(bed, site, dataclasses.replace(asked, extend=False))
    assert not kept.changed
    assert "it will get through about" in kept.notes[0]
    assert "the rest goes on in a later lease" in kept.notes[0]
    longer = ensured(bed, site, asked)
    assert longer.changed
    assert longer.notes == []
    assert utc(longer.leases["h0"]["end_utc"]) >= now() + timedelta(hours=3)
    assert longer.leases["h0"]["id"] == first["id"]
    assert not ensured(bed, site, asked).changed


def test_a_lease_that_cannot_be_extended_is_said_to_be_too_short(bed, chi_lab):
    """Somebody else has the node afterwards."""
    site = bed.site()
    lease = ensured(bed, site, wanted(SKYLAKE)).leases["h0"]
    after = utc(lease["end_utc"]) + timedelta(minutes=10)
    chi_lab.occupy(UC, after)
    kept = ensured(bed, site, wanted(SKYLAKE, needed_s={"h0": 5 * 3600.0}))
    assert not kept.changed
    assert "goes on in a later lease" in kept.notes[0]
    assert any("cannot extend lease" in line for line in bed.said)


def test_only_the_last_hours_of_a_lease_are_for_extending_it(bed):
    site = bed.site(extend_within_hours=0.5)
    ensured(bed, site, wanted(SKYLAKE))
    assert not ensured(bed, site, wanted(SKYLAKE, needed_s={"h0": 9 * 3600.0})).changed
    assert any("in its last 0.5 h only" in line for line in bed.said)


def test_a_lease_that_is_too_long_is_not_asked_for(bed):
    with pytest.raises(TestbedError, match="168 h at most, and this one would last 200 h"):
        ensured(bed, bed.site(), wanted(SKYLAKE, hours=199.5))
    assert bed.records.leases(UC) == []


# What is not to be had


def test_what_is_taken_is_said_and_when_it_will_be_free(bed, chi_lab):
    chi_lab.occupy(UC)
    with pytest.raises(TestbedError) as refused:
        ensured(bed, bed.site(), wanted(SKYLAKE))
    said = str(refused.value)
    assert "CHI@UC: Not enough hosts available: wanted 1 compute_skylake from" in said
    assert "0 of 1 compute_skylake free then, 1 wanted; enough from 20" in said
    assert "chameleon_lease_start" in said
    assert "--limit 'all:!h0'" in said
    assert bed.records.leases(UC) == []


def test_a_device_that_is_taken_is_said(bed, chi_lab):
    chi_lab.occupy(EDGE)
    with pytest.raises(TestbedError, match=r"CHI@Edge: Not enough hosts available: wanted 1 raspberrypi4-64"):
        ensured(bed, bed.site(EDGE), wanted(PI))


def test_a_misspelt_type_is_told_before_anything_is_leased(bed):
    with pytest.raises(TestbedError, match="CHI@UC has no node_type 'compute_skylak'; near it: compute_skylake"):
        ensured(bed, bed.site(), wanted(Resource("node", "node_type", "compute_skylak")))
    assert bed.records.leases(UC) == []


def test_wrong_credentials_are_told_before_anything_else(bed):
    text = bed.clouds.read_text()
    bed.clouds.write_text(text.replace("application_credential_secret: ", "application_credential_secret: x"))
    with pytest.raises(TestbedError) as refused:
        ensured(bed, bed.site(), wanted(SKYLAKE))
    assert "does not accept the credentials (cloud 'uc'" in str(refused.value)
    assert "application credential" in str(refused.value)
    bed.clouds.write_text(text)
    with pytest.raises(TestbedError, match="is of project CHI-000000, and the inventory's project is CHI-999"):
        ensured(bed, bed.site(project="CHI-999"), wanted(SKYLAKE))


def test_a_service_that_goes_away_meanwhile_is_waited_for(bed, chi_lab):
    chi_lab.hold("lease.start")

    def outage():
        chi_lab.stop("blazar")
        chi_lab.release("lease.start")
        chi_lab.start("blazar")

    over = when("STARTING", bed, outage)
    assert ensured(bed, bed.site(), wanted(SKYLAKE)).leases["h0"]["status"] == "ACTIVE"
    over.join()
    assert any("no answer" in line for line in bed.said)


def test_a_service_that_is_away_is_named(bed, chi_lab):
    site = bed.site()
    site.login()
    chi_lab.stop("blazar")
    with pytest.raises(
        UnavailableError, match=r"CHI@UC: cannot list leases: no answer \([^()]*(refused|reset by peer)\)"
    ):
        ensured(bed, site, wanted(SKYLAKE))


def test_teardown_goes_on_after_an_error_and_says_what_is_left(bed, chi_lab, monkeypatch):
    site = bed.site()
    ensured(bed, site, wanted(SKYLAKE))
    ensured(bed, site, wanted(SKYLAKE, CASCADELAKE))
    first, _ = bed.records.leases(UC)
    delete = site.blazar.lease.delete
    monkeypatch.setattr(site.blazar.lease, "delete", lambda it: delete("0815" if it == first["id"] else it))
    left = teardown.end_everything(site, bed.records, (), 10)
    assert len(left) == 1
    assert f"lease {first['name']} ({first['id']}): CHI@UC: waited 10 s for the end of lease" in left[0]
    assert chi_lab.left()["leases of CHI@UC"] == [first["id"]]
    assert [lease["id"] for lease in bed.records.leases(UC)] == [first["id"]]
