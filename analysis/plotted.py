"""The numbers that charts draw, a row for each mark. A chart takes them from here, and plots/<name>.csv has the same.

Rows are plain tuples where a chart has its own: a DataFrame costs as much as drawing a bar. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.across import absence
from analysis.names import DEFAULT_METRIC
from analysis.study import Cell, Machine, Setting, Study


class Bar(NamedTuple):
    """The ok runs of a model and variant: how many, their mean and sd (n-1; NaN for less than two).

    `absent` says in a word or two why there is no mean; '' if there is one.
    """

    model: str
    variant: str
    metric: str
    n: int
    mean: float
    sd: float
    absent: str


def bars(study: Study, machine: Machine, setting: Setting, metric: str) -> list[Bar]:
    """A row per model and variant of one machine and setting, in the metric's unit."""
    cells = study.groups[machine, setting]
    models = dict.fromkeys(cell.model for cell in cells)
    variants = [v for v in study.variants if v in {cell.variant for cell in cells}]
    rows = []
    for cell in (Cell(machine, model, variant, setting) for model in models for variant in variants):
        values = study.sample(cell, metric).values
        mean = float(np.mean(values)) if values else np.nan
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
        absent = "" if values else absence(study, cell)
        rows.append(Bar(cell.model, cell.variant, metric, len(values), mean, sd, absent))
    return rows


class Repetition(NamedTuple):
    """One run that is ok or invalid. `repetition` is '' where it is not known.

    `deviation_percent` is from the median of the configuration's ok runs; of all that are here where none is ok.
    `outlier` is 'high' or 'low', else ''.
    """

    model: str
    variant: str
    repetition: int | str
    status: str
    metric: str
    value: float
    deviation_percent: float
    outlier: str


def repetitions(study: Study, machine: Machine, setting: Setting, metric: str) -> list[Repetition]:
    """A row per measured repetition of one machine and setting; those of a configuration in the order of the plan."""
    order, status, measured, fences = (study.columns[name] for name in ("repetition", "status", metric, "outlier"))
    rows = []
    for cell in study.groups[machine, setting]:
        at = [i for i in study.positions.get(cell, []) if status[i] in ("ok", "invalid") and measured[i] > 0]
        at = np.array(sorted(at, key=lambda i: order[i] or 0), dtype=int)
        valid = status[at] == "ok"
        median = np.median(measured[at[valid] if valid.any() else at]) if len(at) else np.nan
        for i in at:
            number = "" if order[i] is None else order[i]
            deviation = 100 * (measured[i] / median - 1)
            outlier = fences[i] if metric == DEFAULT_METRIC else ""  # the fences are of that metric
            rows.append(
                Repetition(cell.model, cell.variant, number, status[i], metric, measured[i], deviation, outlier)
            )
    return rows


_SPEEDUP = ["model", "variant", "baseline_variant", "speedup", "ci_low", "ci_high", "verdict"]
_SPEEDUP += ["n_baseline", "n_candidate", "method"]
_PLACE = ["campaign", "host", "platform", "runner", "threads", "delegate", "batch_size", "input_size"]


def speedup(table: pd.DataFrame) -> pd.DataFrame:
    """What the chart of one machine and setting draws of its part of `tables.speedups`."""
    return table[_SPEEDUP]


def speedup_overview(table: pd.DataFrame) -> pd.DataFrame:
    """What the chart of all machines draws of `tables.speedups`."""
    return table[[*_PLACE, *_SPEEDUP]]
