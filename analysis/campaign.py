"""Directories of raw logs -> one `Dataset`: a table with one row per process execution, and what lies beside it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import layout, logs, sidecar
from analysis.errors import AnalysisError
from analysis.layout import HostLogs
from analysis.logs import FAILED, INVALID, OK, ToolRun

TEXT, INTEGER, NUMBER, LIST = "str", "Int64", "float64", "object"

# The columns of `Dataset.runs`, in order, with their types. The first part is tables/runs.csv of the design.
COLUMNS: dict[str, str] = {
    "campaign": TEXT,
    "host": TEXT,
    "platform": TEXT,
    "arch": TEXT,
    "model": TEXT,
    "variant": TEXT,
    "runner": TEXT,
    "threads": INTEGER,
    "delegate": TEXT,
    "batch_size": INTEGER,
    "input_size": INTEGER,
    "repetition": INTEGER,
    "status": TEXT,
    "reason": TEXT,
    "init_time_ms": NUMBER,
    "init_inference_ms": NUMBER,
    "first_inference_ms": NUMBER,
    "warmup_inference_ms": NUMBER,
    "avg_inference_ms": NUMBER,
    "std_inference_ms": NUMBER,
    "min_inference_ms": NUMBER,
    "max_inference_ms": NUMBER,
    "median_inference_ms": NUMBER,
    "p95_inference_ms": NUMBER,
    "iterations": INTEGER,
    "memory_init_mb": NUMBER,
    "memory_overall_mb": NUMBER,
    "log": TEXT,
    "block": INTEGER,
    "start_utc": TEXT,
    "end_utc": TEXT,
    "duration_s": NUMBER,
    "exit_code": INTEGER,
    "model_size_mb": NUMBER,
    "peak_memory_mb": NUMBER,
    "weights": TEXT,
    "model_sha256": TEXT,
    "runner_version": TEXT,
    "runner_sha256": TEXT,
    "cpu_per_wall": NUMBER,
    "steal_percent": NUMBER,
    "other_cpu_percent": NUMBER,
    "load1_before": NUMBER,
    "temperature_before_c": NUMBER,
    "temperature_after_c": NUMBER,
    "throttled_after": TEXT,
    "governor": TEXT,
    "warnings": TEXT,
    "iteration_wall_us": LIST,
}

# What makes two runs repetitions of the same thing, beside campaign and host.
CONFIGURATION = ("model", "variant", "runner", "threads", "delegate", "batch_size", "input_size")

# What one process execution measures; empty in the rows of failed runs.
METRICS = tuple(name for name in COLUMNS if name.endswith(("_ms", "_mb")) and name != "model_size_mb")


@dataclass(frozen=True)
class Dataset:
    """Everything that was found below the given paths.

    Attributes:
        runs: one row per process execution, columns and types as in `COLUMNS`.
        campaigns: campaign.json by campaign name; {} where there is none.
        hosts: host.json by (campaign, host); {} where there is none.
        plans: plan.tsv by (campaign, host), every value as text; None where there is none.
        problems: one sentence for each thing that is missing or could not be read beside the runs.
    """

    runs: pd.DataFrame
    campaigns: dict[str, dict[str, Any]]
    hosts: dict[tuple[str, str], dict[str, Any]]
    plans: dict[tuple[str, str], pd.DataFrame | None]
    problems: list[str]


def read(paths: Sequence[Path]) -> Dataset:
    """Read every run below the paths; see `analysis.layout` for the accepted layouts.

    Raises AnalysisError for a path that does not exist, two campaigns of one name, or nothing to read at all.
    """
    found, problems = layout.find(paths)
    names = ", ".join(map(str, paths))
    if not any(host.logs for host in found):
        raise AnalysisError(f"{names}: no logs found; {layout.LAYOUT}")
    campaigns: dict[str, dict[str, Any]] = {}
    hosts, plans, rows = {}, {}, []
    for host in found:
        if host.campaign not in campaigns:
            campaigns[host.campaign] = _json(host.directory.parent / "campaign.json", problems)
            problems += _missing_hosts(host, campaigns[host.campaign])
        hosts[host.key] = _json(host.directory / "host.json", problems)
        plans[host.key] = _plan(host.directory / "plan.tsv", problems)
        rows += _rows(host, campaigns[host.campaign], hosts[host.key], plans[host.key], problems)
        problems += _missing(host, campaigns[host.campaign], plans[host.key])
    if not rows:
        raise AnalysisError(f"{names}: none of the files holds a benchmark run; {layout.LAYOUT}")
    return Dataset(_table(rows), campaigns, hosts, plans, problems)


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Columns as `COLUMNS` says; what a row does not have is unknown: '' in text, NA or NaN in numbers."""
    columns = {}
    for name, kind in COLUMNS.items():
        values = [row.get(name) for row in rows]
        if kind == TEXT:
            columns[name] = pd.array([value or "" for value in values], dtype=TEXT)
        elif kind == NUMBER:
            # Dividing printed microseconds leaves noise in the last bits, which would show in tables.
            columns[name] = np.round(np.array(values, dtype=float), 9)
        elif kind == INTEGER:
            columns[name] = pd.array(values, dtype=INTEGER)
        else:
            columns[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(columns)


# --- Rows --------------------------------------------------------------------------------------------------------


def _rows(
    host: HostLogs,
    campaign: Mapping[str, Any],
    machine: Mapping[str, Any],
    plan: pd.DataFrame | None,
    problems: list[str],
) -> Iterator[dict[str, Any]]:
    """One row for each process execution of a host, in the order of the logs' names."""
    planned = {} if plan is None else {row["run"]: _set_values(row) for row in plan.to_dict("records")}
    lookup = _Lookup(campaign, host.host)
    about_host = {
        "campaign": host.campaign,
        "host": host.host,
        "platform": _text(machine.get("platform_label")) or host.host,
        "arch": _text(machine.get("arch")),
    }
    repetitions: Counter[tuple[Any, ...]] = Counter()
    for log in sorted(host.logs, key=lambda log: log.name):
        try:
            runs = logs.parse(_text_of(log.path))
            facts = sidecar.parse(_text_of(log.sidecar)) if log.sidecar else None
        except OSError as error:
            runs, facts = [ToolRun(status=FAILED, reason=f"the log cannot be read ({error.strerror})")], None
        if facts is not None or host.measured_here:
            row = _measured_row(runs, facts, planned.get(log.stem, {}), lookup)
            row.update(about_host, log=log.name)
            yield row
            continue
        if not runs:
            if log.name.endswith(".txt"):
                problems.append(f"{log.name}: no benchmark run in it")
                continue
            runs = [ToolRun(status=FAILED, reason="no benchmark run in the log")]
        for index, run in enumerate(runs, start=1):
            row = _foreign_row(run)
            configuration = tuple(row[name] for name in CONFIGURATION)
            repetitions[configuration] += 1
            name = log.name if index == 1 else f"{log.name}#{index}"
            row.update(about_host, log=name, repetition=repetitions[configuration])
            yield row


def _text_of(path: str) -> str:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return logs.decode(file.read())


def _set_values(row: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if value != "-"}


def _foreign_row(run: ToolRun) -> dict[str, Any]:
    """A run that only its log tells about."""
    model, variant = model_and_variant(run.graph)
    return {
        "model": model,
        "variant": variant,
        "runner": _runner(run, "name") or "benchmark_model",
        "threads": run.threads,
        "delegate": run.delegate,
        "batch_size": run.batch_size,
        "input_size": run.input_size,
        "runner_version": _runner(run, "version"),
        "status": run.status,
        "reason": run.reason,
        "warnings": "; ".join(run.warnings),
        **_measurements(run),
    }


def _measured_row(
    runs: list[ToolRun], facts: Mapping[str, str] | None, planned: Mapping[str, str], lookup: _Lookup
) -> dict[str, Any]:
    """A run of ours: the sidecar says what it was and how it ended, the plan steps in where the sidecar is missing."""
    known = facts if facts is not None and "complete" in facts else {**planned, **(facts or {})}
    status, reason, run = _verdict(runs, facts, known)
    if not known:
        return _foreign_row(run) | {"status": status, "reason": reason}
    model, variant, runner = (known.get(key, "") for key in ("model", "variant", "runner"))
    steal, other = sidecar.cpu_shares(known)
    warnings = list(run.warnings)
    if unfit := known.get("unfit"):
        warnings.append(f"the machine did not become fit to measure: {unfit}")
    row = {
        "model": model,
        "variant": variant,
        "runner": runner,
        "threads": sidecar.integer(known, "threads"),
        "delegate": known.get("delegate", ""),
        "batch_size": sidecar.integer(known, "batch_size"),
        "input_size": sidecar.integer(known, "input_size"),
        "repetition": sidecar.integer(known, "repetition"),
        "status": status,
        "reason": reason,
        "block": sidecar.integer(known, "block"),
        "start_utc": known.get("start_utc"),
        "end_utc": known.get("end_utc"),
        "duration_s": sidecar.duration_s(known),
        "exit_code": sidecar.integer(known, "exit_code"),
        "weights": lookup.weights.get((model, variant)),
        "model_sha256": known.get("model_sha256"),
        "runner_version": known.get("runner_version") or _runner(run, "version") or lookup.runner(runner, "version"),
        "runner_sha256": known.get("runner_sha256") or lookup.runner(runner, "sha256"),
        "steal_percent": steal,
        "other_cpu_percent": other,
        "load1_before": sidecar.number(known, "before.load1"),
        "temperature_before_c": sidecar.number(known, "before.temperature_c"),
        "temperature_after_c": sidecar.number(known, "after.temperature_c"),
        "throttled_after": known.get("after.throttled"),
        "governor": known.get("before.governor"),
        "warnings": "; ".join(warnings),
    }
    if status != FAILED:
        row.update(_measurements(run))
    return row


def _verdict(
    runs: list[ToolRun], facts: Mapping[str, str] | None, known: Mapping[str, str]
) -> tuple[str, str, ToolRun]:
    """Status and reason of one process execution, from its end and its log; and what the log says."""
    if len(runs) == 1:
        run = runs[0]
    else:
        count = f"the log holds {len(runs)} runs, not 1" if runs else "no benchmark run in the log"
        run = ToolRun(status=FAILED, reason=count)
    failure = sidecar.failure(known)
    if failure or run.status == FAILED:
        return FAILED, "; ".join(filter(None, (failure, run.reason if run.status == FAILED else ""))), run
    doubts = [run.reason] if run.reason else []
    doubts += sidecar.doubts(facts) if facts is not None else ["its sidecar is missing, so how it ended is unknown"]
    expected, actual = _file_name(known.get("model_file", "")), _file_name(run.graph)
    if expected and actual and expected != actual:
        doubts.append(f"the log is of '{actual}', but the sidecar says '{expected}'")
    threads = sidecar.integer(known, "threads")
    if None not in (threads, run.threads) and threads != run.threads:
        doubts.append(f"the log is of {run.threads} threads, but the sidecar says {threads}")
    return INVALID if doubts else OK, "; ".join(doubts), run


def _measurements(run: ToolRun) -> dict[str, Any]:
    values = {name: getattr(run, name) for name in _MEASURED}
    wall, cpu = run.edgebench.get("iteration_wall_us"), run.edgebench.get("iteration_cpu_us")
    if wall and run.status != FAILED:
        values["iteration_wall_us"] = wall
        values["cpu_per_wall"] = math.fsum(cpu) / math.fsum(wall) if cpu and math.fsum(wall) > 0 else None
    return values


_MEASURED = (*METRICS, "model_size_mb", "iterations")


def _runner(run: ToolRun, key: str) -> str:
    identity = run.edgebench.get("runner")
    return _text(identity.get(key)) if isinstance(identity, dict) else ""


class _Lookup:
    """What campaign.json knows about models and about one host's runners; tolerant of any JSON."""

    def __init__(self, campaign: Mapping[str, Any], host: str) -> None:
        models = campaign.get("models")
        self.weights = {
            (_text(entry.get("model")), _text(entry.get("variant"))): _text(entry.get("weights"))
            for entry in (models if isinstance(models, list) else [])
            if isinstance(entry, dict)
        }
        self._runners = _dict(_dict(campaign.get("runners")).get(host))

    def runner(self, name: str, key: str) -> str:
        return _text(_dict(self._runners.get(name)).get(key))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# --- Names of models ---------------------------------------------------------------------------------------------

_SUFFIXES = {
    "float32": ("float32", "fp32", "float"),
    "float16": ("float16", "fp16"),
    "dynamic_range": ("dynamic_range_quant", "dynamic_range", "drq", "dynamic", "quantized", "quant"),
    "int8": ("full_integer_quant", "full_integer", "integer_quant", "int8"),
}
_VARIANT_OF = {suffix: variant for variant, suffixes in _SUFFIXES.items() for suffix in suffixes}
_NAME = re.compile(
    rf"(?P<model>.+?)[._-](?P<how>(?:clustered|pruned)_)?(?P<suffix>{'|'.join(_VARIANT_OF)})", re.IGNORECASE
)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


@cache
def model_and_variant(graph: str) -> tuple[str, str]:
    """Model and variant that a model file's name tells: `x/MobileNet_quant.tflite` is MobileNet, dynamic_range.

    A name without a known ending is the float32 model. ('', '') for no name.
    """
    stem = _file_name(graph).removesuffix(".tflite")
    name = _NAME.fullmatch(stem)
    if not name:
        return stem, "float32" if stem else ""
    return name["model"], (name["how"] or "").lower() + _VARIANT_OF[name["suffix"].lower()]


# --- What lies beside the logs -----------------------------------------------------------------------------------


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object; {} if there is no such file or, with a problem noted, if it cannot be read."""
    try:
        content = json.loads(logs.decode(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path}: cannot be read ({error})")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path}: not a JSON object")
        return {}
    return content


def _plan(path: Path, problems: list[str]) -> pd.DataFrame | None:
    """plan.tsv, all columns as text; None if there is none or, with a problem noted, if it cannot be read."""
    try:
        header, *lines = logs.decode(path.read_bytes()).splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror})")
        return None
    except ValueError:
        problems.append(f"{path}: empty")
        return None
    columns, rows = header.split("\t"), [line.split("\t") for line in lines if line]
    if "run" not in columns or any(len(row) != len(columns) for row in rows):
        problems.append(f"{path}: not a plan; expected tab separated columns, one of them 'run'")
        return None
    return pd.DataFrame(rows, columns=columns, dtype=TEXT)


def _missing(host: HostLogs, campaign: Mapping[str, Any], plan: pd.DataFrame | None) -> list[str]:
    """What a host of ours lacks: logs of sidecars, and planned runs that were not free to be left out."""
    found = [f"{name}: a sidecar without a log" for name in host.strays]
    if plan is None or host.partial:
        return found
    settings = _dict(campaign.get("settings"))
    minimum, maximum = settings.get("min_repetitions"), settings.get("max_repetitions")
    wanted = plan
    if isinstance(minimum, int) and isinstance(maximum, int) and minimum < maximum and "repetition" in plan:
        # A configuration that is known well enough leaves the later blocks.
        wanted = plan[pd.to_numeric(plan["repetition"], errors="coerce").fillna(0) <= minimum]
    there = {log.stem for log in host.logs}
    missing = [run for run in wanted["run"] if run not in there]
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        found.append(f"{host.campaign}/{host.host}: {len(missing)} of {len(wanted)} planned runs have no log ({names})")
    return found


def _missing_hosts(one: HostLogs, campaign: Mapping[str, Any]) -> list[str]:
    """Hosts of a campaign, given by one of them, from which nothing came home."""
    hosts = campaign.get("hosts")
    return [
        f"{one.campaign}/{host}: nothing came home from this host"
        for host in (hosts if isinstance(hosts, list) else [])
        if isinstance(host, str) and not layout.was_measured_here(one.directory.parent / host)
    ]
