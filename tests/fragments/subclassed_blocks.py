# SPDX-License-Identifier: Apache-2.0
"""Residual blocks as a class of Layer, inside a graph: the usual way to write a ResNet by hand."""

import numpy as np

import keras
from keras import layers


class ResidualBlock(layers.Layer):
    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.conv1 = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)
        self.norm1 = layers.BatchNormalization()
        self.conv2 = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm2 = layers.BatchNormalization()
        self.shortcut = layers.Conv2D(filters, 1, strides=strides) if strides > 1 else None
        self.relu = layers.ReLU()
        self.add = layers.Add()

    def call(self, inputs, training=None):
        x = self.relu(self.norm1(self.conv1(inputs), training=training))
        x = self.norm2(self.conv2(x), training=training)
        skip = inputs if self.shortcut is None else self.shortcut(inputs)
        return self.relu(self.add([x, skip]))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


inputs = keras.Input((16, 16, 3))
x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
x = ResidualBlock(8, name="stage1")(x)
x = ResidualBlock(12, strides=2, name="stage2")(x)
x = layers.GlobalAveragePooling2D()(x)
outputs = layers.Dense(3, activation="softmax")(x)
model = keras.Model(inputs, outputs)
model.compile(
    keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
)

rng = np.random.default_rng(2)
images, labels = rng.random((48, 16, 16, 3), dtype="float32"), rng.integers(0, 3, 48)
history = model.fit(images, labels, batch_size=16, epochs=2, verbose=0)

stage = model.get_layer("stage2")
stage_shapes = [tuple(w.shape) for w in stage.get_weights()]
config = stage.get_config()
config.pop("dtype", None)
rebuilt = ResidualBlock.from_config({**config, "name": "again"}).filters
stage.trainable = False
frozen = len(model.trainable_weights)
