"""Building: what is built, what is not built again, what is refused. A small program stands in for both converters."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from modelzoo.build import FRAMEWORKS, Build
from modelzoo.catalogue import MODELS
from modelzoo.datasets import DataSet
from modelzoo.ensure import Wanted, ensure
from modelzoo.environment import TENSORFLOW
from modelzoo.errors import UsageError, ZooError
from modelzoo.manifest import digest
from modelzoo.weights import Finished, finished

FAKE_CONVERTER = """
import argparse, json, os, pathlib, sys, time
parser = argparse.ArgumentParser()
for name in ("framework", "network", "format", "variant", "weights", "seed", "input-size", "output", "facts"):
    parser.add_argument("--" + name)
for name in ("batch-size", "dataset", "dataset-name", "base-weights", "remark", "epochs"):
    parser.add_argument("--" + name)
options = parser.parse_args()
here = pathlib.Path(__file__).parent
key = options.network + "." + options.variant
with (here / "calls").open("a") as calls:
    calls.write(key + " start\\n")
while (here / "meet").exists() and (here / "calls").read_text().count("start") < 2:
    time.sleep(0.01)
if (here / (key + ".waits")).exists():
    (here / "pid").write_text(str(os.getpid()))
    time.sleep(600)
while (here / "others_wait_for_it").exists() and not (here / "pid").exists():
    time.sleep(0.01)
if (here / (key + ".fails")).exists():
    print("noise of TensorFlow")
    sys.exit("ValueError: no such operation")
if (here / (key + ".is_killed")).exists():
    os.kill(os.getpid(), 9)
if options.variant == "trained":
    print("accuracy 0.9" if options.weights else "epoch 1 of " + options.epochs)
    pathlib.Path(options.output).write_text(options.weights or options.seed)
    sys.exit()
archive = b"PK\\3\\4"
heads = {"tflite": b"\\0\\0\\0\\0TFL3", "pt2": archive, "onnx": b"\\x08", "keras": archive, "npz": archive}
head = heads[options.format]
if (here / (key + ".writes_nonsense")).exists():
    head = b"oops"
pathlib.Path(options.output).write_bytes(head + (key + options.seed).encode())
facts = {"parameters": 7, "macs": 70, "activation_mb": 0.7, "peak_memory_gb": 0.5, "versions": {"tensorflow": "0"}}
if options.framework == "tfmot":
    assert pathlib.Path(options.weights).read_text() == options.seed
    facts |= {"compressed_bytes": 5, "evaluated_images": 450, "correct_images": 440, "classes": 2}
    facts |= {"weight_sparsity": 0.25, "weight_clusters": 8}
if options.framework == "trained":
    facts |= {"correct_images": 400, "evaluated_images": 450, "classes": 10}
if options.format == "npz":
    facts = {key: facts[key] for key in ("evaluated_images", "classes", "peak_memory_gb", "versions")}
pathlib.Path(options.facts).write_text(json.dumps(facts))
with (here / "calls").open("a") as calls:
    calls.write(key + " end\\n")
"""


class Zoo:
    """A models directory, a fake converter with levers (files beside it), and what was said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = root / "models"
        self.directory = self.models / "build-random"
        self.said: list[str] = []
        (root / "convert.py").write_text(FAKE_CONVERTER)

    def pull(self, lever: str) -> None:
        (self.root / lever).touch()

    def build(self, **options) -> Build:
        def converter(framework, cache, say):
            return [sys.executable, str(self.root / "convert.py"), f"--framework={framework}"]

        return Build(self.root / "cache", **{"converter": converter, "memory_gb": lambda: 100.0, "cores": 2} | options)

    def ensure(self, *keys: str, check: bool = False, **options):
        self.said.clear()
        (self.root / "calls").write_text("")
        wanted = [Wanted(*key.split(".")) for key in keys]
        return ensure(self.build(**options), wanted, self.models, self.said.append, check)

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def built(self) -> set[str]:
        return {call.split()[0] for call in self.calls()}

    def manifest(self) -> dict:
        return json.loads((self.directory / "manifest.json").read_text())["models"]


