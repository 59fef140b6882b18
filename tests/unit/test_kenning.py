"""Kenning's measurements: what is read of a file, what is refused, and how it joins the tables."""

from __future__ import annotations

import json
import math
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from analysis import document, kenning
from analysis.campaign import read
from analysis.errors import AnalysisError
from tests.unit.kennings import MATRIX, MODEL, TFLITE, TVM, measurements, write

CAMPAIGNS = Path(__file__).resolve().parents[1] / "data/campaigns"


def parsed(content: object, stem: str = "x") -> kenning.Measurements:
    return kenning.parse(json.dumps(content), stem)


# --- One file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variant", "runner", "version"),
    [
        ("native", "float32", "kenning_tensorflow", "tensorflow 2.15.0"),
        ("tflite-fp32", "float32", "kenning_tflite", "tensorflow 0.1"),
        ("tflite-int8", "int8", "kenning_tflite", "tensorflow 0.1"),
        ("tvm-avx2-int8", "int8", "kenning_tvm", "tvm 0.1"),
    ],
)
def test_the_scenarios_of_its_example(name, variant, runner, version):
    found = parsed(measurements(name))
    assert (found.model, found.variant) == (MODEL, variant)
    assert found.weights == "tensorflow_pet_dataset_mobilenetv2.h5"
    assert found.run.edgebench["runner"] == {"name": runner, "version": version}
    assert (found.run.status, found.run.batch_size) == ("ok", 1)


def test_times_are_seconds_and_the_first_is_the_warm_up():
    run = parsed(measurements(target_inference_step=[0.5, 0.002, 0.004, 0.009])).run
    assert (run.first_inference_ms, run.warmup_inference_ms) == (500, 500)
    assert (run.avg_inference_ms, run.median_inference_ms, run.iterations) == (pytest.approx(5), 4, 3)
    assert (run.min_inference_ms, run.max_inference_ms, run.p95_inference_ms) == (2, 9, 9)
    assert run.std_inference_ms == pytest.approx(math.sqrt(26 / 3))
    assert run.edgebench["iteration_wall_us"] == pytest.approx([2000, 4000, 9000])
    assert run.model_size_mb == 1.28


def test_times_of_a_connection_are_told_apart():
    content = measurements(target_inference_step=None, protocol_inference_step=[0.5, 0.01, 0.01])
    run = parsed(content).run
    assert run.avg_inference_ms == pytest.approx(10)
    assert run.warnings == ("times are of protocol_inference_step: sending, waiting and receiving are in them",)
    assert parsed(content | {"target_inference_step": [0.5, 0.001]}).run.avg_inference_ms == pytest.approx(1)


@pytest.mark.parametrize("times", [[], [0.5], [0.5, "fast"], [0.5, math.nan], [0.5, -1], 0.5, {"a": 1}])
def test_without_times_it_is_a_failed_run(times):
    run = parsed(measurements(target_inference_step=times)).run
    assert (run.status, run.avg_inference_ms) == ("failed", None)
    assert run.reason == "target_inference_step holds no two times, of which the first is the warm-up"


def test_measurements_of_the_optimization_alone_are_a_failed_run():
    run = parsed({"model_framework": "tensorflow", "build_cfg": {}}).run
    assert (run.status, run.reason) == ("failed", "no two inference times in it: target_inference_step is not there")


def test_accuracy_and_use_of_the_machine():
    pairs = [(true, said) for true in range(3) for said in range(3) for _ in range(int(MATRIX[true][said]))]
    found = parsed(measurements(predictions=[{"target": str(true), "prediction": said} for true, said in pairs]))
    evaluation, usage = found.evaluation, found.usage
    assert evaluation.confusion_matrix.tolist() == MATRIX
    assert (evaluation.images, evaluation.top_5_correct, evaluation.evaluated_on) == (155, 155, "PetDataset")
    assert evaluation.class_names == ("Abyssinian", "american_bulldog", "pug")
    assert list(zip(evaluation.targets, evaluation.predictions, strict=True)) == pairs
    assert (usage.of, usage.memory_mb) == ("machine", None)
    assert usage.time_s == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))
    assert usage.cpu_percent == (75.0, 75.5, 76.0, 76.5, 77.0), "the mean of all CPUs, without the first sample"
    assert usage.memory_percent == (9.1, 9.2, 9.2, 9.2, 9.3)


