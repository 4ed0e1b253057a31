# SPDX-License-Identifier: Apache-2.0
"""Batches by number, arranged anew after each epoch."""

import math

import keras
import numpy as np
from keras import layers


class Images(keras.utils.PyDataset):
    def __init__(self, x_set, y_set, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y = x_set, y_set
        self.batch_size = batch_size
        self.epochs = 0

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, idx):
        low = idx * self.batch_size
        high = min(low + self.batch_size, len(self.x))
        return np.array(self.x[low:high]) / 255.0, np.array(self.y[low:high])

    def on_epoch_end(self):
        self.epochs += 1


train = Images(np.random.randint(0, 256, (22, 9, 9, 1)), np.random.randint(0, 2, 22), 8, workers=1)
test = Images(np.random.randint(0, 256, (10, 9, 9, 1)), np.random.randint(0, 2, 10), 8)
model = keras.Sequential(
    [
        layers.Input((9, 9, 1)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(1, "sigmoid"),
    ]
)
model.compile(keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(), metrics=["accuracy", "AUC"])
history = model.fit(train, validation_data=test, epochs=2, verbose=0, shuffle=False)
results = model.evaluate(test, verbose=0, return_dict=True)
count = len(train)
