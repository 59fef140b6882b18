# Copyright the edgebench developers. Apache-2.0.
"""The order of runs of one host: the plan, and its text form ``plan.tsv``.

A plan is made of blocks. A block holds every configuration once, in an order drawn anew for it, so that slow drift of
the machine meets all configurations alike and a comparison can be paired block by block (randomised complete blocks).
Before the blocks may come a pilot, from which the host chooses the iterations of a process, and after them one run of
each configuration with its operators profiled. Neither is a repetition.
"""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

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
    "model_file",
    "model_sha256",
    "flags",
)

# What each delegate means in benchmark_model's flags; "default" is the runtime's own choice.
DELEGATE_FLAGS = {"default": "", "none": "--use_xnnpack=false", "xnnpack": "--use_xnnpack=true"}

PILOT_FLAGS = "--num_runs=10 --min_secs=0.1"
"""Enough iterations to know their spread, which is all that a pilot is for."""

PROFILING_RUNNERS = ("benchmark_model",)
PROFILE_FLAGS = "--enable_op_profiling=true"

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


def check(settings: dict[str, Any]) -> None:
    """Check what settings say of repetitions and iterations; those that are absent have their defaults.

    Raises:
        PlanError: they contradict each other, or are out of range.
    """
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


def build(host: str, settings: dict[str, Any], models: list[dict[str, Any]], seed: int, timeout_s: int) -> list[dict]:
    """Return the rows of a host's plan in the order in which they run.

    Args:
        host: its name in the inventory; each host has an order of its own.
        settings: of the campaign: models, variants, runners, threads, delegates, max_repetitions, flags; iterations
            (fixed), pilot_runs and op_profiling (false) where they are not the defaults.
        models: the entries of the model manifest.
        seed: of the campaign; the same seed and host give the same order.
        timeout_s: the longest that one run may take, in seconds.

    Raises:
        PlanError: a model variant is not in the manifest, or a word cannot stand in a plan.
    """
    files = {(entry["model"], entry["variant"]): entry for entry in models}
    for word in settings["flags"].split():
        if not _FLAG.match(word):
            raise PlanError(f"'{word}' in campaign_flags is not of the form --name=value")
    configurations = []
    axes = (settings[axis] for axis in ("models", "variants", "runners", "threads", "delegates"))
    for model, variant, runner, threads, delegate in itertools.product(*axes):
        if (entry := files.get((model, variant))) is None:
            known = ", ".join(sorted(map(".".join, files)))
            raise PlanError(f"no model file for {model}.{variant}; there are: {known}")
        flags = (f"--num_threads={int(threads)}", _delegate_flags(delegate), settings["flags"])
        configurations.append(
            {
                "model": _word("model", model),
                "variant": _word("variant", variant),
                "runner": _word("runner", runner),
                "threads": int(threads),
                "delegate": delegate,
                "batch_size": entry.get("batch_size") or "-",
                "input_size": entry.get("input_size") or "-",
                "timeout_s": int(timeout_s),
                "model_file": _word("model file", entry["file"]),
                "model_sha256": entry["sha256"],
                "flags": " ".join(word for word in flags if word),
            }
        )
    if not configurations:
        raise PlanError("nothing to measure: campaign_models, campaign_variants and campaign_runners must not be empty")

    # Each phase draws from an order of its own, so that a pilot does not change the blocks that follow.
    sections = [("measure", block, block, configurations) for block in range(1, int(settings["max_repetitions"]) + 1)]
    if settings.get("iterations") == "auto":
        pilots = [configuration | {"flags": _joined(configuration, PILOT_FLAGS)} for configuration in configurations]
        sections[:0] = [("pilot", 0, k, pilots) for k in range(1, int(settings["pilot_runs"]) + 1)]
    if settings.get("op_profiling"):
        able = [configuration for configuration in configurations if configuration["runner"] in PROFILING_RUNNERS]
        profiles = [configuration | {"flags": _joined(configuration, PROFILE_FLAGS)} for configuration in able]
        sections.append(("profile", 0, 1, profiles))
    seeds = {"pilot": f"{seed}:{host}:pilot", "measure": f"{seed}:{host}", "profile": f"{seed}:{host}:profile"}
    orders = {phase: random.Random(text) for phase, text in seeds.items()}
    rows = []
    for phase, block, repetition, members in sections:
        for configuration in orders[phase].sample(members, len(members)):
            run = _run_name(len(rows) + 1, phase, repetition, configuration)
            rows.append({"run": run, "block": block, "repetition": repetition, "phase": phase, **configuration})
    return rows


def _joined(configuration: dict[str, Any], flags: str) -> str:
    return f"{configuration['flags']} {flags}"


def _run_name(number: int, phase: str, repetition: int, configuration: dict[str, Any]) -> str:
    delegate = configuration["delegate"]
    ending = {"pilot": f"p{repetition:02d}", "measure": f"r{repetition:02d}", "profile": "profile"}[phase]
    return (
        f"{number:04d}_{configuration['model']}.{configuration['variant']}.{configuration['runner']}"
        f".t{configuration['threads']}{'' if delegate == 'default' else '.' + delegate}_{ending}"
    )


def to_tsv(rows: list[dict[str, Any]]) -> str:
    """Return the rows as ``plan.tsv``: tab separated, a header line first, ``-`` for an empty value."""
    lines = [COLUMNS, *([str(row[column]) or "-" for column in COLUMNS] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
