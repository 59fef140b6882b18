"""The litert runner: its flags, its measuring rules, its lines, against the real runtime and tiny models."""

import itertools
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import litert
import protocol
import pytest

from tests import runner_programs
from tests.playing import ROOT
from tests.runner_programs import SHORT, edgebench

RUNNER = ROOT / "runners/litert.py"
MODELS = ROOT / "tests/data/models"
PYTHON = sys.executable

start = partial(runner_programs.start, RUNNER)


def measure(model: str, *arguments: str) -> str:
    """Return the log of a run that must succeed."""
    done = start(f"--graph={MODELS / model}.tflite", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        # Lines that the official tool printed (TF 2.19 and later), or computed by its rules.
        pytest.param([], "count=0 p5=0 median=0 p95=0", id="no run"),
        pytest.param([25], "count=1 curr=25 p5=25 median=25 p95=25", id="one run"),
        pytest.param([0, 0], "count=2 curr=0(all same) p5=0 median=0 p95=0", id="all the same"),
        pytest.param(
            [18, 2, *[0] * 17, 1],
            "count=20 first=18 curr=1 min=0 max=18 avg=1.05 std=3 p5=0 median=0 p95=18",
            id="percentile without interpolation",
        ),
        pytest.param(
            [1, 2, 3, 4],
            "count=4 first=1 curr=4 min=1 max=4 avg=2.5 std=1 p5=1 median=3 p95=4",
            id="upper median, population deviation cut to an integer",
        ),
        pytest.param(
            [1240270, 1240272],
            "count=2 first=1240270 curr=1240272 min=1240270 max=1240272 avg=1.24027e+06 std=1 p5=1240270 "
            "median=1240272 p95=1240272",
            id="average in six digits",
        ),
        pytest.param(
            [10**9, *[10**9 + 1] * 6],
            "count=7 first=1000000000 curr=1000000001 min=1000000000 max=1000000001 avg=1e+09 std=0 p5=1000000000 "
            "median=1000000001 p95=1000000001",
            id="large durations that hardly differ",
        ),
    ],
)
def test_stat_line(durations, expected):
    assert protocol.stat_line(durations) == expected


@pytest.mark.parametrize(
    ("minima", "limit_s", "expected"),
    [
        pytest.param((3, 0), 150, 3, id="minimum of runs"),
        pytest.param((1, 10), 150, 4, id="minimum of seconds"),
        pytest.param((50, 0), 7, 3, id="maximum: the inference that is running is finished"),
        pytest.param((50, 0), 6, 3, id="maximum reached exactly: one more"),
        pytest.param((0, 0), 150, 0, id="nothing asked for"),
        pytest.param((5, 0), -1, 0, id="maximum already over"),
    ],
)
def test_loop_ends_as_the_original(monkeypatch, minima, limit_s, expected):
    now_s = [0]
    monkeypatch.setattr(protocol.time, "perf_counter_ns", lambda: now_s[0] * 10**9)

    def invoke():
        now_s[0] += 3

    assert len(protocol.run(invoke, None, *minima, limit_s).wall_us()) == expected


