# Copyright the edgebench developers. Apache-2.0.
"""How long a host's runs will take: rough, to choose the length of a lease by, and for nothing else.

Once runs of the host are home, the mean of those counts that are no pilots and evaluate nothing. Before that it is
benchmark_model's rule (``runners/litert.py``), with an inference that takes the multiply-adds of its batch / the
machine's speed. Quantized variants count like float32, so that a lease is rather too long than too short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils import plan

GMACS = {
    "MobileNet": 0.57,
    "InceptionV3": 5.71,
    "ResNet50": 3.86,
    "ResNet101": 7.57,
    "ResNet152": 11.3,
    "VGG16": 15.5,
    "VGG19": 19.6,
    "UNet": 9.24,
    "SqueezeNet": 0.82,
    "MobileNetV3Small": 0.057,
    "ResNet18": 1.81,
    "FireNet": 0.015,
    "DigitCNN": 0.019,
    "MobileNetV2": 0.301,
}
"""1e9 multiply-adds of one image at the network's own input size, where its manifest entry is not known or does not
tell: the convolutions and dense layers, counted; the original papers say the same but for rounding."""

INPUT_SIZES = {"InceptionV3": 299, "FireNet": 128, "DigitCNN": 32}
"""The network's own input size in pixels, where it is not 224."""

MACS_PER_WEIGHT = 240
"""Of a network that is not known: as InceptionV3's, the most of those of keras.applications."""

UNKNOWN_GMACS = 20.0
"""Of one whose file is not known either: as VGG19's, the most of those above."""

LOAD_S = 1.0
"""From a run's start to its first inference, and what the script does between two runs."""

LOAD_S_OF = {"torch": 5.0, "keras": 5.0, "benchmark_apk": 4.0}
"""The same with other runners: importing PyTorch or TensorFlow takes most of it; Android starts an app, and its log is
watched to the end."""

EVALUATION_IMAGES = 1000
"""Classified by a run that evaluates, at most."""

COMPILE_S = 60.0
"""What torch.compile takes in every process, of networks of this size: tens of seconds."""

AUTO_ITERATIONS = 10
"""Of a process where hosts choose them: five to some tens, and those that choose more need fewer processes."""

_WEIGHT_BYTES = {"float32": 4, "float16": 2}  # others have one byte, or as many as they like

# benchmark_model's own defaults.
_DEFAULTS = {"num_runs": 50.0, "min_secs": 1.0, "max_secs": 150.0, "warmup_runs": 1.0, "warmup_min_secs": 0.5}


class EstimateError(Exception):
    """Nothing can be estimated from that; the message is one line for the user."""


def estimate(
    settings: dict[str, Any],
    home: Path,
    speed_gmac_s: float,
    models: Sequence[dict[str, Any]],
    target: str | None = None,
) -> dict[str, Any]:
    """Estimate how long a host will measure from now on. Repeats are not foreseen.

    Where configurations may leave the plan early, those that have not yet count as if they stayed to the end.

    Args:
        settings: of the campaign: models, variants, runners, threads, delegates, max_repetitions, flags; batch_sizes,
            input_sizes, iterations, pilot_runs, op_profiling where they are not the defaults.
        home: the host's directory of the campaign on the controller; it need not be there.
        speed_gmac_s: multiply-adds that the machine does in a second of float32 inference, in 1e9.
        models: the entries of the model manifest, as many as are known.
        target: what libraries must be compiled for to run on the host.

    Returns:
        ``total`` runs of the host's plan; ``left`` of them that are wanted and not home; ``run_s``, mean seconds of a
        run; ``left_s``, seconds that those left will take; ``basis`` of that: ``measured`` or ``estimated``.

    Raises:
        EstimateError: the speed is not above 0, or a flag that says how long a run lasts is no number.
    """
    configurations = plan.on_host(plan.combinations(settings, models), models, target)
    parts = plan.phases(settings, configurations, models)
    total = sum(len(members) for *_, members in parts)
    most = int(settings["max_repetitions"])
    sidecars = [_sidecar(path) for path in sorted(home.glob("runs/*.meta"))]
    needless = sum(most - block for block in _left_after(home / "stopping.tsv"))
    left = max(0, total - needless - sum("retry" not in sidecar for sidecar in sidecars))
    if measured := [seconds for sidecar in sidecars if (seconds := _measured_s(sidecar)) is not None]:
        runs_s, basis = measured, "measured"
    else:
        if speed_gmac_s <= 0:
            raise EstimateError(f"speed_gmac_s is {speed_gmac_s:g}; expected a number of 1e9 multiply-adds/s above 0")
        limits = _limits(settings["flags"])
        if settings.get("iterations") == "auto":
            limits |= {"num_runs": AUTO_ITERATIONS, "min_secs": 0.0}
        runs_s = []
        for each in configurations:
            batch_gmacs = each["batch_size"] * gmacs(each["model"], each["input_size"], models)
            runs_s.append(_load_s(each) + _inferences_s(batch_gmacs / speed_gmac_s, limits))
        basis = "estimated"
    run_s = sum(runs_s) / len(runs_s) if runs_s else 0.0
    return {
        "total": total,
        "left": left,
        "run_s": round(run_s, 1),
        "left_s": math.ceil(left * run_s + _images_s(parts, sidecars, models, speed_gmac_s)),
        "basis": basis,
    }


