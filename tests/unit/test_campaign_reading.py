"""Directories to a dataset: layouts, sidecars, what is missing, and the columns that everything else builds on."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis import sidecar, tables
from analysis.campaign import COLUMNS, METRICS, model_and_variant, read
from analysis.errors import AnalysisError
from analysis.study import Study

DATA = Path(__file__).resolve().parent.parent / "data"
CAMPAIGNS = DATA / "campaigns"
HELD_BACK = "the machine was held back during the run"
LOG = "0001_MobileNet.float32.litert.t4_r1.log"


@pytest.fixture
def logs_dir(tmp_path):
    """A copy of the campaign `demo`, free to be damaged."""
    return Path(shutil.copytree(CAMPAIGNS / "logs", tmp_path / "logs"))


@pytest.fixture
def pi(logs_dir):
    return logs_dir / "demo" / "pi"


def one(path: Path, log: str = LOG) -> pd.Series:
    runs = read([path]).runs
    return runs[runs["log"].str.endswith(log)].iloc[0]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# --- A campaign of ours ------------------------------------------------------------------------------------------


def test_a_campaign():
    dataset = read([CAMPAIGNS / "logs"])
    runs = dataset.runs
    assert [*zip(runs["host"], runs["variant"], runs["repetition"], runs["status"], strict=True)] == [
        ("nuc", "float32", 1, "ok"),
        ("pi", "float32", 1, "ok"),
        ("pi", "dynamic_range", 1, "ok"),
        ("pi", "dynamic_range", 2, "failed"),
        ("pi", "float32", 2, "invalid"),
        ("pi", "float32", 3, "invalid"),
    ]
    assert list(runs["reason"]) == [
        "",
        "",
        "",
        "stopped at the time limit of 600 s; no 'Inference timings' line: the log stops during the warm-up",
        "the machine was held back during the run: under-voltage, throttled",
        "its sidecar is missing, so how it ended is unknown",
    ]
    assert dataset.campaigns["demo"]["seed"] == 123
    assert dataset.hosts == {("demo", "nuc"): {}, ("demo", "pi"): dataset.hosts["demo", "pi"]}
    assert dataset.hosts["demo", "pi"]["cpus"] == 4
    assert dataset.plans["demo", "nuc"] is None
    assert [line["batch_size"] for line in dataset.plans["demo", "pi"]] == ["-"] * 3
    assert dataset.unfinished == {("demo", "unreachable"): "nothing has come home"}
    assert dataset.problems == [
        "demo/pi/runs/0007_MobileNet.int8.litert.t4_r1.meta: a sidecar without a log",
        "demo/pi: 2 of 6 planned runs have no log (0007_MobileNet.int8.litert.t4_r1, 0008_MobileNet.int8.litert.t4_r2)",
    ]


def test_all_columns_of_a_run():
    row = one(CAMPAIGNS / "logs").to_dict()
    assert {key: value for key, value in row.items() if not pd.isna([value]).all()} == {
        "campaign": "demo",
        "host": "pi",
        "platform": "Raspberry Pi 5",
        "arch": "aarch64",
        "model": "MobileNet",
        "variant": "float32",
        "runner": "litert",
        "threads": 4,
        "delegate": "default",
        "repetition": 1,
        "status": "ok",
        "reason": "",
        "init_time_ms": 12.345,
        "init_inference_ms": 12.345,
        "first_inference_ms": 9.001,
        "warmup_inference_ms": 8.1235,
        "avg_inference_ms": 8.05025,
        "std_inference_ms": 0.12,
        "min_inference_ms": 7.7,
        "max_inference_ms": 8.5,
        "median_inference_ms": 8.04,
        "p95_inference_ms": 8.4,
        "iterations": 124,
        "memory_init_mb": 17.8438,
        "memory_overall_mb": 22.8438,
        "log": f"demo/pi/runs/{LOG}",
        "block": 1,
        "start_utc": "2026-11-20T13:01:00Z",
        "end_utc": "2026-11-20T13:01:10Z",
        "duration_s": 10.5,
        "exit_code": 0,
        "model_size_mb": 16.8617,
        "weights": "random",
        "model_sha256": "aa11" * 16,
        "runner_version": "2.3.0",
        "runner_sha256": "cc33" * 16,
        "cpu_per_wall": 3.0,
        "steal_percent": 2.5,  # 100 of 4000 ticks
        "other_cpu_percent": 3.75,  # 2100 busy ticks, 19.5 s of them the runner's: 150 of 4000
        "load1_before": 0.12,
        "temperature_before_c": 41.2,
        "temperature_after_c": 63.9,
        "throttled_after": "0x0",
        "governor": "performance",
        "warnings": "",
        "cpu_mhz_before": 2400.0,
        "turbo": "",
        "control": "none",
        "phase": "measure",
        "energy_meter": "",
        "delegation": "",
        "plugged": "",
        "screen": "",
        "outlier": "",
        "call": "",
        "target": "",
        "arithmetic": "",
        "iteration_wall_us": [8000, 8100, 8050],
    }


def test_time_and_throughput_of_an_image_and_the_operations_of_its_model(logs_dir):
    """A file for each input size: the sum tells which one it was, else the size does."""
    edit(
        logs_dir / "demo" / "pi" / "runs" / LOG.replace(".log", ".meta"),
        "batch_size=-\ninput_size=-",
        "batch_size=8\ninput_size=448",
    )
    record = json.loads((logs_dir / "demo" / "campaign.json").read_text())
    entry = record["models"][0]
    other = entry | {"input_size": 224, "sha256": "other", "macs": 569, "weights": "imagenet"}
    record["models"] = [other, entry | {"batch_size": 8, "input_size": 448, "macs": 2276}]
    for changed in ({}, {"sha256": "unknown"}):
        record["models"][1] |= changed
        (logs_dir / "demo" / "campaign.json").write_text(json.dumps(record))
        run = one(logs_dir, f"pi/runs/{LOG}")
        assert run[["macs", "weights"]].tolist() == [2276, "random"]
        assert run["latency_per_image_ms"] == pytest.approx(8.05025 / 8)
        assert run["images_per_s"] == pytest.approx(8000 / 8.05025)


def test_what_a_runner_says_of_memory_comes_before_its_exit_code(pi):
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "exit_code=0", "exit_code=1")
    (pi / "runs" / LOG).write_text("INFO: STARTING!\nERROR: out of memory: 800 MB more\nERROR: Benchmarking failed.\n")
    assert one(pi)["reason"] == "out of memory: 800 MB more; exit code 1"


def test_columns_have_their_types_and_no_text_is_nan():
    runs = read([CAMPAIGNS]).runs
    assert {name: str(kind) for name, kind in runs.dtypes.items()} == COLUMNS
    assert list(runs.columns) == list(COLUMNS)
    assert runs.select_dtypes("str").notna().all().all()


def test_failed_runs_have_no_numbers():
    runs = read([CAMPAIGNS]).runs
    failed = runs[runs["status"] == "failed"]
    assert len(failed) == 2
    assert failed[[*METRICS, "iterations", "model_size_mb", "cpu_per_wall", "iteration_wall_us"]].isna().all().all()


def test_reading_twice_gives_the_same():
    pd.testing.assert_frame_equal(read([CAMPAIGNS]).runs, read([CAMPAIGNS]).runs)


@pytest.mark.parametrize(
    ("old", "new", "status", "reason"),
    [
        ("exit_code=0", "exit_code=137", "failed", "killed, most often because memory ran out (exit code 137)"),
        ("exit_code=0", "exit_code=139", "failed", "crashed with a segmentation fault (exit code 139)"),
        ("exit_code=0", "exit_code=143", "failed", "ended by SIGTERM (exit code 143)"),
        ("exit_code=0", "exit_code=3", "failed", "exit code 3"),
        ("exit_code=0", "exit_code=127", "failed", "the runner was not found (exit code 127)"),
        ("timed_out=0", "timed_out=1", "failed", "stopped at the time limit of 600 s"),
        ("timed_out=0", "failure=disk full while logging", "failed", "disk full while logging"),
        ("complete=1\n", "", "invalid", "the sidecar is cut short"),
        ("exit_code=0\n", "", "invalid", "the sidecar has no exit code"),
        ("after.throttled=0x0", "after.throttled=0x4", "invalid", f"{HELD_BACK}: throttled"),
        ("after.throttled=0x0", "after.throttled=0x20000", "invalid", f"{HELD_BACK}: frequency capped"),
        ("after.throttled=0x0", "after.throttled=", "ok", ""),
        ("after.throttled=0x0", "after.throttled=4", "invalid", f"{HELD_BACK}: throttled"),
        ("boot_id", "during.throttled=0x2\nboot_id", "invalid", f"{HELD_BACK}: frequency capped"),
        ("boot_id", "before.thermal_throttle_count=7\nafter.thermal_throttle_count=9\nboot_id", "invalid",
         "the CPUs were throttled for heat during the run (2 times)"),
        ("boot_id", "before.pages_swapped=10\nafter.pages_swapped=266\nboot_id", "invalid",
         "the machine swapped during the run (256 pages)"),
        ("boot_id", "before.pages_swapped=10\nafter.pages_swapped=265\nboot_id", "ok", ""),
        ("boot_id", "before.pages_swapped=14\nafter.pages_swapped=10\nboot_id", "ok", ""),
        ("boot_id", "before.pages_swapped=1\nafter.pages_swapped=x\nboot_id", "ok", ""),
        ("after.governor=performance", "after.governor=powersave", "invalid",
         "the frequency governor changed during the run, from performance to powersave"),
        ("after.throttled=0x0", "after.throttled=0x4\ninvalid=throttled; swapped", "invalid", "throttled; swapped"),
        ("exit_code=0", "exit_code=3\ninvalid=throttled", "failed", "exit code 3"),
        ("after.cpu_ticks=", "after.cpu_ticks=x ", "ok", ""),
        ("model_file=MobileNet.float32.tflite", "model_file=VGG16", "invalid",
         "the log is of 'MobileNet.float32.tflite', but the sidecar says 'VGG16'"),
        ("threads=4\n", "threads=1\n", "invalid", "the log is of 4 threads, but the sidecar says 1"),
        ("boot_id", "before.thermal_status=0\nafter.thermal_status=2\nboot_id", "invalid",
         "the phone's thermal status is 2 (moderate)"),
        ("boot_id", "before.thermal_status=0\nafter.thermal_status=0\nbefore.power_save=0\nboot_id", "ok", ""),
        ("boot_id", "before.thermal_status=9\nboot_id", "ok", ""),
        ("boot_id", "after.power_save=1\nboot_id", "invalid", "the phone's battery saver is on"),
        ("boot_id", "before.suspends=7\nafter.suspends=8\nboot_id", "invalid",
         "the phone slept during the run (1 times)"),
        ("boot_id", "before.suspends=7\nafter.suspends=7\nboot_id", "ok", ""),
    ],
)  # fmt: skip
def test_what_a_sidecar_says(pi, old, new, status, reason):
    edit(pi / "runs" / LOG.replace(".log", ".meta"), old, new)
    row = one(pi)
    assert (row["status"], row["reason"]) == (status, reason)
    assert pd.isna(row["avg_inference_ms"]) == (status == "failed")


def test_throttling_that_was_over_before_the_run_is_no_doubt(pi):
    sidecar_file = pi / "runs" / LOG.replace(".log", ".meta")
    edit(sidecar_file, "before.throttled=0x0", "before.throttled=0x50000")
    edit(sidecar_file, "after.throttled=0x0", "after.throttled=0x50000")
    assert one(pi)["status"] == "ok"


def test_how_much_of_a_run_its_delegate_executed(pi):
    text = (
        (CAMPAIGNS.parent / "logs/made/delegate_gpu.log")
        .read_text()
        .replace("MobileNet.tflite", "MobileNet.float32.tflite")
    )
    took = "VERBOSE: Replacing 59 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions.\n"
    (pi / "runs" / LOG).write_text(text.replace("INFO: Explicitly", took + "INFO: Explicitly"))
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "delegate=default", "delegate=gpu")
    row = one(pi)
    assert row[["delegation", "delegated_nodes", "graph_nodes", "status"]].tolist() == ["partly", 59, 64, "ok"]


def test_the_phone_around_a_run(pi):
    of_phone = ("battery_percent", "battery_temperature_c", "plugged", "thermal_status", "screen")
    assert one(pi)[list(of_phone)].isin([""]).sum() + one(pi)[list(of_phone)].isna().sum() == 5
    state = {
        "battery_percent": (80, 79), "battery_temperature_c": ("31.2", "33.9"), "battery_status": ("charging",) * 2,
        "plugged": ("usb", "none"), "thermal_status": (0, 0), "screen": ("on", "on"),
    }  # fmt: skip
    lines = [f"{when}.{key}={pair[i]}\n" for key, pair in state.items() for i, when in enumerate(("before", "after"))]
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "boot_id", "".join(lines) + "boot_id")
    row = one(pi)
    assert row[list(of_phone)].tolist() == [80, 33.9, "usb, none", 0, "on"]
    assert row["status"] == "ok"


def test_a_machine_that_was_not_fit_is_a_warning(pi):
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "boot_id", "unfit=3 other processes\nboot_id")
    assert one(pi)["warnings"] == "the machine did not become fit to measure: 3 other processes"


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        ("", "failed", "no benchmark run in the log"),
        ("text\n", "failed", "no benchmark run in the log"),
        ("twice", "failed", "the log holds 2 runs, not 1"),
    ],
)
def test_a_log_is_one_run(pi, content, status, reason):
    log = pi / "runs" / LOG
    log.write_text(log.read_text() * 2 if content == "twice" else content)
    row = one(pi)
    assert (row["status"], row["reason"], row["model"]) == (status, reason, "MobileNet")


def test_the_plan_tells_what_a_run_without_a_sidecar_was():
    row = one(CAMPAIGNS / "logs", "0005_MobileNet.float32.litert.t4_r3.log")
    assert (row["runner"], row["threads"], row["block"], row["repetition"]) == ("litert", 4, 3, 3)
    assert pd.isna(row["batch_size"])


def test_without_plan_and_sidecar_the_log_tells(pi):
    (pi / "plan.tsv").unlink()
    row = one(pi, "0005_MobileNet.float32.litert.t4_r3.log")
    assert (row["model"], row["variant"], row["threads"]) == ("MobileNet", "float32", 4)
    assert (row["status"], row["reason"]) == ("invalid", "its sidecar is missing, so how it ended is unknown")


def test_missing_runs_of_a_fixed_number_of_repetitions(logs_dir):
    edit(logs_dir / "demo" / "campaign.json", '"min_repetitions": 2', '"min_repetitions": 3')
    assert "demo/pi: 3 of 8 planned runs have no log (0006_MobileNet.dynamic_range.litert.t4_r3, " in "\n".join(
        read([logs_dir]).problems
    )


def test_a_host_that_is_not_through_its_plan(pi):
    """Without DONE there is more to come, and how much is said in one place."""
    (pi / "DONE").unlink()
    dataset = read([pi.parent])
    assert dataset.unfinished == {
        ("demo", "pi"): "5 of 8 runs",
        ("demo", "unreachable"): "nothing has come home",
    }
    assert not any("planned runs" in problem for problem in dataset.problems)
    shutil.rmtree(pi / "runs")
    (pi / "host.json").rename(pi.parent / "nuc" / "host.json")
    assert read([pi.parent]).unfinished["demo", "pi"] == "0 of 8 runs"
    shutil.rmtree(pi)
    assert read([pi.parent]).unfinished["demo", "pi"] == "nothing has come home"


def test_what_left_the_plan_is_not_missing(pi):
    """int8 never worked, float32 was narrow after block 2; of dynamic_range all blocks were due."""
    setting = "litert\t4\tdefault\t-\t-"
    lines = ["model variant runner threads delegate batch_size input_size block reason".replace(" ", "\t")]
    lines += [f"MobileNet\tint8\t{setting}\t0\tnever worked", f"MobileNet\tfloat32\t{setting}\t2\tnarrow"]
    (pi / "stopping.tsv").write_text("\n".join(lines) + "\n")
    problems = [problem for problem in read([pi]).problems if "planned" in problem]
    assert problems == ["demo/pi: 1 of 5 planned runs have no log (0006_MobileNet.dynamic_range.litert.t4_r3)"]
    (pi / "DONE").unlink()
    assert read([pi]).unfinished["demo", "pi"] == "4 of 5 runs"
    plan = (pi / "plan.tsv").read_text().splitlines()
    last = plan[-1].replace("0008_", "0009_").replace("t4_r2\t2\t2", "t4_r1\t0\t1")
    (pi / "plan.tsv").write_text("\n".join([*plan, last]) + "\n")
    assert read([pi]).unfinished["demo", "pi"] == "4 of 6 runs"  # pilot and profile runs have block 0


def test_what_did_not_fit_is_not_missing_at_a_fixed_number_of_repetitions(pi):
    edit(pi.parent / "campaign.json", '"min_repetitions": 2', '"min_repetitions": 3')
    lacking = [problem for problem in read([pi]).problems if "planned" in problem]
    assert "0006_MobileNet.dynamic_range" in lacking[0]
    header = "model variant runner threads delegate batch_size input_size block reason".replace(" ", "\t")
    left = "MobileNet\tdynamic_range\tlitert\t4\tdefault\t-\t-\t1\tout of memory"
    (pi / "stopping.tsv").write_text(f"{header}\n{left}\n")
    lacking = [problem for problem in read([pi]).problems if "planned" in problem]
    assert not any("0006_MobileNet.dynamic_range" in problem for problem in lacking)


def test_a_host_that_cannot_choose_from_a_pilot_lacks_none(pi):
    header, *lines = (pi / "plan.tsv").read_text().splitlines()
    phases = ["phase", *(["measure"] * (len(lines) - 1)), "pilot"]
    (pi / "plan.tsv").write_text(
        "".join(f"{line}\t{phase}\n" for line, phase in zip([header, *lines], phases, strict=True))
    )
    assert [problem for problem in read([pi]).problems if "1 of 5 planned runs have no log" in problem]
    (pi / "iterations.tsv").write_text("model\treason\n")
    assert [problem for problem in read([pi]).problems if "2 of 6 planned runs have no log" in problem]


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        ("pilot", "pilot: it chose the number of iterations, and is no repetition"),
        ("profile", "profile: measured with operator profiling on, and is no repetition"),
    ],
)
@pytest.mark.parametrize("where", ["sidecar", "plan"])
def test_pilot_and_profile_runs_are_no_repetitions(pi, phase, reason, where):
    meta = pi / "runs" / LOG.replace(".log", ".meta")
    if where == "sidecar":
        edit(meta, "repetition=1\n", f"repetition=1\nphase={phase}\n")
    else:
        meta.write_text(meta.read_text().partition("run=")[0])
        header, *lines = (pi / "plan.tsv").read_text().splitlines()
        lines = [f"{line}\t{phase if line.startswith('0001') else 'measure'}" for line in lines]
        (pi / "plan.tsv").write_text("\n".join([f"{header}\tphase", *lines]) + "\n")
    dataset = read([pi])
    row = dataset.runs.iloc[0]
    assert (row["phase"], row["status"]) == (phase, "invalid")
    assert row["reason"].startswith(f"{phase}: " if where == "plan" else reason)
    study = Study(dataset)
    assert [*study.runs["log"]] == [*dataset.runs["log"][1:]]
    assert len(tables.runs(study)) == len(dataset.runs)
    edit(pi / "runs" / LOG, "Inference timings in us", "Inference timings")
    assert read([pi]).runs.iloc[0]["status"] == "failed"


EVALUATED = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [4]
INFO: Graph: [models/MobileNet.float32.tflite]
INFO: Signature to run: []
INFO: #threads used for CPU inference: [4]
INFO: Evaluate: [MobileNet.held_out.npz]
INFO: Loaded model models/MobileNet.float32.tflite
INFO: The input model file size (MB): 16.8617
INFO: Initialized session in 12.345ms.
EDGEBENCH runner={"name": "litert", "version": "2.3.0"}
EDGEBENCH evaluation={"file": "MobileNet.held_out.npz", "file_sha256": "ab12", "evaluated_on": "digits", "remark": "",\
 "classes": ["a", "b", "c"], "labels": [0, 1, 2, 2], "predicted": [0, 1, 2, 1], "top_5_correct": null}
""".replace("\\\n", "")


