"""Text of a benchmark log -> one `ToolRun` per benchmark run in it.

Reads what TFLite's `benchmark_model` has printed from 2018 to today, on a terminal, in a file or in Android's logcat,
and what programs print that speak its format. Lines are looked up by their fixed text and then read by one anchored
pattern each, never by position or by guess: a number that is not on its own whole line is not read.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from analysis import delegation, op_profile, quality

OK, INVALID, FAILED = "ok", "invalid", "failed"

# `ostream << double` prints six significant digits: twins of one value may differ by half of the sixth.
_ROUNDING = 5.1e-6


@dataclass(slots=True, kw_only=True)  # frozen would double the time that making one takes
class ToolRun:
    """What one execution of a benchmark tool printed about itself.

    Times are in milliseconds of wall-clock time. None means "not reported"; nothing is derived from another value,
    except that a single or all-equal iteration is its own minimum, maximum, mean and median.

    Attributes:
        status: `ok`, `invalid` (measured, but not to be trusted) or `failed` (no number at all).
        reason: why it is not ok, in one sentence; empty if it is.
        init_time_ms: from `Initialized session in`; init_inference_ms is its twin in the timings line.
        first_inference_ms: the first warm-up inference.
        warmup_inference_ms, avg_inference_ms: means over the warm-up and over the timed iterations.
        std_inference_ms: population standard deviation over the timed iterations (as the tool computes it).
        iterations: number of timed iterations.
        memory_init_mb, memory_overall_mb: growth of the process since its start, in MiB (the tool says MB).
        peak_memory_mb: largest resident set, in MiB; not a growth.
        model_size_mb: size of the model file, in 10^6 bytes.
        graph: the model file as it was named to the tool.
        parameters: what the tool echoed, by its own descriptions; a parameter that is absent had its default.
        threads, batch_size, input_size: from the echo; None = default.
        delegate: `default`, `none`, `xnnpack`, `gpu`, `nnapi`, ...; from the echo.
        delegation, delegated_nodes, graph_nodes: how much of the model it executes, see `delegation.Delegation`.
        unconsumed_flags: the part of the command line that the tool did not understand.
        warnings: the tool's WARN lines.
        edgebench: the `EDGEBENCH name=json` lines of our runners.
        profile: what each operator took, where the run was asked for that.
        evaluation: what the run classified, where it was asked for that; then it is `ok` and timed nothing.
    """

    status: str
    reason: str = ""
    init_time_ms: float | None = None
    init_inference_ms: float | None = None
    first_inference_ms: float | None = None
    warmup_inference_ms: float | None = None
    avg_inference_ms: float | None = None
    std_inference_ms: float | None = None
    min_inference_ms: float | None = None
    max_inference_ms: float | None = None
    median_inference_ms: float | None = None
    p95_inference_ms: float | None = None
    iterations: int | None = None
    memory_init_mb: float | None = None
    memory_overall_mb: float | None = None
    peak_memory_mb: float | None = None
    model_size_mb: float | None = None
    graph: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
    delegate: str = "default"
    delegation: str = ""
    delegated_nodes: int | None = None
    graph_nodes: int | None = None
    batch_size: int | None = None
    input_size: int | None = None
    unconsumed_flags: str = ""
    warnings: tuple[str, ...] = ()
    edgebench: dict[str, Any] = field(default_factory=dict)
    profile: op_profile.Profile | None = None
    evaluation: quality.Evaluation | None = None


class _UnusableError(Exception):
    """The run gives no numbers; the message is the reason."""


def decode(raw: bytes) -> str:
    """Decode a log file; what is not text becomes U+FFFD. UTF-16 is what PowerShell's `>` writes."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    return raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")


def parse(text: str) -> list[ToolRun]:
    """Read every benchmark run in a text; [] if there is no trace of one. Never raises."""
    usual = _usual(text)
    return [usual] if usual else [_read(run) for run in _split(_plain(text))]


# --- Text as the tool wrote it -----------------------------------------------------------------------------------

