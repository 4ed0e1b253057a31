# SPDX-License-Identifier: Apache-2.0
"""MixUp and CutMix of batches and their one-hot labels, in a data set that hands them to fit."""

import numpy as np

import keras
from keras import layers


class MixedBatches(keras.utils.PyDataset):
    def __init__(self, images, labels, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.mixers = [layers.MixUp(alpha=0.2, seed=1), layers.CutMix(factor=1.0, seed=2)]

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        batch = {"images": self.images[rows], "labels": self.labels[rows]}
        batch = self.mixers[index % 2](batch, training=True)
        return np.array(batch["images"]), np.array(batch["labels"])


rng = np.random.default_rng(6)
images = rng.random((48, 12, 12, 3), dtype="float32")
labels = keras.utils.to_categorical(rng.integers(0, 4, 48), num_classes=4)
train = MixedBatches(images, labels, batch_size=12)
x_mixed, y_mixed = train[0]
sums = [round(float(total), 3) for total in y_mixed.sum(axis=1)]

model = keras.Sequential(
    [
        keras.Input((12, 12, 3)),
        layers.Conv2D(6, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, activation="softmax"),
    ]
)
model.compile("adam", keras.losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=["accuracy"])
history = model.fit(train, epochs=2, validation_data=(images, labels), verbose=0)
del train
