"""Charts of speed, accuracy and size together; made and saved as those of `analysis.plots`.

Each is drawn from the part of `scenario.scenario` that is of one machine and model. Colours are of variants, as in all
charts; shapes are of runners.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import hover
from analysis.names import slug
from analysis.plots import QUIET, SMALL, STYLE, inches, new_axes, variant_colours
from analysis.plots_across import log_axis, repetitions_of
from analysis.scenario import by_machine_and_model, row_names
from analysis.study import Study, variant_key
from analysis.tables import number, with_interval

_SHAPES = {"o": "circles", "s": "squares", "D": "diamonds", "^": "triangles", "P": "pluses", "X": "crosses"}
_LARGEST, _LEAST = 700.0, 12.0  # points², of the marks
_WIDTH, _HEIGHT, _LINE = 6.6, 2.7, 0.15  # inches: of the axes, of their part with marks, of a line with names
_NAME = 6.5  # points


def charts(
    study: Study, table: pd.DataFrame | None
) -> Iterator[tuple[str, str, Callable[[], Figure | None], Callable[[], pd.DataFrame], str]]:
    """Name, title, drawing, numbers and topic of each chart, from `scenario.scenario`, if there is one.

    None of models whose accuracy nobody knows: other charts have their times and sizes.
    """
    if table is None:
        return
    several = table["model"].nunique() > 1
    for (machine, model), part in by_machine_and_model(table).items():
        if part["accuracy_percent"].isna().all():
            continue
        where = f"{model}, {study.labels[machine]}"
        for kind, title, draw in (
            ("speed_accuracy_size", "Speed, accuracy and size", bubbles),
            ("together", "Time, accuracy, size and memory", parallel),
        ):
            name = slug("_".join(filter(None, (study.stems[machine], kind, model if several else ""))))
            full = f"{title} of {where}"
            # Those of one machine share a place in the page.
            yield name, full, partial(draw, study, part, full), part.copy, f"scenario_{study.stems[machine]}"


def bubbles(study: Study, table: pd.DataFrame, title: str) -> Figure | None:
    """Accuracy against time, the area of a mark is the file's size. None where no two rows have time and accuracy."""
    rows = table.assign(name=row_names(table))
    rows = rows[(rows["mean_ms"] > 0) & rows["accuracy_percent"].notna()].sort_values("mean_ms", kind="stable")
    if len(rows) < 2:
        return None
    sizes = rows["size_mb"]
    areas = np.clip(_LARGEST * sizes / sizes.max(), _LEAST, None).fillna(_LEAST)
    without = len(table) - len(rows)
    said = f"Area of a mark: size of the file, {number(sizes.min())} to {number(sizes.max())} MB. "
    said = said if sizes.notna().any() else ""
    said += (
        f"{_shapes_of(rows)} Time: means of {repetitions_of(rows['n'])}; lines: 95 % confidence intervals, those of "
    )
    said += (
        "accuracy over images. Rings: on the Pareto front; no other row is faster beyond noise, right in as many of "
    )
    said += "the same images, and no larger."
    said += f" {without} of {len(table)} rows have no time or no accuracy." if without else ""
    left, right = rows["mean_ms"].min() / 1.6, rows["mean_ms"].max() * 1.6  # marks reach beyond their middle
    shares = np.log(rows["mean_ms"].to_numpy() / left) / math.log(right / left)
    places = _name_places(_WIDTH * shares, rows["name"])
    lines = 1 + max(level for level, _ in places)
    figure, axes = new_axes(
        _WIDTH + 0.95, _HEIGHT + _LINE * lines, title=title, caption=said, key=_key(study, rows), left=0.75, bottom=0.5,
        right=0.2,
    )  # fmt: skip
    bounds = rows[["accuracy_ci_low_percent", "accuracy_ci_high_percent"]].to_numpy()
    low, high = bounds.min(), bounds.max()
    per_inch = 1.1 * (high - low) / _HEIGHT
    axes.set_ylim(low - 0.1 * (high - low), high + per_inch * _LINE * (lines + 0.5))  # names stand above
    for area, row, (level, side) in zip(areas, rows.itertuples(), places, strict=True):
        colour, shape = variant_colours(study)[row.variant], _shapes(rows)[row.runner]
        x, y = row.mean_ms, row.accuracy_percent
        axes.plot([x, x], [row.accuracy_ci_low_percent, row.accuracy_ci_high_percent], color=colour, linewidth=1)
        if pd.notna(row.mean_ci_low_ms):
            axes.plot([max(row.mean_ci_low_ms, 1e-9), row.mean_ci_high_ms], [y, y], color=colour, linewidth=1)
        mark = axes.scatter([x], [y], s=area, color=colour, marker=shape, alpha=0.75, linewidth=0, zorder=3)
        hover.says(mark, _says(row))
        if row.on_front:
            axes.scatter(
                [x], [y], s=area + 60, facecolor="none", edgecolor="black", marker=shape, linewidth=1.1, zorder=4
            )
        top = high + per_inch * _LINE * (level + 0.8)
        axes.plot([x, x], [row.accuracy_ci_high_percent, top], color="#BBBBBB", linewidth=0.6, zorder=0)
        style = {"fontweight": "bold"} if row.on_front else {"color": QUIET}
        shift = (2 if side == "left" else -2, 0)
        axes.annotate(
            row.name, (x, top), shift, textcoords="offset points", ha=side, va="center", fontsize=_NAME, **style
        )
    log_axis(axes, rows["mean_ms"])
    axes.set_xlim(left, right)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_yticks([tick for tick in axes.get_yticks() if low - 0.1 * (high - low) <= tick <= min(high, 100)])
    axes.grid(axis="y")
    axes.set_xlabel("time of an inference (ms), logarithmic")
    axes.set_ylabel("accuracy (%)")
    return figure


