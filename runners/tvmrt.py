"""Runner `tvm`: measures a model that TVM has compiled to a shared library for this kind of CPU.

It needs the packages apache-tvm, of which it loads the runtime library (3 MB) and nothing else, apache-tvm-ffi and
numpy. What it has of benchmark_model, and where it differs, is in protocol.py. Beside that:

- The library has two functions of TVM's virtual machine: `main`, which takes the model's inputs, and `describe`, which
  returns what modelzoo says of it, as JSON: its inputs, what it was compiled for, how its kernels were tuned.
- Its batch size is fixed, as in a TFLite model. As in every runner, `--num_threads=-1` is one thread. Several threads
  are TVM's own pool; each of them is bound to a core, which is TVM's default, unless this process was given only some
  of the machine's: TVM would not keep to these.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from protocol import (
    Call,
    Classifier,
    Input,
    Model,
    Parameters,
    Runner,
    Shapes,
    asked_shapes,
    copy_in,
    explained,
    info,
    leave,
    main,
    random_arrays,
)

ALIGNMENT_BYTES = 64
"""Of tensors: kernels are compiled for it."""

TOLD = ("target", "arithmetic", "kernels", "tuned_kernels")
"""What the line EDGEBENCH runner says of a library, of what that says of itself."""

# Of dlpack and of TVM's virtual machine: run on the CPU, take memory from a pool.
CPU, FIRST, POOLED = 1, 0, 2


def import_runtime() -> str:
    """Import all that measuring needs; return the runtime's version."""
    import tvm_ffi  # noqa: F401  what the runtime links to

    # Not `import tvm`: that loads the compiler too, 260 MB, and takes seconds.
    package = importlib.util.find_spec("tvm")
    if package is None:
        raise ModuleNotFoundError("No module named 'tvm'")
    ctypes.CDLL(str(Path(package.submodule_search_locations[0], "lib", "libtvm_runtime.so")), ctypes.RTLD_GLOBAL)
    return importlib.metadata.version("apache-tvm")


def load(parameters: Parameters, shapes: Shapes) -> Model:
    """Load a library and make it ready to run.

    Raises:
        BenchmarkError: the file is no such library, or is one for another machine, or for other inputs.
    """
    import tvm_ffi

    os.environ["TVM_NUM_THREADS"] = str(parameters.threads)  # read, like the next, when the first kernel runs
    if len(os.sched_getaffinity(0)) < os.cpu_count():
        os.environ["TVM_BIND_THREADS"] = "0"
    try:
        library = tvm_ffi.load_module(str(Path(parameters.graph).absolute()))  # a bare name is looked for elsewhere
        executable = library["vm_load_executable"]()
        executable["vm_initialization"](CPU, FIRST, POOLED)
        described = json.loads(executable["describe"]())
    except (AttributeError, MemoryError, RuntimeError, ValueError) as error:
        raise explained(error, f"Failed to load model {parameters.graph}") from None
    info(f"Loaded model {parameters.graph}")
    inputs = [Input(index, *each) for index, each in enumerate(described["inputs"])]
    quantizations = described.get("input_quantization", [None])
    tensors = [aligned_zeros(shape, wanted.dtype) for wanted, shape in zip(inputs, asked_shapes(inputs, shapes))]
    invoke = functools.partial(executable["main"], *map(tvm_ffi.from_dlpack, tensors))
    return Model(
        invoke,
        functools.partial(prepare_inputs, inputs, tensors),
        {"threads": parameters.threads, **{name: described[name] for name in TOLD if name in described}},
        classifier=classifier_of(inputs, tensors, quantizations, invoke),
    )


def classifier_of(
    inputs: Sequence[Input],
    tensors: Sequence[Any],
    quantizations: Sequence[Sequence[float] | None],
    invoke: Callable[[], Any],
) -> Classifier | None:
    """Return how the library classifies images; None unless it has one input."""
    import numpy

    if len(inputs) != 1:
        return None

    def classify(images: Any) -> Any:
        numpy.copyto(tensors[0], images)
        outputs = invoke()
        return numpy.from_dlpack(outputs if hasattr(outputs, "__dlpack__") else outputs[0])

    return Classifier(tensors[0].shape, inputs[0].dtype, quantizations[0], classify)


def aligned_zeros(shape: Sequence[int], dtype: str) -> Any:
    """Return a numpy array of zeros that begins where kernels expect it."""
    import numpy

    size = numpy.dtype(dtype).itemsize
    for length in shape:
        size *= length
    room = numpy.zeros(size + ALIGNMENT_BYTES, numpy.uint8)
    begin = -room.ctypes.data % ALIGNMENT_BYTES
    return room[begin : begin + size].view(dtype).reshape(shape)


def prepare_inputs(inputs: Sequence[Input], tensors: Sequence[Any]) -> Call | None:
    """Fill every input with random values; return what is to be called before each inference, if any.

    Raises:
        BenchmarkError: an input's type has no values.
    """
    import numpy

    arrays = random_arrays(inputs, [tensor.shape for tensor in tensors])
    return copy_in([(functools.partial(numpy.copyto, tensor), values) for tensor, values in zip(tensors, arrays)])


RUNNER = Runner(
    name="tvm",
    file="model compiled by TVM",
    suffix="so",
    shape="1,224,224,3",
    import_runtime=import_runtime,
    load=load,
    flags={},
    refused={
        "use_xnnpack": "XNNPACK is a delegate of TFLite; use the runner litert or benchmark_model",
        "enable_op_profiling": "the runner tvm tells no times of operators; use the runner benchmark_model",
    },
)

if __name__ == "__main__":
    leave(main(RUNNER, sys.argv[1:]))
