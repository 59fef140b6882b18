"""The charts of sweeps over batch and input sizes; like those in `plots`, whose layout they share.

Each is drawn from the part of `sweeps.sweeps` that is of one machine and way to run, with all of its variants, and
returns None where there is nothing to draw. A model has the same colour in all of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import hover, sweeps
from analysis.plots import QUIET
from analysis.plots_across import log_axis, panels_of, repetitions_of
from analysis.study import Study, model_key
from analysis.sweeps import Series
from analysis.tables import number, some, with_interval

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#F0E442")
_SHAPES = "osD^vP*X"
_NAMED = 6  # configurations without a number
_INTERVALS = "error bars: 95 % confidence intervals, often smaller than the mark. Both axes are logarithmic."

# What may be drawn against a size: title, label of the axis.
_MEASURES = {
    "mean_ms": ("Latency", "latency (ms)"),
    "per_image_ms": ("Latency per image", "latency per image (ms)"),
}


def against_batch(study: Study, table: pd.DataFrame, which: Series, of: str) -> Figure | None:
    """A measure by batch size, a line for each model: a panel for each variant and input size."""
    if table["batch_size"].nunique() < 2:
        return None
    panels = [
        (_panel(table, key), part) for key, part in table.groupby(["variant", "input_size"], sort=False, dropna=False)
    ]
    return _lines(study, panels, which, of, "batch_size", "")


def against_input(study: Study, table: pd.DataFrame, which: Series, of: str) -> Figure | None:
    """A measure by input size at the least batch size, a line for each model: a panel for each variant."""
    if table["input_size"].nunique() < 2:
        return None
    table, least = at_least_batch(table), table["batch_size"].min()
    panels = [(_panel(table, (variant, None)), part) for variant, part in table.groupby("variant", sort=False)]
    return _lines(study, panels, which, of, "input_size", "" if pd.isna(least) else f", batch {least}")


def at_least_batch(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that `against_input` draws."""
    least = table["batch_size"].min()
    return table if pd.isna(least) else table[table["batch_size"] == least]


