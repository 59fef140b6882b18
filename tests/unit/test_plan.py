"""The order of runs."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.edgebench.testbed.plugins.filter.model_files import model_files
from ansible_collections.edgebench.testbed.plugins.filter.tvm_target import tvm_target as target_of
from ansible_collections.edgebench.testbed.plugins.module_utils import plan, tvm_target
from ansible_collections.edgebench.testbed.plugins.module_utils.runners import RUNNERS

from tests.rendering import ROOT

SETTINGS = {
    "models": ["MobileNet", "VGG16"],
    "variants": ["float32", "dynamic_range"],
    "runners": ["litert"],
    "threads": [1, 4],
    "delegates": ["default", "none"],
    "max_repetitions": 3,
    "flags": "--num_runs=10",
}
MODELS = [
    {"model": m, "variant": v, "file": f"{m}.{v}.tflite", "sha256": "ab" * 32, "batch_size": 1, "input_size": 224}
    for m in SETTINGS["models"]
    for v in SETTINGS["variants"]
]


def build(host="pi5", seed=42, **changes):
    return plan.build(host, SETTINGS | changes, MODELS, seed, timeout_s=600)


TORCH = {
    "models": ["UNet", "ResNet18"],
    "variants": ["float32"],
    "runners": ["torch"],
    "threads": [1],
    "delegates": ["default"],
    "batch_sizes": [1, 8],
    "input_sizes": [224, 448],
    "max_repetitions": 1,
    "flags": "--num_runs=5",
}


def entry(name, batch_size=None, input_size=224, activation_mb=24.5, size_bytes=31_000_000):
    """A manifest's entry for a file that is named as modelzoo names files."""
    model, variant, *_, format_ = name.split(".")
    facts = {"batch_size": batch_size, "input_size": input_size, "activation_mb": activation_mb}
    return {"model": model, "variant": variant, "format": format_, "file": name, "size_bytes": size_bytes, **facts} | {
        "sha256": "cd" * 32
    }


PT2 = [
    file
    for model in TORCH["models"]
    for file in (entry(f"{model}.float32.pt2"), entry(f"{model}.float32.s448.pt2", None, 448, 98.0))
]


def sweep(files=PT2, **changes):
    return plan.build("pi5", TORCH | changes, files, seed=42, timeout_s=600)


AUTO = {
    "iterations": "auto",
    "pilot_runs": 2,
    "op_profiling": True,
    "runners": ["litert", "benchmark_model"],
    "flags": "",
}


def configuration(row):
    return tuple(row[key] for key in ("model", "variant", "runner", "threads", "delegate", "batch_size", "input_size"))


def test_each_block_holds_every_configuration_once_in_an_order_of_its_own():
    rows = build()
    blocks = [[configuration(row) for row in rows if row["block"] == block] for block in (1, 2, 3)]
    assert all(Counter(block) == Counter(blocks[0]) for block in blocks)
    assert len(set(blocks[0])) == len(blocks[0]) == 16
    assert blocks[0] != blocks[1] != blocks[2]
    assert [row["block"] for row in rows] == [1] * 16 + [2] * 16 + [3] * 16


def test_the_order_follows_from_seed_and_host():
    assert build() == build()
    assert build() != build(seed=43)
    assert build() != build(host="pi4")


def test_the_text_of_a_small_plan(golden):
    rows = build(threads=[1], delegates=["default", "none"], models=["MobileNet"], max_repetitions=1)
    golden("plan.tsv", plan.to_tsv(rows))


def test_names_are_unique_and_sort_in_the_order_of_runs():
    names = [row["run"] for row in build()]
    assert names == sorted(set(names))


