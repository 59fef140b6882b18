"""Whether a run's own log bears out what was asked for, and was made under conditions that mean anything.

The machine's state is judged elsewhere (`analysis.sidecar`), contradictions within a log where it is read
(`analysis.logs`). What a host found out itself, which repeats such runs, is in its sidecar under `checks`; that is not
judged again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from statistics import median

from analysis import delegation, sidecar
from analysis.logs import ToolRun

ITERATIONS, CPU, DRIFT = "iterations", "cpu", "drift"

CPU_SHARE = 0.9  # of the wall time; a single thread that works all the time has 1
DRIFT_SHARE = 0.05
DRIFT_P = 0.001  # one in a thousand steady runs at most, since a run with many iterations sees the least of trends
DRIFT_FROM = 10  # iterations


def doubts(run: ToolRun, known: Mapping[str, str]) -> list[str]:
    """Why a measured run is not to be trusted, in words for people; [] if nothing speaks against it.

    Args:
        run: what the log says.
        known: what sidecar and plan say; {} for logs from elsewhere.
    """
    found = [*_other_than_asked(run, known)]
    made_on_host = known.get("checks", "").split(",")
    for name, check in _CHECKS.items():
        if name not in made_on_host and (doubt := check(run, known)):
            found.append(doubt)
    return found


def is_steadiness_known(iteration_wall_us: list[float] | None) -> bool:
    """Whether there are iterations enough to see a drift in."""
    return iteration_wall_us is not None and len(iteration_wall_us) >= DRIFT_FROM


def _other_than_asked(run: ToolRun, known: Mapping[str, str]) -> Iterator[str]:
    """File, threads and delegate of the log against those of sidecar or plan."""
    expected, actual = file_name(known.get("model_file", "")), file_name(run.graph)
    if expected and actual and expected != actual:
        yield f"the log is of '{actual}', but the sidecar says '{expected}'"
    threads = sidecar.integer(known, "threads")
    if None not in (threads, run.threads) and threads != run.threads:
        yield f"the log is of {run.threads} threads, but the sidecar says {threads}"
    delegate = known.get("delegate") or "default"
    # With "default" the flags of the campaign may say more.
    if run.graph and delegate not in ("default", run.delegate):
        yield f"the log is of delegate {run.delegate}, but the sidecar says {delegate}"
    if not run.graph and delegate not in delegation.ON_CPU and not run.delegation:
        yield f"nothing says that the delegate {delegate} executed any of the model"
    # The runner `litert` knows; the tool says nothing where the default delegate was applied.
    identity = run.edgebench.get("runner")
    applied = identity.get("xnnpack") if isinstance(identity, dict) else None
    if (delegate, applied) in (("xnnpack", False), ("none", True)):
        yield f"delegate {delegate} was asked for, but XNNPACK executed {'some' if applied else 'nothing'} of the model"


@lru_cache(maxsize=256)  # repetitions have the same
def file_name(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2]


def _few_iterations(run: ToolRun, known: Mapping[str, str]) -> str:
    """The tool gives up at its time limit, and says nothing about it."""
    asked = sidecar.integer(run.parameters, "Min num runs")
    if asked is None:
        asked = sidecar.integer(known, "iterations_wanted")
    if None in (asked, run.iterations) or run.iterations >= asked:
        return ""
    return f"only {run.iterations} of {asked} iterations: the tool gave up at its time limit"


def _off_cpu(run: ToolRun, known: Mapping[str, str]) -> str:
    """One thread on the CPU that was not on a CPU: something else was."""
    threads = sidecar.integer(known, "threads")
    if (run.threads if threads is None else threads) != 1 or run.delegate not in delegation.ON_CPU:
        return ""
    share = cpu_per_wall(run)
    if share is None or share >= CPU_SHARE:
        return ""
    return f"the process was on a CPU for only {100 * share:.0f} % of the timed part"


def cpu_per_wall(run: ToolRun) -> float | None:
    """CPU time / wall time of the timed iterations; None where the runner does not tell."""
    wall, cpu = run.edgebench.get("iteration_wall_us"), run.edgebench.get("iteration_cpu_us")
    if not wall or not cpu:
        return None
    wall_us = math.fsum(wall)
    return math.fsum(cpu) / wall_us if wall_us > 0 else None


def _drift(run: ToolRun, _: Mapping[str, str]) -> str:
    """The first half of the iterations against the rest: a steady state has the same times in both."""
    times_us = run.edgebench.get("iteration_wall_us")
    if not is_steadiness_known(times_us):
        return ""
    early, late = times_us[: len(times_us) // 2], times_us[len(times_us) // 2 :]
    before = median(early)
    change = median(late) / before - 1 if before > 0 else 0.0
    if abs(change) <= DRIFT_SHARE:
        return ""
    from scipy import stats as tests  # half a second, and few runs come this far

    p = tests.mannwhitneyu(early, late, use_continuity=False, method="asymptotic").pvalue
    if p >= DRIFT_P:
        return ""
    way = "slower" if change > 0 else "faster"
    return f"no steady state: the second half of the iterations was {100 * abs(change):.0f} % {way} than the first"


_CHECKS = {ITERATIONS: _few_iterations, CPU: _off_cpu, DRIFT: _drift}
