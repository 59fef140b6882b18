"""Directories of raw logs -> one `Dataset`: a table with one row per process execution, and what lies beside it."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, cached_property
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis import energy, kenning, layout, leases, logs, op_profile, sidecar, stats, usage, validity
from analysis.entries import Entries, whole
from analysis.errors import AnalysisError
from analysis.layout import Found, HostLogs, LogFile, without_collector
from analysis.leases import Lease
from analysis.logs import FAILED, INVALID, OK, ToolRun
from analysis.names import (
    COLUMNS,
    CONFIGURATION,
    DEFAULT_METRIC,
    EVALUATE,
    INTEGER,
    LIST,
    MEASURE,
    METRICS,
    NUMBER,
    OUT_OF_MEMORY,
    PILOT,
    PROFILE,
    TEXT,
    strange_schema,
)
from analysis.quality import Evaluation
from analysis.usage import HostUsages, Usage, Usages

NOTHING_HOME = "nothing has come home"
RunKey = tuple[str, str, str]  # campaign, host, log
Lines = list[dict[str, str]]  # of a host's table, by the names of its columns; '-' is empty


@dataclass(frozen=True)
class Dataset:
    """Everything that was found below the given paths.

    Attributes:
        runs: one row per process execution, columns and types as in `COLUMNS`.
        campaigns: campaign.json by campaign name; {} where there is none.
        hosts: host.json by (campaign, host); {} where there is none.
        plans: the configurations that plan.tsv asks for, by (campaign, host), each once and by the names of
            `CONFIGURATION`, '-' for what it has not; None where there is no plan.
        problems: one sentence for each thing that is missing or could not be read beside the runs.
        unfinished: what has come home, in a few words, of each (campaign, host) from which more is to come.
        notes: what is good to know and wrong with nothing.
        leases: leases.json by (campaign, host), of hosts that were leased; one of which nothing is known stands for a
            file or an entry that cannot be read.
        op_profiles: one row per operator of the runs that were made with op profiling, see `op_profile.frame`.
        iterations, stopping: iterations.tsv and stopping.tsv by (campaign, host), of hosts that decided themselves how
            much to measure.
        idle: idle.tsv by (campaign, host), of hosts that measured what they take with nothing to do.
        energy: how the energy of each run is known whose host said something of a meter, see `energy.Told`.
        evaluations: what the runs classified that say so, by (campaign, host, log).
        usage: what the runs that say so used of the machine over time, by the same.
    """

    runs: pd.DataFrame
    campaigns: dict[str, dict[str, Any]]
    hosts: dict[tuple[str, str], dict[str, Any]]
    plans: dict[tuple[str, str], Lines | None]
    problems: list[str]
    unfinished: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    leases: dict[tuple[str, str], list[Lease]] = field(default_factory=dict)
    op_profiles: pd.DataFrame = field(default_factory=lambda: op_profile.frame([]))
    iterations: dict[tuple[str, str], Lines] = field(default_factory=dict)
    stopping: dict[tuple[str, str], Lines] = field(default_factory=dict)
    idle: dict[tuple[str, str], Lines] = field(default_factory=dict)
    energy: pd.DataFrame = field(default_factory=lambda: energy.frame([]))
    evaluations: dict[RunKey, Evaluation] = field(default_factory=dict)
    usage: Mapping[RunKey, Usage] = field(default_factory=dict)


Spread = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]  # map(), or what does it elsewhere
_NOTHING_KNOWN = dict.fromkeys(COLUMNS)  # in their order, so that what else a row has comes behind them
_CHUNK_LOGS = 2_000  # read at once; the same in every engine, and a fifth of a second's work


def read(paths: Sequence[Path], spread: Spread = map) -> Dataset:
    """Read every run below the paths; see `analysis.layout` for the accepted layouts.

    Raises AnalysisError for a path that does not exist, or nothing to read at all.
    """
    with layout.opened(paths) as found:
        return assemble(found, ", ".join(map(str, paths)), spread)


@without_collector()
def assemble(found: Found, where: str, spread: Spread = map) -> Dataset:
    """Read every run that was found; `where` it was looked for is for messages, `spread` does the reading.

    Raises AnalysisError where there is no run.
    """
    problems = list(found.problems)
    if not any(host.logs for host in found.hosts):
        also = f"; {problems[0]}" if problems else ""
        raise AnalysisError(f"{where}: no logs found{also}; {layout.LAYOUT}")
    campaigns = _Campaigns(found.hosts, problems)
    tables: list[pa.Table] = []
    hosts, plans, leased, profiles, iterations, stopping, idle, told = {}, {}, {}, [], {}, {}, {}, []
    unfinished: dict[tuple[str, str], str] = {}
    evaluations: dict[RunKey, Evaluation] = {}
    usages: dict[tuple[str, str], HostUsages] = {}
    for part in spread(_read_hosts, _chunks([(host, campaigns.of_host[host.key]) for host in found.hosts])):
        tables.append(part.runs)
        hosts |= part.hosts
        plans |= part.plans
        problems += part.problems
        unfinished |= part.unfinished
        leased |= part.leases
        profiles += part.op_profiles
        iterations |= part.iterations
        stopping |= part.stopping
        idle |= part.idle
        told += part.energy
        evaluations |= part.evaluations
        usages |= part.usages
    unfinished |= dict.fromkeys(campaigns.hosts_without_anything(), NOTHING_HOME)
    if not any(map(len, tables)):
        raise AnalysisError(f"{where}: none of the files holds a benchmark run; {layout.LAYOUT}")
    unfinished = {key: unfinished[key] for key in sorted(unfinished)}
    runs = _frame(tables)
    runs["outlier"] = _outliers(runs)
    return Dataset(
        runs=runs,
        campaigns=campaigns.of_name,
        hosts=hosts,
        plans=plans,
        problems=problems,
        unfinished=unfinished,
        notes=[*found.notes, *_of_kenning(runs)],
        leases=leased,
        op_profiles=pd.concat([op_profile.frame([]), *profiles], ignore_index=True),
        iterations=iterations,
        stopping=stopping,
        idle=idle,
        energy=energy.frame(told),
        evaluations=evaluations,
        usage=Usages(usages),
    )


def _of_kenning(runs: pd.DataFrame) -> Iterator[str]:
    """What to know of runs that Kenning measured, one sentence for each host."""
    theirs = runs[runs["runner"].str.startswith(kenning.RUNNER)]
    for (campaign, host), of_host in theirs.groupby(["campaign", "host"], sort=False):
        files = f"{len(of_host)} file{'s' if len(of_host) != 1 else ''} of Kenning's measurements"
        yield (
            f"{campaign}/{host}: {files}: each is one process, so one repetition, and a configuration with one file "
            "has no interval; the first inference is the warm-up and in no mean, while Kenning's own means have it"
        )


def _chunks(hosts: Iterable[tuple[HostLogs, Mapping[str, Any]]]) -> list[list[tuple[HostLogs, Mapping[str, Any]]]]:
    """Hosts in their order, together until they have so many logs; a host is never cut: its repetitions are counted."""
    chunks, room = [], 0
    for host, asked in hosts:
        if room <= 0:
            chunks.append([])
            room = _CHUNK_LOGS
        chunks[-1].append((host, asked))
        room -= len(host.logs)
    return chunks


@dataclass(frozen=True)
class _Part:
    """What a `Dataset` has of some hosts."""

    runs: pa.Table
    hosts: dict[tuple[str, str], dict[str, Any]]
    plans: dict[tuple[str, str], Lines | None]
    problems: list[str]
    unfinished: dict[tuple[str, str], str]
    leases: dict[tuple[str, str], list[Lease]]
    op_profiles: list[pd.DataFrame]
    iterations: dict[tuple[str, str], Lines]
    stopping: dict[tuple[str, str], Lines]
    idle: dict[tuple[str, str], Lines]
    energy: list[energy.Told]
    evaluations: dict[RunKey, Evaluation]
    usages: dict[tuple[str, str], HostUsages]


@without_collector()
def _read_hosts(chunk: Sequence[tuple[HostLogs, Mapping[str, Any]]]) -> _Part:
    """Read some hosts, each with its campaign.json."""
    problems: list[str] = []
    hosts, plans, leased, profiles, iterations, stopping, idle, told = {}, {}, {}, [], {}, {}, {}, []
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    unfinished: dict[tuple[str, str], str] = {}
    evaluations: dict[RunKey, Evaluation] = {}
    usages: dict[tuple[str, str], HostUsages] = {}
    for host, asked in chunk:
        name = f"{host.campaign}/{host.host}"
        hosts[host.key] = _json(host.beside("host.json"), f"{name}/host.json", problems) or {}
        plan = _tsv(host, "plan.tsv", "run", problems)
        plans[host.key] = None if plan is None else _configurations(plan)
        beside = (("iterations.tsv", iterations, "reason"), ("stopping.tsv", stopping, "reason"))
        for file, tables, column in (*beside, ("idle.tsv", idle, "samples")):
            if (table := _tsv(host, file, column, problems)) is not None:
                tables[host.key] = table
        due = None if plan is None else _due(plan, stopping.get(host.key), host.key in iterations)
        found_rows = list(_rows(host, asked, hosts[host.key], plan, problems))
        problems += [*_doubled(name, found_rows), *op_profile.problems(found_rows), *_not_evaluated(found_rows)]
        problems += [*(f"{stray}: a sidecar without a log" for stray in host.strays)]
        if any(row.get("profile") for row in found_rows):
            profiles.append(op_profile.frame(found_rows))
        idle_powers, damaged = energy.idle_powers(idle.get(host.key))
        problems += [f"{name}/idle.tsv: {text}" for text in damaged]
        told += energy.complete(found_rows, idle_powers)
        evaluations |= {(*host.key, row["log"]): row["evaluation"] for row in found_rows if row.get("evaluation")}
        usages[host.key] = {row["log"]: row["usage"] for row in found_rows if row.get("usage")}
        # Host by host: a row as a dictionary is some kB.
        whole_rows = [(_NOTHING_KNOWN | row).values() for row in found_rows]
        for values, of_host in zip(columns.values(), zip(*whole_rows, strict=False), strict=False):
            values += of_host
        if not host.partial:
            there = _originals(host)
            if left := _left(host, due, there):
                unfinished[host.key] = left
            else:
                problems += _missing(name, {} if host.key in stopping else asked, due, there)
            # The cost of a whole host is not that of a few of its logs.
            if served := _leases(host.beside("leases.json"), f"{name}/leases.json", problems):
                leased[host.key] = served
    return _Part(
        *(_table(columns), hosts, plans, problems, unfinished, leased, profiles, iterations, stopping, idle, told),
        *(evaluations, usages),
    )


class _Campaigns:
    """campaign.json of every campaign, which may have been found in several places.

    Attributes:
        of_name: the first one of each campaign; {} where there is none.
        of_host: the one that lies beside each host, else the campaign's.
    """

    _SAME = ("settings", "seed", "models")  # else runs of the two are no repetitions of each other

    def __init__(self, hosts: Sequence[HostLogs], problems: list[str]) -> None:
        self._hosts = hosts
        self._found: dict[Path, tuple[str, str, dict[str, Any]]] = {}  # campaign, place, content
        for host in hosts:
            for directory, place in zip(host.directories, host.places, strict=True):
                path = directory.parent / "campaign.json"
                if path not in self._found:
                    content = _json(path, f"{host.campaign}/campaign.json", problems) or {}
                    self._found[path] = (host.campaign, place, content)
        self.of_name: dict[str, dict[str, Any]] = {host.campaign: {} for host in hosts}
        places: dict[str, str] = {}
        for name, place, content in self._found.values():
            if content and not self.of_name[name]:
                self.of_name[name], places[name] = content, place
            differing = [key for key in self._SAME if content and content.get(key) != self.of_name[name].get(key)]
            if differing:
                problems.append(
                    f"{name}: the campaign.json of {place} and that of {places[name]} differ in "
                    f"{', '.join(differing)}: two campaigns of one name; rename one of the directories"
                )
        self.of_host = {host.key: self._beside(host) or self.of_name[host.campaign] for host in hosts}

    def _beside(self, host: HostLogs) -> dict[str, Any]:
        contents = (self._found[directory.parent / "campaign.json"][2] for directory in host.directories)
        return next(filter(None, contents), {})

    def hosts_without_anything(self) -> Iterator[tuple[str, str]]:
        """Hosts that a campaign.json names and from which nothing came home, wherever one looks."""
        known = {host.key for host in self._hosts}
        parents = {(host.campaign, directory.parent) for host in self._hosts for directory in host.directories}
        for name, _, content in self._found.values():
            hosts = content.get("hosts")
            for host in hosts if isinstance(hosts, list) else []:
                if not isinstance(host, str) or (name, host) in known:
                    continue
                # Where only a part of a campaign was asked for, its other hosts lie beside it.
                if not any(layout.was_measured_here(p / host) for campaign, p in parents if campaign == name):
                    yield name, host


_ARROW = {TEXT: pa.large_string(), INTEGER: pa.int64(), NUMBER: pa.float64(), LIST: pa.list_(pa.float64())}
_PANDAS = {_ARROW[TEXT]: pd.StringDtype(na_value=math.nan), _ARROW[INTEGER]: pd.Int64Dtype()}


def _table(columns: Mapping[str, list[Any]]) -> pa.Table:
    """From the values of `COLUMNS`; None is unknown: '' in text, NaN in numbers.

    Arrow's tables are small, and quick to send between processes and to join.
    """
    arrays = {}
    for name, values in columns.items():
        kind = COLUMNS[name]
        if kind == LIST:
            values = [value and list(map(float, value)) for value in values]
        array = pa.array(values, _ARROW[kind])  # takes a third of the time that numpy takes for a None
        if kind == TEXT:
            array = array.fill_null("")
        elif kind == NUMBER:
            # Dividing printed microseconds leaves noise in the last bits, which would show in tables.
            array = pa.array(np.round(array.to_numpy(zero_copy_only=False), 9), from_pandas=False)
        arrays[name] = array
    return pa.table(arrays)


def _frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """The tables below each other; columns and types as `COLUMNS` says."""
    joined = pa.concat_tables(tables)
    frame = joined.drop_columns(_LISTS).to_pandas(types_mapper=_PANDAS.get)
    return frame.assign(**{name: pd.Series(joined[name].to_pylist(), dtype=object) for name in _LISTS})


_LISTS = [name for name, kind in COLUMNS.items() if kind == LIST]  # the last columns


def _outliers(runs: pd.DataFrame) -> pd.Series:
    """'high' or 'low' where a repetition lies beyond its configuration's fences: shown to people, never left out."""
    ok = runs[runs["status"] == OK]
    grouped = ok.groupby(["campaign", "host", *CONFIGURATION], dropna=False, sort=False)[DEFAULT_METRIC]
    quartiles = (grouped.transform("quantile", share) for share in (0.25, 0.75))
    low, high = stats.fences(*quartiles, grouped.transform("count"))
    found = pd.Series("", index=runs.index, dtype=TEXT)
    found[ok.index[ok[DEFAULT_METRIC] < low]] = "low"
    found[ok.index[ok[DEFAULT_METRIC] > high]] = "high"
    return found


