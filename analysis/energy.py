"""What a host's energy meter told about a run -> joules and watts. Pure.

The host notes raw readings (`energy.*` in the sidecar, idle.tsv), a runner when its timed phase was and, of counters,
what they said then; all arithmetic is here. Times are seconds of the machine's uptime (CLOCK_BOOTTIME).

Counters give the energy of a process by their first and last sample, just before and just after it. Power is
integrated over the samples within the process (trapezoids; the first and the last value hold up to its ends), since
those outside of it are the idle machine's. Energy of the timed phase comes from counters that the runner read itself;
else from the samples, taken to rise evenly between two of them. Where the runner does not say when its timed phase was,
it is taken to be the last part of the process, as long as its iterations took.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import sidecar
from analysis.logs import ToolRun

NO_METER = "none"
COUNTERS, SAMPLES, ESTIMATED = "counters", "samples", "estimated"  # how the energy of a timed phase is known

PLAUSIBLE_W = 1000.0  # of one processor package: counters that would rise faster were set anew
TOO_SHORT = "the timed phase is shorter than two sampling intervals"

_COUNTER_J = {"uj": 1e-6, "j": 1.0}  # joules of one count
_POWER_W = {"mw": 1e-3, "w": 1.0, "a_v": 1.0, "ma_mv": 1e-6}  # watts of one unit, or of one pair's product
_PAIRS = ("a_v", "ma_mv")
_CLOCK_S = 0.1  # by how much the time of a sample may be wrong: it is read before or after the meter
_SILENT = 10  # sampling intervals; power is not known over a longer gap


class UnreadableError(Exception):
    """There is no energy; the message says why, in words."""


class Channels(NamedTuple):
    """What a meter reads: as in the sidecar, `names` and `ranges` with commas between."""

    meter: str
    unit: str
    names: str
    ranges: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Energy over time.

    Attributes:
        times_s: two or more, in order: those of samples, and the ends of the process.
        joules: of all channels since the first of these times.
        interval_s: time between two samples: as it was meant to be or, if that is more, as it was in the median.
        garbled: how many samples could not be read, and were left out.
    """

    times_s: NDArray
    joules: NDArray
    interval_s: float
    garbled: int

    def between(self, start_s: float, end_s: float) -> float:
        """Joules between two times."""
        start_j, end_j = np.interp((start_s, end_s), self.times_s, self.joules)
        return float(end_j - start_j)


@np.errstate(all="ignore")  # damaged samples may hold any number
def read(
    channels: Channels, samples: str, interval_s: float = 0.0, process_s: tuple[float, float] | None = None
) -> Reading:
    """Read `<uptime_s>:<value>,<value>,... ...`; a sample that is damaged, or goes back in time, is left out.

    Args:
        channels: what the values are.
        samples: the text.
        interval_s: between two samples, as far as it is known.
        process_s: start and end of the process that they are of, if there is one.

    Raises:
        UnreadableError: the unit is not known; there are no two samples; they do not cover the process, or cannot be
            true.
    """
    if channels.unit not in _COUNTER_J | _POWER_W:
        raise UnreadableError(f"the unit '{channels.unit}' of the meter is not known")
    width = len(channels.names.split(",")) * (2 if channels.unit in _PAIRS else 1)
    rows, garbled = _rows(samples, width)
    if len(rows) < 2:
        raise UnreadableError(f"{len(rows)} samples of the meter are readable, expected 2 or more")
    times_s, values = rows[:, 0], rows[:, 1:]
    gaps_s = np.diff(times_s)
    interval_s = max(interval_s, median(gaps_s.tolist()))  # numpy's takes a fifth of the time of all this
    if process_s and not _covers(times_s, process_s, interval_s):
        raise UnreadableError("the samples of the meter do not cover the process")
    if channels.unit in _COUNTER_J:
        return Reading(times_s, _counted(channels, times_s, values), interval_s, garbled)
    if gaps_s.max() > _SILENT * interval_s + _CLOCK_S:
        raise UnreadableError(f"the meter was silent for {gaps_s.max():.0f} s")
    if channels.unit in _PAIRS:
        values = values[:, 0::2] * values[:, 1::2]
    times_s, watts = _held(times_s, values.sum(axis=1) * _POWER_W[channels.unit], process_s)
    joules = np.concatenate([[0.0], np.cumsum((watts[1:] + watts[:-1]) / 2 * np.diff(times_s))])
    if not np.isfinite(joules[-1]):
        raise UnreadableError("the samples of the meter add up to no number")
    return Reading(times_s, joules, interval_s, garbled)


