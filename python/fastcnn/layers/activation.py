# SPDX-License-Identifier: Apache-2.0
"""Activations that stand as layers of their own; fused into the layer before wherever a kernel can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastcnn.layers.base import ACTIVATIONS, Layer, Node, activation_name


class Activation(Layer):
    """Apply a function to every element.

    Parameters
    ----------
    activation
        "relu", "sigmoid", "tanh", "softmax" (over the last axis), "linear", or a function of
        `fastcnn.activations`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Activation("relu", input_shape=(1,))]).predict([[-2], [2]], verbose=0).tolist()
    [[0.0], [2.0]]
    """

    _fields = ("activation",)

    def __init__(
        self, activation: Any, *, name: str | None = None, input_shape: Sequence[int] | None = None
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.activation = activation_name(activation, self._where("activation"))

    def nodes(self) -> list[Node]:
        """One operator, or none for "linear"."""
        return ACTIVATIONS[self.activation]


class ReLU(Layer):
    """``max(x, 0)``; NaN stays NaN.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.ReLU(input_shape=(1,))]).predict([[-2], [2]], verbose=0).tolist()
    [[0.0], [2.0]]
    """

    def nodes(self) -> list[Node]:
        """One operator."""
        return ACTIVATIONS["relu"]


class Softmax(Layer):
    """``exp(x - max) / sum(exp(x - max))`` over the last axis.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Softmax(input_shape=(2,))]).predict([[3, 3]], verbose=0).tolist()
    [[0.5, 0.5]]
    """

    def nodes(self) -> list[Node]:
        """One operator."""
        return ACTIVATIONS["softmax"]
