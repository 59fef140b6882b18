"""Kenning's measurements, the JSON file of `kenning test --measurements x.json` -> one process execution of ours.

The format has no version and no schema; what is read here is what these files of github.com/antmicro/kenning write:

- kenning/core/measurements.py (commits a4685684, 08e3784d): an object of lists. `timemeasurements` adds durations of
  `time.perf_counter`, so in seconds, though its docstring says nanoseconds; `SystemStatsCollector` adds
  `<prefix>_cpus_percent` (a list of all CPUs at each time), `<prefix>_mem_percent` (of the machine) and
  `<prefix>_timestamp` (s), ten times a second, by psutil, whose first CPU value is of no time at all.
- kenning/core/runtime.py (3f86b51b): `target_inference_step`, a duration for each batch, the first one with it. Without
  a runtime the model's wrapper adds the same of its own framework. The prefix is `session_utilization`.
- `protocol_inference_step` is the same as the other end of a connection sees it (`request_processing` of protocols).
- kenning/utils/pipeline_runner.py (5f26b9c7, 0673560c): `model_framework`, `model_version`, `compilers` (later
  `optimizers`) with their frameworks and versions, `command`, `build_cfg` (the scenario: classes and parameters),
  `class_names`, `compiled_model_size` (bytes). kenning/scenarios/inference_tester.py (0095118d) is older: one
  `compiler_framework`, and no `build_cfg`.
- kenning/datasets/pet_dataset.py (0aa5aa6d): `eval_confusion_matrix` (a row for each true class), `top_5_count`,
  `total`. Later data sets add `predictions`, [{"target": .., "prediction": ..}, ..]; see kenning/core/metrics.py
  (00458f49), which reads all these. A whole `build_cfg` is in the sample report of Kenning's documentation.
- kenning/optimizers/tflite.py (04feedc5): `target` is `default`, `int8`, `float16` or `edgetpu`. TVM's optimizer has
  `use_int8_precision` and `use_fp16_precision`.

Kenning has no warm-up: its own means are over all inferences. Here the first one is the warm-up, as with all that the
kit measures, and in no mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import quality
from analysis.entries import whole
from analysis.logs import FAILED, OK, ToolRun
from analysis.names import KENNING_MATRIX, KENNING_STEPS
from analysis.quality import Evaluation
from analysis.usage import MACHINE, Usage

RUNNER = "kenning_"  # begins the names of runners: who measured, then what it ran on

_KNOWN = (*KENNING_STEPS, KENNING_MATRIX, "build_cfg", "model_framework")
_SCENARIO = ("model_wrapper", "dataset")
_USAGE = "session_utilization"


class NotMeasurementsError(ValueError):
    """A file that Kenning did not write its measurements to; the message says what it is."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """One file.

    Attributes:
        model: the class of its model wrapper, which is the same for all that is made of one model.
        variant: precision, and what was done to the weights: `float32`, `int8`, `pruned_int8`.
        weights: name of the file that all was made of.
        run: times, and who measured.
        evaluation, usage: None where there are none.
    """

    model: str
    variant: str
    weights: str
    run: ToolRun
    evaluation: Evaluation | None
    usage: Usage | None


def parse(text: str, stem: str) -> Measurements:
    """Read a file's text; its name without ending stands in for a model that is not named.

    Raises NotMeasurementsError for what is none.
    """
    content = _content(text)
    scenario = _Scenario(content)
    warnings: list[str] = []
    evaluation, usage = _evaluation(content, scenario, warnings), _usage(content, warnings)
    return Measurements(
        model=scenario.name("model_wrapper", "modelwrappers") or stem,
        variant=scenario.variant(),
        weights=_file_name(scenario.parameters("model_wrapper").get("model_path")),
        run=_run(content, scenario, warnings),
        evaluation=evaluation,
        usage=usage,
    )


def _content(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotMeasurementsError(f"no JSON ({error})") from None
    if isinstance(content, dict) and any(name in content for name in _KNOWN):
        return content
    if isinstance(content, dict) and all(name in content for name in _SCENARIO):
        raise NotMeasurementsError(
            "a scenario of Kenning's, not what it measured; give the file that --measurements names"
        )
    raise NotMeasurementsError(f"not Kenning's measurements: expected a JSON object with one of {', '.join(_KNOWN)}")


# --- What was run -----------------------------------------------------------------------------------------------------

_CLASS = r"[A-Za-z_][\w.]*\.{}\.[\w.]+"  # in a command line, by the package that it is from
_COMPRESSED = {"pruning": "pruned_", "clustering": "clustered_"}  # in the modules of optimizers; our names of variants


class _Scenario:
    """The classes and parameters of a run, from `build_cfg`, or from the command where there is none."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._blocks = _dict(content.get("build_cfg"))
        command = content.get("command")
        self._command = " ".join(map(str, command)) if isinstance(command, list) else ""

    def parameters(self, block: str) -> dict[str, Any]:
        """The parameters of a block; {} where they are not told."""
        return _dict(_dict(self._blocks.get(block)).get("parameters"))

    def name(self, block: str, package: str) -> str:
        """The class of a block, without its module; '' = not told."""
        told = _text(_dict(self._blocks.get(block)).get("type"))
        if not told and (found := re.search(_CLASS.format(package), self._command)):
            told = found[0]
        return told.rpartition(".")[2]

    def optimizers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Class with module, and parameters, of each optimizer in its order."""
        told = self._blocks.get("optimizers")
        if isinstance(told, list):
            yield from ((_text(_dict(one).get("type")), _dict(_dict(one).get("parameters"))) for one in told)
            return
        # Parameters of all share one command line.
        target = re.search(r"--target[\s\\]+(\w+)", self._command)
        for found in re.finditer(_CLASS.format("(?:compilers|optimizers)"), self._command):
            yield found[0], {"target": target[1] if target else None}

    def variant(self) -> str:
        """What optimizers made of the weights, in the kit's words."""
        precision, how = "float32", ""
        for name, parameters in self.optimizers():
            how = next((word for part, word in _COMPRESSED.items() if part in name), how)
            target = parameters.get("target")
            if target in ("int8", "edgetpu") or parameters.get("use_int8_precision") is True:
                precision = "int8"
            elif target == "float16" or parameters.get("use_fp16_precision") is True:
                precision = "float16"
        return how + precision

    def batch_size(self) -> int | None:
        """Images of each inference."""
        return whole(self.parameters("dataset").get("inference_batch_size"))

    def runner(self) -> str:
        """Who measured, and what it ran on: the runtime, or without one the model's own framework."""
        runtime = self.name("runtime", "runtimes").removesuffix("Runtime").lower()
        return RUNNER + (runtime or _text(self._content.get("model_framework")) or "unknown")

    def version(self) -> str:
        """The framework that made the last file, with its version: 'tvm 0.12.0'; Kenning does not say its own."""
        made = self._content.get("optimizers") or self._content.get("compilers")
        last = _dict(made[-1]) if isinstance(made, list) and made else self._content
        for kind in ("compiler", "model"):
            if framework := _text(last.get(f"{kind}_framework")):
                return f"{framework} {_text(last.get(f'{kind}_version'))}".strip()
        return ""


