"""A network of Keras, converted to TFLite. Part of convert_tfmot.py and convert_trained.py, for Keras 2 and 3."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from images import Images

CALIBRATION_IMAGES = 64


def convert(model: Any, holder: Any, variant: str, batch_size: int, training: Images) -> bytes:
    """Return the TFLite flatbuffer of a network, for one batch size and the size of the training images.

    dynamic_range: int8 weights, float32 activations. float16: float16 weights, computed in float32 where the runtime
    has nothing else. int8: full integer, input and output too, calibrated on training images.

    Args:
        holder: an object of TensorFlow that has the model's variables.
    """
    shape = (batch_size, *training.pixels.shape[1:])
    infer = tf.function(
        lambda image: model(image, training=False), input_signature=[tf.TensorSpec(shape, name="image")]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([infer.get_concrete_function()], holder)
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "int8":
        converter.representative_dataset = lambda: calibration_images(training, batch_size)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    return converter.convert()


def calibration_images(training: Images, batch_size: int) -> Iterator[list[np.ndarray]]:
    for number in range(math.ceil(CALIBRATION_IMAGES / batch_size)):
        yield [training.part(np.arange(number * batch_size, (number + 1) * batch_size) % len(training.labels)).floats()]
