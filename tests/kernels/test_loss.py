# SPDX-License-Identifier: Apache-2.0
"""Losses and their gradients, as a network computes them.

The network is one dense layer without bias and its input the identity, so its kernel is the prediction and
the gradient of its kernel is that of the prediction: strict math multiplies by 1 exactly, where the halves of
numbers on tensor cores leave 2**-21 of them out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import LOG_ULPS, UNIT, assert_within, crossentropy_bound, gamma, softmax_bound
from fastcnn.testing.fill import reals
from fastcnn.testing.network import SGD, Chain, dense

Real = NDArray[np.float64]

RATE = 2.0**14  # so large that subtracting from the kernel rounds the gradient hardly


def value_and_gradient(
    prediction: Real, target: Any, loss: str, from_logits: bool = False
) -> tuple[float, Real]:
    rows, cols = prediction.shape
    chain = Chain((rows,), dense(cols, use_bias=False))
    named = {"name": loss, "from_logits": from_logits}
    chain.compile({**SGD, "learning_rate": RATE}, named, math="strict")
    chain.weights = [prediction]
    x = np.eye(rows, dtype=np.float32)
    evaluated = chain.evaluate(x, target, batch_size=rows)
    trained = chain.train(x, target)
    assert evaluated == trained
    return trained, (prediction.astype(np.float64) - chain.weights[0]) / RATE


def subtraction_bound(prediction: Real, gradient: Real) -> Real:
    """Rounding of ``prediction - RATE gradient``, seen in the gradient."""
    return UNIT * (np.abs(prediction) / RATE + 2.0 * np.abs(gradient))


def assert_loss(got: float, wanted: float, bound: float) -> None:
    assert abs(got - wanted) <= bound, f"loss {got!r}, wanted {wanted!r}, bound {bound:.3g}"


def targets(rng: np.random.Generator, case: cases.RowsCase) -> list[tuple[str, Any, Real]]:
    """Sparse and soft labels, each with its dense form."""
    labels = rng.integers(0, case.cols, case.rows)
    soft = ref.softmax(rng.standard_normal((case.rows, case.cols))).astype(np.float32)
    return [
        ("sparse_categorical_crossentropy", labels, ref.one_hot(labels, case.cols)),
        ("categorical_crossentropy", soft, soft.astype(np.float64)),
    ]


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("case", cases.ROWS, ids=str)
def test_crossentropy_from_logits(case: cases.RowsCase, scale: float, rng: np.random.Generator) -> None:
    x = reals(rng, (case.rows, case.cols)) * np.float32(scale)
    p = ref.softmax(x)
    for loss, target, t in targets(rng, case):
        value, gradient = value_and_gradient(x, target, loss, from_logits=True)
        assert_loss(value, ref.categorical_crossentropy(t, x, from_logits=True), crossentropy_bound(t, x))

        wanted = ref.categorical_crossentropy_bwd(t, x, from_logits=True)
        bound = (softmax_bound(x, p) + gamma(3) * (p + t)) / case.rows + subtraction_bound(x, wanted)
        assert_within(gradient.astype(np.float32), wanted, bound + UNIT * np.abs(wanted), loss)


@pytest.mark.parametrize("case", cases.ROWS, ids=str)
def test_crossentropy_from_probabilities(case: cases.RowsCase, rng: np.random.Generator) -> None:
    # Not normalised: the division by the sum takes part.
    p = rng.uniform(0.1, 1.0, (case.rows, case.cols)).astype(np.float32)
    total = p.sum(axis=-1, keepdims=True, dtype=np.float64)
    q = p / total
    for loss, target, t in targets(rng, case):
        value, gradient = value_and_gradient(p, target, loss)
        bound = UNIT * (t * (case.cols + 3.0 + 2.0 * LOG_ULPS * np.abs(np.log(q)))).sum(axis=-1)
        wanted = ref.categorical_crossentropy(t, p)
        assert_loss(value, wanted, bound.mean() + gamma(case.cols + 2) * wanted)

        dp = ref.categorical_crossentropy_bwd(t, p)
        magnitude = (t / q + t.sum(axis=-1, keepdims=True)) / total / case.rows
        bound = gamma(2 * case.cols + 10) * magnitude + subtraction_bound(p, dp)
        if case.cols > 1:
            assert_within(gradient.astype(np.float32), dp, bound, loss)
        else:
            # One class is certain: the probability is clipped and nothing passes.
            assert not gradient.any()


def test_clipping_of_probabilities() -> None:
    p = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    value, gradient = value_and_gradient(p, np.array([1, 1]), "sparse_categorical_crossentropy")
    assert_loss(value, -np.log(1e-7), 4 * UNIT * 16.2)
    assert not gradient.any()
    value, gradient = value_and_gradient(p, np.array([0, 0]), "sparse_categorical_crossentropy")
    assert_loss(value, 1e-7, UNIT)
    assert not gradient.any()


def test_huge_logits_give_a_finite_loss() -> None:
    x = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    value, _ = value_and_gradient(x, np.array([1, 1]), "sparse_categorical_crossentropy", from_logits=True)
    assert_loss(value, 1e4, gamma(4) * 1e4)


@pytest.mark.parametrize("case", cases.ROWS, ids=str)
def test_mean_squared_error(case: cases.RowsCase, rng: np.random.Generator) -> None:
    y, target = reals(rng, (case.rows, case.cols)), reals(rng, (case.rows, case.cols))
    value, gradient = value_and_gradient(y, target, "mean_squared_error")
    wanted = ref.mean_squared_error(target, y)
    assert_loss(value, wanted, gamma(case.cols + 4) * wanted)
    dy = ref.mean_squared_error_bwd(target, y)
    assert_within(
        gradient.astype(np.float32), dy, gamma(5) * np.abs(dy) + subtraction_bound(y, dy), "gradient"
    )