def test_a_pilot_comes_first_profiles_last_and_the_blocks_between_are_as_without_them():
    plain, rows = build(runners=AUTO["runners"], flags=""), build(**AUTO)
    phases = [row["phase"] for row in rows]
    assert phases == ["pilot"] * 64 + ["measure"] * 96 + ["profile"] * 16
    assert [configuration(row) for row in rows[64:160]] == [configuration(row) for row in plain]
    assert [row["flags"] for row in rows[64:160]] == [row["flags"] for row in plain]
    pilots = [[configuration(row) for row in part] for part in (rows[:32], rows[32:64])]
    assert Counter(pilots[0]) == Counter(pilots[1])
    assert pilots[0] != pilots[1]
    assert {row["block"] for row in rows if row["phase"] != "measure"} == {0}
    assert all(row["flags"].endswith(f" {plan.PILOT_FLAGS}") for row in rows[:64])
    assert {row["runner"] for row in rows[160:]} == {"benchmark_model"}
    assert all(row["flags"].endswith(" --enable_op_profiling=true") for row in rows[160:])
    assert [row["run"].rpartition("_")[2] for row in (rows[0], rows[32], rows[64], rows[-1])] == [
        "p01",
        "p02",
        "r01",
        "profile",
    ]
    names = [row["run"] for row in rows]
    assert names == sorted(set(names))


SCENARIO = {
    "models": ["DigitCNN", "Old"],
    "variants": ["float32", "compiled", "int8"],
    "runners": ["litert", "keras", "benchmark_model"],
    "delegates": ["default", "none"],
    "batch_sizes": [8, 1],
    "threads": [4, 1],
    "max_repetitions": 1,
    "flags": "",
}
IMAGES = entry("DigitCNN.held_out.npz", input_size=32)


def scenario(*images, **changes):
    files = [entry(f"{model}.float32.keras", input_size=32) for model in SCENARIO["models"]]
    files += [
        entry(f"{model}.{variant}{f'.b{batch}' if batch > 1 else ''}.tflite", batch, 32)
        for model in SCENARIO["models"]
        for variant in ("float32", "int8")
        for batch in (1, 8)
    ]
    return plan.build("pi5", SCENARIO | changes, [*files, *images], seed=42, timeout_s=600)


def test_each_runner_and_file_is_evaluated_once_at_the_end_where_there_are_images():
    rows = scenario(IMAGES)
    evaluated = [row for row in rows if row["phase"] == "evaluate"]
    assert rows[-len(evaluated) :] == evaluated
    assert rows[: -len(evaluated)] == scenario() == scenario(IMAGES, evaluate=False), "the blocks are as without them"
    # keras reads one file for all batch sizes, in two ways; a TFLite file has one.
    assert {row["run"].partition("_")[2] for row in evaluated} == {
        "DigitCNN.float32.keras.t4_evaluate",
        "DigitCNN.compiled.keras.t4_evaluate",
        "DigitCNN.float32.litert.t4_evaluate",
        "DigitCNN.float32.litert.t4.b8_evaluate",
        "DigitCNN.int8.litert.t4_evaluate",
        "DigitCNN.int8.litert.t4.b8_evaluate",
    }
    assert len(evaluated) == 6
    by_run = {row["run"].partition("_")[2]: row for row in evaluated}
    assert by_run["DigitCNN.compiled.keras.t4_evaluate"]["flags"] == (
        "--num_threads=4 --compile=true --evaluate=DigitCNN.held_out.npz"
    )
    assert {(row["block"], row["repetition"], row["timeout_s"]) for row in evaluated} == {(0, 1, 3600)}
    names = [row["run"] for row in rows]
    assert names == sorted(set(names))


def test_images_of_another_size_are_not_for_a_model():
    assert {row["phase"] for row in scenario(IMAGES, input_sizes=[32])} == {"measure", "evaluate"}
    other = entry("DigitCNN.held_out.s64.npz", input_size=64)
    assert {row["phase"] for row in scenario(other, input_sizes=[32])} == {"measure"}


def test_a_batch_for_keras_has_its_channels_last():
    rows = {row["batch_size"]: row for row in scenario() if row["runner"] == "keras" and row["variant"] == "float32"}
    assert rows[8]["flags"].endswith(" --input_layer=input --input_layer_shape=8,32,32,3")
    assert "input_layer" not in rows[1]["flags"]


# --- Batch sizes, input sizes, formats --------------------------------------------------------------------------------


