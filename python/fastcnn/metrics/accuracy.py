# SPDX-License-Identifier: Apache-2.0
"""Shares of right answers. The first one of an output is counted natively where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn._arguments import flag, integer, real
from fastcnn.errors import ShapeError
from fastcnn.metrics.base import Array, MeanOfRows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Accuracy(MeanOfRows):
    """Share of predictions that equal their target.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    direction = "up"

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        true, predicted = self._same(y_true, y_pred)
        return true == predicted


class SparseCategoricalAccuracy(MeanOfRows):
    """Share of samples whose largest prediction stands at the label.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> accuracy = metrics.SparseCategoricalAccuracy(name="accuracy")
    >>> accuracy([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]])
    0.5
    """

    native = "sparse"
    direction = "up"

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        predicted = np.asarray(y_pred)
        return labels_for(y_true, predicted, self._where("y_true")) == predicted.argmax(axis=-1)


class CategoricalAccuracy(MeanOfRows):
    """Share of samples whose largest prediction stands where the largest target does.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.CategoricalAccuracy()([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]])
    0.5
    """

    native = "categorical"
    direction = "up"

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        true, predicted = self._same(y_true, y_pred)
        return true.argmax(axis=-1) == predicted.argmax(axis=-1)


class BinaryAccuracy(MeanOfRows):
    """Share of predictions on the side of a threshold that their target, 0 or 1, names.

    Parameters
    ----------
    threshold
        Predictions above it are 1.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]])
    0.75
    """

    _fields = ("name", "threshold")
    native = "binary"
    direction = "up"

    def __init__(self, name: str | None = None, dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = real(threshold, self._where("threshold"))

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        true, predicted = self._same(y_true, y_pred)
        return true == (predicted > self.threshold)


class TopKCategoricalAccuracy(MeanOfRows):
    """Share of samples whose ``k`` largest predictions hold the place of the largest target.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.TopKCategoricalAccuracy(k=2)([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.9, 0.05, 0.95]])
    0.5
    """

    _fields = ("name", "k")
    direction = "up"

    def __init__(self, k: int = 5, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.k = integer(k, self._where("k"), least=1)

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        true, predicted = self._same(y_true, y_pred)
        return in_top_k(true.argmax(axis=-1), predicted, self.k)


class SparseTopKCategoricalAccuracy(MeanOfRows):
    """Share of samples whose ``k`` largest predictions hold the label.

    Parameters
    ----------
    k
        How many.
    from_sorted_ids
        True: predictions are classes, the likeliest first.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.SparseTopKCategoricalAccuracy(k=2)([2, 1], [[0.1, 0.9, 0.8], [0.9, 0.05, 0.95]])
    0.5
    """

    _fields = ("name", "k", "from_sorted_ids")
    direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.k = integer(k, self._where("k"), least=1)
        self.from_sorted_ids = flag(from_sorted_ids, self._where("from_sorted_ids"))

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        predicted = np.asarray(y_pred)
        labels = labels_for(y_true, predicted, self._where("y_true"))
        if self.from_sorted_ids:
            return (predicted[..., : self.k] == labels[..., np.newaxis]).any(axis=-1)
        return in_top_k(labels, predicted, self.k)


class AccuracyByShape(MeanOfRows):
    """Sparse, categorical or binary, by the shape of the targets: what "accuracy" means."""

    native = "auto"
    direction = "up"

    def _rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Any:
        true, predicted = np.asarray(y_true), np.asarray(y_pred)
        if predicted.shape[-1:] == (1,) or predicted.ndim < 2:
            return BinaryAccuracy._rows(_BINARY, true, predicted)
        if true.ndim < predicted.ndim or true.shape[-1] == 1:
            return labels_for(true, predicted, self._where("y_true")) == predicted.argmax(axis=-1)
        true, predicted = self._same(true, predicted)
        return true.argmax(axis=-1) == predicted.argmax(axis=-1)


_BINARY = BinaryAccuracy()


def labels_for(y_true: ArrayLike, predicted: Array, where: str) -> Array:
    """Labels of the rows of predictions; a last axis of 1 may be there."""
    labels = np.asarray(y_true)
    if labels.ndim == predicted.ndim and labels.shape[-1:] == (1,):
        labels = labels[..., 0]
    if labels.shape != predicted.shape[:-1]:
        raise ShapeError(f"{where}: shape {labels.shape} came, wanted {predicted.shape[:-1]}")
    return labels


def in_top_k(labels: Array, predicted: Array, k: int) -> Array:
    """Whether fewer than ``k`` predictions are above that of the label; ties are all in, NaN never is."""
    own = np.take_along_axis(predicted, labels[..., np.newaxis].astype(np.int64), axis=-1)
    found: Array = ((predicted > own).sum(axis=-1) < k) & np.isfinite(own[..., 0])
    return found
