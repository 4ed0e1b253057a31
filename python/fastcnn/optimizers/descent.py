# SPDX-License-Identifier: Apache-2.0
"""Optimizers that step along the gradient or its momentum, by its size, its sign or its directions alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fastcnn._arguments import flag, integer, listed, real
from fastcnn.errors import ArgumentError, DTypeError
from fastcnn.optimizers.base import Common, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastcnn.optimizers.schedules import LearningRateSchedule

__all__ = ["SGD", "Lion", "Muon"]


class SGD(Optimizer):
    """Gradient descent: ``w -= learning_rate * g``.

    With momentum ``v = momentum * v - learning_rate * g`` and ``w += v``, or, with Nesterov's look-ahead,
    ``w += momentum * v - learning_rate * g`` (I. Sutskever et al., ICML 2013).

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    momentum
        In [0, 1).
    nesterov
        Look ahead.
    weight_decay, **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not a number of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0).clipnorm
    1.0
    """

    _fields = (*Optimizer._fields, "momentum", "nesterov")
    _kind = "sgd"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.momentum = self._share(momentum, "momentum")
        self.nesterov = flag(nesterov, self._where("nesterov"))


class Lion(Optimizer):
    """Steps by the sign of a momentum (X. Chen et al., NeurIPS 2023), in Keras's form.

    ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)``, then ``m = beta_2 * m + (1 - beta_2) * g``.
    Rates are a third to a tenth of Adam's.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    beta_1, beta_2
        In [0, 1); beta_1 above 0, or it would be the sign of the gradient.
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
    >>> weights = np.zeros(3, np.float32)
    >>> optimizers.Lion(0.5).apply([np.array([-3.0, 0.0, 0.1])], [weights])
    >>> weights
    array([ 0.5,  0. , -0.5], dtype=float32)
    """

    _fields = (*Optimizer._fields, "beta_1", "beta_2")
    _kind = "lion"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.beta_1 = self._share(beta_1, "beta_1")
        self.beta_2 = self._share(beta_2, "beta_2")
        if self.beta_1 == 0:
            raise ArgumentError("Lion: beta_1: 0 came, wanted a number above 0")


class Muon(Optimizer):
    """Momentum made orthogonal (K. Jordan et al., 2024), for matrices; AdamW for all else. Keras's form.

    ``m = momentum * m + g``, ``u = g + momentum * m`` (or ``m`` without Nesterov); ``X = u / (norm(u) +
    1e-7)``, then ``ns_steps`` times ``A = X X^T``, ``X = a X + (b A + c A A) X``; ``w -= learning_rate *
    sqrt(max(rows, columns)) * rms_rate * X``. The rate and the decay of AdamW fit it thanks to ``rms_rate``
    (J. Liu et al., arXiv:2502.16982).

    A variable takes AdamW if it has fewer than two axes, if "embedding" is part of its full name and
    ``exclude_embeddings`` is set, if one of ``exclude_layers`` occurs in its full name ("dense_1/kernel"),
    or if only one of its sides is longer than 1. Unlike Keras's, kernels of convolutions ``[R, S, C, K]`` are
    matrices ``[R S C, K]``, as is customary. The last layer is better excluded.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule.
    adam_beta_1, adam_beta_2, adam_weight_decay, epsilon
        Of AdamW.
    weight_decay
        Of the matrices.
    exclude_layers
        Regular expressions.
    exclude_embeddings
        Whether embeddings take AdamW.
    muon_a, muon_b, muon_c, ns_steps
        Of the iteration.
    adam_lr_ratio
        AdamW's rate by that of the matrices.
    momentum, nesterov
        Of the matrices; the momentum in [0, 1).
    rms_rate
        None: the step is ``learning_rate * X``.
    **common
        See `Optimizer`.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not of its domain.

    Examples
    --------
    >>> from fastcnn import optimizers
    >>> optimizers.Muon(0.02, exclude_layers=["dense"]).ns_steps
    5
    """

    _fields = (
        *Optimizer._fields, "adam_beta_1", "adam_beta_2", "adam_weight_decay", "epsilon", "exclude_layers",
        "exclude_embeddings", "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum", "ns_steps",
        "nesterov", "rms_rate",
    )  # fmt: skip
    _kind = "muon"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: Iterable[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **common)
        self.adam_beta_1 = self._share(adam_beta_1, "adam_beta_1")
        self.adam_beta_2 = self._share(adam_beta_2, "adam_beta_2")
        self.adam_weight_decay = self._optional(adam_weight_decay, "adam_weight_decay")
        self.epsilon = self._positive(epsilon, "epsilon")
        self.exclude_layers = listed(exclude_layers or (), self._where("exclude_layers"), "names")
        self.exclude_embeddings = flag(exclude_embeddings, self._where("exclude_embeddings"))
        self.muon_a = real(muon_a, self._where("muon_a"))
        self.muon_b = real(muon_b, self._where("muon_b"))
        self.muon_c = real(muon_c, self._where("muon_c"))
        self.adam_lr_ratio = real(adam_lr_ratio, self._where("adam_lr_ratio"), least=0)
        self.momentum = self._share(momentum, "momentum")
        self.ns_steps = integer(ns_steps, self._where("ns_steps"), least=0)
        self.nesterov = flag(nesterov, self._where("nesterov"))
        self.rms_rate = self._optional(rms_rate, "rms_rate")
        for each in self.exclude_layers:
            if not isinstance(each, str):
                raise DTypeError(f"Muon: exclude_layers: {each!r} came, wanted a string")
            try:
                re.compile(each)
            except re.error as error:
                raise ArgumentError(f"Muon: exclude_layers: {each!r}: {error}") from None

    def _matrix(self, name: str, shape: Sequence[int]) -> tuple[int, int] | None:
        if len(shape) < 2 or (self.exclude_embeddings and "embedding" in name.lower()):
            return None
        rows, columns = math.prod(shape[:-1]), shape[-1]
        if min(rows, columns) == 1 or any(re.search(each, name) for each in self.exclude_layers):
            return None
        return rows, columns
