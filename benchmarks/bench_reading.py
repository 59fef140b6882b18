"""How long reading raw logs takes, as a ratio to the plain way of doing it.

The plain way is what the study's first notebook did, written anew: each line of each log against three families of
patterns, the numbers into a dictionary of lists. It knows one format and refuses nothing. Both sides read the same
files in one process; the fastest of several rounds counts, in CPU time, since neighbours on the machine are not ours.

    python -m benchmarks.bench_reading
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis import campaign, logs
from benchmarks.result import Result, main

LOGS = 10_000
ROUNDS = 5

_LOG = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [1]
INFO: Graph: [models/{model}.{variant}.tflite]
INFO: Signature to run: []
INFO: #threads used for CPU inference: [1]
INFO: Loaded model models/{model}.{variant}.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: The input model file size (MB): 16.8617
INFO: Initialized session in {init_ms:g}ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first={first} curr=56288 min=33350 max=81652 avg={warmup:g} std=12533 p5=33350 median=53289 p95=81652

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=63207 curr=93084 min=19968 max=114578 avg={avg:g} std=20630 p5=25912 median=59735 p95=96369

INFO: Inference timings in us: Init: {init}, First inference: {first}, Warmup (avg): {warmup:g}, \
Inference (avg): {avg:g}
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual \
memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=41.9766 overall=43.8672
"""

_STATE = """\
{when}.load1=0.12
{when}.running=1
{when}.mem_available_kb=3800000
{when}.swap_free_kb=0
{when}.cpu_ticks={ticks} 10 500 80000 20 0 5 0 0 0
{when}.governor=performance
{when}.cpu_mhz=2400
{when}.temperature_c=41.2
{when}.throttled=0x0
{when}.children_times=0m{seconds}.50s 0m0.50s
"""

_SIDECAR = (
    """\
schema=1
campaign=bench
host={host}
run={run}
block={repetition}
repetition={repetition}
model={model}
variant={variant}
runner=benchmark_model
threads=1
delegate=default
batch_size=-
input_size=-
timeout_s=600
model_file={model}.{variant}.tflite
model_sha256=0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b
runner_version=2.20.0
argv=./benchmark_model '--graph=models/{model}.{variant}.tflite' '--num_threads=1'
start_utc=2026-11-20T13:30:00Z
end_utc=2026-11-20T13:30:05Z
start_uptime_s=1000.25
end_uptime_s=1005.75
boot_id=3b0f343b-0931-126a-20f1-33d67c2b018a
exit_code=0
timed_out=0
"""
    + _STATE.replace("{when}", "before").replace("{ticks}", "1000").replace("{seconds}", "10")
    + _STATE.replace("{when}", "after").replace("{ticks}", "1600").replace("{seconds}", "15")
    + "complete=1\n"
)

_N, _M = r"(\d+\.\d+)", r"(\d+)"
_TIMINGS = (
    r"INFO: Inference timings in us: Init: (\d+), First inference: (\d+), Warmup \(avg\): {}, Inference \(avg\): {}"
)
_MEMORY = r"INFO: Memory footprint delta from the start of the tool \(MB\): init={} overall={}"
_FAMILIES = {
    ("init_time",): [re.compile(rf"INFO: Initialized session in {n}ms\.") for n in (_N, _M)],
    ("init", "first", "warmup", "avg"): [
        re.compile(_TIMINGS.format(warmup, avg))
        for warmup, avg in ((r"([\d.e+]+)", r"([\d.e+]+)"), (r"([\d.e+]+)", _M), (_N, _N), (_M, _N), (_M, _M))
    ],
    ("memory_init", "memory_overall"): [
        re.compile(_MEMORY.format(init, overall)) for init in (_N, _M) for overall in (_N, _M)
    ],
}


def generate(root: Path, count: int) -> list[Path]:
    """Write `count` logs with sidecars in the layout of a campaign; return the logs."""
    models = ("MobileNet", "InceptionV3", "ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19")
    paths = []
    for index in range(count):
        model, variant = models[index % 7], ("float32", "dynamic_range")[index // 7 % 2]
        host, repetition = f"host-{index % 8}", index // 14 + 1
        run = f"{index:05d}_{model}.{variant}.benchmark_model.t1_r{repetition}"
        path = root / "bench" / host / "runs" / f"{run}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        init, first, warmup, avg = 200_000 + index, 33_350 + index, 40_000.5 + index, 60_255.5 + index % 999
        times = {"init": init, "init_ms": init / 1e3, "first": first, "warmup": warmup, "avg": avg}
        path.write_text(_LOG.format(model=model, variant=variant, **times))
        path.with_suffix(".meta").write_text(
            _SIDECAR.format(host=host, run=run, repetition=repetition, model=model, variant=variant)
        )
        paths.append(path)
    return paths


def read_plainly(paths: Sequence[Path]) -> int:
    """The plain way; return how many logs gave an average."""
    results = defaultdict(list)
    for path in paths:
        for line in path.read_text(encoding="utf-8").split("\n"):
            for names, patterns in _FAMILIES.items():
                for pattern in patterns:
                    if found := pattern.search(line):
                        for name, value in zip(names, found.groups(), strict=True):
                            results[name].append(float(value))
                        break
    return len(results["avg"])


def read_logs(paths: Sequence[Path]) -> int:
    """Our way, the same files; return how many runs are ok."""
    return sum(run.status == logs.OK for path in paths for run in logs.parse(logs.decode(path.read_bytes())))


def read_campaign(root: Path) -> int:
    """Our way with all that belongs to it: finding the files, sidecars, the table; return how many runs are ok."""
    return int((campaign.read([root]).runs["status"] == logs.OK).sum())


def measure(count: int = LOGS) -> dict[str, float]:
    """Measure; times in microseconds of CPU per log."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        paths = generate(root, count)
        ways: dict[str, Callable[[], int]] = {
            "plain_us": lambda: read_plainly(paths),
            "logs_us": lambda: read_logs(paths),
            "campaign_us": lambda: read_campaign(root),
        }
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for way, read in ways.items():
                start = time.process_time()
                read_ok = read()
                times[way].append(time.process_time() - start)
                if read_ok != count:
                    raise AssertionError(f"{way}: {read_ok} of {count} logs read")
    return {way: min(seconds) / count * 1e6 for way, seconds in times.items()}


def results() -> list[Result]:
    """Ratios to the plain way: of the same files, and of all that a campaign has (sidecars, plans, the table)."""
    us = measure()
    plain = f"plain way {us['plain_us']:.0f} us a log"
    return [
        Result(f"reading logs ({us['logs_us']:.0f} us a log) / {plain}", us["logs_us"] / us["plain_us"], "x", 3),
        Result(
            f"reading a campaign, sidecars too ({us['campaign_us']:.0f} us a log) / {plain}, which knows none",
            us["campaign_us"] / us["plain_us"],
            "x",
            4,
        ),
    ]


if __name__ == "__main__":
    main(results)
