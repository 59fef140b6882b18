"""What runners written in Python share: the flags, the measuring rules and the lines of TensorFlow's benchmark_model.

A runner is a file beside this one that says how its runtime loads a model and runs it (`Runner`, `Model`). It reaches
hosts together with this file, as one archive, and needs CPython, its runtime and numpy, nothing else. It takes
benchmark_model's flags, measures by its rules, and prints its lines (the format of TF 2.19 and later); what it knows
beyond that goes on lines `EDGEBENCH <name>=<json>`. Sources of rules and formats, of LiteRT:
tflite/tools/benchmark/{benchmark_model,benchmark_tflite_model}.cc, tflite/tools/utils.cc, tsl/util/stats_calculator.h.

Where it differs from the original, on purpose:

- An unknown, repeated or malformed flag is an error, not a warning with a result measured by defaults.
- A failing inference ends the run at once. One that could get no memory ends it with `ERROR: out of memory: <why>`.
- "Memory footprint delta from the start of the tool": the start is after Python, numpy and the runtime were loaded,
  right before the model is. Like the original it is a difference of getrusage's high-water marks, so memory that was
  used and given back before the start (also by the process that started this one, if it is large) hides that much of
  the growth after it. The line EDGEBENCH memory shows what was in use and the mark; a warning says when they differ.

Between the two wall clock reads of an iteration there is the runtime's own call and nothing else. The inputs are copied
in before, every time, as the original does (it leaves them in the cache: 2 % of MobileNet's time); the CPU clock of
the process is read outside the wall clock; garbage collection is off. The line EDGEBENCH timed says when the timed
inferences began and ended, by the clock of /proc/uptime. Where EDGEBENCH_ENERGY_COUNTERS names files, what they held
right before and right after is on the line EDGEBENCH energy_counters.

With `--evaluate=` nothing is timed: the model, made ready as for measuring, classifies the images of a held-out file
by the call that is measured, and the line EDGEBENCH evaluation says which class it took each of them for. The file is
modelzoo's, of numpy.savez_compressed: `images` (n, height, width, channels) in uint8, `labels` (n) in int64, `classes`,
their names, `scale` and `offset` (channels) in float32, `evaluated_on`, the data set, and `remark`. A float model takes
images * scale + offset; a quantized input takes that / its scale + its zero point, rounded and clipped.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import gc
import hashlib
import io
import json
import math
import os
import platform
import re
import resource
import signal
import sys
import time
import zipfile
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

# numpy's threads would sit idle beside what is measured. Must be set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

HELP = """\
usage: {name} --graph=MODEL.{suffix} [--name=value ...]
  --graph=              model file
  --num_threads=-1      threads; -1 leaves it to the runtime, which takes one
  --num_runs=50         timed inferences, at least
  --min_secs=1          seconds of timed inferences, at least
  --max_secs=150        seconds after which no further inference starts, for warm-up and timed ones each
  --warmup_runs=1       warm-up inferences, at least
  --warmup_min_secs=0.5 seconds of warm-up, at least
{own}  --input_layer=        names of all inputs, separated by commas; only together with --input_layer_shape
  --input_layer_shape=  their shapes, such as {shape}, separated by colons
  --evaluate=           classify the images of this held-out file (a name without / is looked for beside the model)
                        instead of measuring
  --help                print this
  --version             start the runtime and print its version as EDGEBENCH line
Measures by the rules of TensorFlow's benchmark_model and prints its lines. Exit code 0 = measured.
"""

EDGEBENCH_LISTED = 10_000
"""Iterations listed one by one on an EDGEBENCH line: a tiny model makes a million of them, and logs must stay small."""

HIDDEN_KB = 8192
"""Growth that a high-water mark may hide without a warning; the kernel's counts are not exact to the page."""

TOP = 5
"""Classes among which the true one may be; with as many or fewer in all, it always is."""

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

