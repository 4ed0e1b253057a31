# SPDX-License-Identifier: Apache-2.0
"""A class of Model whose call uses layers, trained as any other; its teacher is a stack."""

import numpy as np

import keras
from keras import layers


class SmallNet(keras.Model):
    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = layers.Conv2D(8, 3, padding="same", activation="relu")
        self.conv2 = layers.Conv2D(8, 3, padding="same", activation="relu")
        self.pool = layers.MaxPooling2D()
        self.flatten = layers.Flatten()
        self.dropout = layers.Dropout(0.25)
        self.classifier = layers.Dense(classes, activation="softmax")

    def call(self, inputs, training=False):
        x = self.conv1(inputs)
        x = x + self.conv2(x)
        x = self.flatten(self.pool(x))
        x = self.dropout(x, training=training)
        return self.classifier(x)


rng = np.random.default_rng(1)
x_train = rng.random((64, 10, 10, 3), dtype="float32")
teacher = keras.Sequential(
    [keras.Input((10, 10, 3)), layers.Flatten(), layers.Dense(4, activation="softmax")]
)
y_train = teacher.predict(x_train, verbose=0).argmax(axis=1)

_model = SmallNet(classes=4)
_model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = _model.fit(x_train, y_train, batch_size=16, epochs=2, validation_split=0.25, verbose=0)
scores = _model.evaluate(x_train, y_train, verbose=0, return_dict=True)
probabilities = _model.predict(x_train[:5], verbose=0)
direct = np.array(_model(x_train[:5]))
weights = [tuple(w.shape) for w in _model.get_weights()]
parts = [layer.name for layer in _model.layers if layer.get_weights()]
parameters = _model.count_params()
