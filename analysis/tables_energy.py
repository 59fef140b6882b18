"""Energy as tables: which meter each machine has, and what its runs and inferences take. Pure.

The replicate is the process execution, intervals and corrections are those of times. One thing is turned round: the
ratio is candidate / baseline, and its verdicts are `less` and `more`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

import pandas as pd

from analysis import energy, stats, tables
from analysis.across import means_of
from analysis.names import INTEGER
from analysis.study import Cell, Machine, Study
from analysis.tables import GEOMEAN, cell_columns, count, some

METRIC = "energy_inference_j"  # what variants are compared by
LESS, MORE = "less", "more"
UNSAID = "no run says anything of a meter"

_VERDICTS = {stats.FASTER: LESS, stats.SLOWER: MORE}
_BOUNDS = ("", "ci_low_", "ci_high_")  # within the name of a column, of a mean and of the ends of its interval
_QUANTITIES = {
    "energy_run_j": "energy_run_{}j",
    METRIC: "energy_inference_{}j",
    "energy_net_inference_j": "energy_net_inference_{}j",
    "power_w": "power_{}w",
}
PER_IMAGE = "energy_per_image_{}j"
_LEAVES_OUT = {
    "rapl": "mainboard, disks, fans, losses of the power supply",
    "pmic": "USB devices, fan and what else is fed with 5 V directly, losses of the regulators",
    "ina3221": "what is on no such channel, losses of the power supply",
    "command": "known to who set it up",
}


def of_study(study: Study, summary: pd.DataFrame, baseline: str) -> dict[str, pd.DataFrame]:
    """The tables on energy, by file name without ending; {} where no run says anything of a meter.

    Args:
        study: what was measured.
        summary: the table of that name.
        baseline: the variant that others are compared with.
    """
    if study.dataset.energy.empty:
        return {}
    return {"energy_meters": meters(study), "energy": amounts(study, summary, baseline)}


# --- tables/energy_meters.csv -----------------------------------------------------------------------------------------


def meters(study: Study) -> pd.DataFrame:
    """tables/energy_meters.csv: a row per machine and meter, and one per machine without.

    Counted are ok runs: all (`n_ok`), with energy per inference, with energy above idle, and those of which the timed
    phase is taken to be the last part of the process. `idle_power_w` is the mean of `n_idle` measurements.
    """
    told = dict(list(_told(study).groupby(["campaign", "host"], sort=False)))
    rows = []
    for machine in study.machines:
        names = {**machine._asdict(), "platform": study.platforms[machine]}
        if machine not in told:
            rows.append(names | {"reason": UNSAID})
            continue
        idle, _ = energy.idle_powers(study.dataset.idle.get(machine))
        for channels, runs in told[machine].groupby(["meter", "unit", "names"], sort=False):
            rows.append(names | _meter(runs, [one.watts for one in idle if one.channels[:3] == channels], *channels))
    table = pd.DataFrame(rows, columns=_METERS)
    counts = {name: INTEGER for name in _METERS if name.startswith("n_")}
    return table.astype(counts | dict.fromkeys(_METERS_TEXTS, "str")).fillna(dict.fromkeys(_METERS_TEXTS, ""))


def _meter(runs: pd.DataFrame, idle_w: Sequence[float], meter: str, unit: str, names: str) -> dict[str, object]:
    covers, leaves_out = _scope(meter, names)
    known = {"meter": meter, "unit": unit, "channels": names, "covers": covers, "leaves_out": leaves_out}
    if meter == energy.NO_METER:
        return known | {"reason": some(sorted(set(runs["reason"])), 3)}
    ok, watts = runs[runs["status"] == "ok"], pd.Series(idle_w, dtype="float64")
    low, high = stats.mean_interval(watts.mean(), watts.std(), len(watts))
    has_inference = ok["method"] != ""
    return known | {
        "n_ok": len(ok),
        "n_inference": has_inference.sum(),
        "n_above_idle": (has_inference & ok["idle_power_w"].notna()).sum(),
        "n_estimated": (ok["method"] == energy.ESTIMATED).sum(),
        "n_idle": len(watts),
        "idle_power_w": watts.mean(),
        "idle_power_ci_low_w": float(low),
        "idle_power_ci_high_w": float(high),
        "reason": _counted(ok["reason"]),
    }


_METERS_TEXTS = ("meter", "unit", "channels", "covers", "leaves_out", "reason")
_METERS = (
    *("campaign", "host", "platform", "meter", "unit", "channels", "covers", "leaves_out"),
    *("n_ok", "n_inference", "n_above_idle", "n_estimated", "n_idle"),
    *("idle_power_w", "idle_power_ci_low_w", "idle_power_ci_high_w", "reason"),
)


def _told(study: Study) -> pd.DataFrame:
    """How the energy of each repetition is known, with its status and its idle power."""
    key = ["campaign", "host", "log"]
    return study.dataset.energy.merge(study.runs[[*key, "status", "idle_power_w"]], on=key)


def _scope(meter: str, names: str) -> tuple[str, str]:
    """What a meter sees of a machine, and what it leaves out, in words."""
    channels, leaves_out = [name for name in names.split(",") if name], _LEAVES_OUT.get(meter, "")
    if meter == "rapl":
        if any(name.startswith("dram") for name in channels):
            return "processor packages and DRAM", leaves_out
        return "processor packages", f"memory, {leaves_out}"
    covers = {
        "pmic": f"{count(len(channels), 'rail')} of the board's power management chip",
        "ina3221": f"the board's sensors {', '.join(channels)}",
        "command": "what the campaign's command reads",
    }
    return covers.get(meter, ""), leaves_out


def _counted(reasons: Iterable[str]) -> str:
    """'12 runs: the timed phase is shorter ...'; the most frequent reasons first, '' for none."""
    return some((f"{count(n, 'run')}: {why}" for why, n in Counter(filter(None, reasons)).most_common()), 3)


# --- tables/energy.csv ------------------------------------------------------------------------------------------------


def amounts(study: Study, summary: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """tables/energy.csv: a row per configuration of the machines with a meter, and geometric means of the ratios.

    `n` repetitions have an energy per inference. `ratio` is the candidate's / the baseline's, with the interval of
    speedups; p_holm is corrected over all these ratios of one machine.
    """
    of_metric = {metric: means_of(study, summary, metric) for metric in _QUANTITIES}
    metered = {cell.machine for known in of_metric.values() for cell, (n, *_) in known.items() if n}
    compared = _compared(study, baseline, metered)
    means: dict[tuple, list[Cell]] = defaultdict(list)
    for cell in compared:
        if cell.model == GEOMEAN:
            means[cell.machine, cell.setting].append(cell)
    remarks = _remarks(study)
    cells, rows = [], []
    for (machine, setting), mine in study.groups.items():
        if machine not in metered:
            continue
        for cell in mine:
            row = _means(study, cell, {metric: known[cell] for metric, known in of_metric.items()})
            comparison, remark = compared.get(cell, {}), remarks.get(cell) or ""
            if not row["n"]:
                remark = remark or tables.why_missing(study, cell, METRIC)
            elif comparison:
                remark = "; ".join(filter(None, (remark, comparison["remark"])))
            cells.append(cell)
            rows.append(comparison | row | {"remark": remark})
        cells += means[machine, setting]
        rows += [compared[cell] for cell in means[machine, setting]]
    table = pd.DataFrame(rows, columns=_AMOUNTS).astype({"n": INTEGER} | dict.fromkeys(_AMOUNTS_TEXTS, "str"))
    return pd.concat([cell_columns(study, cells), table.fillna(dict.fromkeys(_AMOUNTS_TEXTS, ""))], axis=1)


_AMOUNTS_TEXTS = ("baseline_variant", "verdict", "method", "remark")
_AMOUNTS = (
    "n",
    *(name.format(bound) for name in (*_QUANTITIES.values(), PER_IMAGE) for bound in _BOUNDS),
    *("baseline_variant", "ratio", "ci_low", "ci_high", "p_value", "p_holm", "verdict", "method", "remark"),
)


def bounds(name: str) -> tuple[str, str, str]:
    """The columns of a quantity's mean and of the ends of its interval."""
    mean, low, high = (name.format(bound) for bound in _BOUNDS)
    return mean, low, high


