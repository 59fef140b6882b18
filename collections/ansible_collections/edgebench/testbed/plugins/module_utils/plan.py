# Copyright the edgebench developers. Apache-2.0.
"""The order of runs of one host: the plan, and its text form ``plan.tsv``.

A plan is made of blocks. A block holds every configuration once, in an order drawn anew for it, so that slow drift of
the machine meets all configurations alike and a comparison can be paired block by block (randomised complete blocks).
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


def build(host: str, settings: dict[str, Any], models: list[dict[str, Any]], seed: int, timeout_s: int) -> list[dict]:
    """Return the rows of a host's plan in the order in which they run.

    Args:
        host: its name in the inventory; each host has an order of its own.
        settings: of the campaign: models, variants, runners, threads, delegates, max_repetitions, flags.
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

    order = random.Random(f"{seed}:{host}")
    rows = []
    for block in range(1, int(settings["max_repetitions"]) + 1):
        for configuration in order.sample(configurations, len(configurations)):
            run = _run_name(len(rows) + 1, block, configuration)
            rows.append({"run": run, "block": block, "repetition": block, **configuration})
    return rows


def _run_name(number: int, repetition: int, configuration: dict[str, Any]) -> str:
    delegate = configuration["delegate"]
    return (
        f"{number:04d}_{configuration['model']}.{configuration['variant']}.{configuration['runner']}"
        f".t{configuration['threads']}{'' if delegate == 'default' else '.' + delegate}_r{repetition:02d}"
    )


def to_tsv(rows: list[dict[str, Any]]) -> str:
    """Return the rows as ``plan.tsv``: tab separated, a header line first, ``-`` for an empty value."""
    lines = [COLUMNS, *([str(row[column]) or "-" for column in COLUMNS] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
