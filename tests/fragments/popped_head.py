# SPDX-License-Identifier: Apache-2.0
"""A trained stack loses its head, is frozen, and gets another one."""

import keras
import numpy as np
from keras.layers import Conv2D, Dense, Dropout, Flatten, InputLayer, MaxPooling2D

x, y = np.random.rand(30, 12, 12, 1), np.arange(30) % 5
model = keras.models.Sequential()
model.add(InputLayer(shape=(12, 12, 1)))
model.add(Conv2D(4, kernel_size=(3, 3), activation="relu", kernel_initializer="he_normal"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(16, activation="relu", name="features"))
model.add(Dense(5, activation="softmax", name="five"))
model.compile(
    loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.Adadelta(), metrics=["accuracy"]
)
first = model.fit(
    x, keras.utils.to_categorical(y, 5), batch_size=10, epochs=1, verbose=0, validation_split=0.1
)

model.pop()
for layer in model.layers:
    layer.trainable = False
model.add(Dense(2, activation="softmax", name="two"))
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["acc"])
kept = model.get_layer("features").kernel
second = model.fit(x, y % 2, epochs=1, verbose=0)
same = bool(np.all(np.asarray(kept) == np.asarray(model.get_layer("features").kernel)))
trainable = len(model.trainable_weights)

extractor = keras.Model(inputs=model.inputs, outputs=model.layers[-2].output)
wide = keras.layers.Dense(3, activation="softmax", name="three")(extractor.output)
third = keras.Model(inputs=[extractor.inputs], outputs=wide)
classes = np.argmax(third.predict(x, verbose=0), axis=1)
print(model.layers[-1].name, model.layers[-1].kernel.shape, model.layers[-1].bias.shape)
del layer, kept
