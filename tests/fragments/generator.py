# SPDX-License-Identifier: Apache-2.0
"""Batches from a generator, as many as one says."""

import keras
import numpy as np
from keras import layers
from keras.models import Sequential


def batches(images, labels, batch_size):
    start = 0
    while True:
        stop = start + batch_size
        flipped = images[start:stop, :, ::-1] if np.random.rand() < 0.5 else images[start:stop]
        yield flipped, labels[start:stop]
        start = stop if stop < len(images) else 0


model = Sequential()
model.add(layers.Input(shape=(10, 10, 3)))
model.add(layers.Conv2D(6, (3, 3)))
model.add(layers.Activation("relu"))
model.add(layers.MaxPooling2D(pool_size=(2, 2)))
model.add(layers.Flatten())
model.add(layers.Dense(12))
model.add(layers.Activation("relu"))
model.add(layers.Dropout(0.5))
model.add(layers.Dense(3))
model.add(layers.Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
images = np.random.rand(24, 10, 10, 3)
labels = keras.utils.to_categorical(np.random.randint(0, 3, 24), num_classes=3)
history = model.fit(
    batches(images, labels, 8),
    steps_per_epoch=3,
    epochs=2,
    validation_data=batches(images, labels, 12),
    validation_steps=2,
    verbose=0,
)
score = model.evaluate(batches(images, labels, 8), steps=3, verbose=0)
predicted = model.predict(((images[i : i + 8],) for i in range(0, 24, 8)), verbose=0)
