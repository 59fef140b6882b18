"""The network of the fire study: A. Rosebrock, Fire and smoke detection with Keras and deep learning (2019).

Part of convert_tfmot.py, and like it no part of the library: it needs Keras 2 (tf-keras).
"""

import tf_keras as keras

SIZE = 128
# Features, kernel, and whether the image is halved then.
CONVOLUTIONS = ((16, 7, True), (32, 3, True), (64, 3, False), (64, 3, True))
DENSE = (128, 128)
# Of the running means: with the default, 0.99, they lag behind the weights in trainings of few steps.
BATCH_NORM_MOMENTUM = 0.9


def firenet(classes: int) -> keras.Model:
    """Separable convolutions, two dense layers, and the probability of each class; images of 0..1 go in.

    The study normalizes after each ReLU. Here that is so after the convolutions only: behind a dense layer the
    converter would multiply it into the kernel of the next one, each input with a factor of its own, and the kernel's
    clusters would be gone. Before the ReLU it becomes part of the kernel before, one factor for an output channel.
    """
    layers = [keras.Input((SIZE, SIZE, 3))]
    for features, kernel, halves in CONVOLUTIONS:
        layers += [
            keras.layers.SeparableConv2D(features, kernel, padding="same"),
            keras.layers.ReLU(),
            keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM),
        ]
        if halves:
            layers.append(keras.layers.MaxPooling2D(2))
    layers.append(keras.layers.Flatten())
    for features in DENSE:
        layers += [
            keras.layers.Dense(features),
            keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.5),
        ]
    return keras.Sequential([*layers, keras.layers.Dense(classes, activation="softmax")], name="FireNet")
