"""Cost of the `litert` runner itself: what an iteration takes beyond `invoke`, on a one-operator model.

python -m benchmarks.bench_runner
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.result import Result, main

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests/data/models/dense.float32.tflite"
TARGET_US = 2.0
ITERATIONS = 20_000
ROUNDS = 15


def measure() -> dict[str, float]:
    """Return the time of an iteration of the runner's loop and of a bare loop of `invoke`, in microseconds.

    Rounds of both alternate, so that a slow spell of the machine hits both; the medians are taken.
    """
    sys.path.insert(0, str(ROOT / "runners"))
    import litert

    litert.runtime()
    interpreter = litert.load(litert.Parameters(graph=str(MODEL), num_threads=1), [])
    set_inputs = litert.prepare_inputs(interpreter)
    invoke = interpreter.invoke

    def runner_loop() -> None:
        litert.run(invoke, set_inputs, ITERATIONS, 0, 150)

    def bare_loop() -> None:
        for _ in range(ITERATIONS):
            invoke()

    gc.disable()
    rounds = [(seconds(runner_loop), seconds(bare_loop)) for _ in range(ROUNDS)]
    loop_s, invoke_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {"loop_us": loop_s / ITERATIONS * 1e6, "invoke_us": invoke_s / ITERATIONS * 1e6}


def seconds(function: Callable[[], None]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def results() -> list[Result]:
    """Measure once."""
    measured = measure()
    name = f"litert runner, an iteration ({measured['loop_us']:.2f} us) beyond invoke ({measured['invoke_us']:.2f} us)"
    return [Result(name, measured["loop_us"] - measured["invoke_us"], "us", TARGET_US)]


if __name__ == "__main__":
    main(results)