def with_work(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that `against_work` draws."""
    return table[(table["mean_ms"] > 0) & (table["gflop"] > 0)]


def against_work(study: Study, table: pd.DataFrame, which: Series) -> Figure | None:
    """Latency by the operations of an inference, a mark for each configuration: a panel for each variant."""
    table = with_work(table)
    if table["gflop"].nunique() < 2:
        return None
    sizes = sorted(table["input_size"].dropna().unique())
    shapes = {size: _SHAPES[i % len(_SHAPES)] for i, size in enumerate(sizes)}
    said = (
        " Marks: " + ", ".join(f"{_SHAPE_NAMES[shapes[size]]} = input {size}" for size in sizes) + "."
        if len(sizes) > 1
        else ""
    )
    parts = list(table.groupby("variant", sort=False))
    figure, panels = panels_of(
        [variant if len(parts) > 1 else "" for variant, _ in parts],
        2,
        3.6,
        3.4,
        title=f"Latency against the work of an inference: {sweeps.label(study, which)}",
        caption="Work: 2 operations for each multiply-accumulate, times the batch size. Grey: lines of equal speed. "
        f"Means of {repetitions_of(table['n'])}; {_INTERVALS}{said}",
        key=_key(study, table),
        left=0.65,
    )
    colours = _colours(study)
    for i, (axes, (_, part)) in enumerate(zip(panels, parts, strict=True)):
        for row in part.itertuples():
            errors = np.nan_to_num([[row.mean_ms - row.mean_ci_low_ms], [row.mean_ci_high_ms - row.mean_ms]]).clip(0)
            colour, shape = colours[row.model], shapes.get(row.input_size, "o")
            axes.errorbar(row.gflop, row.mean_ms, yerr=errors, color=colour, linewidth=1, zorder=2)
            (mark,) = axes.plot(row.gflop, row.mean_ms, shape, color=colour, markersize=4.5, zorder=3)
            speed = f"{number(row.mean_ms)} ms, {number(row.gflop_per_s)} GFLOP/s"
            hover.says(mark, f"{_configuration(row)}: {number(row.gflop)} GFLOP, {speed}")
        log_axis(axes, table["gflop"])
        log_axis(axes, table["mean_ms"], across=False)
        _equal_speeds(axes)
        axes.set_xlabel("work (GFLOP)", fontsize=8)
        axes.tick_params(labelleft=i % 2 == 0)  # all have the same axis
        if i % 2 == 0:
            axes.set_ylabel("latency (ms)", fontsize=8)
    return figure


_SHAPE_NAMES = {
    "o": "circles", "s": "squares", "D": "diamonds", "^": "triangles", "v": "triangles upside down", "P": "pluses",
    "*": "stars", "X": "crosses",
}  # fmt: skip


def _equal_speeds(axes: Axes) -> None:
    """Grey lines of equal GFLOP/s, each with its name where it leaves the axes."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    slowest, fastest = 1e3 * left / high, 1e3 * right / low
    for power in range(math.floor(math.log10(slowest)), math.ceil(math.log10(fastest)) + 1):
        speed = 10.0**power
        x = np.array([left, right])
        axes.plot(x, 1e3 * x / speed, color="#BBBBBB", linewidth=0.7, zorder=0)
        end = min(right, high * speed / 1e3)
        if end > 1.3 * left and 1e3 * end / speed > 1.3 * low:
            at = {"ha": "right", "va": "top" if end < right else "bottom", "fontsize": 6, "color": QUIET}
            axes.text(end / 1.04, 1e3 * end / speed / 1.04, f"{speed:g} GFLOP/s", **at)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def _lines(
    study: Study, parts: Sequence[tuple[str, pd.DataFrame]], which: Series, of: str, size: str, where: str
) -> Figure | None:
    """Lines over a size, a colour for each model; what has no number is a cross at the top."""
    table = pd.concat([part for _, part in parts])
    if not (table[of] > 0).any():
        return None
    parts = [(title, part) for title, part in parts if (part[of] > 0).any()]
    columns = min(4, len(parts))
    width, height = (3.4, 2.9) if columns <= 2 else (2.3, 2.3)
    name, label = _MEASURES[of]
    axis = size.replace("_", " ")
    missing = table[table["absent"] != ""]
    caption = f"Means of {repetitions_of(table['n'])}; {_INTERVALS}"
    if len(missing):
        batches: dict[tuple, dict[str, None]] = defaultdict(dict)
        for row in missing.itertuples():
            batches[_configuration(row, batch=False), row.absent][f"batch {row.batch_size}"] = None
        why = [f"{name}, {', '.join(of)}: {absent}" for (name, absent), of in batches.items()]
        caption += f" Crosses: no number ({some(why, _NAMED)})."
    figure, panels = panels_of(
        [title if len(parts) > 1 else "" for title, _ in parts],
        columns,
        width,
        height,
        title=f"{name} against {axis}{where}: {sweeps.label(study, which)}",
        caption=caption,
        key=_key(study, table),
        left=0.65,
    )
    low, high = (f"{of.removesuffix('_ms')}_ci_{end}_ms" for end in ("low", "high"))
    colours, without = _colours(study), list(dict.fromkeys(missing["model"]))
    top = table[of].max() * (table[of].max() / table[of].min()) ** (0.05 * len(without))  # room for the crosses
    for i, (axes, (_, part)) in enumerate(zip(panels, parts, strict=True)):
        sizes = sorted(part[size].dropna().unique())
        for model, line in part.groupby("model", sort=False):
            colour, absent = colours[model], line[line["absent"] != ""]
            line = line[line[of] > 0].sort_values(size)
            y = line[of].to_numpy()
            errors = np.nan_to_num([y - line[low].to_numpy(), line[high].to_numpy() - y]).clip(0)
            x = line[size].to_numpy(dtype=float)
            axes.errorbar(x, y, yerr=errors, color=colour, linewidth=1.2, elinewidth=1, capsize=2)
            texts = [
                f"{_configuration(r)}: {with_interval(getattr(r, of), getattr(r, low), getattr(r, high))} ms"
                for r in line.itertuples()
            ]
            if len(line):
                hover.says(axes.scatter(x, y, s=16, color=colour, zorder=3), *texts)
            crosses = absent[size].to_numpy(dtype=float)
            heights = np.full(len(crosses), 0.98 - 0.05 * without.index(model) if model in without else 0.0)
            axes.plot(
                crosses, heights, "x", color=colour, markersize=4.5, transform=axes.get_xaxis_transform(), clip_on=False
            )
        log_axis(axes, sizes)
        axes.set_xticks(sizes, [f"{n}" for n in sizes])
        log_axis(axes, [*table[of], *table[low], *table[high], top], across=False)
        axes.grid()
        axes.set_xlabel(f"{axis}{' (pixels)' if size == 'input_size' else ''}", fontsize=8)
        axes.tick_params(labelleft=i % columns == 0)  # all have the same axis
        if i % columns == 0:
            axes.set_ylabel(label, fontsize=8)
    return figure


def _panel(table: pd.DataFrame, key: tuple[str, int | None]) -> str:
    """What a panel is of, as far as others of the same figure are not of it."""
    variant, size = key
    parts = [variant] if table["variant"].nunique() > 1 else []
    return ", ".join([*parts, *([f"input {size}"] if not pd.isna(size) and table["input_size"].nunique() > 1 else [])])


def _configuration(row: tuple, batch: bool = True) -> str:
    """'UNet, input 448, batch 8'."""
    sizes = (("input", row.input_size), *([("batch", row.batch_size)] if batch else []))
    return ", ".join([row.model, *(f"{name} {size}" for name, size in sizes if not pd.isna(size))])


def _colours(study: Study) -> dict[str, str]:
    """The colour of each model, the same in every chart of a report."""
    models = sorted({cell.model for cell in study.cells}, key=model_key)
    return {model: _COLOURS[i % len(_COLOURS)] for i, model in enumerate(models)}


def _key(study: Study, table: pd.DataFrame) -> list[tuple[str, str]]:
    return [(model, colour) for model, colour in _colours(study).items() if model in set(table["model"])]