# Ends of the tool's lines where the line end is spelled out.
_JSON_STRING = re.compile(r"(?:STARTING!|verbosely: \[[01]\]|[0-9]ms\.?|seconds\.?)(?:\\r)?\\n")
_JSON_ESCAPE = re.compile(r'\\(.)|"', re.DOTALL)
_JSON_VALUE = {"n": "\n", "r": "", "t": "\t"}
_LOGCAT = re.compile(r"^[^\n]{0,80}?\b([VDIWEF])(?:/tflite *\( *[0-9]+\)| tflite *): ?", re.MULTILINE)
_LOGCAT_LEVEL = {"W": "WARN: ", "E": "ERROR: ", "F": "FATAL: "}


def _plain(text: str) -> str:
    """Take off what carried the text: a JSON string, CRLF line ends, logcat's line heads."""
    if "\\" in text and _JSON_STRING.search(text):
        # A bare quotation mark ends the string: what follows it is not the tool's.
        text = _JSON_ESCAPE.sub(lambda m: _JSON_VALUE.get(m[1], m[1]) if m[1] else "\n", text)
    if "\r" in text:
        text = re.sub(r"\r+\n?", "\n", text)
    if "/tflite" in text or " tflite" in text:
        text = _LOGCAT.sub(lambda m: _LOGCAT_LEVEL.get(m[1], "INFO: "), text)
    return text


_PREFIX = "INFO: "
_LINE_HEAD = "\n" + _PREFIX
_FAR = 80
_START = "STARTING!"
_HEADER = "Running benchmark for "
_TIMINGS = "Inference timings in us: "
_TIMINGS_BEFORE_2020 = "Average inference timings in us: "
_SIZE = "The input model file size (MB): "
_SESSION = "Initialized session in "
_COUNT = "count="
_EDGEBENCH = "EDGEBENCH "
_EVALUATION = f"\n{_EDGEBENCH}evaluation="
_PEAK = "Overall peak memory footprint (MB) via periodic monitoring: "
_FAILED = "Benchmarking failed."
_OTHER_TOOLS = {
    "the full-TensorFlow tool (tensorflow/tools/benchmark)": re.compile(
        r"tensorflow/tools/benchmark/benchmark_model\.cc|no stats: [0-9.e+]+, with stats: "
    ),
    "LiteRT's benchmark_litert_model": re.compile(r"Inference \(avg\): +[0-9.]+ ms \("),
}

# What tells runs apart where the tool's first line is missing (logcat, logs without their head).
_EVENT = re.compile(
    r"^[^\n]*?(?:(?P<result>Running benchmark for |nference timings in us: |Benchmarking failed\.)"
    r"|(?P<opening>Unconsumed cmdline flags: |(?:Log parameter values verbosely|Min num runs|Min runs duration "
    r"\(seconds\)|Max runs duration \(seconds\)|Num threads|Graph): \[))",
    re.MULTILINE,
)


def _split(text: str) -> list[str]:
    """Cut a text into runs. The text before the first `STARTING!` belongs to the first run if it is no run itself."""
    if 0 <= text.find(_START) <= len(_PREFIX) and text.find(_START, len(_PREFIX) + 1) < 0:
        return [text]
    head, *rest = text.split(_START)
    runs = _split_headless(head)
    if not rest:
        return runs
    if not runs or (_FAILED in head and not _shows_a_run(head)):
        return [head + _START + rest[0], *(_START + run for run in rest[1:])]
    return runs + [_START + run for run in rest]


def _shows_a_run(text: str) -> bool:
    return _HEADER in text or "nference timings in us: " in text or _other_tool(text) != ""


def _other_tool(text: str) -> str:
    """A refusal by name if a tool wrote this whose lines only look alike; '' if none did."""
    names = (name for name, trace in _OTHER_TOOLS.items() if trace.search(text))
    return next((f"output of {name}, not of TFLite's benchmark_model" for name in names), "")


def _split_headless(text: str) -> list[str]:
    """Cut a text without `STARTING!` into runs: one begins where a tool introduces itself after a result."""
    if not _shows_a_run(text) and _FAILED not in text:
        return []
    cuts, busy = [0], False
    for event in _EVENT.finditer(text):
        if event["result"]:
            busy = True
        elif busy:
            cuts.append(event.start())
            busy = False
    return [text[start:end] for start, end in pairwise([*cuts, len(text)])]


