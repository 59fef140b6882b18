"""The command line as other programs see it: exit codes, JSON on stdout, one clear line on stderr."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelzoo.catalogue import MODELS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def modelzoo(tmp_path):
    """Run the command with its cache in tmp_path."""

    def modelzoo(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "modelzoo", *arguments],
            cwd=ROOT,
            env=os.environ | {"EDGEBENCH_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )

    return modelzoo


@pytest.fixture
def source_dir(tmp_path):
    source_dir = tmp_path / "there"
    source_dir.mkdir()
    (source_dir / "MobileNet.float32.tflite").write_bytes(b"\0\0\0\0TFL3 a model")
    return source_dir


def test_all_there(modelzoo, source_dir, tmp_path):
    command = ("ensure", "--source=directory", f"--source-dir={source_dir}", "--models=MobileNet", "--variants=float32")
    done = modelzoo(*command)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["changed"] is True
    assert document["dir"] == str(tmp_path / "cache/models/directory")
    assert document["failed"] == []
    assert document["models"][0] == {
        "model": "MobileNet",
        "variant": "float32",
        "file": "MobileNet.float32.tflite",
        "size_bytes": 16,
        "sha256": document["models"][0]["sha256"],
        "source": "directory",
        "weights": "unknown",
        "weights_seed": None,
        "parameters": None,
        "macs": None,
        "activation_mb": None,
        "format": "tflite",
        "batch_size": None,
        "input_size": None,
        "url": None,
        "recipe": None,
        "versions": {},
        "compressed_bytes": None,
        "evaluated_on": None,
        "evaluated_images": None,
        "correct_images": None,
        "classes": None,
        "weight_sparsity": None,
        "weight_clusters": None,
        "remark": None,
    }
    assert done.stderr.splitlines()[-1].startswith("ready in ")
    assert json.loads(modelzoo(*command).stdout)["changed"] is False


def test_some_are_not_there(modelzoo, source_dir):
    done = modelzoo("ensure", "--source=directory", f"--source-dir={source_dir}", "--models=MobileNet")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [entry["variant"] for entry in document["models"]] == ["float32"]
    (failure,) = document["failed"]
    assert (failure["model"], failure["variant"]) == ("MobileNet", "dynamic_range")
    assert done.stderr.splitlines()[-1].startswith("modelzoo: 1 of 2 models are not there: MobileNet.dynamic_range: ")


def test_check_changes_nothing(modelzoo, tmp_path):
    done = modelzoo("ensure", "--check", "--models=MobileNet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "changed": True,
        "dir": str(tmp_path / "cache/models/build-random"),
        "models": [],
        "failed": [],
    }
    assert "would build MobileNet.float32: not there yet" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_by_default_nothing_of_pytorch_is_wanted(modelzoo):
    """Its environment is made for its models alone, so the study's users never install it."""
    done = modelzoo("ensure", "--check")
    assert done.returncode == 0, done.stderr
    named = {line.split()[2].partition(".")[0] for line in done.stderr.splitlines() if line.startswith("would build")}
    assert named == {name for name, model in MODELS.items() if model.framework == "keras"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--models=Mobilenet"], "did you mean MobileNet or MobileNetV2?", id="unknown model"),
        pytest.param(["--variants=float32,quantized"], "unknown variant 'quantized'", id="unknown variant"),
        pytest.param(["--models=../../etc"], "names separated by commas", id="a name that is a path"),
        pytest.param(
            ["--formats=pt3"], "unknown format 'pt3' (did you mean pt2?); known: tflite, pt2, onnx", id="format"
        ),
        pytest.param(["--batch-sizes=0"], "'0': whole numbers above 0 separated by commas expected", id="batch size"),
        pytest.param(
            ["--models=MobileNet", "--formats=pt2,tflite"],
            "format 'pt2' is to be had in none of these combinations: models MobileNet, ",
            id="Keras in PyTorch's format",
        ),
        pytest.param(
            ["--models=ResNet18", "--variants=float32,dynamic_range", "--formats=pt2"],
            "variant 'dynamic_range' is to be had in none of these combinations: ",
            id="quantized in PyTorch's format",
        ),
        pytest.param(
            ["--models=MobileNet", "--weights=imagenet", "--input-sizes=448"],
            "MobileNet with imagenet weights can have input size 224 only",
            id="trained for another size",
        ),
        pytest.param(
            ["--models=MobileNet", "--variants=float32,pruned_dynamic_range"],
            "variant 'pruned_dynamic_range' is to be had in none of these combinations: models MobileNet, ",
            id="a variant of another model",
        ),
        pytest.param(
            ["--models=FireNet", "--dataset=/nowhere"],
            "data set /nowhere cannot be read (No such file or directory)",
            id="no data set",
        ),
        pytest.param(
            ["--models=DigitCNN", "--dataset-url=http://mirror"],
            "--dataset-url goes with --dataset pets",
            id="a mirror",
        ),
        pytest.param(
            ["--models=DigitCNN", "--trained=/nowhere.h5"],
            "trained weights /nowhere.h5 cannot be read (No such file or directory)",
            id="no weights",
        ),
        pytest.param(
            ["--models=DigitCNN", "--trained=http://me:secret@there/x.h5"],
            "trained weights from http://there/x.h5 need their sha256",
            id="weights from anywhere",
        ),
        pytest.param(
            ["--models=DigitCNN", "--trained=/dev/null"], "null: .h5, .weights.h5 or .keras expected", id="no Keras"
        ),
        pytest.param(
            ["--models=DigitCNN", "--trained=/dev/null", "--trained-sha256=" + 64 * "0"],
            "the sha256 of /dev/null is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, 0000",
            id="other weights",
        ),
        pytest.param(
            ["--models=DigitCNN", "--trained=/dev/null", "--epochs=1"], "with --trained there is none", id="no training"
        ),
        pytest.param(["--trained-sha256=0"], "--trained-sha256 goes with --trained", id="a sha256 of nothing"),
        pytest.param(["--epochs=0"], "'0': a whole number above 0 expected", id="no epochs"),
        pytest.param(
            ["--source=directory", "--source-dir=/", "--dataset=digits"],
            "--dataset goes with --source build",
            id="data",
        ),
        pytest.param(["--models="], "names separated by commas", id="no names"),
        pytest.param(["--source=directory"], "--source directory needs --source-dir", id="no directory"),
        pytest.param(["--source=download"], "--download-list FILE|URL or --drive-folder", id="no list"),
        pytest.param(["--source=download", "--drive-folder=x"], "not a Google Drive folder", id="no folder"),
        pytest.param(["--source-dir=/x"], "--source-dir goes with --source directory, not build", id="wrong source"),
        pytest.param(
            ["--source=directory", "--source-dir=/", "--seed=0"], "--seed goes with --source build", id="seed"
        ),
    ],
)
def test_wrong_usage(modelzoo, tmp_path, options, said):
    done = modelzoo("ensure", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cache").exists()


def test_a_source_that_cannot_be_used_fails_every_model(modelzoo, tmp_path):
    done = modelzoo("ensure", "--source=directory", "--source-dir=/nowhere")
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["failed"]) == 14
    (line,) = done.stderr.splitlines()
    assert line.startswith("modelzoo: 14 of 14 models are not there: MobileNet.float32, ")
    assert line.endswith(": model directory /nowhere cannot be read (No such file or directory)")


