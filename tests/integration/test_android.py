"""site.yml on Android phones over adb: delegates, a phone without trust, links that break, reboots, a full disk."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.labs.adblab import AdbLab, AdbServer, variables
from tests.labs.common import wait_for
from tests.labs.skipping import needs, started
from tests.playing import ROOT, Played, play, tiny_campaign

STAND_IN = ROOT / "tests/data/android/benchmark_model.sh"
RUN_S = 0.5  # what the stand-in takes at least
STARTS = "/data/local/tmp/starts"  # the stand-in's command lines, in the order in which they began
RUNS = 6  # of each phone: two variants three times, or three delegates with two runners


@pytest.fixture(scope="module")
def phones():
    """Two phones, where each campaign has another name."""
    with started(AdbLab(2)) as lab:
        yield lab


@pytest.fixture
def lab(phones):
    """The phones, without traces of earlier tests' runs."""
    for i in range(2):
        (phones.root(i) / STARTS.lstrip("/")).unlink(missing_ok=True)
    return phones


@pytest.fixture
def settings(tmp_path):
    """A tiny campaign, whose every run takes a moment and leaves a trace."""
    binary = tmp_path / "benchmark_model"
    begin = "set -o pipefail\n"
    trace = f'case "$*" in *--graph=*) echo "$*" >>{STARTS} ;; esac\nsleep {RUN_S}\n'
    binary.write_text(STAND_IN.read_text(encoding="utf-8").replace(begin, begin + trace), encoding="utf-8")
    more = {
        "campaign_name": tmp_path.name,
        "campaign_runners": ["benchmark_model"],
        "campaign_min_repetitions": 3,
        "benchmark_model_path": str(binary),
        "benchmark_run_poll_s": 1,
    }
    return tiny_campaign(tmp_path, **more)


def site(lab, settings, **more) -> Played:
    return play(ROOT / "site.yml", lab.inventory(), envvars=lab.environment, **settings, **more)


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "results/tables/runs.csv").open() as file:
        return list(csv.DictReader(file))


def on_phone(lab, i: int, settings) -> dict[str, int]:
    """What a phone has measured, and when it was written."""
    runs = lab.root(i) / f"data/local/tmp/edgebench/campaigns/{settings['campaign_name']}/runs"
    return {path.name: path.stat().st_mtime_ns for path in runs.glob("*.meta")}


def starts(lab, i: int) -> list[str]:
    """Command lines of the runs that a phone began."""
    return (lab.root(i) / STARTS.lstrip("/")).read_text().splitlines()


def meanwhile(lab, settings, *faults: Callable[[int], None]) -> Played:
    """Play site.yml; what happens to phone 0, 1, ... is done when that has measured two runs."""

    def do(i: int) -> None:
        wait_for(f"two runs of phone {i}", 120, lambda: len(on_phone(lab, i, settings)) > 1, pause_s=0.1)
        faults[i](i)

    with ThreadPoolExecutor() as pool:
        done = [pool.submit(do, i) for i in range(len(faults))]
        played = site(lab, settings)
        for each in done:
            each.result()
    return played


def unreachable(played: Played) -> str:
    """What the user reads of the one phone that could not be reached."""
    (said,) = {
        event["event_data"]["res"]["msg"] for event in played.events if event["event"] == "runner_on_unreachable"
    }
    return said