# --- One run -----------------------------------------------------------------------------------------------------

# A number that is not negative, as `ostream << double` prints it: with an exponent from 1e+06 up and below 1e-04.
_N = r"([0-9]{1,18}(?:\.[0-9]{1,18})?|[0-9](?:\.[0-9]{1,18})?e(?:\+0[6-9]|\+1[0-8]|-0[5-9]|-1[0-9]))"
_END = r"[ \t]*(\n|\Z)"
_TIMINGS_LINE = re.compile(rf"Init: {_N}, First inference: {_N}, Warmup \(avg\): {_N}, Inference \(avg\): {_N}{_END}")
_TIMINGS_LINE_BEFORE_2020 = re.compile(rf"Warmup: {_N}, Init: {_N}, (?:no stats|Inference): {_N}{_END}")
_STAT_LINE = re.compile(
    rf"([0-9]{{1,15}})(?: curr={_N}(?:\(all same\))?| first={_N} curr={_N} min={_N} max={_N} avg={_N} std={_N})?"
    rf"(?: p5={_N} median={_N} p95={_N})?{_END}"
)
_SESSION_LINE = re.compile(rf"{_N}ms\.?{_END}")
_SIZE_LINE = re.compile(rf"{_N}{_END}")
_MEMORY_LINE = re.compile(rf"(-?){_N} overall=(-?){_N}{_END}")
_UNREAD = _N.replace("(", "(?:", 1)
_USUAL_START = f"\n{_PREFIX}{_SIZE}"
_USUAL_HEADER = (
    rf"INFO: Running benchmark for at least {_UNREAD} iterations and at least {_UNREAD} seconds but terminate if "
    rf"exceeding {_UNREAD} seconds\.\n"
)
_USUAL_WARM = (
    rf"INFO: count=([0-9]{{1,15}}) first={_N} curr={_UNREAD} min={_UNREAD} max={_UNREAD} avg={_N} std={_UNREAD} "
    rf"p5={_UNREAD} median={_UNREAD} p95={_UNREAD}\n+"
)
_USUAL_STAT = (
    rf"INFO: count=([0-9]{{1,15}}) first={_N} curr={_UNREAD} min={_N} max={_N} "
    rf"avg={_N} std={_N} p5={_UNREAD} median={_N} p95={_N}\n+"
)
_USUAL = re.compile(
    rf"{re.escape(_USUAL_START)}{_N}\nINFO: Initialized session in {_N}ms\.\n"
    rf"{_USUAL_HEADER}{_USUAL_WARM}{_USUAL_HEADER}{_USUAL_STAT}"
    rf"INFO: Inference timings in us: Init: {_N}, First inference: {_N}, Warmup \(avg\): {_N}, "
    rf"Inference \(avg\): {_N}\n"
    rf"INFO: Note: [\w ,.]*\n"
    rf"INFO: Memory footprint delta from the start of the tool \(MB\): init={_N} overall={_N}\n"
)
_NOWHERE_ELSE = (_HEADER, _SIZE, _SESSION, _COUNT, _TIMINGS, _PEAK, _FAILED, "FATAL: ", "\0")
_PARAMETER = re.compile(r"^[ \t]*(?:[A-Z]{0,5}: )?([^\n:\[\]]{1,80}?) ?: \[([^\n]*)\][ \t]*$", re.MULTILINE)
_COMPLAINT = re.compile(r"^[ \t]*(?:ERROR|FATAL): ([^\n]+)", re.MULTILINE)
_WARNING = re.compile(r"^[ \t]*WARN(?:ING)?: ([^\n]+)", re.MULTILINE)


class _Stat(NamedTuple):
    """A `count=` line, in us. median and p95 are printed since TF 2.19."""

    count: float
    first: float = 0.0
    low: float = 0.0
    high: float = 0.0
    avg: float = 0.0
    std: float = 0.0
    median: float | None = None
    p95: float | None = None


