"""The runners torch and onnxruntime against the real runtimes, with the packages that hosts get, and tiny networks."""

from __future__ import annotations

import re
import shutil
import sysconfig
from pathlib import Path

import protocol
import pytest
import pytorch

from analysis.logs import parse
from tests.runner_programs import RUNNERS, SHORT, edgebench, packages, start

NETWORKS = RUNNERS.parent / "tests/data/networks"
PROGRAMS = {"torch": ("pytorch.py", "pt2"), "onnxruntime": ("onnxrt.py", "onnx")}
runtimes = pytest.mark.parametrize("runner", list(PROGRAMS))


def started(runner, network, *arguments, **options):
    """Start a runner on a network of tests/data, or on a file."""
    program, suffix = PROGRAMS[runner]
    graph = network if isinstance(network, Path) else NETWORKS / f"{network}.{suffix}"
    return start(RUNNERS / program, f"--graph={graph}", *arguments, PYTHONPATH=str(packages(runner)), **options)


def measure(runner, network, *arguments, **options):
    """Return the log of a run that must succeed."""
    done = started(runner, network, *arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def shaped(*sizes):
    return ("--input_layer=input", f"--input_layer_shape={','.join(map(str, sizes))}")


@runtimes
def test_a_log_is_read_as_benchmark_model_s(runner):
    log = measure(runner, "image", "--num_threads=2", "--num_runs=20", "--min_secs=0", "--warmup_runs=3")
    (run,) = parse(log)
    assert (run.status, run.warnings, run.threads, run.iterations) == ("ok", (), 2, 20)
    values = edgebench(log)
    assert values["runner"].items() >= {"name": runner, "threads": 2}.items()
    assert values["iterations"]["warmup"] >= 3
    # The first pass is in the warm-up, and in no mean.
    assert abs(sum(values["iteration_wall_us"]) / 20 - run.avg_inference_ms * 1000) < 1
    assert values["timed"]["end_uptime_s"] > values["timed"]["start_uptime_s"]


@runtimes
def test_inputs_of_several_types_and_shapes(runner):
    log = measure(runner, "lookup", "--input_layer=words,scale,x", "--input_layer_shape=1,5:1,5,4:1,5,1", *SHORT)
    # An archive of torch.export has no names.
    assert parse(log)[0].warnings == (() if runner == "torch" else ("Tensor # 2 is named mask but flags call it x",))


@runtimes
@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (
            shaped(1, 4, 32, 32),
            "Input tensor #0 of this model takes the shape any,3,32,32; the flags ask for 1,4,32,32",
        ),
        (["--use_xnnpack=true"], "Flag '--use_xnnpack' cannot be had: XNNPACK is a delegate of TFLite"),
    ],
    ids=["shape", "xnnpack"],
)
def test_what_cannot_be_had_is_said(runner, flags, reason):
    done = started(runner, "image", *flags, *SHORT)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ERROR: Benchmarking failed.")
    assert f"ERROR: {reason}" in done.stderr.splitlines()[0]


@runtimes
@pytest.mark.parametrize("cut", [False, True])
def test_an_unusable_model_file(runner, tmp_path, cut):
    path = tmp_path / f"image.{PROGRAMS[runner][1]}"
    if cut:
        path.write_bytes((NETWORKS / path.name).read_bytes()[:3000])
    done = started(runner, path, *SHORT)
    assert done.returncode == 1
    reason, *rest = done.stderr.splitlines()
    assert reason.startswith("ERROR: ")
    assert cut or re.search("No such file|doesn't exist", reason)
    assert rest == [f"ERROR: Failed to load model {path}", "ERROR: Benchmarking failed."]


@runtimes
def test_a_model_that_does_not_fit_in_memory_is_said(runner):
    done = started(runner, "image", *shaped(700_000, 3, 32, 32), *SHORT, before=f"ulimit -v {6 * 2**20}")
    assert done.returncode == 1
    assert re.match(r"ERROR: out of memory: .*(8601600000 bytes|\(700000, 3, 32, 32\))", done.stderr)


@runtimes
def test_a_missing_runtime_is_said(runner, tmp_path):
    (tmp_path / f"{runner}.py").write_text('raise OSError("libgomp.so.1: cannot open shared object file")')
    done = start(RUNNERS / PROGRAMS[runner][0], "--version", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert re.match(r"ERROR: Cannot import the runtime in \S+: libgomp.so.1: cannot open", done.stderr)


@pytest.mark.thorough
def test_channels_last_and_compiled(tmp_path):
    if not (shutil.which("g++") and Path(sysconfig.get_path("include"), "Python.h").exists()):
        pytest.skip("needs g++ and Python's header files (Debian: g++ python3-dev)")
    log = measure("torch", "image", "--compile=true", "--channels_last=true", *SHORT, TMPDIR=str(tmp_path))
    runner = edgebench(log)["runner"]
    assert (runner["compile"], runner["channels_last"]) == (True, True)
    (run,) = parse(log)
    assert run.init_time_ms > 100 * run.first_inference_ms  # compiled before the warm-up
    assert not list(tmp_path.glob("edgebench-*"))


def test_a_missing_compiler_is_said(tmp_path):
    (tmp_path / "sh").symlink_to(shutil.which("sh"))
    done = started("torch", "image", "--compile=true", *SHORT, before="unset CXX", PATH=str(tmp_path))
    assert done.returncode == 1
    assert re.match(r"ERROR: \S+: No working C\+\+ compiler found", done.stderr)
    assert "(Debian: apt-get install g++ python3-dev openssl)" in done.stderr
    assert done.stderr.count("\n") == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "X: C++ compile error\n\nOutput:\na.cpp:1:1: fatal error: Python.h: No\nb.cpp",
            "a.cpp:1:1: fatal error: Python.h: No",
        ),
        ("\nInvalidCxxCompiler: none\n\nSet TORCHDYNAMO_VERBOSE=1\n", "InvalidCxxCompiler: none"),
        ("", "torch.compile gives no reason"),
    ],
)
def test_of_what_pytorch_says_one_line_is_told(text, line):
    assert pytorch.complaint(text) == line


def test_shapes_are_those_of_the_model_but_for_free_sizes():
    inputs = [protocol.Input(0, "input", "float32", [None, 3, 8])]
    assert protocol.asked_shapes(inputs, []) == [[1, 3, 8]]
    assert protocol.asked_shapes(inputs, [("input", [4, 3, 8])]) == [[4, 3, 8]]
    for shapes, reason in [
        ([("input", [4, 3])], "Input tensor #0 should have 3 dimensions!"),
        ([("a", [1]), ("b", [2])], "Inputs mismatch: Model inputs #:1 flags: 2"),
    ]:
        with pytest.raises(protocol.BenchmarkError, match=reason):
            protocol.asked_shapes(inputs, shapes)
