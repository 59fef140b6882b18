"""site.yml on Android phones over adb: delegates, a phone without trust, links that break, reboots, a full disk."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.labs.adblab import AdbLab
from tests.labs.common import wait_for
from tests.labs.skipping import started
from tests.playing import ROOT, Played, play, tiny_campaign

STAND_IN = ROOT / "tests/data/android/benchmark_model.sh"
PARTLY = """INFO: GPU delegate created.
INFO: Replacing 9 out of 14 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for subgraph 0.
INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 2 delegate \
kernels."""
RUN_S = 0.5  # what the stand-in takes at least
STARTS = "/data/local/tmp/starts"  # the stand-in's command lines, in the order in which they began


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
        "benchmark_model_path": str(binary),
        "benchmark_run_poll_s": 1,
    }
    return tiny_campaign(tmp_path, **more)


def site(settings, inventory, environment) -> Played:
    return play(ROOT / "site.yml", inventory, envvars=environment, **settings)


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


def meanwhile(lab, settings, inventory, faults: Mapping[int, Callable[[int], None]]) -> Played:
    """Play site.yml; what happens to a phone is done when that has measured its first run."""

    def do(i: int) -> None:
        wait_for(f"a run of phone {i}", 120, lambda: on_phone(lab, i, settings), pause_s=0.1)
        faults[i](i)

    with ThreadPoolExecutor() as pool:
        done = [pool.submit(do, i) for i in faults]
        played = site(settings, inventory, lab.environment)
        for each in done:
            each.result()
    return played


def unreachable(played: Played) -> str:
    """What the user reads of the one phone that could not be reached."""
    (said,) = {
        event["event_data"]["res"]["msg"] for event in played.events if event["event"] == "runner_on_unreachable"
    }
    return said


def test_binary_and_app_are_measured_with_delegates(settings, tmp_path):
    apk = tmp_path / "benchmark_model.apk"
    apk.write_bytes(b"PK\3\4")
    settings |= {
        "campaign_delegates": ["default", "gpu", "nnapi"],
        "campaign_min_repetitions": 1,
        "campaign_runners": ["benchmark_model", "benchmark_apk"],
        "campaign_variants": ["float32"],
        "benchmark_apk_path": str(apk),
    }
    with started(AdbLab(1)) as lab:
        lab.answer(0, "benchmark_model_gpu", PARTLY)
        assert site(settings, lab.inventory(), lab.environment).changed() > 0
        runs = rows(tmp_path)
        assert {(run["runner"], run["delegate"]): (run["status"], run["delegation"]) for run in runs} == {
            (runner, delegate): said
            for runner in settings["campaign_runners"]
            for delegate, said in {
                "default": ("ok", ""),
                "gpu": ("ok", "partly"),
                "nnapi": ("invalid", "not at all"),
            }.items()
        }
        assert {run["platform"] for run in runs} == {"Xiaomi Mi A2"}
        assert {run["avg_inference_ms"] for run in runs} == {"60.2555"}, "the stand-in's"
        assert {(run["battery_percent"], run["plugged"], run["screen"]) for run in runs} == {("84", "usb", "on")}
        facts = json.loads((tmp_path / f"logs/{tmp_path.name}/phone0/host.json").read_text())
        assert (facts["android"], facts["android_api"], facts["os"]) == ("10", 29, "Android 10")
        assert facts["gpu"] == "Adreno (TM) 512, OpenGL ES 3.2 V@331.0"

        assert site(settings, lab.inventory(), lab.environment).changed() == 0
        assert len(starts(lab, 0)) == 3, "the app has a program of its own"
        still = ("-s", lab.serial(0), "shell", "pidof sleep || true")
        wait_for("the end of the app", 10, lambda: not lab.adb(*still).strip())
        left = {path.name for path in (lab.root(0) / "data/local/tmp").iterdir()}
        assert left == {"edgebench", "lost+found", Path(STARTS).name}, "nothing is left anywhere else"


def test_faults_cost_nothing_but_time(settings, tmp_path):
    """A phone each: a link that breaks, one that is silent, a reboot, a full disk, and one that does not trust us."""
    breaks, silent, reboots, full, trusts_nobody = range(5)
    every_run = sorted(f"phone{i}" for i in range(5) for _ in range(4))
    settings |= {"campaign_min_repetitions": 4, "campaign_variants": ["float32"]}  # so the report has little to draw
    measured = {}

    def cut(i: int, how: str) -> None:
        lab.cut(i, how)
        time.sleep(4)
        lab.heal(i)

    def fill(i: int) -> None:
        lab.fill(i)
        measured.update(on_phone(lab, i, settings))

    faults = {breaks: partial(cut, how="reset"), silent: partial(cut, how="silent"), full: fill}
    with started(AdbLab(5)) as lab:
        lab.authorize(trusts_nobody, False)
        inventory = lab.inventory(adb_silence_s=1)
        inventory["all"]["hosts"][f"phone{trusts_nobody}"]["adb_timeout_s"] = 1  # nobody will unlock it
        first = meanwhile(lab, settings, inventory, faults | {reboots: lab.reboot})
        assert first.rc != 0
        assert set(first.stats["dark"]) == {f"phone{trusts_nobody}"}
        assert "unauthorized" in unreachable(first)
        assert "\n" not in unreachable(first)
        assert set(first.stats["failures"]) == {f"phone{full}"}, first.stdout
        assert "no space" in first.failure().lower() or "free" in first.failure()
        done = [run["host"] for run in rows(tmp_path)]
        assert {i: done.count(f"phone{i}") for i in (breaks, silent, reboots)} == {breaks: 4, silent: 4, reboots: 4}

        lab.make_room(full)
        lab.authorize(trusts_nobody, True)
        assert site(settings, lab.inventory(), lab.environment).changed() > 0
        assert sorted(run["host"] for run in rows(tmp_path)) == every_run
        after = on_phone(lab, full, settings)
        assert {name: after[name] for name in measured} == measured
        began = [len(starts(lab, i)) for i in range(5)]
    assert (began[breaks], began[silent]) == (4, 4), "they measured on, and nothing twice"
    assert 4 <= began[reboots] <= 5, "only the run that the reboot ended began anew"
    boots = {
        line
        for path in (tmp_path / f"logs/{tmp_path.name}/phone{reboots}/runs").glob("*.meta")
        for line in path.read_text().splitlines()
        if line.startswith("boot_id=")
    }
    assert len(boots) == 2
