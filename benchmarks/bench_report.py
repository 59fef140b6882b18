"""Cost of a whole report against what importing pandas and Matplotlib costs; both in a fresh process.

The campaign is the study's: 8 hosts x 14 configurations x 10 repetitions = 1,120 logs with sidecars, all tables and
plots. `python -m benchmarks.bench_report`
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Result, main
from benchmarks.synthetic import write_campaign

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


def _seconds(*arguments: str, directory: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        cwd=directory,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def ratio() -> float:
    """Measure both in turns; of each the fastest counts, which other work on the machine disturbs least."""
    with tempfile.TemporaryDirectory() as directory:
        write_campaign(Path(directory, "logs"), hosts=8, repetitions=10, runner="litert")
        imports, reports = [], []
        for _ in range(ROUNDS):
            statement = "import pandas, matplotlib.figure, matplotlib.backends.backend_agg"
            imports.append(_seconds("-c", statement, directory=directory))
            reports.append(_seconds("-m", "analysis.report", "logs", directory=directory))
    return min(reports) / min(imports)


def results() -> Iterator[Result]:
    yield Result("report of 1,120 logs, plots included / importing pandas and matplotlib", ratio(), "x", 10.0)


if __name__ == "__main__":
    main(results)
