# SPDX-License-Identifier: Apache-2.0
"""What losses refuse, and what they give back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import _native, losses
from fastcnn.testing.compare import (
    assert_same_bits,
)

REFUSED = [
    (lambda: losses.MeanSquaredError()([[1.0]], [[1.0, 2.0]]), ValueError, r"y_true has shape \[1, 1\]"),
    (lambda: losses.MeanSquaredError()([[]], [[]]), ValueError, "y_pred has shape"),
    (lambda: losses.MeanSquaredError()(1.0, 1.0), ValueError, "rank 0"),
    (lambda: losses.MeanSquaredError()([["a"]], [[1.0]]), TypeError, "y_true has dtype"),
    (lambda: losses.MeanSquaredError()([[1.0]], [[1j]]), TypeError, "y_pred has dtype"),
    (lambda: losses.MeanSquaredError()([[1.0]], [[1.0]], [1.0, 2.0]), ValueError, "sample_weight has shape"),
    (lambda: losses.MeanSquaredError()([[1.0]], [[1.0]], [["a"]]), TypeError, "sample_weight has dtype"),
    (lambda: losses.MeanSquaredError(reduction="average"), ValueError, "reduction"),
    (lambda: losses.MeanSquaredError(dtype="float16"), ValueError, "dtype"),
    (lambda: losses.MeanSquaredError(name=3), TypeError, "name"),
    (lambda: losses.CosineSimilarity(axis="last"), TypeError, "axis"),
    (
        lambda: losses.CosineSimilarity(axis=0)([[1.0]], [[1.0]]),
        ValueError,
        "axis names the axis of the batch",
    ),
    (lambda: losses.CategoricalCrossentropy(axis=2)([[1.0]], [[1.0]]), ValueError, "axis is 2"),
    (lambda: losses.Dice(axis=(1, 2))([[1.0]], [[1.0]]), ValueError, "axis is 2"),
    (lambda: losses.Dice(axis=(0, 1))([[1.0]], [[1.0]]), ValueError, "the batch"),
    (lambda: losses.Tversky(axis=(1, -1))([[1.0]], [[1.0]]), ValueError, "twice"),
    (lambda: losses.Tversky(axis=())([[1.0]], [[1.0]]), ValueError, "axis is empty"),
    (lambda: losses.Huber(delta=-1.0), ValueError, "delta"),
    (lambda: losses.Huber(delta=float("nan")), ValueError, "delta"),
    (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), ValueError, "label_smoothing"),
    (lambda: losses.BinaryFocalCrossentropy(alpha=2.0), ValueError, "alpha"),
    (lambda: losses.CategoricalFocalCrossentropy(gamma=-1.0), ValueError, "gamma"),
    (lambda: losses.CategoricalFocalCrossentropy(alpha=[0.25, None]), TypeError, "alpha"),
    (lambda: losses.CategoricalFocalCrossentropy(alpha=[0.25, -1.0]), ValueError, "alpha"),
    (lambda: losses.CategoricalFocalCrossentropy([0.5, 1.0])([[1.0]], [[1.0]]), ValueError, "alpha has 2"),
    (lambda: losses.CategoricalFocalCrossentropy([])([[1.0]], [[1.0]]), ValueError, "alpha is empty"),
    (lambda: losses.SparseCategoricalCrossentropy(ignore_class=0.5), TypeError, "ignore_class"),
    (
        lambda: losses.SparseCategoricalCrossentropy(ignore_class=2**40)([0], [[1.0]]),
        ValueError,
        "ignore_class is 1099511627776",
    ),
    (lambda: losses.sparse_categorical_crossentropy([2], [[0.5, 0.5]]), ValueError, "label 2"),
    (lambda: losses.sparse_categorical_crossentropy([-1], [[0.5, 0.5]]), ValueError, "label -1"),
    (lambda: losses.sparse_categorical_crossentropy([0.5], [[0.5, 0.5]]), ValueError, "label 0.5"),
    (lambda: losses.sparse_categorical_crossentropy([[0, 1]], [[0.5, 0.5]]), ValueError, "class numbers"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_bad_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "name"),
        ({"name": "no_such_loss"}, "wanted one of"),
        ({"name": "huber", "delta": -1.0}, "delta is -1"),
        ({"name": "huber", "delta": float("nan")}, "delta"),
        ({"name": "tversky", "alpha": float("inf")}, "alpha"),
        ({"name": "binary_crossentropy", "label_smoothing": 2.0}, "label_smoothing is 2"),
        ({"name": "categorical_focal_crossentropy", "gamma": -0.5}, "gamma is -0.5"),
        ({"name": "binary_focal_crossentropy", "alpha": 1.5}, "alpha is 1.5"),
        ({"name": "mean_squared_error", "reduction": "most"}, "reduction is 'most'"),
    ],
)
def test_the_native_module_checks_for_itself(description: dict[str, Any], message: str) -> None:
    one = np.ones((1, 1), np.float32)
    with pytest.raises((ValueError, TypeError), match=message):
        _native.loss(description, one, one, None, "value", None)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_a_bad_label_is_named_wherever_it_stands_in_memory(dtype: type) -> None:
    labels = np.zeros((8, 6), dtype)[::-2, ::3].T  # [2, 4]
    x = np.zeros((2, 4, 3), np.float32)
    for index in np.ndindex(2, 4):
        labels[index] = 3
        with pytest.raises(ValueError, match=rf"label 3 at index \({index[0]}, {index[1]}\) is out of range"):
            losses.sparse_categorical_crossentropy(labels, x)
        labels[index] = 2
    losses.sparse_categorical_crossentropy(labels, x)


def test_out_is_what_comes_back_and_overlap_is_refused() -> None:
    x, t = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    out = np.full((2, 3), np.nan, np.float32)
    assert losses.MeanSquaredError().gradient(t, x, out=out) is out
    before = x.copy()
    with pytest.raises(fastcnn.errors.ArgumentError, match="overlaps y_pred"):
        losses.MeanSquaredError().gradient(t, x, out=x)
    with pytest.raises(fastcnn.errors.ShapeError, match="out has shape"):
        losses.MeanSquaredError().gradient(t, x, out=out[:1])
    assert_same_bits(x, before, "x")
