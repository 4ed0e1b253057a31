# SPDX-License-Identifier: Apache-2.0
"""Adam and its relatives: steps by the first moment of the gradient over a measure of its size.

All of them keep ``m += (1 - beta_1) * (g - m)``; those with a second moment ``v += (1 - beta_2) * (g^2 -
v)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._arguments import flag
from fastcnn.errors import ArgumentError
from fastcnn.optimizers.base import Common, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastcnn.optimizers.schedules import LearningRateSchedule

__all__ = ["Adam", "AdamW", "Adamax", "Nadam"]


class Adam(Optimizer):
    """D. Kingma, J. Ba, Adam, ICLR 2015, in Keras's form.

    ``w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``; with ``amsgrad``
    the greatest ``v`` so far takes its place (S. Reddi et al., ICLR 2018).

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    beta_1, beta_2
        Decay of the means of ``g`` and ``g^2``, in [0, 1).
    epsilon
        Above 0.
    amsgrad
        Keep the greatest ``v``.
    weight_decay, **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> adam = optimizers.Adam()
    >>> adam.learning_rate = 0.0005
    >>> adam.learning_rate, adam.beta_2, adam.epsilon
    (0.0005, 0.999, 1e-07)
    """

    _fields = (*Optimizer._fields, "beta_1", "beta_2", "epsilon", "amsgrad")
    _kind = "adam"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.beta_1 = self._share(beta_1, "beta_1")
        self.beta_2 = self._share(beta_2, "beta_2")
        self.epsilon = self._positive(epsilon, "epsilon")
        self.amsgrad = flag(amsgrad, self._where("amsgrad"))


class AdamW(Adam):
    """Adam with a weight decay of its own (I. Loshchilov, F. Hutter, ICLR 2019): `Adam`, other defaults.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, amsgrad
        See `Adam`.
    weight_decay
        0 or more.
    **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.AdamW().weight_decay
    0.004
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **common)
        if weight_decay is None:
            raise ArgumentError("AdamW: weight_decay: None came, wanted a number of 0 or more")


class Adamax(Optimizer):
    """Adam with the infinity norm (D. Kingma, J. Ba, ICLR 2015, section 7.1), in Keras's form.

    ``u = max(beta_2 * u, |g|)``, ``w -= learning_rate / (1 - beta_1^t) * m / (u + epsilon)``.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    beta_1, beta_2
        Decay of the mean of ``g`` and of the greatest ``|g|``, in [0, 1).
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
    >>> weights = np.zeros(2, np.float32)
    >>> optimizers.Adamax(0.5).apply([np.array([4.0, -4.0])], [weights])
    >>> weights.round(6)
    array([-0.5,  0.5], dtype=float32)
    """

    _fields = (*Optimizer._fields, "beta_1", "beta_2", "epsilon")
    _kind = "adamax"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.beta_1 = self._share(beta_1, "beta_1")
        self.beta_2 = self._share(beta_2, "beta_2")
        self.epsilon = self._positive(epsilon, "epsilon")


class Nadam(Adamax):
    """Adam with Nesterov's momentum (T. Dozat, ICLR workshop 2016), in Keras's form.

    With ``b_t = beta_1 * (1 - 0.96^t / 2)`` and ``B_t = b_1 b_2 ... b_t``: ``n = b_(t+1) * m / (1 - B_(t+1))
    + (1 - b_t) * g / (1 - B_t)``, ``w -= learning_rate * n / (sqrt(v / (1 - beta_2^t)) + epsilon)``.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    beta_1, beta_2
        Decay of the means of ``g`` and ``g^2``, in [0, 1).
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
    >>> optimizers.Nadam(0.002).beta_1
    0.9
    """

    _kind = "nadam"
