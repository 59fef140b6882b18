"""Charts of what compression saves and costs; made and saved as those of `analysis.plots`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import hover
from analysis.delegation import PARTLY
from analysis.names import slug
from analysis.plots import ALARM, SMALL, variant_colours
from analysis.plots_across import panels_of
from analysis.study import Machine, Study, variant_key
from analysis.tables import number, with_interval
from analysis.tables_compression import by_file_set, delegate_name, delegates, variant_name


def charts(
    study: Study, table: pd.DataFrame | None
) -> Iterator[tuple[str, str, Callable[[], Figure | None], Callable[[], pd.DataFrame], str]]:
    """Name, title, drawing, numbers and topic of each chart, from `tables_compression.compression`, if there is one."""
    if table is None:
        return
    several = table["model"].nunique() > 1
    for (machine, model, rest), part in by_file_set(study, table).items():
        setting = study.setting_label(rest) if set(study.varying) - {"delegate"} else ""
        what = ", ".join(filter(None, (model if several else "", setting)))
        name = slug("_".join(filter(None, (study.stems[machine], "size_and_time", what))))
        title = ", ".join(filter(None, ("Size and time", study.labels[machine], what)))
        where = ", ".join(filter(None, (study.labels[machine], setting)))
        draw = partial(size_and_time, study, part, machine, f"Size and time of {model}: {where}")
        yield name, title, draw, part.copy, "compression"


def size_and_time(study: Study, table: pd.DataFrame, machine: Machine, title: str) -> Figure | None:
    """Size of the files against time, a panel for each delegate, with accuracy beside the marks.

    `table` is a part of `tables_compression.by_file_set`. None if no time or no size is known.
    """
    sizes, what = table["compressed_mb"], "compressed"
    if sizes.isna().any():
        sizes, what = table["size_mb"], "file"
    table = table.assign(drawn_mb=sizes)
    if table["mean_ms"].isna().all() or sizes.isna().all():
        return None
    names, colours = delegates(table), variant_colours(study)
    variants = sorted(set(table["variant"]), key=variant_key)
    # Of the file, so the same on each delegate. Beside the marks, those of files that are alike would cover each other.
    accuracies = table.dropna(subset="accuracy_percent").groupby("variant")["accuracy_percent"].first()
    accurate = {variant: f"{percent:.1f} %" for variant, percent in accuracies.items()}
    said = "Means over repetitions (process executions); lines: 95 % confidence intervals. "
    said += "Percentages: accuracy on held-out images. " if accurate else ""
    said += "Hollow: the delegate executes only parts of the model." if table["delegation"].eq(PARTLY).any() else ""
    figure, panels = panels_of(
        [delegate_name(study, name, machine) for name in names],
        min(len(names), 3),
        2.6,
        2.9,
        title=title,
        caption=said,
        key=[(" ".join(filter(None, (variant_name(each), accurate.get(each)))), colours[each]) for each in variants],
        left=0.75,
    )
    most_ms, most_mb = table[["mean_ms", "mean_ci_high_ms"]].max().max(), sizes.max()
    for axes, name in zip(panels, names, strict=True):
        absent = []
        for row in table[table["delegate"] == name].itertuples():
            if pd.isna(row.mean_ms):
                absent.append(f"{variant_name(row.variant)}: {row.absent}")
                continue
            colour, hollow = colours[row.variant], row.delegation == PARTLY
            if pd.notna(row.mean_ci_low_ms):
                bounds = max(row.mean_ci_low_ms, 0), row.mean_ci_high_ms
                axes.plot(bounds, [row.drawn_mb] * 2, color=colour, linewidth=1, solid_capstyle="butt")
            (mark,) = axes.plot(
                row.mean_ms,
                row.drawn_mb,
                "o",
                color=colour,
                markersize=6,
                markerfacecolor="white" if hollow else colour,
            )
            accuracy = accurate.get(row.variant)
            time = with_interval(row.mean_ms, row.mean_ci_low_ms, row.mean_ci_high_ms)
            parts = (f"{time} ms", f"{number(row.drawn_mb)} MB ({what})", accuracy and f"accuracy {accuracy}")
            hover.says(mark, f"{variant_name(row.variant)}: {', '.join(filter(None, parts))} (n = {row.n})")
        if absent:
            axes.text(0.04, 0.5, "\n".join(absent), transform=axes.transAxes, va="center", color=ALARM, fontsize=SMALL)
        axes.set_xlim(0, 1.05 * most_ms)
        axes.set_ylim(0, 1.15 * most_mb)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid()
        axes.set_xlabel("time (ms)", fontsize=8)
        if axes is panels[0]:
            axes.set_ylabel(f"size, {what} (MB)", fontsize=8)
    return figure
