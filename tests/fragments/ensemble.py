# SPDX-License-Identifier: Apache-2.0
"""Three small networks and the mean of what they say."""

import keras
import numpy as np
from keras import layers


def get_model(filters):
    inputs = keras.Input(shape=(10, 10, 1))
    x = layers.Conv2D(filters, 3, activation="relu")(inputs)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name=f"member_{filters}")


members = [get_model(filters) for filters in (2, 4, 6)]
inputs = keras.Input(shape=(10, 10, 1))
outputs = layers.average([member(inputs) for member in members])
ensemble = keras.Model(inputs=inputs, outputs=outputs, name="ensemble")
x, y = np.random.rand(12, 10, 10, 1).astype("float32"), np.random.randint(0, 3, 12)
for member in members:
    member.compile("adam", "sparse_categorical_crossentropy")
    member.fit(x, y, epochs=1, verbose=0)
together = ensemble.predict(x, verbose=0)
by_hand = np.mean([member.predict(x, verbose=0) for member in members], axis=0)
assert np.allclose(together, by_hand, atol=1e-5)
clone = keras.models.clone_model(members[0])
clone.set_weights(members[0].get_weights())
assert np.allclose(clone.predict(x, verbose=0), members[0].predict(x, verbose=0), atol=1e-6)
names = [layer.name for layer in ensemble.layers if layer.name.startswith("member")]
