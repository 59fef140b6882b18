"""Train the fire study's network, or convert it, trained, to one TFLite file.

A program, not a library: it runs with the Python of its own environment (environment.py), one process per file, and
imports nothing of modelzoo but what lies beside it for that. What it writes is determined by its arguments, the data
set, the versions of its packages, and by these files: raise the recipe version in build.py when a change here changes
the bytes. Trainings are as deterministic as TensorFlow makes them on one kind of processor; on another, with other
instructions, sums are rounded otherwise.

What people should see goes to standard output, and all that TensorFlow says to standard error.
"""

import argparse
import gzip
import importlib.metadata
import json
import math
import os
import platform
import resource
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Before the first import of TensorFlow: tfmot knows Keras 2 only.

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from datasets import HELD_OUT
from firenet import SIZE, firenet
from images import Images, Shuffled, load
from tflite_file import correct_images, weight_clusters, weight_sparsity
from to_tflite import convert

# Not a file to measure but what all the variants are made of: the weights of the trained network.
TRAINED = "trained"
BATCH = 64
LEARNING_RATE = 1e-3
# The fire study's.
CLUSTERS = 8
SPARSITY = 0.5
FINE_TUNING_LEARNING_RATE = 1e-5
FINE_TUNING_SHARE = 0.2
# Kernels that tfmot does not prune (depthwise ones) count too, and some zeros are by chance.
LEAST_SPARSITY = 0.9 * SPARSITY
IN_PLACE = (
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.InputLayer,
    keras.layers.ReLU,
)
PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "scikit-learn")


def main() -> int:
    arguments = parse_arguments()
    keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    try:
        training, held_out = load(arguments.dataset, SIZE, say=say)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    model = firenet(len(training.classes))
    if arguments.variant == TRAINED:
        train(model, training, held_out, arguments.epochs)
        model.save_weights(arguments.output, save_format="h5")
        return 0
    found = {"evaluated_images": len(held_out.labels), "classes": len(held_out.classes)}
    if arguments.variant == HELD_OUT:
        held_out.save(arguments.output, arguments.dataset_name, remark="")
    else:
        model.load_weights(arguments.weights)
        found |= facts(model)
        if optimize := OPTIMIZED.get(arguments.variant):
            model = optimize(model, training, max(1, round(FINE_TUNING_SHARE * arguments.epochs)))
        content = convert(model, model, arguments.variant, arguments.batch_size, training)
        arguments.output.write_bytes(content)
        found |= {
            "compressed_bytes": len(gzip.compress(content, 9, mtime=0)),
            "correct_images": correct_images(content, held_out),
            "weight_sparsity": round(weight_sparsity(content), 4),
            "weight_clusters": weight_clusters(content),
        }
        check(arguments.variant, found)
    found |= {
        "peak_memory_gb": peak_memory_gb(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }
    arguments.facts.write_text(json.dumps(found), encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    variants = [TRAINED, HELD_OUT, "float32", "dynamic_range", "float16", "int8", *OPTIMIZED]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, choices=["FireNet"])
    parser.add_argument("--format", choices=["tflite", "npz"], default="tflite")
    parser.add_argument("--variant", required=True, choices=variants, help=f"{TRAINED}: train, and write the weights")
    parser.add_argument("--dataset", required=True, help="digits, or a directory with a directory of images per class")
    parser.add_argument("--dataset-name", required=True, help="what goes on record of it")
    parser.add_argument("--epochs", type=int, required=True, help="of the training; fine-tuning takes a fifth of them")
    parser.add_argument("--weights", type=Path, help=f"what {TRAINED} has written, for all other variants")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of dropout")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--input-size", type=int, choices=[SIZE], default=SIZE)
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    parser.add_argument("--facts", type=Path, help="JSON file for accuracy, parameters, versions, ...")
    return parser.parse_args()


def say(line: str) -> None:
    print(line, flush=True)


class Batches(Shuffled, keras.utils.Sequence):
    """Training images, as Keras 2 takes them."""


