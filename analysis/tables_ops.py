"""Operator-level profiles as tables: where the time of an inference went, and where a variant saves or loses some.

A profile is one run with an overhead of its own and no repetition, so nothing here has an interval. Time that is a part
of another node's is listed, and in no sum.
"""

from __future__ import annotations

import math
from collections import defaultdict

import pandas as pd

from analysis.grids import Grid
from analysis.names import DEFAULT_METRIC, NUMBER
from analysis.op_profile import RUN, operation, operator
from analysis.study import CELL, SAME_ON_BOTH_SIDES, SETTING, Cell, Machine, Setting, Study, cell_key, file_names
from analysis.tables import by_place, differing, number, places

ALL = "all operators"  # stands for an operation in the rows that sum over all

_CELL = [*CELL[:2], "platform", *CELL[2:]]


def tables(study: Study, baseline: str) -> dict[str, pd.DataFrame]:
    """The tables of the profiles, by file name without ending; {} where there are none."""
    if study.dataset.op_profiles.empty:
        return {}
    profile = operators(study)
    return {
        "op_profile": profile,
        "op_difference": differences(study, profile, baseline),
        "op_overhead": overheads(study, profile),
    }


def operators(study: Study) -> pd.DataFrame:
    """tables/op_profile.csv: one row per host, configuration, section and operator.

    `ms` and `calls` are per inference (in section `init`: per process), means over `n` profiled runs; `share_percent`
    is that of the section's time. Where `inside` is not empty, the time is a part of another row's.
    """
    nodes = study.dataset.op_profiles
    nodes = nodes.assign(
        operator=nodes["type"].map(operator),
        operation=nodes["type"].map(operation),
        n=nodes.groupby(_CELL, dropna=False)["log"].transform("nunique"),
        # One that is not in every run took no time in the others, so the sum is over all runs.
        ms=lambda all_nodes: all_nodes["ms"] / all_nodes["n"],
        calls=lambda all_nodes: all_nodes["calls"].astype(float) / all_nodes["n"],
    )
    key = [*_CELL, "section", "inside", "operator", "operation"]
    table = nodes.groupby([*key, "n"], dropna=False)[["ms", "calls"]].sum().reset_index()
    own = table["ms"].where(table["inside"] == "", 0.0)
    whole = own.groupby([table[name] for name in (*_CELL, "section")], dropna=False).transform("sum")
    table["share_percent"] = 100 * table["ms"] / whole.where(whole > 0)
    cells = _cells(study, table)
    place_of = {cell: place for place, cell in enumerate(sorted(set(cells), key=cell_key))}
    table["place"] = [place_of[cell] for cell in cells]
    table["longest"] = -table["ms"]
    table = table.sort_values(["place", "section", "inside", "longest", "operator"], ignore_index=True)
    return table[[*key, "ms", "share_percent", "calls", "n"]]


