# SPDX-License-Identifier: Apache-2.0
"""Pools whose windows follow from the input: one over all of it, or as many as the output has elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fastcnn._arguments import flag, integer
from fastcnn.errors import ArgumentError
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _GlobalPooling(Layer):
    _fields = ("data_format", "keepdims")
    _axes: ClassVar[int]
    _op: ClassVar[str]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))
        self.keepdims = flag(keepdims, self._where("keepdims"))

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        node: Node = {"op": self._op, "axes": self._axes, "global": True, "keepdims": self.keepdims}
        nodes = _axes.laid_out(self.data_format, [node])
        return nodes if self.keepdims else nodes[:2]


class _AdaptivePooling(Layer):
    _fields = ("output_size", "data_format")
    _axes: ClassVar[int]
    _op: ClassVar[str]

    def __init__(
        self,
        output_size: int | Sequence[int | None],
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))
        where = self._where("output_size")
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self._axes
        if len(sizes) != self._axes:
            raise ArgumentError(f"{where}: {output_size!r} came, wanted one number or {self._axes} entries")
        self.output_size = tuple(None if size is None else integer(size, where, 1) for size in sizes)

    def nodes(self) -> list[Node]:
        """One operator, and its layout; 0 keeps the size of an axis."""
        size = tuple(0 if size is None else size for size in self.output_size)
        node: Node = {"op": self._op, "axes": self._axes, "output_size": size}
        return _axes.laid_out(self.data_format, [node])


class GlobalMaxPooling1D(_GlobalPooling):
    """Largest value of each channel, ``[N, L, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalMaxPooling1D(input_shape=(5, 3))]).output_shape
    (None, 3)
    """

    _axes = 1
    _op = "max_pool2d"


class GlobalMaxPooling2D(_GlobalPooling):
    """Largest value of each channel, ``[N, H, W, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, 1, C]``.

    Parameters
    ----------
    data_format
        "channels_last", which None means, or "channels_first".
    keepdims
        Keep the axes with size 1: ``[N, 1, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalMaxPooling2D(input_shape=(5, 4, 3))]).output_shape
    (None, 3)
    """

    _axes = 2
    _op = "max_pool2d"


class GlobalMaxPooling3D(_GlobalPooling):
    """Largest value of each channel, ``[N, D, H, W, C]`` to ``[N, C]``; ``keepdims``: ``[N, 1, 1, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalMaxPooling3D(input_shape=(5, 4, 2, 3))]).output_shape
    (None, 3)
    """

    _axes = 3
    _op = "max_pool2d"


class GlobalAveragePooling1D(_GlobalPooling):
    """Mean of each channel, ``[N, L, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalAveragePooling1D(input_shape=(5, 3))]).output_shape
    (None, 3)
    """

    _axes = 1
    _op = "average_pool2d"


class GlobalAveragePooling2D(_GlobalPooling):
    """Mean of each channel, ``[N, H, W, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalAveragePooling2D(input_shape=(5, 4, 3))]).output_shape
    (None, 3)
    """

    _axes = 2
    _op = "average_pool2d"


class GlobalAveragePooling3D(_GlobalPooling):
    """Mean of each channel, ``[N, D, H, W, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, 1, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalAveragePooling3D(input_shape=(5, 4, 2, 3))]).output_shape
    (None, 3)
    """

    _axes = 3
    _op = "average_pool2d"


class GlobalSumPooling1D(_GlobalPooling):
    """Sum of each channel, ``[N, L, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalSumPooling1D(input_shape=(5, 3))]).output_shape
    (None, 3)
    """

    _axes = 1
    _op = "sum_pool2d"


class GlobalSumPooling2D(_GlobalPooling):
    """Sum of each channel, ``[N, H, W, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalSumPooling2D(input_shape=(5, 4, 3))]).output_shape
    (None, 3)
    """

    _axes = 2
    _op = "sum_pool2d"


class GlobalSumPooling3D(_GlobalPooling):
    """Sum of each channel, ``[N, D, H, W, C]`` to ``[N, C]``; with ``keepdims`` ``[N, 1, 1, 1, C]``.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GlobalSumPooling3D(input_shape=(5, 4, 2, 3))]).output_shape
    (None, 3)
    """

    _axes = 3
    _op = "sum_pool2d"


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """Largest value of each of as many windows over ``[N, L, C]`` as the output has elements.

    Windows and parameters are those of `AdaptiveMaxPooling2D`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AdaptiveMaxPooling1D(2, input_shape=(5, 3))]).output_shape
    (None, 2, 3)
    """

    _axes = 1
    _op = "max_pool2d"


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """Largest value of each of as many windows over ``[N, H, W, C]`` as the output has elements.

    Window ``i`` of ``P`` on an axis of ``H`` pixels covers ``floor(i*H/P) .. ceil((i+1)*H/P)``.

    Parameters
    ----------
    output_size
        Elements of the output on every axis; a number or one for each axis. None keeps an axis as it is.
    data_format
        "channels_last", which None means, or "channels_first".

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AdaptiveMaxPooling2D(2, input_shape=(5, 4, 3))]).output_shape
    (None, 2, 2, 3)
    """

    _axes = 2
    _op = "max_pool2d"


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """Largest value of each of as many windows over ``[N, D, H, W, C]`` as the output has elements.

    Windows and parameters are those of `AdaptiveMaxPooling2D`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AdaptiveMaxPooling3D(2, input_shape=(5, 4, 2, 3))]).output_shape
    (None, 2, 2, 2, 3)
    """

    _axes = 3
    _op = "max_pool3d"


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """Mean of each of as many windows over ``[N, L, C]`` as the output has elements.

    Windows and parameters are those of `AdaptiveMaxPooling2D`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AdaptiveAveragePooling1D(2, input_shape=(5, 3))]).output_shape
    (None, 2, 3)
    """

    _axes = 1
    _op = "average_pool2d"


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """Mean of each of as many windows over ``[N, H, W, C]`` as the output has elements.

    Windows and parameters are those of `AdaptiveMaxPooling2D`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AdaptiveAveragePooling2D(2, input_shape=(5, 4, 3))]).output_shape
    (None, 2, 2, 3)
    """

    _axes = 2
    _op = "average_pool2d"


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """Mean of each of as many windows over ``[N, D, H, W, C]`` as the output has elements.

    Windows and parameters are those of `AdaptiveMaxPooling2D`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AdaptiveAveragePooling3D(2, input_shape=(5, 4, 2, 3))]).output_shape
    (None, 2, 2, 2, 3)
    """

    _axes = 3
    _op = "average_pool3d"