@pytest.fixture
def zoo(tmp_path):
    return Zoo(tmp_path)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_builds_what_is_missing_and_nothing_twice(zoo):
    first = zoo.ensure("MobileNet.float32", "MobileNet.int8")
    assert first.changed
    assert first.failed == []
    assert [entry.key for entry in first.models] == ["MobileNet.float32", "MobileNet.int8"]
    assert files(zoo.directory) == [".lock", "MobileNet.float32.tflite", "MobileNet.int8.tflite", "manifest.json"]
    entry = zoo.manifest()["MobileNet.float32"]
    assert (entry["parameters"], entry["macs"], entry["activation_mb"]) == (7, 70, 0.7)
    assert entry["weights"] == "random"
    assert entry["input_size"] == 224
    assert entry["size_bytes"] == (zoo.directory / entry["file"]).stat().st_size

    second = zoo.ensure("MobileNet.float32", "MobileNet.int8", "VGG16.float32")
    assert second.changed
    assert zoo.built() == {"VGG16.float32"}

    third = zoo.ensure("MobileNet.float32", "MobileNet.int8", "VGG16.float32")
    assert not third.changed
    assert zoo.built() == set()
    assert third.models == second.models


def test_a_changed_recipe_builds_that_model_only(zoo):
    zoo.ensure("MobileNet.float32", "MobileNet.int8")
    manifest = json.loads((zoo.directory / "manifest.json").read_text())
    manifest["models"]["MobileNet.int8"]["recipe"] = "0" * 64
    (zoo.directory / "manifest.json").write_text(json.dumps(manifest))

    outcome = zoo.ensure("MobileNet.float32", "MobileNet.int8")

    assert zoo.built() == {"MobileNet.int8"}
    assert outcome.changed
    assert "MobileNet.int8: its recipe has changed" in zoo.said


def test_another_seed_is_another_recipe_and_other_weights_another_directory(zoo):
    zoo.ensure("MobileNet.float32")
    assert zoo.ensure("MobileNet.float32", weights="imagenet").directory != zoo.directory
    assert not zoo.ensure("MobileNet.float32").changed
    outcome = zoo.ensure("MobileNet.float32", seed=1)
    assert outcome.changed
    assert outcome.models[0].weights_seed == 1


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(flip_a_byte, "damaged", id="a flipped byte"),
        pytest.param(lambda path: os.truncate(path, 5), "5 bytes", id="truncated"),
        pytest.param(Path.unlink, "gone", id="deleted"),
    ],
)
def test_a_damaged_file_is_built_again(zoo, damage, said):
    good = zoo.ensure("MobileNet.float32", "MobileNet.int8").models
    damage(zoo.directory / "MobileNet.float32.tflite")

    outcome = zoo.ensure("MobileNet.float32", "MobileNet.int8")

    assert zoo.built() == {"MobileNet.float32"}
    assert outcome.models == good
    assert any(said in line for line in zoo.said if line.startswith("MobileNet.float32: "))


def test_an_unreadable_manifest_is_replaced(zoo):
    zoo.ensure("MobileNet.float32")
    (zoo.directory / "manifest.json").write_text('{"schema": 1, "mod')
    assert zoo.ensure("MobileNet.float32").failed == []
    assert "manifest.json: not a manifest" in zoo.said[0]
    assert "MobileNet.float32" in zoo.manifest()


@pytest.mark.parametrize(
    ("lever", "reason"),
    [
        pytest.param("VGG16.float32.fails", "exit code 1: ValueError: no such operation", id="error"),
        pytest.param("VGG16.float32.is_killed", "out of memory?", id="killed"),
        pytest.param("VGG16.float32.writes_nonsense", "not a TFLite model", id="not a model"),
    ],
)
def test_a_failing_conversion_leaves_the_others_usable(zoo, lever, reason):
    zoo.pull(lever)
    outcome = zoo.ensure("MobileNet.float32", "VGG16.float32", "VGG16.int8")
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32", "VGG16.int8"]
    assert [failure.wanted.key for failure in outcome.failed] == ["VGG16.float32"]
    assert reason in outcome.failed[0].reason
    assert not (zoo.directory / "VGG16.float32.tflite").exists()
    assert sorted(zoo.manifest()) == ["MobileNet.float32", "VGG16.int8"]

    (zoo.root / lever).unlink()
    assert zoo.ensure("MobileNet.float32", "VGG16.float32", "VGG16.int8").failed == []
    assert zoo.built() == {"VGG16.float32"}