@pytest.fixture
def evaluated(pi):
    """The sidecar of a run that classified images, and its log beside it."""
    meta = pi / "runs" / LOG.replace(".log", ".meta")
    edit(meta, "repetition=1\n", "repetition=1\nphase=evaluate\n")
    (pi / "runs" / LOG).write_text(EVALUATED)
    return meta


def test_a_run_that_classified_images_is_ok_and_no_repetition(pi, evaluated):
    edit(
        evaluated, "after.throttled=0x0", "after.throttled=0x50005"
    )  # it classifies alike on a machine that is held back
    dataset = read([pi])
    row = dataset.runs.iloc[0]
    assert (row["phase"], row["status"], row["reason"], row["warnings"]) == ("evaluate", "ok", "", "")
    assert (row["init_time_ms"], row["model_size_mb"]) == (12.345, 16.8617)
    assert row[list(METRICS)].drop("init_time_ms").isna().all()
    [(key, found)] = dataset.evaluations.items()
    assert key == ("demo", "pi", row["log"])
    assert (found.class_names, found.evaluated_on, found.file_sha256) == (("a", "b", "c"), "digits", "ab12")
    assert (found.targets, found.predictions, found.top_5_correct) == ((0, 1, 2, 2), (0, 1, 2, 1), None)
    assert found.confusion_matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert [*Study(dataset).runs["log"]] == [*dataset.runs["log"][1:]]