class _Beside(NamedTuple):
    """What a run says beside its numbers.

    Attributes:
        fields: of ToolRun.
        failure: why there can be no numbers that mean anything; '' if nothing says so.
        doubts: what speaks against the numbers, whatever they are.
        warnings: what is good to know.
        profiled: whether it was asked for what each operator takes.
    """

    fields: dict[str, Any]
    failure: str
    doubts: tuple[str, ...]
    warnings: tuple[str, ...]
    profiled: bool


def _read(text: str) -> ToolRun:
    """Read the text of one run."""
    beside, warnings = _beside(text), []
    try:
        if beside.failure:
            raise _UnusableError(beside.failure)
        if "\0" in text:
            raise _UnusableError("the log holds binary data (NUL bytes), as after a power cut or on a full disk")
        if _FAILED in text or "FATAL: " in text:
            raise _UnusableError(_complaints(text) or f"the tool says '{_FAILED}'")
        if _EVALUATION in text:
            return _evaluated(text, beside)
        printed = _printed(text, warnings)
    except _UnusableError as error:
        return ToolRun(status=FAILED, reason=str(error), warnings=beside.warnings, **beside.fields)
    return _measured(text, beside, printed, warnings)


def _usual(text: str) -> ToolRun | None:
    """The same in half the time, of a text as the tool prints it today, line after line; None for all others."""
    block = _USUAL.match(text, max(text.find(_USUAL_START), 0))
    beside = _beside_usual(text[: block.start() + 1] + text[block.end() :]) if block else None
    if not beside:
        return None
    numbers = list(map(float, block.groups()))
    size_mb, session_ms, warm_count, warm_first, warm_avg = numbers[:5]
    warm, main = _Stat(warm_count, first=warm_first, avg=warm_avg), _Stat._make(numbers[5:13])
    init, first, warmup, avg, memory_init_mb, memory_overall_mb = numbers[13:]
    if not main.count:
        return None
    memory = {"memory_init_mb": memory_init_mb, "memory_overall_mb": memory_overall_mb}
    return _measured(text, beside, _Printed(session_ms, init, first, warmup, avg, (warm, main), size_mb, memory))


def _beside(text: str) -> _Beside:
    """Read all but the numbers."""
    setup = _setup(_echo(text))
    warnings = list(dict.fromkeys(_WARNING.findall(text))) if "WARN" in text else []
    edgebench, doubts = _edgebench(text) if _EDGEBENCH in text else ({}, [])
    unconsumed = ""
    if "Unconsumed cmdline flags:" in text:
        unconsumed = text.partition("Unconsumed cmdline flags:")[2].partition("\n")[0].strip()
        doubts.append(f"the tool did not understand the flags '{unconsumed}' and used its defaults instead")
    # What the tool was told is in its echo, which a capture may have lost.
    delegated = delegation.read(text, setup.delegate if setup.graph else "", setup.parameters)
    doubts += delegated.doubts
    warnings += delegated.warnings
    profiled = setup.parameters.get("Enable op profiling") == "1"
    if profiled:
        warnings.append("measured with op profiling on, which costs time itself")
    fields = {
        "graph": setup.graph,
        "parameters": setup.parameters,
        "threads": setup.threads,
        "delegate": setup.delegate,
        "delegation": delegated.extent,
        "delegated_nodes": delegated.delegated_nodes,
        "graph_nodes": delegated.graph_nodes,
        "batch_size": setup.batch_size,
        "input_size": setup.input_size,
        "unconsumed_flags": unconsumed,
        "edgebench": edgebench,
    }
    return _Beside(fields, delegated.failure, tuple(doubts), tuple(warnings), profiled)


@lru_cache(maxsize=256)  # repetitions have the same
def _beside_usual(around: str) -> _Beside | None:
    """What stands around the lines of numbers; None where that may be more, or something else, than one whole run's."""
    plain = _plain(around) == around and _split(around) == [around]
    if not plain or any(trace in around for trace in _NOWHERE_ELSE):
        return None
    beside = _beside(around)
    return None if beside.failure else beside


