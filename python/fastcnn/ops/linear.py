# SPDX-License-Identifier: Apache-2.0
"""Matrix products."""

from __future__ import annotations

from fastcnn import _native
from fastcnn.ops.types import Array

__all__ = [
    "gemm",
]


def gemm(
    a: Array,
    b: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: Array | None = None,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Matrix product ``y = activation(op(a) op(b) + bias)``, where ``op`` transposes or leaves as it is.

    Parameters
    ----------
    a
        Float32 ``[m, k]``, or ``[k, m]`` with ``transpose_a``.
    b
        Float32 ``[k, n]``, or ``[n, k]`` with ``transpose_b``.
    bias
        Float32 ``[n]``, added to every row, or None.
    activation
        None or the name of one of `fastcnn.activations`, but for ``"threshold"``; ``"relu"`` is fused.
    out
        See the module.

    Returns
    -------
    Float32 ``[m, n]``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> a = np.arange(6, dtype=np.float32).reshape(2, 3)
    >>> ops.gemm(a, a, transpose_b=True)
    array([[ 5., 14.],
           [14., 50.]], dtype=float32)
    """
    return _native.gemm(a, b, transpose_a, transpose_b, bias, activation, out)
