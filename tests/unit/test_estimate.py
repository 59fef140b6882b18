"""Roughly how long a host will measure."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.edgebench.testbed.plugins.filter.campaign_estimate import campaign_estimate
from ansible_collections.edgebench.testbed.plugins.module_utils import estimate, plan

SETTINGS = {
    "models": ["MobileNet", "VGG19"],
    "variants": ["float32", "dynamic_range"],
    "runners": ["litert"],
    "threads": [1, 4],
    "delegates": ["default"],
    "max_repetitions": 5,
    "flags": "",
}


def estimated(home, speed_gmac_s=10.0, manifest=(), **changes):
    return campaign_estimate(SETTINGS | changes, str(home), speed_gmac_s, manifest)


def put_run(home, number, *, retry=None, **values):
    name = f"{number:04d}_x{f'.retry{retry}' if retry else ''}"
    values = {"start_uptime_s": "1000.25", "end_uptime_s": "1010.25", **({"retry": retry} if retry else {}), **values}
    (home / "runs").mkdir(parents=True, exist_ok=True)
    (home / f"runs/{name}.meta").write_text(
        "".join(f"{key}={value}\n" for key, value in values.items()) + "complete=1\n"
    )


def test_before_anything_is_home_all_runs_are_left(tmp_path):
    found = estimated(tmp_path / "nothing")
    entries = [
        {"model": model, "variant": variant, "file": f"{model}.{variant}.tflite", "sha256": ""}
        for model in SETTINGS["models"]
        for variant in SETTINGS["variants"]
    ]
    assert found["total"] == len(plan.build("box", SETTINGS, entries, seed=1, timeout_s=600)) == 40
    assert found["left"] == 40
    assert found["basis"] == "estimated"


def test_pilots_and_profiles_count_and_what_left_the_plan_does_not(tmp_path):
    settings = {"iterations": "auto", "pilot_runs": 3, "op_profiling": True, "max_repetitions": 60}
    settings |= {"models": ["VGG19"], "threads": [1], "min_repetitions": 10, "runners": ["benchmark_model"]}
    before = estimated(tmp_path, 19.6, **settings)
    assert (before["total"], before["left"]) == (128, 128)
    assert before["run_s"] == 1 + 1 + estimate.AUTO_ITERATIONS
    (tmp_path / "stopping.tsv").write_text("model\tblock\treason\nVGG19\t12\tnarrow\n")
    put_run(tmp_path, 1)
    assert estimated(tmp_path, 19.6, **settings)["left"] == 128 - 1 - 48


def test_runs_are_counted_as_the_plan_counts_them(tmp_path):
    """Batch sizes and input sizes are axes; what a runner does not have is in none; profiles are of few runners."""
    settings = SETTINGS | {"models": ["UNet", "MobileNet"], "variants": ["float32", "dynamic_range", "compiled"]}
    settings |= {"runners": ["torch", "litert", "benchmark_model"], "batch_sizes": [1, 8], "input_sizes": [224, 448]}
    settings |= {"op_profiling": True, "iterations": "auto", "pilot_runs": 2}
    files = [("UNet", "float32", "pt2", None, size) for size in (224, 448)]
    files += [
        (model, variant, "tflite", batch, size)
        for model in settings["models"]
        for variant in ("float32", "dynamic_range")
        for batch in (1, 8)
        for size in (224, 448)
    ]
    keys = ("model", "variant", "format", "batch_size", "input_size")
    entries = [dict(zip(keys, file, strict=True)) | {"file": "x", "sha256": ""} for file in files]
    rows = plan.build("box", settings, entries, seed=1, timeout_s=600)
    assert campaign_estimate(settings, str(tmp_path), 10.0, entries)["total"] == len(rows)
    assert {row["variant"] for row in rows if row["runner"] == "torch"} == {"float32", "compiled"}


def test_files_for_other_cpus_do_not_count(tmp_path):
    settings = SETTINGS | {"models": ["FireNet"], "runners": ["tvm"], "variants": ["float32", "float32_untuned"]}
    keys = ("variant", "target")
    files = [("float32", "llvm -mcpu=core-avx2"), ("float32_untuned", "llvm -mcpu=core-avx2"), ("float32_untuned", "x")]
    more = {"model": "FireNet", "format": "so", "batch_size": 1, "file": "x", "sha256": ""}
    entries = [dict(zip(keys, file, strict=True)) | more for file in files]
    totals = [
        campaign_estimate(settings, str(tmp_path), 10.0, entries, target)["total"]
        for target in ("llvm -mcpu=core-avx2", "x", "")
    ]
    assert totals == [20, 10, 0]


def test_images_are_classified_once_beyond_the_blocks(tmp_path):
    settings = {"models": ["FireNet"], "variants": ["float32"], "max_repetitions": 2}
    names = [("float32", "tflite"), ("held_out", "npz")]
    entries = [{"model": "FireNet", "variant": v, "format": f, "file": f"{v}.{f}", "sha256": ""} for v, f in names]
    without, found = (estimated(tmp_path, 0.15, models, **settings) for models in (entries[:1], entries))
    assert (without["total"], found["total"]) == (4, 5)
    assert found["left_s"] == pytest.approx(5 * found["run_s"] + 1000 * 0.015 / 0.15, abs=1)
    put_run(tmp_path, 1)
    put_run(tmp_path, 5, phase="evaluate", end_uptime_s="1900.25")
    assert estimated(tmp_path, 0.15, entries, **settings) | {"total": 5} == {
        "total": 5,
        "left": 3,
        "run_s": 10.0,
        "left_s": 30,
        "basis": "measured",
    }


def test_an_app_takes_its_time_to_start(tmp_path):
    settings = {"runners": ["benchmark_model", "benchmark_apk"], "delegates": ["default", "gpu"], "models": ["FireNet"]}
    by_runner = {runner: estimated(tmp_path, **settings | {"runners": [runner]}) for runner in settings["runners"]}
    assert by_runner["benchmark_model"]["total"] == by_runner["benchmark_apk"]["total"] == 40
    assert by_runner["benchmark_model"]["run_s"] == 1 + 0.5 + 1
    assert by_runner["benchmark_apk"]["run_s"] == 4 + 0.5 + 1


def test_what_did_not_fit_in_memory_is_not_left(tmp_path):
    before = estimated(tmp_path)["left"]
    (tmp_path / "stopping.tsv").write_text("model\tblock\treason\nVGG19\t1\tout of memory\nVGG19\t0\tout of memory\n")
    assert estimated(tmp_path)["left"] == before - 4 - 5


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        pytest.param({"batch_sizes": [8]}, 8, id="a batch takes as long as its images"),
        pytest.param({"batch_sizes": [1, 3]}, 2, id="batches are averaged"),
        pytest.param({"input_sizes": [448]}, 4, id="work grows with the area"),
        pytest.param({"input_sizes": [112], "batch_sizes": [4]}, 1, id="or shrinks"),
    ],
)
def test_batches_and_images_make_the_inference(tmp_path, changes, images):
    changes |= {"models": ["VGG19"], "flags": "--num_runs=10 --max_secs=1000"}
    assert estimated(tmp_path, 19.6, **changes)["run_s"] == pytest.approx(1 + images * (1 + 10), abs=0.05)


@pytest.mark.parametrize(
    ("model", "speed_gmac_s", "flags", "run_s"),
    [
        pytest.param("MobileNet", 57, "", 1 + 0.5 + 1, id="a fast machine is held by the minima"),
        pytest.param("VGG19", 19.6, "", 1 + 1 + 50, id="a slower one by the number of runs"),
        pytest.param("VGG19", 1.96, "", 1 + 10 + 150, id="and a very slow one by the maximum"),
        pytest.param("VGG19", 0.098, "", 1 + 200 + 200, id="an inference that has begun is finished"),
        pytest.param("VGG19", 19.6, "--num_runs=10 --warmup_runs=3 --use_xnnpack=true", 1 + 3 + 10, id="numbers"),
        pytest.param("VGG19", 19.6, "--min_secs=60 --warmup_min_secs=2", 1 + 2 + 60, id="minima"),
        pytest.param("VGG19", 19.6, "--max_secs=20", 1 + 1 + 20, id="maximum"),
    ],
)
def test_a_run_takes_what_the_tools_rule_says(tmp_path, model, speed_gmac_s, flags, run_s):
    found = estimated(tmp_path, speed_gmac_s, models=[model], flags=flags)
    assert found["run_s"] == pytest.approx(run_s, abs=0.05)
    assert found["left_s"] == pytest.approx(20 * run_s, abs=1)


def test_loading_pytorch_and_compiling_take_their_time(tmp_path):
    changes = {"models": ["VGG19"], "runners": ["torch"], "flags": "--num_runs=10 --max_secs=1000"}
    eager = estimated(tmp_path, 19.6, variants=["float32", "channels_last"], **changes)["run_s"]
    assert eager == estimate.LOAD_S_OF["torch"] + 1 + 10
    compiled = estimated(tmp_path, 19.6, variants=["compiled", "compiled_channels_last"], **changes)["run_s"]
    assert compiled == eager + estimate.COMPILE_S


def test_models_are_averaged(tmp_path):
    alone = [estimated(tmp_path, models=[model])["run_s"] for model in SETTINGS["models"]]
    assert estimated(tmp_path)["run_s"] == pytest.approx(sum(alone) / 2, abs=0.1)


def test_runs_that_are_home_tell_how_long_the_rest_takes(tmp_path):
    put_run(tmp_path, 1)
    put_run(tmp_path, 2, waited_s=2)
    put_run(tmp_path, 1, retry=1, end_uptime_s="1012.25", waited_s=6)
    found = estimated(tmp_path)
    assert found == {"total": 40, "left": 38, "run_s": 13.3, "left_s": 507, "basis": "measured"}


def test_pilots_count_and_do_not_tell_how_long_the_rest_takes(tmp_path):
    put_run(tmp_path, 1, phase="pilot")
    found = estimated(tmp_path)
    assert (found["left"], found["basis"]) == (39, "estimated")
    put_run(tmp_path, 2, phase="measure", end_uptime_s="1020.25")
    assert estimated(tmp_path)["run_s"] == 20.0


def test_nothing_is_left_when_all_is_home(tmp_path):
    for number in range(1, 41):
        put_run(tmp_path, number)
    assert estimated(tmp_path) == {"total": 40, "left": 0, "run_s": 10.0, "left_s": 0, "basis": "measured"}


def test_sidecars_that_do_not_tell_are_counted_all_the_same(tmp_path):
    put_run(tmp_path, 1, end_uptime_s="")
    found = estimated(tmp_path)
    assert (found["left"], found["basis"]) == (39, "estimated")


def test_networks_that_are_not_known_go_by_their_weights():
    manifest = [
        {"model": "mine", "variant": "dynamic_range", "size_bytes": 10_000_000},
        {"model": "mine", "variant": "float32", "size_bytes": 40_000_000},
        {"model": "image", "variant": "int8", "size_bytes": 4_000},
        {"model": "VGG19", "variant": "float32", "size_bytes": 1},
    ]
    assert estimate.gmacs("mine", None, manifest) == pytest.approx(2.4)
    assert estimate.gmacs("image", None, manifest) < 0.01
    assert estimate.gmacs("VGG19", None, manifest) == 19.6
    assert estimate.gmacs("unheard_of", None, manifest) >= max(estimate.GMACS.values())


def test_what_the_manifest_has_counted_goes_before_what_is_known_of_the_network():
    manifest = [{"model": "InceptionV3", "variant": "float32", "input_size": 299, "macs": 6_000_000_000}]
    assert estimate.gmacs("InceptionV3", None, manifest) == estimate.gmacs("InceptionV3", 299, manifest) == 6.0
    assert estimate.gmacs("InceptionV3", 598, manifest) == 24.0
    manifest.append({"model": "InceptionV3", "variant": "float32", "input_size": 598, "macs": 23_000_000_000})
    assert estimate.gmacs("InceptionV3", 598, manifest) == 23.0, "counted at this size"
    assert estimate.gmacs("InceptionV3", None, manifest) == 6.0
    uncounted = [{"model": "InceptionV3", "variant": "float32", "input_size": 299, "macs": None}]
    assert estimate.gmacs("InceptionV3", 598, uncounted) == 4 * estimate.GMACS["InceptionV3"]


@pytest.mark.parametrize(
    ("speed_gmac_s", "flags", "message"),
    [(0, "", "speed_gmac_s is 0; expected"), (1, "--num_runs=many", "'--num_runs=many' in campaign_flags: expected")],
)
def test_what_gives_no_estimate(tmp_path, speed_gmac_s, flags, message):
    with pytest.raises(AnsibleFilterError, match=message):
        estimated(tmp_path, speed_gmac_s, flags=flags)