# How runtimes say that they got no memory: C++, PyTorch, ONNX Runtime, the C library.
NO_MEMORY = re.compile(
    r"bad_alloc|bad allocation|not enough memory|(can't|cannot|failed to) allocate memory",
    re.IGNORECASE,
)

Call = Callable[[], None]
Shapes = Sequence[tuple[str, Sequence[int]]]


class BenchmarkError(Exception):
    """Nothing can be measured; the message's lines say why."""


class Parameters(NamedTuple):
    """Values of the flags, in benchmark_model's words and with its defaults; the last three are our own."""

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
    compile: bool = False
    channels_last: bool = False
    evaluate: str = ""

    @property
    def threads(self) -> int:
        """The number of threads where the runtime has to be told one."""
        return max(self.num_threads, 1)


class Input(NamedTuple):
    """An input of a model.

    Attributes:
        index: what the runtime calls it by.
        name: '' where it has none to be called by.
        dtype: numpy's name of its type.
        shape: None for a size that is free.
    """

    index: int
    name: str
    dtype: str
    shape: Sequence[int | None]


class Classifier(NamedTuple):
    """How a model takes images and says of which class they are.

    Attributes:
        shape: of a batch of images: (batch, height, width, channels).
        dtype: numpy's name of the input's type.
        quantization: scale and zero point of an input that is quantized; None: it takes floats.
        classify: an inference; takes a batch, returns the model's first output, a score for each image and class.
    """

    shape: Sequence[int]
    dtype: str
    quantization: Sequence[float] | None
    classify: Callable[[Any], Any]


class Model(NamedTuple):
    """A model that is loaded and ready to run.

    Attributes:
        invoke: one inference, and nothing else.
        prepare_inputs: gives the inputs values; returns what is to be called before each inference, if any.
        facts: what the line EDGEBENCH runner says of it beside the versions.
        notes: lines that the tool prints.
        classifier: the same inference as a classifier's; None: this runner cannot evaluate, or the model has not one
            input.
    """

    invoke: Call
    prepare_inputs: Callable[[], Call | None]
    facts: Mapping[str, Any]
    notes: Sequence[str] = ()
    classifier: Classifier | None = None


class Runner(NamedTuple):
    """A runtime, as a program that measures with it.

    Attributes:
        name: what campaigns call it.
        file: what its models are, for messages.
        suffix: of its models' names.
        shape: an example of an input's shape.
        import_runtime: imports all that measuring needs; returns the runtime's version.
        load: loads a model and makes it ready, by the flags and the shapes that they give to inputs.
        flags: those that only this runner takes, with their help.
        refused: those that other runners or benchmark_model take, with what to do instead.
    """

    name: str
    file: str
    suffix: str
    shape: str
    import_runtime: Callable[[], str]
    load: Callable[[Parameters, Shapes], Model]
    flags: Mapping[str, str]
    refused: Mapping[str, str]


