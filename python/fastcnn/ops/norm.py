# SPDX-License-Identifier: Apache-2.0
"""Normalizations and their gradients.

Variances are biased (divided by the count), as in Keras. The backward passes take the statistics anew from
``x``, in the same pass in which they sum ``dy``: nothing but ``x`` need be kept from the forward pass. Sums
are taken about a pivot near the mean, so data far from zero loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, Axis, shape_of

__all__ = [
    "batch_norm",
    "batch_norm_bwd",
    "batch_norm_train",
    "group_norm",
    "group_norm_bwd",
    "instance_norm",
    "instance_norm_bwd",
    "layer_norm",
    "layer_norm_bwd",
    "rms_norm",
    "rms_norm_bwd",
    "unit_norm",
    "unit_norm_bwd",
]

# Of a function with several results: one array for each, or None where a new one is wanted.
Outs = Sequence["Array | None"]


def batch_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    mean: Array | None = None,
    variance: Array | None = None,
    epsilon: float = 1e-3,
    *,
    out: Array | None = None,
) -> Array:
    """Each channel with mean 0 and variance 1, then scaled and shifted.

    ``y[...,c] = gamma[c] (x[...,c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]`` (Ioffe and Szegedy,
    2015).

    Parameters
    ----------
    x
        Float32 ``[..., C]``, rank 2 or more.
    gamma, beta
        Scale and offset ``[C]``; None means 1 and 0.
    mean, variance
        Statistics to use, ``[C]`` (inference). None means those of ``x`` itself, over all axes but the last
        (training).
    epsilon
        Added to the variance; finite, at least 0.
    out
        See the module.

    Returns
    -------
    Float32, shaped like ``x``.

    Raises
    ------
    ShapeError
        A vector is not ``[C]``, or ``x`` has rank 1.
    ArgumentError
        ``epsilon`` is negative, or only one of ``mean`` and ``variance`` is given.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.batch_norm(np.array([[1, 5], [3, 9]], np.float32), epsilon=0)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    return _native.batch_norm(x, gamma, beta, mean, variance, epsilon, out)


def batch_norm_train(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    moving_mean: Array | None = None,
    moving_variance: Array | None = None,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    *,
    out: Outs | None = None,
) -> tuple[Array, Array, Array]:
    """`batch_norm` with the statistics of ``x``, and what the moving statistics are after it.

    ``moving = momentum * moving + (1 - momentum) * batch``. The arrays given are not changed. A momentum of 0
    gives the statistics of ``x``.

    Parameters
    ----------
    x, gamma, beta, epsilon
        As in `batch_norm`.
    moving_mean, moving_variance
        ``[C]``; None means Keras's first values, 0 and 1.
    momentum
        Share that stays, in [0, 1].
    out
        None, or three arrays or None.

    Returns
    -------
    ``(y, moving_mean, moving_variance)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y, mean, variance = ops.batch_norm_train(np.array([[1], [3]], np.float32), momentum=0.5)
    >>> mean, variance
    (array([1.], dtype=float32), array([1.], dtype=float32))
    """
    return _native.batch_norm_train(x, gamma, beta, moving_mean, moving_variance, momentum, epsilon, out)


def batch_norm_bwd(
    dy: Array,
    x: Array,
    gamma: Array | None = None,
    mean: Array | None = None,
    variance: Array | None = None,
    epsilon: float = 1e-3,
    *,
    out: Outs | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm`.

    With ``xhat = (x - mean) root``, ``root = 1 / sqrt(variance + epsilon)``: ``dgamma = sum(dy xhat)``,
    ``dbeta = sum(dy)``, ``dx = gamma root (dy - mean(dy) - xhat mean(dy xhat))``. With ``mean`` and
    ``variance`` given (a frozen layer) they do not depend on ``x``: ``dx = gamma root dy``.

    Parameters
    ----------
    dy
        Gradient of the output, shaped like ``x``.
    x, gamma, mean, variance, epsilon
        As in `batch_norm`; the statistics of ``x`` are computed again.
    out
        None, or three arrays or None.

    Returns
    -------
    ``(dx, dgamma, dbeta)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[-1], [1]], np.float32)
    >>> dx, dgamma, dbeta = ops.batch_norm_bwd(np.array([[1], [4]], np.float32), x, epsilon=0)
    >>> dx.ravel(), dgamma, dbeta
    (array([0., 0.], dtype=float32), array([3.], dtype=float32), array([5.], dtype=float32))
    """
    return _native.batch_norm_bwd(dy, x, gamma, mean, variance, epsilon, out)


def group_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    groups: int = 32,
    epsilon: float = 1e-3,
    *,
    out: Array | None = None,
) -> Array:
    """Each sample and group of neighbouring channels with mean 0 and variance 1 (Wu and He, 2018).

    Parameters
    ----------
    x
        Float32 ``[N, ..., C]``.
    gamma, beta
        Scale and offset ``[C]``; None means 1 and 0.
    groups
        Divides ``C``; -1 means a group for each channel (`instance_norm`).
    epsilon, out
        As in `batch_norm`.

    Returns
    -------
    Float32, shaped like ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.group_norm(np.array([[1, 3, 10, 30]], np.float32), groups=2, epsilon=0)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """
    return _native.group_norm(x, gamma, beta, groups, epsilon, out)


def group_norm_bwd(
    dy: Array,
    x: Array,
    gamma: Array | None = None,
    groups: int = 32,
    epsilon: float = 1e-3,
    *,
    out: Outs | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients ``(dx, dgamma, dbeta)`` of `group_norm`, whose statistics are computed again.

    ``dx = root (g - mean(g) - xhat mean(g xhat))`` with ``g = gamma dy`` and means over the group.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, x = np.array([[[1], [4]]], np.float32), np.array([[[-1], [1]]], np.float32)
    >>> ops.group_norm_bwd(dy, x, groups=1, epsilon=0)[1:]
    (array([3.], dtype=float32), array([5.], dtype=float32))
    """
    return _native.group_norm_bwd(dy, x, gamma, groups, epsilon, out)


def instance_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 1e-3,
    *,
    out: Array | None = None,
) -> Array:
    """Each sample and channel with mean 0 and variance 1: `group_norm` with ``groups=-1``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.instance_norm(np.array([[[1, 10], [3, 30]]], np.float32), epsilon=0)
    array([[[-1., -1.],
            [ 1.,  1.]]], dtype=float32)
    """
    return _native.instance_norm(x, gamma, beta, epsilon, out)


def instance_norm_bwd(
    dy: Array,
    x: Array,
    gamma: Array | None = None,
    epsilon: float = 1e-3,
    *,
    out: Outs | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients ``(dx, dgamma, dbeta)`` of `instance_norm`, whose statistics are computed again.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, x = np.array([[[1], [4]]], np.float32), np.array([[[-1], [1]]], np.float32)
    >>> ops.instance_norm_bwd(dy, x, epsilon=0)[1:]
    (array([3.], dtype=float32), array([5.], dtype=float32))
    """
    return _native.instance_norm_bwd(dy, x, gamma, epsilon, out)


def layer_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    axis: Axis = -1,
    epsilon: float = 1e-3,
    *,
    out: Array | None = None,
) -> Array:
    """Each row with mean 0 and variance 1 (Ba, Kiros and Hinton, 2016).

    Parameters
    ----------
    x
        Float32 of any rank from 1.
    gamma, beta
        Scale and offset, shaped like the normalized axes in their own order; None means 1 and 0.
    axis
        One axis or several.
    epsilon, out
        As in `batch_norm`.

    Returns
    -------
    Float32, shaped like ``x``.

    Raises
    ------
    ArgumentError
        ``axis`` names an axis twice or one that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.layer_norm(np.array([[1, 3], [10, 30]], np.float32), epsilon=0)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """
    return _native.layer_norm(x, gamma, beta, shape_of(axis), epsilon, out)


def layer_norm_bwd(
    dy: Array,
    x: Array,
    gamma: Array | None = None,
    axis: Axis = -1,
    epsilon: float = 1e-3,
    *,
    out: Outs | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients ``(dx, dgamma, dbeta)`` of `layer_norm`, whose statistics are computed again.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> dy, x = np.array([[1, 4]], np.float32), np.array([[-1, 1]], np.float32)
    >>> ops.layer_norm_bwd(dy, x, epsilon=0)[1:]
    (array([-1.,  4.], dtype=float32), array([1., 4.], dtype=float32))
    """
    return _native.layer_norm_bwd(dy, x, gamma, shape_of(axis), epsilon, out)


def rms_norm(
    x: Array,
    gamma: Array | None = None,
    axis: Axis = -1,
    epsilon: float = 1e-6,
    *,
    out: Array | None = None,
) -> Array:
    """``gamma x / sqrt(mean(x^2) + epsilon)`` of each row (Zhang and Sennrich, 2019).

    Parameters are those of `layer_norm`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.rms_norm(np.array([[1, 7]], np.float32), epsilon=0)
    array([[0.2, 1.4]], dtype=float32)
    """
    return _native.rms_norm(x, gamma, None, shape_of(axis), epsilon, out)


def rms_norm_bwd(
    dy: Array,
    x: Array,
    gamma: Array | None = None,
    axis: Axis = -1,
    epsilon: float = 1e-6,
    *,
    out: Outs | None = None,
) -> tuple[Array, Array]:
    """Gradients ``(dx, dgamma)`` of `rms_norm`.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.rms_norm_bwd(np.ones((1, 2), np.float32), np.array([[3, 3]], np.float32), epsilon=0)[1]
    array([1., 1.], dtype=float32)
    """
    return _native.rms_norm_bwd(dy, x, gamma, shape_of(axis), epsilon, out)


def unit_norm(x: Array, axis: Axis = -1, epsilon: float = 1e-12, *, out: Array | None = None) -> Array:
    """Each row with length 1: ``x min(1 / sqrt(sum(x^2)), 1 / epsilon)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.unit_norm(np.array([[3, 4]], np.float32))
    array([[0.6, 0.8]], dtype=float32)
    """
    return _native.unit_norm(x, None, None, shape_of(axis), epsilon, out)


def unit_norm_bwd(
    dy: Array, x: Array, axis: Axis = -1, epsilon: float = 1e-12, *, out: Array | None = None
) -> Array:
    """Gradient of `unit_norm`: ``root (dy - y sum(dy y))``, without the last term at the limit.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.unit_norm_bwd(np.array([[1, 2]], np.float32), np.array([[0, 2]], np.float32))
    array([[0.5, 0. ]], dtype=float32)
    """
    outs = None if out is None else (out,)
    return _native.unit_norm_bwd(dy, x, None, shape_of(axis), epsilon, outs)[0]
