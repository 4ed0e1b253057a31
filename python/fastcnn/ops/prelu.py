# SPDX-License-Identifier: Apache-2.0
"""PReLU, the rectifier with learnt slopes, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from fastcnn import _native
from fastcnn.ops.types import Array, shape_of

__all__ = ["prelu", "prelu_alpha_bwd", "prelu_bwd"]


def prelu(x: Array, alpha: Array, *, out: Array | None = None) -> Array:
    """``x`` above 0, else ``alpha * x`` (K. He et al., "Delving deep into rectifiers", 2015).

    Parameters
    ----------
    x
        Float32 ``[N, ...]``.
    alpha
        Float32, the shape of a sample with 1 in place of the axes that share a slope: ``[1, 1, C]`` has one
        for each channel of an image.
    out
        See the module.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.prelu(np.array([[-2, 2], [4, -4]], np.float32), np.array([0.5, 0.25], np.float32))
    array([[-1.,  2.],
           [ 4., -1.]], dtype=float32)
    """
    return _native.prelu(x, alpha, out)


def prelu_bwd(dy: Array, x: Array, alpha: Array, *, out: Array | None = None) -> Array:
    """Gradient of `prelu` with respect to its input: ``dy`` where ``x > 0``, else ``alpha * dy``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[-2, 2], [4, -4]], np.float32)
    >>> ops.prelu_bwd(np.ones((2, 2), np.float32), x, np.array([0.5, 0.25], np.float32))
    array([[0.5 , 1.  ],
           [1.  , 0.25]], dtype=float32)
    """
    return _native.prelu_bwd(dy, x, alpha, out)


def prelu_alpha_bwd(dy: Array, x: Array, alpha_shape: Sequence[int], *, out: Array | None = None) -> Array:
    """Gradient of `prelu` with respect to its slopes.

    The sum over samples and shared axes of ``dy * x`` where x is not above 0; the same bits for any number of
    threads.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([[-2, 2], [4, -4]], np.float32)
    >>> ops.prelu_alpha_bwd(np.ones((2, 2), np.float32), x, (1,))
    array([-6.], dtype=float32)
    """
    return _native.prelu_alpha_bwd(dy, x, shape_of(alpha_shape), out)
