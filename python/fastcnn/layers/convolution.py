# SPDX-License-Identifier: Apache-2.0
"""Convolution of sequences, images and volumes, and what all layers of convolution share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn import _arguments
from fastcnn._arguments import PaddingNd, Pair, Sizes, integer, sizes
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Node, WeightedLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Convolutional(WeightedLayer):
    """Base of all convolutions: how the window walks, and the nodes."""

    _rank: ClassVar[int]
    _op: ClassVar[str]
    _causal: ClassVar[bool] = False

    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str | tuple[Pair, ...]
    data_format: str
    dilation_rate: tuple[int, ...]

    def _set_window(self, kernel_size: Any, strides: Any, padding: Any, dilation_rate: Any) -> None:
        rank = self._rank
        self.kernel_size = sizes(kernel_size, self._where("kernel_size"), rank, least=1)
        self.strides = sizes(strides, self._where("strides"), rank, least=1)
        self.padding = _arguments.padding_nd(padding, self._where("padding"), rank, causal=self._causal)
        self.dilation_rate = sizes(dilation_rate, self._where("dilation_rate"), rank, least=1)

    def _window(self) -> Node:
        """What the nodes of every kind of convolution have in common."""
        return {
            "op": self._op,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "use_bias": self.use_bias,
        }


class Convolution(Convolutional):
    """Base of the plain convolutions."""

    _fields = (
        "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups",
        *WeightedLayer._fields,
    )  # fmt: skip

    def _set_filters(self, filters: Any, groups: Any, data_format: Any) -> None:
        self.filters = integer(filters, self._where("filters"), least=1)
        self.groups = integer(groups, self._where("groups"), least=1)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))

    def nodes(self) -> list[Node]:
        """The convolution, then the activation."""
        node = {**self._window(), "filters": self.filters, "groups": self.groups}
        return _axes.laid_out(self.data_format, [node], self._activating())


class Conv1D(Convolution):
    """Convolve sequences with a bank of filters; formula and padding as in `fastcnn.ops.conv1d`.

    Input ``[N, L, C]``, output ``[N, Q, filters]``, kernel ``[S, C / groups, filters]``, bias
    ``[filters]``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``S``.
    strides, dilation_rate
        Steps between windows, and between the taps of one window.
    padding
        "valid", "same", "causal" (an output sees its own step and earlier ones alone), ``p`` or
        ``((before, after),)``.
    data_format
        "channels_last", which None means, or "channels_first".
    groups
        Divides both ``C`` and ``filters``.
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Conv1D(8, 3, padding="causal", input_shape=(100, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 100, 8), 104)
    """

    _rank, _op, _causal = 1, "conv1d", True

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: PaddingNd = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_filters(filters, groups, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)


class Conv2D(Convolution):
    """Convolve images with a bank of filters; formula and padding as in `fastcnn.ops.conv2d`.

    Input ``[N, H, W, C]``, output ``[N, P, Q, filters]``, kernel ``[R, S, C / groups, filters]``, bias
    ``[filters]``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, dilation_rate
        Pixels between windows, and between the taps of one window; a number or ``(height, width)``.
    padding
        "valid", "same", ``p``, ``(h, w)`` or ``((top, bottom), (left, right))``.
    data_format
        "channels_last", which None means, or "channels_first".
    groups
        Divides both ``C`` and ``filters``.
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Conv2D(32, 3, padding="same", activation="relu", input_shape=(28, 28, 1))])
    >>> model.output_shape, model.count_params()
    ((None, 28, 28, 32), 320)
    """

    _rank, _op = 2, "conv2d"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = (1, 1),
        padding: PaddingNd = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_filters(filters, groups, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)


class Conv3D(Convolution):
    """Convolve volumes with a bank of filters; formula and padding as in `fastcnn.ops.conv3d`.

    Input ``[N, D, H, W, C]``, output ``[N, Z, P, Q, filters]``, kernel
    ``[T, R, S, C / groups, filters]``, bias ``[filters]``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``T``, ``R`` and ``S``; a number or three.
    strides, dilation_rate
        Between windows, and between the taps of one window; a number or ``(depth, height, width)``.
    padding
        "valid", "same", ``p``, ``(d, h, w)`` or ``((front, back), (top, bottom), (left, right))``.
    data_format
        "channels_last", which None means, or "channels_first".
    groups
        Divides both ``C`` and ``filters``.
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Conv3D(8, 3, padding="same", input_shape=(16, 16, 16, 1))])
    >>> model.output_shape, model.count_params()
    ((None, 16, 16, 16, 8), 224)
    """

    _rank, _op = 3, "conv3d"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = (1, 1, 1),
        padding: PaddingNd = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = (1, 1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_filters(filters, groups, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)
