"""Datasets made by hand: what `analysis.campaign.read` would have found, without logs."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pandas as pd

from analysis import energy
from analysis.campaign import Dataset
from analysis.names import COLUMNS, INTEGER, NUMBER
from benchmarks.synthetic import STUDY_MS


def run(**facts: Any) -> dict[str, Any]:
    """One row of `Dataset.runs`: an ok run of MobileNet, but for what is said."""
    base = {
        "campaign": "demo",
        "host": "pi",
        "model": "MobileNet",
        "variant": "float32",
        "runner": "litert",
        "threads": 1,
        "delegate": "default",
        "repetition": 1,
        "status": "ok",
        "avg_inference_ms": 5.0,
        "start_utc": "2026-11-20T13:30:00Z",
        "weights": "imagenet",
        "runner_version": "2.3.0",
    } | facts
    base.setdefault("platform", base["host"])
    base.setdefault("log", "{host}/runs/{model}.{variant}.{runner}.t{threads}_r{repetition}.log".format(**base))
    return base


def runs_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as `Dataset.runs`, with the columns and types of `COLUMNS`."""
    rows = list(rows)
    columns = {}
    for name, dtype in COLUMNS.items():
        values = [row.get(name) for row in rows]
        if dtype in (INTEGER, NUMBER):
            columns[name] = pd.Series(values, dtype="Float64").astype(dtype)
        elif dtype == "str":
            columns[name] = pd.Series(["" if value is None else value for value in values], dtype="str")
        else:
            columns[name] = pd.Series(values, dtype="object")
    return pd.DataFrame(columns)


def dataset(rows: Iterable[dict[str, Any]], **parts: Any) -> Dataset:
    """A dataset of these runs; all else may be given."""
    runs = runs_frame(rows)
    machines = list(dict.fromkeys(zip(runs["campaign"], runs["host"], strict=True)))
    return Dataset(
        runs=runs,
        campaigns=parts.get("campaigns", {}),
        hosts={machine: {} for machine in machines} | parts.get("hosts", {}),
        plans=parts.get("plans", {}),
        problems=parts.get("problems", []),
        unfinished=parts.get("unfinished", {}),
        notes=parts.get("notes", []),
        iterations=parts.get("iterations", {}),
        stopping=parts.get("stopping", {}),
        idle=parts.get("idle", {}),
        energy=energy.frame(parts.get("energy", [])),
    )


def study_rows(
    hosts: dict[str, float], repetitions: int, *, models: Iterable[str] = tuple(STUDY_MS), seed: int = 1, **facts: Any
) -> list[dict[str, Any]]:
    """The study: models x two variants x repetitions in blocks, on hosts that are so many times as slow as a laptop."""
    noise = random.Random(seed)
    rows = []
    for host, slowness in hosts.items():
        for block in range(1, repetitions + 1):
            drift = 1 + 0.01 * block / repetitions
            for model in models:
                for variant, base in zip(("float32", "dynamic_range"), STUDY_MS[model], strict=True):
                    avg = base * slowness * drift * noise.gauss(1, 0.012)
                    size = 4.0 if variant == "float32" else 1.0
                    rows.append(
                        run(
                            host=host,
                            model=model,
                            variant=variant,
                            repetition=block,
                            block=block,
                            init_time_ms=3 * size * slowness * noise.gauss(1, 0.05),
                            init_inference_ms=3 * size * slowness * noise.gauss(1, 0.05),
                            first_inference_ms=avg * 1.2,
                            warmup_inference_ms=avg * 1.05,
                            avg_inference_ms=avg,
                            std_inference_ms=avg * 0.03,
                            min_inference_ms=avg * 0.97,
                            max_inference_ms=avg * 1.2,
                            iterations=50,
                            memory_init_mb=2 + base * size / 10 + noise.random(),
                            memory_overall_mb=5 + base * size / 9 + noise.random(),
                            duration_s=2.0,
                            exit_code=0,
                            cpu_per_wall=0.99,
                            steal_percent=0.0,
                            other_cpu_percent=abs(noise.gauss(0, 0.5)),
                            load1_before=0.1,
                            **facts,
                        )
                    )
    return rows


def adaptive(least: int, most: int, **more) -> dict[str, Any]:
    """campaign.json of a campaign whose hosts stop when they know enough."""
    return {"demo": {"settings": {"min_repetitions": least, "max_repetitions": most, "target_percent": 1} | more}}


def _host_table(columns: str, *lines: str) -> dict[tuple[str, str], list[dict[str, str]]]:
    names = f"model variant runner threads delegate batch_size input_size {columns}".split()
    return {("demo", "pi"): [dict(zip(names, line.split(","), strict=True)) for line in lines]}


def decided() -> Dataset:
    """float32 left after block 3, int8 stayed to the end and is not known well enough; one that never worked."""
    times = {"float32": [10.0, 10.01, 10.02], "int8": [5.0, 5.3, 4.9, 5.1, 5.2]}
    rows = [
        run(variant=variant, repetition=i, block=i, avg_inference_ms=ms)
        for variant, values in times.items()
        for i, ms in enumerate(values, start=1)
    ]
    rows += [run(variant="float16", status="failed", reason="killed", avg_inference_ms=None)]
    rows += [run(variant="int8", phase="pilot", status="invalid", reason="pilot: it", repetition=1, avg_inference_ms=9)]
    iterations = _host_table(
        "iterations pilot_runs mean_ms within_sd_percent between_sd_percent overhead_s reason",
        "MobileNet,float32,litert,1,default,-,-,12,3,10.01,2.5,0.8,0.31,chosen",
        "MobileNet,int8,litert,1,default,-,-,5,3,5.1,2,3,0.3,at the lower bound",
        "MobileNet,float16,litert,1,default,-,-,50,0,-,-,-,-,no pilot run was ok",
    )
    stopping = _host_table(
        "block n mean_ms interval_percent speedup_interval_percent reason",
        "MobileNet,float32,litert,1,default,-,-,3,3,10.01,0.25,0.9,narrow",
        "MobileNet,float16,litert,1,default,-,-,0,0,-,-,-,never worked",
    )
    return dataset(rows, campaigns=adaptive(3, 5), iterations=iterations, stopping=stopping)
