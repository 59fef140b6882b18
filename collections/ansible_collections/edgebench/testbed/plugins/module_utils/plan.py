# Copyright the edgebench developers. Apache-2.0.
"""The order of runs of one host: the plan, and its text form ``plan.tsv``.

A plan is made of blocks. A block holds every configuration once, in an order drawn anew for it, so that slow drift of
the machine meets all configurations alike and a comparison can be paired block by block (randomised complete blocks).
Before the blocks may come a pilot, from which the host chooses the iterations of a process, and after them one run of
each configuration with its operators profiled, and one of each runner and file that classifies held-out images. None of
these is a repetition.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Sequence
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils.runners import DELEGATE_FLAGS, RUNNERS, TFLITE

COLUMNS = (
    "run",
    "block",
    "repetition",
    "phase",
    "model",
    "variant",
    "runner",
    "threads",
    "delegate",
    "batch_size",
    "input_size",
    "timeout_s",
    "least_memory_mb",
    "model_file",
    "model_sha256",
    "flags",
)

DEFAULTS = {"batch_sizes": [1], "input_sizes": [], "evaluate": True}
"""Of settings that campaigns of earlier kits do not have. No input sizes: each model's own."""

FORMATS = {name: runner.format for name, runner in RUNNERS.items() if runner.format != TFLITE}
"""The files that a runner reads, where they are not TFLite's."""

ANY_BATCH = ("pt2", "onnx", "keras")
"""Formats whose files take any batch size."""

VARIANT_FLAGS = {name: runner.variant_flags for name, runner in RUNNERS.items() if runner.variant_flags}
"""Variants of a runner that have no file of their own: the float32 one, with these flags."""

PILOT_FLAGS = "--num_runs=10 --min_secs=0.1"
"""Enough iterations to know their spread, which is all that a pilot is for."""

PROFILING_RUNNERS = tuple(name for name, runner in RUNNERS.items() if runner.profiles)
PROFILE_FLAGS = "--enable_op_profiling=true"

EVALUATING_RUNNERS = tuple(name for name, runner in RUNNERS.items() if runner.evaluates)
HELD_OUT = "held_out"
"""The variant that is no model, but images for one to classify."""

EVALUATION_TIMEOUTS = 6
"""An evaluation may take so many times as long as another run: it has a thousand inferences, however slow they are."""

_PHASE_FLAGS = {"pilot": PILOT_FLAGS, "measure": "", "profile": PROFILE_FLAGS, "evaluate": ""}

# Words of a plan stand in file names and in shell words: nothing that either could misread.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")
_FLAG = re.compile(r"--[a-z][a-z0-9_]*=[A-Za-z0-9._,:+/-]*\Z")


class PlanError(Exception):
    """Settings that give no plan; the message is one line for the user."""


def _word(kind: str, value: Any) -> str:
    text = str(value)
    if not _WORD.match(text):
        raise PlanError(f"{kind} '{text}' cannot be used: only letters, digits and . _ + - may stand in it")
    return text


def _delegate_flags(delegate: str) -> str:
    try:
        return DELEGATE_FLAGS[delegate]
    except KeyError:
        known = ", ".join(DELEGATE_FLAGS)
        raise PlanError(f"unknown delegate '{delegate}' in campaign_delegates; known: {known}") from None


def _delegates(runner: str) -> tuple[str, ...]:
    known = RUNNERS.get(runner)
    return known.delegates if known else tuple(DELEGATE_FLAGS)