def _means(study: Study, cell: Cell, known: dict[str, Sequence[float]]) -> dict[str, float]:
    """Number of repetitions, then mean and interval of each quantity, by column."""
    row = {"n": known[METRIC][0]}
    for metric, name in _QUANTITIES.items():
        row |= zip(bounds(name), known[metric][1:], strict=True)
    batch_size, _ = study.sizes(cell)
    if batch_size:
        row |= zip(bounds(PER_IMAGE), (joules / batch_size for joules in known[METRIC][1:]), strict=True)
    return row


def _compared(study: Study, baseline: str, metered: Collection[Machine]) -> dict[Cell, dict[str, object]]:
    """What is said of each candidate against the baseline, and of geometric means over models; by column."""
    found = [c for c in tables.compare(study, METRIC, baseline) if c.cell.machine in metered]
    table = tables.comparison_table(study, found, METRIC, baseline)
    table["p_holm"] = table.groupby(["campaign", "host"], sort=False)["p_value"].transform(stats.holm)
    judged = zip(found, table["ci_low"], table["ci_high"], table["p_holm"], strict=True)
    verdicts = [c.verdict or stats.verdict(low, high, p) for c, low, high, p in judged]
    table["verdict"] = [_VERDICTS.get(verdict, verdict) for verdict in verdicts]
    # What is baseline / candidate there is candidate / baseline here, and so the lower end is the upper one.
    turned = table.rename(columns={"ci_low": "ci_high", "ci_high": "ci_low", "reason": "remark"})
    turned[["ratio", "ci_low", "ci_high"]] = 1 / turned[["ratio", "ci_low", "ci_high"]]
    rows = turned[[name for name in _AMOUNTS if name in turned]].to_dict("records")
    return {c.cell: row for c, row in zip(found, rows, strict=True)}


def _remarks(study: Study) -> dict[Cell, str]:
    """Of the configurations with an ok run: how their energy per inference is known, if not well, or why it is not."""
    key = ["campaign", "host", "log"]
    cell_of = dict(zip(study.runs[key].itertuples(index=False, name=None), study.run_cells, strict=True))
    told = _told(study)
    ok = told[told["status"] == "ok"]
    methods: dict[Cell, list[str]] = defaultdict(list)
    reasons: dict[Cell, list[str]] = defaultdict(list)
    for log, method, reason in zip(ok[key].itertuples(index=False, name=None), ok["method"], ok["reason"], strict=True):
        methods[cell_of[log]].append(method)
        reasons[cell_of[log]].append(reason)
    estimated = {cell: energy.ESTIMATED if energy.ESTIMATED in found else "" for cell, found in methods.items()}
    return {cell: "; ".join(filter(None, (estimated[cell], _counted(found)))) for cell, found in reasons.items()}
