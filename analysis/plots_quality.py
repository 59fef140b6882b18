"""Charts of what configurations take for what; made and saved as those of `analysis.plots`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis import quality
from analysis.names import slug
from analysis.plots import SMALL
from analysis.plots_across import panels_of
from analysis.study import Study
from analysis.tables import some
from analysis.tables_quality import (
    MOST_MATRICES,
    MOST_NUMBERED,
    Result,
    class_names,
    classified,
    configuration,
    results,
)

_RIGHT, _WRONG = colormaps["Blues"], colormaps["Oranges"]  # ColorBrewer's: told apart by colour-blind people
_PER_LINE = 3  # panels
_TITLE = 45  # characters over a panel
_LEAST_RANGE = 0.05  # of the shades of what is wrong, as a share of a class


def charts(
    study: Study, confusion: pd.DataFrame | None
) -> Iterator[tuple[str, str, Callable[[], Figure], Callable[[], pd.DataFrame], str]]:
    """Name, title, drawing, numbers and topic of each chart, from the confusion table, if there is one."""
    found = {} if confusion is None else results(classified(study))
    for model, of_model in found.items():
        name = slug(f"confusion_{model}") if len(found) > 1 else "confusion"
        draw, data = partial(confusion_matrices, study, model, of_model), confusion[confusion["model"] == model].copy
        yield name, f"What is taken for what: {model}", draw, data, "quality"


def confusion_matrices(study: Study, model: str, found: Sequence[Result]) -> Figure:
    """The different confusion matrices of a model, each once, with the configurations that have it."""
    shown = found[:MOST_MATRICES]
    shares = [_shares(result.evaluation.confusion_matrix) for result in shown]
    limit = max([_LEAST_RANGE, *(_off_diagonal(share).max() for share in shares)])
    classes = max(len(share) for share in shares)
    is_numbered = classes <= MOST_NUMBERED
    names = class_names(shown[0].evaluation)
    are_short = all(len(name) <= 3 for name in names)
    side = max(2.6, 0.24 * classes + 0.5) if is_numbered else 3.2
    caption = "A row for each true class, a column for what its images were taken for. "
    caption += "Numbers: images. " if is_numbered else ""
    if is_numbered and not are_short:
        caption += f"Classes: {', '.join(f'{number} {name}' for number, name in enumerate(names))}. "
    caption += "Shades: share of the class. Configurations with the same matrix share a panel. "
    if len(found) > len(shown):
        caption += f"{len(found) - len(shown)} more in tables/confusion.csv."
    figure, panels = panels_of(
        [""] * len(shown),
        _PER_LINE,
        side,
        side + 0.35,
        title=f"What is taken for what: {model}",
        caption=caption,
        key=[
            ("right", _RIGHT(0.6)),
            *((f"wrong: {100 * part:.1f} % of a class", _wrong(part, limit)) for part in (limit / 4, limit)),
        ],
        left=0.75,
    )
    everywhere = {cell.machine for result in found for cell in result.cells}
    for i, (axes, result, share) in enumerate(zip(panels, shown, shares, strict=True)):
        counts = result.evaluation.confusion_matrix
        where = dict.fromkeys(cell.machine for cell in result.cells)
        on = f", on {some((study.labels[machine] for machine in where), 2)}" if set(where) != everywhere else ""
        labels = dict.fromkeys(configuration(study, cell.setting.runner, cell.variant) for cell in result.cells)
        named = next(text for n in (2, 1) if len(text := some(labels, n)) < _TITLE or n == 1)
        title = f"{i + 1}: {named}\n{100 * quality.top_1(counts).value:.1f} % right{on}"
        axes.set_title(title, fontsize=SMALL, pad=3)
        _draw(axes, counts, share, limit, is_numbered)
        if is_numbered:
            ticks = names if are_short else [str(i) for i in range(len(names))]
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_yticks(range(len(ticks)), ticks)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(length=0, labelsize=SMALL)
        axes.set_xlabel("taken for", fontsize=SMALL)
        if i % _PER_LINE == 0:
            axes.set_ylabel("class", fontsize=SMALL)
    return figure


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each true class, the share of its images; zeros where it has none."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def _off_diagonal(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.eye(len(share), dtype=bool), 0.0, share)


def _wrong(share: NDArray[np.float64] | float, limit: float) -> NDArray[np.float64]:
    """A single image of many must be seen, too: the least shade is well away from white."""
    return _WRONG(0.25 + 0.6 * np.asarray(share) / limit)


def _draw(axes: Axes, counts: NDArray[np.int64], share: NDArray[np.float64], limit: float, is_numbered: bool) -> None:
    shades = _wrong(share, limit)
    shades[share == 0] = 1.0
    at = np.arange(len(share))
    shades[at, at] = np.where(share[at, at, None] > 0, _RIGHT(0.15 + 0.55 * share[at, at]), 1.0)
    axes.imshow(shades, interpolation="none")
    axes.spines[:].set_visible(True)
    axes.spines[:].set(color="#BBBBBB", linewidth=0.6)
    for row, column in np.argwhere(counts).tolist() if is_numbered else ():
        red, green, blue = shades[row, column, :3]
        is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color="black" if is_light else "white")