@pytest.mark.parametrize("predictions", [[{"target": 0, "prediction": 0}], [{"target": 10**30, "prediction": 0}], [3]])
def test_predictions_that_the_matrix_does_not_count_are_left_out(predictions):
    found = parsed(measurements(predictions=predictions))
    assert (found.evaluation.images, found.evaluation.targets, found.evaluation.predictions) == (155, (), ())
    assert found.run.warnings == ("predictions are not read: they are not those that the confusion matrix counts",)


def test_one_sample_of_the_machine_is_none():
    """Nobody knows its CPU time."""
    one = {"cpus_percent": [[0.0, 0.0]], "mem_percent": [9.0], "timestamp": [100]}
    found = parsed(measurements(**{f"session_utilization_{name}": values for name, values in one.items()}))
    assert (found.usage, found.run.warnings) == (None, ())


def test_what_is_not_there_is_not_known():
    content = {key: value for key, value in measurements().items() if not key.startswith(("session", "eval"))}
    found = parsed(content)
    assert (found.evaluation, found.usage, found.run.warnings) == (None, None, ())


def test_what_is_damaged_is_said_and_the_times_stay():
    found = parsed(measurements(eval_confusion_matrix=[[1, 2]], session_utilization_mem_percent=[9.0]))
    assert (found.evaluation, found.usage, found.run.status) == (None, None, "ok")
    assert found.run.warnings == (
        "accuracy is not read: the confusion matrix is not square, its shape is (1, 2)",
        "session_utilization_* is not read: it holds other things than numbers, or not as many of each",
    )


def test_old_files_are_read_by_their_command():
    """Before scenarios were kept: kenning.scenarios.inference_tester with classes in its command line."""
    command = [
        "python -m kenning.scenarios.inference_tester \\",
        f"    kenning.modelwrappers.classification.tensorflow_pet_dataset.{MODEL} \\",
        "    kenning.compilers.tflite.TFLiteCompiler \\",
        "    kenning.runtimes.tflite.TFLiteRuntime \\",
        "    kenning.datasets.pet_dataset.PetDataset \\",
        "    ./build/out.json \\",
        "    --target \\",
        "        int8",
    ]
    old = measurements(
        build_cfg=None, optimizers=None, command=command, compiler_framework="tensorflow", compiler_version="2.5"
    )
    found = parsed(old)
    assert (found.model, found.variant, found.run.batch_size) == (MODEL, "int8", None)
    assert found.run.edgebench["runner"] == {"name": "kenning_tflite", "version": "tensorflow 2.5"}
    assert found.evaluation.evaluated_on == "PetDataset"


def test_a_model_that_is_not_named_has_the_name_of_the_file():
    assert parsed(measurements(build_cfg=None, command=None), "my-model").model == "my-model"


@pytest.mark.parametrize(
    ("optimizers", "variant"),
    [
        ([(TFLITE, {"target": "float16"})], "float16"),
        ([(TFLITE, {"target": "edgetpu"})], "int8"),
        ([(TVM, {"target": "llvm", "use_int8_precision": True})], "int8"),
        ([(TVM, {"target": "cuda", "use_fp16_precision": True})], "float16"),
        ([("kenning.optimizers.tensorflow_pruning.TensorFlowPruningOptimizer", {})], "pruned_float32"),
        (
            [
                ("kenning.optimizers.tensorflow_clustering.TensorFlowClusteringOptimizer", {}),
                (TFLITE, {"target": "int8"}),
            ],
            "clustered_int8",
        ),
    ],
)
def test_what_optimizers_make_of_the_weights(optimizers, variant):
    content = measurements()
    content["build_cfg"]["optimizers"] = [{"type": kind, "parameters": told} for kind, told in optimizers]
    assert parsed(content).variant == variant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "not Kenning's measurements: expected a JSON object with one of target_inference_step"),
        ('{"name": "x"}', "not Kenning's measurements"),
        ('{"model_wrapper": {}, "dataset": {}}', "a scenario of Kenning's, not what it measured; give the file"),
    ],
)
def test_what_is_none_is_refused(text, message):
    with pytest.raises(kenning.NotMeasurementsError, match=message) as caught:
        kenning.parse(text, "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strange", [None, 1, "x", [], [[]], {}, {"type": 1, "parameters": []}, 10**400, [10**400]])
