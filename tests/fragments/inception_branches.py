# SPDX-License-Identifier: Apache-2.0
"""Parallel branches joined along the channels, and a second head on the way."""

import keras
import numpy as np
from keras import layers


def inception(x, f1, f3, f5, proj):
    path1 = layers.Conv2D(f1, (1, 1), padding="same", activation="relu")(x)
    path2 = layers.Conv2D(f3[0], (1, 1), padding="same", activation="relu")(x)
    path2 = layers.Conv2D(f3[1], (3, 3), padding="same", activation="relu")(path2)
    path3 = layers.Conv2D(f5[0], (1, 1), padding="same", activation="relu")(x)
    path3 = layers.Conv2D(f5[1], (5, 5), padding="same", activation="relu")(path3)
    path4 = layers.MaxPool2D((3, 3), strides=(1, 1), padding="same")(x)
    path4 = layers.Conv2D(proj, (1, 1), padding="same", activation="relu")(path4)
    return layers.concatenate([path1, path2, path3, path4], axis=3)


inp = layers.Input((12, 12, 3))
x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inp)
x = inception(x, 4, (4, 6), (2, 4), 4)
aux = layers.AveragePooling2D((3, 3), strides=2)(x)
aux = layers.Flatten()(aux)
aux = layers.Dense(4, activation="softmax", name="aux")(aux)
x = inception(x, 6, (4, 8), (2, 4), 4)
x = layers.GlobalAveragePooling2D()(x)
out = layers.Dense(4, activation="softmax", name="main")(x)
model = keras.Model(inputs=inp, outputs=[out, aux])
model.compile(
    optimizer="adam",
    loss=["sparse_categorical_crossentropy", "sparse_categorical_crossentropy"],
    loss_weights=[1.0, 0.3],
    metrics=[["accuracy"], ["accuracy"]],
)
images, labels = np.random.rand(10, 12, 12, 3), np.arange(10) % 4
history = model.fit(images, [labels, labels], batch_size=5, epochs=2, verbose=0)
main, side = model.predict(images, verbose=0)