def _evaluated(text: str, beside: _Beside) -> ToolRun:
    """A run that classified images, by --evaluate, and timed nothing."""
    if beside.doubts:
        raise _UnusableError("; ".join(beside.doubts))
    try:
        evaluation = quality.parse(beside.fields["edgebench"].get("evaluation"))
    except ValueError as error:
        raise _UnusableError(f"the line 'EDGEBENCH evaluation' is not one of our runners' ({error})") from None
    numbers = {
        "init_time_ms": _one(text, _lines(text, _SESSION), _SESSION_LINE, "Initialized session"),
        "model_size_mb": _one(text, _lines(text, _SIZE), _SIZE_LINE, "model size"),
    }
    return ToolRun(status=OK, warnings=beside.warnings, evaluation=evaluation, **beside.fields, **numbers)


def _measured(text: str, beside: _Beside, printed: _Printed, warnings: Sequence[str] = ()) -> ToolRun:
    """A run that printed numbers; `warnings` are of them."""
    doubts = [*beside.doubts, *_contradictions(printed)]
    return ToolRun(
        status=INVALID if doubts else OK,
        reason="; ".join(doubts),
        warnings=(*beside.warnings, *warnings),
        profile=op_profile.parse(text) if beside.profiled else None,
        **beside.fields,
        **_numbers(printed),
    )


def _lines(text: str, start: str, stop: int | None = None) -> list[int]:
    """Where the text goes on after `start` on lines that begin with it.

    Before it only blanks and the tool's prefix may stand, whole or cut by copying (`FO: `).
    """
    found = []
    at = text.find(start, 0, stop)
    while at >= 0:
        if text.endswith(_LINE_HEAD, 0, at) or _is_begun(text, at):
            found.append(at + len(start))
        at = text.find(start, at + 1, stop)
    return found


def _is_begun(text: str, at: int) -> bool:
    near = max(at - _FAR, 0)  # looking further back would take forever on one huge line
    line_end = text.rfind("\n", near, at)
    return (line_end >= 0 or near == 0) and _PREFIX.endswith(text[line_end + 1 : at].lstrip(" \t"))


class _Printed(NamedTuple):
    """What a run printed of its numbers: times in us but for `session_ms`; memory by the names of ToolRun's fields."""

    session_ms: float | None
    init: float
    first: float | None
    warmup: float
    avg: float
    stats: tuple[_Stat, ...]
    size_mb: float | None
    memory: dict[str, float | None]


def _contradictions(printed: _Printed) -> list[str]:
    """What of the numbers of a run speaks against others of them, or against them all."""
    session_ms, init, first, warmup, avg, stats, _, _ = printed
    doubts = []
    main = stats[-1] if stats else None
    if session_ms is not None and not _same(session_ms * 1e3, init):
        doubts.append(f"'Initialized session' says {session_ms:g} ms and the timings line {init / 1e3:g} ms")
    if len(stats) == 2:
        warm = stats[0]
        if not _same(warm.avg, warmup) or (first is not None and not _same(warm.first, first)):
            doubts.append("the timings line contradicts the warm-up's 'count=' line")
    else:
        doubts.append(f"{len(stats)} of 2 'count=' lines are there, so the numbers cannot be checked")
    if main and not _same(main.avg, avg):
        doubts.append(f"the timings line says {avg:g} us on average and the 'count=' line {main.avg:g} us")
    if main and not main.low <= main.avg * (1 + _ROUNDING) <= main.high * (1 + 2 * _ROUNDING):
        doubts.append("the mean is outside of minimum and maximum")
    if avg == 0:
        # A mean between 0 and 1 us is fine: rounding both ends of each iteration down cancels out over many.
        doubts.append("a mean of 0 us is below the resolution of the tool's clock (1 us)")
    return doubts


def _numbers(printed: _Printed) -> dict[str, float | int | None]:
    """What was measured, in ms and MB, by the names of ToolRun's fields."""
    session_ms, init, first, warmup, avg, stats, size_mb, memory = printed
    numbers = {
        "init_time_ms": session_ms,
        "init_inference_ms": init / 1e3,
        "first_inference_ms": None if first is None else first / 1e3,
        "warmup_inference_ms": warmup / 1e3,
        "avg_inference_ms": avg / 1e3,
        "model_size_mb": size_mb,
        **memory,
    }
    if stats:
        main = stats[-1]
        numbers |= {
            "iterations": int(main.count),
            "std_inference_ms": main.std / 1e3,
            "min_inference_ms": main.low / 1e3,
            "max_inference_ms": main.high / 1e3,
            "median_inference_ms": None if main.median is None else main.median / 1e3,
            "p95_inference_ms": None if main.p95 is None else main.p95 / 1e3,
        }
    return numbers


