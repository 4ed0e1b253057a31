# SPDX-License-Identifier: Apache-2.0
"""Losses along axes and of few numbers beside Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_keras import (
    RNG,
    close,
    keras,
)

import fastcnn

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]


SHAPE = (3, 4, 5, 6)
CUTS: list[tuple[str, dict[str, Any]]] = [
    ("CategoricalCrossentropy", {"axis": 1}),
    ("CategoricalCrossentropy", {"axis": 2, "from_logits": True}),
    ("CategoricalFocalCrossentropy", {"axis": 1}),
    ("CategoricalFocalCrossentropy", {"alpha": [0.5, 0.25, 1.0, 0.0, 2.0, 0.125]}),
    ("BinaryCrossentropy", {"axis": 1}),
    ("BinaryFocalCrossentropy", {"axis": 2}),
    ("CosineSimilarity", {"axis": 1}),
    ("CosineSimilarity", {"axis": -1}),
    ("CategoricalHinge", {}),
    ("Dice", {"axis": (1, 2, 3)}),
    ("Dice", {"axis": 1}),
    ("Tversky", {"alpha": 0.25, "beta": 0.75, "axis": (2, 3)}),
]


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None])
@pytest.mark.parametrize(("name", "options"), CUTS)
def test_losses_along_axes(name: str, options: dict[str, Any], reduction: str | None) -> None:
    x = RNG.uniform(0.05, 0.95, SHAPE).astype(np.float32)
    t = RNG.uniform(0.0, 1.0, SHAPE).astype(np.float32)
    weight = RNG.uniform(0.5, 2.0, len(x)).astype(np.float32)
    theirs, ours = (getattr(k.losses, name)(reduction=reduction, **options) for k in (keras, fastcnn))
    close(ours(t, x), theirs(t, x), 1e-5)
    if reduction is not None:
        close(
            ours(t, x, weight),
            theirs(t, x, weight.reshape(-1, *(1,) * (np.ndim(_rows(name, options)) - 1))),
            1e-5,
        )


def _rows(name: str, options: dict[str, Any]) -> Any:
    return getattr(keras.losses, name)(reduction=None, **options)(np.ones(SHAPE), np.full(SHAPE, 0.5))


@pytest.mark.parametrize("logits", [False, True])
def test_sparse_labels_along_an_axis(logits: bool) -> None:
    """Keras's own takes no other axis on JAX: it is given the last, moved."""
    x = RNG.uniform(0.05, 0.95, SHAPE).astype(np.float32)
    labels = RNG.integers(0, 4, (3, 5, 6))
    ours = fastcnn.losses.SparseCategoricalCrossentropy(from_logits=logits, axis=1)
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    close(ours(labels, x), theirs(labels, np.moveaxis(x, 1, -1)), 1e-5)


@pytest.mark.parametrize(("target", "prediction"), [
    ([[2.0]], [[3.0]]), ([[2.0]], [[-1e-4]]), ([[0.0]], [[1.0]]), ([2.0, 3.0], [1.0, -2.0]),
    ([[1.0]], [[0.25]]), ([[0.0]], [[0.25]]), ([[0.0, 1.0]], [[-3.0, -2.0]]), ([[1.0, 1.0]], [[-3.0, -2.0]]),
])  # fmt: skip
@pytest.mark.parametrize("name", ["cosine_similarity", "categorical_hinge"])
def test_losses_of_few_numbers(name: str, target: Any, prediction: Any) -> None:
    a, b = np.float32(target), np.float32(prediction)
    close(getattr(fastcnn.losses, name)(a, b), getattr(keras.losses, name)(a, b), 1e-6)
