"""Charts of what runs used over time; made and saved as those of `analysis.plots`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import hover
from analysis.plots import SMALL, variant_colours
from analysis.plots_across import panels_of
from analysis.study import Cell, Machine, Setting, Study, variant_key
from analysis.tables import count
from analysis.tables_usage import watched
from analysis.usage import MACHINE, PROCESS, Usage

MOST_PANELS = 8  # models and settings of one machine that are drawn
_MOST_RUNS = 3  # of each configuration that are drawn
_MOST_POINTS = 80  # of each run that are drawn: a page embeds them
_COLUMNS = 4

Panel = dict[Cell, list[tuple[str, Usage]]]  # log and samples
Panels = dict[tuple[str, Setting], Panel]


def charts(
    study: Study, table: pd.DataFrame | None
) -> Iterator[tuple[str, str, Callable[[], Figure], Callable[[], pd.DataFrame], str]]:
    """Name, title, drawing, numbers and topic of each chart, where `tables_usage.usage` has something to draw."""
    for machine, panels in ({} if table is None else _panels(study)).items():
        title = f"CPU and memory over time, {study.labels[machine]}"
        draw, data = partial(over_time, study, machine, panels), partial(drawn, panels)
        yield f"{study.stems[machine]}_usage", title, draw, data, "usage"


def _panels(study: Study) -> dict[Machine, Panels]:
    """What is drawn of each machine: by model and setting, of each configuration some runs."""
    found: dict[Machine, Panels] = defaultdict(lambda: defaultdict(dict))
    for cell, runs in watched(study).items():
        if (cell.machine, cell.setting) in study.charted:
            at = dict.fromkeys(np.linspace(0, len(runs) - 1, _MOST_RUNS).round().astype(int).tolist())
            some = [(runs[i][0], thinned(runs[i][1])) for i in at]
            found[cell.machine][cell.model, cell.setting][cell] = some
    return found


def thinned(used: Usage) -> Usage:
    """The same in so few samples that a page can hold them: of neighbours the mean CPU and the most memory."""
    step = -(-len(used.time_s) // _MOST_POINTS)
    if step == 1:
        return used
    seconds = np.diff(np.asarray(used.time_s, dtype=float), prepend=0.0)
    at = np.arange(0, len(seconds), step)
    weights = np.add.reduceat(seconds, at)
    busy = np.add.reduceat(seconds * np.asarray(used.cpu_percent, dtype=float), at)
    memory = [
        None if values is None else np.maximum.reduceat(np.asarray(values, dtype=float), at).tolist()
        for values in (used.memory_mb, used.memory_percent)
    ]
    ends = [*(at[1:] - 1), len(seconds) - 1]
    cpu = np.divide(busy, weights, out=np.zeros_like(busy), where=weights > 0)
    return Usage(used.of, np.asarray(used.time_s)[ends].tolist(), cpu.tolist(), *memory)


def drawn(panels: Panels) -> pd.DataFrame:
    """The numbers of a chart: a row for each sample that it draws."""
    parts = []
    for panel in _first(panels).values():
        for cell, runs in panel.items():
            for log, used in runs:
                facts = {"model": cell.model, "variant": cell.variant, "runner": cell.setting.runner, "log": log}
                samples = {name: getattr(used, name) for name in ("time_s", "cpu_percent", "memory_mb")}
                samples["memory_percent"] = used.memory_percent
                parts.append(pd.DataFrame(facts | {"of": used.of} | samples))
    return pd.concat(parts, ignore_index=True)


def _first(panels: Panels) -> Panels:
    return dict(list(panels.items())[:MOST_PANELS])


def over_time(study: Study, machine: Machine, panels: Panels) -> Figure:
    """CPU and, below it, memory of the runs of one machine, a pair of panels for each model and setting."""
    shown = _first(panels)
    several = len({model for model, _ in panels}) > 1
    columns = min(len(shown), _COLUMNS)
    keys = list(shown)
    lines = [keys[start : start + columns] for start in range(0, len(keys), columns)]
    titles: list[str] = []
    for line in lines:
        padding = [""] * (columns - len(line))
        titles += [*(_title(study, machine, several, *key, shown[key]) for key in line), *padding]
        titles += [*(f"memory ({_memory(shown[key])[1]})" for key in line), *padding]
    variants = sorted({cell.variant for panel in shown.values() for cell in panel}, key=variant_key)
    every = [used for panel in shown.values() for used in _all(panel)]
    most_percent: dict[str, float] = defaultdict(float)
    for used in every:
        most_percent[used.of] = max(most_percent[used.of], *used.cpu_percent)
    more = len(panels) - len(shown)
    figure, axes = panels_of(
        titles,
        columns,
        2.3,
        1.75,
        title=f"CPU and memory over time: {study.labels[machine]}",
        caption=f"Each line is one run, a process of its own: at most {_MOST_RUNS} of each configuration, and at most "
        f"{_MOST_POINTS} samples of each, of neighbours the mean CPU and the most memory. "
        + (_OF_PROCESSES if PROCESS in most_percent else "")
        + (_OF_MACHINE if MACHINE in most_percent else "")
        + (f"{count(more, 'more pair')} of panels: tables/usage.csv." if more else ""),
        key=[(variant, variant_colours(study)[variant]) for variant in variants],
        left=0.75,
    )
    for i, line in enumerate(lines):
        start = 2 * i * columns
        above, below = axes[start : start + columns], axes[start + columns : start + 2 * columns]
        for cpu, memory, key in zip(above, below, line, strict=False):
            _draw(study, cpu, memory, shown[key], most_percent)
        above[0].set_ylabel("CPU (%)", fontsize=SMALL)
        for unused in (*above[len(line) :], *below[len(line) :]):
            unused.remove()
    return figure


_OF_PROCESSES = (
    "Time is since the process was started, so that loading is to be seen; 100 % is one busy CPU, and memory is what "
    "the run's processes have in RAM. "
)
_OF_MACHINE = "Whole machine: all that ran on it, 100 % are all its CPUs, and time is since the first sample. "


def _all(panel: Panel) -> Iterator[Usage]:
    return (used for runs in panel.values() for _, used in runs)


def _title(study: Study, machine: Machine, several: bool, model: str, setting: Setting, panel: Panel) -> str:
    names = (model if several else "", study.setting_label(setting, machine))
    whole = "whole machine" if any(used.of == MACHINE for used in _all(panel)) else ""
    return ", ".join(filter(None, (", ".join(filter(None, names)) or model, whole)))


def _memory(panel: Panel) -> tuple[str, str]:
    """Which of its samples tell of memory, and in which unit."""
    in_mb = any(used.memory_mb is not None for used in _all(panel))
    return ("memory_mb", "MB") if in_mb else ("memory_percent", "%")


def _draw(study: Study, cpu: Axes, memory: Axes, panel: Panel, most_percent: Mapping[str, float]) -> None:
    """One pair of panels."""
    held, _ = _memory(panel)
    for axes, name in ((cpu, "cpu_percent"), (memory, held)):
        for cell, runs in panel.items():
            for log, used in runs:
                if (values := getattr(used, name)) is not None:
                    colour = variant_colours(study)[cell.variant]
                    (curve,) = axes.plot(used.time_s, values, color=colour, linewidth=0.8, alpha=0.8)
                    hover.says(curve, f"{cell.model} {cell.variant}, {log.rpartition('/')[2]}")
        axes.set_xlim(0, 1.02 * max(used.time_s[-1] for used in _all(panel)) or 1.0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid()
    cpu.set_ylim(0, 1.08 * max(most_percent[used.of] for used in _all(panel)) or 1.0)
    memory.set_ylim(0, 1.08 * max(max(getattr(used, held) or (0.0,)) for used in _all(panel)) or 1.0)
    memory.set_xlabel("time (s)", fontsize=SMALL)
