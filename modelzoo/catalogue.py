"""The networks that modelzoo can build, and what building them takes."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from modelzoo.datasets import HELD_OUT, MAX_HELD_OUT
from modelzoo.errors import UsageError

# Variant -> bytes of one weight in its file.
VARIANTS = {
    "float32": 4,
    "dynamic_range": 1,
    "float16": 2,
    "int8": 1,
    "clustered_dynamic_range": 1,
    "pruned_dynamic_range": 1,
}
DEFAULT_VARIANTS = ("float32", "dynamic_range")
# Files of pt2, onnx and keras take any batch size, and what they hold is float32. so: a library that TVM compiled. npz:
# the images that models of a network are evaluated with.
FORMATS = ("tflite", "pt2", "onnx", "keras", "so", "npz")
ANY_BATCH = ("pt2", "onnx", "keras", "npz")
# Variant of a library -> that of the TFLite file that it is compiled from. Kernels that are not tuned are many times
# slower, so the name says it.
COMPILED = {"float32": "float32", "int8": "int8", "float32_untuned": "float32", "int8_untuned": "int8"}
# Frameworks whose networks are always trained here.
TRAINED_HERE = ("tfmot", "trained")

# Images in flight while a conversion runs its model, in times of what the largest operation needs.
ACTIVATIONS_HELD = 4
# Of a process of TVM (measured, rounded up): without a model, and in times of the weights, which it turns into float32.
# Tuning takes a second one.
COMPILER_GB = 0.4
WEIGHTS_HELD = 7


@dataclass(frozen=True, slots=True)
class Model:
    """One network.

    Attributes:
        framework: `keras`, `torch`, or, of those that are always trained here, `tfmot` and `trained`.
        network: its constructor in keras.applications or torchvision.models; UNet and what is trained here are our own.
        input_size: height and width of the image that it was designed for, in pixels.
        parameters: trainable or not, as Keras counts them; in PyTorch, which calls the statistics of batch norms none,
            without these. Shared ones count once.
        macs: multiply-accumulates of one image, in convolutions and dense layers; FLOPs are twice as many.
        activation_mb: inputs and outputs of one image's largest operation, in MB of 2^20 bytes, as float32.
        memory_gb: (variant, format) -> peak memory of its conversion, in GB (measured, rounded up).
        dense_parameters: of a dense layer that sees every position of the last feature map: they grow with the image.
        weights_url: of trained weights; a part of the file name is the beginning of its sha256. None = Keras knows.
        trained_on: what its trained weights were trained on; of those trained here, what the user says.
        size_multiple: the input sizes that it can have are multiples of it.
        has_base: its training begins with weights that may have been trained on ImageNet.
    """

    name: str
    framework: str
    network: str
    input_size: int
    parameters: int
    macs: int
    activation_mb: float
    memory_gb: dict[tuple[str, str], float]
    dense_parameters: int = 0
    weights_url: str | None = None
    trained_on: str = "imagenet"
    size_multiple: int = 1
    has_base: bool = False

    def size_mb(self, variant: str, input_size: int | None = None) -> float:
        """Approximate size of a file, in MB (1e6 bytes): nearly all of it is weights; of images, pixels at most."""
        if variant == HELD_OUT:
            return MAX_HELD_OUT * 3 * (input_size or self.input_size) ** 2 / 1e6
        return self._parameters_at(input_size) * VARIANTS[variant] / 1e6

    def need_gb(self, variant: str, file_format: str, batch_size: int | None, input_size: int | None) -> float:
        """Approximate peak memory of a conversion, in GB."""
        if file_format == "so":
            processes = 1 if variant.endswith("_untuned") else 2
            return processes * (COMPILER_GB + WEIGHTS_HELD * self.size_mb("float32", input_size) / 1e3)
        own_gb = self.memory_gb[variant, file_format] * self._parameters_at(input_size) / self.parameters
        times = (batch_size or 1) * self._pixels(input_size) - 1
        return own_gb + ACTIVATIONS_HELD * max(times, 0) * self.activation_mb * 2**20 / 1e9

    def _parameters_at(self, input_size: int | None) -> float:
        return self.parameters + self.dense_parameters * (self._pixels(input_size) - 1)

    def _pixels(self, input_size: int | None) -> float:
        """How many times the pixels of its own image."""
        return ((input_size or self.input_size) / self.input_size) ** 2


def _keras(
    name: str,
    input_size: int,
    parameters: int,
    macs: int,
    activation_mb: float,
    *memory_gb: float,
    dense_parameters: int = 0,
) -> Model:
    kinds = [(variant, "tflite") for variant in ("float32", "dynamic_range", "float16", "int8")]
    needs = dict(zip(kinds, memory_gb, strict=True))
    return Model(name, "keras", name, input_size, parameters, macs, activation_mb, needs, dense_parameters)


def _torch(
    name: str,
    network: str,
    parameters: int,
    macs: int,
    activation_mb: float,
    *memory_gb: float,
    weights_url: str,
    trained_on: str = "imagenet",
    size_multiple: int = 1,
) -> Model:
    kinds = [("float32", "tflite"), ("dynamic_range", "tflite"), ("float32", "pt2"), ("float32", "onnx")]
    needs = dict(zip(kinds, memory_gb, strict=True))
    facts = (parameters, macs, activation_mb, needs)
    return Model(name, "torch", network, 224, *facts, 0, weights_url, trained_on, size_multiple)


def _tfmot(name: str, input_size: int, parameters: int, macs: int, activation_mb: float, *memory_gb: float) -> Model:
    kinds = [*((variant, "tflite") for variant in VARIANTS), (HELD_OUT, "npz")]
    needs = dict(zip(kinds, memory_gb, strict=True))
    return Model(name, "tfmot", name, input_size, parameters, macs, activation_mb, needs)


def _trained(
    name: str,
    input_size: int,
    parameters: int,
    macs: int,
    activation_mb: float,
    *memory_gb: float,
    has_base: bool = False,
) -> Model:
    kinds = [(variant, "tflite") for variant in ("float32", "dynamic_range", "float16", "int8")]
    needs = dict(zip([*kinds, ("float32", "keras"), (HELD_OUT, "npz")], memory_gb, strict=True))
    return Model(name, "trained", name, input_size, parameters, macs, activation_mb, needs, has_base=has_base)


_TORCHVISION = "https://download.pytorch.org/models"
_UNET = "https://github.com/mateuszbuda/brain-segmentation-pytorch/releases/download/v1.0"

# fmt: off
MODELS = {
    model.name: model
    for model in (
        _keras("MobileNet", 224, 4_253_864, 568_740_352, 4.59, 0.9, 0.9, 0.9, 1.0),
        _keras("InceptionV3", 299, 23_851_784, 5_713_216_096, 7.91, 1.5, 1.3, 1.4, 1.8),
        _keras("ResNet50", 224, 25_636_712, 3_857_973_248, 4.59, 1.5, 1.4, 1.4, 1.8),
        _keras("ResNet101", 224, 44_707_176, 7_570_194_432, 4.59, 2.3, 2.0, 2.1, 2.8),
        _keras("ResNet152", 224, 60_419_944, 11_282_415_616, 4.59, 2.5, 2.3, 2.3, 3.2),
        _keras("VGG16", 224, 138_357_544, 15_470_264_320, 24.5, 4.8, 3.6, 3.8, 7.5, dense_parameters=102_760_448),
        _keras("VGG19", 224, 143_667_240, 19_632_062_464, 24.5, 5.0, 3.7, 3.9, 7.8, dense_parameters=102_760_448),
        _torch("UNet", "UNet", 7_763_041, 9_242_017_792, 24.5, 1.0, 1.0, 0.6, 0.9,
               weights_url=f"{_UNET}/unet-e012d006.pt", trained_on="brain-mri", size_multiple=16),
        _torch("SqueezeNet", "squeezenet1_0", 1_248_424, 818_924_576, 5.70, 0.8, 0.8, 0.5, 0.6,
               weights_url=f"{_TORCHVISION}/squeezenet1_0-b66bff10.pth"),
        _torch("MobileNetV3Small", "mobilenet_v3_small", 2_542_856, 56_510_400, 1.34, 0.8, 0.8, 0.5, 0.6,
               weights_url=f"{_TORCHVISION}/mobilenet_v3_small-047dcff4.pth"),
        _torch("ResNet18", "resnet18", 11_689_512, 1_814_073_344, 3.83, 1.1, 1.1, 0.6, 0.8,
               weights_url=f"{_TORCHVISION}/resnet18-f37072fd.pth"),
        _tfmot("FireNet", 128, 2_123_813, 15_171_840, 1.25, 1.5, 1.5, 1.5, 1.6, 1.8, 1.8, 1.0),
        _trained("DigitCNN", 32, 145_914, 19_318_016, 0.19, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8),
        _trained("MobileNetV2", 224, 4_164_965, 301_399_552, 5.82, 2.7, 2.7, 2.7, 2.7, 2.7, 2.7, has_base=True),
    )
}
# fmt: on
# The study's networks; the others are the PyTorch lab's.
DEFAULT_MODELS = tuple(name for name, model in MODELS.items() if model.framework == "keras")


def can_be(model: str, variant: str, file_format: str, built: bool) -> bool:
    """Whether there may be such a file: one that is built here, or one of any name from elsewhere.

    Unknown names are let pass where they are built, for check_names to find.
    """
    known = MODELS.get(model)
    if file_format == "so" and built:
        if variant not in COMPILED:
            return variant not in VARIANTS
        return known is None or (COMPILED[variant], "tflite") in known.memory_gb
    if variant.endswith("_untuned"):
        return file_format == "so"
    if built and known and (variant in VARIANTS or variant == HELD_OUT):
        return (variant, file_format) in known.memory_gb
    if file_format == "npz":
        return variant == HELD_OUT
    if file_format in ANY_BATCH:
        framework = "trained" if file_format == "keras" else "torch"
        return variant == "float32" and (known is None or known.framework == framework)
    return file_format == "tflite" or not built


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
