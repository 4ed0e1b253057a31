# SPDX-License-Identifier: Apache-2.0
"""A network cut in two at its last convolution, as heat maps are made: maps first, then what reads them."""

import keras
import numpy as np
from keras import layers

model = keras.Sequential(
    [
        keras.Input((20, 20, 3)),
        layers.Conv2D(6, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 3, activation="relu", name="last_conv"),
        layers.GlobalAveragePooling2D(name="pool"),
        layers.Dense(4, activation="softmax", name="scores"),
    ]
)
last_conv = model.get_layer("last_conv")
to_maps = keras.Model([model.inputs], last_conv.output)
entry = keras.Input(shape=last_conv.output.shape[1:])
x = entry
for name in ("pool", "scores"):
    x = model.get_layer(name)(x)
from_maps = keras.Model(entry, x)
both = keras.models.Model([model.inputs], [last_conv.output, model.outputs[0]])

image = np.random.rand(1, 20, 20, 3).astype("float32")
maps, scores = both(image)
maps, scores = np.asarray(maps), np.asarray(scores)
top = int(np.argmax(scores[0]))
# What each channel adds to the winner, by leaving it out.
weights = np.zeros(maps.shape[-1])
for channel in range(maps.shape[-1]):
    without = maps.copy()
    without[..., channel] = 0
    weights[channel] = scores[0, top] - np.asarray(from_maps(without))[0, top]
heatmap = np.maximum((maps[0] * weights).sum(axis=-1), 0)
size = heatmap.shape
agree = bool(np.allclose(from_maps.predict(to_maps.predict(image, verbose=0), verbose=0), scores, atol=1e-6))
big = keras.utils.array_to_img(np.repeat(heatmap[..., None], 3, axis=-1)).resize((20, 20)).size
del entry, x, last_conv, top, channel, without