def test_the_text_of_a_sweep(golden):
    golden("plan_sweep.tsv", plan.to_tsv(sweep(variants=["float32", "compiled"], models=["UNet"])))


def test_a_file_of_any_batch_size_is_told_which():
    rows = {(row["batch_size"], row["input_size"]): row for row in sweep() if row["model"] == "UNet"}
    assert set(rows) == {(1, 224), (8, 224), (1, 448), (8, 448)}
    assert rows[8, 448]["model_file"] == "UNet.float32.s448.pt2"
    assert rows[8, 448]["flags"] == "--num_threads=1 --input_layer=input --input_layer_shape=8,3,448,448 --num_runs=5"
    assert rows[1, 224]["flags"].split()[2] == "--input_layer_shape=1,3,224,224"


def test_a_tflite_file_is_for_one_batch_size_and_is_told_nothing():
    models = [entry("UNet.float32.tflite", 1), entry("UNet.float32.b8.s448.tflite", 8, 448)]
    models += [entry("UNet.float32.b8.tflite", 8), entry("UNet.float32.s448.tflite", 1, 448)]
    rows = sweep(models, models=["UNet"], runners=["litert"])
    assert {(row["batch_size"], row["input_size"], row["model_file"]) for row in rows} == {
        (each["batch_size"], each["input_size"], each["file"]) for each in models
    }
    assert {row["flags"] for row in rows} == {"--num_threads=1 --num_runs=5"}


def test_without_input_sizes_each_model_has_its_own():
    models = [entry("InceptionV3.float32.s224.tflite", 1, 224), entry("InceptionV3.float32.tflite", 1, 299)]
    models += [entry("UNet.float32.tflite", 1)]
    rows = sweep(models, models=["InceptionV3", "UNet"], runners=["litert"], input_sizes=[], batch_sizes=[1])
    assert {(row["model"], row["input_size"]) for row in rows} == {("InceptionV3", 299), ("UNet", 224)}
    rows = sweep(models, models=["InceptionV3"], runners=["litert"], input_sizes=[224, 299], batch_sizes=[1])
    assert {row["run"].partition("_")[2] for row in rows} == {
        "InceptionV3.float32.litert.t1.s224_r01",
        "InceptionV3.float32.litert.t1_r01",
    }


def test_names_tell_batch_and_input_sizes_that_are_not_the_usual():
    assert {row["run"].partition("_")[2] for row in sweep(models=["ResNet18"])} == {
        "ResNet18.float32.torch.t1_r01",
        "ResNet18.float32.torch.t1.b8_r01",
        "ResNet18.float32.torch.t1.s448_r01",
        "ResNet18.float32.torch.t1.b8.s448_r01",
    }


def test_flags_of_a_variant_that_is_no_file():
    rows = sweep(variants=["float32", "compiled", "channels_last", "compiled_channels_last"], batch_sizes=[1])
    flags = {row["variant"]: row["flags"].split()[1:-3] for row in rows}
    assert flags == {
        "float32": [],
        "compiled": ["--compile=true"],
        "channels_last": ["--channels_last=true"],
        "compiled_channels_last": ["--compile=true", "--channels_last=true"],
    }
    assert {row["model_file"].split(".")[1] for row in rows} == {"float32"}


def test_a_runner_goes_without_what_it_does_not_have():
    keras = [entry(f"MobileNet.{variant}.tflite", 1) for variant in ("float32", "dynamic_range")]
    unet = [
        entry(f"UNet.float32.{format_}", 1 if format_ == "tflite" else None) for format_ in ("tflite", "pt2", "onnx")
    ]
    unet += [entry("UNet.dynamic_range.tflite", 1)]
    rows = sweep(
        [*keras, *unet],
        models=["MobileNet", "UNet"],
        variants=["float32", "dynamic_range", "compiled"],
        runners=["litert", "torch", "onnxruntime"],
        delegates=["default", "none"],
        batch_sizes=[1],
        input_sizes=[],
    )
    found = {tuple(row[key] for key in ("model", "variant", "runner", "delegate")) for row in rows}
    assert len(rows) == len(found)
    assert {each for each in found if each[2] != "litert"} == {
        ("UNet", "float32", "torch", "default"),
        ("UNet", "compiled", "torch", "default"),
        ("UNet", "float32", "onnxruntime", "default"),
    }
    assert {each[:2] + each[3:] for each in found if each[2] == "litert"} == {
        (model, variant, delegate)
        for model in ("MobileNet", "UNet")
        for variant in ("float32", "dynamic_range")
        for delegate in ("default", "none")
    }


