# SPDX-License-Identifier: Apache-2.0
"""The references of losses: gradients against central differences, values against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from test_reference import assert_gradient

from fastcnn.testing import reference as ref
from fastcnn.testing.calls.loss import KINDS, Kind, loss_call
from fastcnn.testing.case import RowsCase
from fastcnn.testing.reference.loss import evaluate
from fastcnn.testing.rounding import Rounded

Real = NDArray[np.float64]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients(kind: Kind, rng: np.random.Generator) -> None:
    arrays = loss_call(kind, RowsCase(4, 5)).reals(rng)
    t, w = arrays["y_true"], arrays.get("sample_weight")
    x = arrays["y_pred"].astype(np.float64)
    gradient = ref.loss_bwd(kind.name, t, x, w, **kind.options)
    assert_gradient(lambda v: ref.loss_value(kind.name, t, v, w, **kind.options), gradient, x)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_rounded_numbers_have_the_values_of_plain_ones(kind: Kind, rng: np.random.Generator) -> None:
    arrays = loss_call(kind, RowsCase(4, 5)).reals(rng)
    arguments = (kind.name, arrays["y_true"], arrays["y_pred"], arrays.get("sample_weight"), kind.options)
    plain, rounded = evaluate(*arguments), evaluate(*arguments, Rounded)
    # A power may be taken in another way.
    assert (np.abs(plain.rows - rounded.rows.value) <= rounded.rows.error).all()
    assert (np.abs(plain.gradient - rounded.gradient.value) <= rounded.gradient.error).all()
    # A bound that is none would pass everything.
    assert (rounded.gradient.error < 1e-3 * (1.0 + np.abs(plain.gradient))).all()


@pytest.mark.parametrize(
    ("name", "target", "prediction", "options", "wanted"),
    [
        ("mean_absolute_error", [[0, 1]], [[2, 1]], {}, 1.0),
        ("mean_absolute_percentage_error", [[4, 1]], [[3, 1]], {}, 12.5),
        ("mean_squared_logarithmic_error", [[0]], [[np.e - 1]], {}, 1.0),
        ("huber", [[0, 0]], [[1, 5]], {"delta": 2.0}, 4.25),
        ("log_cosh", [[0.0]], [[1.0]], {}, np.log(np.cosh(1.0))),
        ("hinge", [[0, 1]], [[0.5, 0.5]], {}, 1.0),
        ("hinge", [[0, -1]], [[0.5, 0.5]], {}, 1.25),
        ("squared_hinge", [[-1, 1]], [[0.5, 0.5]], {}, 1.25),
        ("categorical_hinge", [[0, 1, 0]], [[0.5, 0.25, 0.0]], {}, 1.25),
        ("kl_divergence", [[0.5, 0.5]], [[0.25, 0.75]], {}, 0.5 * np.log(4 / 3)),
        ("poisson", [[2.0]], [[np.e]], {}, np.e - 2.0),
        ("cosine_similarity", [[3, 4]], [[4, 3]], {}, -0.96),
        ("dice", [[0, 1], [1, 1]], [[0, 1], [1, 0]], {}, 0.2),
        ("tversky", [[0, 1], [1, 1]], [[0, 1], [1, 0]], {"alpha": 1.0, "beta": 0.0}, 1 / 3),
        ("binary_crossentropy", [[1, 0]], [[0.0, 0.0]], {"from_logits": True}, np.log(2.0)),
        ("binary_crossentropy", [[1.0]], [[0.5]], {"label_smoothing": 0.5}, np.log(2.0)),
        # The examples of Keras's documentation.
        ("binary_crossentropy", [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {}, 0.8149),
        ("binary_focal_crossentropy", [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {}, 0.26783),
        ("categorical_crossentropy", [[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], {}, 1.1769),
        (
            "categorical_focal_crossentropy",
            [[0, 1, 0], [0, 0, 1]],
            [[0.05, 0.9, 0.05], [0.1, 0.85, 0.05]],
            {},
            0.33809,
        ),
    ],
)
def test_by_hand(name: str, target: Real, prediction: Real, options: dict[str, float], wanted: float) -> None:
    assert ref.loss_value(name, target, prediction, **options) == pytest.approx(wanted, rel=1e-4)


def test_reductions_are_those_of_keras() -> None:
    t, x = [[0.0], [0.0], [0.0]], [[1.0], [2.0], [3.0]]
    w = [1.0, 0.0, 3.0]
    weighted = {
        reduction: ref.loss_value("mean_absolute_error", t, x, w, reduction=reduction)
        for reduction in ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight")
    }
    assert list(weighted.values()) == [10 / 3, 10 / 3, 10.0, 2.5]
    assert ref.loss_rows("mean_absolute_error", t, x, w).tolist() == [1.0, 0.0, 9.0]


def test_an_ignored_class_does_not_count() -> None:
    labels, logits = [0, -1, 1], np.zeros((3, 2))
    options = {"from_logits": True, "ignore_class": -1}
    name = "sparse_categorical_crossentropy"
    assert ref.loss_value(name, labels, logits, **options) == pytest.approx(np.log(2.0))
    assert not ref.loss_bwd(name, labels, logits, **options)[1].any()
    assert ref.loss_value(name, [-1, -1, -1], logits, **options) == 0.0
