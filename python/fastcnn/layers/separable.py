# SPDX-License-Identifier: Apache-2.0
"""Separable convolution of sequences and images: a depthwise one, then a pointwise one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn import initializers
from fastcnn._arguments import PaddingNd, Sizes, integer
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Node
from fastcnn.layers.depthwise import DepthwiseConvolution

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SeparableConvolution(DepthwiseConvolution):
    """Base of the separable convolutions."""

    _fields = (
        "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "depth_multiplier",
        "activation", "use_bias", "depthwise_initializer", "pointwise_initializer", "bias_initializer",
    )  # fmt: skip

    _prefixes: ClassVar[dict[str, str]] = {
        "depthwise_kernel": "depthwise",
        "pointwise_kernel": "pointwise",
        "bias": "bias",
    }

    def _set_pointwise(self, filters: Any, pointwise_initializer: Any) -> None:
        self.filters = integer(filters, self._where("filters"), least=1)
        where = self._where("pointwise_initializer")
        self.pointwise_initializer = initializers.get(pointwise_initializer, where)

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What both kernels and the bias start from."""
        return {
            "depthwise_kernel": self.depthwise_initializer,
            "pointwise_kernel": self.pointwise_initializer,
            "bias": self.bias_initializer,
        }

    def nodes(self) -> list[Node]:
        """The depthwise half, the pointwise half, then the activation."""
        depthwise = {
            **self._window(),
            "depth_multiplier": self.depth_multiplier,
            "use_bias": False,
            "kernel_role": "depthwise_kernel",
        }
        ones = (1,) * self._rank
        pointwise = {
            "op": f"conv{self._rank}d",
            "filters": self.filters,
            "kernel_size": ones,
            "strides": ones,
            "padding": "valid",
            "dilation_rate": ones,
            "groups": 1,
            "use_bias": self.use_bias,
            "kernel_role": "pointwise_kernel",
        }
        return _axes.laid_out(self.data_format, [depthwise, pointwise], self._activating())


class SeparableConv1D(SeparableConvolution):
    """A depthwise convolution, then a pointwise one; formula as in `fastcnn.ops.separable_conv1d`.

    Input ``[N, L, C]``, output ``[N, Q, filters]``; the kernels are ``[S, C, M]`` and
    ``[1, C * M, filters]``, the bias is ``[filters]``; ``M`` is ``depth_multiplier``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``S``.
    strides, padding, dilation_rate
        Of the depthwise half, as for `Conv1D`.
    data_format
        "channels_last", which None means, or "channels_first".
    depth_multiplier
        Filters of each channel in the depthwise half.
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    depthwise_initializer, pointwise_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.SeparableConv1D(8, 3, padding="same", input_shape=(10, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 10, 8), 52)
    """

    _rank, _op = 1, "depthwise_conv1d"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: PaddingNd = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_pointwise(filters, pointwise_initializer)
        self._set_depthwise(depth_multiplier, depthwise_initializer, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_output(activation, use_bias, bias_initializer)


class SeparableConv2D(SeparableConvolution):
    """A depthwise convolution, then a pointwise one; formula as in `fastcnn.ops.separable_conv2d`.

    Input ``[N, H, W, C]``, output ``[N, P, Q, filters]``; the kernels are ``[R, S, C, M]`` and
    ``[1, 1, C * M, filters]``, the bias is ``[filters]``; ``M`` is ``depth_multiplier``.

    Parameters
    ----------
    filters
        Output channels.
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, padding, dilation_rate
        Of the depthwise half, as for `Conv2D`.
    data_format
        "channels_last", which None means, or "channels_first".
    depth_multiplier
        Filters of each channel in the depthwise half.
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    depthwise_initializer, pointwise_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.SeparableConv2D(8, 3, padding="same", input_shape=(8, 8, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 8, 8, 8), 76)
    """

    _rank, _op = 2, "depthwise_conv2d"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = (1, 1),
        padding: PaddingNd = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_pointwise(filters, pointwise_initializer)
        self._set_depthwise(depth_multiplier, depthwise_initializer, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_output(activation, use_bias, bias_initializer)
