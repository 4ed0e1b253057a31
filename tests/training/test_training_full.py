# SPDX-License-Identifier: Apache-2.0
"""Whole trainings on MNIST: networks of the field reach the accuracy they are known for; resumed to the bit.

The default network of ``fastcnn train`` is trained in test_cli.py.
"""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import fastcnn
from fastcnn import Input, Sequential, layers, utils
from fastcnn.datasets import mnist
from fastcnn.optimizers import SGD

pytestmark = pytest.mark.full

Images = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def images() -> Images:
    return mnist.load_data()


def lenet_of_1998() -> Sequential:
    """Y. LeCun et al., Proc. IEEE 86, 1998: tanh, and pools that add up."""
    return Sequential(
        [
            Input((28, 28, 1)),
            layers.Rescaling(2 / 255, offset=-1),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.SumPooling2D(),
            layers.Rescaling(0.25),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(),
            layers.Flatten(),
            layers.Dense(120, "tanh"),
            layers.Dense(84, "tanh"),
            layers.Dense(10),
        ]
    )


def test_lenet_with_momentum(images: Images, tmp_path: pathlib.Path) -> None:
    """98 % after three epochs from 8-bit images; the third from a file gives the same bits."""
    (x, y), (x_test, y_test) = images
    utils.set_random_seed(1)
    model = lenet_of_1998()
    loss = fastcnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(SGD(0.02, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=2, verbose=2)
    model.save(tmp_path / "two.safetensors")
    model.fit(x, y, batch_size=64, epochs=3, initial_epoch=2, verbose=2)
    _, accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    assert accuracy >= 0.98

    resumed = fastcnn.load_model(tmp_path / "two.safetensors")
    resumed.fit(x, y, batch_size=64, epochs=3, initial_epoch=2, verbose=2)
    for one, other in zip(resumed.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dense_network_on_one_hot_targets(images: Images) -> None:
    """97 % for the multi-layer perceptron of every introduction, by mean squared error and Adam."""
    (x, y), (x_test, y_test) = images
    utils.set_random_seed(1)
    model = Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(28, 28)),
            layers.Flatten(),
            layers.Dense(128, "relu", kernel_initializer="he_normal"),
            layers.Dropout(0.2),
            layers.Dense(10, "sigmoid"),
        ]
    )
    model.compile("adam", "mse", metrics=["categorical_accuracy"])
    history = model.fit(x, utils.to_categorical(y, 10), batch_size=64, epochs=6, verbose=2)
    assert history.history["loss"] == sorted(history.history["loss"], reverse=True)
    _, accuracy = model.evaluate(x_test, utils.to_categorical(y_test, 10), verbose=0)
    assert accuracy >= 0.97
