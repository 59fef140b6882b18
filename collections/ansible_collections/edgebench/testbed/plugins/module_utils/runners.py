# Copyright the edgebench developers. Apache-2.0.
"""What the kit knows of each runner. A new one that is written in Python is a file in ``runners/`` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

TFLITE = "tflite"

# What each delegate means in benchmark_model's flags; "default" is the runtime's own choice.
DELEGATE_FLAGS = {
    "default": "",
    "none": "--use_xnnpack=false",
    "xnnpack": "--use_xnnpack=true",
    "gpu": "--use_gpu=true",
    "nnapi": "--use_nnapi=true",
    "hexagon": "--use_hexagon=true",
}

_TORCH_FLAGS = {
    "compiled": "--compile=true",
    "channels_last": "--channels_last=true",
    "compiled_channels_last": "--compile=true --channels_last=true",
}


class Runner(NamedTuple):
    """A runner.

    Attributes:
        program: its file in ``runners/`` where it is written in Python; others have tasks of their own in the role
            ``benchmark_runner``.
        format: of the files that it reads.
        delegates: what it can be asked for. Whether a host's build has it is known only when it runs.
        variant_flags: variants that have no file of their own: the float32 one, with these flags.
        evaluates: it can say what it takes held-out images for (``--evaluate``).
        profiles: it can time single operators, so that the time of each is in its log.
        packages: what it imports, as pip's requirements, unless ``benchmark_runner_<name>_packages`` says it.
        leave_out: of what these packages have, patterns of files that it does not need.
        advice: what to know of these packages when it does not start.
    """

    program: str = ""
    format: str = TFLITE
    delegates: tuple[str, ...] = ("default",)
    variant_flags: Mapping[str, str] = {}
    evaluates: bool = False
    profiles: bool = False
    packages: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    advice: str = ""


RUNNERS = {
    "litert": Runner(
        "litert.py",
        delegates=("default", "none", "xnnpack"),
        evaluates=True,
        advice="on aarch64, ai-edge-litert 2.3.0 needs glibc 2.34 and 1.4.0 needs 2.30",
    ),
    "benchmark_model": Runner(delegates=tuple(DELEGATE_FLAGS), profiles=True),
    # Android's log cuts a profile, which is one entry, after 4 kB.
    "benchmark_apk": Runner(delegates=tuple(DELEGATE_FLAGS)),
    "torch": Runner("pytorch.py", "pt2", variant_flags=_TORCH_FLAGS),
    "onnxruntime": Runner("onnxrt.py", "onnx"),
    "tvm": Runner(
        "tvmrt.py",
        "so",
        evaluates=True,
        leave_out=("tvm/lib/libtvm_compiler.so", "tvm/lib/libtvm_runtime_cuda.so", "tvm/3rdparty/*"),
        advice="0.27.0 needs CPython 3.10 and glibc 2.27",
    ),
    "keras": Runner(
        "kerasrt.py",
        "keras",
        variant_flags={"compiled": "--compile=true"},
        evaluates=True,
        leave_out=("tensorflow/include/*",),
        advice="2.21.0 needs CPython 3.10, glibc 2.27, and on x86_64 a CPU with AVX, without which a signal ends it",
    ),
}