def test_tvm_reads_libraries_of_one_batch_size_and_untuned_ones_are_variants():
    files = [entry("FireNet.float32.tflite", 1), entry("FireNet.float32.so", 1), entry("FireNet.float32_untuned.so", 1)]
    axes = {"models": ["FireNet"], "runners": ["litert", "tvm"], "variants": ["float32", "float32_untuned"]}
    rows = sweep(files, **axes, batch_sizes=[1], input_sizes=[])
    assert {(row["variant"], row["runner"], row["model_file"]) for row in rows} == {
        ("float32", "litert", "FireNet.float32.tflite"),
        ("float32", "tvm", "FireNet.float32.so"),
        ("float32_untuned", "tvm", "FireNet.float32_untuned.so"),
    }
    assert not any("--input_layer" in row["flags"] for row in rows)
    with pytest.raises(plan.PlanError, match=r"no model file FireNet\.float32\S+ for batch size 8"):
        sweep(files, **axes, batch_sizes=[8], input_sizes=[])


TVM = {"models": ["FireNet"], "variants": ["float32", "float32_untuned"], "runners": ["tvm"], "batch_sizes": [1]}
CORE, PI = "llvm -mcpu=core-avx2", "llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu"
LIBRARIES = [
    entry("FireNet.float32.core-avx2.so", 1) | {"target": CORE},
    entry("FireNet.float32_untuned.core-avx2.so", 1) | {"target": CORE},
    entry("FireNet.float32_untuned.cortex-a72.so", 1) | {"target": PI},
]


def libraries(files, target, **changes):
    """The rows of a host that runs what is compiled for `target`."""
    settings = TORCH | TVM | {"input_sizes": []} | changes
    return plan.build("pi4", settings, files, seed=42, timeout_s=600, target=target)


def test_a_host_measures_what_is_compiled_for_it():
    assert {row["model_file"] for row in libraries(LIBRARIES, CORE)} == {entry["file"] for entry in LIBRARIES[:2]}
    assert [row["model_file"] for row in libraries(LIBRARIES, PI)] == ["FireNet.float32_untuned.cortex-a72.so"]
    with pytest.raises(plan.PlanError, match=r"nothing to measure on pi4: .*for other CPUs .* llvm -mcpu=generic; the"):
        libraries(LIBRARIES, "llvm -mcpu=generic")
    with pytest.raises(plan.PlanError, match=r"than its own, of which no target of TVM is known; there are: FireNet"):
        libraries(LIBRARIES, None)


def test_a_host_gets_what_is_compiled_for_it():
    files = [*LIBRARIES, entry("FireNet.float32.tflite", 1)]
    there = [each["dest"] for each in model_files(files, "/models", "/srv", PI)]
    assert there == ["/srv/FireNet.float32_untuned.cortex-a72.so", "/srv/FireNet.float32.tflite"]
    assert [each["dest"] for each in model_files(files, "/models", "/srv", "")] == ["/srv/FireNet.float32.tflite"]


def test_a_hosts_target_is_what_the_inventory_says_or_its_own_cpu():
    assert target_of("-mcpu=cortex-a72", "pi4") == PI
    assert target_of({"arch": "aarch64", "microarchitecture": "Cortex-A72"}, "pi4") == PI
    with pytest.raises(AnsibleFilterError, match=r"^pi4: TVM target '-mcpu=native': .*; correct benchmark_tvm_target$"):
        target_of("-mcpu=native", "pi4")
    pi4 = {"arch": "aarch64", "cpu_features": ["asimd"]}
    assert target_of("-mcpu=cortex-a72", "pi4", pi4) == PI
    with pytest.raises(
        AnsibleFilterError, match=r"^pi4 cannot run what TVM .*cortex-a76.*: its CPU has no asimddp asimdhp; correct b"
    ):
        target_of("-mcpu=cortex-a76", "pi4", pi4)
    with pytest.raises(
        AnsibleFilterError, match=r"^pi1: TVM has packages .*, and this machine is armv6l; leave tvm out"
    ):
        target_of({"arch": "armv6l"}, "pi1")