def _printed(text: str, warnings: list[str]) -> _Printed:
    """Read the lines with numbers, whatever else stands between them; what was left unread goes to `warnings`.

    Raises _UnusableError where they are missing, damaged or of several runs.
    """
    modern = _lines(text, _TIMINGS)
    timings = modern or _lines(text, _TIMINGS_BEFORE_2020)
    if not timings:
        complaints = _complaints(text)
        raise _UnusableError(_other_tool(text) or _where_it_stops(text) + (f" ({complaints})" if complaints else ""))
    at = timings[0]
    sessions = _lines(text, _SESSION)
    stat_lines = _lines(text, _COUNT, at)
    if len(timings) > 1 or len(sessions) > 1 or len(stat_lines) > 2 or text.count(_HEADER) > 2:
        raise _UnusableError("lines of several runs are mixed")
    line = (_TIMINGS_LINE if modern else _TIMINGS_LINE_BEFORE_2020).match(text, at)
    if not line:
        raise _UnusableError(_other_tool(text) or "the 'Inference timings' line is garbled or cut short")
    if modern:
        init, first, warmup, avg = map(float, line.groups()[:4])
    else:
        (warmup, init, avg), first = map(float, line.groups()[:3]), None
    stats = tuple(_stat(text, where) for where in stat_lines)
    if not line[line.lastindex] and not (stats and avg == float(f"{stats[-1].avg:.6g}")):
        raise _UnusableError("the 'Inference timings' line is cut short")
    if stats and stats[-1].count == 0:
        raise _UnusableError("no inference was timed (count=0), as in a dry run")
    return _Printed(
        session_ms=_one(text, sessions, _SESSION_LINE, "Initialized session"),
        init=init,
        first=first,
        warmup=warmup,
        avg=avg,
        stats=stats,
        size_mb=_one(text, _lines(text, _SIZE), _SIZE_LINE, "model size"),
        memory=_memory(text, line.end(), warnings),
    )


def _stat(text: str, at: int) -> _Stat:
    """Read what follows `count=`. One or all-equal iterations are printed as `curr=` alone."""
    line = _STAT_LINE.match(text, at)
    if not line:
        raise _UnusableError("a 'count=' line is garbled or cut short")
    count, only, first, _, low, high, avg, std, _, median, p95, _ = line.groups()
    percentiles = (float(median), float(p95)) if median else (None, None)
    if only:
        value = float(only)
        return _Stat(int(count), value, value, value, value, 0.0, value, value)
    if first:
        return _Stat(int(count), float(first), float(low), float(high), float(avg), float(std), *percentiles)
    if int(count):
        raise _UnusableError("a 'count=' line has no values")
    return _Stat(0)


def _one(text: str, found: list[int], pattern: re.Pattern[str], name: str) -> float | None:
    """Read the one number of a line; None if the line was not found."""
    if not found:
        return None
    line = pattern.match(text, found[0])
    if not line:
        raise _UnusableError(f"the {name} line is garbled")
    return float(line[1])


def _memory(text: str, start: int, warnings: list[str]) -> dict[str, float | None]:
    """Read the memory lines, which come after the timings; a number that may be cut is left out."""
    text = text[start:]
    values: dict[str, float | None] = {}
    deltas = _lines(text, "Memory footprint delta from the start of the tool (MB): init=")
    for at in (deltas or _lines(text, "Peak memory footprint (MB): init="))[:1]:
        line = _MEMORY_LINE.match(text, at)
        if line and _is_whole(line):
            values["memory_init_mb"] = float(line[1] + line[2])
            values["memory_overall_mb"] = float(line[3] + line[4])
        else:
            warnings.append("the memory line is garbled or cut short and was not read")
    for at in _lines(text, _PEAK)[:1]:
        line = _SIZE_LINE.match(text, at)
        if line and _is_whole(line):
            values["peak_memory_mb"] = float(line[1])
        else:
            warnings.append("the peak memory line is garbled or cut short and was not read")
    return values