def _images_s(
    parts: Sequence[tuple[str, int, int, list[dict[str, Any]]]],
    sidecars: Sequence[dict[str, str]],
    models: Sequence[dict[str, Any]],
    speed_gmac_s: float,
) -> float:
    """Seconds that runs which evaluate, and are not home, take beyond others; 0 where the speed is not known."""
    members = [each for phase, *_, members in parts if phase == "evaluate" for each in members]
    home = sum(sidecar.get("phase") == "evaluate" for sidecar in sidecars)
    images_gmacs = (EVALUATION_IMAGES * gmacs(each["model"], each["input_size"], models) for each in members[home:])
    return sum(images_gmacs) / speed_gmac_s if speed_gmac_s > 0 else 0.0


def gmacs(model: str, input_size: int | None, models: Sequence[dict[str, Any]]) -> float:
    """1e9 multiply-adds of one image of `input_size` pixels; None = of the size that the network is for.

    They grow with the image's area, which is right for convolutions. Of a network that neither the entries nor `GMACS`
    know it is rough, by the weights in its files.
    """
    entries = [entry for entry in models if entry["model"] == model]
    own_size = INPUT_SIZES.get(model, 224)
    counted = {entry["input_size"]: entry["macs"] / 1e9 for entry in entries if entry.get("macs")}
    if not counted:
        counted = {own_size: GMACS.get(model) or _by_weights(entries)}
    size = min(counted, key=lambda size: abs(size - (input_size or own_size)))
    return counted[size] * ((input_size or size) / size) ** 2


def _by_weights(entries: Sequence[dict[str, Any]]) -> float:
    sized = (entry for entry in entries if entry.get("size_bytes"))
    weights = [entry["size_bytes"] / _WEIGHT_BYTES.get(entry["variant"], 1) for entry in sized]
    return MACS_PER_WEIGHT * max(weights) / 1e9 if weights else UNKNOWN_GMACS


def _load_s(configuration: dict[str, Any]) -> float:
    """Seconds of one run before its warm-up."""
    load_s = LOAD_S_OF.get(configuration["runner"], LOAD_S)
    if configuration["runner"] != "torch":
        return load_s
    flags = plan.VARIANT_FLAGS["torch"].get(configuration["variant"], "")
    return load_s + (COMPILE_S if "--compile=true" in flags.split() else 0)


def _inferences_s(inference_s: float, limits: dict[str, float]) -> float:
    """Seconds of one run's warm-up and timed part."""
    phases = ((limits["warmup_runs"], limits["warmup_min_secs"]), (limits["num_runs"], limits["min_secs"]))
    return sum(
        # An inference that has begun is finished, however long it takes.
        max(inference_s, min(max(min_s, runs * inference_s), limits["max_secs"]))
        for runs, min_s in phases
    )


def _limits(flags: str) -> dict[str, float]:
    limits = dict(_DEFAULTS)
    for flag in flags.split():
        name, _, value = flag.removeprefix("--").partition("=")
        if name in limits:
            try:
                limits[name] = float(value)
            except ValueError:
                raise EstimateError(f"'{flag}' in campaign_flags: expected a number behind the =") from None
    return limits


def _left_after(path: Path) -> list[int]:
    """The last block of each configuration that has left the plan, from stopping.tsv; [] where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else [""]
    column = lines[0].split("\t").index("block") if len(lines) > 1 else 0
    return [int(line.split("\t")[column]) for line in lines[1:]]


def _sidecar(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _measured_s(sidecar: dict[str, str]) -> float | None:
    """Seconds that a run took, with its waiting; None where it does not tell, and for those that take another time."""
    if sidecar.get("phase") in ("pilot", "evaluate"):
        return None
    try:
        return float(sidecar["end_uptime_s"]) - float(sidecar["start_uptime_s"]) + float(sidecar.get("waited_s", 0))
    except (KeyError, ValueError):
        return None
