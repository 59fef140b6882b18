"""Where many logs are read: in this process, in one for each CPU, or on a Dask cluster.

Each is a function like `map` that keeps the order, so whatever reads by it gives the same on all of them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from analysis.campaign import Spread
from analysis.errors import AnalysisError
from analysis.layout import Found

SERIAL, PROCESSES, DASK = "serial", "processes", "dask"
MANY_LOGS = 5_000  # with fewer, starting processes takes longer than they save
_WORKERS = 8  # at most: each has some hundred MB
_CONNECT_S = 30
_NO_DASHBOARD = {"dashboard_address": ":0"}  # on no port that another may have


@contextmanager
def opened(engine: str | None, found: Found) -> Iterator[Spread]:
    """The engine by its name, for reading what was found; None = processes where there are many logs.

    Raises AnalysisError for an engine that there is not, that cannot be reached or that fails.
    """
    kind, _, address = (engine or fitting(found)).partition(":")
    if kind == SERIAL and not address:
        yield map
    elif kind == PROCESSES and not address:
        # Where forking is safe it is quick, and works in whatever program uses this.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        try:
            # What they have from this process is not theirs to tidy, and looking through it copies its memory; what
            # they read holds no cycles.
            with ProcessPoolExecutor(cpus(), context, initializer=gc.disable) as pool:
                yield pool.map
        except BrokenExecutor as error:
            raise AnalysisError(
                f"--engine {PROCESSES}: a process that read logs was ended from outside, most often because memory "
                f"ran out; try --engine {SERIAL}"
            ) from error
    elif kind == DASK:
        with _dask(engine or DASK, address, found) as spread:
            yield spread
    else:
        raise AnalysisError(f"--engine '{engine}': not known; known: {SERIAL}, {PROCESSES}, {DASK}, {DASK}:ADDRESS")


def fitting(found: Found) -> str:
    """The engine for so many logs, of those on this machine."""
    logs = sum(len(host.logs) for host in found.hosts)
    return PROCESSES if logs >= MANY_LOGS and cpus() > 1 else SERIAL


def cpus() -> int:
    """How many processes read at once."""
    return min(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1, _WORKERS)


@contextmanager
def _dask(engine: str, address: str, found: Found) -> Iterator[Spread]:
    """The workers of the scheduler at the address, or else of a cluster on this machine for as long as this lasts."""
    try:
        from distributed import Client, KilledWorker
        from distributed.client import FutureCancelledError
    except ImportError:
        raise AnalysisError(f"--engine {engine}: Dask is not installed; pip install -r requirements-dask.txt") from None
    try:
        where = {"address": address} if address else {"n_workers": cpus(), "threads_per_worker": 1} | _NO_DASHBOARD
        client = Client(**where, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise AnalysisError(f"--engine {engine}: no Dask scheduler there ({error})") from error
    with client:
        _check(engine, client, found)
        try:
            yield client.get_executor(pure=False).map
        except (KilledWorker, FutureCancelledError) as error:
            raise AnalysisError(f"--engine {engine}: lost its workers while reading ({error})") from error


def _check(engine: str, client: Any, found: Found) -> None:
    """Refuse a cluster whose workers cannot do the work: they need this package, and the logs under the same paths."""
    if not client.scheduler_info()["workers"]:
        raise AnalysisError(f"--engine {engine}: the scheduler has no workers; start some with: dask worker ADDRESS")
    firsts = [host.logs[0].path for host in found.hosts if host.logs]
    try:
        unseen = client.run(_unseen, firsts)
    except ImportError as error:
        raise AnalysisError(
            f"--engine {engine}: the workers lack the kit ({error}); start them in its checkout, with its packages"
        ) from error
    for worker, path in unseen.items():
        if path:
            raise AnalysisError(
                f"--engine {engine}: the worker {worker} sees no {path}; logs must lie, unpacked, where all workers "
                "see them under the same path"
            )


def _unseen(paths: Sequence[str]) -> str:
    """The first of some files that is not there; '' if all are."""
    return next((path for path in paths if not os.path.isfile(path)), "")  # noqa: PTH113