# --- Rows --------------------------------------------------------------------------------------------------------


def _rows(
    host: HostLogs,
    campaign: Mapping[str, Any],
    machine: Mapping[str, Any],
    plan: Lines | None,
    problems: list[str],
) -> Iterator[dict[str, Any]]:
    """One row for each process execution of a host, in the order of its logs; what it has not is unknown."""
    planned = _Planned(plan)
    lookup = _Lookup(campaign, host.host)
    about_host = {
        "campaign": host.campaign,
        "host": host.host,
        "platform": _text(machine.get("platform_label")) or host.host,
        "arch": _text(machine.get("arch")),
    }
    repetitions: Counter[tuple[Any, ...]] = Counter()
    for log, runs, facts in _contents([log for log in host.logs if not log.path.endswith(layout.MEASUREMENTS)]):
        if facts is not None or host.measured_here:
            row = _measured_row(log, runs, facts, planned, lookup)
            row.update(about_host, log=log.name, **_per_image(row))
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
            row.update(about_host, log=name, repetition=repetitions[configuration], **_per_image(row))
            yield row
    for log in host.logs:
        if log.path.endswith(layout.MEASUREMENTS) and (row := _kenning_row(log, problems)):
            configuration = tuple(row[name] for name in CONFIGURATION)
            repetitions[configuration] += 1
            row.update(about_host, log=log.name, repetition=repetitions[configuration], **_per_image(row))
            yield row


