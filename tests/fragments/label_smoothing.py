# SPDX-License-Identifier: Apache-2.0
"""One-hot targets, softened, with measures among the first few guesses."""

import keras
import numpy as np
from keras import layers
from keras.losses import CategoricalCrossentropy
from keras.optimizers import AdamW
from keras.utils import to_categorical

x_train = np.random.rand(30, 12, 12, 3)
y_train = to_categorical(np.random.randint(0, 6, (30, 1)), 6)
mean, std = x_train.mean(axis=(0, 1, 2, 3)), x_train.std(axis=(0, 1, 2, 3))
x_train = (x_train - mean) / (std + 1e-7)

model = keras.models.Sequential(
    [
        layers.Conv2D(8, (3, 3), padding="same", activation="elu", input_shape=x_train.shape[1:]),
        layers.BatchNormalization(),
        layers.Conv2D(8, (3, 3), padding="same"),
        layers.LeakyReLU(negative_slope=0.1),
        layers.MaxPool2D(pool_size=(2, 2)),
        layers.Dropout(0.2),
        layers.Flatten(),
        layers.Dense(6, activation="softmax"),
    ]
)
model.compile(
    loss=CategoricalCrossentropy(label_smoothing=0.1),
    optimizer=AdamW(learning_rate=1e-3, weight_decay=1e-4, clipnorm=1.0),
    metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(k=3, name="top-3")],
)
history = model.fit(x_train, y_train, epochs=2, batch_size=10, validation_split=0.2, verbose=0)
loss, accuracy, top3 = model.evaluate(x_train, y_train, batch_size=10, verbose=0)
classes = np.argmax(model.predict(x_train, verbose=0), axis=-1)