def test_without_a_sidecar_the_log_says_that_it_classified(tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board/run.log").write_text(EVALUATED)
    dataset = read([tmp_path])
    assert dataset.runs[["phase", "status", "model"]].to_numpy().tolist() == [["evaluate", "ok", "MobileNet"]]
    assert [found.images for found in dataset.evaluations.values()] == [4]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"predicted": [0, 1, 2, 1]', '"predicted": [0, 1, 2]', "(4 and 3 images are not the same images)"),
        ('"predicted": [0, 1, 2, 1]', '"predicted": [0, 1, 2, 3]', "(a class is not one of 0 to 2)"),
        ('"predicted": [0, 1, 2, 1]', '"predicted": [0, 1, 2, "b"]', "('predicted' is no list of classes)"),
        ('"predicted": [0, 1, 2, 1]', f'"predicted": [0, 1, 2, {10**30}]', "('predicted' is no list of classes)"),
        ('"top_5_correct": null', '"top_5_correct": 2', "(top_5_correct is 2 of 4 images)"),
        ('"classes": ["a", "b", "c"], ', "", "(it names no classes)"),
        (', "top_5_correct": null}', "", "the line 'EDGEBENCH evaluation' is garbled or cut short"),
    ],
)
def test_a_line_that_tells_no_classes_is_a_failed_run_and_said(pi, evaluated, old, new, reason):
    edit(pi / "runs" / LOG, old, new)
    dataset = read([pi])
    row = dataset.runs.iloc[0]
    assert (row["phase"], row["status"]) == ("evaluate", "failed")
    assert row["reason"].endswith(reason)
    assert f"{row['log']}: classified nothing: {row['reason']}" in dataset.problems


