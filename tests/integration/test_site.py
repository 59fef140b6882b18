"""site.yml against inventory/local with a small model, for real."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.campaign import read
from analysis.check import violations
from tests.playing import ROOT, environment, play, tiny_campaign
from tests.unit import colours

HOST = "this-machine"


@pytest.fixture
def settings(tmp_path):
    return tiny_campaign(tmp_path, benchmark_work_dir=str(tmp_path / "work"))


def site(settings, **more):
    return play(ROOT / "site.yml", str(ROOT / "inventory/local"), **settings, **more)


def files(directory: Path) -> dict[str, int]:
    """When each file was written; without the note of which play is at it."""
    return {
        str(path.relative_to(directory)): path.stat().st_mtime_ns
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".player"
    }


def test_played_twice_it_measures_once(settings, tmp_path):
    checked = play(ROOT / "site.yml", str(ROOT / "inventory/local"), check=True, campaign_name="demo", **settings)
    assert checked.rc == 0, checked.stdout
    assert not (tmp_path / "logs").exists(), "check mode measures and writes nothing"

    settings["benchmark_report_plots"] = True
    first = site(settings, campaign_name="demo")
    assert first.changed() > 0
    assert "4 of 4 runs" in first.stdout
    home = tmp_path / "logs/demo"
    campaign = json.loads((home / "campaign.json").read_text())
    assert campaign["hosts"] == [HOST]
    assert campaign["settings"]["models"] == ["image"]
    assert campaign["runners"][HOST]["litert"]["version"]
    assert {model["variant"] for model in campaign["models"]} == {"float32", "int8"}
    host = json.loads((home / HOST / "host.json").read_text())
    assert host["kernel"] == os.uname().release
    logs = sorted((home / HOST / "runs").glob("*.log"))
    assert len(logs) == 4
    assert all(log.with_suffix(".meta").exists() for log in logs)
    assert violations([tmp_path / "logs"]) == []

    with (tmp_path / "results/tables/runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [run["status"] for run in runs] == ["ok"] * 4
    assert all(float(run["avg_inference_ms"]) >= 0 for run in runs)
    assert (tmp_path / "results/report.html").exists()
    assert list((tmp_path / "results/plots").glob("*.png"))

    before = files(tmp_path / "logs")
    second = site(settings, campaign_name="demo")
    assert second.changed() == 0, second.stdout
    assert files(tmp_path / "logs") == before


def test_the_official_binary_is_one_setting_away(settings, tmp_path):
    binary = ROOT / "tests/data/fake_benchmark_model.sh"
    settings |= {"campaign_runners": ["benchmark_model"], "benchmark_model_path": str(binary), "campaign_name": "demo"}
    settings["campaign_logs_dir"] = os.path.relpath(tmp_path / "logs", ROOT)  # relative paths begin at the checkout
    assert site(settings).changed() > 0
    with (tmp_path / "results/tables/runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert {(run["runner"], run["status"], run["avg_inference_ms"]) for run in runs} == {
        ("benchmark_model", "ok", "60.2555")
    }
    recorded = json.loads((tmp_path / "logs/demo/campaign.json").read_text())["runners"][HOST]["benchmark_model"]
    assert recorded["sha256"] == hashlib.sha256(binary.read_bytes()).hexdigest()


def test_models_are_made_before_any_host_is_reached(settings):
    del settings["benchmark_work_dir"]
    hosts = {"pi5": {"ansible_host": "192.0.2.1"}}  # an address that nobody has
    assert play(ROOT / "playbooks/models.yml", {"all": {"hosts": hosts}}, **settings).changed() > 0


def test_without_a_name_an_unfinished_campaign_goes_on_and_a_finished_one_does_not(settings, tmp_path):
    site(settings)
    (name,) = [path.name for path in (tmp_path / "logs").iterdir()]
    assert site(settings).rc == 0
    assert len(list((tmp_path / "logs").iterdir())) == 2, "a finished campaign is not measured again, a new one begins"
    (tmp_path / f"logs/{name}/{HOST}/DONE").unlink()  # as if the link had broken before the last file came home
    resumed = site(settings)
    assert f"Going on with campaign {name}" in resumed.stdout
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_a_play_that_is_killed_goes_on_where_it_was(settings, tmp_path):
    settings |= {"campaign_name": "killed", "campaign_flags": "--num_runs=5 --min_secs=1 --warmup_min_secs=0.01"}
    settings["campaign_min_repetitions"] = 3
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "site.yml", "-i", "inventory/local"]
    process = subprocess.Popen(
        [*command, "-e", json.dumps(settings)],
        cwd=ROOT,
        env=os.environ | environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    runs = tmp_path / "work/campaigns/killed/runs"
    deadline = time.monotonic() + 120
    while len(list(runs.glob("*.meta"))) < 2:
        assert time.monotonic() < deadline, "no second run within 120 s"
        assert process.poll() is None, "the play ended early"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    measured = {name: when for name, when in files(runs).items() if name.endswith(".meta")}

    again = site(settings)
    assert again.rc == 0, again.stdout
    after = files(runs)
    assert len(after) == 12
    assert {name: after[name] for name in measured} == measured, "a run that was there was measured again"
    assert sorted(files(tmp_path / f"logs/killed/{HOST}/runs")) == sorted(after)


def test_a_host_that_lost_its_directory_measures_only_what_is_not_home(settings, tmp_path):
    """The last run, which is lost, is one that classifies images."""
    (tmp_path / "networks").mkdir()
    for model in (ROOT / "tests/data/models").glob("colours.*.tflite"):
        shutil.copy(model, tmp_path / "networks")
    colours.write(tmp_path / "networks/colours.held_out.npz")
    settings |= {"campaign_models": ["colours"], "benchmark_models_source_dir": str(tmp_path / "networks")}
    settings["campaign_name"] = "demo"
    site(settings)
    home = tmp_path / f"logs/demo/{HOST}"
    (home / "DONE").unlink()
    lost = sorted((home / "runs").iterdir())[-2:]  # log and sidecar of the last run never came home
    for path in lost:
        path.unlink()
    before = files(home / "runs")
    shutil.rmtree(tmp_path / "work/campaigns")
    again = site(settings)
    assert again.rc == 0, again.stdout
    after = files(home / "runs")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {path.name for path in lost}
    found = read([tmp_path / "logs"])
    assert found.runs["phase"].value_counts().to_dict() == {"measure": 4, "evaluate": 2}
    assert {(*one.predictions,) for one in found.evaluations.values()} == {(*colours.COLOURS,)}
    assert len(found.evaluations) == 2
    assert violations([tmp_path / "logs"]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"campaign_models": ["NoSuchNet"]}, "NoSuchNet", id="unknown model"),
        pytest.param({"campaign_variants": ["int3"]}, "int3", id="unknown variant"),
        pytest.param(
            {"campaign_profile": "fast"},
            "There is no profile 'fast'; campaign_profiles has: quick, study",
            id="profile",
        ),
        pytest.param({"campaign_delegates": ["gpx"]}, "gpx", id="unknown delegate"),
        pytest.param({"campaign_max_repetitions": 1}, "campaign_max_repetitions 1; expected", id="repetitions"),
        pytest.param({"campaign_logs_dir": "/proc/nowhere"}, "choose another campaign_logs_dir", id="unwritable logs"),
        pytest.param({"benchmark_models_source_dir": "/nowhere"}, "/nowhere", id="no models"),
        pytest.param({"benchmark_run_pin_cpus": "4096"}, "benchmark_run_pin_cpus is '4096'", id="no such CPU"),
    ],
)
def test_a_mistake_gets_one_clear_line(settings, changes, message):
    played = site(settings | changes)
    assert message in played.failure()
    assert "Traceback" not in played.stdout


def test_logs_that_differ_are_never_overwritten(settings, tmp_path):
    settings["campaign_name"] = "demo"
    site(settings)
    log = next((tmp_path / f"logs/demo/{HOST}/runs").glob("*.log"))
    log.write_text("somebody's notes")
    played = site(settings)
    assert f"{log} differs from the host's file of that name" in played.failure()
    assert log.read_text() == "somebody's notes"