def _covers(times_s: NDArray, window_s: tuple[float, float], lacking_s: float) -> bool:
    """Whether the times reach from one to another, of which at each end so much may lack."""
    reach_s = lacking_s + _CLOCK_S
    return bool(times_s[0] <= window_s[0] + reach_s and window_s[1] <= times_s[-1] + reach_s)


def _held(times_s: NDArray, watts: NDArray, process_s: tuple[float, float] | None) -> tuple[NDArray, NDArray]:
    """The samples within a process, of which the first and the last hold up to its ends; all if none is within."""
    start_s, end_s = process_s or (-math.inf, math.inf)
    inside = (start_s <= times_s) & (times_s <= end_s)
    if process_s is None or not inside.any():
        return times_s, watts
    times_s, watts = times_s[inside], watts[inside]
    return np.array([start_s, *times_s, end_s]), np.array([watts[0], *watts, watts[-1]])


def _rows(samples: str, width: int) -> tuple[NDArray, int]:
    """Time and values of each sample, and how many are left out."""
    rows: list[list[float]] = []
    words = samples.split()
    for word in words:
        time, _, values = word.partition(":")
        try:
            row = [float(time), *map(float, values.split(","))]
        except ValueError:
            continue
        in_order = not rows or row[0] >= rows[-1][0]
        if len(row) == width + 1 and all(map(math.isfinite, row)) and in_order:
            rows.append(row)
    return np.array(rows, dtype=float).reshape(-1, width + 1), len(words) - len(rows)


@np.errstate(all="ignore")
def _counted(channels: Channels, times_s: NDArray, values: NDArray) -> NDArray:
    """Joules since the first reading of counters, of which some begin anew beyond their range.

    Raises:
        UnreadableError: a counter could have wrapped twice unseen, or did what no wrap explains.
    """
    unit_j, names = _COUNTER_J[channels.unit], channels.names.split(",")
    gaps_s, rises = np.diff(times_s), np.diff(values, axis=0)
    ranges = np.full(len(names), np.nan)
    most = np.full(len(gaps_s), np.inf)
    if channels.unit == "uj":
        ranges = np.array(_numbers(channels.ranges.split(","), len(names)))
        wraps_after_s = ranges * unit_j / PLAUSIBLE_W
        unseen = gaps_s.max() >= wraps_after_s
        if unseen.any():
            which = int(np.argmax(unseen))
            wraps = f"the counter of {names[which]} may wrap every {wraps_after_s[which]:.0f} s"
            raise UnreadableError(f"{wraps}, and its readings are {gaps_s.max():.0f} s apart")
        most = PLAUSIBLE_W * (gaps_s + _CLOCK_S) / unit_j
    rises = np.where(rises < 0, rises + ranges, rises)  # NaN where no range is known
    strange = ~((rises >= 0) & (rises <= most[:, None]))
    if strange.any():
        row, which = np.argwhere(strange)[0]
        raise UnreadableError(
            f"the counter of {names[which]} went from {values[row, which]:.15g} to {values[row + 1, which]:.15g} "
            f"{channels.unit} within {gaps_s[row]:.1f} s: it was set anew, or is damaged"
        )
    return np.concatenate([[0.0], np.cumsum(rises.sum(axis=1))]) * unit_j


