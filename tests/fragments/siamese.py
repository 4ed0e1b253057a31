# SPDX-License-Identifier: Apache-2.0
"""One encoder for two images, and whether they show the same."""

import keras
import numpy as np
from keras import layers

encoder = keras.Sequential(
    [
        layers.Input((12, 12, 1)),
        layers.Conv2D(4, (5, 5), activation="tanh"),
        layers.AveragePooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.BatchNormalization(),
        layers.Dense(10, activation="tanh"),
    ],
    name="encoder",
)
input_1, input_2 = layers.Input((12, 12, 1)), layers.Input((12, 12, 1))
tower_1, tower_2 = encoder(input_1), encoder(input_2)
difference = layers.Subtract()([tower_1, tower_2])
squared = layers.Multiply()([difference, difference])
output_layer = layers.Dense(1, activation="sigmoid")(squared)
siamese = keras.Model(inputs=[input_1, input_2], outputs=output_layer)
siamese.compile(loss="binary_crossentropy", optimizer="RMSprop", metrics=["accuracy"])
siamese.summary()
left, right = np.random.rand(12, 12, 12, 1), np.random.rand(12, 12, 12, 1)
same = np.random.randint(0, 2, 12).astype("float32")
history = siamese.fit(
    [left, right], same, validation_data=([left, right], same), batch_size=4, epochs=1, verbose=0
)
codes = encoder.predict(left, verbose=0)
trainable = len(siamese.trainable_weights), len(siamese.non_trainable_weights)
