"""What a TFLite file is like, read back from its bytes: the values of its kernels, and how often it is right.

Part of convert_tfmot.py and convert_trained.py, and like them no part of the library: it needs TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from images import Images
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

_OPERATORS = schema.BuiltinOperator
_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
}
# Operator -> the axis of its kernel that is the output channel.
_CHANNEL_AXES = {_OPERATORS.CONV_2D: 0, _OPERATORS.DEPTHWISE_CONV_2D: 3, _OPERATORS.FULLY_CONNECTED: 0}


def weight_sparsity(content: bytes) -> float:
    """The share of zeros in the kernels of convolutions and dense layers."""
    arrays = [kernel for _, kernel in kernels(content)]
    return sum(np.count_nonzero(kernel == 0) for kernel in arrays) / sum(kernel.size for kernel in arrays)


def weight_clusters(content: bytes) -> int:
    """The most distinct values in one output channel of a kernel, but for depthwise ones, which tfmot leaves alone."""
    return max(
        len(np.unique(channel))
        for operator, kernel in kernels(content)
        if operator != _OPERATORS.DEPTHWISE_CONV_2D
        for channel in np.moveaxis(kernel, _CHANNEL_AXES[operator], 0)
    )


def kernels(content: bytes) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the operator and the kernel, as stored, of each convolution and dense layer."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    (graph,) = model.subgraphs
    # A float16 kernel reaches its operator through another that makes float32 of it.
    stored = {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if codes[operator.opcodeIndex] == _OPERATORS.DEQUANTIZE
    }
    for operator in graph.operators:
        if (code := codes[operator.opcodeIndex]) in _CHANNEL_AXES:
            tensor = graph.tensors[stored.get(operator.inputs[1], operator.inputs[1])]
            values = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(_DTYPES[tensor.type])
            yield code, values.reshape(tensor.shape)


def correct_images(content: bytes, images: Images) -> int:
    """How many images a model puts into the right class: the largest of its outputs."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    batch_size = given["shape"][0]
    correct = 0
    for floats, labels in images.batches(batch_size):
        interpreter.set_tensor(given["index"], quantized(np.resize(floats, given["shape"]), given))
        interpreter.invoke()
        found = interpreter.get_tensor(answer["index"]).argmax(axis=-1)
        correct += int(np.count_nonzero(found[: len(labels)] == labels))
    return correct


def quantized(floats: np.ndarray, tensor: dict) -> np.ndarray:
    """Numbers as a tensor takes them: integers where it is quantized (r = S (q - Z))."""
    if tensor["dtype"] == np.float32:
        return floats
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(floats / scale + zero_point), limits.min, limits.max).astype(tensor["dtype"])
