# SPDX-License-Identifier: Apache-2.0
"""Classes of very different size: weights of classes and of samples."""

import keras
import numpy as np
from keras import layers

y = (np.arange(40) % 8 == 0).astype("uint8")[:, None]
x = np.random.rand(40, 10, 10, 3).astype("float32")
counts = np.bincount(y[:, 0])
class_weight = {0: 1.0 / counts[0], 1: 1.0 / counts[1]}

model = keras.Sequential(
    [
        keras.Input(shape=x.shape[1:]),
        layers.Conv2D(8, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid"),
    ]
)
metrics = [
    keras.metrics.FalseNegatives(name="fn"),
    keras.metrics.FalsePositives(name="fp"),
    keras.metrics.TrueNegatives(name="tn"),
    keras.metrics.TruePositives(name="tp"),
    keras.metrics.Precision(name="precision"),
    keras.metrics.Recall(name="recall"),
]
model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=metrics)
history = model.fit(
    x, y, batch_size=16, epochs=2, verbose=0, validation_data=(x, y), class_weight=class_weight
)
assert sum(history.history[key][-1] for key in ("fn", "fp", "tn", "tp")) == 40

sample_weight = np.ones(shape=(len(y),))
sample_weight[y[:, 0] == 1] = 2.0
model.compile("adam", "binary_crossentropy", weighted_metrics=["accuracy"])
weighted = model.fit(x, y, sample_weight=sample_weight, batch_size=16, epochs=1, verbose=0)
