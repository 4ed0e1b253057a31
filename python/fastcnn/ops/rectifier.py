# SPDX-License-Identifier: Apache-2.0
"""Activations put together from straight lines, and those from a square besides, with their gradients.

A backward pass takes the output ``y`` of its forward pass where the gradient follows from it, else its input
``x``; the name of the argument says which. Where two pieces meet, the gradient is that of the flatter one.
NaN gives NaN.
"""

from __future__ import annotations

import math

from fastcnn import _native
from fastcnn.ops.symbolic import activation
from fastcnn.ops.types import Array

__all__ = [
    "general_relu",
    "general_relu_bwd",
    "hard_shrink",
    "hard_shrink_bwd",
    "hard_sigmoid",
    "hard_sigmoid_bwd",
    "hard_silu",
    "hard_silu_bwd",
    "hard_tanh",
    "hard_tanh_bwd",
    "leaky_relu",
    "leaky_relu_bwd",
    "relu",
    "relu6",
    "relu6_bwd",
    "relu_bwd",
    "soft_shrink",
    "soft_shrink_bwd",
    "sparse_plus",
    "sparse_plus_bwd",
    "sparse_sigmoid",
    "sparse_sigmoid_bwd",
    "threshold",
    "threshold_bwd",
]


def relu(x: Array, *, out: Array | None = None) -> Array:
    """``max(x, 0)``; NaN stays NaN; any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.relu(np.array([-1, 2], np.float32))
    array([0., 2.], dtype=float32)
    """
    return activation("relu", x, (), out)


def relu_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `relu` from its output: ``dy`` where y > 0, else 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.relu(np.array([-1, 2], np.float32))
    >>> ops.relu_bwd(np.ones(2, np.float32), y)
    array([0., 1.], dtype=float32)
    """
    return _native.activation_bwd("relu", dy, y, (), out)


def relu6(x: Array, *, out: Array | None = None) -> Array:
    """``min(max(x, 0), 6)``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.relu6(np.array([-1, 2], np.float32))
    array([0., 2.], dtype=float32)
    """
    return activation("relu6", x, (), out)


def relu6_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `relu6` from its output: ``dy`` where 0 < y < 6, else 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.relu6(np.array([-1, 2], np.float32))
    >>> ops.relu6_bwd(np.ones(2, np.float32), y)
    array([0., 1.], dtype=float32)
    """
    return _native.activation_bwd("relu6", dy, y, (), out)


def leaky_relu(x: Array, negative_slope: float = 0.2, *, out: Array | None = None) -> Array:
    """``x`` above 0, else ``negative_slope x`` (A. L. Maas et al., 2013).

    Parameters
    ----------
    x
        Any rank from 1.
    negative_slope
        Of 0 or more.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.leaky_relu(np.array([-1, 2], np.float32))
    array([-0.2,  2. ], dtype=float32)
    """
    return activation("leaky_relu", x, (negative_slope,), out)


def leaky_relu_bwd(dy: Array, y: Array, negative_slope: float = 0.2, *, out: Array | None = None) -> Array:
    """Gradient of `leaky_relu` from its output: ``dy`` where y > 0, else ``negative_slope dy``.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.leaky_relu(np.array([-1, 2], np.float32))
    >>> ops.leaky_relu_bwd(np.ones(2, np.float32), y)
    array([0.2, 1. ], dtype=float32)
    """
    return _native.activation_bwd("leaky_relu", dy, y, (negative_slope,), out)


def general_relu(
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    *,
    out: Array | None = None,
) -> Array:
    """``min(x, max_value)`` above the threshold, else ``negative_slope (x - threshold)``.

    Parameters
    ----------
    x
        Any rank from 1.
    negative_slope, threshold
        Of 0 or more.
    max_value
        Of 0 or more; None: no limit.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.general_relu(np.array([-1, 2], np.float32))
    array([0., 2.], dtype=float32)
    """
    return _native.activation(
        "general_relu", x, (negative_slope, math.inf if max_value is None else max_value, threshold), out
    )


def general_relu_bwd(
    dy: Array,
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    *,
    out: Array | None = None,
) -> Array:
    """Gradient of `general_relu` from its input: ``dy`` between threshold and max_value.

    It is 0 from max_value on, and ``negative_slope dy`` up to the threshold.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.general_relu_bwd(np.ones(2, np.float32), x)
    array([0., 1.], dtype=float32)
    """
    return _native.activation_bwd(
        "general_relu", dy, x, (negative_slope, math.inf if max_value is None else max_value, threshold), out
    )


def hard_sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """``relu6(x + 3) / 6``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.hard_sigmoid(np.array([-1, 2], np.float32))
    array([0.33333334, 0.8333333 ], dtype=float32)
    """
    return activation("hard_sigmoid", x, (), out)


def hard_sigmoid_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `hard_sigmoid` from its output: ``dy / 6`` where 0 < y < 1, else 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.hard_sigmoid(np.array([-1, 2], np.float32))
    >>> ops.hard_sigmoid_bwd(np.ones(2, np.float32), y)
    array([0.16666667, 0.16666667], dtype=float32)
    """
    return _native.activation_bwd("hard_sigmoid", dy, y, (), out)


def hard_silu(x: Array, *, out: Array | None = None) -> Array:
    """``x hard_sigmoid(x)``, also called hard swish (A. Howard et al., 2019); elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.hard_silu(np.array([-1, 2], np.float32))
    array([-0.33333334,  1.6666666 ], dtype=float32)
    """
    return activation("hard_silu", x, (), out)


def hard_silu_bwd(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `hard_silu` from its input: 0 up to -3, ``dy`` from 3, ``dy (2 x + 3) / 6`` between.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.hard_silu_bwd(np.ones(2, np.float32), x)
    array([0.16666667, 1.1666666 ], dtype=float32)
    """
    return _native.activation_bwd("hard_silu", dy, x, (), out)