def train(model: keras.Model, training: Images, held_out: Images, epochs: int) -> None:
    """Train a network from its first weights. The held-out images are looked at in the end only."""
    fit(model, training, LEARNING_RATE, epochs, progress=True)
    _, accuracy = model.evaluate(held_out.floats(), held_out.labels, verbose=0)
    say(f"accuracy {accuracy:.3f} on {len(held_out.labels)} images held out")


def fit(
    model: keras.Model,
    training: Images,
    learning_rate: float,
    epochs: int,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    progress: bool = False,
) -> None:
    """Train with the loss that is right for a softmax; the study's, binary cross-entropy, halves it for two classes."""
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    if progress:
        callbacks = (*callbacks, keras.callbacks.LambdaCallback(on_epoch_end=lambda *end: report_epoch(*end, epochs)))
    model.fit(Batches(training, BATCH), epochs=epochs, verbose=0, callbacks=callbacks)


def report_epoch(epoch: int, logs: dict[str, float], epochs: int) -> None:
    say(f"epoch {epoch + 1} of {epochs}: accuracy {logs['accuracy']:.3f} on the training images")


def clustered(model: keras.Model, training: Images, epochs: int) -> keras.Model:
    """Let each kernel (each channel of one, in plain convolutions) have a few distinct values, and train these on."""
    wrapped = tfmot.clustering.keras.cluster_weights(
        model,
        number_of_clusters=CLUSTERS,
        cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
        cluster_per_channel=True,
    )
    fit(wrapped, training, FINE_TUNING_LEARNING_RATE, epochs)
    return tfmot.clustering.keras.strip_clustering(wrapped)


def pruned(model: keras.Model, training: Images, epochs: int) -> keras.Model:
    """Make the smallest weights of each kernel zero, and train the others on.

    In every step: with the default, every 100th, a short training prunes nothing, and says nothing of that.
    """
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(
        model, pruning_schedule=tfmot.sparsity.keras.ConstantSparsity(SPARSITY, begin_step=0, frequency=1)
    )
    steps = (tfmot.sparsity.keras.UpdatePruningStep(),)
    fit(wrapped, training, FINE_TUNING_LEARNING_RATE, epochs, steps)
    return tfmot.sparsity.keras.strip_pruning(wrapped)


OPTIMIZED = {"clustered_dynamic_range": clustered, "pruned_dynamic_range": pruned}


def facts(model: keras.Model) -> dict[str, int | float]:
    """How large the network is; what follows from the image's size, for one image."""
    return {
        "parameters": model.count_params(),
        "macs": sum(count_macs(layer) for layer in model.layers),
        "activation_mb": round(max(activation_mb(layer) for layer in model.layers), 2),
    }


def count_macs(layer: keras.layers.Layer) -> int:
    """Multiply-accumulates of one image: each number of a kernel is used once for each position of the output."""
    kernels = [weight for weight in layer.weights if "kernel" in weight.name]
    return sum(math.prod(kernel.shape) for kernel in kernels) * math.prod(layer.output_shape[1:-1] if kernels else ())


def activation_mb(layer: keras.layers.Layer) -> float:
    """Input and output of a layer for one image, in MB of 2^20 bytes, as float32; 0 for what can work in place."""
    if isinstance(layer, IN_PLACE):
        return 0.0
    return 4 * (math.prod(layer.input_shape[1:]) + math.prod(layer.output_shape[1:])) / 2**20


def check(variant: str, found: dict[str, int | float]) -> None:
    """End the program when a file is not what its name says."""
    if variant == "pruned_dynamic_range" and found["weight_sparsity"] < LEAST_SPARSITY:
        sys.exit(f"{variant} has a sparsity of {found['weight_sparsity']:.2f}, at least {LEAST_SPARSITY} expected")
    if variant == "clustered_dynamic_range" and found["weight_clusters"] > CLUSTERS:
        sys.exit(f"{variant} has {found['weight_clusters']:,} distinct weights in a channel, {CLUSTERS} expected")


def peak_memory_gb() -> float:
    """Peak resident memory in GB; getrusage counts KiB on Linux, bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


if __name__ == "__main__":
    sys.exit(main())
