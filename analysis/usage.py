"""What a run used over time: of its machine, or by its own processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MACHINE, PROCESS = "machine", "process"


@dataclass(frozen=True, slots=True)
class Usage:
    """Samples taken while a run went on; all of the same length.

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
