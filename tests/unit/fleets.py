"""The study's eight machines, made up: what quantization gains on each, and what they are."""

from __future__ import annotations

import random
from typing import Any

from analysis.campaign import Dataset
from benchmarks.synthetic import STUDY_MS
from tests.unit.datasets import dataset, study_rows

_AVX2 = ["avx", "avx2", "fma", "f16c"]
_AVX512 = [*_AVX2, "avx512f"]
# host: (platform, how many times as slow as a laptop, how much a quantized model gains there, host.json)
EIGHT: dict[str, tuple[str, float, float, dict[str, Any]]] = {
    "icelake": ("Intel Ice Lake", 1.1, 1.3, {"arch": "x86_64", "cpu_features": [*_AVX512, "avx512_vnni"]}),
    "cascadelake": ("Intel Cascade Lake", 1.2, 1.2, {"arch": "x86_64", "cpu_features": [*_AVX512, "avx512_vnni"]}),
    "skylake": ("Intel Skylake", 1.3, 0.8, {"arch": "x86_64", "cpu_features": _AVX512}),
    "broadwell": ("Intel Broadwell", 1.8, 0.3, {"arch": "x86_64", "cpu_features": _AVX2}),
    "haswell": ("Intel Haswell", 2.0, 0.7, {"arch": "x86_64", "cpu_features": _AVX2}),
    "pi4": ("Raspberry Pi 4", 24.0, 0.8, {"arch": "aarch64", "cpu_features": ["asimd"]}),
    "pi5": ("Raspberry Pi 5", 8.0, 1.1, {"arch": "aarch64", "cpu_features": ["asimd", "asimddp"]}),
    "colab": ("Google Colab", 2.2, 1.0, {"arch": "x86_64", "cpu_features": _AVX2, "virtualization": "docker"}),
}


def eight(
    repetitions: int = 10,
    hosts: tuple[str, ...] = tuple(EIGHT),
    models: tuple[str, ...] = tuple(STUDY_MS),
    **facts: Any,
) -> list[dict[str, Any]]:
    """The runs of the study on these hosts, with state of the machine, iterations and files; `facts` for every run."""
    noise = random.Random(5)
    rows = study_rows({host: EIGHT[host][1] for host in hosts}, repetitions, models=models)
    order: dict[str, int] = {}
    for row in rows:
        host = row["host"]
        order[host] = order.get(host, 0) + 1
        if row["variant"] == "dynamic_range":
            row["avg_inference_ms"] /= EIGHT[host][2]
        us = 1000 * row["avg_inference_ms"]
        row |= {
            "platform": EIGHT[host][0],
            "arch": EIGHT[host][3]["arch"],
            "log": f"{host}/runs/{order[host]:04}_{row['model']}.{row['variant']}.litert.t1_r{row['block']:02}.log",
            "model_sha256": f"{row['model']} {row['variant']}",
            "runner_sha256": EIGHT[host][3]["arch"],
            "model_size_mb": STUDY_MS[row["model"]][0] * (1 if row["variant"] == "float32" else 0.25),
            "temperature_after_c": 45 + order[host] / 10 + noise.gauss(0, 0.5) if host.startswith("pi") else None,
            "cpu_mhz_after": 2400 - noise.random() * 50,
            "iteration_wall_us": [us * (1 + 0.2 / (i + 1)) * noise.gauss(1, 0.02) for i in range(50)],
        } | facts
    return rows


def of_eight(rows: list[dict[str, Any]], **parts: Any) -> Dataset:
    """The dataset of such runs, with the facts of their machines."""
    hosts = {("demo", h): {"platform_label": p, "cpu_model": p, **f} for h, (p, _, _, f) in EIGHT.items()}
    there = {(row["campaign"], row["host"]) for row in rows}
    return dataset(
        rows, hosts={key: facts for key, facts in hosts.items() if key in there} | parts.pop("hosts", {}), **parts
    )
