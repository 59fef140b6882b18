"""DigitCNN trained, converted and evaluated for real, in TensorFlow's cached environment (made where it is missing)."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageDraw

from modelzoo import build
from modelzoo.build import Build
from modelzoo.catalogue import MODELS
from modelzoo.ensure import Wanted, ensure
from modelzoo.environment import builder_python
from modelzoo.paths import REPOSITORY, cache_dir

DIGITCNN = MODELS["DigitCNN"]
PREAMBLE = f"import json, sys; sys.path.insert(0, {str(REPOSITORY / 'modelzoo')!r}); import convert_trained as it\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Entries by file, and their directory: one training, of the environment alone is the user's cache."""
    root = tmp_path_factory.mktemp("trained")

    def converter(framework, _, say):
        return build.default_converter(framework, cache_dir(), say)

    wanted = [
        Wanted("DigitCNN", "float32"),
        Wanted("DigitCNN", "int8"),
        Wanted("DigitCNN", "float32", "keras", batch_size=None),
        Wanted("DigitCNN", "held_out", "npz", batch_size=None),
    ]
    outcome = ensure(Build(root / "cache", converter=converter, epochs=2), wanted, root / "models", print)
    assert outcome.failed == []
    return {entry.file: entry for entry in outcome.models}, outcome.directory


def test_every_file_is_of_the_same_trained_network(built):
    entries, directory = built
    models = [entry for entry in entries.values() if entry.variant != "held_out"]
    for entry in models:
        assert (entry.parameters, entry.macs, entry.activation_mb) == (
            DIGITCNN.parameters,
            DIGITCNN.macs,
            DIGITCNN.activation_mb,
        )
        assert entry.size_bytes == (directory / entry.file).stat().st_size
        assert entry.size_bytes == pytest.approx(DIGITCNN.size_mb(entry.variant) * 1e6, rel=0.15)
        assert (entry.weights, entry.evaluated_on, entry.evaluated_images, entry.classes) == (
            "digits",
            "digits",
            450,
            10,
        )
        assert entry.correct_images > 0.5 * 450
    floats = [entry.correct_images for entry in models if entry.variant == "float32"]
    assert floats[0] == floats[1]


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_the_images_held_out_give_a_runner_the_accuracy_that_is_on_record(built, variant):
    """As a runner would: images * scale + offset, quantized where the input is; by another library."""
    entries, directory = built
    entry = entries[f"DigitCNN.{variant}.tflite"]
    with np.load(directory / "DigitCNN.held_out.npz", allow_pickle=False) as held_out:
        images, labels, scale, offset = (held_out[name] for name in ("images", "labels", "scale", "offset"))
        assert (images.shape, images.dtype, labels.dtype) == ((450, 32, 32, 3), np.uint8, np.int64)
        assert held_out["classes"].tolist() == list("0123456789")
        assert np.bincount(labels).min() >= 43  # The same share of each.
        assert (held_out["evaluated_on"], held_out["remark"]) == ("digits", "")
    interpreter = Interpreter(str(directory / entry.file))
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    correct = 0
    for image, label in zip(images.astype(np.float32) * scale + offset, labels, strict=True):
        if variant == "int8":
            input_scale, zero_point = given["quantization"]
            image = np.clip(np.round(image / input_scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], image[np.newaxis])
        interpreter.invoke()
        correct += interpreter.get_tensor(answer["index"])[0].argmax() == label
    assert correct == entry.correct_images


def test_pet_and_the_weights_of_others(tmp_path):
    """What the data set holds out is held out, a damaged picture is named, and weights of another network refused."""
    pet = made_pet(tmp_path / "pet")
    damaged = pet / "images/pug_1.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    program = """
import argparse
import time
import numpy as np
import keras

said = []
network = it.NETWORKS["MobileNetV2"]
parts = it.load(sys.argv[1], network.size, network.preprocessing, say=said.append)
model = network.build(2, None)
theirs, small = (f"{sys.argv[1]}/{name}" for name in ("theirs.h5", "small.weights.h5"))
model.save(theirs)

def loaded(name, file, classes):
    try:
        return it.with_weights(it.NETWORKS[name], argparse.Namespace(network=name, weights=file), classes)
    except ValueError as error:
        return str(error)

def saved(model):
    it.save(model, f"{sys.argv[1]}/it.keras")
    return open(f"{sys.argv[1]}/it.keras", "rb").read()

again = loaded("MobileNetV2", theirs, 2)
keras.utils.clear_session()  # Layers are numbered anew, as in another process.
digits = it.NETWORKS["DigitCNN"].build(2, None)
digits.save_weights(small)
first = saved(digits)
keras.utils.clear_session()
time.sleep(1.1)  # Keras says in its files when they were saved, to the second.
second = saved(loaded("DigitCNN", small, 2))
print(json.dumps({
    "classes": parts[0].classes,
    "images": [np.bincount(part.labels).tolist() for part in parts],
    "black": it.Images((), np.zeros((1, 1, 1, 3), np.uint8), None, network.preprocessing).floats()[0, 0, 0].tolist(),
    "said": said,
    "facts": it.facts(model),
    "same": all((a == b).all() for a, b in zip(model.get_weights(), again.get_weights(), strict=True)),
    "same_bytes": first == second,
    "more_classes": loaded("DigitCNN", small, 3),
    "another": loaded("DigitCNN", theirs, 2),
    "none": loaded("DigitCNN", f"{sys.argv[1]}/annotations/list.txt.h5", 2),
}))
"""
    (pet / "annotations/list.txt.h5").write_text("no weights")
    done = subprocess.run(
        [builder_python(cache_dir(), print), "-c", PREAMBLE + program, pet], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["classes"] == ["Abyssinian", "pug"]
    assert said["images"] == [[8, 7], [2, 2]]
    assert said["said"] == [f"1 of 20 images cannot be read and are left out: {damaged}"]
    assert said["black"] == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rel=1e-5)
    assert said["facts"]["macs"] == pytest.approx(MODELS["MobileNetV2"].macs, rel=0.001)
    assert said["facts"]["activation_mb"] == MODELS["MobileNetV2"].activation_mb
    assert (said["same"], said["same_bytes"]) == (True, True)
    assert "small.weights.h5: no weights of DigitCNN for 3 classes (" in said["more_classes"]
    assert "theirs.h5: no weights of DigitCNN for 2 classes (" in said["another"]
    assert "list.txt.h5: no weights of DigitCNN for 2 classes (" in said["none"]


def made_pet(directory):
    """Ten pictures of each of two breeds, two of each held out."""
    random = np.random.default_rng(0)
    (directory / "images").mkdir(parents=True)
    (directory / "annotations").mkdir()
    lines = []
    for number, (breed, colour) in enumerate({"Abyssinian": (250, 120, 20), "pug": (30, 110, 60)}.items(), start=1):
        for each in range(1, 11):
            width, height, x, y = random.integers(40, 200, 4).tolist()
            image = Image.new("RGB", (width, height), (40, 40, 60))
            ImageDraw.Draw(image).ellipse((0, 0, x, y), colour)
            image.save(directory / f"images/{breed}_{each}.jpg")
            lines.append(f"{breed}_{each} {number} 1 1")
    (directory / "annotations/list.txt").write_text("\n".join(["#Image CLASS-ID SPECIES BREED ID", *lines]))
    (directory / "annotations/test.txt").write_text("\n".join(lines[8:10] + lines[18:]))
    return directory
