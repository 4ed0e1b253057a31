# SPDX-License-Identifier: Apache-2.0
"""Convolution of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastcnn import _arguments
from fastcnn._arguments import Padding, Pair, integer, pair
from fastcnn.layers.base import ACTIVATIONS, Node, WeightedLayer


class Conv2D(WeightedLayer):
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
    groups
        Divides both ``C`` and ``filters``.
    activation
        None, "relu", "sigmoid", "tanh", "softmax", "linear", or a function of `fastcnn.activations`.
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

    _fields = (
        "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", *WeightedLayer._fields
    )  # fmt: skip

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        strides: int | Pair = (1, 1),
        padding: Padding = "valid",
        *,
        dilation_rate: int | Pair = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.filters = integer(filters, self._where("filters"), least=1)
        self.kernel_size = pair(kernel_size, self._where("kernel_size"), least=1)
        self.strides = pair(strides, self._where("strides"), least=1)
        self.padding = _arguments.padding(padding, self._where("padding"))
        self.dilation_rate = pair(dilation_rate, self._where("dilation_rate"), least=1)
        self.groups = integer(groups, self._where("groups"), least=1)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)

    def nodes(self) -> list[Node]:
        """The convolution, then the activation."""
        node: Node = {
            "op": "conv2d",
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "use_bias": self.use_bias,
        }
        return [node, *ACTIVATIONS[self.activation]]
