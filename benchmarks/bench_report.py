"""Cost of a whole report against what importing pandas and Matplotlib costs; both in a fresh process.

The campaign is the study's: 8 hosts x 14 configurations x 10 repetitions = 1,120 logs with sidecars, all tables and
plots. `python -m benchmarks.bench_report`
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Result, main

ROOT = Path(__file__).resolve().parent.parent
HOSTS, REPETITIONS, ROUNDS = 8, 10, 3
MODELS_MS = {
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
    *("batch_size", "input_size", "timeout_s", "model_file", "flags"),
)

_LOG = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [1]
INFO: Graph: [{file}]
INFO: #threads used for CPU inference: [1]
INFO: Loaded model {file}
INFO: The input model file size (MB): 16.8617
INFO: Initialized session in {init:.6g}ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first={first} curr={low} min={low} max={first} avg={avg:.6g} std=12

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first={first} curr={low} min={low} max={first} avg={avg:.6g} std=20 p5={low} median={low} p95={low}

INFO: Inference timings in us: Init: {init_us}, First inference: {first}, Warmup (avg): {avg:.6g}, \
Inference (avg): {avg:.6g}
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual \
memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init={init_mb:.6g} overall={overall_mb:.6g}
EDGEBENCH runner={{"name": "litert", "version": "2.3.0", "python": "3.11.7", "xnnpack": true}}
EDGEBENCH iteration_wall_us={iterations}
EDGEBENCH iteration_cpu_us={iterations}
"""

_META = """\
schema=1
campaign=bench
host={host}
run={run}
block={block}
repetition={block}
model={model}
variant={variant}
runner=litert
threads=1
delegate=default
batch_size=-
input_size=-
timeout_s=600
model_file={file}
model_sha256={variant}
runner_version=2.3.0
argv=litert_runner.py --graph={file} --num_threads=1
start_utc=2026-11-20T13:30:00Z
end_utc=2026-11-20T13:30:02Z
start_uptime_s=100.00
end_uptime_s=102.00
boot_id=1
exit_code=0
timed_out=0
before.load1=0.10
before.cpu_ticks=1000 0 100 10000 0 0 0 0
before.governor=performance
before.children_times=0m0.00s 0m0.00s
after.load1=0.20
after.cpu_ticks=1200 0 110 10190 0 0 0 0
after.governor=performance
after.children_times=0m1.90s 0m0.10s
complete=1
"""


def write_campaign(logs: Path) -> None:
    """Write the campaign 'bench' below `logs`, the same in every run."""
    noise = random.Random(1)
    hosts = [f"host-{i}" for i in range(HOSTS)]
    campaign = logs / "bench"
    for number, host in enumerate(hosts):
        runs = campaign / host / "runs"
        runs.mkdir(parents=True)
        facts = {"schema": 1, "host": host, "platform_label": f"Platform {number}", "arch": "x86_64"}
        (campaign / host / "host.json").write_text(json.dumps(facts))
        plan = ["\t".join(PLAN)]
        for block in range(1, REPETITIONS + 1):
            for model, times in MODELS_MS.items():
                for variant, ms in zip(VARIANTS, times, strict=True):
                    run = f"{len(plan):04}_{model}.{variant}.litert.t1_r{block}"
                    file = f"{model}.{variant}.tflite"
                    plan.append(
                        f"{run} {block} {block} {model} {variant} litert 1 default - - 600 {file} -".replace(" ", "\t")
                    )
                    facts = {"host": host, "run": run, "block": block, "model": model, "variant": variant, "file": file}
                    (runs / f"{run}.log").write_text(_log(noise, file, 1000 * ms * (1 + number / 4)))
                    (runs / f"{run}.meta").write_text(_META.format(**facts))
        (campaign / host / "plan.tsv").write_text("\n".join(plan) + "\n")
    settings = {"profile": "study", "models": list(MODELS_MS), "variants": VARIANTS, "baseline": "float32"}
    settings |= {"min_repetitions": REPETITIONS, "max_repetitions": REPETITIONS}
    (campaign / "campaign.json").write_text(
        json.dumps(
            {"schema": 1, "campaign": "bench", "hosts": hosts, "settings": settings, "models": [], "runners": {}}
        )
    )


def _log(noise: random.Random, file: str, us: float) -> str:
    iterations = [round(us * noise.gauss(1, 0.02), 1) for _ in range(50)]
    return _LOG.format(
        file=file,
        init=round(10 * us) / 1000,
        init_us=round(10 * us),
        first=round(us * 1.2),
        low=round(us * 0.9),
        avg=sum(iterations) / len(iterations) * noise.gauss(1, 0.01),
        init_mb=us / 1000 + noise.random(),
        overall_mb=us / 900 + noise.random(),
        iterations=json.dumps(iterations),
    )


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
        write_campaign(Path(directory, "logs"))
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