def test_the_output_of_a_failed_conversion_is_kept_and_named(zoo):
    zoo.pull("VGG16.float32.fails")
    reason = zoo.ensure("VGG16.float32").failed[0].reason
    log = zoo.directory / "VGG16.float32.log"
    assert str(log) in reason
    assert "noise of TensorFlow" in log.read_text()
    assert not any("noise" in line for line in zoo.said)


def test_too_little_memory_is_said_before_anything_starts(zoo):
    outcome = zoo.ensure("VGG16.int8", "MobileNet.float32", memory_gb=lambda: 3.9)
    assert [failure.wanted.key for failure in outcome.failed] == ["VGG16.int8"]
    assert "3.9 GB are available" in outcome.failed[0].reason
    assert zoo.said[0].startswith("VGG16.int8 failed: needs about")
    assert zoo.built() == {"MobileNet.float32"}


def test_memory_that_others_take_meanwhile_is_noticed(zoo):
    left_gb = iter([8.0, 8.0])
    outcome = zoo.ensure("MobileNet.float32", "MobileNet.int8", cores=1, memory_gb=lambda: next(left_gb, 0.5))
    assert len(outcome.models) == 1
    assert "0.5 GB are available" in outcome.failed[0].reason


def test_two_at_once_where_memory_and_cores_allow(zoo):
    zoo.pull("meet")  # Each waits until both have started.
    assert zoo.ensure("VGG16.int8", "VGG19.int8").failed == []


@pytest.mark.parametrize(
    ("memory_gb", "cores"),
    [
        pytest.param(100.0, 1, id="one core"),
        pytest.param(9.0, 2, id="memory for one"),
        pytest.param(None, 2, id="memory unknown"),
    ],
)
def test_one_at_a_time_where_memory_or_cores_allow_no_more(zoo, memory_gb, cores):
    zoo.ensure("VGG16.int8", "VGG19.int8", memory_gb=lambda: memory_gb, cores=cores)
    assert [call.split()[1] for call in zoo.calls()] == ["start", "end", "start", "end"]


def test_a_check_changes_nothing(zoo):
    outcome = zoo.ensure("MobileNet.float32", check=True)
    assert outcome.changed
    assert outcome.models == outcome.failed == []
    assert not zoo.models.exists()

    zoo.ensure("MobileNet.float32")
    outcome = zoo.ensure("MobileNet.float32", "VGG16.float32", check=True)
    assert outcome.changed
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    assert not zoo.ensure("MobileNet.float32", check=True).changed


def test_an_interrupted_build_keeps_what_is_ready_and_ends_its_processes(zoo):
    zoo.pull("VGG16.float32.waits")
    zoo.pull("others_wait_for_it")

    def interrupt_when_the_first_is_ready(line):
        if line.startswith("building MobileNet.float32"):
            raise KeyboardInterrupt

    # Largest first: VGG16 hangs on one core, the MobileNets follow each other on the other.
    wanted = [Wanted("VGG16", "float32"), Wanted("MobileNet", "int8"), Wanted("MobileNet", "float32")]
    pid_file = zoo.root / "pid"
    zoo.pull("calls")
    with pytest.raises(KeyboardInterrupt):
        ensure(zoo.build(), wanted, zoo.models, interrupt_when_the_first_is_ready)
    deadline = time.monotonic() + 20
    while alive(int(pid_file.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(pid_file.read_text()))

    assert sorted(zoo.manifest()) == ["MobileNet.int8"]

    (zoo.root / "VGG16.float32.waits").unlink()
    assert zoo.ensure("VGG16.float32", "MobileNet.float32", "MobileNet.int8").failed == []
    assert ".work" not in files(zoo.directory)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "Mobilenet.float32",
            "unknown model 'Mobilenet' (did you mean MobileNet or MobileNetV2?); known: MobileNet, Inc",
        ),
        ("VGG16.float", "unknown variant 'float' (did you mean float32 or float16?); known: float32, dynamic_range"),
        ("Foo.float32", "unknown model 'Foo'; known: MobileNet"),
    ],
)
def test_unknown_names_are_refused_with_those_that_are_known(zoo, key, message):
    with pytest.raises(UsageError) as error:
        zoo.build().check([Wanted(*key.split("."))])
    assert str(error.value).startswith(message)


