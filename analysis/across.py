"""Tables across machines, and over threads, iterations and the course of a campaign. Pure.

Times of two machines are compared only if model file, weights and runner version are the same and, on one
architecture, the runner's binary: else the comparison is refused and says what differs. What machines rightly differ in
(the binary of another architecture, governor, turbo, what was set for the runs) or what is not known is said beside the
number.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis import isa, stats
from analysis.entries import whole
from analysis.names import OUT_OF_MEMORY
from analysis.study import (
    SAME_ON_BOTH_SIDES,
    SETTING,
    Cell,
    Machine,
    Setting,
    Study,
    model_key,
    setting_key,
    variant_key,
)
from analysis.tables import cell_columns, cut, differing, places

MANY = 30  # machines; with more, charts show groups of machines, and each machine has a page of its own

FASTEST = "fastest"  # the verdict of the machine that the others are compared with
_MUST_AGREE = ("weights", "runner_version")
_MAY_DIFFER = ("governor", "turbo", "control")


# --- what may be compared ---------------------------------------------------------------------------------------------


class Differences(NamedTuple):
    """In what some cells were not measured alike: what forbids to compare their times, and what has to be said."""

    forbidding: str
    worth_saying: str


def differences(study: Study, cells: Iterable[Cell]) -> Differences:
    """In what cells on several machines differ; their settings are taken to be the same, their models need not be."""
    known: dict[str, set[str]] = defaultdict(set)
    files: dict[str, set[str]] = defaultdict(set)  # by model and variant
    binaries: dict[str, set[str]] = defaultdict(set)  # by architecture
    unknown = set()
    for cell in cells:
        facts = {name: set(study.known([cell], name)) for name in ("model_sha256", *SAME_ON_BOTH_SIDES)}
        arch = (study.dataset.hosts.get(cell.machine) or {}).get("arch")
        files[f"{cell.model} {cell.variant}"] |= facts["model_sha256"]
        binaries[arch if isinstance(arch, str) else "an unknown architecture"] |= facts["runner_sha256"]
        for name, values in facts.items():
            known[name] |= values
        unknown |= {name for name in ("model_sha256", "runner_sha256", *_MUST_AGREE) if not facts[name]}
        unknown |= {"threads"} if cell.setting.threads is None else set()

    def several(values_of: Mapping[str, set[str]]) -> list[str]:
        return sorted(name for name, values in values_of.items() if len(values) > 1)

    forbidding = differing({name: known[name] for name in _MUST_AGREE})
    if changed := several(files):
        forbidding.append(f"model file differs: {', '.join(changed)}")
    if mixed := several(binaries):
        forbidding.append(f"runner_sha256 differs on {', '.join(mixed)}")
    saying = differing({name: known[name] for name in _MAY_DIFFER})
    if len(known["runner_sha256"]) > 1 and not mixed:
        saying.append("another binary for each architecture")
    if unknown:
        saying.append(f"not known to be the same: {', '.join(sorted(unknown))}")
    return Differences("; ".join(forbidding), "; ".join(saying))


def ratio(study: Study, metric: str, baseline: Cell, candidate: Cell) -> stats.Speedup:
    """The time of a cell on one machine over that of a cell on another: independent samples, whatever their blocks.

    Raises:
        ValueError: there is nothing to divide, or no interval; the message says why.
    """
    sides = [study.sample(cell, metric) for cell in (baseline, candidate)]
    max_df = study.max_df(baseline.machine.campaign, candidate.machine.campaign)
    found = stats.speedup(*(replace(side, blocks=[None] * len(side.values)) for side in sides), max_df)
    if math.isnan(found.ci_low):
        raise ValueError(f"n = {found.n_baseline} and {found.n_candidate}; an interval needs 2 repetitions of each")
    return found


def absence(study: Study, cell: Cell) -> str:
    """Why a cell has no number, in a word or two."""
    if study.n(cell, "ok"):
        return "not reported"
    if cell in study.out_of_memory:
        return OUT_OF_MEMORY
    if cell in study.fell_back:
        return "fell back"
    return " / ".join(status for status in ("invalid", "failed") if study.n(cell, status)) or "no run"


# --- tables/across.csv ------------------------------------------------------------------------------------------------


def across(study: Study, summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """tables/across.csv: a row per configuration and machine, with its mean time (ms) and how fast that is.

    `relative_speed` is the fastest machine's mean time / this one's: 1 for the fastest, below 1 for all others. The
    fastest is that of the largest set of machines that may be compared with each other; to choose it by what was
    measured flatters it a little. p_holm is corrected over the machines of one configuration.
    """
    of_cell = means_of(study, summary, metric)
    groups = isa.groups(study)
    order = {machine: i for i, machine in enumerate(groups)}
    alike: dict[tuple, list[Cell]] = defaultdict(list)
    for cell in study.cells:
        alike[setting_key(cell.setting), model_key(cell.model), variant_key(cell.variant)].append(cell)
    cells, rows = [], []
    for key in sorted(alike):
        mine = sorted(alike[key], key=lambda cell: order[cell.machine])
        reference = _reference(study, [cell for cell in mine if not math.isnan(of_cell[cell][1])], of_cell)
        found = [_against(study, metric, cell, reference) for cell in mine]
        for row, p_holm in zip(found, stats.holm([row["p_value"] for row in found]), strict=True):
            verdict = row["verdict"] or stats.verdict(row["ci_low"], row["ci_high"], p_holm)
            rows.append(row | {"p_holm": p_holm, "verdict": verdict})
        cells += mine
    table = cell_columns(study, cells)
    table.insert(3, "group", [groups[cell.machine].label for cell in cells])
    means = pd.DataFrame(
        [of_cell[cell] for cell in cells], columns=["n", "mean_ms", "mean_ci_low_ms", "mean_ci_high_ms"]
    )
    columns = ("reference", "relative_speed", "ci_low", "ci_high", "p_value", "p_holm", "verdict", "reason", "remark")
    compared = pd.DataFrame(rows, columns=list(columns))
    return pd.concat([table.assign(metric=metric), means.astype({"n": int}), compared], axis=1)


def means_of(study: Study, summary: pd.DataFrame, metric: str) -> dict[Cell, tuple[float, float, float, float]]:
    """n, mean and its interval of every cell, from `tables.summary`."""
    mine = summary[summary["metric"] == metric]
    return dict(zip(study.cells, mine[["n_ok", "mean", "ci_low", "ci_high"]].itertuples(index=False), strict=True))


def _reference(study: Study, cells: Sequence[Cell], of_cell: Mapping[Cell, tuple]) -> Cell | None:
    """The fastest of the largest set of cells that agree in what must agree; None if there are no cells."""
    sets: dict[tuple, list[Cell]] = defaultdict(list)
    for cell in cells:
        sets[tuple(tuple(study.known([cell], name)) for name in (*_MUST_AGREE, "model_sha256"))].append(cell)
    fastest = [(-len(alike), min(alike, key=lambda cell: of_cell[cell][1])) for alike in sets.values()]
    return min(fastest, key=lambda found: (found[0], of_cell[found[1]][1]))[1] if fastest else None


_NOTHING = {"reference": "", "relative_speed": math.nan, "ci_low": math.nan, "ci_high": math.nan, "p_value": math.nan}


def _against(study: Study, metric: str, cell: Cell, reference: Cell | None) -> dict[str, str | float]:
    """The columns of a comparison with the fastest; verdict '' = to be judged by the numbers."""
    row = _NOTHING | {"verdict": "", "reason": "", "remark": ""}
    if reference is None or not study.sample(cell, metric).values:
        return row | {"verdict": stats.MISSING, "reason": absence(study, cell)}
    if cell == reference:
        return row | {"reference": study.host_name(cell.machine), "relative_speed": 1.0, "verdict": FASTEST}
    row["reference"] = study.host_name(reference.machine)
    forbidding, row["remark"] = differences(study, [reference, cell])
    if forbidding:
        return row | {"verdict": stats.NOT_COMPARABLE, "reason": forbidding}
    try:
        found = ratio(study, metric, reference, cell)
    except ValueError as exc:
        return row | {"verdict": stats.NOT_COMPARABLE, "reason": str(exc)}
    return row | {
        "relative_speed": found.speedup,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p_value": found.p_value,
    }


# --- tables/threads.csv -----------------------------------------------------------------------------------------------


def threads(study: Study, summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """tables/threads.csv: of each configuration that was run with several thread counts, a row for each.

    `speedup` is the mean time (ms) with the fewest threads, `baseline_threads`, / the mean time with `threads`, with
    its interval (paired by block where the plan did); `efficiency` is the speedup / the number of times more threads.
    """
    of_cell = means_of(study, summary, metric)
    alike: dict[Cell, list[Cell]] = defaultdict(list)
    for cell in study.cells:
        if cell.setting.threads:
            alike[cell._replace(setting=cell.setting._replace(threads=None))].append(cell)
    rows, cells = [], []
    for swept in alike.values():
        swept = sorted(swept, key=lambda cell: cell.setting.threads)
        if len(swept) < 2:
            continue
        for cell in swept:
            rows.append(_scaled(study, metric, swept[0], cell))
            cells.append(cell)
    means = pd.DataFrame(
        [of_cell[cell] for cell in cells], columns=["n", "mean_ms", "mean_ci_low_ms", "mean_ci_high_ms"]
    )
    columns = ("baseline_threads", "speedup", "ci_low", "ci_high", "efficiency", "reason")
    compared = pd.DataFrame(rows, columns=list(columns))
    return pd.concat([cell_columns(study, cells).assign(metric=metric), means.astype({"n": int}), compared], axis=1)


def _scaled(study: Study, metric: str, fewest: Cell, cell: Cell) -> dict[str, str | float]:
    row = {"baseline_threads": fewest.setting.threads, "reason": ""}
    if cell == fewest and study.sample(cell, metric).values:
        return row | {"speedup": 1.0, "efficiency": 1.0}
    facts = {name: study.known([fewest, cell], name) for name in (*SAME_ON_BOTH_SIDES, "model_sha256")}
    absent = [absence(study, side) for side in (fewest, cell) if not study.sample(side, metric).values]
    if reasons := [*dict.fromkeys(absent), *differing(facts)]:
        return row | {"reason": "; ".join(reasons)}
    try:
        max_df = study.max_df(cell.machine.campaign)
        found = stats.speedup(study.sample(fewest, metric), study.sample(cell, metric), max_df)
    except ValueError as exc:
        return row | {"reason": str(exc)}
    times = cell.setting.threads / fewest.setting.threads
    return row | {
        "speedup": found.speedup,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "efficiency": found.speedup / times,
    }


# --- tables/memory_and_size.csv ---------------------------------------------------------------------------------------


def memory_and_size(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """tables/memory_and_size.csv: a row per configuration and machine that reports memory or the size of its file.

    The overall memory (MB, MiB in truth) is a mean with its interval; the file's size (MB, 10^6 bytes) is as the runner
    reported it, else as campaign.json has it.
    """
    of_cell = means_of(study, summary, "memory_overall_mb")
    sizes = [size_mb(study, cell) for cell in study.cells]
    columns = ["n", "memory_overall_mb", "memory_ci_low_mb", "memory_ci_high_mb"]
    memory = pd.DataFrame([of_cell[cell] for cell in study.cells], columns=columns).astype({"n": int})
    table = pd.concat([cell_columns(study, study.cells), memory], axis=1).assign(model_size_mb=sizes)
    return table[table["memory_overall_mb"].notna() | table["model_size_mb"].notna()].reset_index(drop=True)


def size_mb(study: Study, cell: Cell) -> float:
    """Size of a cell's model file in 10^6 bytes, as its runner or else campaign.json says; NaN = not known."""
    reported = study.runs["model_size_mb"].to_numpy()[study.positions.get(cell, [])]
    reported = reported[~np.isnan(reported)]
    if len(reported):
        return float(np.median(reported))
    return (whole(study.entry(cell).get("size_bytes")) or math.nan) / 1e6


