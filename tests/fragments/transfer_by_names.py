# SPDX-License-Identifier: Apache-2.0
"""A trained base under a new head: weights by layer name, frozen first, then all at a low rate."""

import keras
import numpy as np
from keras import layers


def body(inputs):
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_1")(inputs)
    x = layers.BatchNormalization(name="bn_1")(x)
    x = layers.MaxPooling2D(name="pool_1")(x)
    return layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_2")(x)


inputs = keras.Input((12, 12, 3))
source = keras.Model(inputs, layers.Dense(10, name="old_head")(layers.Flatten()(body(inputs))), name="source")

inputs = keras.Input((12, 12, 3))
x = layers.GlobalAveragePooling2D()(body(inputs))
target = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x), name="target")

known = {layer.name for layer in source.layers}
for layer in target.layers:
    if layer.name in known and layer.get_weights():
        layer.set_weights(source.get_layer(layer.name).get_weights())
        layer.trainable = False
frozen = len(target.trainable_weights), len(target.non_trainable_weights)

x, y = np.random.rand(12, 12, 12, 3), np.random.randint(0, 3, 12)
target.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
target.fit(x, y, epochs=1, verbose=0)
old, new = source.get_layer("conv_1").get_weights()[0], target.get_layer(name="conv_1").get_weights()[0]
assert np.array_equal(old, new)

target.trainable = True
for layer in target.layers[:-3]:
    if isinstance(layer, layers.BatchNormalization):
        layer.trainable = False
target.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = target.fit(x, y, epochs=1, verbose=0)
thawed = len(target.trainable_weights), len(target.non_trainable_weights)
