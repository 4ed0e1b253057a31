# SPDX-License-Identifier: Apache-2.0
"""Seeds, one-hot targets, names."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn import _names, _random
from fastcnn._arguments import integer
from fastcnn.errors import ArgumentError, DTypeError

__all__ = ["clear_session", "set_random_seed", "to_categorical"]


def set_random_seed(seed: int) -> None:
    """Make all that follows reproducible to the last bit: weights, order of samples, dropout.

    Models take their seed when they are made. As in Keras, Python's ``random`` and NumPy's global generator
    are seeded as well.

    Parameters
    ----------
    seed
        0 to 2^32 - 1.

    Raises
    ------
    ArgumentError, DTypeError
        ``seed`` is not such an integer.

    Examples
    --------
    >>> from fastcnn import Sequential, layers, utils
    >>> def first_weight():
    ...     utils.set_random_seed(1)
    ...     return Sequential([layers.Dense(1, input_shape=(1,))]).get_weights()[0].item()
    >>> first_weight() == first_weight()
    True
    """
    value = integer(seed, "set_random_seed: seed", least=0)
    if value >= 2**32:
        raise ArgumentError(f"set_random_seed: seed: {value} came, wanted less than 2^32")
    import random  # only now, as numpy.random below: both are slow imports

    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - the caller's own code may draw from it
    _random.set_seed(value)


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


def clear_session() -> None:
    """Count automatic names anew: the next `Conv2D` is ``conv2d`` again. Models that exist stay as they are.

    Examples
    --------
    >>> from fastcnn import layers, utils
    >>> utils.clear_session()
    >>> layers.Conv2D(8, 3).name
    'conv2d'
    """
    _names.reset()
