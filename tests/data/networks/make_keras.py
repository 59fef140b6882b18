"""Make the network `colours` that tests the runner keras.

    python make_keras.py FILE.keras

Needs the packages of the model builder (requirements-models.txt).
"""

import os
import sys

os.environ.update({"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull})

import keras
import numpy

# One of seven colours: the nearest to the mean of the image, by x.c - c.c / 2.
COLOURS = numpy.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(7)], "float32")

images = keras.Input((8, 8, 3), name="images")
scores = keras.layers.Dense(7)
model = keras.Model(images, scores(keras.layers.GlobalAveragePooling2D()(images)))
scores.set_weights([COLOURS.T, -(COLOURS**2).sum(1) / 2])
model.save(sys.argv[1])
