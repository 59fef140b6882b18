"""PyTorch's networks built for real, in their cached environment (which this makes where it is missing)."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import subprocess
import threading
from dataclasses import replace

import pytest

from modelzoo import build
from modelzoo.build import Build
from modelzoo.catalogue import MODELS
from modelzoo.ensure import Wanted, ensure
from modelzoo.environment import TORCH, builder_python
from modelzoo.paths import REPOSITORY, cache_dir

LAB = {name: model for name, model in MODELS.items() if model.framework == "torch"}
PARAMETERS = {"UNet": 7_763_041, "SqueezeNet": 1_248_424, "MobileNetV3Small": 2_542_856, "ResNet18": 11_689_512}
PREAMBLE = f"import json, sys; sys.path.insert(0, {str(REPOSITORY / 'modelzoo')!r}); import torch, convert_torch\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python():
    """Run a program in the environment; returns the JSON that it prints."""
    executable = builder_python(cache_dir(), print, TORCH)

    def python(program: str, *arguments: object):
        done = subprocess.run(
            [executable, "-c", PREAMBLE + program, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return python


def test_the_catalogue_says_what_the_networks_are(python):
    """Parameters (the lab's), MACs, memory, and where the trained weights are, for each; and UNet's published names."""
    program = """
facts = {}
for name in sys.argv[1:]:
    network = convert_torch.build(name, "random", 0)
    facts[name] = convert_torch.facts(network, convert_torch.image(1, 224))
weights = [w for name in sys.argv[2:] for w in convert_torch.torchvision_models().get_model_weights(name)]
names = list(convert_torch.constructor("UNet")().state_dict())
print(json.dumps({"facts": facts, "urls": [w.url for w in weights], "names": names}))
"""
    said = python(program, *(model.network for model in LAB.values()))
    for name, model in LAB.items():
        facts = said["facts"][model.network]
        assert model.parameters == PARAMETERS[name]
        assert facts == {
            "parameters": model.parameters,
            "macs": model.macs,
            "activation_mb": model.activation_mb,
        }
        assert model.trained_on == "brain-mri" or model.weights_url in said["urls"]
    for part, short in (("encoder1", "enc1"), ("bottleneck", "bottleneck"), ("decoder4", "dec4")):
        assert f"{part}.{short}conv1.weight" in said["names"]
        assert f"{part}.{short}norm2.running_var" in said["names"]
    assert {"upconv1.weight", "upconv4.bias", "conv.weight"} < set(said["names"])
    assert len(said["names"]) == 9 * 2 * 6 + 4 * 2 + 2


def test_a_network_in_every_format(python, tmp_path):
    """convert_torch.py itself has compared each with the network; here is what it does not look at."""
    wanted = [
        Wanted("SqueezeNet", "float32", "pt2", None),
        Wanted("SqueezeNet", "float32", "onnx", None, 256),
        Wanted("SqueezeNet", "dynamic_range", "tflite", 2),
    ]
    outcome = ensure(Build(cache_dir()), wanted, tmp_path / "models", print)
    assert outcome.failed == []
    archive, graph, quantized = outcome.models
    assert archive.parameters == PARAMETERS["SqueezeNet"]
    assert (archive.macs, quantized.macs) == (MODELS["SqueezeNet"].macs, archive.macs)
    assert archive.macs < graph.macs < 1.5 * archive.macs
    for entry in (archive, quantized):
        assert entry.size_bytes == pytest.approx(MODELS["SqueezeNet"].size_mb(entry.variant) * 1e6, rel=0.3)
    for entry in (archive, graph):
        assert str(cache_dir()).encode() not in (outcome.directory / entry.file).read_bytes()

    program = """
network = torch.export.load(sys.argv[1]).module()
print(json.dumps([list(network(torch.zeros(batch, 3, 224, 224)).shape) for batch in (1, 2, 8)]))
"""
    assert python(program, outcome.directory / archive.file) == [[1, 1000], [2, 1000], [8, 1000]]

    again = ensure(Build(cache_dir()), wanted[:1], tmp_path / "again", print)
    assert again.models == [archive]


def test_a_file_that_computes_something_else_is_refused(python, tmp_path):
    """The archive of one network, held against another of the same layers."""
    program = """
arguments = convert_torch.argparse.Namespace(
    format="pt2", variant="float32", batch_size=None, input_size=32, output=convert_torch.Path(sys.argv[1])
)
networks = [convert_torch.build("UNet", "random", seed) for seed in (0, 1)]
with torch.inference_mode():
    convert_torch.write_pt2(networks[0], arguments)
    convert_torch.check(networks[0], arguments)
    try:
        convert_torch.check(networks[1], arguments)
    except SystemExit as refusal:
        print(json.dumps(str(refusal)))
"""
    refusal = python(program, tmp_path / "UNet.pt2")
    assert "the file does not compute what the network does: at batch 1 outputs differ by " in refusal
    assert "of their range, expected is at most 0.001" in refusal


def test_trained_weights_are_in_the_file(python, tmp_path, monkeypatch):
    """A state dict with UNet's published names, served as the published one is."""
    program = """
network = convert_torch.build("UNet", "random", 7)
torch.save(network.state_dict(), sys.argv[1])
print(json.dumps(float(network(convert_torch.image(1, 32)).mean())))
"""
    (tmp_path / "served").mkdir()
    mean = python(program, tmp_path / "served" / "made.pt")
    name = f"unet-{hashlib.sha256((tmp_path / 'served/made.pt').read_bytes()).hexdigest()[:8]}.pt"
    (tmp_path / "served" / "made.pt").rename(tmp_path / "served" / name)
    published = replace(MODELS["UNet"], weights_url=f"https://example.org/{name}")
    monkeypatch.setitem(build.MODELS, "UNet", published)

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{httpd.server_port}"
        source = Build(
            tmp_path / "cache",
            weights="imagenet",
            weights_url=mirror,
            converter=lambda framework, _, say: build.default_converter(framework, cache_dir(), say),
        )
        outcome = ensure(source, [Wanted("UNet", "float32", "pt2", None, 32)], tmp_path / "models", print)
        httpd.shutdown()
    assert outcome.failed == []
    (entry,) = outcome.models
    assert (entry.weights, entry.weights_seed) == ("brain-mri", None)
    program = "print(json.dumps(float(torch.export.load(sys.argv[1]).module()(convert_torch.image(1, 32)).mean())))"
    assert python(program, outcome.directory / entry.file) == pytest.approx(mean, abs=1e-6)