def _numbers(texts: Sequence[Any], count: int) -> list[float]:
    """Texts or JSON values as `count` finite numbers, NaN for what is none; all NaN if there are more or fewer."""
    if len(texts) != count:
        return [math.nan] * count
    return [_number(text) for text in texts]


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of the energy of one run; None = not known.

    Attributes:
        channels: what the meter reads.
        boot_id: which start of the machine it was measured after.
        run_j: of the whole process.
        timed_j, timed_s: energy and duration of the timed phase.
        method: how the energy of the timed phase is known; '' if it is not.
        iterations: inferences in the timed phase.
        reason: why there is no energy of the timed phase or, with no meter, why there is none.
        warning: what is good to know of the samples.
    """

    channels: Channels
    boot_id: str
    run_j: float | None = None
    timed_j: float | None = None
    timed_s: float | None = None
    method: str = ""
    iterations: int | None = None
    reason: str = ""
    warning: str = ""


def of_run(facts: Mapping[str, str], run: ToolRun | None) -> Measured:
    """The energy of a run whose sidecar names a meter; `run` is None if the run failed, and so measured nothing."""
    channels = Channels(*(facts.get(f"energy.{name}", "") for name in Channels._fields))
    boot_id = facts.get("boot_id", "")
    if channels.meter == NO_METER:
        return Measured(channels, boot_id, reason=facts.get("energy.reason", "the logs do not say why"))
    if run is None:
        return Measured(channels, boot_id)
    reading, why, doubts = None, "", []
    try:
        reading = _of_process(channels, facts)
    except UnreadableError as error:
        why = str(error)
    if reading and reading.garbled:
        doubts.append(f"{reading.garbled} samples of the meter are garbled and left out")
    run_j = float(reading.joules[-1]) if reading else None
    try:
        phase = _timed_phase(channels, reading, sidecar.number(facts, "end_uptime_s"), run)
    except UnreadableError as error:
        return Measured(channels, boot_id, run_j, reason=why or str(error), warning="; ".join(doubts))
    doubts += [why] if why else []
    return Measured(channels, boot_id, run_j, *phase, run.iterations, warning="; ".join(doubts))


def _of_process(channels: Channels, facts: Mapping[str, str]) -> Reading:
    """The samples of a whole process. Raises UnreadableError."""
    start_s, end_s = sidecar.number(facts, "start_uptime_s"), sidecar.number(facts, "end_uptime_s")
    if start_s is None or end_s is None or end_s < start_s:
        raise UnreadableError("when the process was is not known")
    interval_s = sidecar.number(facts, "energy.interval_s") or 0.0
    return read(channels, facts.get("energy.samples", ""), interval_s, (start_s, end_s))


def _timed_phase(
    channels: Channels, reading: Reading | None, end_s: float | None, run: ToolRun
) -> tuple[float, float, str]:
    """Joules and seconds of the timed phase, and how they are known. Raises UnreadableError where they are not."""
    if not run.iterations:
        raise UnreadableError("how many inferences were timed is not known")
    if exact := _exact(channels, run):
        return exact
    if reading is None:
        raise UnreadableError("the meter has no samples")
    window, method = _window(run.edgebench.get("timed")), SAMPLES
    if window is None:
        if end_s is None or run.avg_inference_ms is None:
            raise UnreadableError("when the timed phase was is not known")
        window, method = (end_s - run.iterations * run.avg_inference_ms / 1000, end_s), ESTIMATED
    if window[1] - window[0] < 2 * reading.interval_s:
        raise UnreadableError(TOO_SHORT)
    if not _covers(reading.times_s, window, 0.0):
        raise UnreadableError("the timed phase is not where the samples of the meter are")
    return reading.between(*window), window[1] - window[0], method


def _exact(channels: Channels, run: ToolRun) -> tuple[float, float, str] | None:
    """The same from the counters that the runner read; None if that is not possible."""
    told = run.edgebench.get("energy_counters")
    window = _window(told)
    if channels.unit != "uj" or window is None:
        return None
    sides = [told.get(side) for side in ("start", "end")]
    if not all(isinstance(side, list) for side in sides):
        return None
    values = np.array([_numbers(side, len(channels.names.split(","))) for side in sides])
    try:
        joules = _counted(channels, np.array(window), values)
    except UnreadableError:
        return None  # the samples may still tell
    return float(joules[-1]), window[1] - window[0], COUNTERS


def _window(told: Any) -> tuple[float, float] | None:
    """Start and end of the timed phase, from a runner's JSON; None if there is none to be had from it."""
    if not isinstance(told, dict):
        return None
    start_s, end_s = (_number(told.get(name)) for name in ("start_uptime_s", "end_uptime_s"))
    return (start_s, end_s) if start_s < end_s else None


