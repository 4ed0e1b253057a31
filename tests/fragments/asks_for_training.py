# SPDX-License-Identifier: Apache-2.0
"""Classes whose ``call`` branches on ``training``, with functions of ``ops`` beside layers."""

import keras
import numpy as np
from keras import layers, ops


class Block(layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(filters, 3, padding="same")
        self.noise = layers.GaussianNoise(0.1)

    def call(self, x, training=False):
        y = ops.relu(self.conv(x))
        if training:
            y = self.noise(y, training=training)
        return ops.concatenate([x, y], axis=-1)


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = layers.Conv2D(4, 3)
        self.blocks = [Block(2), Block(3)]
        self.unused = layers.Flatten()
        self.drop = layers.Dropout(0.5)
        self.head = layers.Dense(3)

    def call(self, x, training=False):
        x = ops.multiply(self.stem(x), 0.5)
        for block in self.blocks:
            x = block(x, training=training)
        x = ops.mean(x, axis=(1, 2))
        if training:
            x = self.drop(x, training=training)
        return ops.softmax(self.head(x))


images, labels = np.random.rand(12, 8, 8, 1).astype("float32"), np.arange(12) % 3
_net = Net()
_net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = _net.fit(images, labels, epochs=2, batch_size=4, verbose=0)
names = [layer.name for layer in _net.layers]
count = _net.count_params()
shapes = [weights.shape for weights in _net.get_weights()]
same = bool(np.allclose(_net.predict(images, verbose=0), _net.predict(images, verbose=0)))
activation = _net.stem.activation.__name__
inputs = keras.Input((8, 8, 1))
model = keras.Model(inputs, ops.max(ops.square(layers.Conv2D(2, 3)(inputs)), axis=[1, 2]))
del inputs
