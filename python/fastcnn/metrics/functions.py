# SPDX-License-Identifier: Apache-2.0
"""Accuracies as functions: one number for each row of the predictions, as in Keras."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastcnn.metrics import accuracy
from fastcnn.metrics.base import Array, MeanOfRows


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Array:
    """The share of each row's predictions on the side of the threshold that its targets say.

    >>> from fastcnn import metrics
    >>> metrics.binary_accuracy([[1], [1], [0], [0]], [[1], [1], [0.2], [0.9]]).tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    right = _rows(accuracy.BinaryAccuracy(threshold=threshold), y_true, y_pred)
    return right.mean(axis=-1, dtype=np.float32) if right.ndim > 1 else right


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 where the largest prediction stands where the largest target does, else 0.

    >>> from fastcnn import metrics
    >>> metrics.categorical_accuracy([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]).tolist()
    [0.0, 1.0]
    """
    return _rows(accuracy.CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 where the largest prediction stands at the label, else 0.

    >>> from fastcnn import metrics
    >>> metrics.sparse_categorical_accuracy([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]).tolist()
    [0.0, 1.0]
    """
    return _rows(accuracy.SparseCategoricalAccuracy(), y_true, y_pred)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Array:
    """1 where the largest target stands at one of the k largest predictions, else 0.

    >>> from fastcnn import metrics
    >>> metrics.top_k_categorical_accuracy([[0, 0, 1], [0, 1, 0]], [[0, 0.9, 0.8], [0.5, 0.4, 0]], 2).tolist()
    [1.0, 1.0]
    """
    return _rows(accuracy.TopKCategoricalAccuracy(k=k), y_true, y_pred)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """1 where the label is one of the k largest predictions, else 0.

    >>> from fastcnn import metrics
    >>> metrics.sparse_top_k_categorical_accuracy([2, 0], [[0, 0.9, 0.8], [0.1, 0.95, 0.2]], 2).tolist()
    [1.0, 0.0]
    """
    return _rows(accuracy.SparseTopKCategoricalAccuracy(k, from_sorted_ids=from_sorted_ids), y_true, y_pred)


def _rows(metric: MeanOfRows, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    return np.asarray(metric._rows(y_true, y_pred), np.float32)
