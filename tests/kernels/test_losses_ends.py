# SPDX-License-Identifier: Apache-2.0
"""Losses at the ends of the range: huge and infinite logits, clipped probabilities, kinks, NaN."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import losses
from fastcnn.testing import reference as ref
from fastcnn.testing.calls.loss import (
    KINDS,
    Kind,
    has_rows,
    loss_call,
    run_loss,
)
from fastcnn.testing.case import RowsCase
from fastcnn.testing.compare import (
    LOG1P_ULPS,
    SUBNORMAL,
    UNIT,
    gamma,
)


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_huge_logits(label: float, logit: float) -> None:
    loss = losses.BinaryCrossentropy(from_logits=True)
    wanted = ref.loss_value("binary_crossentropy", [[label]], [[logit]], from_logits=True)
    assert abs(loss([[label]], [[logit]]) - wanted) <= gamma(8) * wanted + SUBNORMAL
    wanted = ref.loss_bwd("binary_crossentropy", [[label]], [[logit]], from_logits=True)[0, 0]
    assert abs(loss.gradient([[label]], [[logit]])[0, 0] - wanted) <= gamma(8) * abs(wanted) + SUBNORMAL
    for focal in (losses.BinaryFocalCrossentropy(from_logits=True), losses.BinaryFocalCrossentropy()):
        assert np.isfinite(focal([[label]], [[logit]]))
    x, t = [[logit, -logit, 0.0]], [[label, 1.0 - label, 0.0]]
    for categorical in (losses.CategoricalCrossentropy, losses.CategoricalFocalCrossentropy):
        both = categorical(from_logits=True)
        assert np.isfinite(both(t, x))
        assert np.isfinite(both.gradient(t, x)).all()


def test_infinite_logits() -> None:
    loss = losses.BinaryCrossentropy(from_logits=True)
    t, x = np.array([[1.0, 0.0]]), np.array([[np.inf, -np.inf]])
    assert loss(t, x) == 0.0
    assert loss.gradient(t, x).tolist() == [[0.0, 0.0]]
    assert loss(1.0 - t, x) == np.inf


def test_probabilities_are_clipped() -> None:
    loss = losses.BinaryCrossentropy()
    for label, p in ((1.0, 0.0), (0.0, 1.0)):
        assert abs(loss([[label]], [[p]]) + np.log(1e-7)) <= 4 * UNIT * 16.2
        assert loss.gradient([[label]], [[p]]).tolist() == [[0.0]]
    kl = losses.KLDivergence()
    assert kl([[0.0, 1.0]], [[0.0, 1.0]]) == 0.0
    assert kl.gradient([[0.5, 0.5]], [[0.0, 2.0]]).tolist() == [[0.0, 0.0]]


def test_zero_vectors_have_no_similarity() -> None:
    loss = losses.CosineSimilarity()
    assert loss([[0.0, 0.0]], [[1.0, 2.0]]) == 0.0
    assert loss([[1.0, 2.0]], [[0.0, 0.0]]) == 0.0
    assert np.isfinite(loss.gradient([[1.0, 2.0]], [[0.0, 0.0]])).all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_nan_passes(kind: Kind, rng: np.random.Generator) -> None:
    arrays = loss_call(kind, RowsCase(3, 7)).reals(rng)
    arrays["y_pred"][1, 4] = np.nan
    if kind.sparse:
        arrays["y_true"][1] = 4
    gradient = run_loss(kind, arrays, "gradient")
    assert np.isnan(run_loss(kind, arrays, "value"))
    # Dice and Tversky have one loss for the batch; in the other losses a row is on its own.
    assert np.isnan(gradient[1, 4]), f"{gradient}"
    assert np.isfinite(gradient[[0, 2]]).all() == has_rows(kind)


def test_kinks_have_no_slope() -> None:
    for loss in (losses.MeanAbsoluteError(), losses.MeanAbsolutePercentageError()):
        assert loss.gradient([[1.0]], [[1.0]]).tolist() == [[0.0]]
    assert losses.Hinge().gradient([[1.0]], [[1.0]]).tolist() == [[0.0]]
    # The first of equal ones is the greatest.
    gradient = losses.CategoricalHinge().gradient([[0, 0, 1, 0]], [[2, 3, 0, 3]])
    assert gradient.tolist() == [[0.0, 1.0, -1.0, 0.0]]


def test_log1p_is_as_good_as_it_says() -> None:
    """Through the losses that are it: log(1 + exp(-x)) for large x is exp(-x)."""
    x = np.linspace(0.0, 80.0, 4001, dtype=np.float32)[:, None]
    got = losses.binary_crossentropy(np.ones_like(x), x, from_logits=True)
    wanted = np.log1p(np.exp(-x[:, 0].astype(np.float64)))
    error = np.abs(got - wanted) / wanted
    # exp(-x) itself is off by 1.1 units of the last place, which are at most 2 u.
    assert error.max() <= gamma(2 * (LOG1P_ULPS + 1.1) + 1)


# The binding
