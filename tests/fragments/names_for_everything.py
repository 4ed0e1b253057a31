# SPDX-License-Identifier: Apache-2.0
"""Strings, descriptions and objects of the same things."""

import keras
import numpy as np
from keras import layers

kinds = [
    type(keras.optimizers.get(name)).__name__
    for name in ("sgd", "adam", "Adam", "rmsprop", "adamw", "nadam", "adagrad", "adadelta", "adamax", "lion")
]
kinds += [
    type(keras.initializers.get(name)).__name__
    for name in (
        "glorot_uniform",
        "he_normal",
        "zeros",
        "ones",
        "random_normal",
        "truncated_normal",
        "HeUniform",
    )
]
kinds += [type(keras.constraints.get(name)).__name__ for name in ("max_norm", "non_neg", "UnitNorm")]
kinds += [type(keras.regularizers.get(name)).__name__ for name in ("l1", "l2", "L1L2")]
acts = [
    keras.activations.get(name).__name__ for name in ("relu", "softmax", "tanh", "elu", "sigmoid", "linear")
]
loss = keras.losses.get({"class_name": "CategoricalCrossentropy", "config": {"label_smoothing": 0.1}})
value = round(float(loss(np.eye(3, dtype="float32"), np.full((3, 3), 1 / 3, "float32"))), 4)
config = keras.optimizers.serialize(keras.optimizers.SGD(0.1, momentum=0.9))["class_name"]
rebuilt = keras.layers.deserialize(keras.layers.serialize(layers.Dense(3, name="d", activation="relu"))).units

model = keras.Sequential(
    [
        keras.Input((6,)),
        layers.Dense(
            8,
            activation="relu",
            kernel_initializer="he_normal",
            bias_initializer="zeros",
            kernel_regularizer="l2",
            bias_constraint="non_neg",
        ),
        layers.Activation("tanh"),
        layers.Dense(
            3, activation=keras.activations.softmax, kernel_initializer=keras.initializers.HeNormal()
        ),
    ]
)
model.compile(optimizer="Adamax", loss="CategoricalCrossentropy", metrics=["AUC", "Precision", "mae", "acc"])
history = model.fit(np.random.rand(12, 6), np.eye(3)[np.arange(12) % 3], verbose=0, batch_size=6)
keys = sorted(history.history)
learned = {w.shape for w in model.trainable_weights} == {(6, 8), (8,), (8, 3), (3,)}
del loss
