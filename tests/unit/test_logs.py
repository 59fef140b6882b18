"""The parser against real logs, against every era and oddity, and against bytes that nobody meant."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path

import pytest

from analysis import logs
from analysis.logs import FAILED, INVALID, OK, ToolRun

DATA = Path(__file__).resolve().parent.parent / "data" / "logs"
NUMBERS = [
    name for name in (f.name for f in dataclasses.fields(ToolRun)) if name.endswith(("_ms", "_mb", "iterations"))
]


def parse(name: str) -> list[ToolRun]:
    return logs.parse(logs.decode((DATA / name).read_bytes()))


def only(name: str) -> ToolRun:
    (run,) = parse(name)
    return run


def numbers(run: ToolRun) -> dict[str, float | None]:
    return {name: getattr(run, name) for name in NUMBERS}


# Every fixture: status, a part of the reason, and what is worth checking in it. A list = several runs.
USUAL = {"avg_inference_ms": 8.05025, "iterations": 124, "memory_overall_mb": 22.8438, "threads": 4}
CASES = {
    "real/fail_missing_file.log": (FAILED, "Could not open 'no_such_model.tflite'", {"graph": "no_such_model.tflite"}),
    "real/inception_float_t1.log": (OK, "", {"avg_inference_ms": 228.112, "threads": 1}),
    "real/killed_midrun.log": (FAILED, "stops during the timed runs", {"graph": "inception_v3_float.tflite"}),
    "real/mobilenet_drq_t1.log": (OK, "", {"avg_inference_ms": 137.304, "model_size_mb": 4.38193}),
    "real/mobilenet_float_opprof.log": (OK, "", {"avg_inference_ms": 23.5509, "iterations": 50}),
    "real/mobilenet_float_peakmem.log": (OK, "", {"peak_memory_mb": 306.387, "memory_overall_mb": 43.8711}),
    "real/mobilenet_float_t1.log": (OK, "", {"avg_inference_ms": 60.2555}),
    "real/sci_resnet50_batch32_one_run.log": (
        OK,
        "",
        {"avg_inference_ms": 4034.53, "min_inference_ms": 4034.533, "std_inference_ms": 0, "batch_size": 32}
        | {"input_size": 224, "init_time_ms": 2200.07, "first_inference_ms": 3897.79, "memory_init_mb": 1542.75},
    ),
    "real/tiny_one_run.log": (INVALID, "below the resolution", {"avg_inference_ms": 0, "iterations": 1}),
    "real/tiny_two_runs_all_same.log": (INVALID, "below the resolution", {"avg_inference_ms": 0, "iterations": 2}),
    "real/warn_space_separated_flag.log": (
        INVALID,
        "'--num_threads 4 --max-secs=1'",
        {"iterations": 19874, "unconsumed_flags": "--num_threads 4 --max-secs=1", "threads": None},
    ),
    "made/era_2018.log": (
        OK,
        "",
        {"avg_inference_ms": 137.722, "init_time_ms": 4.452, "init_inference_ms": 4.452, "first_inference_ms": None}
        | {"warmup_inference_ms": 146.161, "memory_init_mb": None, "median_inference_ms": None, "batch_size": 1},
    ),
    "made/era_2019.log": (OK, "", {"avg_inference_ms": 80.6601, "memory_overall_mb": None, "delegate": "default"}),
    "made/era_2020.log": (OK, "", USUAL | {"memory_init_mb": 0, "memory_overall_mb": 12.8672}),
    "made/era_2022.log": (OK, "", USUAL | {"graph": "MobileNet.tflite", "p95_inference_ms": None}),
    "made/era_2023.log": (OK, "", USUAL | {"median_inference_ms": None}),
    "made/several_runs_2019.txt": [
        (OK, "", {"avg_inference_ms": 66.7676, "threads": 1}),
        (OK, "", {"avg_inference_ms": 66.3214, "threads": 2}),
        (OK, "", {"avg_inference_ms": 66.7003, "threads": 1}),
    ],
    "made/scientific.log": (
        OK,
        "",
        {"avg_inference_ms": 1240.27, "warmup_inference_ms": 2701.23, "first_inference_ms": 2701.234}
        | {"model_size_mb": 8.5e-05, "p95_inference_ms": 1301},
    ),
    "made/below_a_microsecond.log": (OK, "", {"avg_inference_ms": 0.000741003, "iterations": 791622}),
    "made/all_same.log": (
        OK,
        "",
        dict.fromkeys(["avg_inference_ms", "min_inference_ms", "max_inference_ms", "median_inference_ms"], 8)
        | {"std_inference_ms": 0, "iterations": 7, "p95_inference_ms": 8},
    ),
    "made/all_same_before_percentiles.log": (OK, "", {"avg_inference_ms": 8, "median_inference_ms": 8}),
    "made/no_warmup.log": (OK, "", USUAL | {"first_inference_ms": 0, "warmup_inference_ms": 0}),
    "made/no_memory_lines.log": (OK, "", USUAL | {"memory_overall_mb": None}),
    "made/negative_memory.log": (OK, "", USUAL | {"memory_init_mb": -1.25, "memory_overall_mb": 337}),
    "made/peak_memory.log": (OK, "", USUAL | {"peak_memory_mb": 48.6797}),
    "made/op_table_with_spaces.log": (OK, "", USUAL),
    "made/crlf.log": (OK, "", USUAL),
    "made/powershell_utf16.txt": (OK, "", USUAL | {"graph": r"C:\models\new\MobileNet_quant.tflite"}),
    "made/json_string.txt": (OK, "", USUAL | {"graph": "MobileNet_quant.tflite"}),
    "made/cut_prefix.log": (OK, "", USUAL),
    "made/typed_blank_lines.log": (OK, "", USUAL),
    "made/traced_with_label_image.log": [
        (OK, "", {"avg_inference_ms": 31.0505, "threads": 1, "graph": "MobileNet.tflite"}),
        (OK, "", USUAL),
    ],
    "made/vendor_noise.log": (OK, "", USUAL),
    "made/logcat_brief.log": (OK, "", USUAL | {"graph": "/data/local/tmp/yolo_fp16.tflite"}),
    "made/logcat_threadtime.log": [
        (OK, "", USUAL | {"graph": "/data/local/tmp/MobileNet_int8.tflite"}),
        (OK, "", {"avg_inference_ms": 9.05075, "threads": 4, "graph": "/data/local/tmp/MobileNet_float16.tflite"}),
    ],
    "made/logcat_failed.log": (FAILED, "Could not open", {"graph": "/data/local/tmp/x.tflite"}),
    "made/delegate_off.log": (OK, "", USUAL | {"delegate": "none"}),
    "made/delegate_gpu.log": (OK, "", USUAL | {"delegate": "gpu"}),
    "made/delegate_gpu_idle.log": (INVALID, "GPU delegate executed nothing", USUAL | {"delegate": "gpu"}),
    "made/delegate_xnnpack_idle.log": (OK, "", USUAL | {"delegate": "xnnpack"}),
    "made/delegate_gpu_not_built_in.log": (INVALID, "'--use_gpu=true'", USUAL),
    "made/edgebench.log": (OK, "", USUAL),
    "made/edgebench_garbled.log": (INVALID, "EDGEBENCH iteration_wall_us", USUAL),
    "made/edgebench_no_times.log": (INVALID, "EDGEBENCH iteration_wall_us", USUAL),
    "made/stdout_only_failure.log": (FAILED, "before the session was initialized", {"graph": "no_such_model.tflite"}),
    "made/unresolved_op.log": (FAILED, "unresolved custom op: Betainc; Node number 2", {}),
    "made/aborted.log": (FAILED, "Inputs mismatch", {}),
    "made/invoke_failed_in_timed_runs.log": (FAILED, "failed to invoke", {}),
    "made/stderr_first.log": (FAILED, "failed to invoke", {}),
    "made/segfault_after_load.log": (FAILED, "before the session was initialized", {"graph": "model.tflite"}),
    "made/killed_in_warmup.log": (FAILED, "during the warm-up", {"threads": 4}),
    "made/dry_run.log": (FAILED, "dry run", {}),
    "made/two_processes_mixed.log": [
        (FAILED, "no 'Inference timings' line", {}),
        (FAILED, "lines of several runs are mixed", {}),
    ],
    "made/garbled_stat_line.log": (FAILED, "'count=' line is garbled", {}),
    "made/garbled_timings.log": (FAILED, "'Inference timings' line is garbled", {}),
    "made/not_a_number.log": (FAILED, "garbled", {}),
    "made/contradiction.log": (INVALID, "8051.25 us on average and the 'count=' line 8050.25", {"iterations": 124}),
    "made/contradiction_in_warmup.log": (INVALID, "contradicts the warm-up's", USUAL),
    "made/contradiction_in_init.log": (INVALID, "13.345 ms and the timings line 12.345", USUAL),
    "made/summary_only.log": (INVALID, "0 of 2 'count=' lines", {"avg_inference_ms": 8.05025, "iterations": None}),
    "made/without_warmup_line.log": (INVALID, "1 of 2 'count=' lines", USUAL),
    "made/nul_bytes.log": (FAILED, "binary", {}),
    "made/memory_line_cut.log": (OK, "", USUAL | {"memory_init_mb": None, "memory_overall_mb": None}),
    "made/memory_line_without_newline.log": (OK, "", USUAL),
    "made/timings_without_newline.log": (OK, "", USUAL | {"memory_overall_mb": None}),
    "made/full_tensorflow_tool.log": (FAILED, "full-TensorFlow tool", {}),
    "made/full_tensorflow_tool_pasted.log": (FAILED, "full-TensorFlow tool", {}),
    "made/benchmark_litert_model.log": (FAILED, "benchmark_litert_model", {}),
    "made/benchmark_litert_model_cc.log": (FAILED, "benchmark_litert_model", {}),
    "made/not_a_log.txt": [],
    "made/empty.log": [],
}


@pytest.mark.parametrize("name", CASES)
def test_every_era_and_oddity(name):
    case = CASES[name]
    expected = case if isinstance(case, list) else [case]
    runs = parse(name)
    assert len(runs) == len(expected)
    for run, (status, reason, values) in zip(runs, expected, strict=True):
        assert (run.status, run.reason if status == OK else "") == (status, "")
        assert reason in run.reason
        assert {key: getattr(run, key) for key in values} == pytest.approx(values)
        if status == FAILED:
            assert set(numbers(run).values()) == {None}


def test_every_fixture_has_a_case_and_a_description():
    files = {path.relative_to(DATA).as_posix() for path in DATA.glob("*/*") if path.suffix != ".cmd"}
    assert files == set(CASES)
    described = (DATA / "README.md").read_text(encoding="utf-8")
    assert [name for name in files if name.startswith("made/") and name.removeprefix("made/") not in described] == []


def test_all_that_a_log_says_is_read():
    run = only("real/mobilenet_float_peakmem.log")
    assert run == ToolRun(
        status=OK,
        init_time_ms=137.431,
        init_inference_ms=137.431,
        first_inference_ms=26.801,
        warmup_inference_ms=56.0612,
        avg_inference_ms=49.3964,
        std_inference_ms=20.028,
        min_inference_ms=17.689,
        max_inference_ms=110.144,
        median_inference_ms=47.286,
        p95_inference_ms=87.014,
        iterations=50,
        memory_init_mb=41.9805,
        memory_overall_mb=43.8711,
        peak_memory_mb=306.387,
        model_size_mb=16.8617,
        graph="mobilenet_v1_float.tflite",
        parameters={
            "Log parameter values verbosely": "0",
            "Num threads": "1",
            "Report the peak memory footprint": "1",
            "Graph": "mobilenet_v1_float.tflite",
            "Signature to run": "",
            "#threads used for CPU inference": "1",
        },
        threads=1,
    )


@pytest.mark.parametrize("name", [path.name for path in sorted((DATA / "real").glob("*.log"))])
def test_the_exit_code_agrees(name):
    """What the tool itself called a failure is never ok here."""
    code = int(re.search(r"exit code: (\d+)", (DATA / "real" / name).with_suffix(".cmd").read_text())[1])
    assert (only(f"real/{name}").status == FAILED) == (code != 0)


def test_edgebench_lines():
    run = only("made/edgebench.log")
    assert run.edgebench["runner"]["version"] == "2.3.0"
    assert run.edgebench["iteration_wall_us"] == [8000.5, 8100, 8050.25]
    assert run.edgebench["something_new"] == {"a": [1]}


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("real/warn_space_separated_flag.log", "Unconsumed cmdline flags: --num_threads 4 --max-secs=1"),
        ("made/delegate_xnnpack_idle.log", "XNNPACK delegate executes nothing"),
        ("made/memory_line_cut.log", "memory line"),
        ("real/mobilenet_float_opprof.log", "op profiling"),
    ],
)
def test_warnings(name, warning):
    assert any(warning in text for text in only(name).warnings)


WHOLLY = "GPU delegate, and the model graph will be completely executed by the delegate."
PARTLY = "GPU delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels."


@pytest.mark.parametrize(
    ("changes", "reason", "warning"),
    [
        ([], "", ""),
        ([(WHOLLY, PARTLY)], "", "the GPU delegate executes only parts of the model (3 kernels)"),
        ([(WHOLLY, PARTLY), ("Use gpu: [1]", "Use gpu: [1]\nINFO: Require full delegation: [1]")],
         "full delegation was asked for, and the GPU delegate executed only parts of the model",
         "the GPU delegate executes only parts of the model (3 kernels)"),
        ([("Explicitly applied " + WHOLLY, "")], "nothing says that the delegate gpu was applied", ""),
        ([("Explicitly applied GPU", "Explicitly applied XNNPACK")],
         "nothing says that the delegate gpu was applied", ""),
    ],
)  # fmt: skip
def test_whether_a_delegate_was_really_applied(changes, reason, warning):
    text = (DATA / "made/delegate_gpu.log").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (run,) = logs.parse(text)
    assert (run.status, run.reason) == (INVALID if reason else OK, reason)
    assert "; ".join(run.warnings) == warning


# --- Bytes that nobody meant -------------------------------------------------------------------------------------

TIMINGS_END = re.compile(rb"Inference timings in us: .*?(?:\n|\\n)|inference timings in us: .*?\n", re.DOTALL)
WHOLE = [name for name, case in CASES.items() if isinstance(case, tuple) and case[0] == OK and "utf16" not in name]


@pytest.mark.parametrize("name", WHOLE)
def test_a_log_that_is_cut_before_its_timings_end_is_not_ok(name):
    raw = (DATA / name).read_bytes()
    line = TIMINGS_END.search(raw)
    end = line.end() - 1 if line else len(raw)  # without its line end the timings line is whole
    if raw[:end].endswith((b"\r", b"\\")):
        end -= 1
    for cut in range(end):
        assert [run for run in logs.parse(logs.decode(raw[:cut])) if run.status == OK] == [], f"cut at byte {cut}"


@pytest.mark.parametrize("name", WHOLE)
def test_a_log_that_is_cut_later_reports_no_wrong_number(name):
    raw = (DATA / name).read_bytes()
    line = TIMINGS_END.search(raw)
    whole = numbers(only(name))
    for cut in range(line.end() if line else len(raw), len(raw), 1 if len(raw) < 4000 else 53):
        (run,) = logs.parse(logs.decode(raw[:cut]))
        got = numbers(run)
        assert {key: got[key] for key in got if got[key] not in (None, whole[key])} == {}, f"cut at byte {cut}"


JUNK = [b"9" * 5000, b"e+99", b"-", b"[" * 3000, b"\xff\xfe", b"\\n", b"\0", b"=", b"NaN"]


def mutations(seed: int, count: int):
    """Damaged and spliced logs: what disks, pipes and people do, in no order."""
    rng = random.Random(seed)
    originals = [(DATA / name).read_bytes()[:3000] for name in CASES]
    for _ in range(count):
        raw = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 6)):
            at, to = sorted((rng.randint(0, len(raw)), rng.randint(0, len(raw))))
            match rng.randrange(6):
                case 0:
                    raw[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del raw[at:to]
                case 2:
                    raw[at:at] = raw[at:to]
                case 3:
                    raw[at:at] = rng.choice(originals)[:to]
                case 4:
                    raw[at:at] = rng.choice(JUNK)
                case _:
                    raw[at:at] = rng.choice([b"count=", b"STARTING!", b"EDGEBENCH a_us=", b"Inference timings in us: "])
        yield bytes(raw)


def test_no_bytes_raise_and_no_failed_run_has_numbers():
    for raw in mutations(seed=20261120, count=4000):
        for run in logs.parse(logs.decode(raw)):
            assert run.status in (OK, INVALID, FAILED)
            assert (run.reason == "") == (run.status == OK)
            values = [value for value in numbers(run).values() if value is not None]
            assert not (run.status == FAILED and values)
            assert all(-1e19 < value < 1e19 for value in values)
            assert run.status != OK or (run.avg_inference_ms > 0 and run.iterations > 0)


def mutations_of_lines(seed: int, count: int):
    """Today's logs whose lines, or a few of whose characters, are gone, doubled, elsewhere, or another tool's."""
    rng = random.Random(seed)
    originals = [logs.decode((DATA / f"real/{name}.log").read_bytes()) for name in TODAY]
    lines_anywhere = [line for name in CASES for line in logs.decode((DATA / name).read_bytes()).split("\n")]
    fragments = ["count=", "STARTING!", "Initialized session in 5ms.", "Running benchmark for ", "\0", "9", " ", "e+06"]
    for _ in range(count):
        text = rng.choice(originals)
        for _ in range(rng.randint(1, 2)):
            lines = text.split("\n")
            at = rng.randrange(len(lines))
            match rng.randrange(5):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, rng.choice(lines))
                case 2:
                    lines.insert(at, rng.choice(lines_anywhere))
                case 3:
                    lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)] + rng.choice(fragments)
                case _:
                    place = rng.randrange(len(lines[at]) + 1)
                    lines[at] = lines[at][:place] + rng.choice(["", *fragments]) + lines[at][place + 1 :]
            text = "\n".join(lines)
        yield text


TODAY = ("inception_float_t1", "mobilenet_drq_t1", "mobilenet_float_t1", "mobilenet_float_peakmem")


def test_the_quick_way_of_todays_logs_reads_what_the_careful_one_reads(monkeypatch):
    whole = [logs.decode(path.read_bytes()) for path in sorted(DATA.parent.rglob("*.log"))]
    texts = [*whole, *mutations_of_lines(seed=20261126, count=1500)]
    quick = [logs.parse(text) for text in texts]
    went_quickly = sum(logs._usual(text) is not None for text in texts)
    assert 200 < went_quickly < len(texts) - 200
    monkeypatch.setattr(logs, "_usual", lambda text: None)
    for text, runs in zip(texts, quick, strict=True):
        assert logs.parse(text) == runs, text


def test_a_changed_digit_of_the_mean_is_noticed():
    """The mean is printed twice; a digit that flipped in one place is a contradiction."""
    text = logs.decode((DATA / "real/mobilenet_float_t1.log").read_bytes())
    for at in range(text.index("Inference (avg): ") + 17, text.index("Inference (avg): ") + 24):
        if text[at] != ".":
            damaged = text[:at] + str((int(text[at]) + 5) % 10) + text[at + 1 :]
            assert [run.status for run in logs.parse(damaged)] == [INVALID]


@pytest.mark.parametrize(
    ("shapes", "sizes"),
    [
        ("32,224,224,3", (32, 224)),
        ("8,3,448,448", (8, 448)),
        ("1,3,224,448", (1, None)),
        ("64,16", (64, None)),
        ("8,3,448,448:8,10", (8, 448)),
        ("", (None, None)),
    ],
)
def test_sizes_are_read_from_either_layout(shapes, sizes):
    (run,) = logs.parse(f"INFO: STARTING!\nINFO: Input shapes: [{shapes}]\nINFO: Graph: [UNet.float32.pt2]\n")
    assert (run.batch_size, run.input_size) == sizes
