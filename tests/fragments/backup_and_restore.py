# SPDX-License-Identifier: Apache-2.0
"""A run that breaks and goes on where it was."""

import keras
import numpy as np
from keras import layers


class InterruptingCallback(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise RuntimeError("Interrupting!")


model = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
model.compile(keras.optimizers.SGD(), loss="sparse_categorical_crossentropy")
x, y = np.random.rand(12, 8, 8, 1), np.random.randint(0, 3, 12)
callback = keras.callbacks.BackupAndRestore(backup_dir="backup")
try:
    model.fit(x, y, epochs=5, batch_size=4, callbacks=[callback, InterruptingCallback()], verbose=0)
except RuntimeError as error:
    message = str(error)
history = model.fit(x, y, epochs=5, batch_size=4, callbacks=[callback], verbose=0)
epochs = history.epoch
