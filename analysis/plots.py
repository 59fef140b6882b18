"""The charts of a report: functions that return a `Figure`. Make and save them under `rc_context(STYLE)`.

Layout is by hand, in inches, since Matplotlib's layout engines draw every chart several times. Colours are Okabe and
Ito's, which colour-blind people can tell apart; a variant has the same colour in every chart. What has no number is
written where its mark would be.
"""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from analysis import hover, isa, plotted, stats
from analysis.comparison import REGRESSION, change
from analysis.names import OUT_OF_MEMORY
from analysis.study import Machine, Setting, Study, metric_label, model_key, variant_key
from analysis.tables import GEOMEAN, in_place_of_speedup, interval, number, places, share_of_models

STYLE = {
    "font.size": 9.0,
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib; every further name is looked up for each text
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "text.hinting": "none",
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched and edited
    "svg.hashsalt": "edgebench",  # the same chart gives the same bytes
}
_VARIANT_COLOURS = {"float32": "#0072B2", "dynamic_range": "#E69F00", "float16": "#009E73", "int8": "#CC79A7"}
_OTHER_COLOURS = ("#D55E00", "#56B4E9", "#000000", "#F0E442")
QUIET, ALARM = "#666666", "#B00020"
SMALL = 7.0  # points
_MAX_NUMBERED_BARS = 28  # with more, the numbers on the bars would overlap


def bars(study: Study, machine: Machine, setting: Setting, metric: str) -> Figure | None:
    """The seed's bar chart: a metric of every model, its variants side by side. None if no run reports the metric."""
    rows = plotted.bars(study, machine, setting, metric)
    if not any(row.n for row in rows):
        return None
    models = list(dict.fromkeys(row.model for row in rows))
    variants = list(dict.fromkeys(row.variant for row in rows))
    room = max(0.95, 0.32 * len(variants))  # inches for one model
    names = [wrapped(model, 24) for model in models]
    slanted = inches(names) > room
    bottom = 0.15 + (0.75 * inches(names) if slanted else 0.15 * max(map(line_count, names)))
    key = [
        (f"{variant} ({_n([row.n for row in rows if row.variant == variant])})", variant_colours(study)[variant])
        for variant in variants
    ]
    label, unit = metric_label(metric)
    figure, axes = new_axes(
        1.0 + room * len(models),
        2.1,
        title=f"{label}: {study.place_label(machine, setting)}",
        caption="Means of n repetitions (process executions); error bars: ± 1 standard deviation between them.",
        key=key,
        left=0.75,
        bottom=bottom,
    )

    width = 0.8 / len(variants)
    tops: list[tuple[float, float, str]] = []
    missing: list[tuple[float, str]] = []
    for variant, offset in zip(variants, offsets(len(variants)), strict=True):
        at = [(x + offset, row) for x, row in enumerate(row for row in rows if row.variant == variant)]
        found = [(x, row, 0.0 if math.isnan(row.sd) else row.sd) for x, row in at if row.n]
        errors = {"elinewidth": 1, "capsize": 2}
        marks = axes.bar(
            [x for x, _, _ in found],
            [row.mean for _, row, _ in found],
            0.92 * width,
            yerr=[sd for _, _, sd in found],
            color=variant_colours(study)[variant],
            error_kw=errors,
        )
        for mark, (x, row, sd) in zip(marks, found, strict=True):
            tops.append((x, row.mean + sd, number(row.mean)))
            spread = f" ± {number(sd)}" if row.n > 1 else ""
            hover.says(mark, f"{row.model}, {variant}: {number(row.mean, 4)}{spread} {unit} (n = {row.n})")
        missing += [(x, row.absent) for x, row in at if not row.n]
    low, high = 1.1 * min(0, *(y for _, y, _ in tops), 0), 1.15 * max(*(y for _, y, _ in tops), 0) or 1.0
    gap = 0.015 * (high - low)
    for x, why in missing:
        axes.text(x, gap, why, rotation=90, ha="center", va="bottom", color=ALARM, fontsize=SMALL)
    if len(tops) <= _MAX_NUMBERED_BARS:
        for x, y, text in tops:
            axes.text(x, max(y, 0) + gap, text, ha="center", va="bottom", fontsize=SMALL)

    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y")
    axes.set_ylabel("time (ms)" if unit == "ms" else f"memory ({unit})")
    axes.set_xlim(-0.55, len(models) - 0.45)
    slant = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(models)), names, **slant)
    axes.tick_params(axis="x", length=0)
    return figure


