# SPDX-License-Identifier: Apache-2.0
"""A function that builds a network with or without its top, as libraries of networks define them."""

import numpy as np

import keras
from keras import backend, layers, models
from keras.utils import get_source_inputs


def small_vgg(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="small_vgg",
):
    if input_tensor is None:
        img_input = layers.Input(shape=input_shape)
    elif not backend.is_keras_tensor(input_tensor):
        img_input = layers.Input(tensor=input_tensor, shape=input_shape)
    else:
        img_input = input_tensor
    bn_axis = 3 if backend.image_data_format() == "channels_last" else 1
    x = img_input
    for block, filters in enumerate((8, 12), start=1):
        for conv in (1, 2):
            name_of_conv = f"block{block}_conv{conv}"
            x = layers.Conv2D(filters, (3, 3), padding="same", use_bias=False, name=name_of_conv)(x)
            x = layers.BatchNormalization(axis=bn_axis, epsilon=1.001e-5, name=name_of_conv + "_bn")(x)
            x = layers.Activation("relu", name=name_of_conv + "_relu")(x)
        x = layers.MaxPooling2D((2, 2), strides=(2, 2), name=f"block{block}_pool")(x)
    if include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(24, activation="relu", name="fc1")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D()(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D()(x)
    inputs = get_source_inputs(input_tensor) if input_tensor is not None else img_input
    model = models.Model(inputs, x, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model


full = small_vgg(input_shape=(16, 16, 3), classes=3)
full.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
images = np.random.rand(12, 16, 16, 3)
labels = keras.utils.to_categorical(np.arange(12) % 3, num_classes=3)
history = full.fit(images, labels, batch_size=4, epochs=1, verbose=0)
full.save_weights("small_vgg.weights.h5")
again = small_vgg(input_tensor=keras.Input((16, 16, 3)), weights="small_vgg.weights.h5", classes=3)
assert np.allclose(full.predict(images, verbose=0), again.predict(images, verbose=0), atol=1e-6)

base = small_vgg(include_top=False, input_shape=(16, 16, 3), pooling="avg")
for layer in base.layers[:-4]:
    layer.trainable = False
model = keras.Sequential([base, layers.Dropout(0.2), layers.Dense(1, activation="sigmoid")])
model.compile(optimizer=keras.optimizers.RMSprop(2e-5), loss="binary_crossentropy", metrics=["acc"])
tuned = model.fit(images, np.arange(12) % 2, batch_size=4, epochs=1, verbose=0)
trainable = len(base.trainable_weights), len(base.non_trainable_weights)
del layer
