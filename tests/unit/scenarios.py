"""Kenning's comparison with our runners, made up: a classifier of digits, natively, by LiteRT and compiled by TVM."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from analysis import quality
from analysis.campaign import Dataset
from analysis.quality import Evaluation
from tests.unit.datasets import dataset, run

CLASSES, IMAGES = 10, 360
TARGET = "llvm -mcpu=core-avx2"
TUNED, UNTUNED = ({"target": TARGET, "arithmetic": "float32", "kernels": 9, "tuned_kernels": n} for n in (9, 0))
Ways = Mapping[tuple[str, str], tuple[float, float, float, int, dict[str, Any]]]
# runner, variant: (ms, MB of the file, MB of memory, images that it has wrong, what its runner says)
WAYS: Ways = {
    ("keras", "float32"): (24.0, 1.06, 310.0, 7, {"call": "model.predict"}),
    ("keras", "compiled"): (0.62, 1.06, 305.0, 7, {"call": "tf.function"}),
    ("litert", "float32"): (0.101, 0.35, 9.4, 7, {}),
    ("litert", "int8"): (0.082, 0.096, 8.8, 9, {}),
    ("tvm", "float32"): (0.044, 0.37, 12.1, 7, TUNED),
    ("tvm", "int8"): (0.046, 0.38, 12.2, 9, TUNED),
    ("tvm", "float32_untuned"): (1.9, 0.36, 12.0, 7, UNTUNED),
    ("tvm", "int8_untuned"): (1.95, 0.37, 12.3, 9, UNTUNED),
}
HOSTS = {"xeon": 1.0}


def sha256(runner: str, variant: str) -> str:
    """Of the file that a runner is given; compiled is the float32 one, called otherwise."""
    return f"{runner}-{variant.replace('compiled', 'float32')}".encode().hex()[:40]


def rows(
    repetitions: int = 5, hosts: Mapping[str, float] = HOSTS, ways: Ways = WAYS, model: str = "DigitCNN", **facts: Any
) -> list[dict[str, Any]]:
    """The runs, on hosts that are so many times as slow."""
    noise = random.Random(5)
    return [
        run(
            host=host,
            model=model,
            variant=variant,
            runner=runner,
            repetition=block,
            block=block,
            avg_inference_ms=ms * slowness * noise.gauss(1, 0.01),
            memory_overall_mb=memory_mb + noise.random(),
            model_size_mb=size_mb,
            model_sha256=sha256(runner, variant),
            runner_version={"keras": "3.12", "litert": "2.3.0", "tvm": "0.27.0"}[runner],
            runner_sha256=runner,
            weights="digits",
            duration_s=2.0,
            **told,
            **facts,
        )
        for host, slowness in hosts.items()
        for block in range(1, repetitions + 1)
        for (runner, variant), (ms, size_mb, memory_mb, _, told) in ways.items()
    ]


def evaluation(wrong: int, **facts: Any) -> Evaluation:
    """So many of the images are taken for the next class: the first ones, so that who has more wrong has those too."""
    targets = [image % CLASSES for image in range(IMAGES)]
    predictions = [(target + (image < wrong)) % CLASSES for image, target in enumerate(targets)]
    return Evaluation(
        confusion_matrix=quality.confusion_matrix(targets, predictions, CLASSES),
        evaluated_on="digits",
        targets=tuple(targets),
        predictions=tuple(predictions),
        file_sha256="held-out",
        **facts,
    )


def scenario(some: Iterable[dict[str, Any]] | None = None, ways: Ways = WAYS, **parts: Any) -> Dataset:
    """The campaign; a run of each file and runner has said what it classified, where `evaluated` is not False."""
    some = rows(ways=ways) if some is None else list(some)
    runners = list(dict.fromkeys(row["runner"] for row in some))
    campaigns = {"demo": {"settings": {"runners": runners}}}
    evaluations = {}
    if parts.get("evaluated", True):
        for row in [row for row in some if row["repetition"] == 1 and row["variant"] != "compiled"]:
            log = row["log"].replace("_r1.log", "_evaluate.log")
            if (row["campaign"], row["host"], log) not in evaluations:
                some.append(row | {"phase": "evaluate", "status": "ok", "avg_inference_ms": None, "log": log})
                wrong = ways[row["runner"], row["variant"]][3]
                evaluations[row["campaign"], row["host"], log] = evaluation(wrong)
    return replace(dataset(some, **{"campaigns": campaigns} | parts), evaluations=evaluations)
