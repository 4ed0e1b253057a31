# SPDX-License-Identifier: Apache-2.0
"""A learning-rate finder: the rate grows batch by batch, and the losses say where to stop."""

import numpy as np

import keras
from keras import layers


class RateFinder(keras.callbacks.Callback):
    def __init__(self, lowest=1e-5, highest=1.0, steps=20):
        super().__init__()
        self.lowest, self.factor = lowest, (highest / lowest) ** (1 / steps)
        self.rates, self.losses = [], []

    def on_train_begin(self, logs=None):
        self.start = self.model.get_weights()
        self.model.optimizer.learning_rate = self.lowest

    def on_train_batch_end(self, batch, logs=None):
        rate = float(self.model.optimizer.learning_rate)
        self.rates.append(rate)
        self.losses.append(float(logs["loss"]))
        self.model.optimizer.learning_rate = rate * self.factor
        if self.losses[-1] > 50 * min(self.losses):
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.model.set_weights(self.start)


model = keras.Sequential(
    [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer=keras.optimizers.SGD(), loss=loss)
rng = np.random.default_rng(9)
images, labels = rng.random((80, 8, 8, 1), dtype="float32"), rng.integers(0, 3, 80)

finder = RateFinder(highest=0.1)
before = model.get_weights()
model.fit(images, labels, batch_size=4, epochs=1, callbacks=[finder], verbose=0)
restored = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
tried = len(finder.rates)
grows = bool(np.all(np.diff(finder.rates) > 0))
last = round(finder.rates[-1], 4)
model.optimizer.learning_rate = finder.rates[int(np.argmin(finder.losses))] / 10
history = model.fit(images, labels, batch_size=16, epochs=1, verbose=0)
del loss
