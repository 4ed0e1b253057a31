# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix, and intersection over union, which follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn._arguments import flag, integer, listed, real
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.metrics.base import Array, Metric, weights_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class ConfusionMatrix(Metric):
    """``m[i, j]``: samples of class ``i`` that were taken for class ``j``, with their weights.

    Parameters
    ----------
    num_classes
        Rows and columns.
    sparse_y_true, sparse_y_pred
        Whether these are class numbers, or stand for the class of their largest entry. None: by their shape.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.ConfusionMatrix(2)([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    array([[1., 0.],
           [1., 1.]])
    """

    _fields: ClassVar[tuple[str, ...]] = ("name", "num_classes", "sparse_y_true", "sparse_y_pred")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        sparse_y_true: bool | None = None,
        sparse_y_pred: bool | None = None,
    ) -> None:
        super().__init__(dtype, name)
        self.num_classes = integer(num_classes, self._where("num_classes"), least=1)
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = np.asarray(y_true), np.asarray(y_pred)
        sparse_true, sparse_predicted = self.sparse_y_true, self.sparse_y_pred
        if sparse_predicted is None:
            sparse_predicted = predicted.ndim < 2 or predicted.shape[-1] != self.num_classes
        if sparse_true is None:
            rows = predicted.ndim if sparse_predicted else predicted.ndim - 1
            sparse_true = true.ndim <= rows or true.shape[-1] == 1
        self._count(
            self._classes(true, sparse_true, "y_true"),
            self._classes(predicted, sparse_predicted, "y_pred"),
            sample_weight,
        )

    def _classes(self, given: Array, sparse: bool, argument: str) -> Array:
        if not sparse:
            largest: Array = given.argmax(axis=-1).ravel()
            return largest
        if given.dtype.kind not in "biuf":
            raise DTypeError(f"{self._where(argument)}: {given.dtype} came, wanted class numbers")
        return given.ravel().astype(np.int64)

    def _count(self, true: Array, predicted: Array, sample_weight: ArrayLike | None) -> None:
        if len(true) != len(predicted):
            raise ShapeError(
                f"{self._where('y_true')}: {len(true)} classes came for {len(predicted)} predicted"
            )
        weights: Array = np.ones(len(true))
        if sample_weight is not None:
            weights = np.asarray(sample_weight, np.float64)
            repeats, rest = divmod(len(true), max(1, weights.size))
            if rest or not weights.size:
                raise ShapeError(
                    f"{self._where('sample_weight')}: shape {weights.shape} came for {len(true)} rows"
                )
            weights = weights_for(np.repeat(weights.ravel(), repeats), weights.repeat(repeats), "")
        kept = self._kept(true)
        true, predicted, weights = true[kept], predicted[kept], weights[kept]
        for argument, classes in (("y_true", true), ("y_pred", predicted)):
            if classes.size and not (classes.min() >= 0 and classes.max() < self.num_classes):
                wrong = classes[(classes < 0) | (classes >= self.num_classes)][0]
                raise ArgumentError(
                    f"{self._where(argument)}: class {wrong} came, wanted 0 to {self.num_classes - 1}"
                )
        counts = np.bincount(true * self.num_classes + predicted, weights, self.num_classes**2)
        self._add("matrix", counts.reshape(self.num_classes, -1))

    def _kept(self, true: Array) -> Array:
        return np.ones(len(true), bool)

    def _matrix(self) -> Array:
        matrix: Array = self._sum("matrix") + np.zeros((self.num_classes, self.num_classes))
        return matrix

    def result(self) -> Any:
        """Float64 ``[num_classes, num_classes]``."""
        return self._matrix()


class IoU(ConfusionMatrix):
    """Intersection over union, ``tp / (tp + fp + fn)``: the mean over some classes.

    Parameters
    ----------
    num_classes
        How many classes there are.
    target_class_ids
        Over which the mean is taken; those that never occurred do not count.
    ignore_class
        Of targets that are left out, such as 255 for "unlabelled".
    sparse_y_true, sparse_y_pred
        Whether these are class numbers, or stand for the class of their largest entry.
    axis
        -1, where classes stand.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> round(metrics.IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "name", "num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred",
    )  # fmt: skip
    _automatic = True
    direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            name,
            dtype,
            flag(sparse_y_true, f"{type(self).__name__}: sparse_y_true"),
            flag(sparse_y_pred, f"{type(self).__name__}: sparse_y_pred"),
        )
        where = self._where("target_class_ids")
        self.target_class_ids = [
            integer(each, where, least=0) for each in listed(target_class_ids, where, "classes")
        ]
        if any(each >= self.num_classes for each in self.target_class_ids):
            raise ArgumentError(f"{where}: {target_class_ids!r} came, wanted 0 to {self.num_classes - 1}")
        self.ignore_class = (
            None if ignore_class is None else integer(ignore_class, self._where("ignore_class"))
        )
        if axis != -1:
            raise ArgumentError(f"{self._where('axis')}: {axis!r} came, wanted -1, the last")

    def _kept(self, true: Array) -> Array:
        if self.ignore_class is None:
            return super()._kept(true)
        kept: Array = true != self.ignore_class
        return kept

    def result(self) -> float:
        """The mean over the classes that occurred; NaN of none."""
        matrix = self._matrix()
        right = matrix.diagonal()[self.target_class_ids]
        union = (matrix.sum(axis=0) + matrix.sum(axis=1) - matrix.diagonal())[self.target_class_ids]
        occurred = int((union > 1e-9).sum())
        return float((right / (union + 1e-7)).sum() / occurred) if occurred else float("nan")


class MeanIoU(IoU):
    """`IoU`, the mean over all classes.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> round(metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "name", "num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred",
    )  # fmt: skip

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        classes = range(integer(num_classes, f"{type(self).__name__}: num_classes", least=1))
        super().__init__(num_classes, classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot targets and of scores.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metric = metrics.OneHotIoU(num_classes=2, target_class_ids=[0])
    >>> round(metric([[1, 0], [0, 1]], [[0.9, 0.1], [0.6, 0.4]]), 4)
    0.5
    """

    _fields = ("name", "num_classes", "target_class_ids", "ignore_class", "sparse_y_pred")

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot targets and of scores."""

    _fields = ("name", "num_classes", "ignore_class", "sparse_y_pred")

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)


class BinaryIoU(IoU):
    """`IoU` of two classes, told apart by a threshold.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> round(metrics.BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]), 4)
    0.3333
    """

    _fields = ("name", "target_class_ids", "threshold")

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = real(threshold, self._where("threshold"), least=0)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in a batch."""
        true, predicted = self._same(y_true, y_pred)
        positive = (predicted >= self.threshold).ravel().astype(np.int64)
        self._count(true.ravel().astype(np.int64), positive, sample_weight)
