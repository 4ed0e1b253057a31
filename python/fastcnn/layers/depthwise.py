# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution of sequences and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn import initializers
from fastcnn._arguments import PaddingNd, Sizes, flag, integer
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Node
from fastcnn.layers.convolution import Convolutional

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DepthwiseConvolution(Convolutional):
    """Base of the depthwise convolutions."""

    _fields: ClassVar[tuple[str, ...]] = (
        "kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate", "activation",
        "use_bias", "depthwise_initializer", "bias_initializer",
    )  # fmt: skip

    _prefixes: ClassVar[dict[str, str]] = {"kernel": "depthwise", "bias": "bias"}

    depthwise_initializer: initializers.Initializer

    def _set_depthwise(self, depth_multiplier: Any, depthwise_initializer: Any, data_format: Any) -> None:
        self.depth_multiplier = integer(depth_multiplier, self._where("depth_multiplier"), least=1)
        where = self._where("depthwise_initializer")
        self.depthwise_initializer = initializers.get(depthwise_initializer, where)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))

    def _set_output(self, activation: Any, use_bias: bool, bias_initializer: Any) -> None:
        self.activation = activation
        self.use_bias = flag(use_bias, self._where("use_bias"))
        self.bias_initializer = initializers.get(bias_initializer, self._where("bias_initializer"))

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What kernel and bias start from."""
        return {"kernel": self.depthwise_initializer, "bias": self.bias_initializer}

    def nodes(self) -> list[Node]:
        """The convolution, then the activation."""
        node = {**self._window(), "depth_multiplier": self.depth_multiplier}
        return _axes.laid_out(self.data_format, [node], self._activating())


class DepthwiseConv1D(DepthwiseConvolution):
    """Convolve every channel with filters of its own; formula as in `fastcnn.ops.depthwise_conv1d`.

    Input ``[N, L, C]``, output ``[N, Q, C * M]``, kernel ``[S, C, M]``, bias
    ``[C * M]``, where ``M`` is ``depth_multiplier``.

    Parameters
    ----------
    kernel_size
        ``S``.
    strides, padding, dilation_rate
        As for `Conv1D`.
    depth_multiplier
        Filters of each channel.
    data_format
        "channels_last", which None means, or "channels_first".
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    depthwise_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.DepthwiseConv1D(3, padding="same", input_shape=(10, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 10, 4), 16)
    """

    _rank, _op = 1, "depthwise_conv1d"

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: PaddingNd = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_depthwise(depth_multiplier, depthwise_initializer, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_output(activation, use_bias, bias_initializer)


class DepthwiseConv2D(DepthwiseConvolution):
    """Convolve every channel with filters of its own; formula as in `fastcnn.ops.depthwise_conv2d`.

    Input ``[N, H, W, C]``, output ``[N, P, Q, C * M]``, kernel ``[R, S, C, M]``, bias
    ``[C * M]``, where ``M`` is ``depth_multiplier``.

    Parameters
    ----------
    kernel_size
        ``R`` and ``S``; a number or a pair.
    strides, padding, dilation_rate
        As for `Conv2D`.
    depth_multiplier
        Filters of each channel.
    data_format
        "channels_last", which None means, or "channels_first".
    activation
        None, the name of an activation, or a function of `fastcnn.activations`.
    use_bias
        Whether to add ``bias``.
    depthwise_initializer, bias_initializer
        What the weights start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.DepthwiseConv2D(3, padding="same", input_shape=(8, 8, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 8, 8, 4), 40)
    """

    _rank, _op = 2, "depthwise_conv2d"

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = (1, 1),
        padding: PaddingNd = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self._set_depthwise(depth_multiplier, depthwise_initializer, data_format)
        self._set_window(kernel_size, strides, padding, dilation_rate)
        self._set_output(activation, use_bias, bias_initializer)
