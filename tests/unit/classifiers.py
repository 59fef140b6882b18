"""What runs of a small classifier classified, made up: one network by three runners on three machines, two alike."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from analysis.campaign import Dataset
from analysis.quality import Evaluation, confusion_matrix
from analysis.usage import PROCESS, Usage
from tests.unit.datasets import dataset, run

CLASSES = tuple("0123456789")
TARGETS = tuple(image % 10 for image in range(360))
IMAGES_SHA256 = "1" * 64
# runner and variant: the model file, ms, and MB of the process
CONFIGURATIONS: dict[tuple[str, str], tuple[str, float, float]] = {
    ("keras", "float32"): ("keras", 41.0, 610.0),
    ("keras", "compiled"): ("keras", 2.1, 590.0),
    ("litert", "float32"): ("tflite", 0.9, 45.0),
    ("litert", "int8"): ("int8.tflite", 0.4, 41.0),
    ("tvm", "float32"): ("so", 0.7, 52.0),
    ("tvm", "int8_untuned"): ("int8.so", 9.0, 50.0),
}
HOSTS = {"laptop": ("Laptop", 1.0), "server": ("Server", 0.8), "pi": ("Raspberry Pi 5", 6.0)}


def predictions(host: str, variant: str) -> tuple[int, ...]:
    """Of 360 images float32 has 7 wrong, and int8 12 others more, of which on the Pi one is right again."""
    said = list(TARGETS)
    for image in range(3, 360, 51):
        said[image] = (said[image] + 3) % 10
    if variant.startswith("int8"):
        for image in range(8, 8 + 12 * 20, 20):
            said[image] = 1
        if host == "pi":
            said[8] = TARGETS[8]
    return tuple(said)


def evaluation(host: str, variant: str, **changed: Any) -> Evaluation:
    """What a run on a host says."""
    said = predictions(host, variant)
    found = Evaluation(
        confusion_matrix=confusion_matrix(TARGETS, said, len(CLASSES)),
        class_names=CLASSES,
        evaluated_on="digits",
        top_5_correct=359,
        targets=TARGETS,
        predictions=said,
        file_sha256=IMAGES_SHA256,
    )
    return replace(found, **changed)


def usage(host: str, runner: str, variant: str, repetition: int) -> Usage:
    """Memory that grows until the model is loaded; one CPU that is busy, with some noise."""
    noise = random.Random(f"{host} {runner} {variant} {repetition}")
    _, ms, mb = CONFIGURATIONS[runner, variant]
    seconds = 2.0 + 0.1 * ms
    times = [0.05 * step for step in range(1, 11)] + [0.5 + seconds * step / 20 for step in range(1, 21)]
    return Usage(
        of=PROCESS,
        time_s=times,
        cpu_percent=[min(100.0, 300 * time) * noise.uniform(0.93, 1.0) for time in times],
        memory_mb=[mb * min(1.0, 0.1 + 1.2 * time) for time in times],
    )


def rows(hosts: tuple[str, ...] = tuple(HOSTS), repetitions: int = 3) -> list[dict[str, Any]]:
    """The runs that are measured, and at the end of each host's those that classify."""
    found = []
    for host in hosts:
        noise = random.Random(host)
        platform, slowness = HOSTS[host]
        for repetition in [*range(1, repetitions + 1), None]:
            for (runner, variant), (file, ms, mb) in CONFIGURATIONS.items():
                end = "_evaluate" if repetition is None else f"_r{repetition:02}"
                log = f"{host}/runs/{len(found) + 1:04}_DigitCNN.{variant}.{runner}.t1{end}.log"
                about = {"phase": "evaluate"} if repetition is None else {"phase": "measure", "block": repetition}
                if repetition:
                    about["avg_inference_ms"] = ms * slowness * noise.gauss(1, 0.01)
                    about["memory_overall_mb"] = mb + noise.random()
                found.append(
                    run(
                        campaign="kenning", host=host, platform=platform, model="DigitCNN", variant=variant,
                        runner=runner, repetition=repetition, model_sha256=file.encode().hex().ljust(64, "0"),
                        weights="digits", log=log,
                    ) | {"avg_inference_ms": None} | about
                )  # fmt: skip
    return found


def classifiers(some: list[dict[str, Any]] | None = None, **parts: Any) -> Dataset:
    """The dataset of such runs, with what they classified and used."""
    some = rows() if some is None else some
    facts = {("kenning", host): {"platform_label": platform} for host, (platform, _) in HOSTS.items()}
    found = dataset(some, hosts={key: facts[key] for key in facts if any(row["host"] == key[1] for row in some)})
    keys = {(row["campaign"], row["host"], row["log"]): row for row in some}
    evaluations = {
        key: evaluation(row["host"], row["variant"]) for key, row in keys.items() if row["phase"] == "evaluate"
    }
    used = {
        key: usage(row["host"], row["runner"], row["variant"], row["repetition"])
        for key, row in keys.items()
        if row["phase"] == "measure"
    }
    return replace(found, **{"evaluations": evaluations, "usage": used} | parts)