def _name_places(at: Sequence[float], names: Sequence[str]) -> list[tuple[int, str]]:
    """Where the name of each mark stands above the marks: on which line, and which end of it is at the mark.

    On the lowest of the lines where it covers no other name, and as few as possible of the thin lines that lead from
    marks to their names.

    Args:
        at: of each mark, in inches from the left end of the axis, from left to right.
    """
    wide = [0.58 * len(name) * _NAME / 72 + 0.1 for name in names]
    sides = ["right" if x + width > _WIDTH else "left" for x, width in zip(at, wide, strict=True)]
    ends = [(x - w, x) if side == "right" else (x, x + w) for x, w, side in zip(at, wide, sides, strict=True)]
    lines: dict[int, int] = {}
    # A name that reaches over other marks stands above their names: so those go first.
    inner_first = [i for i in reversed(range(len(at))) if sides[i] == "left"]
    for i in (*inner_first, *(i for i in range(len(at)) if sides[i] == "right")):

        def crossed(line: int, i: int = i) -> int:
            below = (other for other in lines if lines[other] < line and ends[other][0] < at[i] < ends[other][1])
            above = (other for other in lines if lines[other] > line and ends[i][0] < at[other] < ends[i][1])
            return sum(1 for _ in (*below, *above))

        there = [o for o in lines if ends[i][0] < ends[o][1] and ends[o][0] < ends[i][1]]
        free = set(range(len(at))) - {lines[other] for other in there}
        lines[i] = min(free, key=lambda line: (crossed(line), line))
    return [(lines[i], sides[i]) for i in range(len(at))]


_AXES: tuple[tuple[str, str, str, bool, bool], ...] = (  # column, name, unit, logarithmic, less is better
    ("mean_ms", "time", "ms", True, True),
    ("accuracy_percent", "accuracy", "%", False, False),
    ("size_mb", "size", "MB", True, True),
    ("memory_overall_mb", "memory", "MB", True, True),
)


