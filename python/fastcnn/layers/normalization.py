# SPDX-License-Identifier: Apache-2.0
"""Normalization of channels, groups, samples and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn import initializers
from fastcnn._arguments import flag, integer, real
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Normalization(Layer):
    """What all share: the axis, epsilon, and gamma and beta with their initializers."""

    _fields: ClassVar[tuple[str, ...]] = (
        "axis",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
    )

    _prefixes: ClassVar[dict[str, str]] = {"gamma": "gamma", "beta": "beta"}

    axis: _axes.Axes
    epsilon: float
    center: bool
    scale: bool
    beta_initializer: initializers.Initializer
    gamma_initializer: initializers.Initializer

    def _set(
        self, epsilon: float, center: bool, scale: bool, beta_initializer: Any, gamma_initializer: Any
    ) -> None:
        self.epsilon = real(epsilon, self._where("epsilon"), least=0)
        self.center = flag(center, self._where("center"))
        self.scale = flag(scale, self._where("scale"))
        self.beta_initializer = initializers.get(beta_initializer, self._where("beta_initializer"))
        self.gamma_initializer = initializers.get(gamma_initializer, self._where("gamma_initializer"))

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What gamma and beta start from."""
        return {"gamma": self.gamma_initializer, "beta": self.beta_initializer}

    def _over(self, op: str, **attributes: Any) -> list[Node]:
        """Over the channels, wherever they are, or the axes of the rows."""
        node = {"op": op, "epsilon": self.epsilon, "center": self.center, "scale": self.scale, **attributes}
        return _axes.over(self.axis, [node])


class BatchNormalization(_Normalization):
    """Each channel with mean 0 and variance 1 over the batch, then ``gamma * x + beta``.

    S. Ioffe and C. Szegedy, ICML 2015. In training the statistics are those of the batch, and the moving ones
    follow: ``moving = moving * momentum + batch * (1 - momentum)``, with the biased variance. In `evaluate`
    and `predict`, and in training while ``trainable`` is False, the moving ones are used.

    Parameters
    ----------
    axis
        Of the channels, the batch being axis 0: -1, or 1 for channels first.
    momentum
        Share of the moving statistics that stays, in [0, 1].
    epsilon
        Added to the variance, at least 0.
    center, scale
        Whether there is a ``beta``, a ``gamma``.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer
        What the weights ``[C]`` start from.
    synchronized
        Without effect: there is one device.

    Raises
    ------
    ArgumentError, DTypeError
        An argument has the wrong type or lies outside its range.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.BatchNormalization(input_shape=(8, 8, 3))])
    >>> [weights.tolist() for weights in model.get_weights()]
    [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    _fields = (
        "axis",
        "momentum",
        *_Normalization._fields[1:],
        "moving_mean_initializer",
        "moving_variance_initializer",
    )
    _statistics = ("moving_mean", "moving_variance")

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        *,
        synchronized: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = integer(axis, self._where("axis"))
        self.momentum = real(momentum, self._where("momentum"), least=0)
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer)
        mean, variance = self._where("moving_mean_initializer"), self._where("moving_variance_initializer")
        self.moving_mean_initializer = initializers.get(moving_mean_initializer, mean)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer, variance)
        flag(synchronized, self._where("synchronized"))

    @property
    def weight_initializers(self) -> dict[str, initializers.Initializer]:
        """What gamma, beta and the moving statistics start from."""
        return {
            **super().weight_initializers,
            "moving_mean": self.moving_mean_initializer,
            "moving_variance": self.moving_variance_initializer,
        }

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        return self._over("batch_norm", momentum=self.momentum)


class GroupNormalization(_Normalization):
    """Each sample and group of neighbouring channels with mean 0 and variance 1, then ``gamma * x + beta``.

    Y. Wu and K. He, ECCV 2018.

    Parameters
    ----------
    groups
        Divides the channels; -1 means a group for each of them.
    axis
        Of the channels, the batch being axis 0: -1, or 1 for channels first.
    epsilon, center, scale, beta_initializer, gamma_initializer
        As in `BatchNormalization`.

    Raises
    ------
    ArgumentError, DTypeError
        ``groups`` does not divide the channels, or an argument is wrong.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.GroupNormalization(2, epsilon=0, input_shape=(4,))])
    >>> model.predict([[1, 3, 10, 30]], verbose=0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    _fields = ("groups", *_Normalization._fields)

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.groups = integer(groups, self._where("groups"))
        self.axis = integer(axis, self._where("axis"))
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer)

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        return self._over("group_norm", groups=self.groups)


class InstanceNormalization(_Normalization):
    """Each sample and channel with mean 0 and variance 1, then ``gamma * x + beta``.

    D. Ulyanov et al., 2016: `GroupNormalization` with a group for each channel, which Keras has no layer of
    its own for.

    Parameters
    ----------
    axis, epsilon, center, scale, beta_initializer, gamma_initializer
        As in `BatchNormalization`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.InstanceNormalization(epsilon=0, input_shape=(2, 1))])
    >>> model.predict([[[1], [3]]], verbose=0).ravel().tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = integer(axis, self._where("axis"))
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer)

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        return self._over("group_norm", groups=-1)


class LayerNormalization(_Normalization):
    """One axis or several of each sample with mean 0 and variance 1, then ``gamma * x + beta``.

    J. L. Ba, J. R. Kiros and G. E. Hinton, 2016.

    Parameters
    ----------
    axis
        One or several, the batch being axis 0: ``-1``, ``(1, 2, 3)``.
    epsilon, center, scale, beta_initializer, gamma_initializer
        As in `BatchNormalization`; gamma and beta have the shape of the normalized axes, in their own order.

    Raises
    ------
    ArgumentError, DTypeError
        ``axis`` names the batch, an axis twice or one that is not there, or an argument is wrong.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.LayerNormalization(epsilon=0, input_shape=(2,))])
    >>> model.predict([[1, 3]], verbose=0).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = _axes.axes_argument(axis, self._where("axis"))
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer)

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        return self._over("layer_norm", axis=_axes.last(self.axis))


class RMSNormalization(_Normalization):
    """``scale * x / sqrt(mean(x^2) + epsilon)`` over one axis or several.

    B. Zhang and R. Sennrich, NeurIPS 2019. The weight is called gamma here, as in the other layers.

    Parameters
    ----------
    axis
        As in `LayerNormalization`.
    epsilon
        Added to the mean of the squares, at least 0.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.RMSNormalization(epsilon=0, input_shape=(2,))])
    >>> model.predict([[3, 3]], verbose=0).tolist()
    [[1.0, 1.0]]
    """

    _fields = ("axis", "epsilon")

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-6,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = _axes.axes_argument(axis, self._where("axis"))
        self._set(epsilon, False, True, "zeros", "ones")

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        return self._over("rms_norm", axis=_axes.last(self.axis))


class UnitNormalization(Layer):
    """Length 1 over one axis or several: ``x * min(1 / sqrt(sum(x^2)), 1e12)``.

    Parameters
    ----------
    axis
        As in `LayerNormalization`.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.UnitNormalization(input_shape=(2,))])
    >>> model.predict([[0, 4]], verbose=0).tolist()
    [[0.0, 1.0]]
    """

    _fields = ("axis",)

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.axis = _axes.axes_argument(axis, self._where("axis"))

    def nodes(self) -> list[Node]:
        """One operator, and its axes."""
        axis = _axes.last(self.axis)
        node: Node = {"op": "unit_norm", "axis": axis, "epsilon": 1e-12, "center": False, "scale": False}
        return _axes.over(self.axis, [node])
