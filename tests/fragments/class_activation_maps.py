# SPDX-License-Identifier: Apache-2.0
"""Where a network looks: feature maps of a sub-model, weighed by what the classifier makes of them."""

import numpy as np

import keras
from keras import layers

model = keras.Sequential(
    [
        keras.Input((20, 20, 3)),
        layers.Conv2D(8, 3, padding="same", activation="relu", name="block1"),
        layers.MaxPooling2D(),
        layers.Conv2D(12, 3, padding="same", activation="relu", name="last_conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, activation="softmax", name="predictions"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
rng = np.random.default_rng(8)
images, labels = rng.random((32, 20, 20, 3), dtype="float32"), rng.integers(0, 4, 32)
model.fit(images, labels, epochs=1, verbose=0)

grad_model = keras.Model(model.inputs, [model.get_layer("last_conv").output, *model.outputs])
maps, predictions = grad_model.predict(images[:3], verbose=0)
kernel, bias = model.get_layer("predictions").get_weights()
heatmaps = []
for index in range(3):
    best = int(predictions[index].argmax())
    heatmap = np.maximum(maps[index] @ kernel[:, best], 0)
    heatmaps.append(heatmap / max(float(heatmap.max()), 1e-8))
heatmaps = np.stack(heatmaps)
in_range = bool(heatmaps.min() >= 0 and heatmaps.max() <= 1)

occluded = np.repeat(images[:1], 25, axis=0)
for place in range(25):
    row, column = divmod(place, 5)
    occluded[place, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 0
drops = (predictions[0].max() - model.predict(occluded, verbose=0)[:, predictions[0].argmax()]).reshape(5, 5)
del best, heatmap