_BATCH_LOGS = 128


def _contents(files: Sequence[LogFile]) -> Iterator[tuple[LogFile, list[ToolRun], dict[str, str] | None]]:
    """What the logs and their sidecars say; None where there is no sidecar.

    Each step is done for a batch before the next one: this takes a quarter less time than log by log, since the
    processor's caches hold one step's code and not that of all.
    """
    for start in range(0, len(files), _BATCH_LOGS):
        batch = files[start : start + _BATCH_LOGS]
        texts = [_texts_of(log) for log in batch]
        runs = [[_unreadable(text)] if isinstance(text, OSError) else logs.parse(text) for text, _ in texts]
        facts = sidecar.parse_all(text for _, text in texts)
        yield from zip(batch, runs, facts, strict=True)


def _texts_of(log: LogFile) -> tuple[str | OSError, str | None]:
    try:
        return _text_of(log.path), _text_of(log.sidecar) if log.has_sidecar else None
    except OSError as error:
        return error, None


def _unreadable(error: OSError) -> ToolRun:
    return ToolRun(status=FAILED, reason=f"the log cannot be read ({error.strerror})")


_RETRY = re.compile(r"\.retry([1-9][0-9]{0,3})$")


class _Planned:
    """The lines of a plan by run, read only when one is asked for: whole sidecars say it all themselves."""

    def __init__(self, plan: Lines | None) -> None:
        self._plan = plan or []

    @cached_property
    def _lines(self) -> dict[str, dict[str, str]]:
        return {line["run"]: {key: value for key, value in line.items() if value != "-"} for line in self._plan}

    def line(self, stem: str) -> dict[str, str]:
        """What the plan says of a run; of a repeat, what it says of the original. {} if it does not know it."""
        if stem in self._lines:
            return self._lines[stem]
        repeat = _RETRY.search(stem)
        line = self._lines.get(stem[: repeat.start()]) if repeat else None
        return line | {"retry": repeat[1]} if line else {}


