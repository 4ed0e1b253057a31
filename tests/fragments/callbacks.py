# SPDX-License-Identifier: Apache-2.0
"""Stop early, keep the best, lower the rate, write a log."""

import os

import keras
import numpy as np
from keras import layers

model = keras.Sequential(
    [
        keras.Input((10, 10, 1)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
callbacks = [
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True),
    keras.callbacks.ModelCheckpoint(
        filepath="model_{epoch:02d}.keras", save_best_only=True, monitor="val_loss"
    ),
    keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=2, min_lr=1e-5),
    keras.callbacks.CSVLogger("training.csv", separator=",", append=False),
    keras.callbacks.TerminateOnNaN(),
]
x, y = np.random.rand(40, 10, 10, 1), np.random.randint(0, 3, 40)
history = model.fit(x, y, epochs=4, batch_size=8, validation_split=0.2, callbacks=callbacks, verbose=0)
assert os.path.exists("model_01.keras")
with open("training.csv") as log:
    columns = log.readline().strip().split(",")
best = keras.models.load_model("model_01.keras")
assert best.evaluate(x, y, verbose=0)[1] >= 0