class Iterations(NamedTuple):
    """Clock readings of one phase, one entry per inference, in nanoseconds."""

    start_ns: array
    end_ns: array
    cpu_ns: array

    def wall_us(self) -> list[int]:
        """Whole microseconds per inference: the difference of two truncated readings, as in the original."""
        return [end // 1000 - start // 1000 for start, end in zip(self.start_ns, self.end_ns)]


class Phase(NamedTuple):
    """A phase and what was read right before and right after it.

    Attributes:
        uptime_s: seconds since boot.
        counters: of energy, None where there are none to read.
    """

    iterations: Iterations
    uptime_s: tuple[float, float]
    counters: tuple[list[int] | None, list[int] | None]


def parse_bool(text: str) -> bool:
    """Parse a truth value as benchmark_model does."""
    return {"true": True, "1": True, "false": False, "0": False}[text]


def parse_seconds(text: str) -> float:
    """Parse a finite number of seconds."""
    seconds = float(text)
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds


# Every runner takes these; the others are in its `flags`.
PARSERS: dict[str, Callable[[str], Any]] = {
    "graph": str,
    "num_threads": int,
    "num_runs": int,
    "min_secs": parse_seconds,
    "max_secs": parse_seconds,
    "warmup_runs": int,
    "warmup_min_secs": parse_seconds,
    "input_layer": str,
    "input_layer_shape": str,
    "evaluate": str,
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
    ("compile", "Compile"),
    ("channels_last", "Channels last"),
    ("evaluate", "Evaluate"),
)


def parse_flags(runner: Runner, arguments: Sequence[str]) -> dict[str, Any]:
    """Parse words of the form `--name=value`; return the flags that were given.

    Raises:
        BenchmarkError: a flag is unknown, malformed or given twice, or --graph is missing.
    """
    parsers = {**PARSERS, **dict.fromkeys(runner.flags, parse_bool)}
    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument[2:].partition("=")
        if name in runner.refused:
            raise BenchmarkError(f"Flag '--{name}' cannot be had: {runner.refused[name]}")
        if not argument.startswith("--") or not equals or name not in parsers:
            known = " ".join(f"--{known}=" for known in parsers)
            raise BenchmarkError(f"Unknown flag '{argument}'; this runner knows, in the form --name=value: {known}")
        if name in given:
            raise BenchmarkError(f"Flag '--{name}' is given twice")
        try:
            given[name] = parsers[name](text)
        except (ValueError, KeyError):
            raise BenchmarkError(f"Failed to parse flag '{name}' against argv '{argument}'") from None
    if not given.get("graph"):
        raise BenchmarkError(f"Please specify the name of your {runner.file} with --graph")
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


def asked_shapes(inputs: Sequence[Input], shapes: Shapes) -> list[Sequence[int]]:
    """Return the shape of each input: as the flags ask, else the model's own with 1 for a size that is free.

    Inputs are taken by position, as in the original; a warning says when a name is not the model's.

    Raises:
        BenchmarkError: the number of inputs, the number of dimensions or a fixed size do not fit the model.
    """
    if not shapes:
        return [[1 if size is None else size for size in wanted.shape] for wanted in inputs]
    if len(shapes) != len(inputs):
        raise BenchmarkError(f"Inputs mismatch: Model inputs #:{len(inputs)} flags: {len(shapes)}")
    for wanted, (name, shape) in zip(inputs, shapes):
        if wanted.name not in ("", name):
            line(f"WARN: Tensor # {wanted.index} is named {wanted.name} but flags call it {name}")
        if len(wanted.shape) != len(shape):
            raise BenchmarkError(f"Input tensor #{wanted.index} should have {len(wanted.shape)} dimensions!")
        if any(own not in (None, size) for own, size in zip(wanted.shape, shape)):
            own = ",".join("any" if size is None else str(size) for size in wanted.shape)
            raise BenchmarkError(
                f"Input tensor #{wanted.index} of this model takes the shape {own}; the flags ask for "
                f"{','.join(map(str, shape))}"
            )
    return [shape for _, shape in shapes]


def number(value: float) -> str:
    """Format a number as C++ streams do by default: six significant digits."""
    return f"{value:g}"


def echo_lines(given: Mapping[str, Any]) -> list[str]:
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


def random_arrays(inputs: Sequence[Input], shapes: Sequence[Sequence[int]]) -> list[Any]:
    """Return a numpy array of random values for every input, always the same, in benchmark_model's value ranges.

    Raises:
        BenchmarkError: there is no range for a type (strings among others).
    """
    import numpy

    generator = numpy.random.default_rng(0)
    arrays = []
    for wanted, shape in zip(inputs, shapes):
        if wanted.dtype in ("float32", "float64"):
            values = generator.random(shape, dtype=wanted.dtype)
            values += FLOAT_RANGE[0]
        elif wanted.dtype in INTEGER_RANGES:
            low, high = INTEGER_RANGES[wanted.dtype]
            values = generator.integers(low, high, size=shape, dtype=wanted.dtype, endpoint=True)
        else:
            tensor = wanted.name or f"#{wanted.index}"
            raise BenchmarkError(f"Don't know how to populate tensor {tensor} of type {wanted.dtype}")
        arrays.append(values)
    return arrays


def copy_in(copies: Sequence[tuple[Callable[[Any], Any], Any]]) -> Call | None:
    """Call each function with its values; return what does that again before each inference, if it is needed."""

    def set_inputs() -> None:
        for copy, values in copies:
            copy(values)

    set_inputs()
    return set_inputs if sum(values.nbytes for _, values in copies) > COPIED_ONCE_BYTES else None


def explained(error: Exception, consequence: str) -> BenchmarkError:
    """Return a runtime's error as ours: its messages, which LiteRT glues together, on lines of their own.

    One of memory begins with the words that the rest of the kit knows.
    """
    text = re.sub(r"(?<=\S)\s*(?=The model allocation is|Node number \d)", "\n", str(error))
    if isinstance(error, MemoryError) or NO_MEMORY.search(text):
        text = f"out of memory: {text.strip().partition(chr(10))[0] or 'an allocation failed'}"
    return BenchmarkError(f"{text}\n{consequence}")


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


def uptime_s() -> float:
    """Return the seconds since boot, by the clock of /proc/uptime, to the microsecond."""
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 6)


