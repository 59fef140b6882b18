"""site.yml with TensorFlow's app on Android phones, over adb; the app is a stand-in, which knows delegates."""

from __future__ import annotations

import csv

import pytest

from tests.fake_phone import PACKAGE, FakePhone
from tests.labs.adblab import AdbLab
from tests.labs.skipping import started
from tests.playing import ROOT, play, tiny_campaign


@pytest.fixture
def lab():
    with started(AdbLab(1)) as lab:
        yield lab


def test_binary_and_app_are_measured_side_by_side(lab, tmp_path):
    stand_in = ROOT / "tests/data/android/benchmark_model.sh"
    phone = FakePhone.in_lab(lab.root(0), stand_in)
    settings = tiny_campaign(
        tmp_path,
        campaign_runners=["benchmark_model", "benchmark_apk"],
        campaign_variants=["float32"],
        campaign_delegates=["default", "gpu", "nnapi"],
        campaign_min_repetitions=1,
        benchmark_model_path=str(stand_in),
        benchmark_apk_path={"android_x86-64": str(phone.apk), "android_aarch64": str(phone.apk)},
        benchmark_run_poll_s=1,
    )
    play(ROOT / "site.yml", lab.inventory(), envvars=lab.environment, **settings).changed()
    with (tmp_path / "results/tables/runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    found = {(run["runner"], run["delegate"]): (run["status"], run["delegation"]) for run in runs}
    assert found == {
        (runner, delegate): verdict
        for runner in ("benchmark_model", "benchmark_apk")
        for delegate, verdict in {
            "default": ("ok", ""),
            "gpu": ("ok", "completely"),
            "nnapi": ("invalid", "not at all"),
        }.items()
    }
    assert {run["avg_inference_ms"] for run in runs} == {"60.2555"}
    assert phone.asked[0].startswith("pm install ")
    assert phone.asked[-1] == f"force-stop {PACKAGE}"
