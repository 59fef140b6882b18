"""Build one keras.applications network and convert it to one TFLite file.

A program, not a library: it runs with the Python of the model builder's environment (environment.py), one process per
conversion, and imports nothing of modelzoo. What it writes is determined by its arguments, by the versions of
TensorFlow and Keras, and by this file: raise the recipe version in build.py when a change here changes the bytes.
"""

import argparse
import contextlib
import fcntl
import functools
import json
import math
import multiprocessing
import os
import platform
import resource
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf

CALIBRATION_SEED = 0
CALIBRATION_IMAGES = 8
DOWNLOAD_TIMEOUT_S = 60
IN_PLACE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.InputLayer,
    keras.layers.ReLU,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
)


def main() -> int:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="export-", dir=arguments.output.parent) as saved_model:
        # The export is a process of its own, so that Keras's copies of the weights are gone when the conversion, which
        # needs the most memory, begins. That saves a quarter of the peak (VGG16.int8: 7.2 instead of 8.9 GB).
        exporter = multiprocessing.get_context("spawn").Process(target=export, args=(arguments, saved_model))
        exporter.start()
        exporter.join()
        if exporter.exitcode < 0:
            print(f"the export was ended by signal {-exporter.exitcode}", file=sys.stderr)
        if exporter.exitcode != 0:
            return 1
        arguments.output.write_bytes(convert(arguments, saved_model))
    found = json.loads(arguments.facts.read_text(encoding="utf-8")) | {
        "peak_memory_gb": max(peak_memory_gb(resource.RUSAGE_SELF), peak_memory_gb(resource.RUSAGE_CHILDREN)),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "python": platform.python_version()},
    }
    arguments.facts.write_text(json.dumps(found), encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, help="name in keras.applications")
    parser.add_argument("--format", required=True, choices=["tflite"])
    parser.add_argument("--variant", required=True, choices=["float32", "dynamic_range", "float16", "int8"])
    parser.add_argument("--weights", required=True, choices=["random", "imagenet"])
    parser.add_argument("--seed", type=int, default=0, help="of random weights")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--input-size", type=int, required=True, help="height and width, in pixels")
    parser.add_argument("--output", type=Path, required=True, help="the TFLite file to write")
    parser.add_argument("--facts", type=Path, required=True, help="JSON file for parameters, MACs, versions, memory")
    return parser.parse_args()


def export(arguments: argparse.Namespace, saved_model: str) -> None:
    """Build the network, save it for inference as a SavedModel, and note how large it is.

    The input's shape is fixed: a dynamic batch would leave SHAPE and PACK operations in the TFLite file, which slow
    old runtimes down and which compilers cannot import.
    """
    keras.utils.set_random_seed(arguments.seed)
    random_weights = arguments.weights == "random"
    with contextlib.nullcontext() if random_weights else one_download_at_a_time(arguments.network):
        model = getattr(keras.applications, arguments.network)(
            weights=None if random_weights else arguments.weights,
            input_tensor=keras.Input(batch_shape=input_shape(arguments)),
        )
    infer = tf.function(
        functools.partial(model.__call__, training=False),
        input_signature=[tf.TensorSpec(input_shape(arguments), name="image")],
    )
    # Not model.export: it writes the weights twice and takes longer.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(module, saved_model, signatures=infer.get_concrete_function())
    arguments.facts.write_text(json.dumps(facts(model)), encoding="utf-8")


def input_shape(arguments: argparse.Namespace) -> tuple[int, int, int, int]:
    return (arguments.batch_size, arguments.input_size, arguments.input_size, 3)


def facts(model: keras.Model) -> dict[str, int | float]:
    """How large a network is; what follows from the image's size, for one image."""
    return {
        "parameters": model.count_params(),
        "macs": sum(count_macs(layer) for layer in model.layers),
        "activation_mb": round(max(activation_mb(layer) for layer in model.layers), 2),
    }


def count_macs(layer: keras.Layer) -> int:
    """Multiply-accumulates of one image in a convolution (depthwise or not) or dense layer; the others count as none.

    Each number of such a layer's kernel is used once for each position of its output.
    """
    if not hasattr(layer, "kernel"):
        return 0
    return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])


def activation_mb(layer: keras.Layer) -> float:
    """Inputs and outputs of a layer for one image, in MB of 2^20 bytes, as float32.

    0 for what the converter fuses with the layer before, or what can work in place.
    """
    if isinstance(layer, IN_PLACE):
        return 0.0
    tensors = [*keras.tree.flatten(layer.input), *keras.tree.flatten(layer.output)]
    return 4 * sum(math.prod(tensor.shape[1:]) for tensor in tensors) / 2**20


@contextlib.contextmanager
def one_download_at_a_time(network: str) -> Iterator[None]:
    """Let one process at a time fetch a network's weights: Keras writes straight to the cached file's final name."""
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # Keras sets none
    home = Path(os.environ["KERAS_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{network}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def convert(arguments: argparse.Namespace, saved_model: str) -> bytes:
    """Return the TFLite flatbuffer of a SavedModel.

    dynamic_range: int8 weights, float32 activations. float16: float16 weights, computed in float32 where the runtime
    has nothing else. int8: full integer, input and output too; activations are calibrated on seeded random images, so
    it is as fast as a model calibrated on real images but not as accurate.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    if arguments.variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if arguments.variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if arguments.variant == "int8":
        converter.representative_dataset = lambda: calibration_images(arguments)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    return converter.convert()


def calibration_images(arguments: argparse.Namespace) -> Iterator[list[np.ndarray]]:
    """Yield random RGB images, preprocessed as the network expects its input (the ranges differ by network)."""
    network = getattr(keras.applications, arguments.network)
    preprocess_input = sys.modules[network.__module__].preprocess_input
    generator = np.random.default_rng(CALIBRATION_SEED)
    for _ in range(CALIBRATION_IMAGES):
        yield [preprocess_input(generator.integers(0, 256, input_shape(arguments)).astype(np.float32))]


def peak_memory_gb(who: int) -> float:
    """Peak resident memory in GB; getrusage counts KiB on Linux, bytes on macOS."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


if __name__ == "__main__":
    sys.exit(main())
