# SPDX-License-Identifier: Apache-2.0
"""Channels weighed by what the whole image says."""

import keras
import numpy as np
from keras import activations, layers


def squeeze_excite_block(tensor, ratio=4):
    filters = tensor.shape[-1]
    se = layers.GlobalAveragePooling2D()(tensor)
    se = layers.Reshape((1, 1, filters))(se)
    se = layers.Dense(filters // ratio, activation="relu", kernel_initializer="he_normal", use_bias=False)(se)
    se = layers.Dense(filters, activation="sigmoid", kernel_initializer="he_normal", use_bias=False)(se)
    return layers.Multiply()([tensor, se])


inputs = keras.Input((12, 12, 3))
x = layers.Conv2D(8, 3, padding="same", activation=activations.swish)(inputs)
x = squeeze_excite_block(x)
x = layers.SpatialDropout2D(0.1)(x)
x = layers.Conv2D(16, 3, strides=2, padding="same", activation="hard_swish")(x)
x = squeeze_excite_block(x)
x = layers.GlobalAveragePooling2D()(x)
outputs = layers.Dense(3, activation="softmax")(x)
model = keras.Model(inputs, outputs)
model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(np.random.rand(9, 12, 12, 3), np.arange(9) % 3, epochs=1, verbose=0)
