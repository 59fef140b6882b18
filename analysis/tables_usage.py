"""What the processes of runs used over time, or what a whole machine did meanwhile. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis import stats
from analysis.logs import OK
from analysis.names import INTEGER
from analysis.study import Cell, Study, cell_key
from analysis.tables import cell_columns
from analysis.usage import Usage


def of_study(study: Study) -> dict[str, pd.DataFrame]:
    """The table on the use of CPU and memory, by file name without ending; {} where no run was watched."""
    table = usage(study)
    return {"usage": table} if len(table) else {}


def watched(study: Study) -> dict[Cell, list[tuple[str, Usage]]]:
    """Log and samples of the ok runs of each cell that were watched, in report order."""
    told = study.dataset.usage
    found: dict[Cell, list[tuple[str, Usage]]] = defaultdict(list)
    keys = zip(*(study.runs[name] for name in ("campaign", "host", "log")), strict=True)
    for key, cell, status in zip(keys, study.run_cells, study.runs["status"], strict=True) if told else ():
        if cell and status == OK and key in told and len(told[key].time_s):
            found[cell].append((key[2], told[key]))
    return {cell: found[cell] for cell in sorted(found, key=cell_key)}


def usage(study: Study) -> pd.DataFrame:
    """tables/usage.csv: a row for each configuration of which a run was watched.

    Means are over time within a run, then over runs with 95 % intervals; peaks are the greatest sample of any run.
    """
    found = watched(study)
    rows = [dict(_row([used for _, used in of], study.max_df(cell.machine.campaign))) for cell, of in found.items()]
    table = pd.DataFrame(rows, columns=_COLUMNS).astype({"of": "str", "n": INTEGER, "samples": INTEGER})
    return pd.concat([cell_columns(study, list(found)), table], axis=1)


_QUANTITIES = {"cpu": ("percent",), "memory": ("mb", "percent")}
_PARTS = ("mean", "mean_ci_low", "mean_ci_high", "peak")
_COLUMNS = ["of", "n", "samples", "watched_s"]
_COLUMNS += [f"{name}_{part}_{unit}" for name, units in _QUANTITIES.items() for unit in units for part in _PARTS]


def _row(runs: Sequence[Usage], max_df: float) -> Iterator[tuple[str, object]]:
    first = runs[0].of  # the runner's way to be watched: the same for all runs of a cell
    runs = [used for used in runs if used.of == first]
    yield from (("of", first), ("n", len(runs)), ("samples", sum(len(used.time_s) for used in runs)))
    yield "watched_s", float(np.mean([used.time_s[-1] for used in runs]))
    for name, units in _QUANTITIES.items():
        for unit in units:
            known = [used for used in runs if getattr(used, f"{name}_{unit}") is not None]
            means = [mean_over_time(used, getattr(used, f"{name}_{unit}")) for used in known]
            if not means:
                continue
            sd = np.std(means, ddof=1) if len(means) > 1 else np.nan
            low, high = stats.mean_interval(np.mean(means), sd, len(means), max_df)
            peak = max(max(getattr(used, f"{name}_{unit}")) for used in known)
            values = (np.mean(means), low, high, peak)
            yield from ((f"{name}_{part}_{unit}", float(value)) for part, value in zip(_PARTS, values, strict=True))


def mean_over_time(used: Usage, values: Sequence[float]) -> float:
    """Each value counts for the time since the sample before, as it was sampled at uneven times; in the values' unit.

    The first counts since time 0, which is the start, or else the sample that is not there.
    """
    seconds = np.diff(np.asarray(used.time_s, dtype=float), prepend=0.0)
    total = seconds.sum()
    return float(seconds @ np.asarray(values, dtype=float) / total) if total > 0 else float(np.mean(values))
