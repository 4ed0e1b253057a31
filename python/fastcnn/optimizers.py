# SPDX-License-Identifier: Apache-2.0
"""Update rules. An optimizer here is its settings; slots and step counter live in the model, natively.

``g`` is the gradient of the batch's mean loss, ``w`` a weight.
"""

from __future__ import annotations

from typing import Any

from fastcnn._arguments import flag, real
from fastcnn._config import Configurable, named, resolve

__all__ = ["SGD", "Adam", "Optimizer", "get"]


class Optimizer(Configurable):
    """Base of all optimizers.

    Attributes
    ----------
    learning_rate
        May be assigned at any time; the next batch uses it.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """Step size, 0 or more."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = real(value, f"{type(self).__name__}: learning_rate", least=0)

    def native(self) -> dict[str, Any]:
        """The description that the native module reads."""
        return {"name": type(self).__name__.lower(), **self.get_config()}


class SGD(Optimizer):
    """Gradient descent: ``w -= learning_rate * g``.

    With momentum ``v = momentum * v - learning_rate * g`` and ``w += v``, or, with Nesterov's look-ahead,
    ``w += momentum * v - learning_rate * g`` (I. Sutskever et al., ICML 2013).

    Parameters
    ----------
    learning_rate
        0 or more.
    momentum
        In [0, 1).
    nesterov
        Look ahead.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.SGD(0.1, momentum=0.9).get_config()
    {'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': False}
    """

    _fields = ("learning_rate", "momentum", "nesterov")

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(learning_rate)
        self.momentum = real(momentum, "SGD: momentum", least=0, below=1)
        self.nesterov = flag(nesterov, "SGD: nesterov")


class Adam(Optimizer):
    """D. Kingma, J. Ba, Adam, ICLR 2015, in Keras's form.

    At step ``t = 1, 2, ...``: ``m += (1 - beta_1) * (g - m)``, ``v += (1 - beta_2) * (g^2 - v)``,
    ``w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate
        0 or more.
    beta_1, beta_2
        Decay of the means of ``g`` and ``g^2``, in [0, 1).
    epsilon
        0 or more.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> adam = optimizers.Adam()
    >>> adam.learning_rate = 0.0005
    >>> adam.get_config()
    {'learning_rate': 0.0005, 'beta_1': 0.9, 'beta_2': 0.999, 'epsilon': 1e-07}
    """

    _fields = ("learning_rate", "beta_1", "beta_2", "epsilon")

    def __init__(
        self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
    ) -> None:
        super().__init__(learning_rate)
        self.beta_1 = real(beta_1, "Adam: beta_1", least=0, below=1)
        self.beta_2 = real(beta_2, "Adam: beta_2", least=0, below=1)
        self.epsilon = real(epsilon, "Adam: epsilon", least=0)


_CLASSES: dict[str, type[Optimizer]] = named(SGD, Adam)


def get(identifier: object) -> Optimizer:
    """An optimizer from its name ("sgd", "adam"), its description or itself.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    return resolve(identifier, Optimizer, _CLASSES, "compile: optimizer")
