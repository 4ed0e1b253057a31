# SPDX-License-Identifier: Apache-2.0
"""All-convolutional, with activations as layers, noise and constraints."""

import keras
import numpy as np
from keras import constraints, layers, regularizers

model = keras.Sequential(name="all_conv")
model.add(keras.Input(shape=(16, 16, 3)))
model.add(layers.GaussianNoise(0.1))
model.add(layers.Conv2D(8, (3, 3), padding="same", kernel_constraint=constraints.max_norm(3.0)))
model.add(layers.PReLU(shared_axes=[1, 2]))
model.add(layers.Conv2D(8, (3, 3), strides=(2, 2), padding="same", kernel_regularizer=regularizers.L2(1e-4)))
model.add(layers.ELU(alpha=0.5))
model.add(layers.SpatialDropout2D(0.2))
model.add(layers.Conv2D(8, (3, 3), dilation_rate=(2, 2), bias_regularizer="l1"))
model.add(layers.LeakyReLU())
model.add(layers.Conv2D(4, (1, 1)))
model.add(layers.GlobalAveragePooling2D())
model.add(layers.Softmax())
model.compile(
    optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=0.9, weight_decay=1e-6, clipvalue=0.5),
    loss=keras.losses.SparseCategoricalCrossentropy(),
    metrics=["accuracy"],
)
history = model.fit(np.random.rand(12, 16, 16, 3), np.arange(12) % 4, batch_size=4, epochs=2, verbose=0)
kinds = [type(layer).__name__ for layer in model.layers]
config = [layer["class_name"] for layer in model.get_config()["layers"]]
