# SPDX-License-Identifier: Apache-2.0
"""What Keras's ``ops`` has beside kernels and NumPy has too: metrics of your own are written with it.

NumPy computes it, on arrays; of what is a layer too, `fastcnn.ops.symbolic` makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastcnn.ops.symbolic import LAYERS, on_either
from fastcnn.ops.types import Array

_NUMPY_S = """
abs absolute all allclose any arange argmax argmin argsort array bincount broadcast_to ceil clip copy cos
count_nonzero cumsum diag diff divide dot einsum equal exp expand_dims expm1 eye flip floor floor_divide
full full_like greater greater_equal histogram hstack isclose isfinite isinf isnan less less_equal
linspace log log10 log1p log2 logical_and logical_not logical_or logical_xor matmul max mean median min
mod moveaxis nan_to_num ndim negative not_equal ones ones_like outer pad power prod quantile ravel repeat
reshape roll round shape sign sin size sort split sqrt square squeeze stack std sum swapaxes take
take_along_axis tile transpose tril triu unique var vstack where zeros zeros_like
"""


class TopK(NamedTuple):
    """What `top_k` gives."""

    values: Any
    indices: Any


def cast(x: ArrayLike, dtype: str) -> Any:
    """The array in another type.

    >>> from fastcnn import ops
    >>> ops.cast([0.5, 2], "int32").tolist()
    [0, 2]
    """
    return np.asarray(x).astype(dtype)


def convert_to_tensor(x: ArrayLike, dtype: str | None = None) -> Any:
    """An array, float32 if it comes from Python's floats.

    >>> from fastcnn import ops
    >>> ops.convert_to_tensor([0.5]).dtype
    dtype('float32')
    """
    array = np.asarray(x, dtype)
    plain = dtype is None and not isinstance(x, np.ndarray) and array.dtype == np.float64
    return array.astype(np.float32) if plain else array


def convert_to_numpy(x: ArrayLike) -> Any:
    """The array itself, as all are NumPy's.

    >>> from fastcnn import ops
    >>> ops.convert_to_numpy([1, 2]).shape
    (2,)
    """
    return np.asarray(x)


def one_hot(x: ArrayLike, num_classes: int, axis: int = -1, dtype: str = "float32") -> Array:
    """1 at the class, 0 elsewhere; nothing but 0 for what is no class.

    >>> from fastcnn import ops
    >>> ops.one_hot([2, 0], 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    found: Array = (np.asarray(x)[..., np.newaxis] == np.arange(num_classes)).astype(dtype)
    return np.moveaxis(found, -1, axis)


def top_k(x: ArrayLike, k: int, sorted: bool = True) -> TopK:
    """The ``k`` largest along the last axis and where they are, the largest first, of equal ones the first.

    >>> from fastcnn import ops
    >>> [each.tolist() for each in ops.top_k([1, 5, 3], 2)]
    [[5, 3], [1, 2]]
    """
    array = np.asarray(x)
    indices = np.argsort(-array, axis=-1, kind="stable")[..., :k]
    return TopK(np.take_along_axis(array, indices, axis=-1), indices.astype(np.int32))


def in_top_k(targets: ArrayLike, predictions: ArrayLike, k: int) -> Any:
    """Whether the prediction of each target is among the ``k`` largest of its row.

    >>> from fastcnn import ops
    >>> ops.in_top_k([2, 0], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]], 2).tolist()
    [True, False]
    """
    rows = np.asarray(predictions)
    own = np.take_along_axis(rows, np.asarray(targets, np.int64)[:, np.newaxis], axis=-1)
    return (rows > own).sum(axis=-1) < k


_OWN: tuple[Callable[..., Any], ...] = (
    cast, convert_to_numpy, convert_to_tensor, in_top_k, one_hot, top_k,
)  # fmt: skip
FUNCTIONS: dict[str, Any] = {
    **{name: getattr(np, name) for name in _NUMPY_S.split()},
    **{each.__name__: each for each in _OWN},
}
FUNCTIONS |= {name: on_either(name, FUNCTIONS[name]) for name in FUNCTIONS.keys() & LAYERS.keys()}
