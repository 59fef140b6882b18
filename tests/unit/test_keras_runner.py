"""The runner keras against the real runtime, in the model builder's environment, and a tiny network made there."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from analysis.logs import parse
from modelzoo.environment import TENSORFLOW, builder_python
from modelzoo.paths import cache_dir
from tests.playing import ROOT
from tests.runner_programs import DEFAULTS, RUNNERS, SHORT, edgebench, start
from tests.unit import colours

MAKE = ROOT / "tests/data/networks/make_keras.py"
IMPORTED = """
import json, sys
sys.path.insert(0, sys.argv[1])
sys.modules.update({"sklearn": None, "scipy": None})  # which the model builder has, and Keras does without
import kerasrt
kerasrt.import_runtime()
from importlib import metadata
files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
of = metadata.packages_distributions()
found = {package for name, file in files.items() if "site-packages" in file for package in of.get(name, [])}
print(json.dumps(sorted(found)))
"""


@pytest.fixture(scope="module")
def python():
    return builder_python(cache_dir(), print)


@pytest.fixture(scope="module")
def network(python, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "colours.keras"
    subprocess.run([python, MAKE, path], capture_output=True, check=True)
    return path


def started(python, graph, *arguments):
    return start(RUNNERS / "kerasrt.py", f"--graph={graph}", *arguments, python=python)


def measure(*words):
    """Return the log of a run that must succeed."""
    done = started(*words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_log_is_read_as_benchmark_model_s(python, network):
    # A batch of more than 32 images is one for model.predict as well.
    shape = ("--input_layer=images", "--input_layer_shape=40,8,8,3")
    log = measure(python, network, "--num_threads=2", *shape, *SHORT)
    (run,) = parse(log)
    assert (run.status, run.warnings, run.threads, run.iterations, run.batch_size) == ("ok", (), 2, 3, 40)
    versions = TENSORFLOW.pinned_versions()
    runner = {"name": "keras", "version": versions["keras"], "tensorflow": versions["tensorflow"], "threads": 2}
    assert edgebench(log)["runner"].items() >= runner.items()


@pytest.mark.parametrize(("flags", "call"), [([], "model.predict"), (["--compile=true"], "tf.function")])
def test_images_are_classified_by_the_call_that_is_measured_and_named(python, network, flags, call):
    colours.write(network.with_name("it.npz"))
    values = edgebench(measure(python, network, "--evaluate=it.npz", *flags))
    assert (values["runner"]["call"], values["evaluation"]["predicted"]) == (call, colours.COLOURS)


def test_an_unusable_model_file(python, tmp_path):
    path = tmp_path / "colours.keras"
    path.write_bytes(b"PK\3\4 and no more")
    done = started(python, path, *SHORT)
    assert done.returncode == 1
    reason, *rest = done.stderr.splitlines()
    assert reason.startswith("ERROR: ")
    assert rest == [f"ERROR: Failed to load model {path}", "ERROR: Benchmarking failed."]


def test_hosts_get_every_package_that_it_imports(python):
    done = subprocess.run([python, "-c", IMPORTED, RUNNERS], capture_output=True, text=True, check=True)
    wanted, imported = (
        {re.sub("[-_.]+", "-", re.split("[<=]", word)[0]).lower() for word in words}
        for words in (DEFAULTS["benchmark_runner_keras_packages"][1:], json.loads(done.stdout))
    )
    assert len(imported) > 10
    assert imported - wanted <= {"setuptools", "tensorflow", "tensorflow-cpu"}


def test_hosts_get_the_versions_that_models_are_built_with():
    framework, *others = DEFAULTS["benchmark_runner_keras_packages"]
    versions = TENSORFLOW.pinned_versions()
    assert framework.endswith(f"=={versions['tensorflow']}")
    assert f"keras=={versions['keras']}" in others
