# SPDX-License-Identifier: Apache-2.0
"""Lambda, activations called as functions, and arithmetic between layers."""

import keras
import numpy as np
from keras import activations, layers

inputs = keras.Input(batch_shape=(None, 10, 10, 3), name="pixels")
x = layers.Lambda(lambda t: t / 127.5 - 1, name="scale")(inputs)
x = layers.Conv2D(6, 3, padding="same", activation=activations.relu)(x)
residual = x
x = activations.gelu(layers.Conv2D(6, 3, padding="same")(x))
gate = activations.sigmoid(layers.Conv2D(6, 1)(residual))
x = x * gate + residual
x = layers.Lambda(lambda t, by: t * by, arguments={"by": 0.5})(x)
x = activations.leaky_relu(layers.GlobalAveragePooling2D()(x))
outputs = activations.softmax(layers.Dense(4)(x))
model = keras.Model(inputs, outputs)
model.compile(optimizer="Adam", loss="SparseCategoricalCrossentropy", metrics=["accuracy"])
images, labels = np.random.randint(0, 256, (16, 10, 10, 3)).astype("float32"), np.arange(16) % 4
history = model.fit(images, labels, batch_size=8, epochs=2, verbose=0)

rescale = layers.Rescaling(1.0 / 255)
rescaled = np.asarray(rescale(images))
conv = layers.Conv2D(2, 3)
maps = np.asarray(conv(rescaled))
biases = np.asarray(conv.bias).tolist()
data_augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
augmented = np.asarray(data_augmentation(images, training=True))
untouched = bool(np.all(np.asarray(data_augmentation(images, training=False)) == images))
del inputs, x, residual, gate, outputs, data_augmentation
