"""FireNet trained, compressed and evaluated for real, in its cached environment (made where it is missing)."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from modelzoo import build
from modelzoo.build import Build
from modelzoo.catalogue import MODELS
from modelzoo.datasets import find
from modelzoo.ensure import Wanted, ensure
from modelzoo.environment import TFMOT, builder_python
from modelzoo.paths import REPOSITORY, cache_dir

FIRENET = MODELS["FireNet"]
COMPRESSED = ("clustered_dynamic_range", "pruned_dynamic_range")
PREAMBLE = f"import json, sys; sys.path.insert(0, {str(REPOSITORY / 'modelzoo')!r}); import convert_tfmot as it\n"

pytestmark = pytest.mark.slow


def training(cache, **options) -> Build:
    """A build whose trainings are done in any case: only the environment is that of the user's cache."""

    def converter(framework, _, say):
        return build.default_converter(framework, cache_dir(), say)

    return Build(cache, converter=converter, **options)


@pytest.mark.thorough
def test_every_variant_is_what_its_name_says(tmp_path):
    wanted = [Wanted("FireNet", variant) for variant, kind in FIRENET.memory_gb if kind == "tflite"]
    outcome = ensure(training(tmp_path / "cache", epochs=3), wanted, tmp_path / "models", print)
    assert outcome.failed == []
    built = {entry.variant: entry for entry in outcome.models}
    assert len(built) == 6
    for variant, entry in built.items():
        assert (entry.parameters, entry.macs, entry.activation_mb) == (
            FIRENET.parameters,
            FIRENET.macs,
            FIRENET.activation_mb,
        )
        assert entry.size_bytes == pytest.approx(FIRENET.size_mb(variant) * 1e6, rel=0.02)
        assert (entry.weights, entry.evaluated_on, entry.evaluated_images, entry.classes) == (
            "digits",
            "digits",
            450,
            2,
        )
        correct = binomtest(entry.correct_images, entry.evaluated_images).proportion_ci(method="wilson")
        assert correct.low > 0.7, entry

    # Clustering and pruning save nothing but in a compressed file, where plain quantization leaves nothing to save.
    plain, clustered, pruned = (built[name] for name in ("dynamic_range", *COMPRESSED))
    assert plain.size_bytes == clustered.size_bytes == pruned.size_bytes
    assert plain.compressed_bytes > 0.9 * plain.size_bytes
    assert clustered.compressed_bytes < 0.75 * plain.compressed_bytes
    assert pruned.compressed_bytes < 0.75 * plain.compressed_bytes
    assert clustered.weight_clusters <= 8 < 100 < plain.weight_clusters
    assert pruned.weight_sparsity == pytest.approx(0.5, abs=0.02)
    assert plain.weight_sparsity < 0.05

    # What the builder read in the file, read by another library.
    kernel = largest_tensor(outcome.directory / pruned.file)
    assert np.mean(kernel == 0) == pytest.approx(pruned.weight_sparsity, abs=0.02)
    kernel = largest_tensor(outcome.directory / clustered.file)
    assert max(len(np.unique(channel)) for channel in kernel) <= 8


def largest_tensor(file) -> np.ndarray:
    """The kernel of the first dense layer: (output channel, input)."""
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    largest = max(interpreter.get_tensor_details(), key=lambda tensor: np.prod(tensor["shape"]))
    return interpreter.get_tensor(largest["index"])


