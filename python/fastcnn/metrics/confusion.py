# SPDX-License-Identifier: Apache-2.0
"""What follows from counts of right and wrong answers at thresholds: the counts, precision, recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn._arguments import integer, real
from fastcnn.errors import ArgumentError
from fastcnn.metrics.base import Array, Metric, number, ratio, weights_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Thresholds = float | Sequence[float] | None
_LOWEST = -1e10  # Keras's: what predictions outside of the top k become


class _Counts(Metric):
    """Positives and negatives, true and false, one of each a threshold; a prediction above it is positive."""

    _automatic = True
    _wanted: ClassVar[tuple[str, ...]]  # of "tp", "fp", "tn", "fn"

    def _set_thresholds(self, thresholds: Thresholds, default: float = 0.5) -> None:
        where = self._where("thresholds")
        self.thresholds = thresholds
        given = [default] if thresholds is None else thresholds
        several = given if isinstance(given, (list, tuple, np.ndarray)) else [given]
        self._limits = np.array([real(each, where) for each in several], np.float64)
        if thresholds is not None and not all(0 <= each <= 1 for each in self._limits):
            raise ArgumentError(f"{where}: {thresholds!r} came, wanted numbers from 0 to 1")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        self._count(true, predicted, sample_weight)

    def _count(self, true: Array, predicted: Array, sample_weight: ArrayLike | None) -> None:
        weights = None
        if sample_weight is not None:
            weights = weights_for(sample_weight, predicted, self._where("sample_weight")).ravel()
        real_ones = true.ravel() != 0
        flat = predicted.ravel()
        found: dict[str, list[float]] = {name: [] for name in self._wanted}
        for limit in self._limits:
            positive = flat > limit
            hits = {
                "tp": real_ones & positive,
                "fp": ~real_ones & positive,
                "tn": ~real_ones & ~positive,
                "fn": real_ones & ~positive,
            }
            for name in self._wanted:
                chosen = hits[name]
                found[name].append(float(chosen.sum() if weights is None else weights[chosen].sum()))
        for name, values in found.items():
            self._add(name, values)

    def result(self) -> Any:
        """A float, or an array of one number a threshold."""
        (only,) = self._wanted
        return number(self._sum(only))


class _Counted(_Counts):
    _fields = ("name", "thresholds")

    def __init__(
        self, thresholds: Thresholds = None, name: str | None = None, dtype: str | None = None
    ) -> None:
        super().__init__(dtype, name)
        self._set_thresholds(thresholds)


class TruePositives(_Counted):
    """How many positives were called so.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    _wanted = ("tp",)
    direction = "up"


class FalsePositives(_Counted):
    """How many negatives were called positive."""

    _wanted = ("fp",)
    direction = "down"


class TrueNegatives(_Counted):
    """How many negatives were called so."""

    _wanted = ("tn",)
    direction = "up"


class FalseNegatives(_Counted):
    """How many positives were called negative."""

    _wanted = ("fn",)
    direction = "down"


class _Share(_Counts):
    """``tp / (tp + other)``."""

    _fields = ("name", "thresholds", "top_k", "class_id")
    direction = "up"

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(dtype, name)
        self.top_k = None if top_k is None else integer(top_k, self._where("top_k"), least=1)
        self.class_id = None if class_id is None else integer(class_id, self._where("class_id"), least=0)
        self._set_thresholds(thresholds, 0.5 if top_k is None else _LOWEST)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        if self.top_k is not None:
            best = np.argsort(-predicted, axis=-1, kind="stable")[..., : self.top_k]
            kept = np.full(predicted.shape, _LOWEST)
            np.put_along_axis(kept, best, np.take_along_axis(predicted, best, axis=-1), axis=-1)
            predicted = kept
        if self.class_id is not None:
            if self.class_id >= predicted.shape[-1]:
                raise ArgumentError(
                    f"{self._where('class_id')}: {self.class_id} came, the predictions have "
                    f"{predicted.shape[-1]} classes"
                )
            true, predicted = true[..., self.class_id], predicted[..., self.class_id]
        self._count(true, predicted, sample_weight)

    def result(self) -> Any:
        """A float, or an array of one number a threshold."""
        right, wrong = (self._sum(name) for name in self._wanted)
        return number(ratio(right, right + wrong))


class Precision(_Share):
    """Share of what was called positive that is: ``tp / (tp + fp)``, 0 of nothing.

    Parameters
    ----------
    thresholds
        Predictions above are positive; a number, or several for as many results. None means 0.5.
    top_k
        Only so many largest predictions of a sample can be positive.
    class_id
        Look at one class alone.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> precision = metrics.Precision()
    >>> precision([0, 1, 1, 1], [1, 0, 1, 1])
    0.6666666666666666
    """

    _wanted = ("tp", "fp")


class Recall(_Share):
    """Share of the positives that were called so: ``tp / (tp + fn)``, 0 of nothing.

    Parameters
    ----------
    thresholds, top_k, class_id
        As in `Precision`.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.Recall(thresholds=[0.3, 0.7])([0, 1, 1, 1], [0.2, 0.5, 0.9, 0.8])
    array([1.        , 0.66666667])
    """

    _wanted = ("tp", "fn")