def parallel(study: Study, table: pd.DataFrame, title: str) -> Figure | None:
    """A line for each row over what it takes, the best at the top. None where no two rows or things are known."""
    rows = table.assign(name=row_names(table))
    rows = rows[rows["mean_ms"] > 0]
    there = [axis for axis in _AXES if rows[axis[0]].notna().all() and (rows[axis[0]] > 0).all()]
    if len(rows) < 2 or len(there) < 2:
        return None
    names = [row.name for row in rows.itertuples()]
    lacking = [name for column, name, *_ in _AXES if column not in [axis[0] for axis in there]]
    said = "The best is at the top of each axis, whose ends are the least and the greatest value; all axes but that of "
    said += f"accuracy are logarithmic. {_shapes_of(rows)}"
    is_untuned = (rows["tuned_kernels"] < rows["kernels"]).fillna(False).to_numpy(bool)
    said += " Dashed: not all kernels are tuned." if is_untuned.any() else ""
    said += " Memory: what was added to that of the runtime." if "memory" not in lacking else ""
    said += f" Not known of all rows: {', '.join(lacking)}." if lacking else ""
    right = 0.55 + inches(names) * _NAME / STYLE["font.size"]
    figure, axes = new_axes(
        4.6 + right, 3.2, title=title, caption=said, key=_key(study, rows), left=0.55, bottom=0.45, right=right
    )
    heights = {axis[0]: _heights(rows[axis[0]], axis) for axis in there}
    ends = []
    for i, row in enumerate(rows.itertuples()):
        colour, shape = variant_colours(study)[row.variant], _shapes(rows)[row.runner]
        line = [heights[axis[0]][i] for axis in there]
        axes.plot(
            range(len(there)),
            line,
            "--" if is_untuned[i] else "-",
            color=colour,
            linewidth=1.4,
            alpha=0.8,
            clip_on=False,
        )
        mark = axes.scatter(range(len(there)), line, s=22, color=colour, marker=shape, zorder=3, clip_on=False)
        hover.says(mark, *[_says(row)] * len(there))
        ends.append(line[-1])
    last = len(there) - 1
    for end, at, text in zip(ends, _apart(ends, 0.06), names, strict=True):
        axes.plot([last + 0.04, last + 0.35], [end, at], color="#BBBBBB", linewidth=0.6, clip_on=False)
        axes.text(last + 0.37, at, text, va="center", fontsize=_NAME)
    for i, (column, _, unit, _, is_less_better) in enumerate(there):
        best, worst = (rows[column].min(), rows[column].max())[:: 1 if is_less_better else -1]
        axes.plot([i, i], [0, 1], color=QUIET, linewidth=0.8, zorder=1, clip_on=False)
        axes.text(i, 1.04, f"{_number(best)} {unit}", ha="center", va="bottom", fontsize=SMALL)
        if best != worst:
            axes.text(i, -0.04, f"{_number(worst)} {unit}", ha="center", va="top", fontsize=SMALL)
    axes.set_xticks(range(len(there)), [axis[1] for axis in there])
    axes.tick_params(axis="x", length=0, pad=10)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.15, last)
    axes.set_ylim(-0.12, 1.12)
    return figure


def _heights(values: pd.Series, axis: tuple[str, str, str, bool, bool]) -> list[float]:
    """Where values stand on their axis: 1 = best, 0 = worst; all at 1 where none is better."""
    *_, is_log, is_less_better = axis
    on_axis = np.log(values.to_numpy(float)) if is_log else values.to_numpy(float)
    low, high = on_axis.min(), on_axis.max()
    if low == high:
        return [1.0] * len(on_axis)
    share = (on_axis - low) / (high - low)
    return list(1 - share if is_less_better else share)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights moved so that they are at least so far apart, around where they were."""
    order = np.argsort(heights, kind="stable")
    placed: list[float] = []
    for i in order:
        placed.append(max(heights[i], placed[-1] + least if placed else -math.inf))
    shift = max(0.0, (placed[-1] - max(heights)) / 2)
    found = [0.0] * len(heights)
    for i, at in zip(order, placed, strict=True):
        found[i] = at - shift
    return found


def _shapes(rows: pd.DataFrame) -> dict[str, str]:
    return {runner: list(_SHAPES)[i % len(_SHAPES)] for i, runner in enumerate(sorted(set(rows["runner"])))}


def _shapes_of(rows: pd.DataFrame) -> str:
    return f"Marks: {', '.join(f'{_SHAPES[shape]} = {runner}' for runner, shape in _shapes(rows).items())}."


def _key(study: Study, rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [(each, variant_colours(study)[each]) for each in sorted(set(rows["variant"]), key=variant_key)]


def _says(row: Any) -> str:
    time = with_interval(row.mean_ms, row.mean_ci_low_ms, row.mean_ci_high_ms)
    accuracy = f"accuracy {row.accuracy_percent:.1f} %" if pd.notna(row.accuracy_percent) else ""
    size = f"{number(row.size_mb)} MB" if pd.notna(row.size_mb) else ""
    parts = (f"{time} ms", accuracy, size, f"n = {row.n}")
    return f"{row.name}: {', '.join(filter(None, parts))}"


def _number(value: float) -> str:
    return number(value, 4 if value >= 90 else 3)