# --- Times ------------------------------------------------------------------------------------------------------------


def _run(content: Mapping[str, Any], scenario: _Scenario, warnings: list[str]) -> ToolRun:
    step = next((name for name in KENNING_STEPS if name in content), KENNING_STEPS[0])
    runner = {"name": scenario.runner(), "version": scenario.version()}
    if step != KENNING_STEPS[0]:
        warnings.append(f"times are of {step}: sending, waiting and receiving are in them")
    about = {"batch_size": scenario.batch_size(), "warnings": tuple(warnings)}
    times_s = _numbers(content.get(step))
    if times_s is None or len(times_s) < 2 or min(times_s) < 0:
        reason = (
            f"no two inference times in it: {step} is not there"
            if step not in content
            else f"{step} holds no two times, of which the first is the warm-up"
        )
        return ToolRun(status=FAILED, reason=reason, edgebench={"runner": runner}, **about)
    first_ms, *timed_ms = (1e3 * time for time in times_s)
    size_bytes = _number(content.get("compiled_model_size"))
    return ToolRun(
        status=OK,
        first_inference_ms=first_ms,
        warmup_inference_ms=first_ms,
        avg_inference_ms=float(np.mean(timed_ms)),
        std_inference_ms=float(np.std(timed_ms)),
        min_inference_ms=min(timed_ms),
        max_inference_ms=max(timed_ms),
        median_inference_ms=float(np.median(timed_ms)),
        p95_inference_ms=float(np.percentile(timed_ms, 95, method="higher")),
        iterations=len(timed_ms),
        model_size_mb=None if size_bytes is None else size_bytes / 1e6,
        edgebench={"runner": runner, "iteration_wall_us": [1e3 * time for time in timed_ms]},
        **about,
    )


