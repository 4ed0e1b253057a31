# SPDX-License-Identifier: Apache-2.0
"""Metrics of one's own: a class that counts in variables, written with ops."""

import keras
import numpy as np
from keras import layers, ops


class ClassTruePositives(keras.metrics.Metric):
    def __init__(self, class_id, name="class_true_positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.class_id = class_id
        self.true_positives = self.add_weight(name="tp", initializer="zeros")
        self.samples = self.add_variable(shape=(), initializer="zeros", name="samples")

    def update_state(self, y_true, y_pred, sample_weight=None):
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        hits = ops.logical_and(ops.equal(predicted, labels), ops.equal(labels, self.class_id))
        self.true_positives.assign_add(ops.sum(ops.cast(hits, "float32")))
        self.samples.assign_add(ops.cast(ops.size(labels), "float32"))

    def result(self):
        return self.true_positives / self.samples

    def reset_state(self):
        self.true_positives.assign(0.0)
        self.samples.assign(0.0)


model = keras.Sequential(
    [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, activation="softmax")]
)
model.compile(
    optimizer="rmsprop",
    loss="sparse_categorical_crossentropy",
    metrics=[ClassTruePositives(1), keras.metrics.SparseTopKCategoricalAccuracy(k=2)],
)
images, labels = np.random.rand(24, 8, 8, 1), np.arange(24) % 3
history = model.fit(images, labels, batch_size=6, epochs=2, verbose=0, validation_split=0.25)
scores = model.evaluate(images, labels, verbose=0, return_dict=True)
keys = sorted(scores)

by_hand = ClassTruePositives(0)
by_hand.update_state(np.array([0, 0, 2]), np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1]]))
share = round(float(by_hand.result()), 4)
by_hand.reset_state()
counted = float(by_hand.true_positives)
del by_hand, scores
