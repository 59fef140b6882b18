"""A/A: the same model under two names comes out "not distinguishable", on a real machine and in many made-up ones."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils import plan

from analysis import stats, tables
from analysis.campaign import read
from analysis.study import Study
from tests.rendering import ROOT, render_run_script
from tests.run_host import Host
from tests.unit.datasets import dataset, run

AVG = "avg_inference_ms"
NAMES = ("float32", "again")
REPETITIONS = 6
RUNNER = {"argv": [sys.executable, str(ROOT / "runners/litert.py")], "environment": {}, "version": "1"}


@pytest.fixture
def campaign(tmp_path):
    """The logs of a campaign that the run script made here of one model file under two names."""
    host = Host("dash", tmp_path / "host" / "run")
    (host.run_dir / "models").mkdir(parents=True)
    shutil.copy(ROOT / "tests/data/models/convolution.float32.tflite", host.run_dir / "models/same.tflite")
    settings = {f"__benchmark_run_{root}": str(host.machine / root) for root in ("sys", "proc")}
    settings["benchmark_run_retries"] = 0
    host.script.write_text(render_run_script(host.run_dir, {"litert": RUNNER}, **settings))
    entries = [{"model": "Same", "variant": name, "file": "same.tflite", "sha256": "0" * 64} for name in NAMES]
    asked = {"models": ["Same"], "variants": NAMES, "runners": ["litert"], "threads": [1], "delegates": ["default"]}
    asked |= {"flags": "--num_runs=100 --min_secs=0 --warmup_min_secs=0", "max_repetitions": REPETITIONS}
    rows = plan.build("here", asked, entries, seed=1, timeout_s=60)
    (host.run_dir / "plan.tsv").write_text(plan.to_tsv(rows))
    done = host()
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(host.run_dir, tmp_path / "logs" / "aa" / "here")
    yield tmp_path / "logs"
    host.clean_up()


def test_a_real_campaign_finds_no_difference_between_a_model_and_itself(campaign):
    found = read([campaign])
    assert found.problems == []
    runs = found.runs
    # On a busy machine runs are invalid, and rightly so; between two names for one file nothing may differ even then.
    assert set(runs["status"]) <= {"ok", "invalid"}
    row = tables.speedups(Study(replace(found, runs=runs.assign(status="ok"))), AVG, "float32").iloc[0]
    assert (row["n_baseline"], row["n_candidate"], row["method"]) == (
        REPETITIONS,
        REPETITIONS,
        "Fieller, paired by block",
    )
    # 0.05 would be undercut once in 20 times; this is once in 10,000.
    assert row["p_value"] > 1e-4
    half_width = (row["ci_high"] - row["ci_low"]) / 2
    assert abs(row["speedup"] - 1) < 4 * half_width


def test_of_many_campaigns_without_differences_few_have_a_false_verdict():
    """400 machines, 7 models under two names each, 10 blocks; Holm's correction keeps a machine's errors below 5 %."""
    random, machines = np.random.default_rng(3), 400
    rows = []
    for number in range(machines):
        times = 5 + 0.1 * random.normal(size=(10, 1, 1)) + 0.1 * random.normal(size=(10, 7, 2))
        rows += [
            run(host=f"h{number}", model=f"m{i}", variant=name, repetition=b, block=b, avg_inference_ms=times[b, i, j])
            for b, i in np.ndindex(10, 7)
            for j, name in enumerate(NAMES)
        ]
    table = tables.speedups(Study(dataset(rows)), AVG, "float32")
    wrong = table["verdict"].isin((stats.FASTER, stats.SLOWER)).groupby(table["host"]).any()
    assert len(wrong) == machines
    assert wrong.mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / machines)
    # Uncorrected, the tests are wrong as often as they say, and not more seldom: they could find something.
    models = table[table["model"] != tables.GEOMEAN]
    for p in (models["p_value"], models["p_rank"]):
        assert 0.04 <= (p < stats.ALPHA).mean() <= 0.06
