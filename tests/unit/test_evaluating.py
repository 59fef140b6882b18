"""Runners with --evaluate: which class each image of a held-out file is taken for. With the real runtime litert."""

from __future__ import annotations

import hashlib
import re
import shutil

import numpy as np
import protocol
import pytest

from tests.playing import ROOT
from tests.runner_programs import RUNNERS, edgebench, start
from tests.unit import colours

MODELS = ROOT / "tests/data/models"


def evaluated(model, file, *arguments):
    return start(RUNNERS / "litert.py", f"--graph={MODELS / model}.tflite", f"--evaluate={file}", *arguments)


@pytest.mark.parametrize("model", ["colours.float32", "colours.int8"])
def test_every_image_is_classified_and_nothing_is_timed(tmp_path, model):
    shutil.copy(MODELS / f"{model}.tflite", tmp_path)
    file = colours.write(tmp_path / "colours.held_out.npz")
    done = start(RUNNERS / "litert.py", f"--graph={tmp_path / model}.tflite", f"--evaluate={file.name}")
    assert (done.returncode, "Inference timings" in done.stdout, "count=" in done.stdout) == (0, False, False)
    values = edgebench(done.stdout)
    assert "iteration_wall_us" not in values
    assert 0 < values["evaluation"].pop("top_5_correct") <= 9  # scores are close, and in int8 some are equal
    assert values["evaluation"] == {
        "file": "colours.held_out.npz",
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "evaluated_on": "colours",
        "remark": "made here",
        "classes": colours.CLASSES,
        "labels": colours.LABELS,
        "predicted": colours.COLOURS,
    }


def test_the_last_batch_may_be_smaller(tmp_path):
    file = colours.write(tmp_path / "it.npz")
    done = evaluated("colours.float32", file, "--input_layer=x", "--input_layer_shape=4,8,8,3")
    assert edgebench(done.stdout)["evaluation"]["predicted"] == colours.COLOURS


def test_an_image_is_scaled_in_every_channel_and_quantized():
    floats = protocol.Classifier((1, 1, 1, 3), "float32", None, None)
    ints = protocol.Classifier((1, 1, 1, 3), "int8", (0.5, -3), None)
    values = np.array([[[[-100, 0.7, 64]]]], np.float32)
    assert protocol.as_input(values, floats).tolist() == values.tolist()
    assert protocol.as_input(values, ints).ravel().tolist() == [-128, -2, 125]
    with pytest.raises(protocol.BenchmarkError, match="images in int8 and does not say with which scale"):
        protocol.as_input(values, ints._replace(quantization=None))


def test_the_true_class_is_among_the_five_likeliest(tmp_path):
    # A score of 9, 8, ... down to 0 for classes 0 to 9, so that five labels are among the first five.
    file = colours.write(
        tmp_path / "it.npz",
        images=np.zeros((10, 1, 1, 1), np.uint8),
        labels=np.arange(10),
        classes=np.array(list("abcdefghij")),
        scale=np.ones(1, np.float32),
        offset=np.zeros(1, np.float32),
    )
    scores = np.arange(9, -1, -1, dtype=np.int8)
    found = protocol.evaluate(
        protocol.Classifier((5, 1, 1, 1), "float32", None, lambda _: np.tile(scores, (5, 1))), file
    )
    assert (found["predicted"], found["top_5_correct"]) == ([0] * 10, 5)


def test_with_five_classes_or_fewer_there_is_no_top_5(tmp_path):
    file = colours.write(
        tmp_path / "it.npz", labels=np.array([0, 1, 2, 3, 4, 0, 1, 2, 3]), classes=np.array(list("abcde"))
    )
    classifier = protocol.Classifier((9, 8, 8, 3), "float32", None, lambda _: np.eye(9, 5))
    assert protocol.evaluate(classifier, file)["top_5_correct"] is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"labels": None}, "is no held-out file of modelzoo: There is no item named 'labels.npy' in the archive"),
        ({"labels": np.array([0] * 8 + [7])}, "is no held-out file of modelzoo: its arrays do not fit together"),
        ({"offset": np.zeros(4, np.float32)}, "is no held-out file of modelzoo: its arrays do not fit together"),
        ({"classes": np.array(["red"], object)}, "is no held-out file of modelzoo: Object arrays cannot be loaded"),
        (
            {"classes": np.array([*colours.CLASSES, "white"])},
            "the model's first output is of shape (7,) for each image, ",
        ),
        (
            {"images": np.zeros((9, 6, 8, 3), np.uint8)},
            "the model takes images of 8x8x3 (height, width, channels), those of ",
        ),
    ],
    ids=["lacking", "label", "offset", "pickle", "classes", "shape"],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, changed, reason):
    file = colours.write(tmp_path / "it.npz", **changed)
    classifier = protocol.Classifier((1, 8, 8, 3), "float32", None, lambda _: np.zeros((1, 7), np.float32))
    with pytest.raises(protocol.BenchmarkError) as refused:
        protocol.evaluate(classifier, file)
    assert reason in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_scores_that_are_no_numbers_are_an_error(tmp_path):
    file = colours.write(tmp_path / "it.npz")
    classifier = protocol.Classifier((9, 8, 8, 3), "float32", None, lambda _: np.full((9, 7), np.nan))
    with pytest.raises(protocol.BenchmarkError, match="are no numbers"):
        protocol.evaluate(classifier, file)


def test_what_cannot_be_evaluated_is_said(tmp_path):
    done = evaluated("colours.float32", tmp_path / "gone.npz")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ERROR: Benchmarking failed.")
    assert f"ERROR: Could not open '{tmp_path}/gone.npz': No such file or directory\n" in done.stderr


@pytest.mark.parametrize(
    "damage", [lambda _: b"not a zip archive", lambda whole: whole[:300] + b"?" * 300 + whole[600:]]
)
def test_a_damaged_file_is_said_so(tmp_path, damage):
    file = colours.write(tmp_path / "it.npz")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(protocol.BenchmarkError, match=f"^{re.escape(str(file))} is no held-out file of modelzoo: "):
        protocol.read_held_out(file)