def check(settings: dict[str, Any]) -> None:
    """Check what needs no models; settings that are absent have their defaults.

    Raises:
        PlanError: they contradict each other, or are out of range.
    """
    settings = DEFAULTS | settings
    if strange := [runner for runner in settings["runners"] if runner not in RUNNERS]:
        raise PlanError(f"unknown runner '{strange[0]}' in campaign_runners; known: {', '.join(RUNNERS)}")
    least, most = int(settings["min_repetitions"]), int(settings["max_repetitions"])
    if not 0 < least <= most:
        raise PlanError(
            f"campaign_min_repetitions is {least} and campaign_max_repetitions {most}; expected numbers above 0, the "
            "second not below the first"
        )
    if least == 1 < most:
        raise PlanError(
            f"campaign_min_repetitions is 1 and campaign_max_repetitions {most}; one repetition shows no spread to "
            "stop by: give campaign_min_repetitions 2 or more, or make both the same number"
        )
    if not 0 < (target := settings.get("target_percent", 1)) < 100:
        raise PlanError(f"campaign_target_percent is {target:g}; expected a number of percent above 0 and below 100")
    if (iterations := settings.get("iterations", "fixed")) not in ("fixed", "auto"):
        raise PlanError(f"campaign_iterations is '{iterations}'; expected fixed or auto")
    if iterations == "auto":
        if (pilots := settings["pilot_runs"]) < 2:
            raise PlanError(f"campaign_pilot_runs is {pilots}; expected 2 or more, to see the spread between runs")
        if taken := [word for word in settings["flags"].split() if word.startswith(("--num_runs=", "--min_secs="))]:
            raise PlanError(
                f"campaign_flags has {' '.join(taken)}, but campaign_iterations is auto and chooses that on each host; "
                "leave it out, or set campaign_iterations to fixed"
            )
    if settings.get("op_profiling") and not set(settings["runners"]) & set(PROFILING_RUNNERS):
        raise PlanError(
            f"campaign_op_profiling needs the runner {' or '.join(PROFILING_RUNNERS)}, and campaign_runners has only "
            f"{', '.join(settings['runners'])}; add it, or set campaign_op_profiling to false"
        )

    for axis in ("batch_sizes", "input_sizes"):
        if bad := [number for number in settings[axis] if number < 1]:
            raise PlanError(f"campaign_{axis} has {bad[0]}; expected numbers above 0")
    _check_use(settings, combinations(settings, []), [])