# --- tables/timeline.csv ----------------------------------------------------------------------------------------------

STATES = ("temperature_c", "cpu_mhz", "load1_before", "other_cpu_percent", "steal_percent")
STATES += ("battery_temperature_c", "battery_percent")
_RUN_NUMBER = re.compile(r"(\d+)_")


def timeline(study: Study, metric: str) -> pd.DataFrame:
    """tables/timeline.csv: every run of every machine in the order in which its script made them, but for pilot and
    profile runs.

    That is the order of the plan, then the repeats: no clock is believed. `order` counts from 1 on each machine.
    `deviation_percent` is the metric's, from the median of the configuration's ok runs, else of all that have a number.
    """
    runs = study.runs
    median: dict[Cell, float] = {}
    values = study.columns[metric]
    for cell, positions in study.positions.items():
        ok = study.sample(cell, metric).values
        measured = ok or values[positions][values[positions] > 0].tolist()
        median[cell] = float(np.median(measured)) if measured else math.nan
    of_run = np.array([median.get(cell, math.nan) for cell in study.run_cells], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.where((of_run > 0) & (values > 0), 100 * (values / of_run - 1), np.nan)
    names = ["campaign", "host", "platform", "model", "variant", *SETTING, "repetition", "block", "retry", "status"]
    states = {
        "temperature_c": runs["temperature_after_c"].fillna(runs["temperature_before_c"]),
        "cpu_mhz": runs["cpu_mhz_after"].fillna(runs["cpu_mhz_before"]),
        **{name: runs[name] for name in STATES[2:]},
    }
    table = runs[[*names, "start_utc"]].assign(metric=metric, deviation_percent=deviation, **states, log=runs["log"])
    keys = [
        (campaign, host, 0 if pd.isna(retry) else int(retry), *_plan_order(log))
        for campaign, host, retry, log in zip(*(runs[n] for n in ("campaign", "host", "retry", "log")), strict=True)
    ]
    table = table.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)
    table.insert(3, "order", table.groupby(["campaign", "host"], sort=False).cumcount() + 1)
    return table


