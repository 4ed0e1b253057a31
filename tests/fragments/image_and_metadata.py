# SPDX-License-Identifier: Apache-2.0
"""Two inputs: an image and a row of numbers, given by name."""

import keras
import numpy as np
from keras import layers

image_input = keras.Input(shape=(12, 12, 3), name="image")
meta_input = keras.Input(shape=(5,), name="meta")

x = layers.Conv2D(8, 3, activation="relu")(image_input)
x = layers.MaxPooling2D()(x)
x = layers.Flatten()(x)
m = layers.Dense(8, activation="relu")(meta_input)
x = layers.concatenate([x, m])
x = layers.Dense(16, activation="relu")(x)
outputs = layers.Dense(4, activation="softmax", name="label")(x)

model = keras.Model(inputs=[image_input, meta_input], outputs=outputs)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

n = 20
images, meta, labels = np.random.rand(n, 12, 12, 3), np.random.rand(n, 5), np.random.randint(0, 4, n)
by_list = model.fit([images, meta], labels, epochs=1, batch_size=10, verbose=0)
by_name = model.fit({"image": images, "meta": meta}, labels, epochs=1, batch_size=10, verbose=0)
results = model.evaluate({"image": images, "meta": meta}, labels, verbose=0, return_dict=True)
predicted = model.predict([images[:3], meta[:3]], verbose=0)
