"""The networks that convert_trained.py trains; no part of the library: it needs Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
from images import IMAGENET, UNIT, Preprocessing

# Features of the convolutions of DigitCNN; the image is halved after each row.
CONVOLUTIONS = ((16, 32), (32, 64), (64, 128))
# Of the running means: with the default, 0.99, they lag behind the weights in trainings of few steps.
BATCH_NORM_MOMENTUM = 0.9
# Of Kenning's MobileNetV2 for Pet, so that its weights fit.
DENSE = (1024, 512, 128)
DROPOUT = 0.5


@dataclass(frozen=True, slots=True)
class Network:
    """One network.

    Attributes:
        build: makes it for so many classes, for the first weights that are named (None = random ones).
        size: height and width of its image, in pixels.
        batch_size: of its training.
    """

    build: Callable[[int, str | None], keras.Model]
    size: int
    preprocessing: Preprocessing
    learning_rate: float
    batch_size: int


def digit_cnn(classes: int, weights: str | None) -> keras.Model:
    """Six convolutions with batch norms, the mean of each feature map, and the probability of each class."""
    layers = [keras.Input((NETWORKS["DigitCNN"].size, NETWORKS["DigitCNN"].size, 3), name="image")]
    for row in CONVOLUTIONS:
        for features in row:
            layers += [
                keras.layers.Conv2D(features, 3, padding="same", use_bias=False),
                keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM),
                keras.layers.ReLU(),
            ]
        layers.append(keras.layers.MaxPooling2D(2))
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, activation="softmax")]
    return keras.Sequential(layers, name="DigitCNN")


def mobilenet_v2(classes: int, weights: str | None) -> keras.Model:
    """Keras' MobileNetV2 with dense layers on top, and the probability of each class."""
    size = NETWORKS["MobileNetV2"].size
    base = keras.applications.MobileNetV2(input_shape=(size, size, 3), include_top=False, weights=weights)
    found = keras.layers.GlobalAveragePooling2D()(base.output)
    for features in DENSE:
        found = keras.layers.Dropout(DROPOUT)(keras.layers.Dense(features, activation="relu")(found))
    found = keras.layers.Dense(classes, activation="softmax", name="out_layer")(found)
    return keras.Model(base.input, found, name="MobileNetV2")


NETWORKS = {
    "DigitCNN": Network(digit_cnn, 32, UNIT, 1e-3, batch_size=32),
    "MobileNetV2": Network(mobilenet_v2, 224, IMAGENET, 1e-4, batch_size=32),
}
