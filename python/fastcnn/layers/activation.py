# SPDX-License-Identifier: Apache-2.0
"""Activations that stand as layers of their own; fused into the layer before wherever a kernel can."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn import initializers
from fastcnn._arguments import integer, listed, real
from fastcnn.layers import _axes
from fastcnn.layers.base import ACTIVATIONS, Activated, Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Activation(Activated):
    """Apply a function to every element.

    Parameters
    ----------
    activation
        A function of `fastcnn.activations`, or its name; softmax and log_softmax act on the last axis.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Activation("relu", input_shape=(1,))]).predict([[-2], [2]], verbose=0).tolist()
    [[0.0], [2.0]]
    """

    _fields = ("activation",)

    def __init__(self, activation: Any, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.activation = activation

    def nodes(self) -> list[Node]:
        """One operator, or none for "linear"."""
        return self._activating()


class ReLU(Layer):
    """``min(x, max_value)`` above the threshold, else ``negative_slope * (x - threshold)``; NaN stays NaN.

    Parameters
    ----------
    max_value
        None: no limit.
    negative_slope, threshold
        0 for the plain ``max(x, 0)``.

    Raises
    ------
    ArgumentError
        A number is negative or not finite.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.ReLU(3, input_shape=(1,))]).predict([[-2], [2], [4]], verbose=0).tolist()
    [[0.0], [2.0], [3.0]]
    """

    _fields = ("max_value", "negative_slope", "threshold")

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.max_value = None if max_value is None else real(max_value, self._where("max_value"), least=0)
        self.negative_slope = real(negative_slope, self._where("negative_slope"), least=0)
        self.threshold = real(threshold, self._where("threshold"), least=0)

    def nodes(self) -> list[Node]:
        """One operator, the simplest that says it."""
        if self.threshold == 0 and self.max_value is None:
            slope = {"negative_slope": self.negative_slope}
            return [{"op": "leaky_relu", **slope}] if self.negative_slope else ACTIVATIONS["relu"]
        limit = math.inf if self.max_value is None else self.max_value
        return [
            {
                "op": "general_relu",
                "negative_slope": self.negative_slope,
                "max_value": limit,
                "threshold": self.threshold,
            }
        ]


class LeakyReLU(Layer):
    """``x`` above 0, else ``negative_slope * x``.

    A. L. Maas et al., "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Parameters
    ----------
    negative_slope
        Of 0 or more.

    Raises
    ------
    ArgumentError
        The slope is negative or not finite.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.LeakyReLU(0.5, input_shape=(1,))]).predict([[-2], [2]], verbose=0).tolist()
    [[-1.0], [2.0]]
    """

    _fields = ("negative_slope",)

    def __init__(
        self,
        negative_slope: float = 0.3,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.negative_slope = real(negative_slope, self._where("negative_slope"), least=0)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "leaky_relu", "negative_slope": self.negative_slope}]


class PReLU(Layer):
    """``x`` above 0, else ``alpha * x`` with learnt slopes ``alpha``.

    K. He et al., "Delving deep into rectifiers", 2015.

    Parameters
    ----------
    alpha_initializer
        What the slopes start from; a name or an object of `fastcnn.initializers`.
    shared_axes
        Axes along which all elements share a slope, the first after the batch being 1: ``(1, 2)`` gives the
        channels of images one each. None: every element of a sample has its own.

    Raises
    ------
    ArgumentError, DTypeError
        An axis is not a whole number of 1 or more, or an initializer is unknown.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.PReLU(shared_axes=(1, 2), input_shape=(8, 8, 3))])
    >>> model.get_weights()[0].shape
    (1, 1, 3)
    """

    _fields = ("alpha_initializer", "shared_axes")
    _prefixes: ClassVar[dict[str, str]] = {"alpha": "alpha"}

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        *,
        shared_axes: Sequence[int] | int | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.alpha_initializer = initializers.get(alpha_initializer, self._where("alpha_initializer"))
        where = self._where("shared_axes")
        if isinstance(shared_axes, int):
            shared_axes = (shared_axes,)
        axes = None if shared_axes is None else listed(shared_axes, where, "integers")
        self.shared_axes = None if axes is None else tuple(integer(axis, where, least=1) for axis in axes)

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What the slopes start from."""
        return {"alpha": self.alpha_initializer}

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "prelu", "shared_axes": self.shared_axes or ()}]


class ELU(Layer):
    """``x`` above 0, else ``alpha * (exp(x) - 1)``.

    D.-A. Clevert et al., "Fast and accurate deep network learning by exponential linear units", 2016.

    Parameters
    ----------
    alpha
        Of 0 or more.

    Raises
    ------
    ArgumentError
        ``alpha`` is negative or not finite.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.ELU(input_shape=(1,))]).predict([[-200], [2]], verbose=0).tolist()
    [[-1.0], [2.0]]
    """

    _fields = ("alpha",)

    def __init__(self, alpha: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.alpha = real(alpha, self._where("alpha"), least=0)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "elu", "alpha": self.alpha}]


class Softmax(Layer):
    """``exp(x - max) / sum(exp(x - max))`` over one axis or several.

    Parameters
    ----------
    axis
        One or several, the batch being axis 0.

    Raises
    ------
    ArgumentError, DTypeError
        ``axis`` names the batch, an axis twice or one that is not there.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Softmax(input_shape=(2,))]).predict([[3, 3]], verbose=0).tolist()
    [[0.5, 0.5]]
    """

    _fields = ("axis",)

    def __init__(self, axis: int | Sequence[int] = -1, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.axis = _axes.axes_argument(axis, self._where("axis"))

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        count = len(_axes.listed(self.axis))
        return _axes.over(self.axis, [{"op": "softmax", "axes": count}])
