# SPDX-License-Identifier: Apache-2.0
"""Normalizations and their gradients.

All are one formula over different axes: ``xhat = (x - mean) / sqrt(variance + epsilon)``, the variance
biased (divided by the count, as in Keras), then ``gamma xhat + beta``. A backward pass takes the statistics
anew from x. RMS and unit norm do not center.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]
Axes = int | Sequence[int]


def _real(value: ArrayLike | None, otherwise: float) -> Real:
    return np.asarray(otherwise if value is None else value, np.float64)


def _normalized(x: Real, axes: tuple[int, ...], epsilon: float) -> tuple[Real, Real]:
    """``xhat`` and ``1 / sqrt(variance + epsilon)``."""
    mean = x.mean(axis=axes, keepdims=True)
    root: Real = 1.0 / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + epsilon)
    return (x - mean) * root, root


def _through_statistics(g: Real, xhat: Real, root: Real, axes: tuple[int, ...]) -> Real:
    """Gradient of x from that of xhat: mean and variance depend on x too."""
    along = (g * xhat).mean(axis=axes, keepdims=True)
    dx: Real = root * (g - g.mean(axis=axes, keepdims=True) - xhat * along)
    return dx


def _all_but_last(x: Real) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> Real:
    """Statistics of each channel, over all axes but the last; or those given (inference)."""
    values = np.asarray(x, np.float64)
    if mean is None:
        xhat, _ = _normalized(values, _all_but_last(values), epsilon)
    else:
        xhat = (values - _real(mean, 0.0)) / np.sqrt(_real(variance, 1.0) + epsilon)
    y: Real = _real(gamma, 1.0) * xhat + _real(beta, 0.0)
    return y


def batch_norm_train(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    moving_mean: ArrayLike | None = None,
    moving_variance: ArrayLike | None = None,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
) -> tuple[Real, Real, Real]:
    """`batch_norm` and ``moving = momentum moving + (1 - momentum) batch``, of 0 and 1 at first."""
    values = np.asarray(x, np.float64)
    axes = _all_but_last(values)
    mean: Real = momentum * _real(moving_mean, 0.0) + (1.0 - momentum) * values.mean(axis=axes)
    variance: Real = momentum * _real(moving_variance, 1.0) + (1.0 - momentum) * values.var(axis=axes)
    return batch_norm(x, gamma, beta, epsilon=epsilon), mean, variance


def batch_norm_bwd(
    dy: ArrayLike,
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[Real, Real, Real]:
    """Gradients (dx, dgamma, dbeta); with given statistics the map is linear in x."""
    gradient, values = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    axes = _all_but_last(values)
    g = gradient * _real(gamma, 1.0)
    if mean is None:
        xhat, root = _normalized(values, axes, epsilon)
        dx = _through_statistics(g, xhat, root, axes)
    else:
        root = 1.0 / np.sqrt(_real(variance, 1.0) + epsilon)
        xhat, dx = (values - _real(mean, 0.0)) * root, g * root
    return dx, (gradient * xhat).sum(axis=axes), gradient.sum(axis=axes)


def _grouped(x: Real, groups: int) -> Real:
    """[N,...,C] as [N,M,G,C/G]."""
    count = x.shape[-1] if groups == -1 else groups
    return x.reshape(x.shape[0], -1, count, x.shape[-1] // count)


def group_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    groups: int = 32,
    epsilon: float = 1e-3,
) -> Real:
    """Statistics of each sample and group of neighbouring channels."""
    values = np.asarray(x, np.float64)
    xhat, _ = _normalized(_grouped(values, groups), (1, 3), epsilon)
    y: Real = _real(gamma, 1.0) * xhat.reshape(values.shape) + _real(beta, 0.0)
    return y


def group_norm_bwd(
    dy: ArrayLike,
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    groups: int = 32,
    epsilon: float = 1e-3,
) -> tuple[Real, Real, Real]:
    """Gradients (dx, dgamma, dbeta)."""
    gradient, values = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    xhat, root = _normalized(_grouped(values, groups), (1, 3), epsilon)
    g = _grouped(gradient * _real(gamma, 1.0), groups)
    dx = _through_statistics(g, xhat, root, (1, 3)).reshape(values.shape)
    axes = _all_but_last(values)
    return dx, (gradient * xhat.reshape(values.shape)).sum(axis=axes), gradient.sum(axis=axes)


def instance_norm(
    x: ArrayLike, gamma: ArrayLike | None = None, beta: ArrayLike | None = None, epsilon: float = 1e-3
) -> Real:
    """Statistics of each sample and channel."""
    return group_norm(x, gamma, beta, -1, epsilon)


def instance_norm_bwd(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, epsilon: float = 1e-3
) -> tuple[Real, Real, Real]:
    """Gradients (dx, dgamma, dbeta)."""
    return group_norm_bwd(dy, x, gamma, -1, epsilon)


def _split(x: Real, axis: Axes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The normalized axes, and the others."""
    axes = tuple(sorted(a % x.ndim for a in ([axis] if isinstance(axis, int) else axis)))
    return axes, tuple(a for a in range(x.ndim) if a not in axes)


