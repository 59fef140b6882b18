"""The runner tvm against the real runtime, with the packages that hosts get, and tiny networks compiled here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.logs import parse
from tests.runner_programs import RUNNERS, SHORT, edgebench, packages, start, tvm_networks
from tests.unit import colours


@pytest.fixture(scope="module")
def networks():
    return tvm_networks()


def started(graph: Path, *arguments):
    return start(RUNNERS / "tvmrt.py", f"--graph={graph}", *arguments, PYTHONPATH=str(packages("tvm")))


def measure(graph: Path, *arguments):
    """Return the log of a run that must succeed."""
    done = started(graph, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_log_is_read_as_benchmark_model_s(networks):
    log = measure(networks / "image.so", "--num_threads=2", "--num_runs=20", "--min_secs=0", "--warmup_runs=3")
    (run,) = parse(log)
    assert (run.status, run.warnings, run.threads, run.iterations) == ("ok", (), 2, 20)
    values = edgebench(log)
    # Of what the library says of itself not its inputs, nor how long it was tuned, which the manifest has.
    assert values["runner"].items() >= {"name": "tvm", "threads": 2, "target": "this machine", "kernels": 3}.items()
    assert values["runner"].keys() == {"name", "version", "python", "numpy", "threads", "target", "kernels"}
    assert values["iterations"]["warmup"] >= 3
    # The first pass is in the warm-up, and in no mean.
    assert abs(sum(values["iteration_wall_us"]) / 20 - run.avg_inference_ms * 1000) < 1


def test_inputs_of_several_types_and_shapes(networks):
    log = measure(networks / "lookup.so", "--input_layer=words,scale,x", "--input_layer_shape=1,5:1,5,4:1,5,1", *SHORT)
    assert parse(log)[0].warnings == ("Tensor # 2 is named mask but flags call it x",)


def test_the_compiler_is_not_loaded(networks):
    # It takes seconds to load, and 200 MB.
    log = measure(networks / "image.so", *SHORT)
    assert edgebench(log)["memory"]["start_rss_kb"] < 100_000


def test_threads_stay_on_the_cores_that_the_process_was_given(networks):
    # TVM would bind its threads, the first one too, to any of the machine's.
    program = (
        "import os, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import protocol, tvmrt\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "os.cpu_count = lambda: 2\n"
        "tvmrt.import_runtime()\n"
        "tvmrt.load(protocol.Parameters(sys.argv[2], num_threads=2), ())\n"
        "print(os.environ.get('TVM_BIND_THREADS'))\n"
    )
    done = start(Path("-c"), program, str(RUNNERS), str(networks / "image.so"), PYTHONPATH=str(packages("tvm")))
    assert done.stdout.splitlines()[-1] == "0", done.stderr


def test_images_are_quantized_and_classified(networks):
    colours.write(networks / "it.npz")
    values = edgebench(measure(networks / "colours.so", "--evaluate=it.npz"))
    assert values["evaluation"]["predicted"] == colours.COLOURS


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (
            ["--input_layer=input", "--input_layer_shape=8,3,32,32"],
            "Input tensor #0 of this model takes the shape 1,3,32,32; the flags ask for 8,3,32,32",
        ),
        (["--use_xnnpack=true"], "Flag '--use_xnnpack' cannot be had: XNNPACK is a delegate of TFLite"),
    ],
    ids=["shape", "xnnpack"],
)
def test_what_cannot_be_had_is_said(networks, flags, reason):
    done = started(networks / "image.so", *flags, *SHORT)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ERROR: Benchmarking failed.")
    assert f"ERROR: {reason}" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("content", [None, b"not a library"], ids=["missing", "strange"])
def test_an_unusable_model_file(tmp_path, content):
    path = tmp_path / "image.so"
    if content:
        path.write_bytes(content)
    done = started(path, *SHORT)
    assert done.returncode == 1
    reason, *rest = done.stderr.splitlines()
    assert re.search("No such file" if content is None else "invalid ELF header|file too short", reason)
    assert rest == [f"ERROR: Failed to load model {path}", "ERROR: Benchmarking failed."]


def test_a_missing_runtime_is_said(tmp_path):
    (tmp_path / "tvm_ffi.py").write_text('raise OSError("libtvm_ffi.so: cannot open shared object file")')
    done = start(RUNNERS / "tvmrt.py", "--version", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert re.match(r"ERROR: Cannot import the runtime in \S+: libtvm_ffi.so: cannot open", done.stderr)
