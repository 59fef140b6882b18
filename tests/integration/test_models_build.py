"""Models built for real, by TensorFlow in its cached environment (which this makes where it is missing)."""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible_collections.edgebench.testbed.plugins.module_utils.estimate import GMACS

from modelzoo.build import Build
from modelzoo.catalogue import MODELS
from modelzoo.ensure import Wanted, ensure
from modelzoo.environment import builder_python
from modelzoo.paths import REPOSITORY, cache_dir

FLOAT = Wanted("MobileNet", "float32")
QUANTIZED = Wanted("MobileNet", "dynamic_range")


@pytest.mark.slow
def test_mobilenet_is_built_the_same_each_time(tmp_path):
    said = []
    first = ensure(Build(cache_dir()), [FLOAT, QUANTIZED], tmp_path / "first", said.append)
    assert first.failed == []
    by_variant = {entry.variant: entry for entry in first.models}
    assert by_variant["float32"].parameters == MODELS["MobileNet"].parameters
    for entry in first.models:
        assert entry.size_bytes == pytest.approx(MODELS["MobileNet"].size_mb(entry.variant) * 1e6, rel=0.05)
    assert not any("WARNING" in line or "oneDNN" in line for line in said)

    second = ensure(Build(cache_dir()), [FLOAT], tmp_path / "second", said.append)
    assert second.models == [by_variant["float32"]]

    other = ensure(Build(cache_dir(), seed=1), [FLOAT], tmp_path / "other", said.append)
    assert other.models[0].sha256 != second.models[0].sha256


COUNT = f"""
import json, sys
sys.path.insert(0, {str(REPOSITORY / "modelzoo")!r})
import convert, keras

found = {{}}
for name, size in json.loads(sys.argv[1]).items():
    image = keras.Input(batch_shape=(1, size, size, 3))
    found[name] = convert.facts(getattr(keras.applications, name)(weights=None, input_tensor=image))
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.thorough
def test_the_catalogue_says_what_kerass_networks_are():
    """Parameters, MACs (which the estimate of a lease's length knows as well) and memory of each."""
    models = {name: model for name, model in MODELS.items() if model.framework == "keras"}
    sizes = json.dumps({name: model.input_size for name, model in models.items()})
    done = subprocess.run(
        [builder_python(cache_dir(), print), "-c", COUNT, sizes], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, facts in json.loads(done.stdout).items():
        model = models[name]
        assert facts == {
            "parameters": model.parameters,
            "macs": model.macs,
            "activation_mb": model.activation_mb,
        }
        assert GMACS[name] == pytest.approx(model.macs / 1e9, rel=0.01)


@pytest.mark.slow
def test_a_batch_and_an_input_size_of_ones_own(tmp_path):
    """Four times the pixels are four times the multiply-accumulates of each image; a batch does not change those."""
    outcome = ensure(
        Build(cache_dir()), [Wanted("MobileNet", "float32", batch_size=2, input_size=448)], tmp_path, print
    )
    (entry,) = outcome.models
    assert (entry.file, entry.batch_size, entry.input_size) == ("MobileNet.float32.b2.s448.tflite", 2, 448)
    assert entry.macs / MODELS["MobileNet"].macs == pytest.approx(4, rel=0.02)
