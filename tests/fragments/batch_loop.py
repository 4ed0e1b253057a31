# SPDX-License-Identifier: Apache-2.0
"""A training loop of one's own over batches."""

import keras
import numpy as np
from keras import layers

inputs = keras.Input(shape=(12, 12, 1), name="digits")
x = layers.Conv2D(4, 3, activation="relu")(inputs)
x = layers.Flatten()(x)
model = keras.Model(inputs, layers.Dense(10, name="predictions")(x))
model.compile(
    optimizer=keras.optimizers.SGD(learning_rate=1e-2),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
)
x_train, y_train = np.random.rand(48, 12, 12, 1), np.random.randint(0, 10, 48)
x_val, y_val = x_train[-16:], y_train[-16:]
batch_size = 8
for epoch in range(2):
    order = np.random.permutation(32)
    model.reset_metrics()
    for step in range(len(order) // batch_size):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        logs = model.train_on_batch(x_train[chosen], y_train[chosen], return_dict=True)
    print(f"Epoch {epoch}: loss {float(logs['loss']):.4f}")
    model.reset_metrics()
    for step in range(2):
        part = slice(step * batch_size, (step + 1) * batch_size)
        val_loss, val_acc = model.test_on_batch(x_val[part], y_val[part])
    val_acc = float(val_acc)
keys = sorted(logs)
iterations = int(model.optimizer.iterations)
assert model.predict_on_batch(x_val[:4]).shape == (4, 10)