def test_a_models_directory_that_cannot_be_used_is_named(zoo):
    zoo.models.write_text("a file where a directory is expected")
    outcome = zoo.ensure("MobileNet.float32")
    assert str(zoo.models) in outcome.failed[0].reason
    assert "--dir" in outcome.failed[0].reason


RESNET18 = Wanted("ResNet18", "float32")


def test_each_framework_has_its_program_and_one_that_is_not_wanted_is_left_alone(zoo):
    zoo.ensure("MobileNet.float32")
    asked = []

    def converter(framework, cache, say):
        asked.append(framework)
        return [sys.executable, str(zoo.root / "convert.py"), f"--framework={framework}"]

    assert zoo.ensure("MobileNet.float32", "VGG16.float32", converter=converter).failed == []
    assert asked == ["keras"]
    assert zoo.ensure("ResNet18.float32", converter=converter).failed == []
    assert asked == ["keras", "torch"]


def test_a_framework_that_cannot_be_installed_leaves_the_others_models_usable(zoo):
    def converter(framework, cache, say):
        if framework == "torch":
            raise ZooError("PyTorch could not be installed: no space left")
        return [sys.executable, str(zoo.root / "convert.py"), f"--framework={framework}"]

    outcome = zoo.ensure("ResNet18.float32", "MobileNet.float32", "UNet.float32", converter=converter)
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    assert {failure.reason for failure in outcome.failed} == {"PyTorch could not be installed: no space left"}


def test_formats_batch_and_input_sizes_are_files_of_their_own(zoo):
    wanted = [
        RESNET18,
        Wanted("ResNet18", "float32", "pt2", batch_size=None, input_size=448),
        Wanted("ResNet18", "float32", "onnx", batch_size=None),
        Wanted("MobileNet", "float32", batch_size=8, input_size=448),
    ]
    outcome = ensure(zoo.build(), wanted, zoo.models, zoo.said.append)
    assert outcome.failed == []
    assert [(entry.file, entry.format, entry.batch_size, entry.input_size) for entry in outcome.models] == [
        ("ResNet18.float32.tflite", "tflite", 1, 224),
        ("ResNet18.float32.s448.pt2", "pt2", None, 448),
        ("ResNet18.float32.onnx", "onnx", None, 224),
        ("MobileNet.float32.b8.s448.tflite", "tflite", 8, 448),
    ]
    assert len({entry.recipe for entry in outcome.models}) == 4
    assert not ensure(zoo.build(), wanted, zoo.models, zoo.said.append).changed


def test_what_was_built_before_there_were_formats_stays_and_gets_its_macs(zoo):
    zoo.ensure("MobileNet.float32")
    manifest = zoo.manifest()
    entry = manifest["MobileNet.float32"]
    for name in ("format", "macs", "activation_mb"):
        del entry[name]
    entry["parameters"] = MODELS["MobileNet"].parameters
    (zoo.directory / "manifest.json").write_text(json.dumps({"schema": 1, "models": manifest}))

    outcome = zoo.ensure("MobileNet.float32")

    assert not outcome.changed
    assert outcome.models[0].macs == MODELS["MobileNet"].macs
    assert entry["recipe"] == digest(
        {
            "network": "MobileNet",
            "variant": "float32",
            "weights": "random",
            "weights_seed": 0,
            "batch_size": 1,
            "input_size": 224,
            "versions": TENSORFLOW.pinned_versions(),
            "recipe_version": FRAMEWORKS["keras"].recipe_version,
        }
    )


