# SPDX-License-Identifier: Apache-2.0
"""Matrix product, dense layer, and the operators that only move or scale elements."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.activation import activate

Real = NDArray[np.float64]


def gemm(
    a: ArrayLike,
    b: ArrayLike,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: ArrayLike | None = None,
    activation: str | None = None,
) -> Real:
    """``activation(op(a) op(b) + bias)``; op(a) [m,k], op(b) [k,n], bias [n]."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    y: Real = (left.T if transpose_a else left) @ (right.T if transpose_b else right)
    if bias is not None:
        y = y + np.asarray(bias, np.float64)
    return activate(y, activation)


def dense(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, activation: str | None = None
) -> Real:
    """``activation(x kernel + bias)``; x [N,in], kernel [in,out]."""
    return gemm(x, kernel, bias=bias, activation=activation)


def dense_bwd(dy: ArrayLike, x: ArrayLike, kernel: ArrayLike) -> tuple[Real, Real, Real]:
    """Gradients (dx, dw, db) of a dense layer without activation."""
    db: Real = np.asarray(dy, np.float64).sum(axis=0)
    return gemm(dy, kernel, transpose_b=True), gemm(x, dy, transpose_a=True), db


def flatten(x: ArrayLike) -> Real:
    """[N,...] to [N,product], in the order of memory: for images H, W, C."""
    values = np.asarray(x, np.float64)
    return values.reshape(values.shape[0], -1)


def flatten_bwd(dy: ArrayLike, input_shape: tuple[int, ...]) -> Real:
    """Back to the shape of the input."""
    return np.asarray(dy, np.float64).reshape(input_shape)


def rescaling(x: ArrayLike, scale: float, offset: float = 0.0) -> Real:
    """``scale x + offset``."""
    y: Real = np.asarray(x, np.float64) * scale + offset
    return y


def rescaling_bwd(dy: ArrayLike, scale: float) -> Real:
    """``scale dy``."""
    dx: Real = np.asarray(dy, np.float64) * scale
    return dx
