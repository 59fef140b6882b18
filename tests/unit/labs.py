"""The lab's sweep, made up: four models over batch and input sizes, whose latency is a power of both."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from analysis.campaign import Dataset
from tests.unit.datasets import dataset, run

Models = Mapping[str, tuple[int, float, float]]
# model: (parameters, multiply-accumulates of an image of 224 x 224 in 10^9, ms of it)
LAB: Models = {
    "UNet": (7763041, 10.3, 126.0),
    "SqueezeNet": (1248424, 0.82, 27.0),
    "MobileNetV3Small": (2542856, 0.06, 6.3),
    "ResNet18": (11689512, 1.82, 37.0),
}
BATCHES, INPUTS = (1, 2, 4, 8, 16, 32), (224, 448)


def macs(model: str, size: int, models: Models = LAB) -> int:
    """Multiply-accumulates of one image."""
    return round(models[model][1] * 1e9 * (size / 224) ** 2)


def lab_rows(
    *,
    batches: tuple[int, ...] = BATCHES,
    inputs: tuple[int, ...] = INPUTS,
    models: Models = LAB,
    repetitions: int = 5,
    exponent: float = 0.9,
    noise: float = 0.005,
    **facts: Any,
) -> list[dict[str, Any]]:
    """The runs; latency grows like batch to the power of `exponent`, and like the area of the input."""
    random_numbers = random.Random(3)
    rows = []
    for block in range(1, repetitions + 1):
        for model in models:
            for size in inputs:
                for batch in batches:
                    ms = models[model][2] * batch**exponent * (size / 224) ** 2 * random_numbers.gauss(1, noise)
                    row = run(
                        model=model, runner="torch", batch_size=batch, input_size=size, repetition=block, block=block,
                        avg_inference_ms=ms, latency_per_image_ms=ms / batch, images_per_s=1e3 * batch / ms,
                        macs=macs(model, size, models), weights="random", duration_s=5.0,
                        log=f"pi/runs/{len(rows) + 1:04}_{model}.float32.torch.t1.b{batch}.s{size}_r{block:02}.log",
                        **facts,
                    )  # fmt: skip
                    rows.append(row)
    return rows


def fail(row: dict[str, Any], reason: str = "out of memory: 3100 MB needed, 2790 MB available") -> None:
    """Make a run one that did not fit."""
    row |= {"status": "failed", "reason": reason}
    row |= dict.fromkeys(("avg_inference_ms", "latency_per_image_ms", "images_per_s"))


def entries(models: Models = LAB, inputs: tuple[int, ...] = INPUTS) -> list[dict[str, Any]]:
    """The models of campaign.json: a file for each input size, for any batch."""
    return [
        {
            "model": model, "variant": "float32", "format": "pt2", "file": f"{model}.float32.s{size}.pt2",
            "size_bytes": 4 * models[model][0], "parameters": models[model][0], "macs": macs(model, size, models),
            "batch_size": None, "input_size": size, "weights": "random", "source": "build",
        }
        for model in models
        for size in inputs
    ]  # fmt: skip


def lab(rows: list[dict[str, Any]], models: Models = LAB, **parts: Any) -> Dataset:
    """The dataset of such runs, with a campaign.json that knows the models."""
    return dataset(rows, campaigns={"demo": {"models": entries(models)}} | parts.pop("campaigns", {}), **parts)
