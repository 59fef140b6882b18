"""The charts that look across machines, thread counts and time; like those in `plots`, whose layout they share.

Each is drawn from a table of `across` or `tables` and returns None where there is nothing to draw. With more than
`across.MANY` machines, those of one architecture and instruction set share a row.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from analysis import across, isa, stats
from analysis.across import HALVES, STATES
from analysis.claims import mean_over
from analysis.plots import (
    ALARM,
    QUIET,
    SMALL,
    Key,
    beside,
    embolden,
    inches,
    line_count,
    new_axes,
    new_rows,
    offsets,
    speedup_axis,
    variant_colours,
    wrapped,
)
from analysis.study import Machine, Setting, Study, metric_label, model_key, setting_key
from analysis.tables import GEOMEAN, count, in_place_of_speedup, interval, number, places

_DIVERGING = colormaps["RdBu"]  # ColorBrewer's: its ends can be told apart by colour-blind people
_LEAST_RANGE = math.log2(2)  # so that small differences stay pale where there are no great ones


# --- speedups: models x machines --------------------------------------------------------------------------------------


def heat_map(study: Study, table: pd.DataFrame, setting: Setting, variant: str) -> Figure | None:
    """The speedups of one candidate at one setting; `table` is their part of `tables.speedups`."""
    if table["speedup"].isna().all():
        return None
    models = [*sorted(set(table["model"]) - {GEOMEAN}, key=model_key), GEOMEAN]
    machines = list(dict.fromkeys(map(Machine, table["campaign"], table["host"])))
    if len(machines) > across.MANY:
        rows, cells = _cells_of_groups(study, table)
        what = "Numbers: geometric mean over the machines of a group; ≈: the 95 % interval over them contains 1."
    else:
        rows = isa.in_groups(study, machines)
        labels = {(m.campaign, m.host): study.labels[m] for m in machines}
        cells = {(labels[row.campaign, row.host], row.model): _cell(row) for row in table.itertuples()}
        rows = [row if isinstance(row, isa.Heading) else study.labels[row] for row in rows]
        what = "≈: not distinguishable from 1."
    limit = max([_LEAST_RANGE, *(abs(math.log2(value)) for value, _ in cells.values() if value > 0)])
    shades = [-limit, -limit / 2, 0.0, limit / 2, limit]
    columns = [wrapped("geometric mean" if model == GEOMEAN else model, 11) for model in models]
    slanted = inches(columns) > 0.85
    names = [wrapped(row, 34) for row in rows]
    left = 0.25 + inches(names)
    baseline = table["baseline_variant"].iloc[0]
    where = study.setting_label(setting)
    figure, axes = new_axes(
        left + 0.85 * len(models) + 0.15,
        0.27 * len(rows),
        title=f"Speedup of {variant} over {baseline}" + (f": {where}" if where else ""),
        caption=f"{what} Colours are logarithmic: blue = faster, red = slower than {baseline}. "
        "Hatched: no speedup, and why.",
        key=[(f"{number(2**shade, 2)} times as fast", _shade(shade, limit)) for shade in shades],
        left=left,
        bottom=0.15 + (0.75 * inches(columns) if slanted else 0.15 * max(map(line_count, columns))),
    )
    for y, row in enumerate(rows):
        for x, model in enumerate(models):
            if not isinstance(row, isa.Heading):
                _draw_cell(axes, x, y, *cells.get((row, model), (math.nan, "no run")), limit)
    axes.axvline(len(models) - 1.5, color="white", linewidth=4)
    axes.set_xlim(-0.5, len(models) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    slant = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(models)), columns, **slant)
    _name_rows(axes, rows, names)
    axes.tick_params(length=0)
    return figure


def _cell(row: tuple) -> tuple[float, str]:
    """The number that gives a cell its colour, and its text."""
    if math.isnan(row.speedup) or row.verdict in (stats.MISSING, stats.NOT_COMPARABLE):
        return math.nan, in_place_of_speedup(row)
    sign = "≈ " if row.verdict == stats.NOT_DISTINGUISHABLE else ""
    return row.speedup, f"{sign}{number(row.speedup)}"


def _cells_of_groups(study: Study, table: pd.DataFrame) -> tuple[list[str], dict[tuple[str, str], tuple[float, str]]]:
    """The rows and cells of a heat map of groups."""
    groups = isa.groups(study)
    of_group: dict[tuple[str, str], list[float]] = {}
    machines: dict[str, set[Machine]] = {}
    for row in table.itertuples():
        machine = Machine(row.campaign, row.host)
        value, _ = _cell(row)
        of_group.setdefault((groups[machine].label, row.model), [])
        if value > 0:
            machines.setdefault(groups[machine].label, set()).add(machine)
            of_group[groups[machine].label, row.model].append(math.log(value))
    names = {label: f"{label} ({count(len(having), 'machine')})" for label, having in machines.items()}
    cells = {}
    for (label, model), logs in of_group.items():
        if label in names:
            cells[names[label], model] = _mean_cell(logs)
    return [names[g.label] for g in sorted(set(groups.values())) if g.label in names], cells


def _mean_cell(logs: Sequence[float]) -> tuple[float, str]:
    mean = mean_over(logs)
    sign = "≈ " if mean.ci_low <= 1 <= mean.ci_high else ""
    return (mean.value, f"{sign}{number(mean.value)}") if logs else (math.nan, stats.MISSING)


def _shade(log2: float, limit: float) -> tuple[float, ...]:
    return _DIVERGING(0.5 + 0.45 * log2 / limit)


def _draw_cell(axes: Axes, x: int, y: int, value: float, text: str, limit: float) -> None:
    box = {"xy": (x - 0.48, y - 0.46), "width": 0.96, "height": 0.92}
    if math.isnan(value):
        axes.add_patch(Rectangle(**box, facecolor="#F4F4F4", edgecolor="#C8C8C8", hatch="////", linewidth=0))
        around = {"facecolor": "#F4F4F4", "edgecolor": "none", "pad": 0.8}
        axes.text(x, y, wrapped(text, 14), ha="center", va="center", fontsize=6, color=QUIET, bbox=around)
        return
    colour = _shade(math.log2(value), limit)
    axes.add_patch(Rectangle(**box, facecolor=colour, linewidth=0))
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 0.55
    axes.text(x, y, text, ha="center", va="center", fontsize=8, color="black" if light else "white")


def speedup_of_groups(study: Study, table: pd.DataFrame) -> Figure:
    """Many machines' speedups: a row for each group and setting, a small dot for each machine's geometric mean."""
    means = table[((table["model"] == GEOMEAN) & table["speedup"].notna()).to_numpy()]
    variants = list(dict.fromkeys(table["variant"]))
    groups = isa.groups(study)
    logs: dict[tuple[isa.IsaGroup, Setting, str], list[float]] = defaultdict(list)
    for (machine, setting), row in zip(places(study, means), means.itertuples(), strict=True):
        logs[groups[machine], setting, row.variant].append(math.log(row.speedup))
    rows = sorted({(group, setting) for group, setting, _ in logs}, key=lambda row: (row[0], setting_key(row[1])))
    names = [wrapped(", ".join(filter(None, (g.label, study.setting_label(s)))), 40) for g, s in rows]
    figure, axes = new_rows(
        names or ["no machine"],
        max(0.3, 0.17 * len(variants)),
        title="Speedup on every machine",
        caption="Small dots: each machine's geometric mean over models. Diamonds: the geometric mean over machines, "
        "with its 95 % confidence interval over machines (Student's t on logarithms).",
        right=2.3,
        key=[(v, variant_colours(study)[v]) for v in variants],
    )
    for (group, setting, variant), of_machines in logs.items():
        y = rows.index((group, setting)) + offsets(len(variants))[variants.index(variant)]
        colour, mean = variant_colours(study)[variant], mean_over(of_machines)
        dots = np.exp(of_machines)
        axes.plot(dots, np.full(len(dots), y), "o", color=colour, markersize=3, alpha=0.3, markeredgewidth=0)
        axes.plot([mean.ci_low, mean.ci_high], [y, y], color=colour, linewidth=2)
        axes.plot(mean.value, y, "D", color=colour, markersize=5, markeredgecolor="white")
        bounds = interval(mean.ci_low, mean.ci_high)
        text = f"{number(mean.value)} ({bounds}), " if bounds else f"{number(mean.value)}, "
        beside(axes, y, text + count(len(dots), "machine"), QUIET)
    speedup_axis(axes, means)
    return figure


# --- absolute times ---------------------------------------------------------------------------------------------------


def absolute_times(study: Study, table: pd.DataFrame, setting: Setting) -> Figure | None:
    """The mean times of every model and variant on every machine; `table` is the setting's part of `across.across`."""
    table = table[table["mean_ms"] > 0]
    if table.empty:
        return None
    metric = table["metric"].iloc[0]
    models = sorted(set(table["model"]), key=model_key)
    variants = [variant for variant in study.variants if variant in set(table["variant"])]
    machines = list(dict.fromkeys(map(Machine, table["campaign"], table["host"])))
    many = len(machines) > across.MANY
    if many:
        rows = list(dict.fromkeys(table["group"]))
        what = "Dots: the median of the machines of a group; thick lines: their quartiles; thin: least to most."
    else:
        rows = isa.in_groups(study, machines)
        what = f"Means of {repetitions_of(table['n'])}; lines: 95 % confidence intervals, often shorter than a mark."
        if (table["verdict"] == stats.NOT_COMPARABLE).any():
            what += " Hollow: not comparable with the fastest machine; tables/across.csv says what differs."
    names = [wrapped(row if isinstance(row, str) else study.labels[row], 34) for row in rows]
    where = study.setting_label(setting)
    figure, panels = panels_of(
        models,
        4,
        1.75,
        max(0.2, 0.1 * len(variants)) * len(rows) + 0.65,
        title=f"{metric_label(metric)[0]} on every machine" + (f": {where}" if where else ""),
        caption=f"{what} Logarithmic axes, one for each model.",
        key=[(variant, variant_colours(study)[variant]) for variant in variants],
        left=0.25 + inches(names),
    )
    for i, (model, axes) in enumerate(zip(models, panels, strict=True)):
        mine = table[table["model"] == model]
        for variant, offset in zip(variants, offsets(len(variants)), strict=True):
            of_variant = mine[mine["variant"] == variant]
            if many:
                for group, of_group in of_variant.groupby("group", sort=False):
                    _spread(
                        axes, of_group["mean_ms"], rows.index(group) + 0.7 * offset, variant_colours(study)[variant]
                    )
            else:
                for row in of_variant.itertuples():
                    y = rows.index(Machine(row.campaign, row.host)) + 0.7 * offset
                    _time_mark(axes, row, y, variant_colours(study)[variant])
        log_axis(axes, [*mine["mean_ms"], *mine["mean_ci_low_ms"], *mine["mean_ci_high_ms"]])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.hlines(np.arange(0.5, len(rows) - 1), *axes.get_xlim(), color="#EEEEEE", linewidth=0.6, zorder=0)
        axes.set_xlabel("time (ms)", fontsize=8)
        if i % 4 == 0:
            _name_rows(axes, rows, names)
        else:
            axes.set_yticks([])
        axes.tick_params(axis="y", length=0)
    return figure


