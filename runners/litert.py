"""Runner `litert`: measures a TFLite model with LiteRT's Python package, as TensorFlow's benchmark_model does.

It needs CPython and the packages ai-edge-litert and numpy, nothing else, and is copied to hosts as this one file.
It takes benchmark_model's flags, measures by its rules, and prints its lines (the format of TF 2.19 and later);
what it knows beyond that goes on lines `EDGEBENCH <name>=<json>`. Sources of rules and formats, of LiteRT:
tflite/tools/benchmark/{benchmark_model,benchmark_tflite_model}.cc, tflite/tools/utils.cc, tsl/util/stats_calculator.h.

Where it differs from the original, on purpose:

- An unknown, repeated or malformed flag is an error, not a warning with a result measured by defaults.
- A failing inference ends the run at once.
- `--use_xnnpack=true` applies the delegate as the runtime does by default: Python cannot create it explicitly.
- "Memory footprint delta from the start of the tool": the start is after Python, numpy and LiteRT were loaded, right
  before the model is. Like the original it is a difference of getrusage's high-water marks, so memory that was used
  and given back before the start (also by the process that started this one, if it is large) hides that much of the
  growth after it. The line EDGEBENCH memory shows what was in use and the mark; a warning says when they differ.

Between the two wall clock reads of an iteration there is `Interpreter.invoke` and nothing else. The inputs are copied
in before, every time, as the original does (it leaves them in the cache: 2 % of MobileNet's time); the CPU clock of
the process is read outside the wall clock; garbage collection is off.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import gc
import json
import math
import os
import platform
import re
import resource
import signal
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# numpy's threads would sit idle beside what is measured. Must be set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

HELP = """\
usage: litert.py --graph=MODEL.tflite [--name=value ...]
  --graph=              model file
  --num_threads=-1      threads; -1 leaves it to the runtime, which takes one
  --num_runs=50         timed inferences, at least
  --min_secs=1          seconds of timed inferences, at least
  --max_secs=150        seconds after which no further inference starts, for warm-up and timed ones each
  --warmup_runs=1       warm-up inferences, at least
  --warmup_min_secs=0.5 seconds of warm-up, at least
  --use_xnnpack=        false: without the XNNPACK delegate; true or not given: with it
  --input_layer=        names of all inputs, separated by commas; only together with --input_layer_shape
  --input_layer_shape=  their shapes, such as 8,224,224,3, separated by colons
  --help                print this
  --version             start the runtime and print its version as EDGEBENCH line
Measures by the rules of TensorFlow's benchmark_model and prints its lines. Exit code 0 = measured.
"""

EDGEBENCH_LISTED = 10_000
"""Iterations listed one by one on an EDGEBENCH line: a tiny model makes a million of them, and logs must stay small."""

HIDDEN_KB = 8192
"""Growth that a high-water mark may hide without a warning; the kernel's counts are not exact to the page."""

COPIED_ONCE_BYTES = 1024
"""Inputs up to this size are copied in once: the call costs more than fetching a few cache lines again."""

# Value range of random inputs, both ends included for integers. int16 is left at 0 by the original.
FLOAT_RANGE = (-0.5, 0.5)
INTEGER_RANGES = {
    "int8": (-127, 127),
    "uint8": (0, 254),
    "int16": (0, 0),
    "int32": (0, 99),
    "uint32": (0, 99),
    "int64": (0, 99),
    "uint64": (0, 99),
    "bool": (0, 1),
}


Call = Callable[[], None]


class BenchmarkError(Exception):
    """Nothing can be measured; the message's lines say why."""


class Parameters(NamedTuple):
    """Values of the flags, in benchmark_model's words and with its defaults."""

    graph: str = ""
    num_threads: int = -1
    num_runs: int = 50
    min_secs: float = 1.0
    max_secs: float = 150.0
    warmup_runs: int = 1
    warmup_min_secs: float = 0.5
    use_xnnpack: bool | None = None
    input_layer: str = ""
    input_layer_shape: str = ""