def energy_counters() -> list[int] | None:
    """Read the counters that EDGEBENCH_ENERGY_COUNTERS names, absolute paths with colons between; None: none to read.

    Names of powercap's directories have colons as well, but no slash behind them.
    """
    paths = os.environ.get("EDGEBENCH_ENERGY_COUNTERS")
    if not paths:
        return None
    try:
        return [int(Path(path).read_text(encoding="ascii")) for path in re.split(":(?=/)", paths)]
    except (OSError, ValueError):
        return None


def identity(runner: Runner) -> dict[str, str]:
    """Import all that measuring needs; return the runtime's name and versions.

    Raises:
        BenchmarkError: a package is missing or does not work on this machine.
    """
    try:
        import numpy
        import numpy.random

        version = runner.import_runtime()
    except (ImportError, OSError) as error:  # OSError: a library that the runtime opens itself
        raise BenchmarkError(f"Cannot import the runtime in {sys.executable}: {error}") from None
    return {"name": runner.name, "version": version, "python": platform.python_version(), "numpy": numpy.__version__}


class HeldOut(NamedTuple):
    """A held-out file, see above, and its sha256."""

    images: Any
    labels: Any
    classes: Sequence[str]
    scale: Any
    offset: Any
    evaluated_on: str
    remark: str
    sha256: str


def read_held_out(path: Path) -> HeldOut:
    """Read a held-out file.

    Raises:
        BenchmarkError: there is none, or it is no such file.
    """
    import numpy

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"Could not open '{path}': {error.strerror}") from None
    arrays = HeldOut._fields[:-1]
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # whose files are never pickles, as numpy.load's may be
            found = {name: numpy.lib.format.read_array(archive.open(f"{name}.npy")) for name in arrays}
        texts = {name: found[name].tolist() for name in ("classes", "evaluated_on", "remark")}
        held_out = HeldOut(**{**found, **texts}, sha256=hashlib.sha256(content).hexdigest())
        images, labels, channels = held_out.images, held_out.labels, held_out.images.shape[-1:]
        fits = images.ndim == 4 and len(images) == len(labels) > 0 and labels.min() >= 0
        fits = fits and labels.max() < len(held_out.classes)
        if not (fits and held_out.scale.shape == held_out.offset.shape == channels):
            raise ValueError("its arrays do not fit together")
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"{path} is no held-out file of modelzoo: {str(error).strip(chr(34))}") from None
    return held_out


