# SPDX-License-Identifier: Apache-2.0
"""Learning rates that follow the steps, and one that a callback sets by epoch."""

import keras
import numpy as np
from keras import layers, optimizers


def build():
    return keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    )


x, y = np.random.rand(16, 8, 8, 1), np.random.randint(0, 2, 16)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
schedules = [
    optimizers.schedules.ExponentialDecay(0.1, decay_steps=4, decay_rate=0.9, staircase=True),
    optimizers.schedules.CosineDecay(0.0, 20, alpha=0.1, warmup_target=0.1, warmup_steps=5),
    optimizers.schedules.PiecewiseConstantDecay(boundaries=[2, 6], values=[0.1, 0.01, 0.001]),
    optimizers.schedules.PolynomialDecay(initial_learning_rate=0.1, decay_steps=10, end_learning_rate=0.01),
    optimizers.schedules.InverseTimeDecay(0.1, decay_steps=1.0, decay_rate=0.5),
    optimizers.schedules.CosineDecayRestarts(0.1, 5),
]
histories = []
for schedule in schedules:
    model = build()
    model.compile(optimizer=optimizers.SGD(learning_rate=schedule), loss=loss)
    histories.append(model.fit(x, y, batch_size=4, epochs=2, verbose=0))
values = [round(float(schedule(3)), 6) for schedule in schedules]


def scheduler(epoch, lr):
    if epoch < 2:
        return lr
    return float(lr * np.exp(-0.1))


model = build()
model.compile(optimizers.SGD(), loss=loss)
history = model.fit(
    x,
    y,
    epochs=4,
    batch_size=8,
    verbose=0,
    callbacks=[keras.callbacks.LearningRateScheduler(scheduler, verbose=0)],
)
final_rate = round(float(model.optimizer.learning_rate), 5)
