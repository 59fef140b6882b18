"""Runner `litert`: measures a TFLite model with LiteRT's Python package, as TensorFlow's benchmark_model does.

It needs the packages ai-edge-litert and numpy. What it has of benchmark_model, and where it differs, is in protocol.py;
beside that, `--use_xnnpack=true` applies the delegate as the runtime does by default: Python cannot create it
explicitly. Inputs are as the model has them, NHWC or NCHW.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import functools
import sys
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


def import_runtime() -> str:
    """Import all that measuring needs; return the runtime's version."""
    import ai_edge_litert
    import ai_edge_litert.interpreter

    return ai_edge_litert.__version__


def load(parameters: Parameters, shapes: Shapes) -> Model:
    """Load a model, apply the delegate and allocate tensors.

    Raises:
        BenchmarkError: the file is not a model, or the runtime cannot prepare it.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    without_xnnpack = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = Interpreter(
            parameters.graph,
            num_threads=parameters.num_threads if parameters.num_threads > 0 else None,
            experimental_op_resolver_type=without_xnnpack if parameters.use_xnnpack is False else OpResolverType.AUTO,
        )
    except (MemoryError, RuntimeError, ValueError) as error:
        raise explained(error, f"Failed to load model {parameters.graph}") from None
    info(f"Loaded model {parameters.graph}")
    try:
        if shapes:
            # Any size can be asked for; whether the model can do with it shows when tensors are allocated.
            inputs = [wanted._replace(shape=[None] * len(wanted.shape)) for wanted in inputs_of(interpreter)]
            for wanted, shape in zip(inputs, asked_shapes(inputs, shapes)):
                interpreter.resize_tensor_input(wanted.index, shape)
        interpreter.allocate_tensors()
    except (MemoryError, RuntimeError, ValueError) as error:
        raise explained(cause(error, bool(shapes)), "Failed to allocate tensors!") from None
    kernels = delegate_kernels(interpreter)
    idle = "Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the delegate."
    return Model(
        interpreter.invoke,
        functools.partial(prepare_inputs, interpreter),
        {"xnnpack": kernels > 0, "xnnpack_kernels": kernels},
        [idle] if parameters.use_xnnpack and not kernels else [],
        classifier_of(interpreter),
    )


def classifier_of(interpreter: Any) -> Classifier | None:
    """Return how the model classifies images; None unless it has one input."""
    inputs = interpreter.get_input_details()
    if len(inputs) != 1:
        return None
    scale, zero_point = inputs[0]["quantization"]  # 0.0 and 0 where it takes floats
    index, output = inputs[0]["index"], interpreter.get_output_details()[0]["index"]

    def classify(images: Any) -> Any:
        interpreter.set_tensor(index, images)
        interpreter.invoke()
        return interpreter.get_tensor(output)

    quantization = (scale, zero_point) if scale else None
    return Classifier(inputs[0]["shape"].tolist(), inputs[0]["dtype"].__name__, quantization, classify)


def inputs_of(interpreter: Any) -> list[Input]:
    """Return what the model's inputs are, with their sizes as they are now."""
    return [
        # numpy 1 calls it bool_.
        Input(details["index"], details["name"], details["dtype"].__name__.rstrip("_"), details["shape"].tolist())
        for details in interpreter.get_input_details()
    ]


def prepare_inputs(interpreter: Any) -> Call | None:
    """Fill every input with random values; return what is to be called before each inference, if any.

    Raises:
        BenchmarkError: an input's type has no values.
    """
    inputs = inputs_of(interpreter)
    arrays = random_arrays(inputs, [wanted.shape for wanted in inputs])
    set_tensor = interpreter.set_tensor
    return copy_in([(functools.partial(set_tensor, wanted.index), values) for wanted, values in zip(inputs, arrays)])


def cause(error: Exception, resized: bool) -> Exception:
    """Return why tensors could not be allocated: an error that does not say so may mean that there was no memory.

    LiteRT's own allocator says nothing then. XNNPACK says what it also says of a shape that it cannot have, which a
    model that was not resized does not have.
    """
    said = str(error).strip()
    if not said or ("XNNPack delegate failed to reshape runtime" in said and not resized):
        return MemoryError("LiteRT got none for the model's tensors")
    return error


def delegate_kernels(interpreter: Any) -> int:
    """Return how many parts of the graph a delegate executes; there is no public way to ask."""
    graph = interpreter._interpreter
    return sum(graph.NodeName(node) == "DELEGATE" for node in range(graph.NumNodes()))


RUNNER = Runner(
    name="litert",
    file="TF Lite input file",
    suffix="tflite",
    shape="8,224,224,3",
    import_runtime=import_runtime,
    load=load,
    flags={"use_xnnpack": "false: without the XNNPACK delegate; true or not given: with it"},
    refused={
        "enable_op_profiling": "LiteRT's Python package tells no times of operators; use the runner benchmark_model"
    },
)

if __name__ == "__main__":
    leave(main(RUNNER, sys.argv[1:]))
