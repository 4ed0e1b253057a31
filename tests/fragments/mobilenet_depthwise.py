# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions and inverted residuals."""

import keras
import numpy as np
from keras import layers


def inverted_residual(x, expansion, filters, stride, block_id):
    in_channels = x.shape[-1]
    inputs, prefix = x, f"block_{block_id}_"
    x = layers.Conv2D(expansion * in_channels, 1, padding="same", use_bias=False, name=prefix + "expand")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=prefix + "expand_BN")(x)
    x = layers.ReLU(6.0, name=prefix + "expand_relu")(x)
    if stride == 2:
        x = layers.ZeroPadding2D(padding=((0, 1), (0, 1)), name=prefix + "pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        use_bias=False,
        padding="same" if stride == 1 else "valid",
        name=prefix + "depthwise",
    )(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=prefix + "depthwise_BN")(x)
    x = layers.ReLU(6.0, name=prefix + "depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, activation=None, name=prefix + "project")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=prefix + "project_BN")(x)
    if in_channels == filters and stride == 1:
        return layers.Add(name=prefix + "add")([inputs, x])
    return x


img_input = layers.Input(shape=(16, 16, 3))
x = layers.Conv2D(8, 3, strides=(2, 2), padding="same", use_bias=False, name="Conv1")(img_input)
x = layers.BatchNormalization(name="bn_Conv1")(x)
x = layers.Activation("relu6")(x)
x = inverted_residual(x, expansion=2, filters=8, stride=1, block_id=0)
x = inverted_residual(x, expansion=2, filters=16, stride=2, block_id=1)
x = layers.GlobalAveragePooling2D(keepdims=True)(x)
x = layers.Dropout(0.1, name="dropout")(x)
x = layers.Conv2D(5, (1, 1), padding="same", name="conv_preds")(x)
x = layers.Reshape((5,), name="reshape")(x)
model = keras.Model(img_input, layers.Activation(activation="softmax", name="predictions")(x), name="mobile")
model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(np.random.rand(8, 16, 16, 3), np.arange(8) % 5, epochs=2, batch_size=4, verbose=0)
assert model.count_params() == sum(int(np.prod(w.shape)) for w in model.get_weights())
