"""The tables of a report, as DataFrames. Pure: nothing here reads, writes or prints."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from analysis import sidecar, stats
from analysis.names import COLUMNS, DEFAULT_METRIC, INTEGER, METRICS, OUT_OF_MEMORY
from analysis.study import (
    CELL,
    SETTING,
    STUDY_METRICS,
    Cell,
    Machine,
    Setting,
    Study,
    model_key,
    row_label,
    setting_key,
    variant_key,
)

GEOMEAN = "geomean"  # stands for a model in the rows that average over models
TOTAL = "total"  # stands for a host in the rows that sum over a campaign's hosts


# --- numbers as people read them --------------------------------------------------------------------------------------


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent: 0.0123, 1.23, 12.3, 1234; '' = none."""
    if value is None or pd.isna(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    rounded = float(f"{value:.{digits}g}")
    magnitude = math.floor(math.log10(abs(rounded))) if rounded else 0
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def interval(low: float, high: float) -> str:
    """'1.80 to 2.00'; '' = none."""
    return "" if pd.isna(low) or pd.isna(high) else f"{number(low)} to {number(high)}"


def with_interval(value: float, low: float, high: float) -> str:
    """'1.90 (1.80 to 2.00)'; only the number where there is no interval, '' = none."""
    bounds = interval(low, high)
    return f"{number(value)} ({bounds})" if bounds else number(value)


def count(n: int, noun: str) -> str:
    """'1 run', '2 runs'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def some(texts: Iterable[str], limit: int) -> str:
    """The first few of many texts: 'a, b, and 3 more'."""
    texts = list(texts)
    more = [f"and {len(texts) - limit} more"] if len(texts) > limit else []
    return ", ".join([*texts[:limit], *more])


def differing(known: Mapping[str, Collection[str]]) -> list[str]:
    """'governor differs: ondemand, performance' for each fact that has several values."""
    return [f"{name} differs: {', '.join(sorted(values))}" for name, values in known.items() if len(values) > 1]


# --- tables/*.csv -----------------------------------------------------------------------------------------------------


def runs(study: Study) -> pd.DataFrame:
    """tables/runs.csv: one row per process execution. The iterations' times are in data/runs.parquet only."""
    return study.dataset.runs.drop(columns="iteration_wall_us")


def summary(study: Study) -> pd.DataFrame:
    """tables/summary.csv: one row per host, configuration and metric, in the metric's unit.

    `n_ok` counts the ok runs that report the metric: those that the mean and all that follows are taken over.
    """
    number_of = {cell: i for i, cell in enumerate(study.cells)}
    run_cells = np.array([number_of.get(cell, -1) for cell in study.run_cells])
    ok = study.runs["status"].eq("ok").to_numpy()
    long = study.runs.loc[ok, list(METRICS)].set_index(run_cells[ok]).stack().rename_axis(["cell", "metric"])
    grouped = long.groupby(level=["cell", "metric"]).agg(["count", "mean", "std", "median", "min", "max"])
    grid = pd.MultiIndex.from_product([range(len(study.cells)), METRICS], names=["cell", "metric"])
    table = grouped.reindex(grid).reset_index()
    cells = [study.cells[i] for i in table["cell"]]
    max_df = [study.max_df(cell.machine.campaign) for cell in cells]
    low, high = stats.mean_interval(table["mean"], table["std"], table["count"], max_df)
    return cell_columns(study, cells).assign(
        metric=table["metric"],
        n_ok=table["count"].fillna(0).astype(int),
        n_invalid=[study.n(cell, "invalid") for cell in cells],
        n_failed=[study.n(cell, "failed") for cell in cells],
        mean=table["mean"],
        sd=table["std"],
        ci_low=low,
        ci_high=high,
        median=table["median"],
        min=table["min"],
        max=table["max"],
    )


def cell_columns(study: Study, cells: Sequence[Cell]) -> pd.DataFrame:
    """The columns that name a cell, with `platform` third."""
    frame = pd.DataFrame([cell.flat() for cell in cells], columns=list(CELL))
    for name, sizes in study.own_sizes.items():
        frame[name] = pd.array([sizes.get(cell.model) for cell in cells], dtype=INTEGER)
    frame.insert(2, "platform", [study.platforms[cell.machine] for cell in cells])
    return frame.astype({name: COLUMNS[name] for name in frame.columns})


@dataclass(frozen=True)
class Comparison:
    """A candidate against the baseline: one model, or with model 'geomean' all models of a host and setting.

    Attributes:
        cell: the candidate.
        result: what was computed; None if there is nothing to divide.
        verdict: NOT_COMPARABLE or MISSING; '' = to be judged by the result.
        reason: why not comparable or missing, or which models a geometric mean leaves out.
        method: how the interval was made; '' = there is none.
    """

    cell: Cell
    result: stats.Speedup | stats.GeometricMean | None = None
    verdict: str = ""
    reason: str = ""
    method: str = ""


def compare(study: Study, metric: str, baseline: str) -> list[Comparison]:
    """Every host, setting, model and candidate variant there is; after each variant's models their geometric mean.

    A variant that a campaign has with other runners only is no candidate.
    """
    variants: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in study.cells:
        variants[cell.machine.campaign, cell.setting.runner].add(cell.variant)
    found = []
    for (machine, setting), cells in study.groups.items():
        models = list(dict.fromkeys(cell.model for cell in cells))
        for variant in sorted(variants[machine.campaign, setting.runner] - {baseline}, key=variant_key):
            rows = [
                compared(study, metric, Cell(machine, model, baseline, setting), Cell(machine, model, variant, setting))
                for model in models
            ]
            found += [*rows, _geomean(rows)]
    return found


def compared(study: Study, metric: str, baseline: Cell, candidate: Cell) -> Comparison:
    """A cell against another on the same machine, of another variant, delegate or runner; paired by block if possible.

    What two runners are need not be the same, but each of them must be one thing in all of its runs.
    """
    is_one_runner = baseline.setting.runner == candidate.setting.runner
    of_runner = {cell: "" if is_one_runner else f"{cell.setting.runner} " for cell in (baseline, candidate)}
    absent = [f"{of_runner[cell]}{why}" for cell in of_runner if (why := why_missing(study, cell, metric))]
    if absent:
        return Comparison(candidate, None, stats.MISSING, "; ".join(absent))
    facts = study.conditions([baseline, candidate], metric)
    sides: dict[str, list[Cell]] = defaultdict(list)
    for cell in (baseline, candidate):
        sides[of_runner[cell] + cell.variant].append(cell)
    facts |= {f"model file of {side}": study.known(cells, "model_sha256") for side, cells in sides.items()}
    if not is_one_runner:
        for name in ("runner_version", "runner_sha256"):
            del facts[name]
            facts |= {f"{name} of {side}": study.known(cells, name) for side, cells in sides.items()}
    if unlike := differing(facts):
        return Comparison(candidate, None, stats.NOT_COMPARABLE, "; ".join(unlike))
    try:
        max_df = study.max_df(candidate.machine.campaign)
        result = stats.speedup(study.sample(baseline, metric), study.sample(candidate, metric), max_df)
    except ValueError as exc:
        return Comparison(candidate, None, stats.NOT_COMPARABLE, str(exc))
    if math.isnan(result.ci_low):
        ns = zip(of_runner.items(), (result.n_baseline, result.n_candidate), strict=True)
        said = ", ".join(f"{runner}{cell.variant} n = {n}" for (cell, runner), n in ns)
        return Comparison(candidate, result, stats.NOT_COMPARABLE, f"{said}; an interval needs 2 repetitions of each")
    parts = [
        f"{cell.setting.delegate} executes only {study.partly[cell] or 'parts'} of {cell.variant}"
        for cell in (baseline, candidate)
        if cell in study.partly
    ]
    parts += [f"{cell.variant}: {study.untuned[cell]}" for cell in of_runner if cell in study.untuned]
    return Comparison(candidate, result, reason="; ".join(parts), method=_method(result))


def _method(result: stats.Speedup) -> str:
    if not result.n_pairs:
        return "Fieller, independent"
    if result.n_pairs == result.n_baseline == result.n_candidate:
        return "Fieller, paired by block"
    return f"Fieller, {result.n_pairs} blocks paired"


def why_missing(study: Study, cell: Cell, metric: str) -> str:
    """Why a cell has no number; '' if it has one."""
    if study.sample(cell, metric).values:
        return ""
    if study.n(cell, "ok"):
        return f"{cell.variant}: {metric} is not reported"
    if cell in study.out_of_memory and cell not in study.statuses:
        return f"{cell.variant} failed: {OUT_OF_MEMORY}"
    if cell in study.statuses:
        positions = study.positions[cell]
        first = study.runs.iloc[positions[0]]
        more = f" (first of {len(positions)} runs)" if len(positions) > 1 else ""
        return f"{cell.variant} {first['status']}: {first['reason']}{more}"
    plan = study.planned.get(cell.machine)
    return f"{cell.variant}: no run" + ("" if plan is None or cell in plan else ", not in this host's plan")


def in_place_of_speedup(row: tuple) -> str:
    """What stands where a row of `speedups` has no number: its verdict, or that a side did not fit into memory."""
    return OUT_OF_MEMORY if row.verdict == stats.MISSING and f"failed: {OUT_OF_MEMORY}" in row.reason else row.verdict


def _geomean(rows: Sequence[Comparison]) -> Comparison:
    """Geometric mean over the models that have both sides and an interval."""
    cell = rows[0].cell._replace(model=GEOMEAN)
    used = [row.result for row in rows if not row.verdict]
    left_out = ", ".join(row.cell.model for row in rows if row.verdict)
    reason = f"without {left_out}" if left_out else ""
    if not used:
        missing = all(row.verdict == stats.MISSING for row in rows)
        return Comparison(cell, None, stats.MISSING if missing else stats.NOT_COMPARABLE, reason)
    of_all = "" if len(used) == len(rows) else f"{len(used)} of "
    method = f"geometric mean of {of_all}{count(len(rows), 'model')}"
    return Comparison(cell, stats.geometric_mean(used), reason=reason, method=method)


_COMPARISON = ("campaign", "host", "platform", "model", "variant", "baseline_variant", *SETTING)


def speedups(study: Study, metric: str, baseline: str) -> pd.DataFrame:
    """tables/speedup.csv: one row per host, model and candidate, and a geometric mean per host and variant.

    p_holm is corrected over all comparisons of one host, geometric means included: the question is asked of each
    machine, and what is found on one must not depend on which others share the report. `p_rank` is not corrected, and
    decides nothing: where it and the verdict differ, `reason` says so.
    """
    found = compare(study, metric, baseline)
    table = comparison_table(study, found, metric, baseline)
    table["p_holm"] = table.groupby(["campaign", "host"], sort=False)["p_value"].transform(stats.holm)
    judged = zip(found, table["ci_low"], table["ci_high"], table["p_holm"], strict=True)
    table["verdict"] = [c.verdict or stats.verdict(low, high, p) for c, low, high, p in judged]
    beside = pd.DataFrame([_beside(study, c, metric, baseline) for c in found], columns=_BESIDE, dtype="float64")
    table[["p_rank", "hedges_g"]] = beside[["p_rank", "hedges_g"]]
    p_rank_holm = table.groupby(["campaign", "host"], sort=False)["p_rank"].transform(stats.holm)
    remarks = map(stats.disagreement, table["verdict"], table["p_rank"], p_rank_holm, beside["p_rank_least"])
    reasons = ["; ".join(filter(None, both)) for both in zip(table["reason"], remarks, strict=True)]
    table["reason"] = pd.Series(reasons, dtype="str")
    table = table.rename(columns={"baseline": "baseline_ms", "candidate": "candidate_ms", "ratio": "speedup"})
    numbers = ("baseline_ms", "candidate_ms", "speedup", "ci_low", "ci_high", "p_value", "verdict")
    more = ("p_holm", "n_baseline", "n_candidate", "method", "reason", "metric", "p_rank", "hedges_g")
    return table[[*_COMPARISON, *numbers, *more]]


_BESIDE = ("p_rank", "p_rank_least", "hedges_g")


def _beside(study: Study, comparison: Comparison, metric: str, baseline: str) -> tuple[float, float, float]:
    """Rank test and effect size of a comparison of two samples; NaN for others."""
    if comparison.verdict or not isinstance(comparison.result, stats.Speedup):
        return math.nan, math.nan, math.nan
    cells = comparison.cell._replace(variant=baseline), comparison.cell
    samples = [study.sample(cell, metric) for cell in cells]
    return *stats.rank_test(*samples), stats.hedges_g(*samples)


def share_of_models(method: str) -> str:
    """'5 of 7 models' from the method of a geometric mean that leaves some out; '' if it has all."""
    models = method.removeprefix("geometric mean of ")
    return models if " of " in models else ""


def effects(study: Study, baseline: str) -> pd.DataFrame:
    """tables/effects.csv: baseline / candidate for each of the seed's metrics; uncorrected and without a verdict."""
    tables = [comparison_table(study, compare(study, m, baseline), m, baseline) for m in STUDY_METRICS]
    numbers = ("baseline", "candidate", "ratio", "ci_low", "ci_high", "n_baseline", "n_candidate", "method", "reason")
    return pd.concat(tables, ignore_index=True)[[*_COMPARISON, "metric", *numbers]]


def comparison_table(study: Study, found: Sequence[Comparison], metric: str, baseline: str) -> pd.DataFrame:
    """A row for each comparison, in their order: who is compared, `ratio` = baseline / candidate, how sure that is."""

    def part(name: str, dtype: str) -> pd.Series:
        return pd.Series([getattr(c.result, name, None) for c in found], dtype=dtype)

    table = cell_columns(study, [c.cell for c in found]).assign(baseline_variant=baseline, metric=metric)
    for name in ("baseline", "candidate", "speedup", "ci_low", "ci_high", "p_value"):
        table[name] = part(name, "float64")
    for name in ("n_baseline", "n_candidate"):
        table[name] = part(name, INTEGER)
    for name in ("method", "reason"):
        table[name] = pd.Series([getattr(c, name) for c in found], dtype="str")
    return table.rename(columns={"speedup": "ratio"})


def places(study: Study, table: pd.DataFrame) -> list[tuple[Machine, Setting]]:
    """Machine and setting of each row of a table that has their columns."""
    columns = [[None if pd.isna(value) else value for value in table[name]] for name in SETTING]
    settings = (study.place(Setting(*values)) for values in zip(*columns, strict=True))
    machines = (Machine(*pair) for pair in zip(table["campaign"], table["host"], strict=True))
    return list(zip(machines, settings, strict=True))


def by_place(study: Study, table: pd.DataFrame) -> dict[tuple[Machine, Setting], pd.DataFrame]:
    """A table cut by machine and setting, in its own order."""
    return cut(table, places(study, table))


def cut(table: pd.DataFrame, keys: Sequence[Hashable]) -> dict:
    """The parts of a table by the key of each row, both in their own order."""
    index = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    parts = table.groupby([index[key] for key in keys], sort=False) if index else ()
    return {key: part for key, (_, part) in zip(index, parts, strict=True)}


def final_result(study: Study, machine: Machine) -> pd.DataFrame:
    """tables/final_result_<host>.csv, the first seed's table: MobileNet, MobileNet_quant, ...; mean and sd (n-1)."""
    cells = sorted(
        study.cells_of[machine], key=lambda c: (model_key(c.model), variant_key(c.variant), setting_key(c.setting))
    )
    rows = {}
    for cell in cells:
        setting = study.setting_label(cell.setting, machine)
        label = row_label(cell.model, cell.variant) + (f" [{setting}]" if setting else "")
        rows[label] = row = {}
        for metric in STUDY_METRICS:
            values = study.sample(cell, metric).values
            row[metric] = np.mean(values) if values else math.nan
            sd = np.std(values, ddof=1) if len(values) > 1 else math.nan
            row[f"{metric}_sd"] = 0.0 if len(values) > 1 and not np.ptp(values) else sd  # equal: no rounding's spread
    columns = [name for metric in STUDY_METRICS for name in (metric, f"{metric}_sd")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float).rename_axis("model")


MACHINE_FACTS = (
    "arch", "board_model", "cpu_model", "cpu_vendor", "microarchitecture", "sockets", "cores", "cpus",
    "threads_per_core", "cpu_mhz", "cpu_min_mhz", "cpu_max_mhz", "bogomips", "l1d_kb", "l1i_kb", "l2_kb", "l3_kb",
    "cpu_features", "memory_total_mb", "swap_total_mb", "os", "kernel", "governor", "turbo", "virtualization",
    "microcode", "python", "glibc", "sensors", "collected_utc",
    "clock_offset_s", "android", "android_api", "android_build", "soc", "gpu",
)  # fmt: skip


def machines(study: Study) -> pd.DataFrame:
    """tables/machines.csv: host.json of every machine; empty = unknown."""
    rows = []
    for machine in study.machines:
        facts = study.dataset.hosts.get(machine, {})
        cells = [" ".join(map(str, v)) if isinstance(v, list) else v for v in map(facts.get, MACHINE_FACTS)]
        rows.append([*machine, study.platforms[machine], *cells])
    return pd.DataFrame(rows, columns=["campaign", "host", "platform", *MACHINE_FACTS], dtype=object)


_MODEL_FACTS = ("model", "variant", "file", "size_bytes", "sha256", "parameters", "batch_size", "input_size")
_MODEL_FACTS += ("weights", "weights_seed", "source", "format", "macs", "activation_mb", "compressed_bytes")
_MODEL_FACTS += ("evaluated_on", "evaluated_images", "correct_images", "classes", "weight_sparsity", "weight_clusters")
_MODEL_FACTS += ("target", "kernels", "tuned_kernels", "tuning_minutes")


def models(study: Study) -> pd.DataFrame:
    """tables/models.csv: the model files of every campaign, from its campaign.json; empty = unknown."""
    rows = [
        [name, *map(entry.get, _MODEL_FACTS)] for name in study.dataset.campaigns for entry in study.model_files(name)
    ]
    return pd.DataFrame(rows, columns=["campaign", *_MODEL_FACTS], dtype=object)


def trust(study: Study, metric: str) -> pd.DataFrame:
    """tables/trust.csv: per machine, how many runs are usable and in which state they were made.

    `*_missing` counts configurations without an ok run; `cv_percent_*` is sd/mean of the metric between repetitions;
    the machine's state is over its ok runs: steal and other load in percent of the machine, load1 before each run;
    but for `thermal_throttle_events` and `swapped_pages`, which make a run invalid, and `waited_s`: sums over all runs.
    `repeated` counts originals, `repeated_ok` those with an ok repeat; repeats are also in ok, invalid and failed.
    `outliers` are of avg_inference_ms, and in all means. `autocorrelation` is that of repetitions with the ones before
    them, of the metric; 0 = independent.
    """
    runs_of = study.runs.groupby(["campaign", "host"], sort=False).groups
    rows = []
    for machine in study.machines:
        mine = study.runs.loc[runs_of.get(tuple(machine), [])]
        ok = mine[mine["status"] == "ok"]
        samples = [np.array(study.sample(cell, metric).values) for cell in study.cells_of[machine]]
        n = [study.n(cell, "ok") for cell in study.cells_of[machine]]
        cv = [100 * s.std(ddof=1) / s.mean() for s in samples if len(s) > 1 and s.mean() > 0]
        throttled = [bits for text in ok["throttled_after"] if (bits := sidecar.throttled(text)) is not None]
        repeated, repeated_ok = study.repeated.get(machine, (0, 0))
        lag1, lag1_p = stats.autocorrelation(
            _by_block([study.in_order(cell, metric) for cell in study.cells_of[machine]])
        )
        rows.append(
            {
                **machine._asdict(),
                "platform": study.platforms[machine],
                "configurations": len(study.cells_of[machine]),
                "configurations_missing": n.count(0),
                "repetitions_min": min((k for k in n if k), default=0),
                "repetitions_max": max(n, default=0),
                **{status: int((mine["status"] == status).sum()) for status in ("ok", "invalid", "failed")},
                "repeated": repeated,
                "repeated_ok": repeated_ok,
                "cv_percent_median": np.median(cv) if cv else math.nan,
                "cv_percent_max": max(cv, default=math.nan),
                "steal_percent_max": ok["steal_percent"].max(),
                "other_cpu_percent_median": ok["other_cpu_percent"].median(),
                "other_cpu_percent_max": ok["other_cpu_percent"].max(),
                "load1_before_max": ok["load1_before"].max(),
                "temperature_min_c": _ends(ok, "temperature_before_c", "temperature_after_c")[0],
                "temperature_max_c": _ends(ok, "temperature_before_c", "temperature_after_c")[1],
                "cpu_mhz_min": _ends(ok, "cpu_mhz_before", "cpu_mhz_after")[0],
                "cpu_mhz_max": _ends(ok, "cpu_mhz_before", "cpu_mhz_after")[1],
                "throttled_runs": sum(map(bool, throttled)) if throttled else None,
                **{name: _sum(mine[name]) for name in ("thermal_throttle_events", "swapped_pages", "waited_s")},
                "without_state": int((ok["start_utc"] == "").sum()),
                **{name: " ".join(_values(ok[name])) for name in _FACTS},
                "control": "; ".join(_values(ok["control"])),
                "outliers": int((ok["outlier"] != "").sum()),
                "autocorrelation": lag1,
                "autocorrelation_p": lag1_p,
            }
        )
    return pd.DataFrame(rows).astype(dict.fromkeys(_COUNTS_IF_KNOWN, INTEGER))


_COUNTS_IF_KNOWN = ("throttled_runs", "thermal_throttle_events", "swapped_pages")
_FACTS = ("governor", "turbo", "weights", "runner_version")


def _by_block(series: list[dict[int, float]]) -> np.ndarray:
    """Configurations x repetitions in their order, NaN where one is not ok; only as far as all have some.

    Configurations with few repetitions are left out.
    """
    long = [values for values in series if len(values) >= stats.BLOCKS_FROM]
    last = min(map(max, long), default=0)
    order = sorted({number for values in long for number in values if number <= last})
    return np.array([[values.get(number, math.nan) for number in order] for values in long])


def _ends(runs: pd.DataFrame, *columns: str) -> tuple[float, float]:
    """The least and the greatest value in some columns; NaN where there is none."""
    values = runs[list(columns)]
    return values.min().min(), values.max().max()


def _values(column: pd.Series) -> list[str]:
    return sorted(set(column) - {""})


def _sum(column: pd.Series) -> float | int | None:
    """The sum of what is known; None where nothing is."""
    return column.sum() if column.notna().any() else None


def phones(study: Study) -> pd.DataFrame:
    """tables/phones.csv: per machine that tells of a battery or screen, the range of its state over its ok runs.

    `plugged` and `screen` have every value that there was, with the number of runs. `thermal_status_max` is over all
    runs: any but 0 makes a run invalid.
    """
    hottest = study.runs.groupby(["campaign", "host"])["thermal_status"].max()
    ok = study.runs[study.runs["status"] == "ok"]
    told = ok[
        ok[["battery_percent", "battery_temperature_c", "thermal_status"]].notna().any(axis=1) | (ok["screen"] != "")
    ]
    rows = []
    for key, mine in told.groupby(["campaign", "host"], sort=True):
        machine = Machine(*key)
        row = {**machine._asdict(), "platform": study.platforms[machine]}
        for column, name in (
            ("battery_percent", "battery_percent_{}"),
            ("battery_temperature_c", "battery_temperature_{}_c"),
        ):
            row |= {name.format(end): getattr(mine[column], end)() for end in ("min", "max")}
        row |= {name: _counted(mine[name]) for name in ("plugged", "screen")}
        rows.append(row | {"thermal_status_max": hottest[key]})
    return pd.DataFrame(rows)


def _counted(column: pd.Series) -> str:
    """'usb in 12 runs, none in 3 runs'; the number only where there are several values."""
    known = column[column != ""].value_counts(sort=False).sort_index()
    if len(known) < 2:
        return "".join(known.index)
    return some((f"{value} in {count(n, 'run')}" for value, n in known.items()), 5)


def cost(study: Study) -> pd.DataFrame:
    """tables/cost.csv: what each leased machine cost, and after a campaign's machines their total; empty = not known.

    `node_hours` are all the hours of the leases, `measured_hours` the durations of all runs, `measured_percent` the
    latter's share. Of several leases the times are the start of the first and the end of the last. A sum of which a
    part is not known is not known. There is no sum over campaigns, since one lease may have served several.
    """
    measured_s = study.dataset.runs.groupby(["campaign", "host"])["duration_s"].sum(min_count=1).to_dict()
    rows = []
    for campaign, machines in groupby(study.machines, key=lambda machine: machine.campaign):
        leased = [machine for machine in machines if study.dataset.leases.get(machine)]
        mine = [_cost(study, machine, measured_s.get(machine, 0.0) / 3600) for machine in leased]
        if mine:
            sums = {name: sum(row[name] for row in mine) for name in _COST_SUMS}
            rows += [*mine, dict.fromkeys(_COST_NAMES, "") | {"campaign": campaign, "host": TOTAL} | sums]
    table = pd.DataFrame(rows, columns=[*_COST_NAMES, *_COST_SUMS])
    some = table["node_hours"].where(table["node_hours"] > 0)
    return table.assign(measured_percent=100 * table["measured_hours"] / some)


_COST_NAMES = ("campaign", "host", "platform", "site", "type", "lease", "start_utc", "end_utc", "released_utc")
_COST_SUMS = ("node_hours", "service_units", "measured_hours")


def _cost(study: Study, machine: Machine, measured_hours: float) -> dict[str, Any]:
    leases = study.dataset.leases[machine]

    def names(values: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(filter(None, values)))

    return {
        **machine._asdict(),
        "platform": study.platforms[machine],
        "site": names(lease.site for lease in leases),
        "type": names(lease.type for lease in leases),
        "lease": names(lease.name for lease in leases),
        "start_utc": leases[0].start_utc,
        "end_utc": leases[-1].end_utc,
        "released_utc": leases[-1].released_utc,
        "node_hours": sum(lease.node_hours for lease in leases),
        "service_units": sum(lease.service_units for lease in leases),
        "measured_hours": measured_hours,
    }


def decisions(study: Study, effects: pd.DataFrame) -> pd.DataFrame:
    """tables/decisions.csv: of the hosts that decided themselves, how much they measured of each configuration and why.

    `iterations` per process, and what the pilot found for it; `n_ok` repetitions, `left_after_block` and `left_reason`
    where the host said so. `interval_percent` is the half width of the mean's 95 % interval in percent of the mean,
    `speedup_interval_percent` the widest of its speedups', both of avg_inference_ms and as they came out in the end;
    `reached`: whether they are not wider than the target, or the host found them so. Empty where it is not known.

    Args:
        study: what was measured.
        effects: the table of that name.
    """
    cells = [cell for cell in study.cells if _is_decided(study, cell) or study.target_percent(cell.machine.campaign)]
    table = cell_columns(study, cells)
    widths = _speedup_widths(study, effects)
    rows = []
    for cell in cells:
        chosen, left = study.decided.get(cell, ({}, {}))
        values = np.array(study.sample(cell, DEFAULT_METRIC).values)
        mean, sd = (values.mean(), values.std(ddof=1)) if len(values) > 1 else (math.nan, math.nan)
        low, high = stats.mean_interval(mean, sd, len(values), study.max_df(cell.machine.campaign))
        width, speedup_width = 50 * (high - low) / mean, widths.get(cell, math.nan)
        is_done = cell.machine not in study.dataset.unfinished
        target = study.target_percent(cell.machine.campaign)
        rows.append(
            {
                "iterations_reason": chosen.get("reason", ""),
                **{name: sidecar.number(chosen, name) for name in ("iterations", "pilot_runs", *_OF_PILOT)},
                "pilot_mean_ms": sidecar.number(chosen, "mean_ms"),
                "n_ok": len(values),
                "left_after_block": sidecar.number(left, "block"),
                "left_reason": left.get("reason", ""),
                "interval_percent": width,
                "speedup_interval_percent": speedup_width,
                "target_percent": target,
                "reached": _reached(target if is_done else None, left, (width, speedup_width)),
            }
        )
    words = ("iterations_reason", "left_reason", "reached")
    decided = pd.DataFrame(rows, columns=_DECIDED).astype({n: "str" if n in words else "float64" for n in _DECIDED})
    return pd.concat([table, decided.astype(dict.fromkeys(_WHOLE_NUMBERS, INTEGER))], axis=1)


def _is_decided(study: Study, cell: Cell) -> bool:
    """Whether a host decided how much to measure of a cell; that it did not fit into memory is no such decision."""
    chosen, left = study.decided.get(cell, ({}, {}))
    return bool(chosen) or (bool(left) and not left.get("reason", "").startswith(OUT_OF_MEMORY))


_OF_PILOT = ("within_sd_percent", "between_sd_percent", "overhead_s")
_DECIDED = (
    *("iterations", "iterations_reason", "pilot_runs", "pilot_mean_ms", *_OF_PILOT, "n_ok", "left_after_block"),
    *("left_reason", "interval_percent", "speedup_interval_percent", "target_percent", "reached"),
)
_WHOLE_NUMBERS = ("iterations", "pilot_runs", "n_ok", "left_after_block")


def _reached(target: float | None, left: Mapping[str, str], widths: Iterable[float]) -> str:
    """Whether a configuration is known as well as was asked for, by its host's decision or by its final intervals.

    '' where nobody asked, or nothing is known.
    """
    known = [width for width in widths if not math.isnan(width)]
    if target is None or not known:
        return ""
    return "yes" if left.get("reason") == "narrow" or max(known) <= target else "no"


def _speedup_widths(study: Study, effects: pd.DataFrame) -> dict[Cell, float]:
    """Half width of the speedup's interval in percent of the speedup; of a baseline the widest of its candidates'."""
    table = effects[(effects["metric"] == DEFAULT_METRIC) & (effects["model"] != GEOMEAN) & effects["ci_low"].notna()]
    widest: dict[Cell, float] = defaultdict(float)
    for (machine, setting), row in zip(places(study, table), table.itertuples(), strict=True):
        percent = 50 * (row.ci_high - row.ci_low) / row.ratio
        for variant in (row.variant, row.baseline_variant):
            cell = Cell(machine, row.model, variant, setting)
            widest[cell] = max(widest[cell], percent)
    return dict(widest)