def speedup(study: Study, table: pd.DataFrame, machine: Machine, setting: Setting) -> Figure | None:
    """The speedups of one machine and setting with their intervals; `table` is their part of `tables.speedups`.

    None if there is none.
    """
    if table["speedup"].isna().all():
        return None
    models = [model for model in table["model"].drop_duplicates() if model != GEOMEAN]
    variants = list(table["variant"].drop_duplicates())
    names = [*(wrapped(model, 28) for model in models), "geometric mean"]
    figure, axes = new_rows(
        names,
        max(0.24, 0.16 * len(variants)),
        title=f"Speedup: {study.place_label(machine, setting)}",
        caption="Lines: 95 % confidence intervals. Hollow marks: not distinguishable from 1, or not comparable.",
        right=2.3,
        key=[(v, variant_colours(study)[v]) for v in variants],
    )
    for row in table.itertuples():
        line = len(models) if row.model == GEOMEAN else models.index(row.model)
        _speedup_mark(
            axes, row, line + offsets(len(variants))[variants.index(row.variant)], variant_colours(study)[row.variant]
        )
    axes.axhline(len(models) - 0.5, color="#BBBBBB", linewidth=0.6)
    speedup_axis(axes, table)
    return figure


def speedup_overview(study: Study, table: pd.DataFrame) -> Figure:
    """The geometric means of all machines and settings with their intervals; each model's speedup as a small dot."""
    variants = list(dict.fromkeys(table["variant"]))
    of_rows = places(study, table)
    of_machine: dict[Machine, list[tuple[Machine, Setting]]] = defaultdict(list)
    for place in dict.fromkeys(of_rows):
        of_machine[place[0]].append(place)
    rows = []
    for row in isa.in_groups(study, of_machine):
        rows += [row] if isinstance(row, isa.Heading) else of_machine[row]
    names = [wrapped(row if isinstance(row, isa.Heading) else study.place_label(*row), 40) for row in rows]
    figure, axes = new_rows(
        names,
        max(0.3, 0.17 * len(variants)),
        title="Speedup on every machine",
        caption="Diamonds: geometric mean over models, with its 95 % confidence interval. Small dots: single models.",
        right=2.3,
        key=[(v, variant_colours(study)[v]) for v in variants],
    )
    embolden(axes, rows)
    for row, place in zip(table.itertuples(), of_rows, strict=True):
        y = rows.index(place) + offsets(len(variants))[variants.index(row.variant)]
        colour = variant_colours(study)[row.variant]
        if row.model == GEOMEAN:
            _speedup_mark(axes, row, y, colour)
        elif not math.isnan(row.speedup):
            (dot,) = axes.plot(row.speedup, y, "o", color=colour, markersize=3, alpha=0.45, markeredgewidth=0, zorder=1)
            hover.says(dot, _speedup_text(row))
    speedup_axis(axes, table)
    return figure


def speedups_by_model(study: Study, table: pd.DataFrame) -> Figure | None:
    """How the speedups of each model are spread over many machines; None if there are none.

    `table` is `tables.speedups`; means of some of the models are left out, beside means of all they say nothing.
    """
    table = table[table["ci_low"].notna() & (table["method"].map(share_of_models) == "")]
    if table.empty:
        return None
    variants = sorted(table["variant"].unique(), key=variant_key)
    models = sorted(table["model"].unique(), key=lambda model: (model == GEOMEAN, model_key(model)))
    names = ["geometric mean" if model == GEOMEAN else wrapped(model, 28) for model in models]
    figure, axes = new_rows(
        names,
        max(0.3, 0.2 * len(variants)),
        title=f"Speedups on {len(table[['campaign', 'host']].drop_duplicates())} machines",
        caption="Boxes: the middle half of the machines, with their median; whiskers: the least and the greatest.",
        right=1.0,
        key=[(v, variant_colours(study)[v]) for v in variants],
    )
    for (variant, model), mine in table.groupby(["variant", "model"], sort=False):
        y = models.index(model) + offsets(len(variants))[variants.index(variant)]
        colour = variant_colours(study)[variant]
        axes.boxplot(
            mine["speedup"],
            positions=[y],
            widths=0.6 / len(variants),
            orientation="horizontal",
            whis=(0, 100),
            manage_ticks=False,
            patch_artist=True,
            boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.5},
            medianprops={"color": "black"},
            whiskerprops={"color": colour},
            capprops={"color": colour},
        )
        beside(axes, y, f"n = {len(mine)}", QUIET)
    speedup_axis(axes, table)
    return figure