def test_a_runner_that_was_to_classify_and_timed_inferences_is_said(pi):
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "repetition=1\n", "repetition=1\nphase=evaluate\n")
    dataset = read([pi])
    row = dataset.runs.iloc[0]
    assert (row["phase"], row["status"]) == ("evaluate", "ok")
    assert f"{row['log']}: classified nothing: its log has no line 'EDGEBENCH evaluation'" in dataset.problems
    assert not dataset.evaluations


def test_what_the_host_checked_itself_is_not_checked_again(pi):
    edit(pi / "runs" / LOG, "Num threads: [4]", "Num threads: [4]\nINFO: Min num runs: [125]")
    assert one(pi)["reason"] == "only 124 of 125 iterations: the tool gave up at its time limit"
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "repetition=1\n", "repetition=1\nchecks=iterations,cpu,drift\n")
    assert one(pi)["status"] == "ok"


def test_logs_from_elsewhere_are_checked_too(tmp_path):
    text = (CAMPAIGNS / "foreign/board/MobileNet.log").read_text()
    count = re.findall(r"count=([0-9]+)", text)[-1]
    (tmp_path / "board").mkdir()
    (tmp_path / "board/MobileNet.log").write_text(
        text.replace("INFO: Graph", "INFO: Min num runs: [9999]\nINFO: Graph")
    )
    run = read([tmp_path]).runs.iloc[0]
    assert (run["status"], run["phase"]) == ("invalid", "measure")
    assert run["reason"] == f"only {count} of 9999 iterations: the tool gave up at its time limit"


