# SPDX-License-Identifier: Apache-2.0
"""Transfer learning in two phases: a frozen base first, then all of it, as the guides write it."""

import numpy as np

import keras
from keras import layers

base = keras.Sequential(
    [
        keras.Input((16, 16, 3)),
        layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(8, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
    ],
    name="base",
)
base.trainable = False

inputs = keras.Input((16, 16, 3))
x = layers.RandomFlip("horizontal")(inputs)
x = layers.Rescaling(1 / 127.5, offset=-1)(x)
x = base(x, training=False)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dropout(0.2)(x)
outputs = layers.Dense(1)(x)
model = keras.Model(inputs, outputs)

rng = np.random.default_rng(4)
images = rng.integers(0, 256, (48, 16, 16, 3)).astype("float32")
labels = rng.integers(0, 2, 48)


def compiled(rate):
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy()],
    )


compiled(1e-3)
start = base.get_weights()
frozen_history = model.fit(images, labels, epochs=2, batch_size=16, verbose=0)
base_kept = all(np.array_equal(a, b) for a, b in zip(start, base.get_weights()))

base.trainable = True
compiled(1e-5)
tuned_history = model.fit(images, labels, epochs=1, batch_size=16, verbose=0)
kernel_moved = not np.array_equal(start[0], base.get_weights()[0])
