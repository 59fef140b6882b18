"""Runner `onnxruntime`: measures an ONNX model with ONNX Runtime on the CPU.

It needs the packages onnxruntime and numpy. What it has of benchmark_model, and where it differs, is in protocol.py.
Beside that:

- The CPU execution provider, all graph optimizations, operators one after the other. As in every runner,
  `--num_threads=-1` is one thread. Several threads spin while they wait for work, which is ONNX Runtime's default.
- A free size of the model that is called `batch` is fixed, before optimization, to the first size of the first input.
- Inputs and outputs are bound: an iteration neither copies an input nor makes numpy arrays of the outputs, as in
  benchmark_model.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

from protocol import (
    Call,
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

# ONNX's names of types that numpy calls otherwise.
DTYPES = {"float": "float32", "double": "float64"}


def import_runtime() -> str:
    """Import all that measuring needs; return the runtime's version."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime.__version__


def load(parameters: Parameters, shapes: Shapes) -> Model:
    """Load a model, optimize it, and bind its inputs and outputs.

    Raises:
        BenchmarkError: the file is no model, or the runtime cannot prepare it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = parameters.threads
    options.inter_op_num_threads = 1
    options.add_free_dimension_override_by_name("batch", shapes[0][1][0] if shapes else 1)
    try:
        session = onnxruntime.InferenceSession(parameters.graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise explained(error, f"Failed to load model {parameters.graph}") from None
    info(f"Loaded model {parameters.graph}")
    inputs = inputs_of(session)
    sizes = asked_shapes(inputs, shapes)
    binding = session.io_binding()
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return Model(
        functools.partial(session.run_with_iobinding, binding),
        functools.partial(prepare_inputs, binding, inputs, sizes),
        {"threads": parameters.threads, "providers": session.get_providers()},
    )


def inputs_of(session: Any) -> list[Input]:
    """Return what a model's inputs are."""
    inputs = []
    for index, value in enumerate(session.get_inputs()):
        dtype = value.type.removeprefix("tensor(").removesuffix(")")
        shape = [size if isinstance(size, int) else None for size in value.shape]  # else its name, or None
        inputs.append(Input(index, value.name, DTYPES.get(dtype, dtype), shape))
    return inputs


def prepare_inputs(binding: Any, inputs: list[Input], sizes: Sequence[Sequence[int]]) -> Call | None:
    """Bind every input to an array with random values; return what is to be called before each inference, if any.

    Raises:
        BenchmarkError: an input's type has no values.
    """
    import numpy

    arrays = random_arrays(inputs, sizes)
    bound = [numpy.empty_like(values) for values in arrays]
    for wanted, values in zip(inputs, bound):
        binding.bind_cpu_input(wanted.name, values)
    return copy_in([(functools.partial(numpy.copyto, target), values) for target, values in zip(bound, arrays)])


RUNNER = Runner(
    name="onnxruntime",
    file="ONNX model",
    suffix="onnx",
    shape="8,3,224,224",
    import_runtime=import_runtime,
    load=load,
    flags={},
    refused={
        "use_xnnpack": "XNNPACK is a delegate of TFLite; use the runner litert or benchmark_model",
        "enable_op_profiling": "the runner onnxruntime tells no times of operators; use the runner benchmark_model",
    },
)

if __name__ == "__main__":
    leave(main(RUNNER, sys.argv[1:]))
