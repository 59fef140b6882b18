"""A campaign's raw logs as the kit leaves them, made up: for benchmarks that need many."""

from __future__ import annotations

import json
import random
from pathlib import Path

# Milliseconds per inference, float32 and dynamic_range: roughly what a laptop measures.
STUDY_MS = {
    "MobileNet": (5.35, 8.48),
    "InceptionV3": (49.5, 14.8),
    "ResNet50": (35.5, 12.2),
    "ResNet101": (68.0, 21.9),
    "ResNet152": (99.8, 31.5),
    "VGG16": (139.0, 38.0),
    "VGG19": (174.0, 47.1),
}
VARIANTS = ("float32", "dynamic_range")
PLAN = (
    *("run", "block", "repetition", "model", "variant", "runner", "threads", "delegate"),
    *("batch_size", "input_size", "timeout_s", "model_file", "model_sha256", "flags"),
)

_LOG = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [1]
INFO: Graph: [models/{file}]
INFO: Signature to run: []
INFO: #threads used for CPU inference: [1]
INFO: Loaded model models/{file}
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: The input model file size (MB): 16.8617
INFO: Initialized session in {init_ms:g}ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first={first} curr={low} min={low} max={first} avg={avg:g} std=12 p5={low} median={low} p95={first}

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first={first} curr={low} min={low} max={first} avg={avg:g} std=20 p5={low} median={low} p95={first}

INFO: Inference timings in us: Init: {init}, First inference: {first}, Warmup (avg): {avg:g}, Inference (avg): {avg:g}
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual \
memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init={init_mb:g} overall={overall_mb:g}
"""

_EDGEBENCH = """\
EDGEBENCH runner={{"name": "litert", "version": "2.3.0", "python": "3.11.7", "xnnpack": true}}
EDGEBENCH iteration_wall_us={iterations}
EDGEBENCH iteration_cpu_us={iterations}
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
{when}.turbo=on
{when}.pages_swapped=1200
{when}.thermal_throttle_count=3
{when}.children_times=0m{seconds}.50s 0m0.50s
"""

_SIDECAR = (
    """\
schema=1
campaign=bench
host={host}
run={run}
block={block}
repetition={block}
model={model}
variant={variant}
runner={runner}
threads=1
delegate=default
batch_size=-
input_size=-
timeout_s=600
model_file={file}
model_sha256={variant}
runner_version=2.3.0
argv={runner} --graph='models/{file}' --num_threads=1
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
    + f"resources.samples={' '.join(f'100{second}.65:51200:{50 + 98 * second}' for second in range(6))}\n"
    + "checks=iterations\n"
    + "complete=1\n"
)


def write_campaign(logs_dir: Path, *, hosts: int, repetitions: int, runner: str) -> int:
    """Write the campaign 'bench' of the study's seven models in two variants; the same in every run.

    Args:
        logs_dir: where it goes.
        hosts: how many.
        repetitions: of each configuration.
        runner: `litert`, whose logs list every iteration, or `benchmark_model`, whose logs do not.

    Returns:
        How many runs there are.
    """
    noise = random.Random(1)
    names = [f"host-{number}" for number in range(hosts)]
    campaign = logs_dir / "bench"
    written = 0
    for number, host in enumerate(names):
        runs = campaign / host / "runs"
        runs.mkdir(parents=True)
        facts = {"schema": 1, "host": host, "platform_label": f"Platform {number}", "arch": "x86_64"}
        (campaign / host / "host.json").write_text(json.dumps(facts))
        plan = [PLAN]
        for block in range(1, repetitions + 1):
            for model, times_ms in STUDY_MS.items():
                for variant, ms in zip(VARIANTS, times_ms, strict=True):
                    run, file = f"{len(plan):04}_{model}.{variant}.{runner}.t1_r{block:02}", f"{model}.{variant}.tflite"
                    of_run = {"run": run, "block": str(block), "repetition": str(block), "model": model}
                    of_run |= {"variant": variant, "runner": runner, "threads": "1", "delegate": "default"}
                    plan.append(tuple((of_run | {"model_file": file}).get(column, "-") for column in PLAN))
                    log = _log(noise, file, 1000 * ms * (1 + number / 4), listed=runner == "litert")
                    (runs / f"{run}.log").write_text(log)
                    (runs / f"{run}.meta").write_text(_SIDECAR.format(host=host, file=file, **of_run))
        (campaign / host / "plan.tsv").write_text("".join("\t".join(row) + "\n" for row in plan))
        written += len(plan) - 1
    settings = {"profile": "study", "models": list(STUDY_MS), "variants": VARIANTS, "baseline": "float32"}
    settings |= {"min_repetitions": repetitions, "max_repetitions": repetitions}
    record = {"schema": 1, "campaign": "bench", "hosts": names, "settings": settings, "models": [], "runners": {}}
    (campaign / "campaign.json").write_text(json.dumps(record))
    return written


def _log(noise: random.Random, file: str, us: float, listed: bool) -> str:
    iterations = [round(us * noise.gauss(1, 0.02), 1) for _ in range(50)]
    init = round(10 * us)
    return (_LOG + (_EDGEBENCH if listed else "")).format(
        file=file,
        init=init,
        init_ms=init / 1000,
        first=round(us * 1.2),
        low=round(us * 0.9),
        avg=sum(iterations) / len(iterations) * noise.gauss(1, 0.01),
        init_mb=us / 1000 + noise.random(),
        overall_mb=us / 900 + 200 * noise.random(),
        iterations=json.dumps(iterations),
    )