class Iterations(NamedTuple):
    """Clock readings of one phase, one entry per inference, in nanoseconds."""

    start_ns: array
    end_ns: array
    cpu_ns: array

    def wall_us(self) -> list[int]:
        """Whole microseconds per inference: the difference of two truncated readings, as in the original."""
        return [end // 1000 - start // 1000 for start, end in zip(self.start_ns, self.end_ns)]


def parse_bool(text: str) -> bool:
    """Parse a truth value as benchmark_model does."""
    return {"true": True, "1": True, "false": False, "0": False}[text]


def parse_seconds(text: str) -> float:
    """Parse a finite number of seconds."""
    seconds = float(text)
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds


# What benchmark_model can and this runner cannot, and what to do instead.
REFUSED = {"enable_op_profiling": "LiteRT's Python package tells no times of operators; use the runner benchmark_model"}

PARSERS: dict[str, Callable[[str], Any]] = {
    "graph": str,
    "num_threads": int,
    "num_runs": int,
    "min_secs": parse_seconds,
    "max_secs": parse_seconds,
    "warmup_runs": int,
    "warmup_min_secs": parse_seconds,
    "use_xnnpack": parse_bool,
    "input_layer": str,
    "input_layer_shape": str,
}

# In the order in which benchmark_model prints them; num_threads has two names there.
ECHO = (
    ("num_runs", "Min num runs"),
    ("min_secs", "Min runs duration (seconds)"),
    ("max_secs", "Max runs duration (seconds)"),
    ("num_threads", "Num threads"),
    ("warmup_runs", "Min warmup runs"),
    ("warmup_min_secs", "Min warmup runs duration (seconds)"),
    ("graph", "Graph"),
    ("signature_to_run_for", "Signature to run"),
    ("input_layer", "Input layers"),
    ("input_layer_shape", "Input shapes"),
    ("num_threads", "#threads used for CPU inference"),
    ("use_xnnpack", "Use xnnpack"),
)


def parse_flags(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse words of the form `--name=value`; return the flags that were given.

    Raises:
        BenchmarkError: a flag is unknown, malformed or given twice, or --graph is missing.
    """
    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument[2:].partition("=")
        if name in REFUSED:
            raise BenchmarkError(f"Flag '--{name}' cannot be had: {REFUSED[name]}")
        if not argument.startswith("--") or not equals or name not in PARSERS:
            known = " ".join(f"--{known}=" for known in PARSERS)
            raise BenchmarkError(f"Unknown flag '{argument}'; this runner knows, in the form --name=value: {known}")
        if name in given:
            raise BenchmarkError(f"Flag '--{name}' is given twice")
        try:
            given[name] = PARSERS[name](text)
        except (ValueError, KeyError):
            raise BenchmarkError(f"Failed to parse flag '{name}' against argv '{argument}'") from None
    if not given.get("graph"):
        raise BenchmarkError("Please specify the name of your TF Lite input file with --graph")
    return given


def parse_shapes(names: str, shapes: str) -> list[tuple[str, list[int]]]:
    """Return (name, shape) of every input that the flags describe; empty without them.

    Raises:
        BenchmarkError: names and shapes differ in number, or a shape is not one.
    """
    layers = names.split(",") if names else []
    texts = shapes.split(":") if shapes else []
    if len(layers) != len(texts):
        raise BenchmarkError(
            f"The number of items in --input_layer_shape ({shapes}, with {len(texts)} items) must match the number of "
            f"items in --input_layer ({names}, with {len(layers)} items). For example --input_layer=input1,input2 "
            "--input_layer_shape=1,224,224,4:1,20"
        )
    result = []
    for layer, text in zip(layers, texts):
        sizes = text.split(",")
        if not all(size.isdecimal() and int(size) > 0 for size in sizes):
            raise BenchmarkError(f"Incorrect size string specified: {text}")
        result.append((layer, [int(size) for size in sizes]))
    return result


def number(value: float) -> str:
    """Format a number as C++ streams do by default: six significant digits."""
    return f"{value:g}"


def echo_lines(given: dict[str, Any]) -> list[str]:
    """Return the parameter echo: what was given, and the two lines that are always there."""
    shown = {"signature_to_run_for": "", **given}
    lines = ["Log parameter values verbosely: [0]"]
    for name, description in ECHO:
        if name in shown:
            value = shown[name]
            lines.append(f"{description}: [{value if isinstance(value, str) else number(value)}]")
    return lines


def mean(values: Sequence[int]) -> float:
    """Return the average, 0 for no values, as the original prints it."""
    return sum(values) / len(values) if values else 0


def stat_line(values_us: Sequence[int]) -> str:
    """Return the `count=...` line for durations in whole microseconds.

    The standard deviation is the population's, cut to an integer; percentiles are not interpolated.
    """
    count = len(values_us)
    ordered = sorted(values_us)
    p5, median, p95 = (ordered[count * percent // 100] if count else 0 for percent in (5, 50, 95))
    percentiles = f" p5={p5} median={median} p95={p95}"
    if count == 0:
        return "count=0" + percentiles
    if ordered[0] == ordered[-1]:
        return f"count={count} curr={values_us[-1]}{'(all same)' if count > 1 else ''}{percentiles}"
    variance = (count * sum(value * value for value in values_us) - sum(values_us) ** 2) // count**2
    return (
        f"count={count} first={values_us[0]} curr={values_us[-1]} min={ordered[0]} max={ordered[-1]}"
        f" avg={number(mean(values_us))} std={math.isqrt(variance)}{percentiles}"
    )


def run(invoke: Call, set_inputs: Call | None, min_runs: int, min_s: float, max_s: float) -> Iterations:
    """Invoke until both minima are reached, or until the maximum is exceeded; what runs then is finished."""
    wall_clock, cpu_clock = time.perf_counter_ns, time.process_time_ns
    result = Iterations(array("q"), array("q"), array("q"))
    add_start, add_end, add_cpu = result.start_ns.append, result.end_ns.append, result.cpu_ns.append
    runs = 0
    now = wall_clock()
    min_end = now + int(min_s * 1e9)
    max_end = now + int(max_s * 1e9)
    while (runs < min_runs or now < min_end) and now <= max_end:
        if set_inputs:
            set_inputs()
        cpu_start = cpu_clock()
        start = wall_clock()
        invoke()
        now = wall_clock()
        cpu_end = cpu_clock()
        add_start(start)
        add_end(now)
        add_cpu(cpu_end - cpu_start)
        runs += 1
    return result


def random_input(generator: Any, details: dict[str, Any]) -> Any:
    """Return a random array for an input tensor, in the value range that benchmark_model uses for its type.

    Raises:
        BenchmarkError: there is no range for this type (strings among others).
    """
    dtype = details["dtype"]
    name, shape = dtype.__name__, details["shape"]
    if name in ("float32", "float64"):
        values = generator.random(shape, dtype=dtype)
        values += FLOAT_RANGE[0]
        return values
    if name.rstrip("_") in INTEGER_RANGES:  # numpy 1 calls it bool_
        low, high = INTEGER_RANGES[name.rstrip("_")]
        return generator.integers(low, high, size=shape, dtype=dtype, endpoint=True)
    raise BenchmarkError(f"Don't know how to populate tensor {details['name']} of type {name}")


def prepare_inputs(interpreter: Any) -> Call | None:
    """Fill every input with random values, always the same; return what is to be called before each inference, if any.

    Raises:
        BenchmarkError: see random_input.
    """
    import numpy

    generator = numpy.random.default_rng(0)
    set_tensor = interpreter.set_tensor
    inputs = [(details["index"], random_input(generator, details)) for details in interpreter.get_input_details()]

    def set_inputs() -> None:
        for index, values in inputs:
            set_tensor(index, values)

    set_inputs()
    return set_inputs if sum(values.nbytes for _, values in inputs) > COPIED_ONCE_BYTES else None


def load(parameters: Parameters, shapes: list[tuple[str, list[int]]]) -> Any:
    """Load a model, apply the delegate and allocate tensors; return the interpreter.

    Raises:
        BenchmarkError: the file is not a model, or the runtime cannot prepare it.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if parameters.num_threads < -1:
        raise BenchmarkError(
            f"num_threads is {parameters.num_threads}; it should be >= 0 or just -1 to let the runtime set the value\n"
            "Failed to set thread number"
        )
    without_xnnpack = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = Interpreter(
            parameters.graph,
            num_threads=parameters.num_threads if parameters.num_threads > 0 else None,
            experimental_op_resolver_type=without_xnnpack if parameters.use_xnnpack is False else OpResolverType.AUTO,
        )
    except ValueError as error:
        raise BenchmarkError(f"{separated(error)}\nFailed to load model {parameters.graph}") from None
    info(f"Loaded model {parameters.graph}")
    try:
        resize_inputs(interpreter, shapes)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise BenchmarkError(f"{separated(error)}\nFailed to allocate tensors!") from None
    return interpreter


def separated(error: Exception) -> str:
    """Return an error of the runtime with its messages, which it glues together, on lines of their own."""
    return re.sub(r"(?<=\S)\s*(?=The model allocation is|Node number \d)", "\n", str(error))


def resize_inputs(interpreter: Any, shapes: list[tuple[str, list[int]]]) -> None:
    """Give the inputs the shapes that the flags ask for; inputs are taken by position, as in the original.

    Raises:
        BenchmarkError: number of inputs or of dimensions do not fit the model.
    """
    if not shapes:
        return
    inputs = interpreter.get_input_details()
    if len(shapes) != len(inputs):
        raise BenchmarkError(f"Inputs mismatch: Model inputs #:{len(inputs)} flags: {len(shapes)}")
    for details, (name, shape) in zip(inputs, shapes):
        if details["name"] != name:
            line(f"WARN: Tensor # {details['index']} is named {details['name']} but flags call it {name}")
        if len(details["shape"]) != len(shape):
            raise BenchmarkError(f"Input tensor #{details['index']} should have {len(details['shape'])} dimensions!")
        interpreter.resize_tensor_input(details["index"], shape)


def delegate_kernels(interpreter: Any) -> int:
    """Return how many parts of the graph a delegate executes; there is no public way to ask."""
    graph = interpreter._interpreter
    return sum(graph.NodeName(node) == "DELEGATE" for node in range(graph.NumNodes()))


def line(text: str) -> None:
    """Print a line of the log; flushed, so that a log that was cut short shows how far the run came."""
    print(text, flush=True)


def info(text: str) -> None:
    """Print a line as the tool does."""
    line("INFO: " + text)


def edgebench(name: str, value: Any) -> None:
    """Print a line that only this project knows."""
    line(f"EDGEBENCH {name}={json.dumps(value)}")


def peak_rss_kb() -> int:
    """Return the process's largest resident set so far, in kB, as getrusage(2) reports it on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def rss_kb() -> int:
    """Return the process's resident set, in kB, from proc(5)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() // 1024


def runtime() -> dict[str, str]:
    """Import all that measuring needs; return the runtime's name and versions.

    Raises:
        BenchmarkError: a package is missing or does not work on this machine.
    """
    try:
        import ai_edge_litert
        import ai_edge_litert.interpreter
        import numpy
        import numpy.random
    except ImportError as error:
        raise BenchmarkError(f"Cannot import the runtime in {sys.executable}: {error}") from None
    return {
        "name": "litert",
        "version": ai_edge_litert.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
    }


def listed_us(values_ns: Sequence[int]) -> list[float]:
    """Return the first durations in microseconds, for an EDGEBENCH line."""
    return [value / 1000 for value in values_ns[:EDGEBENCH_LISTED]]


def phase(invoke: Call, set_inputs: Call | None, min_runs: int, min_s: float, max_s: float) -> Iterations:
    """Announce a phase, run it, print its statistics; return its readings.

    Raises:
        BenchmarkError: an inference failed.
    """
    info(
        f"Running benchmark for at least {min_runs} iterations and at least {number(min_s)} seconds"
        f" but terminate if exceeding {number(max_s)} seconds."
    )
    try:
        iterations = run(invoke, set_inputs, min_runs, min_s, max_s)
    except (RuntimeError, ValueError) as error:
        raise BenchmarkError(f"{separated(error)}\nAn inference failed") from None
    info(stat_line(iterations.wall_us()) + "\n")
    return iterations


def benchmark(arguments: Sequence[str]) -> None:
    """Measure what the flags ask for and print the log.

    Raises:
        BenchmarkError: nothing could be measured.
    """
    info("STARTING!")
    given = parse_flags(arguments)
    parameters = Parameters(**given)
    shapes = parse_shapes(parameters.input_layer, parameters.input_layer_shape)
    for text in echo_lines(given):
        info(text)
    identity = runtime()
    gc.disable()

    start_rss_kb, start_kb = rss_kb(), peak_rss_kb()
    if start_kb > start_rss_kb + HIDDEN_KB:
        line(
            f"WARN: {start_kb} kB were in use some time before the start, {start_rss_kb} kB are now; the memory"
            " footprint below is too small by up to the difference. Start this program from a small process, like sh."
        )
    init_start = time.perf_counter_ns()
    interpreter = load(parameters, shapes)
    init_kb = peak_rss_kb() - start_kb
    init_us = time.perf_counter_ns() // 1000 - init_start // 1000

    size_mb = Path(parameters.graph).stat().st_size / 1e6
    info(f"The input model file size (MB): {number(size_mb)}")
    info(f"Initialized session in {number(init_us / 1e3)}ms.")
    kernels = delegate_kernels(interpreter)
    if parameters.use_xnnpack and not kernels:
        info("Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the delegate.")
    edgebench("runner", {**identity, "xnnpack": kernels > 0, "xnnpack_kernels": kernels})

    set_inputs, max_secs = prepare_inputs(interpreter), parameters.max_secs
    warmup = phase(interpreter.invoke, set_inputs, parameters.warmup_runs, parameters.warmup_min_secs, max_secs)
    timed = phase(interpreter.invoke, set_inputs, parameters.num_runs, parameters.min_secs, max_secs)
    overall_kb = peak_rss_kb() - start_kb

    warmup_us = warmup.wall_us()
    info(
        f"Inference timings in us: Init: {init_us}, First inference: {warmup_us[0] if warmup_us else 0}, "
        f"Warmup (avg): {number(mean(warmup_us))}, Inference (avg): {number(mean(timed.wall_us()))}"
    )
    info(
        "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual "
        "memory footprint of the model at runtime. Take the information at your discretion."
    )
    info(
        "Memory footprint delta from the start of the tool (MB): "
        f"init={number(init_kb / 1024)} overall={number(overall_kb / 1024)}"
    )
    edgebench("memory", {"start_rss_kb": start_rss_kb, "start_peak_kb": start_kb})
    edgebench("iterations", {"warmup": len(warmup_us), "timed": len(timed.cpu_ns), "listed_at_most": EDGEBENCH_LISTED})
    for name, iterations in (("warmup", warmup), ("iteration", timed)):
        wall_ns = [end - start for start, end in zip(iterations.start_ns, iterations.end_ns)]
        edgebench(f"{name}_wall_us", listed_us(wall_ns))
        edgebench(f"{name}_cpu_us", listed_us(iterations.cpu_ns))


def main(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    # Die of Ctrl-C as a C program does, without a traceback; echo file names byte by byte as they were given.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.reconfigure(errors="surrogateescape")
    try:
        if "--help" in arguments:
            print(HELP, end="")
        elif list(arguments) == ["--version"]:
            edgebench("runner", runtime())
        else:
            benchmark(arguments)
    except BenchmarkError as error:
        return fail(str(error))
    except MemoryError:
        return fail("Not enough memory for this model and these inputs")
    except OSError as error:
        return fail(f"Cannot write the log: {error}")
    return 0


def fail(reason: str) -> int:
    """Print why nothing was measured, as the tool does; return the exit code."""
    for text in [*reason.splitlines(), "Benchmarking failed."]:
        print(f"ERROR: {text}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
