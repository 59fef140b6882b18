"""The study of the phones, made up: five techniques of one small network on two phones and three delegates."""

from __future__ import annotations

import random
from typing import Any

from analysis.campaign import Dataset
from tests.unit.datasets import dataset, run

# variant: (bytes, compressed bytes, right of 450 images, share of zeros, most different weights in a channel)
FILES: dict[str, tuple[int, int, int, float, int]] = {
    "float32": (8_500_000, 7_850_000, 441, 0.0, 1152),
    "dynamic_range": (2_140_000, 1_790_000, 440, 0.01, 205),
    "float16": (4_260_000, 3_910_000, 441, 0.0, 1100),
    "clustered_dynamic_range": (2_140_000, 660_000, 436, 0.02, 8),
    "pruned_dynamic_range": (2_140_000, 1_150_000, 438, 0.5, 180),
}
# variant: ms on CPU, GPU and NNAPI; MB there
STUDY: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "float32": ((6.72, 5.18, 9.38), (11.4, 49.4, 11.5)),
    "dynamic_range": ((8.38, 5.08, 8.31), (5.7, 43.3, 5.8)),
    "float16": ((7.56, 5.17, 6.55), (15.7, 45.3, 16.1)),
    "clustered_dynamic_range": ((8.90, 5.21, 8.49), (6.0, 43.4, 5.9)),
    "pruned_dynamic_range": ((8.03, 5.06, 7.48), (5.9, 43.3, 6.0)),
}
DELEGATES = ("default", "gpu", "nnapi")
PHONES = {"mi_a2": ("Mi A2", 1.0), "pixel": ("Pixel 8", 0.4)}
FELL_BACK = "the NNAPI delegate executed nothing, so this is another delegate's time"


def rows(repetitions: int = 4) -> list[dict[str, Any]]:
    """On the Mi A2 NNAPI fell back; on the Pixel the GPU executes only parts of the dynamic range ones."""
    noise = random.Random(7)
    found = []
    for host, (platform, slowness) in PHONES.items():
        for block in range(1, repetitions + 1):
            for variant, (times, memory) in STUDY.items():
                for delegate, ms, mb in zip(DELEGATES, times, memory, strict=True):
                    found.append(
                        run(
                            campaign="fire", host=host, platform=platform, arch="aarch64", model="FireNet",
                            variant=variant, runner="benchmark_model", threads=4, delegate=delegate, repetition=block,
                            block=block, avg_inference_ms=ms * slowness * noise.gauss(1, 0.01), init_time_ms=20.0,
                            memory_overall_mb=mb + noise.gauss(0, 0.05), weights="digits", runner_version="2.20",
                            battery_percent=91 - 2 * block, battery_temperature_c=30.0 + block, plugged="usb",
                            screen="on", thermal_status=0, iterations=50, governor="schedutil",
                            **_delegation(host, variant, delegate),
                            log=f"{host}/runs/{len(found) + 1:04}_FireNet.{variant}.benchmark_model.t4.{delegate}"
                            f"_r{block:02}.log",
                        )
                    )  # fmt: skip
    return found


def _delegation(host: str, variant: str, delegate: str) -> dict[str, Any]:
    if delegate == "default":
        return {}
    if (host, delegate) == ("mi_a2", "nnapi"):
        return {"delegation": "not at all", "delegated_nodes": 0, "status": "invalid", "reason": FELL_BACK}
    if (host, delegate) == ("pixel", "gpu") and variant.endswith("dynamic_range"):
        return {"delegation": "partly", "delegated_nodes": 15, "graph_nodes": 19}
    return {"delegation": "completely", "delegated_nodes": 19, "graph_nodes": 19}


def entries(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The models of campaign.json; `changes` are of single variants."""
    return [
        {
            "model": "FireNet", "variant": variant, "format": "tflite", "file": f"FireNet.{variant}.tflite",
            "size_bytes": size, "sha256": f"{number:064x}", "parameters": 2_120_000, "input_size": 128,
            "weights": "digits", "source": "build", "compressed_bytes": compressed, "evaluated_on": "digits",
            "evaluated_images": 450, "correct_images": right, "classes": 2, "weight_sparsity": sparsity,
            "weight_clusters": clusters,
        } | changes.get(variant, {})
        for number, (variant, (size, compressed, right, sparsity, clusters)) in enumerate(FILES.items(), start=1)
    ]  # fmt: skip


HOSTS: dict[tuple[str, str], dict[str, Any]] = {
    ("fire", "mi_a2"): {
        "platform_label": "Mi A2", "arch": "aarch64", "board_model": "Xiaomi Mi A2", "cpus": 8, "cores": 8,
        "os": "Android 10", "android": "10", "android_api": 29, "soc": "Qualcomm SDM660",
        "android_build": "xiaomi/jasmine/jasmine_sprout:10/QKQ1.190910.002/V11.0.28.0.QDIMIXM:user/release-keys",
        "gpu": "Adreno (TM) 512, OpenGL ES 3.2 V@331.0",
    },
    ("fire", "pixel"): {
        "platform_label": "Pixel 8", "arch": "aarch64", "board_model": "Google Pixel 8", "cpus": 9,
        "os": "Android 14", "android": "14", "android_api": 34, "soc": "Google Tensor G3", "gpu": "Mali-G715",
    },
}  # fmt: skip


def phones(some: list[dict[str, Any]] | None = None, models: list[dict[str, Any]] | None = None) -> Dataset:
    """The dataset of such runs."""
    campaign = {"campaign": "fire", "models": entries() if models is None else models, "hosts": list(PHONES)}
    return dataset(rows() if some is None else some, campaigns={"fire": campaign}, hosts=HOSTS)
