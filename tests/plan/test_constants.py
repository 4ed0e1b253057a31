# SPDX-License-Identifier: Apache-2.0
"""What predict plans make of the weights and keep: the bits of a model that never predicted before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastcnn
from fastcnn import layers, optimizers
from fastcnn.testing.compare import assert_same_bits

SIDE, CHANNELS = 12, 3


def network() -> fastcnn.Model:
    """Each way to pack weights: Winograd, panels of few and of many pixels, depthwise, transposed; folded."""
    fastcnn.utils.set_random_seed(7)
    image = fastcnn.Input((SIDE, SIDE, CHANNELS))
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(image)
    for filters, size, strides in ((32, 3, 1), (48, 1, 1), (160, 3, 2), (160, 3, 1)):
        x = layers.BatchNormalization()(layers.Conv2D(filters, size, strides, padding="same")(x))
        x = layers.Activation("relu6")(x)
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Conv2DTranspose(8, 3, 2, padding="same")(x)
    model = fastcnn.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    model.compile(optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5), "mse")
    return model


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, SIDE, SIDE, CHANNELS)).astype(np.float32)


def targets(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 5)).astype(np.float32)


def set_all(model: fastcnn.Model) -> None:
    model.set_weights([w + 0.25 for w in model.get_weights()])


def set_one(model: fastcnn.Model) -> None:
    model.layers[1].set_weights([w * 2 for w in model.layers[1].get_weights()])


CHANGES: dict[str, Callable[[fastcnn.Model], object]] = {
    "set_weights": set_all,
    "a layer's weights": set_one,
    "train_on_batch": lambda model: model.train_on_batch(images(4), targets(4)),
    "fit": lambda model: model.fit(images(9), targets(9), 4, verbose=0),
    "compile": lambda model: model.compile(optimizers.SGD(0.5), "mse"),
    "nothing": lambda model: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_kept_weights_follow_the_model(change: str) -> None:
    model = network()
    old = model.predict_on_batch(images(3))
    assert_same_bits(model.predict_on_batch(images(3)), old, "the second prediction")
    losses = [model.evaluate(images(5), targets(5), 2, verbose=0) for _ in range(2)]
    assert losses[0] == losses[1]
    CHANGES[change](model)
    new = network()
    new.set_weights(model.get_weights())
    got = [model.predict_on_batch(images(3)) for _ in range(2)]
    for each in got:
        assert_same_bits(each, new.predict_on_batch(images(3)), f"after {change}")
    assert model.evaluate(images(5), targets(5), 2, verbose=0) == new.evaluate(
        images(5), targets(5), 2, verbose=0
    )
    assert np.array_equal(got[0], old) == (change in ("compile", "nothing"))


def test_numbers_of_samples_in_turn() -> None:
    """Each has its own; those of the two asked for last are kept, whole batches and a short last one."""
    model, once = network(), [network() for _ in range(4)]
    wanted = [new.predict_on_batch(images(1 + i)) for i, new in enumerate(once)]
    in_batches = network().predict(images(7), batch_size=3, verbose=0)
    for _ in range(2):
        for i, each in enumerate(wanted):
            assert_same_bits(model.predict_on_batch(images(1 + i)), each, f"{1 + i} samples")
        assert_same_bits(model.predict(images(7), batch_size=3, verbose=0), in_batches, "batches of three")


@pytest.mark.usefixtures("keep_threads")
def test_any_number_of_threads() -> None:
    wanted = []
    for threads in (1, 2, 3):
        fastcnn.set_num_threads(threads)
        model = network()
        for _ in range(2):
            wanted.append(model.predict(images(40), batch_size=16, verbose=0))
    for each in wanted:
        assert_same_bits(each, wanted[0], "threads or runs")


def test_training_makes_them_in_every_step() -> None:
    """Several batches of one native call end at the bits of a call for each."""
    at_once, one_by_one = network(), network()
    for model in (at_once, one_by_one):
        model.compile(optimizers.SGD(0.01), "mse")
    at_once.fit(images(12), targets(12), 4, shuffle=False, verbose=0)
    for begin in range(0, 12, 4):
        one_by_one.train_on_batch(images(12)[begin : begin + 4], targets(12)[begin : begin + 4])
    for a, b in zip(at_once.get_weights(), one_by_one.get_weights(), strict=True):
        assert_same_bits(a, b, "weights")
