# SPDX-License-Identifier: Apache-2.0
"""A layer of one's own with a configuration, registered, in a model that goes to a file and comes back."""

import keras
import numpy as np
from keras import layers


@keras.saving.register_keras_serializable(package="blocks")
class ConvBlock(layers.Layer):
    def __init__(self, filters, rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.rate = rate
        self.conv = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(rate)

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))
        self.built = True

    def call(self, inputs, training=None):
        x = self.norm(self.conv(inputs), training=training)
        return self.drop(keras.activations.relu(x), training=training)

    def get_config(self):
        config = super().get_config()
        config.update({"filters": self.filters, "rate": self.rate})
        return config


inputs = keras.Input((12, 12, 1))
x = ConvBlock(4, rate=0.1, name="block_1")(inputs)
x = layers.MaxPooling2D()(x)
x = ConvBlock(6, name="block_2")(x)
outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
model = keras.Model(inputs, outputs, name="blocks")
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
images, labels = np.random.rand(18, 12, 12, 1), np.arange(18) % 3
history = model.fit(images, labels, epochs=2, batch_size=6, verbose=0)
model.save("blocks.keras")
with keras.saving.custom_object_scope({"ConvBlock": ConvBlock}):
    loaded = keras.saving.load_model("blocks.keras")
same = bool(np.allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6))
again = ConvBlock.from_config(ConvBlock(5, rate=0.2).get_config())
settings = again.filters, again.rate
count = model.count_params()
del inputs, x, outputs, loaded
