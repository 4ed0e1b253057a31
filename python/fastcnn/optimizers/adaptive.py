# SPDX-License-Identifier: Apache-2.0
"""Optimizers that divide by a running size of each weight's gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._arguments import flag, real
from fastcnn.errors import ArgumentError
from fastcnn.optimizers.base import Common, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastcnn.optimizers.schedules import LearningRateSchedule

__all__ = ["Adadelta", "Adagrad", "Ftrl", "RMSprop"]


class RMSprop(Optimizer):
    """Division by the root of the mean square (T. Hinton, lecture 6e, 2012), in Keras's form.

    ``v = rho * v + (1 - rho) * g^2``, ``d = learning_rate * g / sqrt(v + epsilon)``, ``w -= d``. With
    ``centered`` the mean ``a`` of ``g``, kept like ``v``, makes it the variance ``v - a^2``; with momentum
    ``s = momentum * s + d``, ``w -= s``.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    rho, momentum
        In [0, 1).
    epsilon
        Above 0.
    centered
        Divide by the deviation.
    weight_decay, **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.RMSprop(momentum=0.9).rho
    0.9
    """

    _fields = (*Optimizer._fields, "rho", "momentum", "epsilon", "centered")
    _kind = "rmsprop"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.rho = self._share(rho, "rho")
        self.momentum = self._share(momentum, "momentum")
        self.epsilon = self._positive(epsilon, "epsilon")
        self.centered = flag(centered, self._where("centered"))


class Adagrad(Optimizer):
    """Division by the root of the sum of squares (J. Duchi et al., JMLR 12, 2011), in Keras's form.

    ``a += g^2``, ``w -= learning_rate * g / sqrt(a + epsilon)``.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    initial_accumulator_value
        What ``a`` begins with, 0 or more.
    epsilon
        Above 0.
    weight_decay, **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import optimizers
    >>> weights = np.zeros(1, np.float32)
    >>> optimizers.Adagrad(1.0, initial_accumulator_value=7.0).apply([np.array([3.0])], [weights])
    >>> weights
    array([-0.75], dtype=float32)
    """

    _fields = (*Optimizer._fields, "initial_accumulator_value", "epsilon")
    _kind = "adagrad"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.initial_accumulator_value = real(
            initial_accumulator_value, self._where("initial_accumulator_value"), least=0
        )
        self.epsilon = self._positive(epsilon, "epsilon")


class Adadelta(Optimizer):
    """Steps of the size of those before (M. Zeiler, arXiv:1212.5701), in Keras's form.

    ``a = rho * a + (1 - rho) * g^2``, ``d = g * sqrt(x + epsilon) / sqrt(a + epsilon)``,
    ``x = rho * x + (1 - rho) * d^2``, ``w -= learning_rate * d``. The paper's rate is 1.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    rho
        In [0, 1).
    epsilon
        Above 0.
    weight_decay, **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.Adadelta(1.0).rho
    0.95
    """

    _fields = (*Optimizer._fields, "rho", "epsilon")
    _kind = "adadelta"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.rho = self._share(rho, "rho")
        self.epsilon = self._positive(epsilon, "epsilon")


class Ftrl(Optimizer):
    """Follow the regularised leader (H. McMahan et al., KDD 2013), in Keras's form.

    With ``e = -learning_rate_power``: ``b = a + g^2``, ``z += g + 2 * l2_shrinkage * w - (b^e - a^e) /
    learning_rate * w``, ``a = b``, ``w = (clip(z, -l1, l1) - z) / (b^e / learning_rate + 2 * l2 + beta /
    learning_rate)``. A rate of 0 leaves all as it is.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    learning_rate_power
        0 or less.
    initial_accumulator_value
        What ``a`` begins with, 0 or more.
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength, beta
        0 or more.
    weight_decay, **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.Ftrl().learning_rate_power
    -0.5
    """

    _fields = (
        *Optimizer._fields, "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength",
        "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta",
    )  # fmt: skip
    _kind = "ftrl"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.learning_rate_power = real(learning_rate_power, self._where("learning_rate_power"))
        if self.learning_rate_power > 0:
            raise ArgumentError(f"Ftrl: learning_rate_power: {learning_rate_power} came, wanted 0 or less")
        self.initial_accumulator_value = self._strength(
            initial_accumulator_value, "initial_accumulator_value"
        )
        self.l1_regularization_strength = self._strength(
            l1_regularization_strength, "l1_regularization_strength"
        )
        self.l2_regularization_strength = self._strength(
            l2_regularization_strength, "l2_regularization_strength"
        )
        self.l2_shrinkage_regularization_strength = self._strength(
            l2_shrinkage_regularization_strength, "l2_shrinkage_regularization_strength"
        )
        self.beta = self._strength(beta, "beta")

    def _strength(self, value: object, argument: str) -> float:
        return real(value, self._where(argument), least=0)
