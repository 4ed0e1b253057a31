# SPDX-License-Identifier: Apache-2.0
"""Precision and recall in one number: the F-scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn._arguments import choose, real
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.metrics.base import Array, Metric, number, ratio, weights_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class FBetaScore(Metric):
    """``(1 + beta^2) p r / (beta^2 p + r)`` of precision and recall, class by class.

    Parameters
    ----------
    average
        None for one score a class, "micro" (all classes in one), "macro" (their mean) or "weighted" (their
        mean by the number of positives).
    beta
        How much more recall counts than precision.
    threshold
        Predictions above are positive; None means the largest of a sample alone.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> score = metrics.FBetaScore(beta=2.0, threshold=0.5)
    >>> score([[1, 1, 1], [1, 0, 0], [1, 1, 0]], [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]).round(4)
    array([0.3846, 0.9091, 0.8333])
    """

    _fields: ClassVar[tuple[str, ...]] = ("name", "average", "beta", "threshold")
    direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(dtype, name)
        if average is not None:
            known = {each: each for each in ("micro", "macro", "weighted")}
            average = choose(average, known, self._where("average"))
        self.average = average
        self.beta = real(beta, self._where("beta"))
        self.threshold = None if threshold is None else real(threshold, self._where("threshold"))
        if self.beta <= 0:
            raise ArgumentError(f"{self._where('beta')}: {beta} came, wanted a number above 0")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ArgumentError(f"{self._where('threshold')}: {threshold} came, wanted one in (0, 1]")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = (np.asarray(each) for each in (y_true, y_pred))
        if true.shape != predicted.shape or true.ndim != 2:
            raise ShapeError(
                f"{self._where('y_true')}: shape {true.shape} came for predictions {predicted.shape}, wanted "
                "both of [N, classes]; utils.to_categorical makes rows of labels"
            )
        if self.threshold is None:
            positive = (predicted >= predicted.max(axis=-1, keepdims=True)) & (np.abs(predicted) > 1e-9)
        else:
            positive = predicted > self.threshold
        true = true != 0
        axis = None if self.average == "micro" else 0
        weights: Array = np.ones((len(true), 1))
        if sample_weight is not None:
            weights = weights_for(sample_weight, np.ones(len(true)), self._where("sample_weight"))[
                :, np.newaxis
            ]
        for name, hits in (("tp", positive & true), ("fp", positive & ~true), ("fn", ~positive & true)):
            self._add(name, (hits * weights).sum(axis=axis))
        self._add("positives", (true * weights).sum(axis=axis))

    def result(self) -> Any:
        """A float, or with ``average=None`` an array of one score a class."""
        right = self._sum("tp")
        precision, recall = ratio(right, right + self._sum("fp")), ratio(right, right + self._sum("fn"))
        square = self.beta**2
        scores = ratio((1 + square) * precision * recall, square * precision + recall)
        if self.average == "macro":
            scores = scores.mean()
        elif self.average == "weighted":
            scores = (scores * ratio(self._sum("positives"), self._sum("positives").sum())).sum()
        return number(scores) if self.average else scores


class F1Score(FBetaScore):
    """``2 p r / (p + r)`` of precision and recall, class by class.

    Parameters
    ----------
    average, threshold
        As in `FBetaScore`.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> score = metrics.F1Score(average="macro", threshold=0.5)
    >>> round(score([[1, 1], [1, 0]], [[0.2, 0.6], [0.6, 0.6]]), 4)
    0.6667
    """

    _fields = ("name", "average", "threshold")

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
