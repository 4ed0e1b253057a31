# SPDX-License-Identifier: Apache-2.0
"""Save all, save weights, read both back, train on."""

import os

import keras
import numpy as np
from keras import layers


def get_model():
    inputs = keras.Input(shape=(8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = layers.Flatten()(x)
    outputs = layers.Dense(3, activation="softmax", name="out")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


x, y = np.random.rand(24, 8, 8, 1), np.random.randint(0, 3, 24)
model = get_model()
os.makedirs("ckpt", exist_ok=True)
checkpoint = keras.callbacks.ModelCheckpoint(
    filepath="ckpt/cp-{epoch:04d}.weights.h5", save_weights_only=True, verbose=1, save_freq="epoch"
)
model.fit(x, y, epochs=2, batch_size=8, callbacks=[checkpoint], verbose=0)
files = sorted(os.listdir("ckpt"))

fresh = get_model()
fresh.load_weights("ckpt/cp-0002.weights.h5")
assert np.allclose(fresh.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)

model.save("my_model.keras")
reconstructed = keras.models.load_model("my_model.keras")
np.testing.assert_allclose(model.predict(x, verbose=0), reconstructed.predict(x, verbose=0), atol=1e-5)
history = reconstructed.fit(x, y, epochs=3, initial_epoch=2, batch_size=8, verbose=0)

model.save_weights("all.weights.h5")
third = get_model()
third.load_weights("all.weights.h5")
again = keras.Model.from_config(get_model().get_config())