def test_only_invoke_is_between_the_clock_reads(monkeypatch):
    calls = []
    readings = itertools.count()
    monkeypatch.setattr(protocol.time, "perf_counter_ns", lambda: calls.append("wall") or next(readings))
    monkeypatch.setattr(protocol.time, "process_time_ns", lambda: calls.append("cpu") or next(readings))
    protocol.run(lambda: calls.append("invoke"), lambda: calls.append("inputs"), 2, 0, 1)
    assert calls == ["wall", *["inputs", "cpu", "wall", "invoke", "wall", "cpu"] * 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--num_thread=2"], "Unknown flag '--num_thread=2'", id="mistyped"),
        pytest.param(["--num_threads", "4"], "Unknown flag '--num_threads'", id="no equals sign"),
        pytest.param(["--max-secs=1"], "Unknown flag '--max-secs=1'", id="dash"),
        pytest.param(["-num_runs=1"], "Unknown flag '-num_runs=1'", id="one dash"),
        pytest.param(["--use_gpu=true"], "Unknown flag '--use_gpu=true'", id="no such delegate"),
        pytest.param(["--compile=true"], "Unknown flag '--compile=true'", id="another runner's"),
        pytest.param(
            ["--enable_op_profiling=true"],
            "tells no times of operators; use the runner benchmark_model",
            id="profiling",
        ),
        pytest.param(["--num_runs=abc"], "Failed to parse flag 'num_runs' against argv '--num_runs=abc'", id="text"),
        pytest.param(["--num_runs=1.5"], "Failed to parse flag 'num_runs'", id="fraction"),
        pytest.param(["--min_secs=inf"], "Failed to parse flag 'min_secs'", id="endless"),
        pytest.param(["--use_xnnpack=yes"], "Failed to parse flag 'use_xnnpack'", id="not a truth value"),
        pytest.param(["--num_runs=1", "--num_runs=2"], "Flag '--num_runs' is given twice", id="twice"),
        pytest.param(["--graph="], "Please specify the name of your TF Lite input file with --graph", id="no graph"),
    ],
)
def test_bad_flags_are_errors(arguments, message):
    with pytest.raises(protocol.BenchmarkError, match=re.escape(message)):
        protocol.parse_flags(litert.RUNNER, arguments if arguments == ["--graph="] else ["--graph=m", *arguments])


@pytest.mark.parametrize(
    ("names", "shapes", "message"),
    [
        ("x", "", "must match the number of items in --input_layer"),
        ("x,y", "1,2", "must match the number of items in --input_layer"),
        ("x", "1,-1", "Incorrect size string specified: 1,-1"),
        ("x", "1,,2", "Incorrect size string specified: 1,,2"),
    ],
)
def test_bad_shapes_are_errors(names, shapes, message):
    with pytest.raises(protocol.BenchmarkError, match=message):
        protocol.parse_shapes(names, shapes)


def test_log_has_the_lines_of_the_original():
    log = measure("convolution.float32", "--num_threads=1", "--use_xnnpack=0", *SHORT)
    running = (
        "INFO: Running benchmark for at least {} iterations and at least 0 seconds but terminate if exceeding 150 "
    )
    count = r"count=\d+ (first=\d+ )?curr=.* p5=\d+ median=\d+ p95=\d+"
    graph = re.escape(str(MODELS / "convolution.float32.tflite"))
    expected = [
        r"INFO: STARTING!",
        r"INFO: Log parameter values verbosely: \[0\]",
        r"INFO: Min num runs: \[3\]",
        r"INFO: Min runs duration \(seconds\): \[0\]",
        r"INFO: Num threads: \[1\]",
        r"INFO: Min warmup runs duration \(seconds\): \[0\]",
        rf"INFO: Graph: \[{graph}\]",
        r"INFO: Signature to run: \[\]",
        r"INFO: #threads used for CPU inference: \[1\]",
        r"INFO: Use xnnpack: \[0\]",
        rf"INFO: Loaded model {graph}",
        r"INFO: The input model file size \(MB\): 0.001452",
        r"INFO: Initialized session in [\d.]+ms.",
        running.format(1) + r"seconds\.",
        rf"INFO: {count}",
        r"",
        running.format(3) + r"seconds\.",
        rf"INFO: {count}",
        r"",
        r"INFO: Inference timings in us: Init: \d+, First inference: \d+, Warmup \(avg\): \S+, Inference \(avg\): \S+",
        r"INFO: Note: as the benchmark tool itself affects memory footprint, .*",
        r"INFO: Memory footprint delta from the start of the tool \(MB\): init=\S+ overall=\S+",
    ]
    lines = [text for text in log.splitlines() if not text.startswith("EDGEBENCH ")]
    assert len(lines) == len(expected)
    for text, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, text), f"{text!r} is not {pattern!r}"


def test_every_iteration_is_listed_and_agrees_with_the_summary():
    log = measure("convolution.int8", "--num_runs=40", "--min_secs=0", "--warmup_runs=7", "--warmup_min_secs=0")
    values = edgebench(log)
    assert values["iterations"] == {"warmup": 7, "timed": 40, "listed_at_most": protocol.EDGEBENCH_LISTED}
    assert {name: len(values[name]) for name in values if name.endswith("_us")} == {
        "warmup_wall_us": 7,
        "warmup_cpu_us": 7,
        "iteration_wall_us": 40,
        "iteration_cpu_us": 40,
    }
    wall_us = values["iteration_wall_us"]
    assert abs(sum(wall_us) / 40 - float(re.search(r"Inference \(avg\): (\S+)", log)[1])) < 1
    assert abs(values["warmup_wall_us"][0] - int(re.search(r"First inference: (\d+)", log)[1])) <= 1
    assert values["runner"]["name"] == "litert"
    assert values["runner"]["xnnpack"] is True


