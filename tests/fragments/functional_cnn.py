# SPDX-License-Identifier: Apache-2.0
"""The functional interface: tensors from layer to layer, logits at the end."""

import keras
import numpy as np
from keras import layers

x_train = np.random.default_rng(0).random((32, 16, 16, 3), dtype="float32")
y_train = np.random.default_rng(1).integers(0, 4, (32, 1))

inputs = keras.Input(shape=(16, 16, 3), name="img")
x = layers.Rescaling(1.0 / 127.5, offset=-1)(inputs)
x = layers.Conv2D(8, 3, activation="relu")(x)
x = layers.Conv2D(8, 3, activation="relu")(x)
block_output = layers.MaxPooling2D(3)(x)
x = layers.GlobalAveragePooling2D()(block_output)
x = layers.Dense(16, activation="relu")(x)
outputs = layers.Dense(4, name="predictions")(x)
model = keras.Model(inputs, outputs, name="toy")

model.compile(
    optimizer=keras.optimizers.RMSprop(1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["acc"],
)
history = model.fit(x_train, y_train, batch_size=8, epochs=1, validation_split=0.25, verbose=2)
logits = model.predict(x_train[:5], verbose=0)
probabilities = keras.activations.softmax(np.asarray(logits))
assert np.allclose(np.asarray(probabilities).sum(axis=-1), 1, atol=1e-5)
