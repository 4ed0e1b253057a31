# SPDX-License-Identifier: Apache-2.0
"""From predictions to a confusion matrix and the measures that follow."""

import keras
import numpy as np
from keras import layers

num_classes = 4
x, y = np.random.rand(40, 8, 8, 1).astype("float32"), np.random.randint(0, num_classes, 40)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(6, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(num_classes, activation="softmax"),
    ]
)
model.compile(
    "adam",
    "sparse_categorical_crossentropy",
    metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
)
model.fit(x, y, epochs=1, verbose=0)
y_prob = model.predict(x, batch_size=16, verbose=0)
y_pred = y_prob.argmax(axis=1)
matrix = np.zeros((num_classes, num_classes), dtype=int)
for truth, guess in zip(y, y_pred):
    matrix[truth, guess] += 1
assert matrix.sum() == len(x)
accuracy = np.trace(matrix) / matrix.sum()
loss, reported, top2 = model.evaluate(x, y, verbose=0)
assert abs(accuracy - reported) < 1e-6

one_hot = keras.utils.to_categorical(y, num_classes)
f1 = keras.metrics.F1Score(average="macro")
f1.update_state(one_hot, y_prob)
macro = float(f1.result())
iou = keras.metrics.OneHotMeanIoU(num_classes=num_classes)
iou.update_state(one_hot, y_prob)
mean_iou = float(iou.result())
per_class = [float(keras.metrics.Recall(class_id=c)(one_hot, y_prob)) for c in range(num_classes)]
metric = keras.metrics.SparseCategoricalAccuracy()
metric.update_state(y, y_prob)
assert abs(float(metric.result()) - accuracy) < 1e-6
metric.reset_state()