# --- Accuracy, and use of the machine ---------------------------------------------------------------------------------


def _evaluation(content: Mapping[str, Any], scenario: _Scenario, warnings: list[str]) -> Evaluation | None:
    if KENNING_MATRIX not in content:
        return None
    try:
        counts = quality.matrix(content[KENNING_MATRIX])
    except ValueError as error:
        warnings.append(f"accuracy is not read: {error}")
        return None
    names, images = content.get("class_names"), int(counts.sum())
    is_named = isinstance(names, list) and len(names) == len(counts)
    top_5 = content.get("top_5_count")
    targets, predictions = _predictions(content.get("predictions"), counts)
    if content.get("predictions") and not targets:
        warnings.append("predictions are not read: they are not those that the confusion matrix counts")
    return Evaluation(
        confusion_matrix=counts,
        class_names=tuple(map(str, names)) if is_named else (),
        evaluated_on=scenario.name("dataset", "datasets"),
        top_5_correct=top_5 if isinstance(top_5, int) and 0 <= top_5 <= images else None,
        targets=targets,
        predictions=predictions,
    )


def _predictions(told: Any, counts: NDArray[np.int64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """True and predicted class of each image; empty where they are not told, or are not those of the matrix."""
    try:
        pairs = [(int(one["target"]), int(one["prediction"])) for one in told or ()]
        targets, predictions = tuple(true for true, _ in pairs), tuple(said for _, said in pairs)
        is_same = np.array_equal(quality.confusion_matrix(targets, predictions, len(counts)), counts)
    except (KeyError, OverflowError, TypeError, ValueError):
        return (), ()
    return (targets, predictions) if is_same else ((), ())


def _usage(content: Mapping[str, Any], warnings: list[str]) -> Usage | None:
    names = [f"{_USAGE}_{name}" for name in ("timestamp", "cpus_percent", "mem_percent")]
    if not any(name in content for name in names):
        return None
    time_s, memory = (_numbers(content.get(name)) for name in (names[0], names[2]))
    told = content.get(names[1])
    cpus = [_numbers(of_all) for of_all in told] if isinstance(told, list) else []
    if None in (time_s, memory) or not len(time_s) == len(memory) == len(cpus) or not all(cpus):
        warnings.append(f"{_USAGE}_* is not read: it holds other things than numbers, or not as many of each")
        return None
    if len(time_s) < 2:
        return None  # the first sample has no CPU time
    return Usage(
        of=MACHINE,
        time_s=tuple(time - time_s[0] for time in time_s[1:]),
        cpu_percent=tuple(float(np.mean(of_all)) for of_all in cpus[1:]),
        memory_percent=tuple(memory[1:]),
    )


# --- JSON of any kind -------------------------------------------------------------------------------------------------


def _numbers(value: Any) -> list[float] | None:
    """A list of finite numbers; None for anything else."""
    numbers = [_number(one) for one in value] if isinstance(value, list) else [None]
    return None if None in numbers else numbers


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _file_name(path: Any) -> str:
    return re.split(r"[/\\]", _text(path))[-1]
