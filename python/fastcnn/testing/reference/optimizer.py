# SPDX-License-Identifier: Apache-2.0
"""One step of each optimizer, by Keras's formulas. Nothing is changed in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]


@dataclass(frozen=True)
class SGDState:
    """Weights and velocity after a step."""

    weights: Real
    velocity: Real


def sgd(
    state: SGDState, gradient: ArrayLike, *, lr: float, momentum: float = 0.0, nesterov: bool = False
) -> SGDState:
    """``v = momentum v - lr g``; ``w += v``, with Nesterov ``w += momentum v - lr g``."""
    g = np.asarray(gradient, np.float64)
    velocity = momentum * state.velocity - lr * g
    step = momentum * velocity - lr * g if nesterov else velocity
    return SGDState(state.weights + step, velocity)


@dataclass(frozen=True)
class AdamState:
    """Weights, first and second moment, and the number of steps done."""

    weights: Real
    m: Real
    v: Real
    step: int = 0


def adam(
    state: AdamState,
    gradient: ArrayLike,
    *,
    lr: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> AdamState:
    """Kingma and Ba's efficient form: the bias correction in the rate, epsilon outside the root."""
    g = np.asarray(gradient, np.float64)
    step = state.step + 1
    rate = lr * np.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    m = state.m + (g - state.m) * (1.0 - beta_1)
    v = state.v + (g * g - state.v) * (1.0 - beta_2)
    return AdamState(state.weights - rate * m / (np.sqrt(v) + epsilon), m, v, step)
