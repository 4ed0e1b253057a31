# SPDX-License-Identifier: Apache-2.0
"""Bottlenecks with the normalization first, weight decay by regularizers."""

import keras
import numpy as np
from keras.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten, AveragePooling2D, Input, add
from keras.models import Model
from keras.regularizers import l2


def resnet_layer(
    inputs, num_filters=8, kernel_size=3, strides=1, activation="relu", batch_normalization=True
):
    x = inputs
    if batch_normalization:
        x = BatchNormalization()(x)
    if activation is not None:
        x = Activation(activation)(x)
    return Conv2D(
        num_filters,
        kernel_size=kernel_size,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=l2(1e-4),
    )(x)


inputs = Input(shape=(8, 8, 3))
x = resnet_layer(inputs, batch_normalization=False, activation=None)
for stage, (filters_in, filters_out) in enumerate([(8, 16), (16, 32)]):
    strides = 1 if stage == 0 else 2
    y = resnet_layer(x, filters_in, kernel_size=1, strides=strides)
    y = resnet_layer(y, filters_in)
    y = resnet_layer(y, filters_out, kernel_size=1)
    x = resnet_layer(
        x, filters_out, kernel_size=1, strides=strides, activation=None, batch_normalization=False
    )
    x = add([x, y])
x = BatchNormalization()(x)
x = Activation("relu")(x)
x = AveragePooling2D(pool_size=2)(x)
y = Flatten()(x)
outputs = Dense(10, activation="softmax", kernel_initializer="he_normal")(y)
model = Model(inputs=inputs, outputs=outputs)
model.compile(
    loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(learning_rate=1e-3), metrics=["accuracy"]
)
labels = keras.utils.to_categorical(np.arange(12) % 10, 10)
history = model.fit(np.random.rand(12, 8, 8, 3), labels, batch_size=4, verbose=0)