def test_a_long_log_stays_small():
    log = measure("dense.float32", f"--num_runs={protocol.EDGEBENCH_LISTED + 1}", "--min_secs=0", "--warmup_min_secs=0")
    values = edgebench(log)
    assert values["iterations"]["timed"] == protocol.EDGEBENCH_LISTED + 1
    assert len(values["iteration_wall_us"]) == protocol.EDGEBENCH_LISTED
    assert len(log) < 1_000_000


@pytest.mark.parametrize(
    ("model", "flag", "applied"),
    [
        ("dense.float32", (), True),
        ("dense.float32", ("--use_xnnpack=true",), True),
        ("dense.float32", ("--use_xnnpack=false",), False),
        ("add.int64", ("--use_xnnpack=true",), False),
    ],
)
def test_xnnpack_is_what_really_runs(model, flag, applied):
    log = measure(model, *flag, *SHORT)
    assert edgebench(log)["runner"]["xnnpack"] is applied
    assert ("the model graph will not be executed by the delegate" in log) == (model == "add.int64")


@pytest.mark.parametrize("model", sorted(path.stem for path in MODELS.glob("*.tflite")))
def test_every_input_type_is_filled(model):
    assert re.search(r"^INFO: Inference timings", measure(model, *SHORT), re.MULTILINE)


def test_batch_size_is_set_by_shape():
    log = measure(
        "batch.float32",
        "--input_layer=serving_default_x:0",
        "--input_layer_shape=64,16",
        "--num_runs=2",
        "--min_secs=0",
    )
    assert "INFO: Input shapes: [64,16]" in log
    assert "WARN" not in log


def test_memory_is_the_growth_since_the_start():
    init, overall = re.search(r"init=(\S+) overall=(\S+)", measure("dense.float32", *SHORT)).groups()
    assert 0 < float(init) <= float(overall) < 20


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            None, "ERROR: Could not open '{path}'.\nERROR: The model allocation is null/empty\n", id="no such file"
        ),
        pytest.param(b"", "ERROR: The model allocation is null/empty\n", id="empty"),
        pytest.param(b"garbage" * 999, "ERROR: The model is not a valid Flatbuffer buffer\n", id="garbage"),
        pytest.param("cut", "ERROR: The model is not a valid Flatbuffer buffer\n", id="cut short"),
    ],
)
def test_an_unusable_model_file(tmp_path, content, expected):
    path = tmp_path / "model.tflite"
    if content == "cut":
        content = (MODELS / "dense.float32.tflite").read_bytes()[:1000]
    if content is not None:
        path.write_bytes(content)
    done = start(f"--graph={path}")
    assert done.returncode == 1
    end = f"ERROR: Failed to load model {path}\nERROR: Benchmarking failed.\n"
    assert done.stderr.endswith(expected.format(path=path) + end)
    assert done.stdout.endswith(f"INFO: Graph: [{path}]\nINFO: Signature to run: []\n")