def test_outliers_are_marked_among_the_ok_runs_of_a_configuration(tmp_path):
    text = (CAMPAIGNS / "foreign/board/MobileNet.log").read_text()
    us = float(re.search(r"Inference \(avg\): ([0-9.e+]+)", text)[1])
    (tmp_path / "board").mkdir()
    for i, factor in enumerate([1, 1.01, 0.99, 1.02, 0.98, 1.01, 0.99, 1.5, 0.5]):
        timed = text.partition("count=")[2].partition("count=")[2]  # the second one
        changed = re.sub(r"avg=[0-9.e+]+", f"avg={us * factor:g}", timed, count=1)
        changed = re.sub(r"min=[0-9]+ max=[0-9]+", "min=1 max=999999999", changed, count=1)
        changed = re.sub(r"Inference \(avg\): [0-9.e+]+", f"Inference (avg): {us * factor:g}", changed)
        (tmp_path / "board" / f"{i}.log").write_text(text.replace(timed, changed))
    runs = read([tmp_path]).runs
    assert list(runs["status"]) == ["ok"] * 9
    assert list(runs["outlier"]) == [""] * 7 + ["high", "low"]


def test_hosts_are_named_as_missing_however_few_are_there(logs_dir):
    shutil.rmtree(logs_dir / "demo" / "pi")
    edit(logs_dir / "demo" / "campaign.json", '"unreachable"', '"pi2", "pi4"')
    for path in (logs_dir, logs_dir / "demo", logs_dir / "demo" / "nuc"):
        assert read([path]).unfinished == {("demo", host): "nothing has come home" for host in ("pi", "pi2", "pi4")}


# --- Repeats -----------------------------------------------------------------------------------------------------

# Run 4 of `pi` is invalid: float32, block and repetition 2.
INVALID_RUN = "0004_MobileNet.float32.litert.t4_r2"


def repeat(pi: Path, run: str, k: int, *changes: tuple[str, str]) -> None:
    """A repeat as the run script leaves it: the columns of its plan line, its own name, and `retry`."""
    runs = pi / "runs"
    shutil.copy(runs / f"{run}.log", runs / f"{run}.retry{k}.log")
    meta = runs / f"{run}.retry{k}.meta"
    shutil.copy(runs / f"{run}.meta", meta)
    for old, new in ((f"run={run}\n", f"run={run}.retry{k}\nretry={k}\n"), *changes):
        edit(meta, old, new)


FINE = ("after.throttled=", "after.was_throttled=")


def test_a_repeat_takes_the_place_of_its_original_in_the_block(pi):
    repeat(pi, INVALID_RUN, 1)
    repeat(pi, INVALID_RUN, 2, FINE)
    dataset = read([pi])
    runs = dataset.runs[dataset.runs["log"].str.contains(INVALID_RUN)]
    assert list(runs["status"]) == ["invalid", "invalid", "ok"]
    assert list(runs["retry"].fillna(0)) == [0, 1, 2]
    assert set(runs["block"]) == set(runs["repetition"]) == {2}
    assert not any("retry" in problem for problem in dataset.problems)
    sample = Study(dataset).sample(Study(dataset).run_cells[runs.index[0]], "avg_inference_ms")
    assert sorted(sample.by_block()) == [1, 2]


