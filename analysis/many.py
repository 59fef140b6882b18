"""What a report says of many machines together, where listing each would be too long to read. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from analysis import claims, grids, stats
from analysis.grids import Grid
from analysis.study import Machine, Study, mapping, model_key, variant_key
from analysis.tables import GEOMEAN, interval, number, places, share_of_models

SHOWN = 20  # of a list that may be as long as there are logs
ENDS = 10  # machines that gain most, and least
# Tables of which the page of many machines says only where they are.
ELSEWHERE = {
    "decisions": "how repetitions and iterations were decided",
    "cost": "what leasing cost",
    "op_difference": "where the time of inferences went",
    "energy": "what runs and inferences take",
    "energy_meters": "which meter each machine has",
    "compression": "size, accuracy, time and memory of each technique",
    "quality": "how well configurations classify",
    "agreement": "how they differ from the model itself",
    "usage": "CPU and memory of runs over time",
    "phones": "batteries, power supplies and screens of phones",
    "sweeps": "times over batch and input sizes",
    "lab_questions": "what latency grows with",
    "trade_off": "which models others beat in everything",
}

_COMPARED = (stats.FASTER, stats.SLOWER, stats.NOT_DISTINGUISHABLE)
_COUNTS = {verdict: verdict.replace(" ", "_") for verdict in stats.VERDICTS}
_QUANTILES = {"least": 0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "greatest": 1}


def speedups_by_model(study: Study, speedups: pd.DataFrame) -> pd.DataFrame:
    """tables/speedup_by_model.csv: `tables.speedups` over machines, a row per setting, candidate and model.

    The quantiles are over `machines`, those that have a speedup, and in the rows of geometric means one of all models:
    they describe these machines, and are no estimate for others.
    """
    rows = []
    by = ["variant", *study.varying, "model"]
    for key, mine in speedups.groupby(by, sort=False, dropna=False):
        compared = mine[_comparable(mine)].sort_values("speedup", kind="stable")
        verdicts = Counter(mine["verdict"])
        values = compared["speedup"].to_numpy()
        quantiles = np.quantile(values, list(_QUANTILES.values())) if len(values) else [np.nan] * len(_QUANTILES)
        ends = [study.labels[Machine(row.campaign, row.host)] for row in (compared.iloc[[0, -1]]).itertuples()] or [
            "",
            "",
        ]
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "baseline_variant": mine["baseline_variant"].iloc[0],
                "metric": mine["metric"].iloc[0],
                **{name: verdicts[verdict] for verdict, name in _COUNTS.items()},
                "machines": len(compared),
                **dict(zip(_QUANTILES, quantiles, strict=True)),
                **dict(zip(("least_machine", "greatest_machine"), ends, strict=True)),
            }
        )
    rows.sort(key=lambda row: (variant_key(row["variant"]), row["model"] == GEOMEAN, model_key(row["model"])))
    columns = [
        *by,
        "baseline_variant",
        "metric",
        *_COUNTS.values(),
        "machines",
        *_QUANTILES,
        "least_machine",
        "greatest_machine",
    ]
    return pd.DataFrame(rows, columns=columns)


def _comparable(speedups: pd.DataFrame) -> pd.Series:
    """Which speedups machines can be ordered by: a mean of some models says nothing beside a mean of all."""
    return speedups["verdict"].isin(_COMPARED) & (speedups["method"].map(share_of_models) == "")


def found(study: Study, table: pd.DataFrame) -> Grid:
    """`speedups_by_model` as people read it."""
    head = ["Candidate", *(name.replace("_", " ").capitalize() for name in study.varying), "Model"]
    head += [f"#{verdict.capitalize()}" for verdict in stats.VERDICTS]
    head += ["#Machines", "#Least", "#Quarter below", "#Median", "#Quarter above", "#Greatest"]
    rows = []
    for row in table.itertuples():
        counts = (str(getattr(row, name)) for name in _COUNTS.values())
        setting = grids.setting_cells(study, row, study.varying)
        model = "geometric mean" if row.model == GEOMEAN else row.model
        quantiles = (number(getattr(row, name)) for name in _QUANTILES)
        rows.append([row.variant, *setting, model, *counts, str(row.machines), *quantiles])
    return Grid.of(head, rows)


def study_findings(study: Study, table: pd.DataFrame) -> Grid:
    """`claims.study_findings` without a row for each machine: those are in the table of machines."""
    of_each = (table["finding"] == claims.SLOWER) & (table["quantity"] == "speedup")
    return first(grids.study_findings(study, table[~of_each]), "rows, see tables/study_findings.csv")


def ends(study: Study, speedups: pd.DataFrame) -> dict[str, Grid]:
    """The machines with the greatest and the least geometric means, by what to call the list."""
    means = speedups[(speedups["model"] == GEOMEAN) & _comparable(speedups)]
    means = means.sort_values("speedup", kind="stable")
    n = min(ENDS, len(means) // 2)
    lists = {"Where the candidate gains least": means.head(n), "Where it gains most": means.tail(n).iloc[::-1]}
    head = ["Machine", "Candidate", "#Geometric mean", "#95 % interval", "Verdict"]
    return {
        title: Grid.of(
            head,
            (
                [
                    study.place_label(Machine(row.campaign, row.host), place[1]),
                    row.variant,
                    number(row.speedup),
                    interval(row.ci_low, row.ci_high),
                    row.verdict,
                ]
                for row, place in zip(part.itertuples(), places(study, part), strict=True)
            ),
        )
        for title, part in lists.items()
        if n
    }


def machines(study: Study, speedups: pd.DataFrame, trust: pd.DataFrame) -> Grid:
    """A row for each machine: what it is, how much of it is usable, its geometric means."""
    means: dict[Machine, list[str]] = {machine: [] for machine in study.machines}
    rows = speedups[speedups["model"] == GEOMEAN]
    for row, (machine, setting) in zip(rows.itertuples(), places(study, rows), strict=True):
        if row.verdict in _COMPARED:
            sign = "≈ " if row.verdict == stats.NOT_DISTINGUISHABLE else ""
            what = ", ".join(filter(None, (row.variant, study.setting_label(setting, machine))))
            share = f", {share}" if (share := share_of_models(row.method)) else ""
            means[machine].append(f"{what} {sign}{number(row.speedup)} ({interval(row.ci_low, row.ci_high)}){share}")
    head = ["Machine", "Host", "Processor", "Architecture", "#ok", "#invalid", "#failed", "#Without result"]
    head += ["#Variation (%)", "Speedup, geometric mean"]
    grid = []
    for machine, row in zip(study.machines, trust.itertuples(), strict=True):
        facts = mapping(study.dataset.hosts.get(machine))
        of_host = [str(facts.get(name) or "") for name in ("cpu_model", "arch")]
        runs = [str(n) for n in (row.ok, row.invalid, row.failed, row.configurations_missing)]
        label, host = study.labels[machine], study.host_name(machine)
        grid.append([label, host, *of_host, *runs, number(row.cv_percent_median, 2), "; ".join(means[machine])])
    return Grid.of(head, grid)


def reasons(study: Study) -> Grid:
    """Why runs are in no mean: each reason with how many runs and machines it had, the most frequent first."""
    bad = study.runs[(study.runs["status"] != "ok").to_numpy()]
    where = bad["campaign"] + "/" + bad["host"]
    table = bad.assign(where=where).groupby(["status", "reason"])["where"].agg(["size", "nunique"]).reset_index()
    table = table.sort_values(["size", "status", "reason"], ascending=[False, True, True])
    rows = ([row.status, row.reason, str(row.size), str(row.nunique)] for row in table.itertuples(index=False))
    return first(Grid.of(["Status", "Reason", "#Runs", "#Machines"], rows), "reasons, see tables/runs.csv")


def first(grid: Grid, rest: str) -> Grid:
    """The first rows of a grid, and a last one that says how many more there are of the rest."""
    more = len(grid.rows) - SHOWN
    if more <= 0:
        return grid
    last = [f"and {more} more {rest}", *[""] * (len(grid.head) - 1)]
    return Grid(grid.head, [*grid.rows[:SHOWN], last], grid.numeric)


def some(texts: Iterable[str], rest: str) -> list[str]:
    """The first of many texts, and how many more there are of the rest."""
    texts = list(texts)
    more = len(texts) - SHOWN
    return [*texts[:SHOWN], f"and {more} more {rest}"] if more > 0 else texts


def short(grid: Grid) -> Grid:
    """The same with long texts cut."""
    rows = [[textwrap.shorten(cell, 200, placeholder=" ...") for cell in row] for row in grid.rows]
    return Grid(grid.head, rows, grid.numeric)
