"""What the kit itself costs, as ratios measured in one run: `make bench`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import (
    bench_fleet,
    bench_precision,
    bench_reading,
    bench_report,
    bench_run_stage,
    bench_runner,
    bench_watching,
)
from benchmarks.result import Result, main

_ALL = (bench_reading, bench_report, bench_runner, bench_watching, bench_run_stage, bench_precision, bench_fleet)


def results() -> Iterator[Result]:
    for benchmark in _ALL:
        yield from benchmark.results()


if __name__ == "__main__":
    main(results)
