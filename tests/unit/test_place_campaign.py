"""A campaign's plan and script on a host, and the moment when the machine goes back."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from ansible_collections.edgebench.testbed.plugins.action import place_campaign
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell

from tests.fake_connection import SHELLS, FakeConnection

UNTIL = "2026-11-26T18:55:00Z"
UNTIL_S = int(datetime(2026, 11, 26, 18, 55, tzinfo=UTC).timestamp())


@pytest.fixture
def there(tmp_path):
    return tmp_path / "there dir"


@pytest.fixture(params=SHELLS)
def place(request, tmp_path, there):
    """Do what the task does; whether that changes something."""
    connection = FakeConnection(tmp_path / "sh", request.param)

    def act(until="", reserve_s=300, check=False, plan="plan\n") -> bool:
        action = place_campaign.ActionModule.__new__(place_campaign.ActionModule)
        action._task = SimpleNamespace(check_mode=check)
        args = {"directory": str(there), "home": str(tmp_path / "home"), "plan": plan, "script": "script\n"}
        args |= {"until": until, "reserve_s": reserve_s, "take_over": False}
        return action.act(args, HostShell(connection, "box"), {})["changed"]

    return act


def last_end_s(there) -> int:
    seconds, _, words = (there / "until").read_text().partition(" ")
    assert words == "2026-11-26 18:55 UTC\n"
    return int(seconds)


def test_it_comes_stays_changes_and_goes(place, there):
    assert place()
    assert not (there / "until").exists()
    assert place(UNTIL)
    assert last_end_s(there) == pytest.approx(UNTIL_S - 300, abs=place_campaign.CLOCK_JITTER_S)
    written = (there / "until").stat().st_mtime_ns
    assert not place(UNTIL), "the same again"
    assert (there / "until").stat().st_mtime_ns == written
    assert place(UNTIL, reserve_s=3600)
    assert last_end_s(there) == pytest.approx(UNTIL_S - 3600, abs=place_campaign.CLOCK_JITTER_S)
    assert place()
    assert not (there / "until").exists()
    assert not place()


def test_a_check_says_what_would_change_and_changes_nothing(place, there):
    assert place(UNTIL, check=True)
    assert not there.exists()
    place(UNTIL)
    assert not place(UNTIL, check=True)
    assert place(check=True)
    assert place("2026-11-26T19:55:00Z", check=True)
    last_end_s(there)


def test_it_is_by_the_hosts_clock(place, there, tmp_path):
    """Which is an hour ahead, and then is set right."""
    date = tmp_path / "sh/date"
    date.write_text(f'#!/bin/sh\necho "$(($({shutil.which("date")} +%s) + 3600))"\n')
    date.chmod(0o755)
    place(UNTIL)
    assert last_end_s(there) == pytest.approx(UNTIL_S - 300 + 3600, abs=place_campaign.CLOCK_JITTER_S)
    date.unlink()
    assert place(UNTIL)
    assert last_end_s(there) == pytest.approx(UNTIL_S - 300, abs=place_campaign.CLOCK_JITTER_S)


def test_a_host_whose_clock_began_at_1970_is_told_a_moment_too():
    line = place_campaign.until_line(datetime.fromisoformat(UNTIL), 300, 60 - UNTIL_S)
    assert line == "0 2026-11-26 18:55 UTC"


def test_clocks_compared_twice_are_no_change():
    assert place_campaign.means_the_same("1000 x", "1003 x")
    assert not place_campaign.means_the_same("1000 x", "1060 x")
    assert not place_campaign.means_the_same("1000 x", "1000 y")
    assert not place_campaign.means_the_same("", "1000 x")
    assert not place_campaign.means_the_same("garbled", "1000 x")
    assert place_campaign.means_the_same("", "")


@pytest.mark.parametrize("text", [UNTIL, "2026-11-26 18:55:00+00:00", "2026-11-26T19:55:00+01:00"])
def test_moments_that_are_understood(text):
    assert place_campaign.until_line(place_campaign.parse_moment(text), 0, 0) == f"{UNTIL_S} 2026-11-26 18:55 UTC"


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-26", "2026-11-26T18:55:00", "1795641954"])
def test_moments_that_are_not(text):
    with pytest.raises(HostError, match=rf"benchmark_run_until is '{text}'; expected .* 2026-11-26T18:55:00Z"):
        place_campaign.parse_moment(text)


BLOCKS = "run\tphase\tleast_memory_mb\tflags\n1\tmeasure\t17\t-\n2\tmeasure\t-\t--a=b\n"
PLAN = BLOCKS + "3\tevaluate\t17\t--c=d\n"
EARLIER_PLAN = "run\tphase\tflags\n1\tmeasure\t-\n2\tmeasure\t--a=b\n"


def begin(there, plan: str) -> None:
    (there / "runs").mkdir(parents=True)
    (there / "plan.tsv").write_text(plan)
    (there / "runs/1.log").write_text("log")
    (there / "runs/1.meta").write_text("meta")


@pytest.mark.parametrize("begun", [EARLIER_PLAN, BLOCKS], ids=["columns", "phases"])
def test_a_campaign_of_an_earlier_kit_goes_on_with_its_plan(place, there, begun):
    begin(there, begun)
    place(plan=PLAN)
    assert (there / "plan.tsv").read_text() == begun


def test_a_host_that_lost_an_earlier_kits_plan_gets_that_again(place, there, tmp_path):
    begin(tmp_path / "home", EARLIER_PLAN)
    place(plan=PLAN)
    assert (there / "plan.tsv").read_text() == EARLIER_PLAN
    assert (there / "runs/1.meta").exists()


def test_another_plan_of_an_earlier_kit_is_another_plan(place, there):
    begin(there, EARLIER_PLAN.replace("a=b", "a=c"))
    with pytest.raises(HostError, match="holds 1 runs of another plan"):
        place(plan=PLAN)


def test_a_new_campaign_has_the_whole_plan(place, there):
    place(plan=PLAN)
    assert (there / "plan.tsv").read_text() == PLAN
