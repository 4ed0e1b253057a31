# SPDX-License-Identifier: Apache-2.0
"""Every layer of a block reads all before it."""

import keras
import numpy as np
from keras import layers


def conv_block(x, growth_rate, name):
    x1 = layers.BatchNormalization(axis=-1, name=name + "_0_bn")(x)
    x1 = layers.Activation("relu", name=name + "_0_relu")(x1)
    x1 = layers.Conv2D(4 * growth_rate, 1, use_bias=False, name=name + "_1_conv")(x1)
    x1 = layers.BatchNormalization(axis=-1, name=name + "_1_bn")(x1)
    x1 = layers.Activation("relu", name=name + "_1_relu")(x1)
    x1 = layers.Conv2D(growth_rate, 3, padding="same", use_bias=False, name=name + "_2_conv")(x1)
    return layers.Concatenate(axis=-1, name=name + "_concat")([x, x1])


def dense_block(x, blocks, name):
    for i in range(blocks):
        x = conv_block(x, 4, name=f"{name}_block{i + 1}")
    return x


def transition_block(x, reduction, name):
    x = layers.BatchNormalization(axis=-1, name=name + "_bn")(x)
    x = layers.Activation("relu", name=name + "_relu")(x)
    x = layers.Conv2D(int(x.shape[-1] * reduction), 1, use_bias=False, name=name + "_conv")(x)
    return layers.AveragePooling2D(2, strides=2, name=name + "_pool")(x)


inputs = keras.Input(shape=(8, 8, 3))
x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv1")(inputs)
x = dense_block(x, 3, name="conv2")
x = transition_block(x, 0.5, name="pool2")
x = dense_block(x, 2, name="conv3")
x = layers.BatchNormalization(name="bn")(x)
x = layers.ReLU(name="relu")(x)
x = layers.GlobalMaxPooling2D(name="max_pool")(x)
x = layers.Dense(6, activation="softmax")(x)
model = keras.Model(inputs, x, name="densenet")
model.compile(keras.optimizers.Nadam(), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
history = model.fit(x=np.random.rand(12, 8, 8, 3), y=np.arange(12) % 6, batch_size=4, epochs=1, verbose=0)
shapes = [layer.output.shape for layer in model.layers if layer.name.endswith("_concat")]