def repetitions(study: Study, machine: Machine, setting: Setting, metric: str) -> Figure | None:
    """Every single repetition of one machine and setting, relative to the median of its configuration.

    None if there are none.
    """
    cells = study.groups[machine, setting]
    label, unit = metric_label(metric)
    names = [wrapped(f"{cell.model} {cell.variant}", 40) for cell in cells]
    figure, axes = new_rows(
        names,
        0.27,
        title=f"All repetitions: {study.place_label(machine, setting)}",
        caption="Each dot is one repetition, the first one at the top of its row. Red crosses are invalid repetitions, "
        "left out of all means; at the edge, they lie beyond it. Rings: outliers, more than "
        f"{stats.FENCE_IQR:g} interquartile ranges beyond the quartiles; they are in all means.",
        right=1.6,
    )
    of_cell: dict[tuple[str, str], list[plotted.Repetition]] = defaultdict(list)
    for row in plotted.repetitions(study, machine, setting, metric):
        of_cell[row.model, row.variant].append(row)
    points: dict[str, list[tuple[float, float, str, str]]] = {"ok": [], "invalid": []}
    rings = []
    for line, cell in enumerate(cells):
        mine = of_cell[cell.model, cell.variant]
        heights = line + np.linspace(-0.32, 0.32, len(mine)) if len(mine) > 1 else [line]
        for y, row in zip(heights, mine, strict=False):
            which = f"repetition {row.repetition}".strip()
            text = f"{cell.model}, {cell.variant}, {which}: {number(row.value, 4)} {unit}"
            text += f", {row.deviation_percent:+.1f} %"
            text += ", invalid" if row.status == "invalid" else ", outlier" if row.outlier else ""
            points[row.status].append((row.deviation_percent, y, variant_colours(study)[cell.variant], text))
            if row.outlier:
                rings.append((row.deviation_percent, y))
        valid = sum(row.status == "ok" for row in mine)
        counts = [f"n = {valid}"] + [f"{study.n(cell, s)} {s}" for s in ("invalid", "failed") if study.n(cell, s)]
        text = ", ".join(counts) if cell in study.positions else "no run"
        if cell in study.out_of_memory:
            text = OUT_OF_MEMORY
        colour = QUIET if valid and len(counts) == 1 else ALARM
        beside(axes, line, text, colour)
    if not any(points.values()):
        return None

    limit = max(2.0, *(1.1 * abs(x) for x, *_ in points["ok"]), 0)
    if points["ok"]:
        x, y, colour, texts = zip(*points["ok"], strict=True)
        hover.says(axes.scatter(x, y, s=14, c=colour, alpha=0.7, linewidths=0), *texts)
    if rings:
        axes.scatter(*zip(*rings, strict=True), s=60, facecolors="none", edgecolors=ALARM, linewidths=0.9)
    if points["invalid"]:
        x, y, _, texts = zip(*points["invalid"], strict=True)
        x = np.clip(x, -limit, limit)
        hover.says(axes.scatter(x, y, s=18, c=ALARM, marker="x", linewidths=1, clip_on=False, zorder=3), *texts)
    axes.set_xlim(-limit, limit)
    axes.axvline(0, color="#999999", linewidth=0.8, zorder=1)
    axes.hlines(np.arange(0.5, len(cells) - 1), -limit, limit, color="#E4E4E4", linewidth=0.6, zorder=0)
    axes.set_xlabel(f"{label}: deviation from the configuration's median (%)")
    return figure