def combinations(settings: dict[str, Any], models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the combinations of the axes that there can be, as the columns of a plan that are a configuration.

    A runner goes without delegates and variants that it does not have, and without the variants and models of which
    there are files, but none of its format. What there is no file of at all stays in: it is asked for in vain.

    Args:
        settings: of the campaign.
        models: the entries of the model manifest; where there are none, files rule nothing out.

    Returns:
        Combinations in the order of the settings; ``input_size`` is None for the model's own.
    """
    settings = DEFAULTS | settings
    words = [{("model", entry["model"]), ("variant", entry["variant"])} for entry in models]
    there = set().union(*words)
    there_as = {format_: set() for format_ in map(_format, models)}
    for entry, of_entry in zip(models, words, strict=True):
        there_as[_format(entry)] |= of_entry

    def exists(each: dict[str, Any]) -> bool:
        runner, variant, format_ = each["runner"], each["variant"], FORMATS.get(each["runner"], TFLITE)
        owners = [owner for owner, variants in VARIANT_FLAGS.items() if variant in variants]
        if (owners and runner not in owners) or each["delegate"] not in _delegates(runner):
            return False
        wanted = {("model", each["model"]), ("variant", _file_variant(runner, variant))}
        return format_ not in there_as or wanted & there <= there_as[format_]

    axes = ("models", "variants", "runners", "threads", "delegates", "batch_sizes")
    columns = ("model", "variant", "runner", "threads", "delegate", "batch_size", "input_size")
    values = itertools.product(*(settings[axis] for axis in axes), settings["input_sizes"] or [None])
    return [each for each in (dict(zip(columns, row, strict=True)) for row in values) if exists(each)]


def _check_use(settings: dict[str, Any], found: list[dict[str, Any]], models: Sequence[dict[str, Any]]) -> None:
    """Refuse settings of which a part is in no combination.

    Raises:
        PlanError: that part, and what there is.
    """
    if not all(settings[axis] for axis in ("models", "variants", "runners", "threads", "delegates", "batch_sizes")):
        raise PlanError(
            "nothing to measure: campaign_models, campaign_variants, campaign_runners, campaign_threads, "
            "campaign_delegates and campaign_batch_sizes must not be empty"
        )
    for delegate in settings["delegates"]:
        _delegate_flags(delegate)
    for axis in ("models", "variants", "runners", "delegates"):
        used = {each[axis.removesuffix("s")] for each in found}
        if unused := [value for value in settings[axis] if value not in used]:
            reads = ", ".join(f"{runner} reads {format_} files" for runner, format_ in FORMATS.items())
            only = "; ".join(f"{runner} also has {', '.join(flags)}" for runner, flags in VARIANT_FLAGS.items())
            delegates = "; ".join(
                f"delegates of {runner}: {', '.join(_delegates(runner))}"
                for runner in dict.fromkeys(settings["runners"])
                if runner in RUNNERS
            )
            raise PlanError(
                f"'{unused[0]}' in campaign_{axis} goes with nothing else that is asked for: {reads}, others {TFLITE} "
                f"files; {only}; {delegates}{_there_are(models)}"
            )


def phases(
    settings: dict[str, Any], members: list[dict[str, Any]], models: Sequence[dict[str, Any]]
) -> list[tuple[str, int, int, list[dict[str, Any]]]]:
    """Return the parts of a plan in their order: phase, block, repetition, and which of the members are in it.

    Args:
        settings: of the campaign.
        members: the combinations that the host measures.
        models: the entries of the model manifest.
    """
    parts = [("measure", block, block, members) for block in range(1, int(settings["max_repetitions"]) + 1)]
    if settings.get("iterations") == "auto":
        parts[:0] = [("pilot", 0, k, members) for k in range(1, int(settings["pilot_runs"]) + 1)]
    if settings.get("op_profiling"):
        parts.append(("profile", 0, 1, [each for each in members if each["runner"] in PROFILING_RUNNERS]))
    if (DEFAULTS | settings)["evaluate"] and (evaluated := _evaluated(members, models)):
        parts.append(("evaluate", 0, 1, evaluated))
    return parts


def _evaluated(members: list[dict[str, Any]], models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the combinations that run one file in one way the first, with the smallest batch; if there are images for it.

    Threads, delegates and the batch size change nothing in what a file says of an image.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in sorted(members, key=lambda each: each["batch_size"]):
        if each["runner"] in EVALUATING_RUNNERS and _held_out(each, models):
            batch_size = None if _wanted(each)[-1] in ANY_BATCH else each["batch_size"]
            found.setdefault((each["model"], each["variant"], each["runner"], each["input_size"], batch_size), each)
    return list(found.values())


def _held_out(asked: dict[str, Any], models: Sequence[dict[str, Any]]) -> str:
    """The file of images that no variant of the model has seen, of the size that a combination takes; '' = none."""
    size = asked["input_size"]
    return next(
        (
            entry["file"]
            for entry in models
            if (entry["model"], entry["variant"]) == (asked["model"], HELD_OUT)
            and size in (None, entry.get("input_size"))
        ),
        "",
    )


def on_host(
    found: Sequence[dict[str, Any]], models: Sequence[dict[str, Any]], target: str | None
) -> list[dict[str, Any]]:
    """Return the combinations that a host measures: those but for which there are only files for other kinds of CPU.

    Args:
        found: combinations of the campaign.
        models: the entries of the model manifest.
        target: what libraries must be compiled for to run on the host; None: it runs none that are for one target.
    """
    return [each for each in found if not (fit := _files_of(each, models)) or any(_is_for(one, target) for one in fit)]


def for_host(models: Sequence[dict[str, Any]], target: str | None) -> list[dict[str, Any]]:
    """Return the entries of the model manifest whose files are for any CPU, or for this target."""
    return [entry for entry in models if _is_for(entry, target)]


def build(
    host: str,
    settings: dict[str, Any],
    models: list[dict[str, Any]],
    seed: int,
    timeout_s: int,
    target: str | None = None,
) -> list[dict]:
    """Return the rows of a host's plan in the order in which they run.

    Args:
        host: its name in the inventory; each host has an order of its own.
        settings: of the campaign: models, variants, runners, threads, delegates, max_repetitions, flags; batch_sizes,
            input_sizes, iterations (fixed), pilot_runs and op_profiling (false) where they are not the defaults.
        models: the entries of the model manifest.
        seed: of the campaign; the same seed and host give the same order.
        timeout_s: the longest that one run may take, in seconds.
        target: what libraries must be compiled for to run on the host; where they are for others only, a combination
            is not in its plan.

    Raises:
        PlanError: there is no file for a combination, something that is asked for goes with nothing else, nothing is
            left for this host, or a word cannot stand in a plan.
    """
    settings = DEFAULTS | settings
    for word in settings["flags"].split():
        if not _FLAG.match(word):
            raise PlanError(f"'{word}' in campaign_flags is not of the form --name=value")
    asked = combinations(settings, models)
    _check_use(settings, asked, models)
    here = on_host(asked, models, target)
    if not here:
        raise PlanError(
            f"nothing to measure on {host}: all files that are asked for are compiled for other CPUs than its own, "
            f"{target or 'of which no target of TVM is known'}{_there_are(models)}"
        )
    own = for_host(models, target)
    rows_of = {_key(each): _configuration(each, _entry(each, own), settings["flags"], int(timeout_s)) for each in here}

    # Each phase draws from an order of its own, so that a pilot does not change the blocks that follow.
    seeds = {"measure": f"{seed}:{host}"}
    orders = {phase: random.Random(seeds.get(phase, f"{seed}:{host}:{phase}")) for phase in _PHASE_FLAGS}
    rows = []
    for phase, block, repetition, members in phases(settings, here, models):
        for each in orders[phase].sample(members, len(members)):
            configuration = rows_of[_key(each)]
            run = _run_name(len(rows) + 1, phase, repetition, configuration)
            flags = _joined(configuration["flags"], _PHASE_FLAGS[phase])
            if phase == "evaluate":
                flags = _joined(flags, f"--evaluate={_held_out(each, models)}")
                configuration = configuration | {"timeout_s": EVALUATION_TIMEOUTS * configuration["timeout_s"]}
            rows.append(
                {"run": run, "block": block, "repetition": repetition, "phase": phase, **configuration, "flags": flags}
            )
    return rows


def _key(asked: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(asked.values())


def _configuration(asked: dict[str, Any], entry: dict[str, Any], flags: str, timeout_s: int) -> dict[str, Any]:
    """The columns of a plan that all runs of a configuration have in common."""
    any_batch = _format(entry) in ANY_BATCH
    return {
        "model": _word("model", asked["model"]),
        "variant": _word("variant", asked["variant"]),
        "runner": _word("runner", asked["runner"]),
        "threads": int(asked["threads"]),
        "delegate": asked["delegate"],
        "batch_size": asked["batch_size"] if any_batch else entry.get("batch_size") or "-",
        "input_size": entry.get("input_size") or "-",
        "timeout_s": timeout_s,
        "least_memory_mb": _least_memory_mb(entry, asked["batch_size"]),
        "model_file": _word("model file", entry["file"]),
        "model_sha256": entry["sha256"],
        "flags": _joined(
            f"--num_threads={int(asked['threads'])}",
            _delegate_flags(asked["delegate"]),
            VARIANT_FLAGS.get(asked["runner"], {}).get(asked["variant"], ""),
            _shape_flags(entry, asked["batch_size"]) if any_batch else "",
            flags,
        ),
    }


def _entry(asked: dict[str, Any], models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The file that a combination runs.

    Raises:
        PlanError: there is none; the message has those that there are.
    """
    if fitting := _files_of(asked, models):
        return fitting[0]
    batch_size, input_size = asked["batch_size"], asked["input_size"]
    batch = f" for batch size {batch_size}" if batch_size != 1 else ""
    size = f" for input size {input_size}" if input_size else ""
    raise PlanError(f"no model file {'.'.join(_wanted(asked))}{batch}{size}{_there_are(models, asked['model'])}")


def _files_of(asked: dict[str, Any], models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that fit a combination: several where files are compiled for one kind of CPU each."""
    batch_size, input_size = asked["batch_size"], asked["input_size"]
    wanted = _wanted(asked)

    def fits(entry: dict[str, Any]) -> bool:
        of_batch, of_size = entry.get("batch_size"), entry.get("input_size")
        return (
            (entry["model"], entry["variant"], _format(entry)) == wanted
            and (of_size == input_size if input_size else not _size_mark(of_size, entry["file"]))
            and (of_batch == batch_size or (of_batch is None and (wanted[-1] in ANY_BATCH or batch_size == 1)))
        )

    return list(filter(fits, models))


def _wanted(asked: dict[str, Any]) -> tuple[str, str, str]:
    """Model, variant and format of the file that a combination runs."""
    runner = asked["runner"]
    return asked["model"], _file_variant(runner, asked["variant"]), FORMATS.get(runner, TFLITE)


def _is_for(entry: dict[str, Any], target: str | None) -> bool:
    return entry.get("target") in (None, target)


def _there_are(models: Sequence[dict[str, Any]], model: str = "") -> str:
    """The files that there are, of this model if there are any; '' if it is not known."""
    files = sorted(entry["file"] for entry in models if entry["model"] == model) or sorted(e["file"] for e in models)
    return f"; there are: {', '.join(files)}" if files else ""


def _format(entry: dict[str, Any]) -> str:
    return entry.get("format") or TFLITE


def _file_variant(runner: str, variant: str) -> str:
    return "float32" if variant in VARIANT_FLAGS.get(runner, {}) else variant


def _size_mark(input_size: int | str | None, file: str) -> str:
    """What a file's name says of the input size; '' = it is the model's own."""
    mark = f".s{input_size}"
    return mark if f"{mark}." in file else ""


def _shape_flags(entry: dict[str, Any], batch_size: int) -> str:
    size = entry.get("input_size")
    if size and entry["format"] == "keras":
        return f"--input_layer=input --input_layer_shape={batch_size},{size},{size},3" if batch_size > 1 else ""
    if size:
        return f"--input_layer=input --input_layer_shape={batch_size},3,{size},{size}"
    if batch_size == 1:
        return ""  # as the file has it
    raise PlanError(
        f"batch size {batch_size} needs the input size of {entry['file']}, which is not known; "
        "give it in the file's name and in campaign_input_sizes, or set campaign_batch_sizes to [1]"
    )


def _least_memory_mb(entry: dict[str, Any], batch_size: int) -> int | str:
    """MB that a run needs at least: the file, and inputs and outputs of the largest operation; '-' = not known."""
    if entry.get("activation_mb") is None or entry.get("size_bytes") is None:
        return "-"
    share = 1 / 4 if entry["variant"] == "int8" else 1  # activation_mb is of float32
    return math.ceil(entry["size_bytes"] / 2**20 + batch_size * entry["activation_mb"] * share)


def _joined(*flags: str) -> str:
    return " ".join(word for word in flags if word)


def _run_name(number: int, phase: str, repetition: int, configuration: dict[str, Any]) -> str:
    delegate, batch_size = configuration["delegate"], configuration["batch_size"]
    sizes = "" if batch_size in ("-", 1) else f".b{batch_size}"
    sizes += _size_mark(configuration["input_size"], configuration["model_file"])
    ending = {"pilot": f"p{repetition:02d}", "measure": f"r{repetition:02d}"}.get(phase, phase)
    return (
        f"{number:04d}_{configuration['model']}.{configuration['variant']}.{configuration['runner']}"
        f".t{configuration['threads']}{'' if delegate == 'default' else '.' + delegate}{sizes}_{ending}"
    )


def to_tsv(rows: list[dict[str, Any]]) -> str:
    """Return the rows as ``plan.tsv``: tab separated, a header line first, ``-`` for an empty value."""
    lines = [COLUMNS, *([str(row[column]) or "-" for column in COLUMNS] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
