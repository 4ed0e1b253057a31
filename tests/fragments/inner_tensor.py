# SPDX-License-Identifier: Apache-2.0
"""A classifier cut in two at a layer's output: features are computed once, the rest runs on them."""

import numpy as np

import keras
from keras import layers

inputs = keras.Input((12, 12, 3), name="image")
x = layers.Conv2D(8, 3, activation="relu", name="conv1")(inputs)
x = layers.MaxPooling2D(name="pool1")(x)
x = layers.Conv2D(8, 3, activation="relu", name="conv2")(x)
x = layers.GlobalAveragePooling2D(name="gap")(x)
outputs = layers.Dense(5, activation="softmax", name="predictions")(x)
model = keras.Model(inputs, outputs)

lower = keras.Model(inputs=model.input, outputs=model.get_layer("pool1").output)
upper = keras.Model(inputs=model.get_layer("pool1").output, outputs=model.output)

rng = np.random.default_rng(3)
images, labels = rng.random((40, 12, 12, 3), dtype="float32"), rng.integers(0, 5, 40)
features = lower.predict(images, verbose=0)
agree = bool(np.allclose(upper.predict(features, verbose=0), model.predict(images, verbose=0), atol=1e-5))

upper.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
before = lower.get_weights()[0]
history = upper.fit(features, labels, epochs=2, batch_size=10, verbose=0)
untouched = bool(np.array_equal(before, model.get_layer("conv1").get_weights()[0]))
shared = bool(np.array_equal(upper.get_weights()[-2], model.get_layer("predictions").get_weights()[0]))
starts_with = upper.layers[0].__class__.__name__