def changes(table: pd.DataFrame, names: Sequence[str], title: str, tolerance_percent: float) -> Figure | None:
    """Changes from one side to another with their intervals, and the tolerance they are held against.

    `table` is a part of `analysis.comparison`'s in one metric, `names` has a name for each of its rows. None if there
    is no number.
    """
    if table["ratio"].isna().all():
        return None
    figure, axes = new_rows(
        [wrapped(name, 40) for name in names],
        0.27,
        title=f"Change: {title}",
        caption="Lines: 95 % confidence intervals, nothing paired. Red: regression. Hollow marks: not distinguishable "
        "from no change, or not comparable. Grey: up to the tolerance.",
        right=2.5,
    )
    percent = 100 * (table[["ratio", "ci_low", "ci_high"]].to_numpy(dtype=float) - 1)
    ends = percent[np.isfinite(percent[:, 0]), 0]
    reach = 4 * max(*np.abs(ends), tolerance_percent, 1.0)  # an interval that is much wider would hide all others
    ends = [*ends, *percent[np.abs(percent) < reach], 1.5 * tolerance_percent, -1.0, 1.0]
    room = 0.06 * (max(ends) - min(ends))
    low, high = min(ends) - room, max(ends) + room
    for y, ((_, row), (centre, left, right)) in enumerate(zip(table.iterrows(), percent, strict=True)):
        if math.isnan(centre):
            beside(axes, y, row["verdict"], ALARM)
            continue
        colour = ALARM if row["outcome"] == REGRESSION else _VARIANT_COLOURS["float32"]
        if not math.isnan(left):
            axes.plot([max(left, 2 * low), min(right, 2 * high)], [y, y], color=colour, linewidth=2)
        sure = row["verdict"] not in (stats.NOT_DISTINGUISHABLE, stats.NOT_COMPARABLE)
        shape = "D" if row["model"] == GEOMEAN else "o"
        axes.plot(centre, y, shape, color=colour, markerfacecolor=colour if sure else "white", markersize=4.5)
        beside(axes, y, f"{change(row)} {row['outcome']}", QUIET)
    axes.axvspan(low, tolerance_percent, color="#EEEEEE", linewidth=0, zorder=0)
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    axes.set_xlim(low, high)
    axes.grid(axis="x")
    axes.set_xlabel("change from A to B (%); above 0 = B takes more")
    return figure