def test_strange_values_never_stop_the_reading(strange):
    content = measurements()
    for key in content:
        parsed(content | {key: strange})
    for block in content["build_cfg"]:
        parsed(content | {"build_cfg": content["build_cfg"] | {block: strange}})


# --- Among other logs -------------------------------------------------------------------------------------------------


def test_files_join_campaigns_of_the_kit(tmp_path):
    logs = Path(shutil.copytree(CAMPAIGNS / "logs", tmp_path / "logs"))
    write(logs / "kenning")
    dataset = read([logs])
    theirs = dataset.runs[dataset.runs["host"] == "kenning"]
    assert set(dataset.runs["host"]) == {"nuc", "pi", "kenning"}
    assert theirs[["campaign", "variant", "runner", "repetition", "status", "log"]].to_numpy().tolist() == [
        ["logs", "float32", "kenning_tensorflow", 1, "ok", "kenning/native.json"],
        ["logs", "float32", "kenning_tflite", 1, "ok", "kenning/tflite-fp32.json"],
        ["logs", "int8", "kenning_tflite", 1, "ok", "kenning/tflite-int8.json"],
        ["logs", "int8", "kenning_tvm", 1, "ok", "kenning/tvm-avx2-int8.json"],
    ]
    assert len(theirs["iteration_wall_us"].iloc[0]) == theirs["iterations"].iloc[0] == 154
    assert theirs["images_per_s"].notna().all()
    key = ("logs", "kenning", "kenning/native.json")
    assert dataset.evaluations[key].images == 155
    assert len(dataset.usage[key].time_s) == 5
    assert len(dataset.evaluations) == len(dataset.usage) == 4