def hard_tanh(x: Array, *, out: Array | None = None) -> Array:
    """``min(max(x, -1), 1)``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.hard_tanh(np.array([-1, 2], np.float32))
    array([-1.,  1.], dtype=float32)
    """
    return activation("hard_tanh", x, (), out)


def hard_tanh_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `hard_tanh` from its output: ``dy`` where -1 < y < 1, else 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.hard_tanh(np.array([-1, 2], np.float32))
    >>> ops.hard_tanh_bwd(np.ones(2, np.float32), y)
    array([0., 0.], dtype=float32)
    """
    return _native.activation_bwd("hard_tanh", dy, y, (), out)


def hard_shrink(x: Array, threshold: float = 0.5, *, out: Array | None = None) -> Array:
    """0 where ``|x| <= threshold``, else ``x``.

    Parameters
    ----------
    x
        Any rank from 1.
    threshold
        Of 0 or more.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.hard_shrink(np.array([-1, 2], np.float32))
    array([-1.,  2.], dtype=float32)
    """
    return _native.activation("hard_shrink", x, (threshold,), out)


def hard_shrink_bwd(dy: Array, y: Array, threshold: float = 0.5, *, out: Array | None = None) -> Array:
    """Gradient of `hard_shrink` from its output: ``dy`` where y is not 0, else 0.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.hard_shrink(np.array([-1, 2], np.float32))
    >>> ops.hard_shrink_bwd(np.ones(2, np.float32), y)
    array([1., 1.], dtype=float32)
    """
    return _native.activation_bwd("hard_shrink", dy, y, (threshold,), out)


def soft_shrink(x: Array, threshold: float = 0.5, *, out: Array | None = None) -> Array:
    """0 where ``|x| <= threshold``, else ``x`` moved towards 0 by the threshold.

    Parameters
    ----------
    x
        Any rank from 1.
    threshold
        Of 0 or more.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.soft_shrink(np.array([-1, 2], np.float32))
    array([-0.5,  1.5], dtype=float32)
    """
    return _native.activation("soft_shrink", x, (threshold,), out)


def soft_shrink_bwd(dy: Array, y: Array, threshold: float = 0.5, *, out: Array | None = None) -> Array:
    """Gradient of `soft_shrink` from its output: ``dy`` where y is not 0, else 0.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.soft_shrink(np.array([-1, 2], np.float32))
    >>> ops.soft_shrink_bwd(np.ones(2, np.float32), y)
    array([1., 1.], dtype=float32)
    """
    return _native.activation_bwd("soft_shrink", dy, y, (threshold,), out)


def threshold(x: Array, threshold: float, default_value: float, *, out: Array | None = None) -> Array:
    """``x`` above the threshold, else the default value.

    Parameters
    ----------
    x
        Any rank from 1.
    threshold, default_value
        Finite numbers.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.threshold(np.array([-1, 2], np.float32), threshold=0.5, default_value=-7)
    array([-7.,  2.], dtype=float32)
    """
    return _native.activation("threshold", x, (threshold, default_value), out)


def threshold_bwd(
    dy: Array, x: Array, threshold: float, default_value: float, *, out: Array | None = None
) -> Array:
    """Gradient of `threshold` from its input: ``dy`` above the threshold, else 0.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.threshold_bwd(np.ones(2, np.float32), x, threshold=0.5, default_value=-7)
    array([0., 1.], dtype=float32)
    """
    return _native.activation_bwd("threshold", dy, x, (threshold, default_value), out)


def sparse_plus(x: Array, *, out: Array | None = None) -> Array:
    """0 up to -1, ``x`` from 1, ``(x + 1)^2 / 4`` between; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sparse_plus(np.array([-1, 2], np.float32))
    array([0., 2.], dtype=float32)
    """
    return _native.activation("sparse_plus", x, (), out)


def sparse_plus_bwd(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `sparse_plus` from its input: ``dy min(max((x + 1) / 2, 0), 1)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.sparse_plus_bwd(np.ones(2, np.float32), x)
    array([0., 1.], dtype=float32)
    """
    return _native.activation_bwd("sparse_plus", dy, x, (), out)


def sparse_sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """``min(max((x + 1) / 2, 0), 1)``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sparse_sigmoid(np.array([-1, 2], np.float32))
    array([0., 1.], dtype=float32)
    """
    return _native.activation("sparse_sigmoid", x, (), out)


def sparse_sigmoid_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `sparse_sigmoid` from its output: ``dy / 2`` where 0 < y < 1, else 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.sparse_sigmoid(np.array([-1, 2], np.float32))
    >>> ops.sparse_sigmoid_bwd(np.ones(2, np.float32), y)
    array([0., 0.], dtype=float32)
    """
    return _native.activation_bwd("sparse_sigmoid", dy, y, (), out)
