"""The images of a data set, decoded, in training and held-out ones.

Part of convert_tfmot.py and convert_trained.py, and like them no part of the library: it needs TensorFlow and
scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HELD_OUT = 0.25
# The same images are held out whatever the seed of a training.
SPLIT_SEED = 0
ORDER_SEED = 0
LARGEST_DIGIT_VALUE = 16
# Of a data set with a note beside each image, every other file is none.
UNREADABLE_NAMED = 5


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a float model takes for pixels of 0..255: pixels * scale + offset, one of each for a channel."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]


UNIT = Preprocessing((1 / 255,) * 3, (0.0,) * 3)
# What many networks were trained with: 0..1, less the mean of ImageNet's images, over their standard deviation.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Preprocessing(
    tuple(1 / (255 * std) for std in _STD), tuple(-mean / std for mean, std in zip(_MEAN, _STD, strict=True))
)


@dataclass(frozen=True, slots=True)
class Images:
    """Decoded images.

    Attributes:
        pixels: uint8, (image, height, width, 3).
        labels: the index of each image's class.
    """

    classes: tuple[str, ...]
    pixels: np.ndarray
    labels: np.ndarray
    preprocessing: Preprocessing = UNIT

    def part(self, indices: np.ndarray) -> Images:
        return Images(self.classes, self.pixels[indices], self.labels[indices], self.preprocessing)

    def floats(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Images as a model takes them, float32."""
        scale, offset = (np.array(each, np.float32) for each in (self.preprocessing.scale, self.preprocessing.offset))
        return self.pixels[start:stop].astype(np.float32) * scale + offset

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (floats, labels), the last batch perhaps smaller."""
        for start in range(0, len(self.labels), size):
            yield self.floats(start, start + size), self.labels[start : start + size]

    def save(self, path: Path, evaluated_on: str, remark: str) -> None:
        """Write what a runner needs to evaluate a model with them, an archive of NumPy without pickles."""
        with path.open("wb") as file:  # np.savez would add an ending to a name
            np.savez_compressed(
                file,
                images=self.pixels,
                labels=self.labels.astype(np.int64),
                classes=np.array(self.classes),
                scale=np.array(self.preprocessing.scale, np.float32),
                offset=np.array(self.preprocessing.offset, np.float32),
                evaluated_on=np.array(evaluated_on),
                remark=np.array(remark),
            )


class Shuffled:
    """Batches of training images in an order that is new, and random, for each epoch.

    To be inherited with what Keras takes for a sequence of batches, which has a name of its own in each version.
    """

    def __init__(self, images: Images, batch_size: int) -> None:
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        self.random = np.random.default_rng(ORDER_SEED)
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.images.labels) / self.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        batch = self.images.part(self.order[number * self.batch_size : (number + 1) * self.batch_size])
        return batch.floats(), batch.labels

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.images.labels))


@dataclass(frozen=True, slots=True)
class Source:
    """A data set before it is decoded.

    Attributes:
        labels: the index of each image's class.
        held_out: which images the data set itself holds out; None = it does not say.
        decoded: returns the pixels of images (by their index, in their order), and which of them are none.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    held_out: np.ndarray | None
    decoded: Callable[[np.ndarray], tuple[np.ndarray, dict[int, Path]]]


