# SPDX-License-Identifier: Apache-2.0
"""Layers that pad, crop and enlarge along the spatial axes, of which there are one to three."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn._arguments import choose, integer
from fastcnn.errors import ArgumentError
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack

Sides = tuple[tuple[int, int], ...]


class _Spatial(Layer):
    """A layer that acts on the spatial axes of images."""

    _axes: ClassVar[int]

    def _sides(self, value: object, argument: str) -> Sides:
        """``n``, one number for each axis or ``(before, after)`` for each; of one axis that pair alone."""
        where = self._where(argument)
        if not isinstance(value, (tuple, list)):
            number = integer(value, where, least=0)
            return ((number, number),) * self._axes
        entries = [value] if self._axes == 1 else value
        if len(entries) != self._axes:
            raise ArgumentError(f"{where}: {value!r} came, wanted {self._axes} entries, one for each axis")
        return tuple(self._pair(entry, where) for entry in entries)

    @staticmethod
    def _pair(value: object, where: str) -> tuple[int, int]:
        if not isinstance(value, (tuple, list)):
            number = integer(value, where, least=0)
            return number, number
        if len(value) != 2:
            raise ArgumentError(f"{where}: {value!r} came, wanted (before, after)")
        return integer(value[0], where, least=0), integer(value[1], where, least=0)

    def _given(self, sides: Sides) -> Any:
        """In the constructor's form."""
        return sides[0] if self._axes == 1 else sides

    def _set_layout(self, data_format: object) -> None:
        self.data_format = _axes.data_format(data_format, self._where("data_format"))