def _not_evaluated(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each run that was to classify images and did not: it is in no count of failed repetitions."""
    without = (row for row in rows if row["phase"] == EVALUATE and not row.get("evaluation"))
    return [f"{row['log']}: classified nothing: {row['reason'] or _NO_EVALUATION}" for row in without]


_NO_EVALUATION = "its log has no line 'EDGEBENCH evaluation'"


_PAIR = itemgetter("block", *CONFIGURATION)


def _doubled(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Make a second ok run of one configuration in one block invalid: blocks are pairs, and a pair has one of each."""
    first: dict[tuple[Any, ...], str] = {}
    problems = []
    for row in rows:
        if row["status"] != OK or row.get("block") is None:
            continue
        key = _PAIR(row)
        if key in first:
            row |= {"status": INVALID, "reason": f"block {row['block']} has an ok run of this already: {first[key]}"}
            problems.append(f"{name}: {row['log']} is a second ok run of what {first[key]} is; the first is used")
        else:
            first[key] = row["log"]
    return problems


def _text_of(path: str) -> str:
    # One call that reads and none that asks how large it is: open() and read() take twice as long for a small file.
    descriptor = os.open(path, _READ)
    blocks = []
    try:
        while not blocks or len(blocks[-1]) == _BLOCK_BYTES:  # a shorter one is the last
            blocks.append(os.read(descriptor, _BLOCK_BYTES))
    finally:
        os.close(descriptor)
    return logs.decode(b"".join(blocks))  # of a single one that is no copy


_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_BLOCK_BYTES = 65_536


def _foreign_row(run: ToolRun) -> dict[str, Any]:
    """A run that only its log tells about."""
    model, variant = model_and_variant(run.graph)
    phase = PROFILE if run.profile else EVALUATE if run.evaluation else MEASURE
    status, reason = _of_phase(phase, *_judged(run, validity.doubts(run, {})))
    return {
        "model": model,
        "variant": variant,
        "runner": _runner(run, "name") or "benchmark_model",
        "threads": run.threads,
        "delegate": run.delegate,
        "batch_size": run.batch_size,
        "input_size": run.input_size,
        "runner_version": _runner(run, "version"),
        "status": status,
        "reason": reason,
        "phase": phase,
        "warnings": "; ".join(run.warnings),
        "evaluation": run.evaluation,
        "delegation": run.delegation,
        "delegated_nodes": run.delegated_nodes,
        "graph_nodes": run.graph_nodes,
        **_how(run),
        **_measurements(run),
    }


def _kenning_row(log: LogFile, problems: list[str]) -> dict[str, Any] | None:
    """A run that Kenning measured; None, with a problem noted, where the file does not hold one."""
    try:
        found = kenning.parse(_text_of(log.path), log.stem)
    except OSError as error:
        return _foreign_row(_unreadable(error))
    except kenning.NotMeasurementsError as error:
        problems.append(f"{log.name}: {error}")
        return None
    names = ("model", "variant", "weights", "evaluation", "usage")
    return _foreign_row(found.run) | {name: getattr(found, name) for name in names}


def _measured_row(
    log: LogFile, runs: list[ToolRun], facts: Mapping[str, str] | None, planned: _Planned, lookup: _Lookup
) -> dict[str, Any]:
    """A run of ours: the sidecar says what it was and how it ended, the plan steps in where the sidecar is missing."""
    known = facts if facts is not None and "complete" in facts else planned.line(log.stem) | (facts or {})
    status, reason, run = _verdict(runs, facts, known)
    if not known:
        return _foreign_row(run) | {"status": status, "reason": reason}
    model, variant, runner = known.get("model", ""), known.get("variant", ""), known.get("runner", "")
    phase = known.get("phase", MEASURE)
    if run.profile and phase == MEASURE:
        phase = PROFILE  # asked for by the campaign's flags, not by the plan
    elif run.evaluation:
        phase = EVALUATE
    status, reason = _of_phase(phase, status, reason)
    steal, other = sidecar.cpu_shares(known)
    warnings = list(run.warnings)
    if unfit := known.get("unfit"):
        warnings.append(f"the machine did not become fit to measure: {unfit}")
    batch_size, input_size = sidecar.integer(known, "batch_size"), sidecar.integer(known, "input_size")
    entry = lookup.entries.of(known.get("model_sha256", ""), model, variant, runner, batch_size, input_size)
    row = {
        "model": model,
        "variant": variant,
        "runner": runner,
        "threads": sidecar.integer(known, "threads"),
        "delegate": known.get("delegate", ""),
        "batch_size": batch_size,
        "input_size": input_size,
        "repetition": sidecar.integer(known, "repetition"),
        "status": status,
        "reason": reason,
        "block": sidecar.integer(known, "block"),
        "start_utc": known.get("start_utc"),
        "end_utc": known.get("end_utc"),
        "duration_s": sidecar.duration_s(known),
        "exit_code": sidecar.integer(known, "exit_code"),
        "weights": _text(entry.get("weights")),
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
        "cpu_mhz_before": sidecar.number(known, "before.cpu_mhz"),
        "cpu_mhz_after": sidecar.number(known, "after.cpu_mhz"),
        "turbo": known.get("before.turbo"),
        "thermal_throttle_events": sidecar.rise(known, "thermal_throttle_count"),
        "swapped_pages": sidecar.rise(known, "pages_swapped"),
        "waited_s": sidecar.number(known, "waited_s"),
        "control": sidecar.control(known),
        "retry": sidecar.integer(known, "retry"),
        "phase": phase,
        "macs": whole(entry.get("macs")),
        "usage": usage.samples(known),
        "delegation": run.delegation,
        "delegated_nodes": run.delegated_nodes,
        "graph_nodes": run.graph_nodes,
        **_how(run),
        **sidecar.phone(known),
    }
    if status != FAILED:
        row.update(_measurements(run), evaluation=run.evaluation)
    if "energy.meter" in known:
        row["energy"] = energy.of_run(known, run if status != FAILED else None)
    return row


def _per_image(row: Mapping[str, Any]) -> dict[str, float]:
    """Time of one image, and images in a second, of a run whose batch size is known; {} where they are not."""
    batch, ms = row.get("batch_size"), row.get("avg_inference_ms")
    return {"latency_per_image_ms": ms / batch, "images_per_s": 1e3 * batch / ms} if batch and ms else {}


_NO_REPETITION = {
    PILOT: "it chose the number of iterations, and is no repetition",
    PROFILE: "measured with operator profiling on, and is no repetition",
}


def _of_phase(phase: str, status: str, reason: str) -> tuple[str, str]:
    """Status and reason of a run that may be no repetition; what its times are no good for is never ok."""
    if phase not in _NO_REPETITION or status == FAILED:
        return status, reason
    return INVALID, f"{phase}: {reason or _NO_REPETITION[phase]}"


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
        reasons = filter(None, (failure, run.reason if run.status == FAILED else ""))
        # What the runner says of memory tells more than its exit code.
        return FAILED, "; ".join(sorted(reasons, key=lambda reason: not reason.startswith(OUT_OF_MEMORY))), run
    doubts = sidecar.doubts(facts) if facts is not None else ["its sidecar is missing, so how it ended is unknown"]
    return *_judged(run, [*doubts, *validity.doubts(run, known)]), run


def _judged(run: ToolRun, doubts: list[str]) -> tuple[str, str]:
    """Status and reason of a run, from what its log says of itself and what else speaks against it."""
    if run.status == FAILED:
        return FAILED, run.reason
    reasons = [run.reason, *doubts] if run.reason else doubts
    return INVALID if reasons else OK, "; ".join(reasons)


def _how(run: ToolRun) -> dict[str, Any]:
    """What a runner says of how it computes: by which call, for which CPU, in which type, how tuned."""
    identity = run.edgebench.get("runner")
    if not isinstance(identity, dict) or _HOW.isdisjoint(identity):
        return {}
    kernels = {name: identity.get(name) for name in ("kernels", "tuned_kernels")}
    return {
        **{name: _text(identity.get(name)) for name in ("call", "target", "arithmetic")},
        **{name: n if type(n) is int and 0 <= n < 10**9 else None for name, n in kernels.items()},
    }


_HOW = frozenset(("call", "target", "arithmetic", "kernels", "tuned_kernels"))


def _measurements(run: ToolRun) -> dict[str, Any]:
    values = dict(zip(_MEASURED, _values(run), strict=True))
    wall = run.edgebench.get("iteration_wall_us")
    if wall and run.status != FAILED:
        values["iteration_wall_us"] = wall
        values["cpu_per_wall"] = validity.cpu_per_wall(run)
    return values


_MEASURED = tuple(
    name for name in (*METRICS, "model_size_mb", "iterations", "profile") if name in ToolRun.__dataclass_fields__
)
_values = attrgetter(*_MEASURED)


def _runner(run: ToolRun, key: str) -> str:
    identity = run.edgebench.get("runner")
    return _text(identity.get(key)) if isinstance(identity, dict) else ""


class _Lookup:
    """What campaign.json knows about models and about one host's runners; tolerant of any JSON."""

    def __init__(self, campaign: Mapping[str, Any], host: str) -> None:
        self.entries = Entries(campaign.get("models"))
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


@cache
def model_and_variant(graph: str) -> tuple[str, str]:
    """Model and variant that a model file's name tells: `x/MobileNet_quant.tflite` is MobileNet, dynamic_range.

    A name without a known ending is the float32 model. ('', '') for no name.
    """
    stem = validity.file_name(graph).removesuffix(".tflite")
    name = _NAME.fullmatch(stem)
    if not name:
        return stem, "float32" if stem else ""
    return name["model"], (name["how"] or "").lower() + _VARIANT_OF[name["suffix"].lower()]


# --- What lies beside the logs -----------------------------------------------------------------------------------


def _json(path: Path, name: str, problems: list[str], kind: type = dict) -> Any:
    """A JSON object or list; an empty one if there is no such file; None, with a problem noted, if it is damaged."""
    try:
        content = json.loads(logs.decode(path.read_bytes()))
    except FileNotFoundError:
        return kind()
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{name}: cannot be read ({error})")
        return None
    if not isinstance(content, kind):
        problems.append(f"{name}: not a JSON {'list' if kind is list else 'object'}")
        return None
    if isinstance(content, dict) and (strange := strange_schema(content.get("schema"))):
        problems.append(f"{name}: {strange}")
    return content


def _leases(path: Path, name: str, problems: list[str]) -> list[Lease]:
    """leases.json; what cannot be read of it is, with a problem noted, a lease of which nothing is known."""
    entries = _json(path, name, problems, list)
    if entries is None:
        return [Lease()]
    found = []
    for number, entry in enumerate(entries, start=1):
        try:
            found.append(leases.parse(entry))
        except ValueError as error:
            problems.append(f"{name}: entry {number}: {error}")
            found.append(Lease())
    return found


def _tsv(host: HostLogs, file: str, column: str, problems: list[str]) -> Lines | None:
    """A table of a host; None if there is none or, with a problem noted, if it cannot be read.

    `column` is one that it must have.
    """
    name = f"{host.campaign}/{host.host}/{file}"
    try:
        header, *lines = logs.decode(host.beside(file).read_bytes()).splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{name}: cannot be read ({error.strerror})")
        return None
    except ValueError:
        problems.append(f"{name}: empty")
        return None
    columns, rows = header.split("\t"), [line.split("\t") for line in lines if line]
    if column not in columns or any(len(row) != len(columns) for row in rows):
        kind = {"plan.tsv": "a plan"}.get(file, "the kit's table")
        problems.append(f"{name}: not {kind}; expected tab separated columns, one of them '{column}'")
        return None
    return [dict(zip(columns, row, strict=True)) for row in rows]


_SETTING = itemgetter(*CONFIGURATION)


def _configurations(plan: Lines) -> Lines:
    """What a plan asks for, each once and in its order; `Dataset.plans` has no more, since a whole plan is large."""
    unknown = dict.fromkeys(set(CONFIGURATION).difference(*plan[:1]), "-")  # to the kit that made the plan
    asked = dict.fromkeys(map(_SETTING, [line | unknown for line in plan] if unknown else plan))
    return [dict(zip(CONFIGURATION, configuration, strict=True)) for configuration in asked]


def _due(plan: Lines, stopping: Lines | None, piloted: bool) -> Lines:
    """The lines of a plan that are to be measured: those of a configuration end at the block after which it left.

    `piloted`: iterations were chosen; a host that cannot choose (it has no awk) makes no pilot runs.
    """
    if not piloted:
        plan = [line for line in plan if line.get("phase") != PILOT]
    if not (plan and stopping and {"block", *CONFIGURATION} <= plan[0].keys() & stopping[0].keys()):
        return plan
    last = {_SETTING(line): sidecar.number(line, "block") or 0 for line in stopping}
    # Pilot and profile runs have block 0: they are due, whoever left, but for what does not fit in memory.
    too_big = {_SETTING(line) for line in stopping if line["reason"] == OUT_OF_MEMORY}
    return [
        line
        for line in plan
        if (sidecar.number(line, "block") or 0) <= last.get(_SETTING(line), math.inf)
        and (line.get("phase", MEASURE) == MEASURE or _SETTING(line) not in too_big)
    ]


def _left(host: HostLogs, plan: Lines | None, there: Set[str]) -> str:
    """What has come home of a host that is not through its plan; '' if it is, or has no plan and some log."""
    if not host.measured_here or host.beside("DONE").is_file():
        return ""
    if plan is None:
        return "" if host.logs else "no run has come home"
    done = len({line["run"] for line in plan} & there)
    return f"{done} of {len(plan)} runs" if done < len(plan) else ""


def _originals(host: HostLogs) -> set[str]:
    """What the plan calls the runs that are there."""
    return {_RETRY.sub("", stem) if ".retry" in stem else stem for stem in (log.stem for log in host.logs)}


def _missing(name: str, campaign: Mapping[str, Any], plan: Lines | None, there: Set[str]) -> list[str]:
    """What lacks of a host that is through its plan: runs that were not free to be left out."""
    if plan is None:
        return []
    settings = _dict(campaign.get("settings"))
    minimum, maximum = settings.get("min_repetitions"), settings.get("max_repetitions")
    wanted = plan
    if isinstance(minimum, int) and isinstance(maximum, int) and minimum < maximum:
        # A configuration that is known well enough leaves the later blocks.
        wanted = [line for line in plan if (sidecar.number(line, "repetition") or 0) <= minimum]
    missing = [line["run"] for line in wanted if line["run"] not in there]
    if not missing:
        return []
    runs = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return [f"{name}: {len(missing)} of {len(wanted)} planned runs have no log ({runs})"]