def differences(study: Study, profile: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """tables/op_difference.csv: ms per inference by operation, of baseline and candidate, and candidate - baseline.

    What a variant does not do takes it 0 ms. Each comparison ends with the sum over all. `remark` says what else
    the two sides differ in.
    """
    facts = _facts(study)
    own = counted(profile)
    ms: dict[Cell, dict[str, float]] = defaultdict(dict)
    names: dict[Cell, dict[str, object]] = {}
    for cell, row in zip(_cells(study, own), own.to_dict("records"), strict=True):
        ms[cell][row["operation"]] = ms[cell].get(row["operation"], 0.0) + row["ms"]
        names[cell] = {name: row[name] for name in _CELL}
    rows = []
    for cell in sorted(ms, key=cell_key):
        candidate, base = ms[cell], ms.get(cell._replace(variant=baseline))
        if cell.variant == baseline or base is None:
            continue
        pairs = {name: (base.get(name, 0.0), candidate.get(name, 0.0)) for name in {**base, **candidate}}
        longest_first = sorted(pairs, key=lambda name: (-max(pairs[name]), name))
        of_baseline = facts[cell._replace(variant=baseline)]
        unlike = differing({name: facts[cell][name] | of_baseline[name] for name in SAME_ON_BOTH_SIDES})
        pairs[ALL] = (math.fsum(base.values()), math.fsum(candidate.values()))
        for name in (*longest_first, ALL):
            numbers = {"baseline_ms": pairs[name][0], "candidate_ms": pairs[name][1]}
            numbers["difference_ms"] = pairs[name][1] - pairs[name][0]
            names_of_row = {"baseline_variant": baseline, "operation": name, "remark": "; ".join(unlike)}
            rows.append(names[cell] | names_of_row | numbers)
    numbers = ["baseline_ms", "candidate_ms", "difference_ms"]
    columns = [*_CELL[:5], "baseline_variant", *SETTING, "operation", *numbers, "remark"]
    types = profile.dtypes[_CELL].to_dict() | dict.fromkeys(numbers, NUMBER)
    return pd.DataFrame(rows, columns=columns).astype(types)


def _facts(study: Study) -> dict[Cell, dict[str, set[str]]]:
    """What should be the same on both sides, of each cell's profiled runs; unknown ('') left out."""
    nodes, key = study.dataset.op_profiles, ["campaign", "host", "log"]
    runs = nodes[key].drop_duplicates().merge(study.dataset.runs, on=key)
    found: dict[Cell, dict[str, set[str]]] = defaultdict(lambda: {name: set() for name in SAME_ON_BOTH_SIDES})
    for cell, row in zip(_cells(study, runs), runs.to_dict("records"), strict=True):
        for name, values in found[cell].items():
            values |= {row[name]} - {""}
    return found


def overheads(study: Study, profile: pd.DataFrame) -> pd.DataFrame:
    """tables/op_overhead.csv: what profiling cost, per host and configuration, in ms per inference.

    `operators_ms` is the sum over all operators, `profiled_ms` the mean of the whole profiled runs, `measured_ms` the
    mean of the `n_measured` ok runs without profiling, `overhead_percent` by how much the former is above the latter.
    """
    nodes = study.dataset.op_profiles
    profiled = nodes.drop_duplicates(["campaign", "host", "log"])
    logs = set(zip(profiled["campaign"], profiled["host"], profiled["log"], strict=True))
    measured: dict[Cell, list[float]] = defaultdict(list)
    columns = (study.runs[name] for name in ("campaign", "host", "log", "status", DEFAULT_METRIC))
    for cell, campaign, host, log, status, value in zip(study.run_cells, *columns, strict=True):
        if cell and status == "ok" and (campaign, host, log) not in logs and not math.isnan(value):
            measured[cell].append(value)
    own = counted(profile)
    table = own.groupby([*_CELL, "n"], dropna=False, sort=False)["ms"].sum().rename("operators_ms").reset_index()
    whole = profiled.groupby(_CELL, dropna=False)[DEFAULT_METRIC].mean().rename("profiled_ms").reset_index()
    table = table.merge(whole, on=_CELL, how="left")
    samples = [measured[cell] for cell in _cells(study, table)]
    table["measured_ms"] = [math.fsum(sample) / len(sample) if sample else math.nan for sample in samples]
    table["n_measured"] = [len(sample) for sample in samples]
    table["overhead_percent"] = 100 * (table["profiled_ms"] / table["measured_ms"] - 1)
    return table


def counted(profile: pd.DataFrame) -> pd.DataFrame:
    """The rows of `operators` that add up to the time of an inference."""
    return profile[(profile["section"] == RUN) & (profile["inside"] == "")]


def chart_names(study: Study, profile: pd.DataFrame) -> dict[tuple[tuple[Machine, Setting], str], str]:
    """A file name for the chart of each machine, setting and model that has a time in `operators`."""
    parts = by_place(study, counted(profile))
    pairs = [(place, model) for place, part in parts.items() for model in part["model"].unique()]
    # Where nothing but profiles was measured, a place has no stem of its own.
    stems = {place: study.group_stems.get(place, study.stems[place[0]]) for place in parts}
    names = (f"{stems[place]}_operators_{model}" for place, model in pairs)
    return dict(zip(pairs, file_names(names), strict=True))


def _cells(study: Study, table: pd.DataFrame) -> list[Cell]:
    """The cell of each row."""
    rows = zip(places(study, table), table["model"], table["variant"], strict=True)
    return [Cell(machine, model, variant, setting) for (machine, setting), model, variant in rows]


# --- as people read them ----------------------------------------------------------------------------------------------


def milliseconds(value: float) -> str:
    """As `number`, but no digit that the tool's microseconds do not have."""
    return number(value) if pd.isna(value) or abs(value) >= 0.1 else f"{round(value, 3) + 0.0:.3f}"


def difference_grid(table: pd.DataFrame) -> Grid:
    """`differences` of one machine and setting."""
    remarked = table["remark"].any()
    head = ["Model", "Candidate", "Operation", "#Baseline (ms)", "#Candidate (ms)", "#Difference (ms)"]
    head += ["Remark"] if remarked else []
    rows = [
        [
            row.model,
            row.variant,
            row.operation,
            *map(milliseconds, (row.baseline_ms, row.candidate_ms, row.difference_ms)),
            *([row.remark] if remarked else []),
        ]
        for row in table.itertuples()
    ]
    return Grid.of(head, rows)


def overhead_grid(table: pd.DataFrame) -> Grid:
    """`overheads` of one machine and setting."""
    head = ["Model", "Variant", "#Profiled runs", "#All operators (ms)", "#Profiled run (ms)"]
    head += ["#Measured without (ms)", "#n", "#Overhead (%)"]
    rows = [
        [
            row.model,
            row.variant,
            str(row.n),
            *map(milliseconds, (row.operators_ms, row.profiled_ms, row.measured_ms)),
            str(row.n_measured),
            "" if math.isnan(row.overhead_percent) else f"{row.overhead_percent:+.1f}",
        ]
        for row in table.itertuples()
    ]
    return Grid.of(head, rows)
