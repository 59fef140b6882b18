"""What a run used over time: of its machine, or by its own processes."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.sidecar import TICKS_PER_S, number

MACHINE, PROCESS = "machine", "process"

_SAMPLE = re.compile(r"(?<!\S)(\d{1,12}(?:\.\d{1,9})?):(\d{1,12}):(\d{1,12})(?!\S)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Usage:
    """Samples taken while a run went on; one or more, all of the same length.

    Attributes:
        of: MACHINE, all that ran on it, as Kenning tells; or PROCESS, the run's own processes together, as ours are.
        time_s: when each sample was taken. Of a machine since the first sample, whose CPU time nobody knows and which
            is not here; of processes since they were started.
        cpu_percent: since the sample before. Of a machine 100 = all CPUs were busy, of processes 100 = one CPU was.
        memory_mb: resident memory, in MB of 2**20 bytes; None = not known.
        memory_percent: of the machine's memory; None = not known.
    """

    of: str
    time_s: Sequence[float]
    cpu_percent: Sequence[float]
    memory_mb: Sequence[float] | None = None
    memory_percent: Sequence[float] | None = None


# What a sidecar has of the run's processes, `<uptime_s>:<resident memory in kB>:<CPU time in ticks>` with blanks; and
# when they were started, by the same clock: the first sample is readable, and later than that. A named tuple would take
# longer to make, and to send from process to process, than reading the text for it.
Samples = tuple[str, float]
HostUsages = Mapping[str, Usage | Samples]  # by log


class Usages(Mapping[tuple[str, str, str], Usage]):
    """By campaign, host and log. Samples are read when they are asked for: of many runs one looks at few."""

    def __init__(self, told: Mapping[tuple[str, str], HostUsages]) -> None:
        self._told = told

    def __getitem__(self, key: tuple[str, str, str]) -> Usage:
        campaign, host, log = key
        told = self._told[campaign, host][log]
        return told if isinstance(told, Usage) else read(told)

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return ((*key, log) for key, of_host in self._told.items() for log in of_host)

    def __len__(self) -> int:
        return sum(map(len, self._told.values()))


def samples(facts: Mapping[str, str]) -> Samples | None:
    """The samples in a sidecar; None where there are none, or none that can be read."""
    if not (text := facts.get("resources.samples")):
        return None
    first, start_s = _SAMPLE.search(text), number(facts, "start_uptime_s")
    if not first or start_s is None or float(first[1]) <= start_s:
        return None
    return text[first.start() :], start_s


def read(told: Samples) -> Usage:
    """Usage by a run's own processes. What is no sample is left out, and one that is not later than those before it."""
    text, start_s = told
    rows = np.array(_SAMPLE.findall(text), dtype=float)
    latest_s = np.maximum.accumulate(np.concatenate(([start_s], rows[:, 0])))
    rows = rows[rows[:, 0] > latest_s[:-1]]
    time_s, memory_kb, ticks = rows[:, 0] - start_s, rows[:, 1], rows[:, 2]
    # A process that has ended, and that nobody waited for, takes its CPU time with it.
    spent_s = np.maximum(np.diff(ticks, prepend=0), 0) / TICKS_PER_S
    cpu_percent = 100 * spent_s / np.diff(time_s, prepend=0)
    return Usage(PROCESS, _array(time_s), _array(cpu_percent), memory_mb=_array(memory_kb / 1024))


def _array(values: NDArray) -> array[float]:
    """Without what a difference of two decimal numbers leaves in the last bits, which would show in tables."""
    return array("d", values.round(6).tobytes())