def test_a_directory_of_images_of_two_classes(tmp_path):
    """Of several kinds and sizes; two of the files are none, and said. A batch that does not divide them."""
    fire = tmp_path / "fire"
    random = np.random.default_rng(0)
    for name, colour in (("Fire", (250, 120, 20)), ("NonFire", (30, 110, 60))):
        (fire / name).mkdir(parents=True)
        for number in range(25):
            width, height, x, y = random.integers(40, 200, 4).tolist()
            image = Image.new("RGB", (width, height), (40, 40, 60))
            ImageDraw.Draw(image).ellipse((0, 0, x, y), colour)
            image.save(fire / name / f"{number:02}.{('jpg', 'png', 'gif', 'bmp')[number % 4]}")
    (fire / "Fire/24.jpg").write_text("<html>404 Not Found</html>")
    damaged = fire / "NonFire/00.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])

    said = []
    builder = training(tmp_path / "cache", dataset=find(str(fire)))
    wanted = [
        Wanted("FireNet", "clustered_dynamic_range", batch_size=5),
        Wanted("FireNet", "held_out", "npz", batch_size=None),
    ]
    outcome = ensure(builder, wanted, tmp_path / "models", said.append)

    assert outcome.failed == []
    entry, images = outcome.models
    assert (entry.weights, entry.evaluated_on, entry.evaluated_images, entry.classes) == ("fire", "fire", 13, 2)
    assert entry.correct_images >= 10
    with np.load(outcome.directory / images.file, allow_pickle=False) as held_out:
        assert (held_out["images"].shape, images.evaluated_images) == ((13, 128, 128, 3), 13)
        assert held_out["classes"].tolist() == ["Fire", "NonFire"]
        assert held_out["scale"] == pytest.approx(1 / 255)
    assert (
        f"training: 2 of 50 images cannot be read and are left out: {fire / 'Fire/24.jpg'}, {fire / 'NonFire/00.jpg'}"
        in said
    )


def test_held_out_images_are_others_and_a_file_that_is_not_compressed_is_refused(tmp_path):
    few = tmp_path / "few"
    for name in ("Fire", "NonFire"):
        (few / name).mkdir(parents=True)
        for number in range(8):
            (few / name / f"{number}.png").write_text("no image")
    program = """
import images
import numpy as np

def reason(action, *arguments):
    try:
        action(*arguments)
    except (SystemExit, ValueError) as error:
        return str(error)

said = []
labels = np.arange(8000) % 4 // 3
few, many = (images.Source(("a", "b"), some, None, None) for some in (labels[:400], labels))
own = images.Source(("a", "b"), labels[:400], np.arange(400) < 40, None)
all_of_a = images.Source(("a", "b"), labels[:400], labels[:400] == 0, None)
many_classes = images.Source(tuple(map(str, range(40))), np.arange(4040) % 40, None, None)
print(json.dumps({
    "halves": [[half.tolist() for half in images.split(few)] for _ in range(2)],
    "shares": [labels[half].mean() for source in (few, many) for half in images.split(source)],
    "most": [len(half) for half in images.split(many)],
    "shares_of_many": np.bincount(many_classes.labels[images.split(many_classes)[1]]).tolist(),
    "all_of_a": reason(images.split, all_of_a),
    "own": [sorted(half.tolist()) for half in images.split(own)],
    "pruned": reason(it.check, "pruned_dynamic_range", {"weight_sparsity": 0.014}),
    "clustered": reason(it.check, "clustered_dynamic_range", {"weight_clusters": 255}),
    "plain": reason(it.check, "dynamic_range", {"weight_sparsity": 0.014, "weight_clusters": 255}),
    "unreadable": reason(lambda: it.load(sys.argv[1], 128, say=said.append)),
    "left_out": said,
}))
"""
    python = builder_python(cache_dir(), print, TFMOT)
    done = subprocess.run([python, "-c", PREAMBLE + program, few], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (trained_on, held_out), again = said["halves"]
    assert [trained_on, held_out] == again
    assert sorted(trained_on + held_out) == list(range(400))
    assert len(held_out) == 100
    assert said["shares"] == [0.25] * 4
    assert said["most"] == [6000, 1000]
    assert sum(said["shares_of_many"]) == 1000
    assert {*said["shares_of_many"]} <= {24, 25, 26}
    assert said["all_of_a"] == (
        "data set: annotations/test.txt holds out 300 of the 300 images of class 'a', some and not all expected"
    )
    assert said["own"] == [list(range(40, 400)), list(range(40))]
    assert said["pruned"] == "pruned_dynamic_range has a sparsity of 0.01, at least 0.45 expected"
    assert said["clustered"] == "clustered_dynamic_range has 255 distinct weights in a channel, 8 expected"
    assert said["plain"] is None
    assert said["unreadable"] == f"data set {few}: class 'Fire' has 0 images, 8 or more expected"
    named = ", ".join(str(few / f"Fire/{number}.png") for number in range(5))
    assert said["left_out"] == [f"16 of 16 images cannot be read and are left out: {named}, and 11 more"]
