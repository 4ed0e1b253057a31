# SPDX-License-Identifier: Apache-2.0
"""Maximum, mean and sum of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fastcnn import _arguments
from fastcnn._arguments import Padding, Pair, flag, pair
from fastcnn.layers.base import Layer, Node


class _Pooling2D(Layer):
    _fields = ("pool_size", "strides", "padding", "ceil_mode")
    _op: ClassVar[str]

    def __init__(
        self,
        pool_size: int | Pair = (2, 2),
        strides: int | Pair | None = None,
        padding: Padding = "valid",
        *,
        ceil_mode: bool = False,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.pool_size = pair(pool_size, self._where("pool_size"), least=1)
        self.strides = self.pool_size if strides is None else pair(strides, self._where("strides"), least=1)
        self.padding = _arguments.padding(padding, self._where("padding"))
        self.ceil_mode = flag(ceil_mode, self._where("ceil_mode"))

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": self._op, **{field: getattr(self, field) for field in self._fields}}]


class MaxPooling2D(_Pooling2D):
    """Largest value of each window, ``[N, H, W, C]`` to ``[N, P, Q, C]``; formula: `fastcnn.ops.max_pool2d`.

    Parameters
    ----------
    pool_size
        Height and width of the window; a number or a pair.
    strides
        Pixels between windows; None means ``pool_size``.
    padding
        "valid", "same", ``p``, ``(h, w)`` or ``((top, bottom), (left, right))``, each side smaller than the
        window.
    ceil_mode
        Add a last, clipped window where the strides leave pixels over.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.MaxPooling2D(3, 2, "same", input_shape=(28, 28, 8))]).output_shape
    (None, 14, 14, 8)
    """

    _op = "max_pool2d"


class AveragePooling2D(_Pooling2D):
    """Mean of each window over its pixels inside the image. Parameters and errors: those of `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.AveragePooling2D(input_shape=(2, 2, 1))])
    >>> model.predict(np.arange(4).reshape(1, 2, 2, 1), verbose=0).item()
    1.5
    """

    _op = "average_pool2d"


class SumPooling2D(_Pooling2D):
    """Sum of each window. Parameters and errors are those of `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.SumPooling2D(input_shape=(2, 2, 1))])
    >>> model.predict(np.arange(4).reshape(1, 2, 2, 1), verbose=0).item()
    6.0
    """

    _op = "sum_pool2d"