def test_list_shows_every_model(modelzoo, golden):
    done = modelzoo("list")
    assert done.returncode == 0
    for model in MODELS.values():
        assert model.name in done.stdout
        assert f"{model.parameters:,}" in done.stdout
    golden("modelzoo_list.txt", done.stdout)


def test_what_there_cannot_be_is_left_out(modelzoo):
    """A tflite file for each batch and input size, one of the others for each input size; none twice."""
    done = modelzoo(
        "ensure",
        "--check",
        "--models=InceptionV3,ResNet18",
        "--variants=float32,int8",
        "--formats=tflite,pt2",
        "--batch-sizes=1,2",
        "--input-sizes=224,299",
    )
    assert done.returncode == 0, done.stderr
    named = [line.split()[2].rstrip(":") for line in done.stderr.splitlines() if line.startswith("would build")]
    assert named == [
        "InceptionV3.float32.s224",
        "InceptionV3.float32",
        "InceptionV3.float32.b2.s224",
        "InceptionV3.float32.b2",
        "InceptionV3.int8.s224",
        "InceptionV3.int8",
        "InceptionV3.int8.b2.s224",
        "InceptionV3.int8.b2",
        "ResNet18.float32",
        "ResNet18.float32.s299",
        "ResNet18.float32.b2",
        "ResNet18.float32.b2.s299",
        "ResNet18.float32.pt2",
        "ResNet18.float32.s299.pt2",
    ]


def test_a_second_run_waits_for_the_first(source_dir, tmp_path):
    """Both find the same work; a lock keeps the second from doing it again."""
    directory = tmp_path / "cache/models/directory"
    directory.mkdir(parents=True)
    command = [sys.executable, "-m", "modelzoo", "ensure", "--source=directory", f"--source-dir={source_dir}"]
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [*command, "--models=MobileNet", "--variants=float32"],
            cwd=ROOT,
            env=os.environ | {"EDGEBENCH_CACHE": str(tmp_path / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "another modelzoo is at work" in process.stderr.readline()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(output)["changed"] is True


def test_images_held_out_are_wanted_where_there_are_some_whatever_the_variants(modelzoo, source_dir):
    options = ("--variants=float32,int8", "--formats=tflite,keras,npz")
    done = modelzoo("ensure", "--check", "--models=MobileNet,DigitCNN,FireNet", *options)
    assert done.returncode == 0, done.stderr
    named = [line.split()[2].rstrip(":") for line in done.stderr.splitlines() if line.startswith("would build")]
    assert named == [
        "MobileNet.float32",
        "MobileNet.int8",
        "DigitCNN.float32",
        "DigitCNN.float32.keras",
        "DigitCNN.int8",
        "FireNet.float32",
        "FireNet.int8",
        "DigitCNN.held_out.npz",
        "FireNet.held_out.npz",
    ]
    assert modelzoo("ensure", "--check", "--models=DigitCNN", "--formats=npz").returncode == 0

    command = ("ensure", "--source=directory", f"--source-dir={source_dir}", "--models=MobileNet", "--variants=float32")
    assert len(json.loads(modelzoo(*command, "--formats=tflite,npz").stdout)["models"]) == 1
    (source_dir / "MobileNet.held_out.npz").write_bytes(b"PK\3\4")
    assert [entry["file"] for entry in json.loads(modelzoo(*command, "--formats=tflite,npz").stdout)["models"]] == [
        "MobileNet.float32.tflite",
        "MobileNet.held_out.npz",
    ]