def load(
    option: str,
    size: int,
    preprocessing: Preprocessing = UNIT,
    *,
    digits: tuple[str, ...] = datasets.EVEN_OR_ODD,
    training_images: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Images, Images]:
    """Return training and held-out images of a data set, in a model's size, and say which of its files are none.

    Raises ValueError when it is not fit to train on, OSError when it is gone.

    Args:
        option: `digits` or a directory.
        digits: the classes of the digits.
        training_images: how many to decode, where not all are needed.
    """
    source = _digits(size, digits) if option == datasets.DIGITS else _files(Path(option), size)
    training, held_out = split(source)
    parts, unreadable = [], {}
    for indices in (training[:training_images], held_out):
        pixels, none = source.decoded(indices)
        labels = source.labels[[index for index in indices if index not in none]]
        parts.append(Images(source.classes, pixels, labels, preprocessing))
        unreadable |= none
    if unreadable:
        files = sum(len(part.labels) for part in parts) + len(unreadable)
        more = len(unreadable) - UNREADABLE_NAMED
        names = [*map(str, sorted(unreadable.values())[:UNREADABLE_NAMED]), *([f"and {more} more"] if more > 0 else [])]
        say(f"{len(unreadable)} of {files} images cannot be read and are left out: {', '.join(names)}")
    counts = np.bincount(np.delete(source.labels, list(unreadable)), minlength=len(source.classes))
    datasets.check_counts(option, dict(zip(source.classes, counts.tolist(), strict=True)))
    return parts[0], parts[1]


def split(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of training images, in random order, and of held-out ones, not more than are needed.

    Raises ValueError when a data set that says what it holds out leaves one of the two without images of a class.
    """
    if source.held_out is None:
        training, held_out = train_test_split(
            np.arange(len(source.labels)), test_size=HELD_OUT, stratify=source.labels, random_state=SPLIT_SEED
        )
    else:
        everything = np.random.default_rng(SPLIT_SEED).permutation(len(source.labels))
        training, held_out = everything[~source.held_out[everything]], everything[source.held_out[everything]]
        _check_shares(source, held_out)
    if len(held_out) > datasets.MAX_HELD_OUT:
        by_class = held_out[np.argsort(source.labels[held_out], kind="stable")]
        held_out = by_class[np.linspace(0, len(by_class) - 1, datasets.MAX_HELD_OUT).round().astype(int)]
    return training, held_out


def _check_shares(source: Source, held_out: np.ndarray) -> None:
    """Raise ValueError unless some images of each class are held out, and not all."""
    for number, name in enumerate(source.classes):
        out, images = (np.count_nonzero(labels == number) for labels in (source.labels[held_out], source.labels))
        if out in (0, images):
            raise ValueError(
                f"data set: {datasets.TEST} holds out {out} of the {images} images of class '{name}', some and not all "
                "expected"
            )


def _digits(size: int, classes: tuple[str, ...]) -> Source:
    """Handwritten digits, 8 x 8 pixels of 0..16 enlarged; in as many classes as are named, by the remainder."""
    found = load_digits()
    grey = found.images[..., np.newaxis] * (255 / LARGEST_DIGIT_VALUE)

    def decoded(indices: np.ndarray) -> tuple[np.ndarray, dict[int, Path]]:
        return np.repeat(scaled(grey[indices], size), 3, axis=-1), {}

    return Source(classes, found.target % len(classes), None, decoded)


def _files(directory: Path, size: int) -> Source:
    """Images of any size, JPEG, PNG, GIF (the first picture) or BMP."""
    by_class = datasets.classes(directory)
    files = [file for each in by_class.values() for file in each]
    labels = np.repeat(np.arange(len(by_class)), [len(each) for each in by_class.values()])
    own = datasets.held_out(directory)

    def decoded(indices: np.ndarray) -> tuple[np.ndarray, dict[int, Path]]:
        pixels = np.empty((len(indices), size, size, 3), np.uint8)
        unreadable = {}
        count = 0
        for index in indices.tolist():
            try:
                image = tf.io.decode_image(files[index].read_bytes(), channels=3, expand_animations=False)
            except (tf.errors.InvalidArgumentError, OSError):
                unreadable[index] = files[index]
            else:
                pixels[count] = scaled(image, size)
                count += 1
        return pixels[:count], unreadable

    return Source(
        tuple(by_class), labels, None if own is None else np.array([file.stem in own for file in files]), decoded
    )


def scaled(image: np.ndarray | tf.Tensor, size: int) -> np.ndarray:
    """One image or several, of 0..255, in a model's size, as uint8; where that is less, a mean of what it covers."""
    resized = tf.image.resize(image, (size, size), antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8).numpy()
