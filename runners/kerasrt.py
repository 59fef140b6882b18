"""Runner `keras`: measures a `.keras` file with Keras 3 on TensorFlow, on the CPU, as a user of Keras runs it.

It needs the packages keras and tensorflow, what they import, and numpy. What it has of benchmark_model, and where it
differs, is in protocol.py. Beside that:

- An inference is `model.predict` of one batch, which is what Keras' guides say; most of a small model's time goes into
  what it does around the model. `--compile=true` calls the model as a tf.function of these very shapes instead, which
  takes a tensor and gives back a numpy array; tracing it is in the time of initialization. The line EDGEBENCH runner
  says which of the two it was (`call`).
- As in every runner, `--num_threads=-1` is one thread; operators run one after the other.
- The user's keras.json is neither read nor written.
"""
# ruff: noqa: B905  zip's strict= came with Python 3.10; hosts may be older.

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
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

PREDICTED_BATCHES = 100
"""That one call of model.predict gets where nothing is timed: what it does around them takes most of its time."""


def import_runtime() -> str:
    """Import all that measuring needs; return the runtime's version."""
    os.environ.update({"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, "TF_CPP_MIN_LOG_LEVEL": "2"})
    with silence():
        import keras
        import tensorflow  # noqa: F401

    return keras.__version__


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Let nobody write on stderr: TensorFlow begins with a greeting of several lines, whatever its log level."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def load(parameters: Parameters, shapes: Shapes) -> Model:
    """Load a model and, where the flags ask for it, trace it.

    Raises:
        BenchmarkError: the file is no model, or the runtime cannot prepare it.
    """
    import keras
    import numpy
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(parameters.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    try:
        model = keras.saving.load_model(parameters.graph, compile=False)
    except Exception as error:  # zipfile's, h5py's, Keras' own
        raise explained(error, f"Failed to load model {parameters.graph}") from None
    info(f"Loaded model {parameters.graph}")
    inputs = [Input(index, tensor.name, tensor.dtype, tuple(tensor.shape)) for index, tensor in enumerate(model.inputs)]
    sizes = asked_shapes(inputs, shapes)
    arrays = [numpy.zeros(size, wanted.dtype) for wanted, size in zip(inputs, sizes)]
    try:
        infer, fill, infer_of = (traced if parameters.compile else predicted)(model, arrays)
    except Exception as error:  # TensorFlow's
        raise explained(error, "Failed to make the model ready") from None
    shape = list(sizes[0])
    if not parameters.compile:
        shape[0] *= PREDICTED_BATCHES
    return Model(
        infer,
        functools.partial(prepare_inputs, inputs, arrays, fill),
        {
            "threads": tensorflow.config.threading.get_intra_op_parallelism_threads(),
            "call": "tf.function" if parameters.compile else "model.predict",
            "tensorflow": tensorflow.__version__,
        },
        classifier=classifier_of(inputs, shape, infer_of),
    )


Fill = Callable[[int, Any], None]


def predicted(model: Any, arrays: list[Any]) -> tuple[Call, Fill, Callable[[Any], Any]]:
    """Return model.predict of the inputs, what gives an input its values by its index, and the same of other images.

    It makes batches of the measured size of however many images it gets.
    """
    import numpy

    batch_size = arrays[0].shape[0]
    infer = functools.partial(model.predict, batch_size=batch_size, verbose=0)
    given = arrays if len(arrays) > 1 else arrays[0]
    return functools.partial(infer, given), lambda index, values: numpy.copyto(arrays[index], values), infer


def traced(model: Any, arrays: list[Any]) -> tuple[Call, Fill, Callable[[Any], Any]]:
    """The same of a tf.function that is traced here, for inputs of these shapes.

    Raises:
        Exception: it cannot be traced.
    """
    import tensorflow

    tensors = [tensorflow.constant(values) for values in arrays]
    signature = [tensorflow.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]

    @tensorflow.function(input_signature=signature)
    def forward(*given: Any) -> Any:
        return model(list(given) if len(given) > 1 else given[0], training=False)

    forward.get_concrete_function()

    def infer(*given: Any) -> Any:
        return tensorflow.nest.map_structure(to_numpy, forward(*(given or tensors)))

    def fill(index: int, values: Any) -> None:
        tensors[index] = tensorflow.constant(values)

    return infer, fill, infer


def to_numpy(tensor: Any) -> Any:
    """Wait for a tensor, and return it as an array."""
    return tensor.numpy()


def classifier_of(inputs: Sequence[Input], shape: Sequence[int], infer: Callable[[Any], Any]) -> Classifier | None:
    """Return how the model classifies images; None unless it has one input."""
    if len(inputs) != 1:
        return None

    def classify(images: Any) -> Any:
        outputs = infer(images)
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    return Classifier(shape, inputs[0].dtype, None, classify)


def prepare_inputs(inputs: Sequence[Input], arrays: Sequence[Any], fill: Fill) -> Call | None:
    """Fill every input with random values; return what is to be called before each inference, if any.

    Raises:
        BenchmarkError: an input's type has no values.
    """
    values = random_arrays(inputs, [array.shape for array in arrays])
    return copy_in([(functools.partial(fill, index), of_input) for index, of_input in enumerate(values)])


RUNNER = Runner(
    name="keras",
    file="Keras model",
    suffix="keras",
    shape="8,224,224,3",
    import_runtime=import_runtime,
    load=load,
    flags={"compile": "true: as a tf.function; false or not given: by model.predict"},
    refused={
        "use_xnnpack": "XNNPACK is a delegate of TFLite; use the runner litert or benchmark_model",
        "enable_op_profiling": "the runner keras tells no times of operators; use the runner benchmark_model",
    },
)

if __name__ == "__main__":
    leave(main(RUNNER, sys.argv[1:]))