def _time_mark(axes: Axes, row: tuple, y: float, colour: str) -> None:
    """The mean time of one machine with its interval."""
    if row.mean_ci_low_ms > 0:
        axes.plot([row.mean_ci_low_ms, row.mean_ci_high_ms], [y, y], color=colour, linewidth=1.5)
    face = "white" if row.verdict == stats.NOT_COMPARABLE else colour
    axes.plot(row.mean_ms, y, "o", color=colour, markerfacecolor=face, markersize=4)


def _spread(axes: Axes, values: pd.Series, y: float, colour: str) -> None:
    """The times of a group of machines."""
    least, first, median, third, most = np.percentile(values, [0, 25, 50, 75, 100])
    axes.plot([least, most], [y, y], color=colour, linewidth=0.8)
    axes.plot([first, third], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
    axes.plot(median, y, "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.5)


# --- threads ----------------------------------------------------------------------------------------------------------


def threads(study: Study, table: pd.DataFrame, machine: Machine, rest: Setting, of: str) -> Figure | None:
    """Time (`of` = "mean_ms") or speedup (`of` = "speedup") by number of threads.

    `rest` is the setting but for the threads, `table` the part of `across.threads` that is about it.
    """
    table = table[table[of].notna()]
    if table.empty:
        return None
    models = sorted(set(table["model"]), key=model_key)
    variants = [variant for variant in study.variants if variant in set(table["variant"])]
    counts = sorted(set(table["threads"]))
    fewest = count(min(table["baseline_threads"]), "thread")
    low, high = ("mean_ci_low_ms", "mean_ci_high_ms") if of == "mean_ms" else ("ci_low", "ci_high")
    ideal = "" if of == "mean_ms" else " Dashed: twice the threads, half the time."
    where = ", ".join(filter(None, (study.labels[machine], across.sweep_label(study, rest))))
    name = metric_label(table["metric"].iloc[0])[0]
    figure, panels = panels_of(
        models,
        4,
        1.75,
        1.9,
        title=f"{name if of == 'mean_ms' else f'Speedup against {fewest}'}: {where}",
        caption=f"Means of {repetitions_of(table['n'])}; error bars: 95 % confidence intervals. Axes are logarithmic."
        + ideal,
        key=[(variant, variant_colours(study)[variant]) for variant in variants],
        left=0.65,
    )
    for i, (model, axes) in enumerate(zip(models, panels, strict=True)):
        mine = table[table["model"] == model]
        for variant in variants:
            line = mine[mine["variant"] == variant].sort_values("threads")
            x, y = line["threads"].to_numpy(dtype=float), line[of].to_numpy()
            errors = np.nan_to_num([y - line[low].to_numpy(), line[high].to_numpy() - y]).clip(0)
            colour = variant_colours(study)[variant]
            axes.errorbar(x, y, yerr=errors, color=colour, marker="o", markersize=4, linewidth=1.2, elinewidth=1)
        if of == "speedup":
            axes.plot(counts, np.array(counts) / counts[0], "--", color="#999999", linewidth=1, zorder=0)
        log_axis(axes, counts, across=True)
        axes.set_xticks(counts, [f"{n}" for n in counts])
        log_axis(axes, [*mine[of], *mine[low], *mine[high]], across=False)
        axes.grid()
        axes.set_xlabel("threads", fontsize=8)
        if i % 4 == 0:
            axes.set_ylabel("time (ms)" if of == "mean_ms" else "speedup")
    return figure


# --- memory and size --------------------------------------------------------------------------------------------------


def memory_and_size(study: Study, table: pd.DataFrame, setting: Setting) -> Figure | None:
    """Size of the model files and overall memory; `table` is the setting's part of `across.memory_and_size`."""
    measures = [
        (column, label)
        for column, label in (("model_size_mb", "size of the file (MB)"), ("memory_overall_mb", "memory overall (MB)"))
        if table[column].notna().any()
    ]
    if not measures:
        return None
    models = sorted(set(table["model"]), key=model_key)
    variants = [variant for variant in study.variants if variant in set(table["variant"])]
    machines = len(set(zip(table["campaign"], table["host"], strict=True)))
    names = [wrapped(model, 24) for model in models]
    where = study.setting_label(setting)
    said = "The size is that of the file. " if measures[0][0] == "model_size_mb" else ""
    said += f"Memory: means of {repetitions_of(table['n'])}" if table["n"].any() else ""
    said += f", averaged over {machines} machines" if machines > 1 else ""
    said += "; dots: single machines." if 1 < machines <= across.MANY else "."
    figure, panels = panels_of(
        [""] * len(measures),
        2,
        3.2,
        max(0.3, 0.17 * len(variants)) * len(models) + 0.6,
        title="Size and memory" + (f": {where}" if where else ""),
        caption=said,
        key=[(variant, variant_colours(study)[variant]) for variant in variants],
        left=0.25 + inches(names),
    )
    pitch = 0.8 / len(variants)
    for axes, (column, label) in zip(panels, measures, strict=True):
        for variant, offset in zip(variants, offsets(len(variants)), strict=True):
            mine = table[(table["variant"] == variant) & table[column].notna()]
            of_model = mine.groupby("model")[column]
            lines = {model: models.index(model) + offset for model in set(mine["model"])}
            means = of_model.mean()
            y = [lines[model] for model in means.index]
            axes.barh(y, means, 0.92 * pitch, color=variant_colours(study)[variant])
            if column == "memory_overall_mb" and 1 < machines <= across.MANY:
                dots = [lines[model] for model in mine["model"]]
                axes.plot(mine[column], dots, "o", color="black", markersize=2, alpha=0.5, markeredgewidth=0)
            ends = of_model.max() if column == "memory_overall_mb" and machines <= across.MANY else means
            for model, mean in means.items():
                axes.annotate(
                    number(mean), (max(ends[model], 0), lines[model]), (3, 0), textcoords="offset points",
                    va="center", fontsize=SMALL,
                )  # fmt: skip
        axes.set_xlim(min(0, 1.05 * table[column].min()), 1.18 * max(table[column].max(), 0) or 1.0)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x")
        axes.set_xlabel(label, fontsize=8)
        axes.set_yticks(range(len(models)), names if axes is panels[0] else [""] * len(models))
        axes.tick_params(axis="y", length=0)
    return figure


# --- the course of a campaign -----------------------------------------------------------------------------------------

_STATUS_COLOURS = {"ok": "#0072B2", "invalid": ALARM, "failed": "#000000"}
_STATE_LABELS = {
    "temperature_c": "temperature\n(°C)",
    "cpu_mhz": "clock\n(MHz)",
    "load1_before": "load before\n(1 min)",
    "other_cpu_percent": "other load\n(% of CPUs)",
    "steal_percent": "stolen\n(% of CPUs)",
    "battery_temperature_c": "battery\n(°C)",
    "battery_percent": "battery\n(%)",
}


def timeline(study: Study, table: pd.DataFrame, machine: Machine) -> Figure | None:
    """Every run of one machine in its order, and the machine's state; `table` is its part of `across.timeline`."""
    if table["deviation_percent"].isna().all():
        return None
    states = [name for name in STATES if table[name].nunique() > 1]
    main, strip = 1.7, 0.62
    height = main + strip * len(states)
    present = [status for status in _STATUS_COLOURS if (table["status"] == status).any()]
    key = [(f"{status} ({(table['status'] == status).sum()})", _STATUS_COLOURS[status]) for status in present]
    figure, area = new_axes(
        7.6,
        height,
        title=f"The campaign in the order of its runs: {study.labels[machine]}",
        caption="Runs in the order of the plan, repeats of invalid ones last; grey lines: blocks. "
        f"{metric_label(table['metric'].iloc[0])[0]} against the median of the same configuration; what lies beyond "
        "the axis is drawn at its edge; failed runs have no number and are ticks at the bottom. State that never "
        "changed is left out.",
        key=key,
        left=1.2,
        bottom=0.5,
    )
    box = area.get_position()
    area.remove()
    x = table["order"].to_numpy()
    axes = figure.add_axes((box.x0, box.y0 + box.height * (1 - main / height), box.width, box.height * main / height))
    deviation = table["deviation_percent"].to_numpy()
    ok = (table["status"] == "ok").to_numpy()
    limit = max(2.0, 1.1 * np.nanmax(np.abs(deviation[ok]), initial=0.0))
    for status, mark, size in (("ok", "o", 3), ("invalid", "x", 4.5)):
        mine = (table["status"] == status).to_numpy() & ~np.isnan(deviation)
        at = np.clip(deviation[mine], -limit, limit)
        axes.plot(x[mine], at, mark, color=_STATUS_COLOURS[status], markersize=size, clip_on=False, zorder=3)
    failed = x[(table["status"] == "failed").to_numpy()]
    axes.vlines(failed, -limit, -0.88 * limit, color=_STATUS_COLOURS["failed"], linewidth=1.2)
    axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
    axes.set_ylim(-limit, limit)
    axes.set_ylabel("time: deviation\nfrom median (%)", fontsize=8)
    all_axes = [axes]
    for i, name in enumerate(states, start=1):
        bottom = box.y0 + box.height * (1 - (main + strip * i) / height)
        axes = figure.add_axes((box.x0, bottom, box.width, box.height * 0.8 * strip / height))
        known = table[name].notna().to_numpy()
        axes.plot(x[known], table[name].to_numpy()[known], color="#444444", linewidth=0.9)
        low, high = table[name].min(), table[name].max()
        room = 0.1 * (high - low) or max(0.05 * abs(high), 0.5)
        axes.set_ylim(min(low - room, 0) if low >= 0 and low - room < 0 else low - room, high + room)
        axes.set_ylabel(_STATE_LABELS[name], fontsize=SMALL, rotation=0, ha="right", va="center")
        axes.yaxis.set_major_locator(MaxNLocator(2))
        all_axes.append(axes)
    blocks = table["block"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    borders = x[1:][np.diff(blocks) > 0] - 0.5
    for axes in all_axes:
        axes.set_xlim(0.5, max(len(x), 2) + 0.5)
        axes.yaxis.set_label_coords(-0.5 / (7.6 * box.width), 0.5)
        axes.tick_params(labelsize=SMALL, labelbottom=axes is all_axes[-1])
        if len(borders) < 100:
            axes.vlines(borders, *axes.get_ylim(), color="#E4E4E4", linewidth=0.6, zorder=0)
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True))
    all_axes[-1].set_xlabel("run", fontsize=8)
    return figure


# --- iterations -------------------------------------------------------------------------------------------------------


def iterations(study: Study, machine: Machine, setting: Setting) -> Figure | None:
    """How the times of single iterations are distributed, early and late in a run, where the runner listed them."""
    table = across.iterations(study, machine, setting)
    if table.empty:
        return None
    rows = list(dict.fromkeys(zip(table["model"], table["variant"], strict=True)))
    figure, axes = new_rows(
        [wrapped(" ".join(row), 40) for row in rows],
        0.3,
        title=f"Single iterations: {study.place_label(machine, setting)}",
        caption="Iterations of all ok runs. Dots: medians; thick lines: quartiles; thin: from the 5th to the 95th "
        "percentile. Pale, above: the first half of each run; full, below: the second. Where runs are "
        "steady, both are alike.",
        right=1.0,
    )
    for half, shift, alpha in zip(HALVES, (-0.17, 0.17), (0.4, 1.0), strict=True):
        mine = table[table["half"] == half].pivot(index=["model", "variant"], columns="percentile")["deviation_percent"]
        mine = mine.loc[rows]
        y, colours = np.arange(len(rows)) + shift, [variant_colours(study)[variant] for _, variant in rows]
        axes.hlines(y, mine[5], mine[95], color=colours, alpha=alpha, linewidth=0.9)
        axes.hlines(y, mine[25], mine[75], color=colours, alpha=alpha, linewidth=3.5)
        axes.scatter(mine[50], y, s=9, c="white", edgecolors=colours, linewidths=0.9, zorder=3)
    for y, (_, of_row) in enumerate(table.groupby(["model", "variant"], sort=False)):
        beside(axes, y, f"n = {count(of_row['runs'].iloc[0], 'run')}", QUIET)
    axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
    axes.hlines(np.arange(0.5, len(rows) - 1), *axes.get_xlim(), color="#E4E4E4", linewidth=0.6, zorder=0)
    axes.set_xlabel("time of an iteration: deviation from the configuration's median (%)")
    return figure


# --- layout -----------------------------------------------------------------------------------------------------------


def panels_of(
    titles: Sequence[str], columns: int, width: float, height: float, *, title: str, caption: str, key: Key, left: float
) -> tuple[Figure, list[Axes]]:
    """A figure of small axes, row by row, each in a place of `width` x `height` inches with room for its texts."""
    columns = min(columns, len(titles))
    lines = math.ceil(len(titles) / columns)
    figure, area = new_axes(
        left + columns * width, lines * height, title=title, caption=caption, key=key, left=left, bottom=0.0, right=0.1
    )
    total_width, total_height = figure.get_size_inches()
    box = area.get_position()
    area.remove()
    place = box.width / columns
    panels = []
    for i, text in enumerate(titles):
        x, y = box.x0 + place * (i % columns), box.y1 - (i // columns + 1) * height / total_height
        inner = (place - 0.3 / total_width, (height - 0.65) / total_height)
        axes = figure.add_axes((x, y + 0.42 / total_height, *inner))
        axes.set_title(wrapped(text, 26), fontsize=8, pad=3)
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.set_label_coords(0.5, -0.28 / (height - 0.65))
        axes.yaxis.set_label_coords(-0.42 / (inner[0] * total_width), 0.5)
        panels.append(axes)
    return figure, panels


def _name_rows(axes: Axes, rows: Sequence[object], names: Sequence[str]) -> None:
    axes.set_yticks(range(len(rows)), names, fontsize=9)
    embolden(axes, rows)


def log_axis(axes: Axes, values: Sequence[float], across: bool = True) -> None:
    """A logarithmic axis with few, plain numbers: the x-axis, or the y-axis if not `across`."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = min(known) / 1.2, max(known) * 1.2
    steps = (1, 2, 5) if high / low < 30 else (1,)
    if high / low < 4:
        steps = (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [step * 10.0**power for power in range(-6, 9) for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < 2:  # between two round numbers
        ticks = [float(f"{value:.2g}") for value in (min(known), max(known))] if low < high else known[:1]
    ticks = sorted(set(ticks))
    axis = axes.xaxis if across else axes.yaxis
    (axes.set_xscale if across else axes.set_yscale)("log")
    (axes.set_xlim if across else axes.set_ylim)(low, high)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def repetitions_of(counts: pd.Series) -> str:
    """'1 repetition', '10 repetitions' or '8 to 10 repetitions'."""
    some = counts[counts > 0]
    low, high = int(some.min()), int(some.max())
    return count(high, "repetition") if low == high else f"{low} to {high} repetitions"
