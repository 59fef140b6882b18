"""Make the tiny models of this directory (a few KB each).

They are committed; this script says how they came about. Run it with TensorFlow 2.21, from the top of the repository:

    python tests/data/models/make.py

Libraries (.so) are what modelzoo/convert_tvm.py makes of image.*.tflite, untuned, for -mcpu=x86-64 and cortex-a76.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


def convert(shape: list[int | None], dtype: tf.DType, function: Callable, *, int8: bool = False) -> bytes:
    """Return a one-input function as the bytes of a TFLite model."""
    module = tf.Module()
    module.f = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype, name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        images = np.random.default_rng(0).random((16, *shape), dtype=np.float32)
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main() -> None:
    random = np.random.default_rng(0)
    weights = random.standard_normal((16, 8)).astype(np.float32)
    kernel = random.standard_normal((3, 3, 3, 4)).astype(np.float32)
    table = random.standard_normal((100, 4)).astype(np.float32)

    def dense(x):
        return tf.matmul(x, weights)

    def convolution(x):
        return tf.nn.relu(tf.nn.conv2d(x, kernel, strides=2, padding="SAME"))

    # One of seven colours: the nearest to the mean of the image, by x.c - c.c / 2.
    colours = np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(7)], np.float32)

    def nearest(x):
        return tf.matmul(tf.reduce_mean(x, [1, 2]), colours.T) - (colours**2).sum(1) / 2

    models = {
        "dense.float32": convert([1, 16], tf.float32, dense),
        "convolution.float32": convert([1, 8, 8, 3], tf.float32, convolution),
        "convolution.int8": convert([1, 8, 8, 3], tf.float32, convolution, int8=True),
        # Some tenths of a millisecond: long enough to be measured, short enough for a test.
        "image.float32": convert([1, 128, 128, 3], tf.float32, convolution),
        "image.int8": convert([1, 128, 128, 3], tf.float32, convolution, int8=True),
        "colours.float32": convert([1, 8, 8, 3], tf.float32, nearest),
        "colours.int8": convert([1, 8, 8, 3], tf.float32, nearest, int8=True),
        "lookup.int32": convert([1, 5], tf.int32, lambda x: tf.gather(table, x)),
        "add.int64": convert([1, 4], tf.int64, lambda x: x + 1),
        # Any batch: the first dimension is -1.
        "batch.float32": convert([None, 16], tf.float32, dense),
    }
    for name, model in models.items():
        (HERE / f"{name}.tflite").write_bytes(model)
        print(f"{name}.tflite {len(model)} bytes")


if __name__ == "__main__":
    main()
