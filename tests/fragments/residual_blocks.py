# SPDX-License-Identifier: Apache-2.0
"""Residual blocks made by a function, with a projection where the size changes."""

import keras
import numpy as np
from keras import layers


def residual_block(x, filters, stride=1, name="block"):
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=stride, use_bias=False, name=name + "_0_conv")(x)
        shortcut = layers.BatchNormalization(axis=3, epsilon=1.001e-5, name=name + "_0_bn")(shortcut)
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False, name=name + "_1_conv")(x)
    x = layers.BatchNormalization(axis=3, epsilon=1.001e-5, name=name + "_1_bn")(x)
    x = layers.Activation("relu", name=name + "_1_relu")(x)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name + "_2_conv")(x)
    x = layers.BatchNormalization(axis=3, epsilon=1.001e-5, name=name + "_2_bn")(x)
    x = layers.Add(name=name + "_add")([shortcut, x])
    return layers.Activation("relu", name=name + "_out")(x)


def stack(x, filters, blocks, stride, name):
    x = residual_block(x, filters, stride, name=f"{name}_block1")
    for i in range(2, blocks + 1):
        x = residual_block(x, filters, name=f"{name}_block{i}")
    return x


inputs = keras.layers.Input(shape=(16, 16, 3))
x = layers.ZeroPadding2D(padding=((1, 1), (1, 1)), name="conv1_pad")(inputs)
x = layers.Conv2D(8, 3, kernel_initializer="he_normal", name="conv1_conv")(x)
x = stack(x, 8, 2, 1, "conv2")
x = stack(x, 16, 2, 2, "conv3")
x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
outputs = layers.Dense(10, activation="softmax", name="predictions")(x)
model = keras.Model(inputs, outputs, name="resnet")

images, labels = np.random.rand(16, 16, 16, 3), np.random.randint(0, 10, 16)
model.compile(
    optimizer=keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    loss="sparse_categorical_crossentropy",
    metrics=["sparse_categorical_accuracy"],
)
history = model.fit(images, labels, batch_size=8, epochs=1, verbose=0)
names = [layer.name for layer in model.layers]
