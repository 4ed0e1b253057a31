# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution of sequences, images and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcnn._arguments import PaddingNd, Sizes, integer, sizes
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Node, WeightedLayer
from fastcnn.layers.convolution import Convolutional

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ConvolutionTranspose(Convolutional):
    """Base of the transposed convolutions."""

    _fields = (
        "filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate",
        *WeightedLayer._fields, "groups",
    )  # fmt: skip

    output_padding: tuple[int, ...] | None

    def _set_filters(self, filters: Any, groups: Any, output_padding: Any, data_format: Any) -> None:
        self.filters = integer(filters, self._where("filters"), least=1)
        self.groups = integer(groups, self._where("groups"), least=1)
        where = self._where("output_padding")
        self.output_padding = (
            None if output_padding is None else sizes(output_padding, where, self._rank, least=0)
        )
        self.data_format = _axes.data_format(data_format, self._where("data_format"))

    def nodes(self) -> list[Node]:
        """The convolution, then the activation."""
        node = {
            **self._window(),
            "filters": self.filters,
            "groups": self.groups,
            "output_padding": self.output_padding,
        }
        return _axes.laid_out(self.data_format, [node], self._activating())


class Conv1DTranspose(ConvolutionTranspose):
    """Transposed convolution of sequences; formula and sizes as in `fastcnn.ops.conv1d_transpose`.

    Input ``[N, L, C]``, output ``[N, Q, filters]``, kernel ``[S, filters / groups, C]``, bias
    ``[filters]``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``S``.
    strides, dilation_rate
        Between the windows of neighbouring inputs, and between the taps of one window.
    padding
        What is cut off the border: "valid" (nothing), "same", numbers, or a pair for each axis.
    output_padding
        Elements added behind; None: as many as Keras adds.
    data_format
        "channels_last", which None means, or "channels_first".
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.
    groups
        Divides both ``C`` and ``filters``.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Conv1DTranspose(8, 3, 2, "same", input_shape=(10, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 20, 8), 104)
    """

    _rank, _op = 1, "conv1d_transpose"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: PaddingNd = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        groups: int = 1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_filters(filters, groups, output_padding, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)


class Conv2DTranspose(ConvolutionTranspose):
    """Transposed convolution of images; formula and sizes as in `fastcnn.ops.conv2d_transpose`.

    Input ``[N, H, W, C]``, output ``[N, P, Q, filters]``, kernel ``[R, S, filters / groups, C]``, bias
    ``[filters]``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, dilation_rate
        Between the windows of neighbouring inputs, and between the taps of one window.
    padding
        What is cut off the border: "valid" (nothing), "same", numbers, or a pair for each axis.
    output_padding
        Elements added behind; None: as many as Keras adds.
    data_format
        "channels_last", which None means, or "channels_first".
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.
    groups
        Divides both ``C`` and ``filters``.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Conv2DTranspose(8, 3, 2, "same", input_shape=(7, 7, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 14, 14, 8), 296)
    """

    _rank, _op = 2, "conv2d_transpose"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = (1, 1),
        padding: PaddingNd = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        groups: int = 1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_filters(filters, groups, output_padding, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)


class Conv3DTranspose(ConvolutionTranspose):
    """Transposed convolution of volumes; formula and sizes as in `fastcnn.ops.conv3d_transpose`.

    Input ``[N, D, H, W, C]``, output ``[N, Z, P, Q, filters]``, kernel
    ``[T, R, S, filters / groups, C]``, bias ``[filters]``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``T``, ``R`` and ``S``; a number or three.
    strides, dilation_rate
        Between the windows of neighbouring inputs, and between the taps of one window.
    padding
        What is cut off the border: "valid" (nothing), "same", numbers, or a pair for each axis.
    output_padding
        Elements added behind; None: as many as Keras adds.
    data_format
        "channels_last", which None means, or "channels_first".
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.
    groups
        Divides both ``C`` and ``filters``.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Conv3DTranspose(8, 3, 2, "same", input_shape=(4, 4, 4, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 8, 8, 8, 8), 872)
    """

    _rank, _op = 3, "conv3d_transpose"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = (1, 1, 1),
        padding: PaddingNd = "valid",
        data_format: str | None = None,
        output_padding: Sizes | None = None,
        dilation_rate: Sizes = (1, 1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        groups: int = 1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_filters(filters, groups, output_padding, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)
