"""Cost of the runners in Python: what an iteration takes beyond the runtime's own call, on tiny models.

python -m benchmarks.bench_runner

Those beside litert are measured where their packages are: the tests bring them into the kit's cache.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.result import Result, main
from tests.runner_programs import RUNNERS, cached_packages

MODELS = RUNNERS.parent / "tests/data"
ROUNDS = 15


class Case(NamedTuple):
    """A runner's module, what it runs, iterations of a round (some hundredths of a second), and what one may cost.

    After a longer call the loop has to come back into the caches.
    """

    module: str
    model: str
    iterations: int
    target_us: float


CASES = {
    "litert": Case("litert", "models/dense.float32.tflite", 20_000, 2.0),
    "torch": Case("pytorch", "networks/lookup.pt2", 1_000, 5.0),
    "onnxruntime": Case("onnxrt", "networks/lookup.onnx", 5_000, 5.0),
}


def measure(runner: str) -> dict[str, float]:
    """Return the time of an iteration of a runner's loop and of a bare loop of its call, in microseconds.

    Rounds of both alternate, and the fastest of each is taken: what else the machine does only adds to them.
    """
    sys.path.insert(0, str(RUNNERS))
    protocol, case = importlib.import_module("protocol"), CASES[runner]
    program = importlib.import_module(case.module).RUNNER
    protocol.identity(program)
    with contextlib.redirect_stdout(sys.stderr):
        model = program.load(protocol.Parameters(graph=str(MODELS / case.model), num_threads=1), [])
    set_inputs, invoke = model.prepare_inputs(), model.invoke

    def runner_loop() -> None:
        protocol.run(invoke, set_inputs, case.iterations, 0, 150)

    def bare_loop() -> None:
        for _ in range(case.iterations):
            invoke()

    gc.disable()
    rounds = [(seconds(runner_loop), seconds(bare_loop)) for _ in range(ROUNDS)]
    loop_s, invoke_s = (min(column) for column in zip(*rounds, strict=True))
    return {"loop_us": loop_s / case.iterations * 1e6, "invoke_us": invoke_s / case.iterations * 1e6}


def seconds(function: Callable[[], None]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_process(runner: str, packages: Path | None) -> dict[str, float]:
    """Measure in a process of its own: a runtime that was loaded stays, with its threads."""
    environment = os.environ | ({"PYTHONPATH": str(packages)} if packages else {})
    code = f"import json; from benchmarks.bench_runner import measure; print(json.dumps(measure({runner!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=RUNNERS.parent, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def results() -> list[Result]:
    """Measure each runner once."""
    found = []
    for runner, case in CASES.items():
        packages = None if runner == "litert" else cached_packages(runner)
        if packages is None or packages.is_dir():
            loop_us, call_us = in_process(runner, packages).values()
            name = f"{runner} runner, an iteration ({loop_us:.2f} us) beyond the runtime's own call ({call_us:.2f} us)"
            found.append(Result(name, loop_us - call_us, "us", case.target_us))
    return found


if __name__ == "__main__":
    main(results)
