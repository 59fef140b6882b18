"""Charts of operator-level profiles; made and saved as those of `analysis.plots`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.plots import QUIET, beside, new_rows, offsets, variant_colours, wrapped
from analysis.study import Machine, Setting, Study, variant_key
from analysis.tables import by_place, count
from analysis.tables_ops import chart_names, counted, milliseconds

_KINDS = 8  # of operators; the rest is one row


def charts(
    study: Study, table: pd.DataFrame | None
) -> Iterator[tuple[str, str, Callable[[], Figure], Callable[[], pd.DataFrame]]]:
    """Name, title, drawing and numbers of each chart, from the table of `tables_ops.operators`, if there is one."""
    if table is None:
        return
    parts = by_place(study, table)
    for (place, model), name in chart_names(study, table).items():
        title = f"Where the time went: {model}, {study.place_label(*place)}"
        mine = parts[place][parts[place]["model"] == model]
        yield name, title, partial(operators, study, mine, *place, model), partial(counted, mine)


def operators(study: Study, table: pd.DataFrame, machine: Machine, setting: Setting, model: str) -> Figure:
    """Time per inference by kind of operator, a bar for each variant; `table` is the model's part of the operators."""
    own = counted(table)
    variants = sorted(set(own["variant"]), key=variant_key)
    ms = own.pivot_table(index="operator", columns="variant", values="ms", aggfunc="sum")[variants]
    ms = ms.loc[ms.max(axis="columns").sort_values(ascending=False, kind="stable").index]
    shown = ms if len(ms) <= _KINDS + 1 else ms.iloc[:_KINDS]
    rest = len(ms) - len(shown)
    rows = dict(shown.iterrows())
    if rest:
        rows[count(rest, "other")] = ms.iloc[_KINDS:].sum()
    rows["all operators"] = ms.sum()
    n = own.groupby("variant")["n"].max()
    runs = "one run of each variant" if n.max() == 1 else "the mean of the runs of each variant"
    colours = variant_colours(study)
    figure, axes = new_rows(
        [wrapped(name, 34) for name in rows],
        max(0.24, 0.17 * len(variants)),
        title=f"Where the time went: {model}, {study.place_label(machine, setting)}",
        caption=f"Time per inference by kind of operator, in {runs} with operator profiling on, which costs "
        "time itself. No intervals: a difference of some percent may be noise.",
        right=0.9,
        key=[(f"{variant} (n = {n[variant]})", colours[variant]) for variant in variants],
    )
    for line, values in enumerate(rows.values()):
        for variant, offset in zip(variants, offsets(len(variants)), strict=True):
            if pd.isna(values[variant]):
                beside(axes, line + offset, "none", QUIET)
                continue
            axes.barh(line + offset, values[variant], 0.74 / len(variants), color=colours[variant])
            beside(axes, line + offset, f"{milliseconds(values[variant])} ms", QUIET)
    axes.axhline(len(rows) - 1.5, color="#BBBBBB", linewidth=0.6)
    axes.set_xlim(0, 1.05 * max(values.max() for values in rows.values()) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")
    axes.set_xlabel("time per inference (ms)")
    return figure
