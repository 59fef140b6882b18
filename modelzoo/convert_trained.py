"""Train a network for classification, or convert it, trained, to one file.

A program, not a library: it runs with the Python of its own environment (environment.py), one process per file, and
imports nothing of modelzoo but what lies beside it for that. What it writes is determined by its arguments, the data
set, the versions of its packages, and by these files: raise the recipe version in build.py when a change here changes
the bytes. Trainings are as deterministic as TensorFlow makes them on one kind of processor.

What people should see goes to standard output, and all that TensorFlow says to standard error.
"""

import argparse
import contextlib
import gzip
import importlib.metadata
import json
import platform
import re
import resource
import sys
import zipfile
from pathlib import Path

from convert import facts, one_download_at_a_time, peak_memory_gb  # isort: skip  first: it tells TensorFlow to be quiet

import keras
import numpy as np
import tensorflow as tf
from classifiers import NETWORKS, Network
from datasets import HELD_OUT, TEN_DIGITS
from images import Images, Shuffled, load
from tflite_file import correct_images, weight_clusters, weight_sparsity
from to_tflite import CALIBRATION_IMAGES, convert

# Not a file to measure but what all the variants are made of: the weights of the trained network.
TRAINED = "trained"
PACKAGES = ("tensorflow", "keras", "scikit-learn")
# In archives, which have no years before it.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def main() -> int:
    arguments = parse_arguments()
    keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    network = NETWORKS[arguments.network]
    training_images = None if arguments.variant == TRAINED and not arguments.weights else CALIBRATION_IMAGES
    try:
        training, held_out = load(
            arguments.dataset,
            network.size,
            network.preprocessing,
            digits=TEN_DIGITS,
            training_images=training_images,
            say=say,
        )
        model = with_weights(network, arguments, len(training.classes))
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    if arguments.variant == TRAINED:
        if not arguments.weights:
            train(model, network, training, arguments.epochs)
        correct = right_images(model, held_out)
        say(f"accuracy {correct / len(held_out.labels):.3f} on {len(held_out.labels)} images held out")
        model.save_weights(arguments.output)
        return 0
    found = {"evaluated_images": len(held_out.labels), "classes": len(held_out.classes)}
    if arguments.variant == HELD_OUT:
        held_out.save(arguments.output, arguments.dataset_name, arguments.remark)
    else:
        found |= facts(model) | written(model, training, held_out, arguments)
    found |= {
        "peak_memory_gb": peak_memory_gb(resource.RUSAGE_SELF),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    }
    arguments.facts.write_text(json.dumps(found), encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    variants = [TRAINED, HELD_OUT, "float32", "dynamic_range", "float16", "int8"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, choices=NETWORKS)
    parser.add_argument("--format", choices=["tflite", "keras", "npz"], default="tflite")
    parser.add_argument("--variant", required=True, choices=variants, help=f"{TRAINED}: train, and write the weights")
    parser.add_argument("--dataset", required=True, help="digits, or a directory (datasets.py)")
    parser.add_argument("--dataset-name", required=True, help="what goes on record of it")
    parser.add_argument("--remark", default="", help=f"what goes on record in {HELD_OUT}, beside the name")
    parser.add_argument("--epochs", type=int, default=0, help="of the training")
    parser.add_argument("--base-weights", choices=["random", "imagenet"], default="random", help="before the training")
    parser.add_argument(
        "--weights", type=Path, help=f"what {TRAINED} has written, or weights from elsewhere: h5, keras"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of dropout")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--input-size", type=int, help="the network's own")
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    parser.add_argument("--facts", type=Path, help="JSON file for accuracy, parameters, versions, ...")
    return parser.parse_args()


def say(line: str) -> None:
    print(line, flush=True)


def version(package: str) -> str:
    """The version of a package, which for TensorFlow may be that for CPUs alone."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return importlib.metadata.version(f"{package}-cpu")


def with_weights(network: Network, arguments: argparse.Namespace, classes: int) -> keras.Model:
    """Return a network with trained weights, or before its training. Raises ValueError when weights do not fit."""
    if not arguments.weights:
        if arguments.base_weights == "random":
            return network.build(classes, None)
        with one_download_at_a_time(arguments.network):
            return network.build(classes, arguments.base_weights)
    model = network.build(classes, None)
    try:
        model.load_weights(arguments.weights)
    except Exception as error:
        # What h5py and Keras raise for a file that is none, or of another network, has no common class.
        said = " ".join(str(error).split())
        raise ValueError(
            f"{arguments.weights}: no weights of {arguments.network} for {classes} classes ({said[:200]})"
        ) from error
    return model


class Batches(Shuffled, keras.utils.PyDataset):
    """Training images, as Keras 3 takes them."""


def train(model: keras.Model, network: Network, training: Images, epochs: int) -> None:
    """Train a network from its first weights. It has not seen the held-out images."""
    optimizer = keras.optimizers.Adam(network.learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: say(
            f"epoch {epoch + 1} of {epochs}: accuracy {logs['accuracy']:.3f} on the training images"
        )
    )
    model.fit(Batches(training, network.batch_size), epochs=epochs, verbose=0, callbacks=[report])


def right_images(model: keras.Model, images: Images) -> int:
    """How many images a network puts into the right class."""
    found = [model.predict_on_batch(floats).argmax(axis=-1) for floats, _ in images.batches(64)]
    return int(np.count_nonzero(np.concatenate(found) == images.labels))


def written(
    model: keras.Model, training: Images, held_out: Images, arguments: argparse.Namespace
) -> dict[str, int | float]:
    """Write a model's file, and say how often this very file is right."""
    if arguments.format == "keras":
        save(model, arguments.output)
        again = keras.saving.load_model(arguments.output)
        content, of_file = arguments.output.read_bytes(), {"correct_images": right_images(again, held_out)}
    else:
        holder = tf.Module()
        holder.variables_of_model = [variable.value for variable in model.variables]
        content = convert(model, holder, arguments.variant, arguments.batch_size, training)
        arguments.output.write_bytes(content)
        of_file = {
            "correct_images": correct_images(content, held_out),
            "weight_sparsity": round(weight_sparsity(content), 4),
            "weight_clusters": weight_clusters(content),
        }
    return of_file | {"compressed_bytes": len(gzip.compress(content, 9, mtime=0))}


def save(model: keras.Model, path: Path) -> None:
    """Write a network as Keras does, for inference, but without the time and addresses in this process's memory.

    So the same network is the same bytes.
    """
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps(metadata | {"date_saved": "-"}).encode()
    numbers: dict[bytes, int] = {}
    members["config.json"] = re.sub(
        rb'(?<="shared_object_id": )\d+',
        lambda address: b"%d" % numbers.setdefault(address[0], len(numbers)),
        members["config.json"],
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, NO_TIME), content)


if __name__ == "__main__":
    sys.exit(main())