def evaluate(classifier: Classifier, path: Path) -> dict[str, Any]:
    """Return what the line EDGEBENCH evaluation says: of which class each image of a held-out file is taken to be.

    Of equal scores the first class counts, as argmax does.

    Raises:
        BenchmarkError: the file cannot be read or does not fit the model, or an inference failed.
    """
    import numpy

    file = read_held_out(path)
    batch, *image = classifier.shape
    if list(file.images.shape[1:]) != image:
        raise BenchmarkError(
            f"the model takes images of {'x'.join(map(str, image))} (height, width, channels), those of {path} are of "
            f"{'x'.join(map(str, file.images.shape[1:]))}"
        )
    predicted, in_top = [], 0
    for start in range(0, len(file.images), batch):
        images, labels = file.images[start : start + batch], file.labels[start : start + batch]
        values = numpy.zeros(classifier.shape, numpy.float32)
        values[: len(images)] = images * file.scale.astype(numpy.float32) + file.offset.astype(numpy.float32)
        given = as_input(values, classifier)
        try:
            scores = numpy.asarray(classifier.classify(given), numpy.float64)[: len(images)]
        except Exception as error:  # runtimes have classes of their own
            raise explained(error, "An inference failed") from None
        if scores.shape != (len(images), len(file.classes)):
            raise BenchmarkError(
                f"the model's first output is of shape {scores.shape[1:]} for each image, while {path} has "
                f"{len(file.classes)} classes"
            )
        if numpy.isnan(scores).any():
            raise BenchmarkError(f"the model's scores of image {start} of {path}, or of those after it, are no numbers")
        ranked = numpy.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        predicted += ranked[:, 0].tolist()
        in_top += int((ranked == labels[:, None]).sum())
    return {
        "file": path.name,
        "file_sha256": file.sha256,
        "evaluated_on": file.evaluated_on,
        "remark": file.remark,
        "classes": file.classes,
        "labels": file.labels.tolist(),
        "predicted": predicted,
        "top_5_correct": in_top if len(file.classes) > TOP else None,
    }


def as_input(values: Any, classifier: Classifier) -> Any:
    """Return a batch of float32 images in the input's type.

    Raises:
        BenchmarkError: it takes integers, and there is no telling which.
    """
    import numpy

    if classifier.quantization is None:
        if numpy.issubdtype(classifier.dtype, numpy.integer):
            raise BenchmarkError(f"the model takes images in {classifier.dtype} and does not say with which scale")
        return values.astype(classifier.dtype)
    scale, zero_point = classifier.quantization
    limits = numpy.iinfo(classifier.dtype)
    return numpy.clip(numpy.rint(values / scale) + zero_point, limits.min, limits.max).astype(classifier.dtype)


def listed_us(values_ns: Sequence[int]) -> list[float]:
    """Return the first durations in microseconds, for an EDGEBENCH line."""
    return [value / 1000 for value in values_ns[:EDGEBENCH_LISTED]]


def phase(invoke: Call, set_inputs: Call | None, min_runs: int, min_s: float, max_s: float) -> Phase:
    """Announce a phase, run it, print its statistics; return its readings.

    Raises:
        BenchmarkError: an inference failed.
    """
    info(
        f"Running benchmark for at least {min_runs} iterations and at least {number(min_s)} seconds"
        f" but terminate if exceeding {number(max_s)} seconds."
    )
    counters_before, start_s = energy_counters(), uptime_s()
    try:
        iterations = run(invoke, set_inputs, min_runs, min_s, max_s)
    except Exception as error:  # runtimes have classes of their own
        raise explained(error, "An inference failed") from None
    end_s, counters_after = uptime_s(), energy_counters()
    info(stat_line(iterations.wall_us()) + "\n")
    return Phase(iterations, (start_s, end_s), (counters_before, counters_after))