def _is_whole(line: re.Match[str]) -> bool:
    """Whether a line's last number is certainly not cut: its line ends, or it has all six digits that are printed."""
    return bool(line[line.lastindex]) or len(line[line.lastindex - 1].replace(".", "").lstrip("0")) >= 6


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_ROUNDING)


def _where_it_stops(text: str) -> str:
    headers = text.count(_HEADER)
    if headers > 1:
        place = "during the timed runs"
    elif headers:
        place = "during the warm-up"
    elif _SESSION in text:
        place = "after the initialization"
    else:
        place = "before the session was initialized"
    return f"no 'Inference timings' line: the log stops {place}"


def _complaints(text: str) -> str:
    """The tool's own words, without repetitions and without the closing 'Benchmarking failed.'."""
    messages = dict.fromkeys(message.strip()[:200].rstrip(".") for message in _COMPLAINT.findall(text))
    messages.pop(_FAILED.rstrip("."), None)
    return "; ".join(list(messages)[:3])


def _edgebench(text: str) -> tuple[dict[str, Any], list[str]]:
    """Read the `EDGEBENCH name=json` lines; return them and a complaint for each that is not JSON."""
    values: dict[str, Any] = {}
    doubts = []
    for at in _lines(text, _EDGEBENCH):
        end = text.find("\n", at)
        name, _, value = text[at : end if end >= 0 else len(text)].partition("=")
        try:
            values[name] = _times(json.loads(value)) if name.endswith("_us") else json.loads(value)
        except (ValueError, TypeError, OverflowError, RecursionError):
            doubts.append(f"the line 'EDGEBENCH {name[:40]}' is garbled or cut short")
    return values, doubts


def _times(values: Any) -> list[float]:
    """A list of durations; raises an exception if it is anything else."""
    if not isinstance(values, list) or not math.isfinite(math.fsum(values)):
        raise ValueError
    return values


class _Setup(NamedTuple):
    """How the tool was set, from its echo of its parameters; by the names of ToolRun's fields."""

    parameters: dict[str, str]
    graph: str
    threads: int | None
    delegate: str
    batch_size: int | None
    input_size: int | None


def _echo(text: str) -> str:
    """The tool's echo of its parameters, `description: [value]`, which ends where the model is loaded."""
    start = max(text.find(_START), 0)
    end = text.find("Loaded model ", start)
    return text[start : end if end >= 0 else len(text)]


@lru_cache(maxsize=256)  # repetitions have the same
def _setup(echo: str) -> _Setup:
    parameters = dict(_PARAMETER.findall(echo))
    return _Setup(
        parameters,
        parameters.get("Graph", ""),
        _threads(parameters),
        _delegate(parameters),
        *_input_shape(parameters.get("Input shapes", "")),
    )


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII) else None


def _threads(parameters: dict[str, str]) -> int | None:
    return _integer(parameters.get("Num threads") or parameters.get("#threads used for CPU inference", ""))


def _input_shape(shapes: str) -> tuple[int | None, int | None]:
    """Batch size and edge length of the first input, from `32,224,224,3` (NHWC) or `32,3,224,224` (NCHW).

    The length only for square images.
    """
    shape = [_integer(size) for size in shapes.partition(":")[0].split(",")]
    if len(shape) != 4:
        return shape[0], None
    batch, *image = shape
    return batch, next((edge for edge, other in pairwise(image) if edge == other), None)


_DELEGATES = ("gpu", "nnapi", "hexagon", "coreml", "xnnpack")


def _delegate(parameters: dict[str, str]) -> str:
    """The delegate that was asked for; `none` if the default one, XNNPACK, was switched off."""
    switches = {name[4:].lower(): value for name, value in parameters.items() if name.startswith("Use ")}
    asked = [name for name in _DELEGATES if switches.get(name) == "1"]
    if parameters.get("External delegate path"):
        asked.append("external")
    return "+".join(asked) or ("none" if switches.get("xnnpack") == "0" else "default")
