# SPDX-License-Identifier: Apache-2.0
"""Two outputs with losses, weights and metrics by name."""

import keras
import numpy as np
from keras import layers

inputs = keras.Input(shape=(16, 16, 1))
x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
x = layers.MaxPooling2D()(x)
x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
x = layers.GlobalMaxPooling2D()(x)
digit = layers.Dense(10, activation="softmax", name="digit")(x)
rotation = layers.Dense(1, name="rotation")(x)
model = keras.Model(inputs, [digit, rotation])
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss={"digit": keras.losses.SparseCategoricalCrossentropy(), "rotation": keras.losses.MeanSquaredError()},
    loss_weights={"digit": 1.0, "rotation": 0.5},
    metrics={"digit": ["accuracy"], "rotation": [keras.metrics.MeanAbsoluteError(name="mae")]},
)
images = np.random.rand(16, 16, 16, 1)
targets = {"digit": np.random.randint(0, 10, 16), "rotation": np.random.rand(16, 1)}
history = model.fit(images, targets, batch_size=8, epochs=2, verbose=0, validation_data=(images, targets))
results = model.evaluate(images, targets, verbose=0, return_dict=True)
digit_pred, rotation_pred = model.predict(images, verbose=0)