def test_a_shape_that_does_not_fit():
    done = start(f"--graph={MODELS}/dense.float32.tflite", "--input_layer=x", "--input_layer_shape=1,2,3")
    assert done.returncode == 1
    assert "ERROR: Input tensor #0 should have 2 dimensions!" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_runtime_is_said(tmp_path):
    (tmp_path / "ai_edge_litert.py").write_text('raise ImportError("version `GLIBC_2.34\' not found")')
    done = start("--version", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "ERROR: Cannot import the runtime in" in done.stderr
    assert "GLIBC_2.34" in done.stderr


def test_version_names_the_runtime():
    assert edgebench(start("--version").stdout)["runner"].keys() == {"name", "version", "python", "numpy"}


def test_a_full_disk_is_said():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PYTHON, RUNNER, f"--graph={MODELS}/dense.float32.tflite"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"ERROR: Cannot write the log: [Errno 28] No space left on device" in done.stderr


def test_killed_while_measuring_leaves_no_summary():
    command = [PYTHON, RUNNER, f"--graph={MODELS}/dense.float32.tflite", "--min_secs=60", "--warmup_min_secs=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        lines = []
        for text in process.stdout:
            lines.append(text)
            if text.startswith("INFO: Running benchmark for at least 50"):
                process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert lines[-1].startswith("INFO: Running benchmark for at least 50")


def test_the_timed_inferences_are_on_the_clock_of_uptime():
    before_s = float(Path("/proc/uptime").read_text().split()[0])
    values = edgebench(measure("dense.float32", "--num_runs=3", "--min_secs=0.2", "--warmup_min_secs=0"))
    after_s = float(Path("/proc/uptime").read_text().split()[0])
    start_s, end_s = values["timed"]["start_uptime_s"], values["timed"]["end_uptime_s"]
    assert before_s - 0.01 <= start_s <= end_s - 0.2 <= after_s
    assert end_s - start_s >= sum(values["iteration_wall_us"]) / 1e6
    assert "energy_counters" not in values


def test_energy_counters_are_read_around_the_timed_inferences(tmp_path):
    # powercap's names have colons.
    counters = [tmp_path / "intel-rapl:0/energy_uj", tmp_path / "intel-rapl:0:1/energy_uj"]
    for number, path in enumerate(counters):
        path.parent.mkdir()
        path.write_text(f"{10**15 + number}\n")
    wanted = ":".join(map(str, counters))
    values = edgebench(start(f"--graph={MODELS}/dense.float32.tflite", *SHORT, EDGEBENCH_ENERGY_COUNTERS=wanted).stdout)
    assert values["energy_counters"] == {"start": [10**15, 10**15 + 1], "end": [10**15, 10**15 + 1], **values["timed"]}

    counters[1].write_text("")
    done = start(f"--graph={MODELS}/dense.float32.tflite", *SHORT, EDGEBENCH_ENERGY_COUNTERS=wanted)
    assert (done.returncode, "ERROR" in done.stderr) == (0, False)
    assert "energy_counters" not in edgebench(done.stdout)


def test_a_model_that_does_not_fit_in_memory_is_said():
    done = start(
        f"--graph={MODELS}/batch.float32.tflite",
        "--input_layer=serving_default_x:0",
        f"--input_layer_shape={2**26},16",
        "--use_xnnpack=false",
        before=f"ulimit -v {3 * 2**20}",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: out of memory: LiteRT got none for the model's tensors\nERROR: Failed to ")


@pytest.mark.parametrize(
    ("message", "resized", "no_memory"),
    [
        ("", True, True),
        ("XNNPack delegate failed to reshape runtimeNode number 1 (TfLiteXNNPackDelegate) failed to prepare.", 0, True),
        (
            "XNNPack delegate failed to reshape runtimeNode number 1 (TfLiteXNNPackDelegate) failed to prepare.",
            1,
            False,
        ),
        ("Node number 0 (FULLY_CONNECTED) failed to prepare.", False, False),
    ],
)
def test_litert_has_no_words_for_no_memory(message, resized, no_memory):
    assert isinstance(litert.cause(RuntimeError(message), resized), MemoryError) == no_memory


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "an allocation failed"),
        (MemoryError("std::bad_alloc"), "std::bad_alloc"),
        (RuntimeError("x: can't allocate memory: you tried to allocate 9 bytes.\n#0 f()"), "x: can't allocate memory"),
    ],
)
def test_no_memory_is_told_from_other_errors(error, reason):
    lines = str(protocol.explained(error, "An inference failed")).splitlines()
    assert lines[0].startswith(f"out of memory: {reason}")
    assert lines[1:] == ["An inference failed"]
    assert str(protocol.explained(RuntimeError("x"), "y")) == "x\ny"


def test_help_names_what_the_runner_takes():
    text = start("--help").stdout
    assert "usage: litert --graph=MODEL.tflite" in text
    assert all(f"  --{flag}=" in text for flag in [*protocol.PARSERS, *litert.RUNNER.flags])