class _ZeroPadding(_Spatial):
    _fields = ("padding", "data_format")

    def _set(self, padding: object, data_format: object) -> None:
        self._amount = self._sides(padding, "padding")
        self.padding = self._given(self._amount)
        self._set_layout(data_format)

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        node = {"op": "zero_padding", "padding": [n for side in self._amount for n in side]}
        return _axes.laid_out(self.data_format, [node])


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps of ``[N, L, C]``.

    Parameters
    ----------
    padding
        A number for both sides, or ``(before, after)``.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        A number is negative, or the input has other axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.ZeroPadding1D((1, 2), input_shape=(5, 3))]).output_shape
    (None, 8, 3)
    """

    _axes = 1

    def __init__(
        self,
        padding: int | tuple[int, int] = 1,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(padding, data_format)


class ZeroPadding2D(_ZeroPadding):
    """Zeros around the pixels of ``[N, H, W, C]``.

    Parameters
    ----------
    padding
        A number for all sides, ``(rows, columns)``, or ``((top, bottom), (left, right))``.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        A number is negative, or the input has other axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.ZeroPadding2D(((1, 0), (2, 2)), input_shape=(28, 28, 3))]).output_shape
    (None, 29, 32, 3)
    """

    _axes = 2

    def __init__(
        self,
        padding: int | tuple[int, int] | Sides = (1, 1),
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(padding, data_format)


class ZeroPadding3D(_ZeroPadding):
    """Zeros around the voxels of ``[N, D, H, W, C]``: `ZeroPadding2D` for three axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.ZeroPadding3D((1, 2, 0), input_shape=(8, 8, 8, 1))]).output_shape
    (None, 10, 12, 8, 1)
    """

    _axes = 3

    def __init__(
        self,
        padding: int | tuple[int, int, int] | Sides = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(padding, data_format)


class _Cropping(_Spatial):
    _fields: ClassVar[tuple[str, ...]] = ("cropping", "data_format")

    def _set(self, cropping: object, data_format: object) -> None:
        self._amount = self._sides(cropping, "cropping")
        self.cropping = self._given(self._amount)
        self._set_layout(data_format)

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        node = {"op": "cropping", "cropping": [n for side in self._amount for n in side]}
        return _axes.laid_out(self.data_format, [node])


class Cropping1D(_Cropping):
    """``[N, L, C]`` without its first and last steps.

    Parameters
    ----------
    cropping
        A number for both sides, or ``(before, after)``.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        A number is negative, nothing would be left, or the input has other axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Cropping1D((1, 2), input_shape=(5, 3))]).output_shape
    (None, 2, 3)
    """

    _axes = 1
    _fields = ("cropping",)

    def __init__(
        self,
        cropping: int | tuple[int, int] = (1, 1),
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(cropping, None)


class Cropping2D(_Cropping):
    """``[N, H, W, C]`` without its outer pixels.

    Parameters
    ----------
    cropping
        A number for all sides, ``(rows, columns)``, or ``((top, bottom), (left, right))``.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        A number is negative, nothing would be left, or the input has other axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Cropping2D(((1, 0), (2, 2)), input_shape=(28, 28, 3))]).output_shape
    (None, 27, 24, 3)
    """

    _axes = 2

    def __init__(
        self,
        cropping: int | tuple[int, int] | Sides = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(cropping, data_format)


class Cropping3D(_Cropping):
    """``[N, D, H, W, C]`` without its outer voxels; parameters are those of `Cropping2D`, for three axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Cropping3D((1, 2, 0), input_shape=(8, 8, 8, 1))]).output_shape
    (None, 6, 4, 8, 1)
    """

    _axes = 3

    def __init__(
        self,
        cropping: int | tuple[int, int, int] | Sides = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(cropping, data_format)


class _UpSampling(_Spatial):
    _fields: ClassVar[tuple[str, ...]] = ("size", "data_format")
    interpolation = "nearest"

    def _set(self, size: object, data_format: object) -> None:
        where = self._where("size")
        entries = list(size) if isinstance(size, (tuple, list)) else [size] * self._axes
        if len(entries) != self._axes:
            raise ArgumentError(f"{where}: {size!r} came, wanted {self._axes} entries, one for each axis")
        self._factors = tuple(integer(entry, where, least=1) for entry in entries)
        self.size = self._factors[0] if self._axes == 1 else self._factors
        self._set_layout(data_format)

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        node = {"op": "upsampling", "size": self._factors, "interpolation": self.interpolation}
        return _axes.laid_out(self.data_format, [node])


class UpSampling1D(_UpSampling):
    """Repeat each step of ``[N, L, C]``.

    Parameters
    ----------
    size
        How often.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        It is not positive, or the input has other axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.UpSampling1D(3, input_shape=(5, 2))]).output_shape
    (None, 15, 2)
    """

    _axes = 1
    _fields = ("size",)

    def __init__(self, size: int = 2, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self._set(size, None)


class UpSampling2D(_UpSampling):
    """Enlarge ``[N, H, W, C]`` by whole factors; formulas: `fastcnn.ops.upsampling`.

    Parameters
    ----------
    size
        A factor for both axes, or ``(rows, columns)``.
    data_format
        "channels_last", which None means, or "channels_first".
    interpolation
        "nearest" or "bilinear".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        A factor is not positive, a name is unknown, or the input has other axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.UpSampling2D(2, interpolation="bilinear", input_shape=(7, 5, 3))]).output_shape
    (None, 14, 10, 3)
    """

    _axes = 2
    _fields = ("size", "data_format", "interpolation")

    def __init__(
        self,
        size: int | tuple[int, int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(size, data_format)
        names = {each: each for each in ("nearest", "bilinear")}
        self.interpolation = choose(interpolation, names, self._where("interpolation"))


class UpSampling3D(_UpSampling):
    """Repeat each voxel of ``[N, D, H, W, C]``; parameters are those of `UpSampling2D`, for three axes.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.UpSampling3D((2, 1, 3), input_shape=(4, 4, 4, 1))]).output_shape
    (None, 8, 4, 12, 1)
    """

    _axes = 3

    def __init__(
        self,
        size: int | tuple[int, int, int] = (2, 2, 2),
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set(size, data_format)