# --- the idle machine -------------------------------------------------------------------------------------------------


class Idle(NamedTuple):
    """One measurement of the machine with nothing to do, made before the runs of a block."""

    block: int
    boot_id: str
    channels: Channels
    watts: float


def idle_powers(table: Iterable[Mapping[str, str]] | None) -> tuple[list[Idle], list[str]]:
    """The measurements of an idle.tsv, by its lines, and a sentence for each line that cannot be used."""
    found, problems = [], []
    for number, line in enumerate(table or [], start=2):
        text = {name: "" if value == "-" else value for name, value in line.items()}
        block = sidecar.integer(text, "block")
        channels = Channels(*(text.get(name, "") for name in Channels._fields))
        try:
            if block is None:
                raise UnreadableError("it is of no block")
            reading = read(channels, text.get("samples", ""))
            duration_s = reading.times_s[-1] - reading.times_s[0]
            if duration_s <= 0:
                raise UnreadableError("it took no time")
        except UnreadableError as error:
            problems.append(f"line {number} is not used: {error}")
        else:
            watts = float(reading.joules[-1] / duration_s)
            found.append(Idle(block, text.get("boot_id", ""), channels, watts))
    return found, problems


def idle_power_w(measured: Measured, block: int | None, idle: Sequence[Idle]) -> float | None:
    """Of the same meter after the same start of the machine: the last measurement up to a run's block."""
    if block is None:
        return None
    wanted = (measured.channels, measured.boot_id)
    earlier = [one for one in reversed(idle) if (one.channels, one.boot_id) == wanted and one.block <= block]
    return max(earlier, key=lambda one: one.block).watts if earlier else None


# --- rows of `Dataset.runs` -------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """How the energy of a run is known; a row of `Dataset.energy`.

    `method` is that of the timed phase, '' if there is no energy of it; `reason` says why.
    """

    campaign: str
    host: str
    log: str
    meter: str
    unit: str
    names: str
    method: str
    reason: str


def frame(told: Iterable[Told]) -> pd.DataFrame:
    """`Dataset.energy`."""
    return pd.DataFrame(told, columns=Told._fields, dtype="str")


def complete(rows: Iterable[dict[str, Any]], idle: Sequence[Idle]) -> list[Told]:
    """Put energy and power into the rows of one host that have a `Measured` as `energy`; how each is known."""
    told = []
    for row in rows:
        measured = row.get("energy")
        if measured is None:
            continue
        row["energy_meter"] = measured.channels.meter
        row["energy_run_j"] = measured.run_j
        row["idle_power_w"] = idle_w = idle_power_w(measured, row.get("block"), idle)
        if measured.method:
            row["power_w"] = measured.timed_j / measured.timed_s
            row["energy_inference_j"] = measured.timed_j / measured.iterations
            if idle_w is not None:
                above_idle_j = measured.timed_j - idle_w * measured.timed_s
                row["energy_net_inference_j"] = above_idle_j / measured.iterations
        doubts = [] if measured.channels.meter == NO_METER else filter(None, (measured.reason, measured.warning))
        row["warnings"] = "; ".join(filter(None, (row["warnings"], *(f"energy: {text}" for text in doubts))))
        names = (row[name] for name in ("campaign", "host", "log"))
        told.append(Told(*names, *measured.channels[:3], measured.method, measured.reason))
    return told