def test_larger_images_and_batches_take_more_memory():
    model = MODELS["ResNet18"]
    own = model.need_gb("float32", "tflite", 1, None)
    assert own == model.need_gb("float32", "tflite", 1, 224) == model.memory_gb["float32", "tflite"]
    assert own < model.need_gb("float32", "tflite", 8, 224) < model.need_gb("float32", "tflite", 8, 448)
    # The first dense layer of VGG16 sees 14 x 14 positions instead of 7 x 7.
    assert MODELS["VGG16"].size_mb("float32", 448) == pytest.approx((138_357_544 + 3 * 102_760_448) * 4 / 1e6)


def test_keras_has_trained_weights_for_its_own_size_only(zoo):
    wanted = [Wanted("MobileNet", "float32", input_size=448)]
    zoo.build().check(wanted)
    zoo.build(weights="imagenet").check([Wanted("ResNet18", "float32", input_size=448)])
    with pytest.raises(UsageError, match="MobileNet with imagenet weights can have input size 224 only, not 448"):
        zoo.build(weights="imagenet").check(wanted)


def test_unet_halves_the_image_four_times(zoo):
    zoo.build().check([Wanted("UNet", "float32", "pt2", None, 240)])
    with pytest.raises(UsageError, match="UNet can have input sizes that are multiples of 16 only, not 299"):
        zoo.build().check([Wanted("UNet", "float32", "pt2", None, 299)])


def test_firenet_is_trained_once_for_all_its_variants(zoo):
    outcome = zoo.ensure("FireNet.float32", "FireNet.clustered_dynamic_range", weights="imagenet")
    assert outcome.failed == []
    assert [call for call in zoo.calls() if "trained" in call] == ["FireNet.trained start"]
    assert "training: epoch 1 of 10" in zoo.said
    entry = outcome.models[1]
    assert (entry.weights, entry.weights_seed) == ("digits", None)
    assert (entry.evaluated_on, entry.evaluated_images, entry.correct_images, entry.classes) == ("digits", 450, 440, 2)
    assert (entry.compressed_bytes, entry.weight_sparsity, entry.weight_clusters) == (5, 0.25, 8)

    zoo.ensure("FireNet.float32", "FireNet.int8", weights="imagenet")
    assert zoo.built() == {"FireNet.int8"}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"epochs": 3}, id="epochs"),
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"dataset": DataSet("fire", 10, Path("/fire"), "0" * 64)}, id="data set"),
    ],
)
def test_another_training_is_another_recipe(zoo, other):
    zoo.ensure("FireNet.float32")
    assert zoo.ensure("FireNet.float32", **other).changed
    assert zoo.built() == {"FireNet.trained", "FireNet.float32"}
    # What was trained before is still there.
    zoo.ensure("FireNet.float32")
    assert zoo.built() == {"FireNet.float32"}


def test_what_says_nothing_of_its_accuracy_was_evaluated_on_nothing(zoo):
    (entry,) = zoo.ensure("MobileNet.float32").models
    assert (entry.evaluated_on, entry.correct_images, entry.compressed_bytes) == (None, None, None)


def test_a_training_that_fails_leaves_the_other_models_usable_and_is_tried_again(zoo):
    zoo.pull("FireNet.trained.fails")
    outcome = zoo.ensure("FireNet.float32", "FireNet.int8", "MobileNet.float32")
    assert [entry.key for entry in outcome.models] == ["MobileNet.float32"]
    (reason,) = {failure.reason for failure in outcome.failed}
    assert reason.startswith("the training ended with exit code 1: ValueError: no such operation (the whole output is ")

    (zoo.root / "FireNet.trained.fails").unlink()
    assert zoo.ensure("FireNet.float32").failed == []


def test_an_interrupted_training_leaves_nothing_that_looks_trained(zoo):
    zoo.pull("FireNet.trained.is_killed")
    outcome = zoo.ensure("FireNet.float32")
    assert "the training was killed (out of memory?)" in outcome.failed[0].reason
    assert not list((zoo.root / "cache" / "trained").glob("*.h5"))


