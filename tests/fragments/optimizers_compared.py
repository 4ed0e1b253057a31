# SPDX-License-Identifier: Apache-2.0
"""The same network under one optimizer after the other."""

import keras
import numpy as np

keras.utils.set_random_seed(812)
x, y = np.random.rand(20, 8, 8, 1), np.random.randint(0, 2, (20, 1))


def create_model():
    return keras.models.Sequential(
        [
            keras.layers.Input(shape=(8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


start = create_model()
results = {}
for name in ("sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "ftrl", "lion"):
    model = create_model()
    model.set_weights(start.get_weights())
    model.compile(
        optimizer=keras.optimizers.get(name), loss="binary_crossentropy", metrics=["binary_accuracy"]
    )
    history = model.fit(x, y, epochs=2, batch_size=10, shuffle=False, verbose=0)
    results[name] = sorted(history.history)
    assert np.isfinite(history.history["loss"]).all()
optimizer = keras.optimizers.Adam(learning_rate=keras.optimizers.schedules.ExponentialDecay(1e-2, 10000, 0.9))
model.compile(optimizer=optimizer, loss="binary_crossentropy")
model.fit(x, y, epochs=1, verbose=0)
description = keras.optimizers.serialize(optimizer)["class_name"]