def test_a_repeat_comes_after_its_original_wherever_the_two_were_found(pi, tmp_path):
    repeat(pi, INVALID_RUN, 1)
    elsewhere = tmp_path / "elsewhere" / "demo" / "pi"
    shutil.copytree(pi, elsewhere)
    for place, unwanted in ((pi, f"{INVALID_RUN}.log"), (elsewhere, f"{INVALID_RUN}.retry1.log")):
        (place / "runs" / unwanted).unlink()
    runs = read([pi, elsewhere]).runs
    found = runs[runs["log"].str.contains(INVALID_RUN)]
    assert list(found["retry"].fillna(0)) == [0, 1]


def test_a_repeat_without_a_sidecar_is_of_its_originals_plan_line(pi):
    repeat(pi, INVALID_RUN, 1)
    (pi / "runs" / f"{INVALID_RUN}.retry1.meta").unlink()
    row = one(pi, f"{INVALID_RUN}.retry1.log")
    assert (row["status"], row["runner"], row["block"], row["retry"]) == ("invalid", "litert", 2, 1)


def test_of_two_ok_runs_in_one_block_the_first_counts(pi):
    run = LOG.removesuffix(".log")
    repeat(pi, run, 1)
    dataset = read([pi])
    runs = dataset.runs[dataset.runs["log"].str.contains(run)]
    assert list(runs["status"]) == ["ok", "invalid"]
    assert "has an ok run of this already" in runs["reason"].iloc[1]
    assert any("is a second ok run of what runs/0001" in problem for problem in dataset.problems)


# --- What the machine was set to -----------------------------------------------------------------------------------


def test_what_was_set_on_the_machine(pi):
    added = (
        "before.turbo=off\nwaited_s=12\ncontrol.governor=performance\ncontrol.pin_cpus=2-3\ncontrol.nice=-5\nboot_id"
    )
    edit(pi / "runs" / LOG.replace(".log", ".meta"), "boot_id", added + "boot_id")
    row = one(pi)
    assert (row["control"], row["turbo"], row["waited_s"]) == ("governor=performance pin_cpus=2-3 nice=-5", "off", 12)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("../campaign.json", "{", "campaign.json: cannot be read (Expecting property name"),
        ("../campaign.json", "[]", "campaign.json: not a JSON object"),
        ("../campaign.json", '{"hosts": 3, "models": [4], "runners": [], "settings": 7}', None),
        ("../campaign.json", '{"models": [{"model": "MobileNet", "variant": [1]}]}', None),
        ("../campaign.json", '{"runners": {"pi": {"litert": 2}}}', None),
        ("host.json", "[" * 100_000, "host.json: cannot be read"),
        ("host.json", '{"platform_label": null, "arch": 5}', None),
        ("plan.tsv", "", "plan.tsv: empty"),
        ("plan.tsv", "run\tblock\n0001\n", "plan.tsv: not a plan"),
        ("plan.tsv", "\x00\xff", "plan.tsv: not a plan"),
        ("iterations.tsv", "what\n", "iterations.tsv: not the kit's table; expected tab separated columns"),
        ("stopping.tsv", "", "stopping.tsv: empty"),
        ("stopping.tsv", "reason\nnarrow\n", None),
    ],
)  # fmt: skip
def test_damaged_files_beside_the_logs_lose_no_run(pi, file, content, problem):
    (pi / file).write_text(content)
    dataset = read([pi])
    assert len(dataset.runs) == 5
    assert problem is None or any(problem in text for text in dataset.problems)


# --- Leases ------------------------------------------------------------------------------------------------------

NODE = {
    "site": "CHI@UC", "lease": "edgebench-3f9a1c", "lease_id": "6a", "kind": "node", "type": "compute_skylake",
    "su_per_hour": 1.0, "start_utc": "2026-11-25T16:00:00Z", "end_utc": "2026-11-25T19:30:00Z", "released_utc": None,
    "ours": True,
}  # fmt: skip


def test_leases_of_hosts(logs_dir):
    (logs_dir / "demo" / "nuc" / "leases.json").write_text("[]")  # as good as no file
    leases = read([logs_dir]).leases
    assert list(leases) == [("demo", "pi")]
    (lease,) = leases["demo", "pi"]
    assert (lease.site, lease.name, lease.type) == ("CHI@Edge", "edgebench-3f9a1c", "raspberrypi5")
    assert (lease.start_utc, lease.released_utc) == ("2026-11-20T12:30:00Z", "2026-11-20T14:00:00Z")
    assert (lease.node_hours, lease.service_units) == (1.5, 1.5)


def test_a_leased_host_that_never_said_what_it_is_belongs_to_its_campaign(logs_dir):
    host = logs_dir / "demo" / "unreachable"
    host.mkdir()
    (host / "leases.json").write_text(json.dumps([NODE]))
    dataset = read([logs_dir])
    assert dataset.leases["demo", "unreachable"][0].node_hours == 3.5
    assert dataset.unfinished["demo", "unreachable"] == "no run has come home"


