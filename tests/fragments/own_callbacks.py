# SPDX-License-Identifier: Apache-2.0
"""Callbacks of one's own: prints, early end, a picture of the rate."""

import keras
import numpy as np
from keras import layers


class LossHistory(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.per_batch_losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.per_batch_losses.append(float(logs.get("loss")))

    def on_epoch_end(self, epoch, logs=None):
        keys = list(logs.keys())
        print(f"End epoch {epoch} of training; got log keys: {sorted(keys)}")


class StopAtMinLoss(keras.callbacks.Callback):
    def __init__(self, patience=0):
        super().__init__()
        self.patience = patience
        self.best_weights = None

    def on_train_begin(self, logs=None):
        self.wait, self.stopped_epoch, self.best = 0, 0, np.inf

    def on_epoch_end(self, epoch, logs=None):
        current = logs.get("loss")
        if np.less(current, self.best):
            self.best, self.wait = current, 0
            self.best_weights = self.model.get_weights()
        else:
            self.wait += 1
            if self.wait >= self.patience:
                self.stopped_epoch = epoch
                self.model.stop_training = True
                self.model.set_weights(self.best_weights)


model = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")])
model.compile(keras.optimizers.RMSprop(learning_rate=0.1), "sparse_categorical_crossentropy")
losses, rates = LossHistory(), []
x, y = np.random.rand(20, 8, 8, 1), np.random.randint(0, 2, 20)
history = model.fit(
    x,
    y,
    batch_size=5,
    epochs=3,
    verbose=0,
    callbacks=[
        losses,
        StopAtMinLoss(patience=5),
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: rates.append(round(float(model.optimizer.learning_rate), 6))
        ),
    ],
)
count = len(losses.per_batch_losses)