def test_firenet_has_one_input_size_and_variants_of_its_own(zoo):
    with pytest.raises(UsageError, match="FireNet can have input size 128 only, not 224: it is trained for that"):
        zoo.build().check([Wanted("FireNet", "float32", input_size=224)])
    compressed = {"clustered_dynamic_range", "pruned_dynamic_range"}
    for model in MODELS.values():
        assert compressed.isdisjoint(variant for variant, _ in model.memory_gb) == (model.name != "FireNet")


DIGITCNN = (
    Wanted("DigitCNN", "float32"),
    Wanted("DigitCNN", "int8", batch_size=8),
    Wanted("DigitCNN", "float32", "keras", batch_size=None),
    Wanted("DigitCNN", "held_out", "npz", batch_size=None),
)


def test_one_training_for_all_formats_and_the_images_that_it_has_not_seen(zoo):
    outcome = ensure(zoo.build(weights="imagenet"), DIGITCNN, zoo.models, zoo.said.append)
    assert outcome.failed == []
    assert [call for call in zoo.calls() if "trained" in call] == ["DigitCNN.trained start"]
    assert [(entry.file, entry.format, entry.batch_size, entry.input_size) for entry in outcome.models] == [
        ("DigitCNN.float32.tflite", "tflite", 1, 32),
        ("DigitCNN.int8.b8.tflite", "tflite", 8, 32),
        ("DigitCNN.float32.keras", "keras", None, 32),
        ("DigitCNN.held_out.npz", "npz", None, 32),
    ]
    assert len({entry.recipe for entry in outcome.models}) == 4
    assert {entry.weights for entry in outcome.models} == {"digits"}
    images = outcome.models[-1]
    assert (images.evaluated_on, images.evaluated_images, images.classes) == ("digits", 450, 10)
    assert (images.parameters, images.correct_images, images.remark) == (None, None, None)
    assert not ensure(zoo.build(weights="imagenet"), DIGITCNN, zoo.models, zoo.said.append).changed


def test_what_a_training_begins_with_is_in_the_recipe_where_it_matters(zoo):
    def recipes(model):
        return {zoo.build(weights=weights).recipe(Wanted(model, "float32")) for weights in ("random", "imagenet")}

    assert (len(recipes("DigitCNN")), len(recipes("MobileNetV2"))) == (1, 2)


def test_finished_weights_are_taken_instead_of_a_training_and_that_is_on_record(zoo):
    """They have the seed's name as their content: what the program that stands in asks of trained weights."""
    file = zoo.root / "theirs.h5"
    file.write_text("0")
    options = {"finished": finished(str(file), None), "dataset": DataSet("fire", 10, Path("/fire"), "0" * 64)}
    outcome = ensure(zoo.build(**options), DIGITCNN, zoo.models, zoo.said.append)
    assert outcome.failed == []
    assert zoo.said[0].startswith("evaluating DigitCNN with theirs.h5 on fire ...")
    assert "evaluation: accuracy 0.9" in zoo.said
    remarks = {(entry.weights, entry.evaluated_on, entry.remark) for entry in outcome.models}
    assert remarks == {
        ("unknown", "fire", "the weights are from elsewhere: they may have been trained on these images")
    }

    file.write_text("1")
    options["finished"] = finished(str(file), None)
    assert ensure(zoo.build(**options), DIGITCNN, zoo.models, zoo.said.append, check=True).changed


@pytest.mark.parametrize(
    ("models", "found"), [(["FireNet"], "none"), (["DigitCNN", "MobileNetV2"], "DigitCNN and MobileNetV2")]
)
def test_finished_weights_are_of_one_network(zoo, models, found):
    build = zoo.build(finished=Finished("/theirs.h5", "0" * 64))
    with pytest.raises(UsageError, match=f"one of DigitCNN, MobileNetV2 is expected with them, {found} found"):
        build.check([Wanted(name, "float32") for name in models])
