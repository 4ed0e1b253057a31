# SPDX-License-Identifier: Apache-2.0
"""Brightness, contrast and painted rectangles in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastcnn._arguments import real
from fastcnn.errors import ArgumentError
from fastcnn.layers.augmentation import Augmentation, Factor, between
from fastcnn.layers.base import Common, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Adjusting(Augmentation):
    """A layer with a range of values that its results are clipped to."""

    value_range: tuple[float, float]

    def _limits(self) -> Node:
        return {"minimum": self.value_range[0], "maximum": self.value_range[1]}


class RandomBrightness(_Adjusting):
    """In training, add a number that is drawn for each image, and clip.

    ``y = clip(x + d (b - a), a, b)`` for a range of values ``(a, b)``.

    Parameters
    ----------
    factor
        ``(low, high)`` of d, within [-1, 1]. A number f means ``(-f, f)``.
    value_range
        Of the images: ``(0, 255)``, or ``(0, 1)`` behind a `Rescaling`.
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
    >>> from fastcnn import layers
    >>> layers.RandomBrightness((0.5, 0.5), (0, 1))([[[0.25], [0.75]]]).ravel().tolist()
    [0.75, 1.0]
    """

    _fields = ("factor", "value_range", "seed", "data_format")

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        *,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self.factor = self._factor(factor, "factor", -1, 1)
        self.value_range = self._range(value_range)

    def nodes(self) -> list[Node]:
        """One operator."""
        drawn = between("factor", self.factor)
        return self._seeded({"op": "adjust", "kind": "brightness", **self._limits(), **drawn})


class RandomContrast(_Adjusting):
    """In training, spread the values of each channel of an image about their mean, and clip.

    ``y = clip((x - mean) f + mean, a, b)`` with one f for each image.

    Parameters
    ----------
    factor
        ``(lower, upper)`` within [0, 1]: f is drawn from ``[1 - lower, 1 + upper]``. A number is both.
    value_range
        ``(a, b)``: ``(0, 255)``, or ``(0, 1)`` behind a `Rescaling`.
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
    >>> from fastcnn import layers
    >>> layers.RandomContrast(0.0)([[[1], [2], [6]]]).ravel().tolist()
    [1.0, 2.0, 6.0]
    """

    _fields = ("factor", "value_range", "seed", "data_format")

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        *,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        where = self._where("factor")
        lower, upper = self._two(factor, "factor") if isinstance(factor, (tuple, list)) else (factor, factor)
        self.factor = (real(lower, where), real(upper, where))
        if not (-1 <= self.factor[0] <= 1 and 0 <= self.factor[1] <= 1 and -self.factor[0] <= self.factor[1]):
            raise ArgumentError(f"{where}: {factor!r} came, wanted numbers in [0, 1]")
        self.value_range = self._range(value_range)

    def nodes(self) -> list[Node]:
        """One operator."""
        drawn = between("factor", (1 - self.factor[0], 1 + self.factor[1]))
        return self._seeded({"op": "adjust", "kind": "contrast", **self._limits(), **drawn})


class RandomErasing(_Adjusting):
    """In training, paint over a rectangle of some images.

    Z. Zhong et al., "Random erasing data augmentation", 2017. Width and height of the rectangle are the roots
    of shares that are drawn from ``scale``, times the image's; it stands anywhere.

    Parameters
    ----------
    factor
        ``(low, high)`` of the probability that an image has a rectangle, within [0, 1]; it is drawn for each
        image. A number f means ``(0, f)``.
    scale
        ``(low, high)`` of the shares, within [0, 1]. A number means ``(0, scale)``.
    fill_value
        A number, or one for each of 3 channels; None: normal deviates times the upper end of ``value_range``.
        Clipped to ``value_range``.
    value_range
        ``(0, 255)``, or ``(0, 1)`` behind a `Rescaling`.
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
    >>> from fastcnn import layers
    >>> layers.RandomErasing((1, 1), scale=(1, 1), fill_value=7)([[[1], [2]]]).ravel().tolist()
    [7.0, 7.0]
    """

    _fields = ("factor", "scale", "fill_value", "value_range", "seed", "data_format")

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self.factor = self._factor(factor, "factor", 0, 1)
        self.scale = self._factor(scale, "scale", 0, 1)
        self.value_range = self._range(value_range)
        self.fill_value = self._fill(fill_value)

    def _fill(self, value: object) -> float | tuple[float, ...] | None:
        where = self._where("fill_value")
        if value is None or not isinstance(value, (tuple, list)):
            return None if value is None else real(value, where)
        if len(value) != 3:
            raise ArgumentError(f"{where}: {value!r} came, wanted a number, three of them, or None")
        return tuple(real(each, where) for each in value)

    def nodes(self) -> list[Node]:
        """One operator."""
        fills = () if self.fill_value is None else self.fill_value
        fills = fills if isinstance(fills, tuple) else (fills,)
        return self._seeded(
            {
                "op": "erase",
                **between("factor", self.factor),
                **between("scale", self.scale),
                **self._limits(),
                "fills": len(fills),
                **{f"fill_{i}": value for i, value in enumerate(fills)},
            }
        )
