"""What a run used of its machine over time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Samples of a whole machine while a run went on; all of the same length.

    Attributes:
        time_s: since the first sample, whose CPU time nobody knows and which is not here.
        cpu_percent: of all CPUs since the sample before; 100 = all of them were busy.
        memory_percent: of the machine's memory, of all processes together.
    """

    time_s: tuple[float, ...]
    cpu_percent: tuple[float, ...]
    memory_percent: tuple[float, ...]
