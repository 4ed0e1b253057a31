# SPDX-License-Identifier: Apache-2.0
"""A whole model as one layer of another, called without training."""

import keras
import numpy as np
from keras import layers

base_model = keras.Sequential(
    [
        keras.Input((16, 16, 3)),
        layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
    ],
    name="base",
)
base_model.trainable = False

inputs = keras.Input(shape=(16, 16, 3))
scale_layer = layers.Rescaling(scale=1 / 127.5, offset=-1)
x = scale_layer(inputs)
x = base_model(x, training=False)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dropout(0.2)(x)
outputs = layers.Dense(1)(x)
model = keras.Model(inputs, outputs)
model.summary(show_trainable=True)
model.compile(
    optimizer=keras.optimizers.Adam(),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
x, y = np.random.rand(12, 16, 16, 3) * 255, np.random.randint(0, 2, 12)
before = base_model.get_weights()
model.fit(x, y, epochs=1, verbose=0)
assert all(np.array_equal(a, b) for a, b in zip(before, base_model.get_weights()))

base_model.trainable = True
model.compile(
    optimizer=keras.optimizers.Adam(1e-5),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
history = model.fit(x, y, epochs=1, validation_data=(x, y), verbose=0)