def benchmark(runner: Runner, arguments: Sequence[str]) -> None:
    """Measure what the flags ask for and print the log.

    Raises:
        BenchmarkError: nothing could be measured.
    """
    info("STARTING!")
    given = parse_flags(runner, arguments)
    parameters = Parameters(**given)
    shapes = parse_shapes(parameters.input_layer, parameters.input_layer_shape)
    for text in echo_lines(given):
        info(text)
    versions = identity(runner)
    gc.disable()
    if parameters.num_threads < -1:
        raise BenchmarkError(
            f"num_threads is {parameters.num_threads}; it should be >= 0 or just -1 to let the runtime set the value\n"
            "Failed to set thread number"
        )

    start_rss_kb, start_kb = rss_kb(), peak_rss_kb()
    if start_kb > start_rss_kb + HIDDEN_KB:
        line(
            f"WARN: {start_kb} kB were in use some time before the start, {start_rss_kb} kB are now; the memory"
            " footprint below is too small by up to the difference. Start this program from a small process, like sh."
        )
    init_start = time.perf_counter_ns()
    model = runner.load(parameters, shapes)
    init_kb = peak_rss_kb() - start_kb
    init_us = time.perf_counter_ns() // 1000 - init_start // 1000

    size_mb = Path(parameters.graph).stat().st_size / 1e6
    info(f"The input model file size (MB): {number(size_mb)}")
    info(f"Initialized session in {number(init_us / 1e3)}ms.")
    for text in model.notes:
        info(text)
    edgebench("runner", {**versions, **model.facts})
    if parameters.evaluate:
        if model.classifier is None:
            raise BenchmarkError(f"--evaluate: with the runner {runner.name} this model cannot classify images")
        gc.enable()  # nothing is timed, and some runtimes leave much behind
        held_out = Path(parameters.evaluate)
        beside = held_out if "/" in parameters.evaluate else Path(parameters.graph).parent / held_out
        edgebench("evaluation", evaluate(model.classifier, beside))
        return

    set_inputs, max_secs = model.prepare_inputs(), parameters.max_secs
    warmup, *_ = phase(model.invoke, set_inputs, parameters.warmup_runs, parameters.warmup_min_secs, max_secs)
    timed, uptimes_s, counters = phase(model.invoke, set_inputs, parameters.num_runs, parameters.min_secs, max_secs)
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
    span = {"start_uptime_s": uptimes_s[0], "end_uptime_s": uptimes_s[1]}
    edgebench("timed", span)
    if None not in counters:
        edgebench("energy_counters", {"start": counters[0], "end": counters[1], **span})
    edgebench("iterations", {"warmup": len(warmup_us), "timed": len(timed.cpu_ns), "listed_at_most": EDGEBENCH_LISTED})
    for name, iterations in (("warmup", warmup), ("iteration", timed)):
        wall_ns = [end - start for start, end in zip(iterations.start_ns, iterations.end_ns)]
        edgebench(f"{name}_wall_us", listed_us(wall_ns))
        edgebench(f"{name}_cpu_us", listed_us(iterations.cpu_ns))


def help_text(runner: Runner) -> str:
    """Return what --help prints."""
    own = "".join(f"  {f'--{name}=':<21} {text}\n" for name, text in runner.flags.items())
    return HELP.format(name=runner.name, suffix=runner.suffix, shape=runner.shape, own=own)


def main(runner: Runner, arguments: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    # Die of Ctrl-C as a C program does, without a traceback; echo file names byte by byte as they were given.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.reconfigure(errors="surrogateescape")
    try:
        if "--help" in arguments:
            print(help_text(runner), end="")
        elif list(arguments) == ["--version"]:
            edgebench("runner", identity(runner))
        else:
            benchmark(runner, arguments)
    except BenchmarkError as error:
        return fail(str(error))
    except MemoryError as error:
        return fail(f"out of memory: {error or 'an allocation failed'}")
    except OSError as error:
        return fail(f"Cannot write the log: {error}")
    return 0


def leave(code: int) -> NoReturn:
    """End the process at once: a runtime takes up to a second to tidy up memory that the system takes back anyway."""
    sys.stdout.flush()
    os._exit(code)


def fail(reason: str) -> int:
    """Print why nothing was measured, as the tool does; return the exit code."""
    for text in [*reason.splitlines(), "Benchmarking failed."]:
        print(f"ERROR: {text}", file=sys.stderr, flush=True)
    return 1
