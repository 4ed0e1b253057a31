# SPDX-License-Identifier: Apache-2.0
"""Counting what a classifier got right and wrong: m[i, j] = samples of class i predicted as class j.

Called by users after ``predict`` and by the command line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError

_MAX_CLASSES = 1 << 16  # beyond it these are hardly class numbers; the matrix would take 32 GiB


def confusion_matrix(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, num_classes: int | None = None
) -> npt.NDArray[np.int64]:
    """Count the samples of each pair (class, predicted class).

    ``m[i, j] = |{n : labels[n] = i and predictions[n] = j}|``, so the diagonal counts what is right.

    Parameters
    ----------
    labels
        True classes, integral [N].
    predictions
        Predicted classes, integral [N] (from ``predict``, take ``argmax(axis=-1)`` first).
    num_classes
        Rows and columns; by default the largest class that occurs, plus one.

    Returns
    -------
    numpy.ndarray
        int64 [num_classes, num_classes]: rows are labels, columns predictions.

    Raises
    ------
    ShapeError
        Not one-dimensional, or of different lengths.
    DTypeError
        Not integers.
    ArgumentError
        A class is negative or not below ``num_classes``, or nothing tells how many classes there are.
    OutOfMemoryError
        The matrix does not fit into memory.

    Notes
    -----
    Same arguments and orientation as ``tf.math.confusion_matrix``.

    Examples
    --------
    >>> import fastcnn.math
    >>> fastcnn.math.confusion_matrix(labels=[0, 1, 2, 2], predictions=[0, 2, 2, 2])
    array([[1, 0, 0],
           [0, 0, 1],
           [0, 0, 2]])
    """
    rows, columns = _classes("labels", labels), _classes("predictions", predictions)
    if len(rows) != len(columns):
        raise ShapeError(f"confusion_matrix: {len(rows)} labels for {len(columns)} predictions")
    size = _size(rows, columns, num_classes)
    try:
        counts = np.bincount(rows * size + columns, minlength=size * size)
    except MemoryError:
        raise OutOfMemoryError(f"confusion_matrix: {8 * size * size} bytes for {size} classes") from None
    return counts.astype(np.int64, copy=False).reshape(size, size)


def _classes(argument: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array: npt.NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"confusion_matrix: {argument} of shape {array.shape}, wanted one dimension [N]")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"confusion_matrix: {argument} of dtype {array.dtype}, wanted integers")
    for extreme in (int(array.min()), int(array.max())):
        if not 0 <= extreme < _MAX_CLASSES:
            raise ArgumentError(f"confusion_matrix: {argument} has {extreme}, wanted 0 to {_MAX_CLASSES - 1}")
    return array.astype(np.int64)


def _size(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], num_classes: int | None) -> int:
    largest = max((int(array.max()) for array in (rows, columns) if array.size), default=-1)
    if num_classes is None:
        if largest < 0:
            raise ArgumentError("confusion_matrix: no samples, and num_classes is not given")
        return largest + 1
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)):
        raise DTypeError(f"confusion_matrix: num_classes {num_classes!r}, wanted an integer")
    if not max(largest, 0) < num_classes <= _MAX_CLASSES:
        raise ArgumentError(
            f"confusion_matrix: num_classes {num_classes}, wanted {max(largest, 0) + 1} to {_MAX_CLASSES}"
        )
    return int(num_classes)