def test_a_single_log_is_not_what_the_lease_was_for():
    assert read([CAMPAIGNS / "logs" / "demo" / "pi" / "runs" / LOG]).leases == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[{", "cannot be read (Expecting property name"),
        ("[" * 100_000, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        ("{}", "not a JSON list"),
        ("null", "not a JSON list"),
        ([NODE, 3], "entry 2: not a JSON object"),
        ([NODE | {"start_utc": None}], "entry 1: start_utc is None, expected a time like 2026-11-25T16:00:00Z"),
        ([NODE | {"end_utc": "tomorrow"}], "entry 1: end_utc is 'tomorrow', expected a time like"),
        ([NODE | {"released_utc": 1764086400}], "entry 1: released_utc is 1764086400, expected a time like"),
        ([NODE | {"released_utc": ["x" * 999] * 999}], "entry 1: released_utc is ["),
        ([NODE | {"end_utc": "2026-11-25T15:00:00Z"}], "entry 1: end_utc 2026-11-25T15:00:00Z is before start_utc"),
        ([NODE | {"su_per_hour": "1"}], "entry 1: su_per_hour is '1', expected a number or null"),
        ([NODE | {"su_per_hour": True}], "entry 1: su_per_hour is True"),
        ([NODE | {"su_per_hour": -1}], "entry 1: su_per_hour is -1"),
        ([NODE | {"su_per_hour": math.nan}], "entry 1: su_per_hour is nan"),
        ([NODE | {"su_per_hour": 10**400}], "entry 1: su_per_hour is 1000"),
    ],
)  # fmt: skip
def test_damaged_leases_are_problems_and_their_cost_is_unknown(pi, content, problem):
    text = json.dumps(content) if isinstance(content, list) else content
    (pi / "leases.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    dataset = read([pi])
    assert len(dataset.runs) == 5
    (found,) = (text for text in dataset.problems if "leases" in text)
    assert found.startswith(f"demo/pi/leases.json: {problem}")
    assert len(found) < 400
    last = dataset.leases["demo", "pi"][-1]
    assert math.isnan(last.node_hours)
    assert math.isnan(last.service_units)


def test_what_a_lease_does_not_say_is_no_damage(pi):
    (pi / "leases.json").write_text(json.dumps([NODE | {"site": 3, "type": [], "su_per_hour": None}]))
    dataset = read([pi])
    assert not any("leases" in problem for problem in dataset.problems)
    (lease,) = dataset.leases["demo", "pi"]
    assert (lease.site, lease.name, lease.type, lease.node_hours) == ("", "edgebench-3f9a1c", "", 3.5)
    assert math.isnan(lease.service_units)


def test_one_pattern_for_many_sidecars_reads_each_like_itself():
    rng = random.Random(20261126)
    whole = [path.read_text(encoding="utf-8") for path in sorted(DATA.rglob("*.meta"))]
    texts: list[str | None] = [None]
    for _ in range(300):
        lines = rng.choice(whole).split("\n")
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(lines))
            lines[at] = rng.choice(["", "-", "key=-", "a=b=c", lines[0], lines[at].partition("=")[0], lines[at] + "\r"])
        texts += ["\n".join(lines)] * rng.randint(1, 2)
    assert list(sidecar.parse_all(texts)) == [None if text is None else sidecar.parse(text) for text in texts]


@pytest.mark.parametrize("seed", range(3))
def test_damaged_sidecars_never_raise(pi, seed):
    rng = random.Random(seed)
    path = pi / "runs" / LOG.replace(".log", ".meta")
    whole = path.read_bytes()
    junk = [b"", b"\xff", b"=", b"\n", b"9" * 30, b"-", b"nan", b"1e400", b"\0"]
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randint(0, 3)] = rng.choice(junk)
        path.write_bytes(raw)
        assert len(read([pi]).runs) == 5


# --- Layouts -----------------------------------------------------------------------------------------------------

ARGUMENTS = [
    (["."], 6, "logs/demo/pi/runs/"),
    (["logs"], 6, "demo/pi/runs/"),
    (["logs/demo"], 6, "pi/runs/"),
    (["logs/demo/pi"], 5, "runs/"),
    (["logs/demo/pi/runs"], 5, ""),
    ([f"logs/demo/pi/runs/{LOG}"], 1, ""),
    (["logs", "logs/demo/pi", f"logs/demo/pi/runs/{LOG}"], 6, "demo/pi/runs/"),
    ([f"logs/demo/pi/runs/{LOG}", "logs/demo/nuc"], 2, ""),
]


@pytest.mark.parametrize(("arguments", "count", "prefix"), ARGUMENTS)
def test_what_an_argument_may_be(logs_dir, monkeypatch, arguments, count, prefix):
    """Only runs/*.log of a host's directory are runs; names start below the argument; nothing counts twice."""
    monkeypatch.chdir(logs_dir.parent)
    dataset = read([Path(argument) for argument in arguments])
    assert len(dataset.runs) == count
    assert set(dataset.runs["campaign"]) == {"demo"}
    assert prefix + LOG in set(dataset.runs["log"])
    assert one(Path(arguments[0]))["platform"] == "Raspberry Pi 5"


def test_a_single_file_does_not_make_the_others_missing():
    dataset = read([CAMPAIGNS / "logs" / "demo" / "pi" / "runs" / LOG])
    assert dataset.problems == []
    assert dataset.unfinished == {("demo", "unreachable"): "nothing has come home"}


def test_logs_from_elsewhere():
    dataset = read([CAMPAIGNS / "foreign"])
    columns = ["campaign", "host", "platform", "model", "variant", "runner", "repetition", "status", "log"]
    assert dataset.runs[columns].to_numpy().tolist() == [
        ["foreign", "board", "board", *rest]
        for rest in (
            ["MobileNet", "float32", "benchmark_model", 1, "ok", "board/MobileNet.log"],
            ["MobileNet", "dynamic_range", "benchmark_model", 1, "ok", "board/MobileNet_quant.txt"],
            ["MobileNet", "dynamic_range", "benchmark_model", 2, "ok", "board/MobileNet_quant.txt#2"],
            ["", "", "benchmark_model", 1, "failed", "board/out_of_memory.log"],
        )
    ]
    assert dataset.problems == ["board/notes.txt: no benchmark run in it"]
    assert dataset.campaigns == {"foreign": {}}
    assert dataset.hosts == {("foreign", "board"): {}}


def test_names_of_logs_from_elsewhere(tmp_path, monkeypatch):
    """logs/<host>/x.log is the campaign `logs`, whatever is given."""
    shutil.copytree(CAMPAIGNS / "foreign", tmp_path / "logs")
    (tmp_path / "logs" / "board" / "host.json").write_text(json.dumps({"platform_label": "Board 3", "arch": "armv7l"}))
    monkeypatch.chdir(tmp_path)
    for argument in ("logs", "logs/board", "logs/board/MobileNet.log"):
        runs = read([Path(argument)]).runs
        assert set(zip(runs["campaign"], runs["host"], runs["platform"], runs["arch"], strict=True)) == {
            ("logs", "board", "Board 3", "armv7l")
        }


def test_a_sidecar_counts_wherever_the_log_lies(logs_dir, tmp_path):
    moved = tmp_path / "elsewhere" / "pi"
    shutil.move(logs_dir / "demo" / "pi" / "runs", moved)
    runs = read([moved]).runs.set_index("repetition")
    assert runs.loc[2, "status"].tolist() == ["failed", "invalid"]  # the time limit, the throttling


def test_a_log_beside_campaigns_is_no_run(logs_dir):
    shutil.copy(logs_dir / "demo" / "pi" / "runs" / LOG, logs_dir / "ansible.log")
    dataset = read([logs_dir])
    assert len(dataset.runs) == 6
    assert "ansible.log: not read, lies beside campaigns" in dataset.problems


def test_links_to_directories_do_not_count_twice(logs_dir):
    (logs_dir / "latest").symlink_to("demo")
    dataset = read([logs_dir])
    assert len(dataset.runs) == 6
    assert any("latest: a link to a directory, not followed" in problem for problem in dataset.problems)
    assert set(read([logs_dir / "latest"]).runs["campaign"]) == {"latest"}


def test_names_that_are_no_text_are_shown_as_far_as_they_are(tmp_path):
    host = tmp_path / "lab" / os.fsdecode(b"h\xff")
    shutil.copytree(CAMPAIGNS / "foreign" / "board", host)
    (host / "MobileNet.log").rename(host / os.fsdecode(b"\x1b[2J\xff.log"))
    runs = read([tmp_path]).runs
    assert set(runs["host"]) == {"h?"}
    assert "lab/h?/?[2J?.log" in set(runs["log"])


def test_an_unreadable_log_is_a_failed_run(pi):
    (pi / "runs" / LOG).unlink()
    (pi / "runs" / LOG).symlink_to("nowhere")
    assert one(pi)["reason"] == "the log cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], r"nowhere: no such file or directory; expected logs/<campaign>/"),
        (["empty"], r"empty: no logs found; expected logs/<campaign>/"),
        (["text"], r"text: none of the files holds a benchmark run; expected logs/"),
    ],
)
def test_mistakes_get_one_line(logs_dir, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing\n")
    with pytest.raises(AnalysisError, match=message) as caught:
        read([Path(argument) for argument in arguments])
    assert "\n" not in str(caught.value)


# --- Small rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ("MobileNet.tflite", ("MobileNet", "float32")),
        ("/data/x/MobileNet_quant.tflite", ("MobileNet", "dynamic_range")),
        ("C:\\models\\MobileNet_quant.tflite", ("MobileNet", "dynamic_range")),
        ("MobileNet.float16.tflite", ("MobileNet", "float16")),
        ("MobileNet.clustered_dynamic_range.tflite", ("MobileNet", "clustered_dynamic_range")),
        ("MobileNet.pruned_int8.tflite", ("MobileNet", "pruned_int8")),
        ("inception_v3_float.tflite", ("inception_v3", "float32")),
        ("mobilenet_v1_drq.tflite", ("mobilenet_v1", "dynamic_range")),
        ("net_dynamic_range_quant.tflite", ("net", "dynamic_range")),
        ("net_full_integer_quant.tflite", ("net", "int8")),
        ("net_full_integer.tflite", ("net", "int8")),
        ("net_FP16.tflite", ("net", "float16")),
        ("yolo-int8.tflite", ("yolo", "int8")),
        ("mobilenet_v1_1.0_224.tflite", ("mobilenet_v1_1.0_224", "float32")),
        ("quant.tflite", ("quant", "float32")),
        ("", ("", "")),
    ],
)
def test_model_and_variant(graph, expected):
    assert model_and_variant(graph) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("0 0 0 0 0 0 0 0", "100 0 0 300 0 0 0 0", (0.0, 0.0)),  # 1 s busy, 1 s the runner's
        ("0 0 0 0 0 0 0 0 0 0", "200 0 0 200 0 0 0 400 50 50", (50.0, 12.5)),
        ("0 0 0 0 0 0 0 0", "50 0 0 350 0 0 0 0", (0.0, 0.0)),  # ticks are coarse
        ("0 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0", (None, None)),
        ("0 0 0", "1 1 1", (None, None)),
        ("", "1 1 1 1 1 1 1 1", (None, None)),
    ],
)
def test_cpu_shares(before, after, expected):
    facts = {"before.cpu_ticks": before, "after.cpu_ticks": after}
    times = {"before.children_times": "0m0.50s 0m0.00s", "after.children_times": "0m1.250s 0m0.250000s"}
    assert sidecar.cpu_shares(facts | times) == expected
    assert sidecar.cpu_shares(facts) == (expected[0], None)
    assert sidecar.cpu_shares(facts | times | {"runner": "benchmark_apk"}) == (expected[0], None)
