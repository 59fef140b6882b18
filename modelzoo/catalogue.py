"""The networks that modelzoo can build, and what building them takes."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from modelzoo.errors import UsageError

# Variant -> bytes of one weight in the TFLite file.
VARIANTS = {"float32": 4, "dynamic_range": 1, "float16": 2, "int8": 1}
DEFAULT_VARIANTS = ("float32", "dynamic_range")


@dataclass(frozen=True, slots=True)
class Model:
    """One network.

    Attributes:
        network: its constructor in keras.applications.
        input_size: height and width of the input image, in pixels.
        parameters: trainable or not, as Keras counts them.
        memory_gb: variant -> peak memory of its conversion, in GB (measured with TensorFlow 2.21, rounded up).
    """

    name: str
    network: str
    input_size: int
    parameters: int
    memory_gb: dict[str, float]

    def size_mb(self, variant: str) -> float:
        """Approximate size of the TFLite file, in MB (1e6 bytes): nearly all of it is weights."""
        return self.parameters * VARIANTS[variant] / 1e6


def _model(name: str, input_size: int, parameters: int, *memory_gb: float) -> Model:
    return Model(name, name, input_size, parameters, dict(zip(VARIANTS, memory_gb, strict=True)))


MODELS = {
    model.name: model
    for model in (
        _model("MobileNet", 224, 4_253_864, 0.9, 0.9, 0.9, 1.0),
        _model("InceptionV3", 299, 23_851_784, 1.5, 1.3, 1.4, 1.8),
        _model("ResNet50", 224, 25_636_712, 1.5, 1.4, 1.4, 1.8),
        _model("ResNet101", 224, 44_707_176, 2.3, 2.0, 2.1, 2.8),
        _model("ResNet152", 224, 60_419_944, 2.5, 2.3, 2.3, 3.2),
        _model("VGG16", 224, 138_357_544, 4.8, 3.6, 3.8, 7.5),
        _model("VGG19", 224, 143_667_240, 5.0, 3.7, 3.9, 7.8),
    )
}


def check_names(kind: str, names: Collection[str], known: Collection[str]) -> None:
    """Raise UsageError for the first name that is not known, with the names that are."""
    for name in names:
        if name not in known:
            raise UsageError(f"unknown {kind} '{name}'{near(name, known)}; known: {', '.join(known)}")


def near(name: str, known: Collection[str]) -> str:
    """' (did you mean ...?)' when a known name looks like this one, else nothing; letter case does not count."""
    by_lower = {other.lower(): other for other in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=2)
    return f" (did you mean {' or '.join(by_lower[match] for match in matches)}?)" if matches else ""
