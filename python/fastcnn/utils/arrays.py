# SPDX-License-Identifier: Apache-2.0
"""Arrays of targets and samples: one-hot rows, rows of norm 1, two parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn._arguments import Array, integer, real
from fastcnn.errors import ArgumentError, DTypeError, ShapeError


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One-hot rows: ``y[..., k] = 1`` where ``k`` is the label, else 0.

    Parameters
    ----------
    x
        Labels, whole numbers from 0, of any shape; a last axis of 1 is dropped.
    num_classes
        Length of a row; None means the largest label plus one.

    Returns
    -------
    Float64 ``[..., num_classes]``.

    Raises
    ------
    ArgumentError, DTypeError
        A label is not a whole number from 0 to ``num_classes - 1``.

    Examples
    --------
    >>> from fastcnn import utils
    >>> utils.to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    given = np.asarray(x)
    if given.dtype.kind not in "biuf":
        raise DTypeError(f"to_categorical: x: {given.dtype} came, wanted whole numbers")
    if given.ndim > 1 and given.shape[-1] == 1:
        given = given[..., 0]
    least = 1 if num_classes is None else integer(num_classes, "to_categorical: num_classes", least=1)
    if given.size and not (
        np.isfinite(given).all() and (given == np.floor(given)).all() and given.min() >= 0
    ):
        raise ArgumentError("to_categorical: x: a value that is not a whole number of 0 or more came")
    classes = int(given.max()) + 1 if given.size else 1
    if num_classes is not None and classes > least:
        raise ArgumentError(
            f"to_categorical: x: label {classes - 1} came, wanted labels below num_classes={least}"
        )
    rows = np.zeros((given.size, max(classes, least)))
    rows[np.arange(given.size), given.reshape(-1).astype(np.int64)] = 1
    return rows.reshape(*given.shape, rows.shape[1])


def normalize(x: Any, axis: int = -1, order: int = 2) -> Array:
    """``x / norm(x)`` along an axis; what has norm 0 stays.

    Parameters
    ----------
    x
        Any real dtype; integers become float64.
    axis
        Along which norms are taken.
    order
        Of the norm: 1 for the sum of magnitudes, 2 for the Euclidean norm.

    Examples
    --------
    >>> from fastcnn import utils
    >>> utils.normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    given = np.asarray(x)
    if given.dtype.kind not in "biuf":
        raise DTypeError(f"normalize: x: {given.dtype} came, wanted numbers")
    if given.dtype.kind != "f":
        given = given.astype(np.float64)
    power = real(order, "normalize: order")
    if power == 0:
        raise ArgumentError("normalize: order: 0 came, wanted 1, 2 or another norm")
    axis = integer(axis, "normalize: axis")
    if not -given.ndim <= axis < given.ndim:
        raise ShapeError(f"normalize: axis: {axis} came, x has shape {given.shape}")
    norms = np.linalg.norm(np.moveaxis(given, axis, -1), power, axis=-1)
    norms[norms == 0] = 1
    normalized: Array = given / np.expand_dims(norms, axis)
    return normalized


def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Two parts of an array, or of a tuple or list of arrays of one length.

    Parameters
    ----------
    dataset
        Arrays whose first axis counts samples.
    left_size, right_size
        Samples of each part, or their share of all of them. One may be left out: the rest.
    shuffle
        Whether to draw which samples go where.
    seed
        Of the draw; None means another one each time.

    Returns
    -------
    (left, right)
        Of the form that came, as views unless shuffled.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import utils
    >>> left, right = utils.split_dataset((np.arange(10), np.arange(10) > 4), left_size=0.8)
    >>> left[0].shape, right[1].tolist()
    ((8,), [True, True])
    """
    several = isinstance(dataset, (tuple, list))
    parts: Sequence[Array] = [np.asarray(each) for each in dataset] if several else [np.asarray(dataset)]
    if not parts or any(each.ndim == 0 or len(each) != len(parts[0]) for each in parts):
        shapes = [each.shape for each in parts]
        raise ShapeError(f"split_dataset: dataset: shapes {shapes} came, wanted arrays of one length")
    count = len(parts[0])
    left = _part(left_size, count, "left_size")
    right = _part(right_size, count, "right_size")
    if left is None and right is None:
        raise ArgumentError("split_dataset: neither left_size nor right_size came, wanted one of them")
    left = count - right if left is None and right is not None else left or 0
    right = count - left if right is None else right
    if left + right > count or min(left, right) < 1:
        raise ArgumentError(f"split_dataset: {left} and {right} of {count} samples, wanted two parts of them")
    order = np.arange(count)
    if shuffle:
        np.random.default_rng(seed).shuffle(order)

    def cut(begin: int, end: int) -> Any:
        found = [each[order[begin:end]] if shuffle else each[begin:end] for each in parts]
        return found[0] if not several else type(dataset)(found)

    return cut(0, left), cut(left, left + right)


def _part(size: float | int | None, count: int, name: str) -> int | None:
    if size is None:
        return None
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        return int(size)
    share = real(size, f"split_dataset: {name}", least=0)
    if not 0 < share < 1:
        raise ArgumentError(
            f"split_dataset: {name}: {share:g} came, wanted a share in (0, 1) or whole samples"
        )
    return round(share * count)
