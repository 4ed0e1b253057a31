# SPDX-License-Identifier: Apache-2.0
"""What each layer makes of an image."""

import keras
import numpy as np
from keras import layers

model = keras.Sequential(
    [
        keras.Input(shape=(20, 20, 3)),
        layers.Conv2D(6, 5, strides=2, activation="relu"),
        layers.Conv2D(6, 3, activation="relu", name="my_intermediate_layer"),
        layers.Conv2D(6, 3, activation="relu"),
    ]
)
feature_extractor = keras.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
features = feature_extractor(np.ones((1, 20, 20, 3), dtype="float32"))
shapes = [tuple(each.shape) for each in features]

single = keras.Model(inputs=model.inputs, outputs=model.get_layer(name="my_intermediate_layer").output)
activations = np.asarray(single(np.ones((2, 20, 20, 3), dtype="float32")))
model.pop()
model.add(layers.GlobalMaxPooling2D())
model.add(layers.Dense(4, activation="softmax"))
model.compile("sgd", "sparse_categorical_crossentropy")
history = model.fit(np.random.rand(8, 20, 20, 3), np.arange(8) % 4, epochs=1, verbose=0)
filters, biases = model.layers[0].get_weights()
named = dict(zip([layer.name for layer in single.layers], range(9)))
