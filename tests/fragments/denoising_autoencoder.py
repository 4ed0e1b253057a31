# SPDX-License-Identifier: Apache-2.0
"""From noisy images back to clean ones; the encoder alone afterwards."""

import numpy as np
from keras import layers
from keras.models import Model

clean = np.random.rand(16, 12, 12, 1).astype("float32")
noisy = np.clip(clean + 0.4 * np.random.normal(size=clean.shape), 0.0, 1.0)

inp = layers.Input(shape=(12, 12, 1))
x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(inp)
x = layers.MaxPooling2D((2, 2), padding="same")(x)
x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(x)
encoded = layers.MaxPooling2D((2, 2), padding="same", name="code")(x)
x = layers.Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same")(encoded)
x = layers.Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same")(x)
x = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
autoencoder = Model(inp, x)
autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
history = autoencoder.fit(
    x=noisy, y=clean, epochs=2, batch_size=8, shuffle=True, validation_data=(noisy, clean), verbose=0
)
encoder = Model(autoencoder.input, autoencoder.get_layer("code").output)
codes = encoder.predict(clean, verbose=0)
