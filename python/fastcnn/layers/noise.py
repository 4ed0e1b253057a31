# SPDX-License-Identifier: Apache-2.0
"""Layers that act in training alone. What they draw follows from the model's seed and its step: the same on
every device and for any number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fastcnn._arguments import real
from fastcnn.layers import _axes
from fastcnn.layers.base import Idle, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _RateLayer(Layer):
    """A layer with a rate."""

    _fields: ClassVar[tuple[str, ...]] = ("rate",)
    _idle = ("seed", "noise_shape")
    _node: ClassVar[Node]

    def __init__(self, rate: float, **common: Unpack[Idle]) -> None:
        super().__init__(**common)
        self.rate = real(rate, self._where("rate"), least=0, below=1)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{**self._node, "rate": self.rate}]


class _SpatialDropout(_RateLayer):
    """A layer of two or three spatial axes; a sequence has its channels last."""

    _fields = ("rate", "data_format")

    def __init__(self, rate: float, data_format: str | None = None, **common: Unpack[Idle]) -> None:
        super().__init__(rate, **common)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        return _axes.laid_out(self.data_format, super().nodes())


class SpatialDropout1D(_RateLayer):
    """In training, set a share of the channels of a sample to 0 and divide the others by ``1 - rate``.

    J. Tompson et al., "Efficient object localization using convolutional networks", 2015. The input is
    ``[N, T, C]``.

    Parameters
    ----------
    rate
        Share of channels to drop, in [0, 1).

    Raises
    ------
    ArgumentError
        ``rate`` lies outside [0, 1).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.SpatialDropout1D(0.5, input_shape=(8, 3))]).output_shape
    (None, 8, 3)
    """

    _node: ClassVar[Node] = {"op": "spatial_dropout", "axes": 1}


class SpatialDropout2D(_SpatialDropout):
    """In training, set a share of the channels of a sample to 0 and divide the others by ``1 - rate``.

    J. Tompson et al., "Efficient object localization using convolutional networks", 2015. The input is
    ``[N, H, W, C]``.

    Parameters
    ----------
    rate
        Share of channels to drop, in [0, 1).
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError
        ``rate`` lies outside [0, 1).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.SpatialDropout2D(0.5, input_shape=(8, 8, 3))]).output_shape
    (None, 8, 8, 3)
    """

    _node: ClassVar[Node] = {"op": "spatial_dropout", "axes": 2}


class SpatialDropout3D(_SpatialDropout):
    """In training, set a share of the channels of a sample to 0 and divide the others by ``1 - rate``.

    J. Tompson et al., "Efficient object localization using convolutional networks", 2015. The input is
    ``[N, D, H, W, C]``.

    Parameters
    ----------
    rate
        Share of channels to drop, in [0, 1).
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError
        ``rate`` lies outside [0, 1).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.SpatialDropout3D(0.5, input_shape=(4, 8, 8, 3))]).output_shape
    (None, 4, 8, 8, 3)
    """

    _node: ClassVar[Node] = {"op": "spatial_dropout", "axes": 3}


class GaussianDropout(_RateLayer):
    """In training, multiply by normal deviates of mean 1 and variance ``rate / (1 - rate)``.

    N. Srivastava et al., JMLR 15, 2014, section 10.

    Parameters
    ----------
    rate
        In [0, 1); the variance is that of a dropout of the same rate.

    Raises
    ------
    ArgumentError
        ``rate`` lies outside [0, 1).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GaussianDropout(0.5, input_shape=(2,))]).predict([[1, 2]], verbose=0).tolist()
    [[1.0, 2.0]]
    """

    _node: ClassVar[Node] = {"op": "gaussian_dropout"}


class AlphaDropout(_RateLayer):
    """In training, set a share of the elements to what SELU tends to, and put mean and variance back.

    G. Klambauer et al., "Self-normalizing neural networks", 2017.

    Parameters
    ----------
    rate
        Share of elements to drop, in [0, 1).

    Raises
    ------
    ArgumentError
        ``rate`` lies outside [0, 1).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.AlphaDropout(0.5, input_shape=(2,))]).predict([[1, 2]], verbose=0).tolist()
    [[1.0, 2.0]]
    """

    _node: ClassVar[Node] = {"op": "alpha_dropout"}


class GaussianNoise(Layer):
    """In training, add normal deviates of mean 0.

    Parameters
    ----------
    stddev
        Their standard deviation, of 0 or more.

    Raises
    ------
    ArgumentError
        ``stddev`` is negative or not finite.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.GaussianNoise(0.1, input_shape=(2,))]).predict([[1, 2]], verbose=0).tolist()
    [[1.0, 2.0]]
    """

    _fields = ("stddev",)
    _idle = ("seed",)

    def __init__(self, stddev: float, **common: Unpack[Idle]) -> None:
        super().__init__(**common)
        self.stddev = real(stddev, self._where("stddev"), least=0)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "gaussian_noise", "stddev": self.stddev}]
