"""The images of a data set, decoded, in training and held-out ones.

Part of convert_tfmot.py, and like it no part of the library: it needs TensorFlow and scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIZE = 128
HELD_OUT = 0.25
# The same images are held out whatever the seed of a training.
SPLIT_SEED = 0
LARGEST_DIGIT_VALUE = 16
# Of a data set with a note beside each image, every other file is none.
UNREADABLE_NAMED = 5


@dataclass(frozen=True, slots=True)
class Images:
    """Decoded images.

    Attributes:
        pixels: uint8, (image, height, width, 3); a model sees them divided by 255.
        labels: the index of each image's class.
        unreadable: files that are no images, or damaged.
    """

    classes: tuple[str, ...]
    pixels: np.ndarray
    labels: np.ndarray
    unreadable: tuple[Path, ...] = ()

    def part(self, indices: np.ndarray) -> Images:
        return Images(self.classes, self.pixels[indices], self.labels[indices])

    def floats(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Images as a model takes them: float32, 0..1."""
        return self.pixels[start:stop].astype(np.float32) / 255

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (floats, labels), the last batch perhaps smaller."""
        for start in range(0, len(self.labels), size):
            yield self.floats(start, start + size), self.labels[start : start + size]


def load(option: str, say: Callable[[str], None] | None = None) -> Images:
    """Return all images of a data set, and say which of its files are none.

    Raises ValueError when it is not fit to train on, OSError when it is gone.
    """
    images = digits() if option == datasets.DIGITS else from_directory(Path(option))
    if images.unreadable and say:
        files = len(images.unreadable) + len(images.labels)
        more = len(images.unreadable) - UNREADABLE_NAMED
        names = [*map(str, images.unreadable[:UNREADABLE_NAMED]), *([f"and {more} more"] if more > 0 else [])]
        say(f"{len(images.unreadable)} of {files} images cannot be read and are left out: {', '.join(names)}")
    counts = np.bincount(images.labels, minlength=len(images.classes))
    datasets.check_counts(option, dict(zip(images.classes, counts.tolist(), strict=True)))
    return images


def split(images: Images) -> tuple[Images, Images]:
    """Return training and held-out images, with the same share of each class."""
    training, held_out = train_test_split(
        np.arange(len(images.labels)), test_size=HELD_OUT, stratify=images.labels, random_state=SPLIT_SEED
    )
    return images.part(training), images.part(held_out)


def digits() -> Images:
    """Handwritten digits, 8 x 8 pixels of 0..16 enlarged, in two classes: even and odd."""
    found = load_digits()
    grey = scaled(found.images[..., np.newaxis] * (255 / LARGEST_DIGIT_VALUE))
    return Images(("even", "odd"), np.repeat(grey, 3, axis=-1), found.target % 2)


def from_directory(directory: Path) -> Images:
    """Images of any size, JPEG, PNG, GIF (the first picture) or BMP, one directory for each class."""
    pixels, labels, unreadable = [], [], []
    by_class = datasets.classes(directory)
    for label, files in enumerate(by_class.values()):
        for file in files:
            try:
                image = tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False)
            except (tf.errors.InvalidArgumentError, OSError):
                unreadable.append(file)
            else:
                pixels.append(scaled(image))
                labels.append(label)
    stacked = np.stack(pixels) if pixels else np.empty((0, SIZE, SIZE, 3), np.uint8)
    return Images(tuple(by_class), stacked, np.array(labels, dtype=int), tuple(unreadable))


def scaled(image: np.ndarray | tf.Tensor) -> np.ndarray:
    """One image or several, of 0..255, in the model's size, as uint8; where that is less, a mean of what it covers."""
    resized = tf.image.resize(image, (SIZE, SIZE), antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8).numpy()