def _along(value: ArrayLike | None, otherwise: float, x: Real, axes: tuple[int, ...]) -> Real:
    """Gamma or beta, which has the shape of the normalized axes, against x."""
    if value is None:
        return np.asarray(otherwise)
    return _real(value, 0.0).reshape([size if a in axes else 1 for a, size in enumerate(x.shape)])


def layer_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    axis: Axes = -1,
    epsilon: float = 1e-3,
) -> Real:
    """Statistics over one axis or several; gamma and beta have the shape of these."""
    values = np.asarray(x, np.float64)
    axes = _split(values, axis)[0]
    xhat, _ = _normalized(values, axes, epsilon)
    y: Real = _along(gamma, 1.0, values, axes) * xhat + _along(beta, 0.0, values, axes)
    return y


def layer_norm_bwd(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, axis: Axes = -1, epsilon: float = 1e-3
) -> tuple[Real, Real, Real]:
    """Gradients (dx, dgamma, dbeta)."""
    gradient, values = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    axes, others = _split(values, axis)
    xhat, root = _normalized(values, axes, epsilon)
    dx = _through_statistics(gradient * _along(gamma, 1.0, values, axes), xhat, root, axes)
    return dx, (gradient * xhat).sum(axis=others), gradient.sum(axis=others)


def rms_norm(x: ArrayLike, gamma: ArrayLike | None = None, axis: Axes = -1, epsilon: float = 1e-6) -> Real:
    """``gamma x / sqrt(mean(x^2) + epsilon)``."""
    values = np.asarray(x, np.float64)
    axes = _split(values, axis)[0]
    square = (values**2).mean(axis=axes, keepdims=True)
    y: Real = _along(gamma, 1.0, values, axes) * values / np.sqrt(square + epsilon)
    return y


def rms_norm_bwd(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None = None, axis: Axes = -1, epsilon: float = 1e-6
) -> tuple[Real, Real]:
    """Gradients (dx, dgamma)."""
    gradient, values = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    axes, others = _split(values, axis)
    root = 1.0 / np.sqrt((values**2).mean(axis=axes, keepdims=True) + epsilon)
    xhat, g = values * root, gradient * _along(gamma, 1.0, values, axes)
    dx: Real = root * (g - xhat * (g * xhat).mean(axis=axes, keepdims=True))
    return dx, (gradient * xhat).sum(axis=others)


def unit_norm(x: ArrayLike, axis: Axes = -1, epsilon: float = 1e-12) -> Real:
    """``x min(1 / sqrt(sum(x^2)), 1 / epsilon)``."""
    values = np.asarray(x, np.float64)
    with np.errstate(divide="ignore"):
        root = 1.0 / np.sqrt((values**2).sum(axis=_split(values, axis)[0], keepdims=True))
    y: Real = values * np.minimum(root, 1.0 / epsilon)
    return y


def unit_norm_bwd(dy: ArrayLike, x: ArrayLike, axis: Axes = -1, epsilon: float = 1e-12) -> Real:
    """Gradient; where the limit acts, ``dy / epsilon``."""
    gradient, values = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    axes, _ = _split(values, axis)
    with np.errstate(divide="ignore"):
        root = 1.0 / np.sqrt((values**2).sum(axis=axes, keepdims=True))
    free = root <= 1.0 / epsilon
    root = np.minimum(root, 1.0 / epsilon)
    y = values * root
    dx: Real = root * (gradient - free * y * (gradient * y).sum(axis=axes, keepdims=True))
    return dx
