# SPDX-License-Identifier: Apache-2.0
"""Handwritten digits with one dense layer: a Keras tutorial's program, its imports changed and nothing else.

Run it with ``python examples/article.py``: five epochs, the test accuracy, and ``confusion_matrix.png``.
"""

import numpy as np

import fastcnn
from fastcnn import Sequential, datasets, layers, visualize

(x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()

x_train = x_train / 255
x_test = x_test / 255
x_train_flattened = x_train.reshape(len(x_train), 28 * 28)
x_test_flattened = x_test.reshape(len(x_test), 28 * 28)

model = Sequential([layers.Dense(10, input_shape=(784,), activation="sigmoid")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x_train_flattened, y_train, epochs=5)

model.evaluate(x_test_flattened, y_test)

y_predicted = model.predict(x_test_flattened)
y_predicted_labels = [np.argmax(i) for i in y_predicted]
cm = fastcnn.math.confusion_matrix(labels=y_test, predictions=y_predicted_labels)
print(cm)

visualize.confusion_matrix(cm, "confusion_matrix.png")