def test_single_files_and_archives(tmp_path):
    directory = write(tmp_path / "lab/laptop")
    alone = read([directory / "native.json", directory / "tflite-int8.json"])
    assert alone.runs["log"].tolist() == ["native.json", "tflite-int8.json"]
    with tarfile.open(tmp_path / "lab.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "lab", "lab")
    packed = read([tmp_path / "lab.tar.gz"])
    assert set(packed.runs["campaign"]) == set(alone.runs["campaign"]) == {"lab"}
    assert len(packed.evaluations) == 4


def test_several_files_of_one_configuration_are_repetitions(tmp_path):
    for i in (1, 2, 3):
        path = tmp_path / f"lab/laptop/native-{i}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measurements("native", target_inference_step=[1, *[0.06 + i / 1e4] * 20])))
    dataset = read([tmp_path / "lab"])
    assert dataset.runs["repetition"].tolist() == [1, 2, 3]
    assert document.build(dataset).tables["summary"].set_index("metric")["ci_low"]["avg_inference_ms"] > 0


def test_one_file_has_no_interval_and_the_report_says_so(tmp_path):
    made = document.build(read([write(tmp_path / "lab/laptop", "native")]))
    row = made.tables["summary"].set_index("metric").loc["avg_inference_ms"]
    assert row["n_ok"] == 1
    assert np.isnan(row[["ci_low", "ci_high"]].astype(float)).all()
    assert any(
        notice.text.startswith("lab/laptop: 1 file of Kenning's measurements: each is one process, so one repetition")
        for notice in made.notices
    )


def test_a_drift_makes_it_invalid_as_any_run(tmp_path):
    path = tmp_path / "lab/laptop/hot.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(measurements(target_inference_step=[1, *[0.01] * 50, *[0.012] * 50])))
    assert read([path]).runs["reason"].iloc[0].startswith("no steady state: the second half")


def test_a_file_beside_campaigns_is_not_read_and_told(tmp_path):
    """As a log there: nobody knows which host it is of."""
    logs = Path(shutil.copytree(CAMPAIGNS / "logs", tmp_path / "logs"))
    write(logs, "native")
    dataset = read([logs])
    assert "native.json: not read, lies beside campaigns" in dataset.problems
    assert set(dataset.runs["host"]) == {"nuc", "pi"}


def test_other_json_is_nobodys_in_a_directory_and_refused_by_name(tmp_path):
    directory = write(tmp_path / "lab/laptop", "native")
    scenario = directory / "scenario.json"
    scenario.write_text('{"model_wrapper": {}, "dataset": {}}')
    (directory / "host.json").write_text('{"platform_label": "My laptop"}')
    (tmp_path / "lab/results").mkdir()
    (tmp_path / "lab/results/made_from.json").write_text("{}")
    dataset = read([tmp_path / "lab"])
    assert (dataset.runs["platform"].tolist(), dataset.problems) == (["My laptop"], [])
    (problem,) = read([tmp_path / "lab", scenario]).problems
    assert problem.startswith("scenario.json: a scenario of Kenning's, not what it measured; give the file")
    with pytest.raises(AnalysisError, match="none of the files holds a benchmark run"):
        read([scenario])


def test_a_file_that_is_cut_is_refused_wherever_it_lies(tmp_path):
    directory = write(tmp_path / "lab/laptop", "native", "tflite-int8")
    path = directory / "native.json"
    path.write_text(path.read_text()[:-100])
    dataset = read([tmp_path / "lab"])
    assert dataset.runs["log"].tolist() == ["laptop/tflite-int8.json"]
    assert [problem.partition(" (")[0] for problem in dataset.problems] == ["laptop/native.json: no JSON"]


def test_accuracy_has_tables(tmp_path):
    tables = document.build(read([write(tmp_path / "lab/laptop")])).tables
    row = tables["quality"].set_index("log").loc["tvm-avx2-int8.json"]
    assert (row["variant"], row["runner"]) == ("int8", "kenning_tvm")
    assert (row["evaluated_on"], row["classes"], row["evaluated_images"]) == ("PetDataset", 3, 155)
    assert row["accuracy_percent"] == pytest.approx(100 * 135 / 155)
    assert row["accuracy_ci_low_percent"] < row["accuracy_percent"] < row["accuracy_ci_high_percent"]
    assert row["g_mean_percent"] == pytest.approx(100 * (50 / 55 * 0.8 * 0.9) ** (1 / 3))
    assert math.isnan(row["top_5_percent"]), "of three classes all are among the five"
    classes = tables["quality_classes"]
    assert classes["class"].tolist() == ["Abyssinian", "american_bulldog", "pug"] * 4
    assert classes[["images", "predicted_images", "correct_images"]].to_numpy().tolist()[:3] == [
        [55, 54, 50],
        [50, 48, 40],
        [50, 53, 45],
    ]


def test_runs_that_classify_differently_are_told(tmp_path):
    directory = write(tmp_path / "lab/laptop", "native")
    other = measurements("native", eval_confusion_matrix=[[54, 1, 0], [0, 50, 0], [0, 0, 50]])
    (directory / "native2.json").write_text(json.dumps(other))
    (row,) = document.build(read([directory])).tables["quality"].itertuples()
    assert (row.n, row.log, row.correct_images) == (2, "native.json", 135)
    assert row.remark == "runs classify differently; this is the first"


def test_what_the_terminal_shows(tmp_path):
    text = document.terminal_text(document.build(read([write(tmp_path / "lab/laptop")])))
    assert "laptop, kenning_tflite (inference, average)" in text
    assert "not comparable  float32 n = 1, int8 n = 1; an interval needs 2 repetitions of each" in text