def test_two_phones_are_measured_and_one_waits_for_trust(lab, settings, tmp_path):
    apk = tmp_path / "benchmark_model.apk"
    apk.write_bytes(b"PK\3\4")
    settings |= {
        "campaign_delegates": ["default", "gpu", "nnapi"],
        "campaign_min_repetitions": 1,
        "campaign_runners": ["benchmark_model", "benchmark_apk"],
        "campaign_variants": ["float32"],
        "benchmark_apk_path": str(apk),
    }
    lab.authorize(1, False)
    first = site(lab, settings)
    assert first.rc != 0
    assert set(first.stats["dark"]) == {"phone1"}
    assert not any(first.stats["failures"].values()), first.stdout
    assert "unauthorized" in unreachable(first)
    assert "\n" not in unreachable(first)
    assert {run["host"] for run in rows(tmp_path)} == {"phone0"}, "the other one is measured all the same"

    lab.authorize(1, True)
    assert site(lab, settings).changed() > 0
    runs = rows(tmp_path)
    assert sorted(run["host"] for run in runs) == ["phone0"] * RUNS + ["phone1"] * RUNS
    assert {(run["runner"], run["delegate"], run["status"], run["delegation"]) for run in runs} == {
        (runner, *said)
        for runner in settings["campaign_runners"]
        for said in (("default", "ok", ""), ("gpu", "ok", "completely"), ("nnapi", "invalid", "not at all"))
    }
    assert {run["platform"] for run in runs} == {"Xiaomi Mi A2"}
    assert {(run["battery_percent"], run["plugged"], run["screen"]) for run in runs} == {("84", "usb", "on")}
    facts = json.loads((tmp_path / f"logs/{tmp_path.name}/phone0/host.json").read_text())
    assert (facts["android"], facts["android_api"], facts["os"]) == ("10", 29, "Android 10")
    assert facts["gpu"] == "Adreno (TM) 512, OpenGL ES 3.2 V@331.0"

    assert site(lab, settings).changed() == 0
    assert [len(starts(lab, i)) for i in range(2)] == [RUNS // 2] * 2, "the app has a program of its own"
    left = {path.name for path in (lab.root(0) / "data/local/tmp").iterdir()}
    assert left == {"edgebench", "lost+found", Path(STARTS).name}, "nothing is left anywhere else"


def test_a_link_that_breaks_and_a_reboot_cost_nothing_but_time(lab, settings, tmp_path):
    def break_link(i: int) -> None:
        lab.cut(i, "reset")
        time.sleep(3)
        lab.heal(i)

    played = meanwhile(lab, settings, break_link, lab.reboot)
    assert played.rc == 0, played.stdout
    assert sorted(run["host"] for run in rows(tmp_path)) == ["phone0"] * RUNS + ["phone1"] * RUNS
    assert len(starts(lab, 0)) == RUNS, "it measured on, and nothing twice"
    assert RUNS <= len(starts(lab, 1)) <= RUNS + 1, "only the run that the reboot ended began anew"
    boots = {
        line
        for path in (tmp_path / f"logs/{tmp_path.name}/phone1/runs").glob("*.meta")
        for line in path.read_text().splitlines()
        if line.startswith("boot_id=")
    }
    assert len(boots) == 2


def test_a_full_phone_goes_on_when_there_is_room_and_silence_is_waited_for(lab, settings, tmp_path):
    measured = {}

    def fill(i: int) -> None:
        lab.fill(i)
        measured.update(on_phone(lab, i, settings))

    def be_silent(i: int) -> None:
        lab.cut(i)
        time.sleep(3)
        lab.heal(i)

    first = meanwhile(lab, settings, fill, be_silent)
    assert first.rc != 0
    assert "no space" in first.failure().lower() or "free" in first.failure()
    assert [run["host"] for run in rows(tmp_path)].count("phone1") == RUNS

    lab.make_room(0)
    assert site(lab, settings).changed() > 0
    assert sorted(run["host"] for run in rows(tmp_path)) == ["phone0"] * RUNS + ["phone1"] * RUNS
    after = on_phone(lab, 0, settings)
    assert {name: after[name] for name in measured} == measured
    assert len(starts(lab, 1)) == RUNS


def test_a_phone_with_an_arm_processor(arm_lab, settings, tmp_path):
    needs("adblab")
    settings |= {"campaign_min_repetitions": 1}  # its processor is emulated, and slow
    with AdbServer(tmp_path) as server:
        inventory = {"all": {"hosts": {"phone": variables(arm_lab.phone(server.public_key))}}}
        played = play(ROOT / "site.yml", inventory, envvars=server.environment, **settings)
    assert played.rc == 0, played.stdout
    assert {(run["arch"], run["status"]) for run in rows(tmp_path)} == {("aarch64", "ok")}
    assert len(rows(tmp_path)) == 2