def test_each_model_is_measured_where_there_is_a_file_of_it():
    """A Pi's kernels of one model may have been tuned, and those of another not."""
    files = [each | {"model": model} for model in ("FireNet", "UNet") for each in LIBRARIES]
    files.append(LIBRARIES[0] | {"target": PI, "file": "FireNet.float32.cortex-a72.so"})
    found = {(row["model"], row["variant"]) for row in libraries(files, PI, models=["FireNet", "UNet"])}
    assert found == {("FireNet", "float32"), ("FireNet", "float32_untuned"), ("UNet", "float32_untuned")}


def test_files_for_any_cpu_are_everywhere():
    files = [*LIBRARIES, entry("FireNet.float32.tflite", 1), entry("FireNet.held_out.npz")]
    rows = libraries(files, None, runners=["litert", "tvm"])
    assert [(row["phase"], row["model_file"]) for row in rows] == [
        ("measure", "FireNet.float32.tflite"),
        ("evaluate", "FireNet.float32.tflite"),
    ]
    assert [each["file"] for each in plan.for_host(files, PI)] == [
        "FireNet.float32_untuned.cortex-a72.so",
        "FireNet.float32.tflite",
        "FireNet.held_out.npz",
    ]


def test_what_is_compiled_for_no_cpu_is_asked_for_in_vain():
    with pytest.raises(plan.PlanError, match=r"no model file FireNet\.float32\.so; there are: .*cortex-a72"):
        libraries(LIBRARIES[2:], PI)


def test_delegates_of_a_phone():
    """Several threads stay: what a delegate does not take runs on the CPU."""
    rows = build(
        delegates=["default", "gpu", "nnapi", "hexagon"], runners=["benchmark_model", "benchmark_apk", "litert"]
    )
    found = {(row["runner"], row["threads"], row["delegate"]): row["flags"] for row in rows}
    assert {key for key in found if key[0] == "litert"} == {("litert", 1, "default"), ("litert", 4, "default")}
    for runner in ("benchmark_model", "benchmark_apk"):
        assert found[runner, 4, "default"] == "--num_threads=4 --num_runs=10"
        assert found[runner, 4, "gpu"] == "--num_threads=4 --use_gpu=true --num_runs=10"
        assert found[runner, 1, "nnapi"] == "--num_threads=1 --use_nnapi=true --num_runs=10"
        assert found[runner, 4, "hexagon"] == "--num_threads=4 --use_hexagon=true --num_runs=10"
    assert {row["run"].partition("_")[2] for row in rows if row["delegate"] == "gpu" and row["threads"] == 1} >= {
        "VGG16.float32.benchmark_model.t1.gpu_r01",
        "VGG16.float32.benchmark_apk.t1.gpu_r01",
    }


