# SPDX-License-Identifier: Apache-2.0
"""A training loop of one's own: fast weights take five steps, slow ones follow by half of the way."""

import numpy as np

import keras
from keras import layers

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(6, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ]
)
model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])

rng = np.random.default_rng(5)
images, labels = rng.random((60, 8, 8, 1), dtype="float32"), rng.integers(0, 3, 60)
slow = model.get_weights()
log = []
for step in range(20):
    chosen = rng.integers(0, 60, 12)
    logs = model.train_on_batch(images[chosen], labels[chosen], return_dict=True)
    log.append(float(logs["loss"]))
    if (step + 1) % 5 == 0:
        slow = [a + 0.5 * (b - a) for a, b in zip(slow, model.get_weights())]
        model.set_weights(slow)
        model.optimizer.learning_rate = float(model.optimizer.learning_rate) * 0.5

model.reset_metrics()
final = model.test_on_batch(images, labels, return_dict=True)
keys = sorted(final)
rate = round(float(model.optimizer.learning_rate), 6)
steps = len(log)