def _plan_order(log: str) -> tuple[int, str]:
    """The number that begins the name of a log of ours; others follow by name, the runs of one file in their order."""
    name, _, nth = log.rpartition("/")[2].partition("#")
    number = _RUN_NUMBER.match(name)
    return (int(number[1]) if number else 0, f"{name}#{nth:0>4}")


# --- iterations -------------------------------------------------------------------------------------------------------

HALVES = ("first half", "second half")
_PERCENTILES = np.array([5, 25, 50, 75, 95])


def iterations(study: Study, machine: Machine, setting: Setting) -> pd.DataFrame:
    """The times of single iterations in ok runs, where the runner listed them, as percentiles (ms).

    A row per model, variant, half of the run and percentile; the halves of all runs of a configuration are pooled.
    `deviation_percent` is from the median of both halves.
    """
    parts = []
    for cell in study.groups[machine, setting]:
        listed = study.runs["iteration_wall_us"].iloc[study.positions.get(cell, [])]
        ok = study.columns["status"][study.positions.get(cell, [])] == "ok"
        runs = [np.array(us, dtype=float) / 1000 for us in listed[ok] if us is not None and len(us) > 1]
        if not runs:
            continue
        median = np.median(np.concatenate(runs))
        halves = zip(*((run[: len(run) // 2], run[len(run) // 2 :]) for run in runs), strict=True)
        for name, half in zip(HALVES, halves, strict=True):
            ms = np.percentile(np.concatenate(half), _PERCENTILES)
            facts = {"model": cell.model, "variant": cell.variant, "half": name, "runs": len(runs)}
            deviation = 100 * (ms / median - 1)
            parts.append(pd.DataFrame(facts | {"percentile": _PERCENTILES, "ms": ms, "deviation_percent": deviation}))
    columns = ["model", "variant", "half", "runs", "percentile", "ms", "deviation_percent"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


# --- all of them, and their parts -------------------------------------------------------------------------------------


def tables_of(study: Study, summary: pd.DataFrame, metric: str) -> dict[str, pd.DataFrame]:
    """The tables of this module by name; without those that have nothing to say of these logs."""
    found = {"memory_and_size": memory_and_size(study, summary), "threads": threads(study, summary, metric)}
    if len(measured(study)) > 1:
        found["across"] = across(study, summary, metric)
    found["timeline"] = timeline(study, metric)
    return {name: table for name, table in found.items() if not table.empty}


def measured(study: Study) -> list[Machine]:
    """The machines that have a run, in the order in which machines are shown."""
    having = {cell.machine for cell in study.statuses}
    return [machine for machine in isa.groups(study) if machine in having]


def many(study: Study) -> bool:
    """Whether there are more machines than a chart has room for."""
    return len(study.machines) > MANY


def by_setting(study: Study, table: pd.DataFrame) -> dict[Setting, pd.DataFrame]:
    """A table cut by setting."""
    return cut(table, [setting for _, setting in places(study, table)])


def by_sweep(study: Study, table: pd.DataFrame) -> dict[tuple[Machine, Setting], pd.DataFrame]:
    """A table cut by machine and all of the setting but the threads."""
    return cut(table, [(machine, setting._replace(threads=None)) for machine, setting in places(study, table)])


def by_machine(table: pd.DataFrame) -> dict[Machine, pd.DataFrame]:
    """A table cut by machine."""
    return cut(table, list(map(Machine, table["campaign"], table["host"])))


def sweep_label(study: Study, rest: Setting, swept: Collection[str] = ("threads",)) -> str:
    """What of a setting varies in this report beside what is swept; '' if nothing does."""
    return study.setting_label(rest) if {*study.varying} - {*swept} else ""
