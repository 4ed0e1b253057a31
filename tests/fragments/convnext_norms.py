# SPDX-License-Identifier: Apache-2.0
"""Large depthwise kernels, layer normalization, GELU; group normalization in the stem."""

import keras
import numpy as np
from keras import initializers, layers


def block(x, dim, name):
    inputs = x
    x = layers.Conv2D(dim, kernel_size=7, padding="same", groups=dim, name=name + "_depthwise_conv")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name=name + "_layernorm")(x)
    x = layers.Dense(4 * dim, name=name + "_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=name + "_gelu")(x)
    x = layers.Dense(dim, name=name + "_pointwise_conv_2")(x)
    return layers.Add(name=name + "_add")([inputs, x])


inputs = keras.Input(shape=(16, 16, 3))
x = layers.Conv2D(
    8, kernel_size=4, strides=4, kernel_initializer=initializers.TruncatedNormal(stddev=0.02), name="stem"
)(inputs)
x = layers.GroupNormalization(groups=4, name="stem_norm")(x)
x = block(x, 8, "stage_0")
x = block(x, 8, "stage_1")
x = layers.GlobalAveragePooling2D()(x)
x = layers.LayerNormalization(epsilon=1e-6, name="head_norm")(x)
outputs = layers.Dense(5, activation="softmax", bias_initializer="zeros", name="head")(x)
model = keras.Model(inputs, outputs)
model.compile(
    keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    jit_compile=False,
)
history = model.fit(np.random.rand(10, 16, 16, 3), np.arange(10) % 5, epochs=2, batch_size=5, verbose=0)
