# SPDX-License-Identifier: Apache-2.0
"""Images flipped, moved, turned and enlarged in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._arguments import choose
from fastcnn.errors import ArgumentError
from fastcnn.layers.augmentation import Augmentation, Factor, Warping, between
from fastcnn.layers.base import Common, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MODES = {name: name for name in ("horizontal", "vertical", "horizontal_and_vertical")}


class RandomFlip(Augmentation):
    """In training, mirror every second image on average.

    Parameters
    ----------
    mode
        "horizontal" (left and right change places), "vertical", or "horizontal_and_vertical", which does both
        or neither.
    seed
        None: the model's.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, or the input is no image ``[N, H, W, C]`` (``[N, C, H, W]``).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> flip = layers.RandomFlip("horizontal", input_shape=(1, 3, 1))
    >>> Sequential([flip]).predict([[[[1], [2], [3]]]], verbose=0).ravel().tolist()
    [1.0, 2.0, 3.0]
    """

    _fields = ("mode", "seed", "data_format")

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self.mode = choose(mode, _MODES, self._where("mode"))

    def nodes(self) -> list[Node]:
        """One operator."""
        axes = {axis: axis in self.mode for axis in ("horizontal", "vertical")}
        return self._seeded({"op": "affine", "kind": "flip", **axes})


class RandomTranslation(Warping):
    """In training, move each image by a share of its size that is drawn for it.

    ``y[p, q] = x[p - dy H, q - dx W]``.

    Parameters
    ----------
    height_factor, width_factor
        ``(low, high)`` within [-1, 1]: dy moves down and dx to the right where it is above 0. A number f
        means ``(-f, f)``.
    fill_mode
        What shows beyond the border: "reflect" ``(d c b a | a b c d | d c b a)``, "nearest"
        ``(a a a a | a b c d | d d d d)``, "wrap" ``(a b c d | a b c d | a b c d)``, or "constant", which is
        ``fill_value``.
    interpolation
        "bilinear" or "nearest".
    seed
        None: the model's.
    fill_value
        Of "constant".
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, or the input is no image ``[N, H, W, C]`` (``[N, C, H, W]``).

    Examples
    --------
    >>> from fastcnn import layers
    >>> right = layers.RandomTranslation(0, (0.25, 0.25), fill_mode="wrap")
    >>> right([[[1], [2], [3], [4]]]).ravel().tolist()
    [4.0, 1.0, 2.0, 3.0]
    """

    _fields = (
        "height_factor",
        "width_factor",
        "fill_mode",
        "interpolation",
        "seed",
        "fill_value",
        "data_format",
    )
    _kind = "translation"

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **common)
        self.height_factor = self._factor(height_factor, "height_factor", -1, 1)
        self.width_factor = self._factor(width_factor, "width_factor", -1, 1)

    def nodes(self) -> list[Node]:
        """One operator."""
        return self._node(**between("height", self.height_factor), **between("width", self.width_factor))


class RandomRotation(Warping):
    """In training, turn each image about its middle by an angle that is drawn for it.

    Parameters
    ----------
    factor
        ``(low, high)`` in turns, within [-1, 1]: 0.25 is a quarter turn, counterclockwise. A number f means
        ``(-f, f)``.
    fill_mode
        What shows beyond the border: "reflect" ``(d c b a | a b c d | d c b a)``, "nearest"
        ``(a a a a | a b c d | d d d d)``, "wrap" ``(a b c d | a b c d | a b c d)``, or "constant", which is
        ``fill_value``.
    interpolation
        "bilinear" or "nearest".
    seed
        None: the model's.
    fill_value
        Of "constant".
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, or the input is no image ``[N, H, W, C]`` (``[N, C, H, W]``).

    Examples
    --------
    >>> from fastcnn import layers
    >>> quarter = layers.RandomRotation((0.25, 0.25))
    >>> quarter([[[1], [2]], [[3], [4]]])[..., 0].tolist()
    [[2.0, 4.0], [1.0, 3.0]]
    """

    _fields = ("factor", "fill_mode", "interpolation", "seed", "fill_value", "data_format")
    _kind = "rotation"

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **common)
        self.factor = self._factor(factor, "factor", -1, 1)

    def nodes(self) -> list[Node]:
        """One operator."""
        return self._node(**between("factor", self.factor))


class RandomZoom(Warping):
    """In training, zoom out of each image, or into it where the factor is below 0, about its middle.

    ``y[p, q] = x`` at ``(1 + f) (p - (H - 1) / 2) + (H - 1) / 2``, and so along the width.

    Parameters
    ----------
    height_factor, width_factor
        ``(low, high)`` within (-1, 1]. A number f means ``(-f, f)``. None for the width: as the height, so
        that the aspect stays.
    fill_mode
        What shows beyond the border: "reflect" ``(d c b a | a b c d | d c b a)``, "nearest"
        ``(a a a a | a b c d | d d d d)``, "wrap" ``(a b c d | a b c d | a b c d)``, or "constant", which is
        ``fill_value``.
    interpolation
        "bilinear" or "nearest".
    seed
        None: the model's.
    fill_value
        Of "constant".
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, or the input is no image ``[N, H, W, C]`` (``[N, C, H, W]``).

    Examples
    --------
    >>> from fastcnn import layers
    >>> double = layers.RandomZoom((-0.5, -0.5))
    >>> double([[[0], [4], [8], [12]]]).ravel().tolist()
    [3.0, 5.0, 7.0, 9.0]
    """

    _fields = (
        "height_factor",
        "width_factor",
        "fill_mode",
        "interpolation",
        "seed",
        "fill_value",
        "data_format",
    )
    _kind = "zoom"

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **common)
        self.height_factor = self._factor(height_factor, "height_factor", -1, 1)
        self.width_factor = (
            None if width_factor is None else self._factor(width_factor, "width_factor", -1, 1)
        )
        for name in ("height_factor", "width_factor"):
            limits = getattr(self, name)
            if limits is not None and limits[1] <= -1:
                raise ArgumentError(f"{self._where(name)}: {limits[1]:g} came, wanted a number above -1")

    def nodes(self) -> list[Node]:
        """One operator."""
        width = {} if self.width_factor is None else between("width", self.width_factor)
        return self._node(**between("height", self.height_factor), **width)
