"""Charts of energy; made and saved as those of `analysis.plots`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import hover
from analysis.names import OUT_OF_MEMORY
from analysis.plots import ALARM, QUIET, beside, new_rows, offsets, variant_colours, wrapped
from analysis.study import Machine, Setting, Study, variant_key
from analysis.tables import GEOMEAN, by_place, with_interval


def charts(
    study: Study, table: pd.DataFrame | None
) -> Iterator[tuple[str, str, Callable[[], Figure | None], Callable[[], pd.DataFrame]]]:
    """Name, title, drawing and numbers of each chart, from the table of `tables_energy.amounts`, if there is one."""
    if table is None:
        return
    for place, part in by_place(study, table[table["model"] != GEOMEAN]).items():
        if place not in study.charted:
            continue
        title = f"Energy per inference, {study.place_label(*place)}"
        yield f"{study.charted[place]}_energy", title, partial(per_inference, study, part, *place), part.copy


def per_inference(study: Study, table: pd.DataFrame, machine: Machine, setting: Setting) -> Figure | None:
    """Energy per inference of every model, a bar for each variant; None if there is none.

    `table` is the part of one machine and setting of `tables_energy.amounts`, without means over models.
    """
    if table["energy_inference_j"].isna().all():
        return None
    models, variants = list(dict.fromkeys(table["model"])), sorted(set(table["variant"]), key=variant_key)
    colours = variant_colours(study)
    figure, axes = new_rows(
        [wrapped(model, 28) for model in models],
        max(0.3, 0.19 * len(variants)),
        title=f"Energy per inference: {study.place_label(machine, setting)}",
        caption="Means over repetitions (process executions); lines: 95 % confidence intervals. "
        "An inference is of a whole batch. What the machine takes with nothing to do is in it.",
        right=2.3,
        key=[(variant, colours[variant]) for variant in variants],
    )
    ends = [0.0]
    for row in table.itertuples():
        y = models.index(row.model) + offsets(len(variants))[variants.index(row.variant)]
        if pd.isna(row.energy_inference_j):
            beside(axes, y, OUT_OF_MEMORY if OUT_OF_MEMORY in row.remark else "none", ALARM)
            continue
        bounds = row.energy_inference_ci_low_j, row.energy_inference_ci_high_j
        text = with_interval(row.energy_inference_j, *bounds)
        (bar,) = axes.barh(y, row.energy_inference_j, 0.74 / len(variants), color=colours[row.variant])
        hover.says(bar, f"{row.model}, {row.variant}: {text} J (n = {row.n})")
        if pd.notna(bounds[0]):
            axes.plot(bounds, [y, y], color="black", linewidth=1, solid_capstyle="butt")
        ends += [row.energy_inference_j, *(bound for bound in bounds if bound < 3 * row.energy_inference_j)]
        estimated = ", estimated" if "estimated" in row.remark else ""
        beside(axes, y, f"{text} J{estimated}", QUIET)
    axes.set_xlim(0, 1.05 * max(ends) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")
    axes.set_xlabel("energy per inference (J)")
    return figure