def test_every_runner_has_what_its_line_says():
    models = load("roles/benchmark_models/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    settings = load("roles/benchmark_runner/defaults/main.yml")
    for name, runner in RUNNERS.items():
        assert runner.format in models["benchmark_models_formats"]["choices"]
        assert set(runner.delegates) <= set(plan.DELEGATE_FLAGS)
        if runner.program:
            assert (ROOT / "runners" / runner.program).is_file()
            assert runner.packages or settings[f"benchmark_runner_{name}_packages"]
        else:
            assert (ROOT / f"roles/benchmark_runner/tasks/{name}.yml").is_file()
    asked = load("roles/campaign/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(asked["campaign_delegates"]["choices"]) == set(plan.DELEGATE_FLAGS)


def test_an_unknown_runner_is_refused_before_anything_is_built():
    with pytest.raises(plan.PlanError, match="unknown runner 'tvn' in campaign_runners; known: litert, "):
        plan.check(SETTINGS | {"runners": ["litert", "tvn"]})


def test_what_a_run_needs_at_least():
    def least(name, batch_size=1, **facts):
        [row] = sweep(
            [entry(name, **facts)],
            models=["X"],
            variants=[name.split(".")[1]],
            runners=["onnxruntime"],
            batch_sizes=[batch_size],
            input_sizes=[],
        )
        return row["least_memory_mb"]

    assert least("X.float32.onnx", size_bytes=10 * 2**20, activation_mb=2.5) == 13
    assert least("X.float32.onnx", batch_size=32, size_bytes=10 * 2**20, activation_mb=2.5) == 90
    assert least("X.int8.onnx", batch_size=32, size_bytes=10 * 2**20, activation_mb=2.5) == 30, "a quarter: bytes"
    assert least("X.float32.onnx", activation_mb=None) == "-"


def test_the_settings_of_every_profile_go_together():
    profiles = load("roles/campaign/defaults/main.yml")["campaign_profiles"]
    assert {"quick", "study", "precise", "sweep"} <= set(profiles)
    for profile in profiles:
        plan.check(SETTINGS | profile_settings(profile))


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def profile_settings(name):
    defaults = load("roles/campaign/defaults/main.yml")
    profile = defaults["campaign_profiles"][name]
    least = profile["repetitions"]
    settings = {"min_repetitions": least, "max_repetitions": profile.get("max_repetitions", least)}
    settings |= {"iterations": profile.get("iterations", "fixed"), "flags": profile["flags"]}
    return settings | {"pilot_runs": defaults["campaign_pilot_runs"]}


@pytest.mark.parametrize("inventory", sorted(path.name for path in (ROOT / "inventory").iterdir()))
def test_the_settings_of_every_inventory_go_together(inventory):
    chosen = load("roles/campaign/defaults/main.yml") | load(f"inventory/{inventory}/group_vars/all/campaign.yml")
    axes = ("models", "variants", "runners", "threads", "delegates", "batch_sizes", "input_sizes")
    settings = {axis: chosen[f"campaign_{axis}"] for axis in axes} | profile_settings(chosen["campaign_profile"])
    plan.check(settings)
    counts = {"lab": 4 * 6 * 2, "android": 5 * 3, "kenning": 5 + 4 + 4}  # where files rule nothing out
    assert len(plan.combinations(settings, [])) == counts.get(inventory, 7 * 2)


def test_every_machine_to_be_leased_says_what_tvm_compiles_for():
    groups = load("inventory/chameleon/hosts.yml")["all"]["children"]["chameleon"]["children"].values()
    hosts = {name: host for group in groups for name, host in group["hosts"].items()}
    targets = {name: tvm_target.normalised(host["benchmark_tvm_target"]) for name, host in hosts.items()}
    assert len(set(targets.values())) == len(hosts)
    assert {name for name, target in targets.items() if "aarch64" in target} == {"pi5", "pi4"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"min_repetitions": 11},
            "campaign_min_repetitions is 11 and campaign_max_repetitions 10; expected numbers above 0",
        ),
        ({"min_repetitions": 0}, "campaign_min_repetitions is 0"),
        ({"min_repetitions": 1}, "one repetition shows no spread to stop by: give campaign_min_repetitions 2 or more"),
        ({"target_percent": 0}, "campaign_target_percent is 0; expected a number of percent above 0"),
        ({"iterations": "some"}, "campaign_iterations is 'some'; expected fixed or auto"),
        ({"iterations": "auto", "pilot_runs": 1}, "campaign_pilot_runs is 1; expected 2 or more"),
        (
            {"iterations": "auto", "pilot_runs": 3, "flags": "--num_runs=10 --use_xnnpack=true"},
            "campaign_flags has --num_runs=10, but campaign_iterations is auto",
        ),
        ({"batch_sizes": [1, 0]}, "campaign_batch_sizes has 0; expected numbers above 0"),
        ({"input_sizes": [-1]}, "campaign_input_sizes has -1; expected numbers above 0"),
        ({"batch_sizes": []}, "nothing to measure: .*campaign_batch_sizes must not be empty"),
        (
            {"variants": ["float32", "compiled"]},
            "'compiled' in campaign_variants goes with nothing else that is asked for: .*torch also has compiled",
        ),
        (
            {"delegates": ["none"], "runners": ["litert", "torch"]},
            "'torch' in campaign_runners goes with nothing.*: torch reads pt2 files, .*; delegates of torch: default$",
        ),
        ({"delegates": ["default", "none"], "runners": ["onnxruntime"]}, "'none' in campaign_delegates goes with"),
        (
            {"delegates": ["default", "gpu"]},
            "'gpu' in campaign_delegates goes with nothing.*; delegates of litert: default, none, xnnpack$",
        ),
        ({"delegates": ["default", "gpux"]}, "unknown delegate 'gpux' in campaign_delegates; known: default, none, xn"),
        (
            {"op_profiling": True},
            "campaign_op_profiling needs the runner benchmark_model, and campaign_runners has only li",
        ),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    with pytest.raises(plan.PlanError, match=message):
        plan.check(SETTINGS | {"min_repetitions": 10, "max_repetitions": 10} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"models": ["Nope"]}, r"no model file Nope\.float32\.tflite; there are: MobileNet", id="unknown model"
        ),
        pytest.param(
            {"variants": ["int8"]},
            r"no model file MobileNet\.int8\.tflite; there are: MobileNet\.dynamic_range\.tflite, "
            r"MobileNet\.float32\.tflite$",
            id="unknown variant",
        ),
        pytest.param(
            {"batch_sizes": [1, 8]},
            r"no model file MobileNet\.float32\.tflite for batch size 8; there are: Mob",
            id="another batch size",
        ),
        pytest.param(
            {"input_sizes": [448]},
            r"no model file MobileNet\.float32\.tflite for input size 448; there are: Mob",
            id="another input size",
        ),
        pytest.param(
            {"runners": ["torch"], "delegates": ["default"]},
            r"no model file MobileNet\.float32\.pt2; there are: Mob",
            id="format",
        ),
        pytest.param({"delegates": ["gpux"]}, "unknown delegate 'gpux'.*known: default, none", id="unknown delegate"),
        pytest.param({"runners": ["a/b"]}, "runner 'a/b' cannot be used", id="a name that is a path"),
        pytest.param({"runners": ["$(reboot)"]}, "cannot be used", id="a name that is a command"),
        pytest.param(
            {"flags": "--num_runs 10"}, "'--num_runs' in campaign_flags is not of the form", id="flag without ="
        ),
        pytest.param({"flags": "--graph=a;b"}, "not of the form --name=value", id="flag with a shell word"),
        pytest.param({"models": []}, "nothing to measure", id="nothing"),
    ],
)
def test_settings_that_give_no_plan(changes, message):
    with pytest.raises(plan.PlanError, match=message):
        build(**changes)


def test_a_variant_that_only_other_files_have_is_no_plan():
    models = [entry("UNet.float32.pt2"), entry("UNet.dynamic_range.tflite", 1)]
    with pytest.raises(plan.PlanError, match=r"'dynamic_range' in campaign_variants .*; there are: UNet\.dyn.*pt2$"):
        sweep(models, models=["UNet"], variants=["float32", "dynamic_range"])


def test_a_batch_needs_a_size_that_is_known():
    file = entry("UNet.float32.pt2", input_size=None)
    [row] = sweep([file], models=["UNet"], batch_sizes=[1], input_sizes=[])
    assert (row["batch_size"], row["input_size"], row["flags"]) == (1, "-", "--num_threads=1 --num_runs=5")
    with pytest.raises(plan.PlanError, match=r"batch size 8 needs the input size of UNet\.float32\.pt2, which is not"):
        sweep([file], models=["UNet"], batch_sizes=[8], input_sizes=[])
