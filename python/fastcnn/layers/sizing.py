# SPDX-License-Identifier: Apache-2.0
"""Images cut, in training or not, and brought to another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._arguments import choose, flag, integer, real
from fastcnn.errors import ArgumentError
from fastcnn.layers.augmentation import INTERPOLATIONS, Augmentation
from fastcnn.layers.base import Common, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Sized(Augmentation):
    """A layer whose images have a height and a width of their own."""

    def _set_size(self, height: object, width: object) -> None:
        self.height = integer(height, self._where("height"), least=1)
        self.width = integer(width, self._where("width"), least=1)

    def _node(self, kind: str, interpolation: str = "bilinear", **parts: bool) -> list[Node]:
        return self._seeded(
            {
                "op": "affine",
                "kind": kind,
                "height": self.height,
                "width": self.width,
                "interpolation": interpolation,
                "crop_to_aspect_ratio": False,
                "center": False,
                **parts,
            }
        )


class RandomCrop(_Sized):
    """In training, cut a window out of the images, at a place that is drawn for the batch.

    Otherwise, and where the images are not larger than the window along both axes, they show the largest
    part of its aspect that stands in their middle, brought to its size by bilinear interpolation.

    Parameters
    ----------
    height, width
        Pixels of the window.
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
    >>> Sequential([layers.RandomCrop(24, 20, input_shape=(32, 32, 3))]).output_shape
    (None, 24, 20, 3)
    """

    _fields = ("height", "width", "seed", "data_format")

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self._set_size(height, width)

    def nodes(self) -> list[Node]:
        """One operator."""
        return self._node("crop")


class CenterCrop(_Sized):
    """Cut a window out of the middle of the images, in training or not.

    Where the images are smaller along an axis they show the largest part of the window's aspect that stands
    in their middle, brought to its size by bilinear interpolation.

    Parameters
    ----------
    height, width
        Pixels of the window.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, or the input is no image ``[N, H, W, C]`` (``[N, C, H, W]``).

    Examples
    --------
    >>> from fastcnn import layers
    >>> layers.CenterCrop(1, 2)([[[1], [2], [3], [4]]]).ravel().tolist()
    [2.0, 3.0]
    """

    _fields = ("height", "width", "data_format")

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **common: Unpack[Common]
    ) -> None:
        super().__init__(None, data_format, **common)
        self._set_size(height, width)

    def nodes(self) -> list[Node]:
        """One operator."""
        return self._node("resize", center=True)


class Resizing(_Sized):
    """Bring images to a size, in training or not; the centres of pixels are at halves.

    ``y[p, q] = x`` at ``((p + 1/2) H / height - 1/2, (q + 1/2) W / width - 1/2)``.

    Parameters
    ----------
    height, width
        Pixels of the result.
    interpolation
        "bilinear" or "nearest".
    crop_to_aspect_ratio
        Whether to show the largest part of the images that has the aspect of the result, from their middle.
    pad_to_aspect_ratio, antialias
        False, the only one.
    fill_mode, fill_value
        "constant" and a number, for Keras's sake: nothing is padded.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, or the input is no image ``[N, H, W, C]`` (``[N, C, H, W]``).

    Examples
    --------
    >>> from fastcnn import layers
    >>> layers.Resizing(1, 4)([[[0], [4]]]).ravel().tolist()
    [0.0, 1.0, 3.0, 4.0]
    """

    _fields = (
        "height",
        "width",
        "interpolation",
        "crop_to_aspect_ratio",
        "pad_to_aspect_ratio",
        "fill_mode",
        "fill_value",
        "antialias",
        "data_format",
    )

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(None, data_format, **common)
        self._set_size(height, width)
        self.interpolation = choose(interpolation, INTERPOLATIONS, self._where("interpolation"))
        self.crop_to_aspect_ratio = flag(crop_to_aspect_ratio, self._where("crop_to_aspect_ratio"))
        self.fill_mode = choose(fill_mode, {"constant": "constant"}, self._where("fill_mode"))
        self.fill_value = real(fill_value, self._where("fill_value"))
        self.pad_to_aspect_ratio = self._no(pad_to_aspect_ratio, "pad_to_aspect_ratio")
        self.antialias = self._no(antialias, "antialias")

    def _no(self, value: object, argument: str) -> bool:
        if flag(value, self._where(argument)):
            raise ArgumentError(f"{self._where(argument)}: True came, wanted False, the only one")
        return False

    def nodes(self) -> list[Node]:
        """One operator."""
        return self._node("resize", self.interpolation, crop_to_aspect_ratio=self.crop_to_aspect_ratio)