def _speedup_mark(axes: Axes, row: tuple, y: float, colour: str) -> None:
    """One speedup with its interval and number; without a number, its verdict."""
    if math.isnan(row.speedup):
        beside(axes, y, in_place_of_speedup(row), ALARM)
        return
    low, high = (row.ci_low, row.ci_high) if row.ci_low == row.ci_low else (row.speedup, row.speedup)
    (line,) = axes.plot([max(low, 1e-9), min(high, 1e9)], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    sure = row.verdict in (stats.FASTER, stats.SLOWER)
    shape = "D" if row.model == GEOMEAN else "o"
    fill = colour if sure else "white"
    (mark,) = axes.plot(row.speedup, y, shape, color=colour, markerfacecolor=fill, markersize=4.5)
    hover.says(line, _speedup_text(row))
    hover.says(mark, _speedup_text(row))
    bounds = interval(row.ci_low, row.ci_high)
    text = f"{number(row.speedup)} ({bounds})" if bounds else number(row.speedup)
    if row.model == GEOMEAN and (share := share_of_models(row.method)):
        text += f", {share}"
    beside(axes, y, text if sure else f"{text} {row.verdict}", QUIET)


def _speedup_text(row: tuple) -> str:
    model = "geometric mean" if row.model == GEOMEAN else row.model
    bounds = interval(row.ci_low, row.ci_high)
    return f"{model}, {row.variant}: {number(row.speedup)}{f' ({bounds})' if bounds else ''}, {row.verdict}"


def speedup_axis(axes: Axes, table: pd.DataFrame) -> None:
    """A logarithmic axis, on which 1/2 and 2 are equally far from 1, with the line at 1."""
    estimates = [*table["speedup"].dropna(), 1.0]
    bounds = [b for b in (*table["ci_low"], *table["ci_high"]) if max(estimates) * 10 > b > min(estimates) / 10]
    low, high = min(*estimates, *bounds, 1) / 1.15, max(*estimates, *bounds, 1) * 1.15
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = (1, 1.5, 2, 3, 5, 7) if high / low < 20 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(-6, 7) for step in steps]
    if high / low < 3:
        per_unit = 10 if high / low < 1.6 else 4
        ticks = [i / per_unit for i in range(1, 100)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x")
    axes.axvline(1, color="black", linewidth=1, zorder=1)
    baselines = "/".join(table["baseline_variant"].drop_duplicates())
    axes.set_xlabel(f"speedup: {baselines} time / candidate time, logarithmic (above 1 = faster)")


def variant_colours(study: Study) -> dict[str, str]:
    """The colour of each variant, the same in every chart of a report."""
    others = [variant for variant in study.variants if variant not in _VARIANT_COLOURS]
    return _VARIANT_COLOURS | {v: _OTHER_COLOURS[i % len(_OTHER_COLOURS)] for i, v in enumerate(others)}


def _n(counts: Sequence[int]) -> str:
    """'n = 10' or 'n = 8 to 10'; of what has a number at all."""
    counts = [n for n in counts if n]
    low, high = min(counts, default=0), max(counts, default=0)
    return f"n = {high}" if low == high else f"n = {low} to {high}"


# --- layout -----------------------------------------------------------------------------------------------------------

Key = Sequence[tuple[str, str]]  # what each colour stands for: (text, colour)


def new_axes(
    width: float,
    height: float,
    *,
    title: str,
    caption: str,
    key: Key,
    left: float,
    bottom: float,
    right: float = 0.15,
) -> tuple[Figure, Axes]:
    """A figure around axes `height` inches high, which explains itself alone.

    Above the axes are the title and the key of colours; below them what belongs to them, and the caption.
    """
    width = max(width, 6.0)
    title, caption = wrapped(title, int(11 * width)), "\n".join(textwrap.wrap(caption, int(17 * width)))
    lines = _key_lines(key, width)
    above = 0.2 + 0.17 * line_count(title) + 0.19 * len(lines)
    below = bottom + 0.15 + 0.12 * line_count(caption)
    total, inner = above + height + below, width - left - right
    figure = Figure(figsize=(width, total))
    axes = figure.add_axes((left / width, below / total, inner / width, height / total))
    # Said where axis labels go, Matplotlib need not measure all tick labels in every drawing.
    axes.xaxis.set_label_coords(0.5, -0.32 / height)
    axes.yaxis.set_label_coords(-0.5 / inner, 0.5)
    figure.text(0.1 / width, 1 - 0.08 / total, title, va="top", fontsize=10, fontweight="bold")
    figure.text(0.1 / width, 0.06 / total, caption, va="bottom", fontsize=SMALL, color=QUIET)
    for i, line in enumerate(lines):
        y = 1 - (0.2 + 0.17 * line_count(title) + 0.19 * i) / total
        for x, text, colour in line:
            figure.text(x / width, y, "■", color=colour, va="center")
            figure.text((x + 0.16) / width, y, text, va="center", fontsize=8)
    return figure, axes


def _key_lines(key: Key, width: float) -> list[list[tuple[float, str, str]]]:
    """The entries of a key with where they start (inches), on as many lines as they need; cheaper than a Legend."""
    lines: list[list[tuple[float, str, str]]] = []
    x = math.inf
    for text, colour in key:
        if x + 0.3 + inches([text]) > width:
            lines.append([])
            x = 0.1
        lines[-1].append((x, text, colour))
        x += 0.35 + inches([text])
    return lines


def new_rows(
    names: Sequence[str], pitch: float, *, title: str, caption: str, right: float, key: Key = ()
) -> tuple[Figure, Axes]:
    """Axes with one row per name, from the top down, `pitch` inches for each; `right` inches for words beside them."""
    pitch = max(pitch, 0.17 * max(map(line_count, names)) + 0.06)
    left = 0.25 + inches(names)
    figure, axes = new_axes(
        left + 3.7 + right,
        pitch * len(names),
        title=title,
        caption=caption,
        key=key,
        left=left,
        bottom=0.5,
        right=right,
    )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def embolden(axes: Axes, rows: Sequence[object]) -> None:
    """Make the names of headings bold among those of the rows."""
    for row, label in zip(rows, axes.get_yticklabels(), strict=True):
        if isinstance(row, isa.Heading):
            label.set(fontweight="bold", fontsize=8, color=QUIET)


def beside(axes: Axes, y: float, text: str, colour: str) -> None:
    """Small text to the right of the axes, in the row at y."""
    axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=colour)


def offsets(n: int) -> list[float]:
    """Where n things stand around the middle of a place that is 1 wide, of which they fill 0.8."""
    return [0.8 * ((i + 0.5) / n - 0.5) for i in range(n)]


def inches(names: Sequence[str]) -> float:
    """Width of the longest name at the font size of ticks; 0.6 em a character is a little more than it takes."""
    return max(len(line) for name in names for line in name.split("\n")) * 0.6 * STYLE["font.size"] / 72


def line_count(text: str) -> int:
    return text.count("\n") + 1


def wrapped(name: str, width: int) -> str:
    """A long name on two lines at most, broken at spaces, hyphens and underscores, cut if that is not enough."""
    lines = textwrap.wrap(name.replace("_", "_\0 "), width, max_lines=2, placeholder="…")
    return "\n".join(lines).replace("\0 ", "").replace("\0", "")
