# SPDX-License-Identifier: Apache-2.0
"""Pictures in folders, a folder a class, written, listed and read back for training."""

import pathlib

import numpy as np

import keras
from keras import layers

rng = np.random.default_rng(7)
folder = pathlib.Path("pictures")
for number, name in enumerate(("dark", "light")):
    (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(6):
        picture = rng.integers(128 * number, 128 * number + 128, (20, 16, 3)).astype("uint8")
        keras.utils.save_img(folder / name / f"{index}.png", picture)

class_names = sorted(entry.name for entry in folder.iterdir())
paths = sorted(folder.glob("*/*.png"))
images, labels = [], []
for path in paths:
    picture = keras.utils.load_img(path, target_size=(12, 12), interpolation="nearest")
    images.append(keras.utils.img_to_array(picture))
    labels.append(class_names.index(path.parent.name))
images, labels = np.stack(images), np.array(labels)
brightness = [float(images[labels == each].mean()) > 127 for each in (0, 1)]
brightness = [str(each) for each in brightness]

model = keras.Sequential(
    [
        keras.Input((12, 12, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
history = model.fit(images, labels, epochs=3, batch_size=4, verbose=0)
single = keras.utils.img_to_array(keras.utils.load_img(paths[0], color_mode="grayscale"))
probability = model.predict(images[:1], verbose=0)
del folder, path, paths, picture
