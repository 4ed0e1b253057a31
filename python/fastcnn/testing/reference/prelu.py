# SPDX-License-Identifier: Apache-2.0
"""PReLU and its gradients: a learnt slope for each element of a sample, or for all along the shared axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]


def prelu(x: ArrayLike, alpha: ArrayLike) -> Real:
    """``x`` above 0, else ``alpha x``; x [N, ...], alpha [...] with 1 for a shared axis."""
    values = np.asarray(x, np.float64)
    return np.where(values > 0, values, np.asarray(alpha, np.float64) * values)


def prelu_bwd(dy: ArrayLike, x: ArrayLike, alpha: ArrayLike) -> Real:
    """``dy`` where x > 0, else ``alpha dy``."""
    gradient = np.asarray(dy, np.float64)
    return np.where(np.asarray(x, np.float64) > 0, gradient, np.asarray(alpha, np.float64) * gradient)


def prelu_alpha_bwd(dy: ArrayLike, x: ArrayLike, alpha_shape: Sequence[int]) -> Real:
    """The sum of ``dy x`` over samples and shared axes, where x is not above 0."""
    values = np.asarray(x, np.float64)
    terms = np.where(values > 0, 0.0, np.asarray(dy, np.float64) * values).sum(axis=0)
    shared = tuple(axis for axis, size in enumerate(alpha_shape) if size == 1)
    dalpha: Real = terms.sum(axis=shared, keepdims=True)
    return dalpha
