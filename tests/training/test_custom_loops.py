# SPDX-License-Identifier: Apache-2.0
"""Gradients of a model, and training loops of one's own over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, Input, Sequential, layers, optimizers, regularizers, utils
from fastcnn.testing.compare import assert_same_bits

X = np.random.default_rng(0).standard_normal((24, 6, 6, 2))
Y = np.random.default_rng(1).integers(0, 3, 24)


def network(**options: Any) -> Sequential:
    utils.clear_session()
    utils.set_random_seed(4)
    return Sequential(
        [
            Input((6, 6, 2)),
            layers.Conv2D(3, 3, activation="relu", **options),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(3, "softmax", kernel_regularizer=regularizers.L2(0.01)),
        ]
    )


@pytest.mark.parametrize("make", [lambda: optimizers.SGD(0.1, momentum=0.9), lambda: optimizers.Adam(0.01)])
def test_a_loop_of_one_s_own_is_fit(make: Any) -> None:
    """The same bits, dropout masks and moving statistics included."""
    fitted, looped = network(), network()
    fitted.compile(make(), "sparse_categorical_crossentropy")
    looped.compile("sgd", "sparse_categorical_crossentropy")
    fitted.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    weights, optimizer = looped.trainable_weights, make()
    for step in range(3):
        part = slice(8 * step, 8 * step + 8)
        optimizer.apply(looped.gradients(X[part], Y[part]), weights)
        looped.trainable_weights = weights
    for a, b in zip(fitted.get_weights(), looped.get_weights(), strict=True):
        assert_same_bits(a, b, "weights")


def test_gradients_are_those_of_differences() -> None:
    """Along a random direction, in float64 as far as the loss allows."""
    model = Sequential([Input((5,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((16, 5)), rng.standard_normal((16, 1))
    gradients, start = model.gradients(x, y), model.get_weights()
    direction = [rng.standard_normal(each.shape) for each in start]
    values: list[Any] = []
    for sign in (1, -1):
        model.set_weights([w + sign * 1e-2 * d for w, d in zip(start, direction, strict=True)])
        values.append(model.evaluate(x, y, verbose=0))
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(slope, rel=1e-2)


def test_what_does_not_train_has_no_gradient() -> None:
    model = network(trainable=False)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert [w.shape for w in model.trainable_weights] == [(3,), (3,), (48, 3), (3,)]
    assert [w.shape for w in model.non_trainable_weights] == [(3, 3, 2, 3), (3,), (3,), (3,)]
    assert [g.shape for g in model.gradients(X, Y)] == [w.shape for w in model.trainable_weights]
    before = model.get_weights()
    weighted = model.gradients(X, Y, sample_weight=np.zeros(24))
    assert not weighted[3].any()
    assert all(np.array_equal(a, b) for a, b in zip(before[:4], model.get_weights()[:4], strict=True))
    with pytest.raises(ArgumentError, match="trainable_weights: 1 arrays came, wanted 4"):
        model.trainable_weights = before[:1]
    with pytest.raises(ArgumentError, match=r"gradients: the model .* is not compiled"):
        network().gradients(X, Y)
