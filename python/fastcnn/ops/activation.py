# SPDX-License-Identifier: Apache-2.0
"""Smooth activations and their gradients.

A backward pass takes the output ``y`` of its forward pass where the gradient follows from it without loss,
else its input ``x``; the name of the argument says which. NaN gives NaN.
"""

from __future__ import annotations

from fastcnn import _native
from fastcnn.ops.symbolic import activation
from fastcnn.ops.types import Array

__all__ = [
    "celu",
    "celu_bwd",
    "elu",
    "elu_bwd",
    "exponential",
    "exponential_bwd",
    "gelu",
    "gelu_bwd",
    "log_sigmoid",
    "log_sigmoid_bwd",
    "mish",
    "mish_bwd",
    "selu",
    "selu_bwd",
    "sigmoid",
    "sigmoid_bwd",
    "silu",
    "silu_bwd",
    "softplus",
    "softplus_bwd",
    "softsign",
    "softsign_bwd",
    "squareplus",
    "squareplus_bwd",
    "tanh",
    "tanh_bwd",
    "tanh_shrink",
    "tanh_shrink_bwd",
]


def elu(x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """``x`` above 0, else ``alpha (exp(x) - 1)`` (D.-A. Clevert et al., 2016).

    Parameters
    ----------
    x
        Any rank from 1.
    alpha
        Of 0 or more.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.elu(np.array([-1, 2], np.float32)).round(3)
    array([-0.632,  2.   ], dtype=float32)
    """
    return activation("elu", x, (alpha,), out)


def elu_bwd(dy: Array, y: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Gradient of `elu` from its output: ``dy`` where y > 0, else ``dy (y + alpha)``.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.elu(np.array([-1, 2], np.float32))
    >>> ops.elu_bwd(np.ones(2, np.float32), y).round(3)
    array([0.368, 1.   ], dtype=float32)
    """
    return _native.activation_bwd("elu", dy, y, (alpha,), out)


def selu(x: Array, *, out: Array | None = None) -> Array:
    """``scale * elu(x, alpha)``, the two constants being those that keep mean 0 and variance 1.

    G. Klambauer et al., "Self-normalizing neural networks", 2017. Elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.selu(np.array([-1, 2], np.float32)).round(3)
    array([-1.111,  2.101], dtype=float32)
    """
    return activation("selu", x, (), out)


def selu_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `selu` from its output: ``dy scale`` where y > 0, else ``dy (y + scale alpha)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.selu(np.array([-1, 2], np.float32))
    >>> ops.selu_bwd(np.ones(2, np.float32), y).round(3)
    array([0.647, 1.051], dtype=float32)
    """
    return _native.activation_bwd("selu", dy, y, (), out)


def celu(x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """``x`` above 0, else ``alpha (exp(x / alpha) - 1)`` (J. T. Barron, 2017).

    Parameters
    ----------
    x
        Any rank from 1.
    alpha
        Above 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.celu(np.array([-1, 2], np.float32)).round(3)
    array([-0.632,  2.   ], dtype=float32)
    """
    return activation("celu", x, (alpha,), out)


def celu_bwd(dy: Array, y: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Gradient of `celu` from its output: ``dy`` where y > 0, else ``dy (y / alpha + 1)``.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.celu(np.array([-1, 2], np.float32))
    >>> ops.celu_bwd(np.ones(2, np.float32), y).round(3)
    array([0.368, 1.   ], dtype=float32)
    """
    return _native.activation_bwd("celu", dy, y, (alpha,), out)


def gelu(x: Array, approximate: bool = True, *, out: Array | None = None) -> Array:
    """``x P(x)`` with the normal distribution P (D. Hendrycks, K. Gimpel, 2016).

    The approximation is ``x sigmoid(2 u)``, ``u = sqrt(2 / pi) (x + 0.044715 x^3)``.

    Parameters
    ----------
    x
        Any rank from 1.
    approximate
        As in Keras, the approximation by ``tanh`` is the default.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.gelu(np.array([-1, 2], np.float32)).round(3)
    array([-0.159,  1.955], dtype=float32)
    """
    return _native.activation("gelu_tanh" if approximate else "gelu", x, (), out)


def gelu_bwd(dy: Array, x: Array, approximate: bool = True, *, out: Array | None = None) -> Array:
    """Gradient of `gelu` from its input: ``dy (P + x p)`` with the normal density p.

    Of the approximation, with s = sigmoid(2 u), ``dy (s + x s (1 - s) 2 u')``.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.gelu_bwd(np.ones(2, np.float32), x).round(3)
    array([-0.083,  1.086], dtype=float32)
    """
    return _native.activation_bwd("gelu_tanh" if approximate else "gelu", dy, x, (), out)


def silu(x: Array, *, out: Array | None = None) -> Array:
    """``x sigmoid(x)``, also called swish (S. Elfwing et al., 2017); elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.silu(np.array([-1, 2], np.float32)).round(3)
    array([-0.269,  1.762], dtype=float32)
    """
    return activation("silu", x, (), out)


def silu_bwd(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `silu` from its input: ``dy (s + x s (1 - s))`` with s = sigmoid(x).

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.silu_bwd(np.ones(2, np.float32), x).round(3)
    array([0.072, 1.091], dtype=float32)
    """
    return _native.activation_bwd("silu", dy, x, (), out)


def mish(x: Array, *, out: Array | None = None) -> Array:
    """``x tanh(softplus(x))`` (D. Misra, 2019); elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.mish(np.array([-1, 2], np.float32)).round(3)
    array([-0.303,  1.944], dtype=float32)
    """
    return _native.activation("mish", x, (), out)


def mish_bwd(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `mish` from its input: ``dy (w + x (1 - w^2) sigmoid(x))`` with w = tanh(softplus(x)).

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.mish_bwd(np.ones(2, np.float32), x).round(3)
    array([0.059, 1.069], dtype=float32)
    """
    return _native.activation_bwd("mish", dy, x, (), out)


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """``1 / (1 + exp(-x))`` elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.sigmoid(np.array([-1, 2], np.float32)).round(3)
    array([0.269, 0.881], dtype=float32)
    """
    return activation("sigmoid", x, (), out)


def sigmoid_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `sigmoid` from its output: ``dy y (1 - y)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.sigmoid(np.array([-1, 2], np.float32))
    >>> ops.sigmoid_bwd(np.ones(2, np.float32), y).round(3)
    array([0.197, 0.105], dtype=float32)
    """
    return _native.activation_bwd("sigmoid", dy, y, (), out)


def tanh(x: Array, *, out: Array | None = None) -> Array:
    """Hyperbolic tangent; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.tanh(np.array([-1, 2], np.float32)).round(3)
    array([-0.762,  0.964], dtype=float32)
    """
    return activation("tanh", x, (), out)


def tanh_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `tanh` from its output: ``dy (1 - y^2)``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.tanh(np.array([-1, 2], np.float32))
    >>> ops.tanh_bwd(np.ones(2, np.float32), y).round(3)
    array([0.42 , 0.071], dtype=float32)
    """
    return _native.activation_bwd("tanh", dy, y, (), out)


def softplus(x: Array, *, out: Array | None = None) -> Array:
    """``log(1 + exp(x))``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.softplus(np.array([-1, 2], np.float32)).round(3)
    array([0.313, 2.127], dtype=float32)
    """
    return activation("softplus", x, (), out)


def softplus_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `softplus` from its output: ``dy (1 - exp(-y))``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.softplus(np.array([-1, 2], np.float32))
    >>> ops.softplus_bwd(np.ones(2, np.float32), y).round(3)
    array([0.269, 0.881], dtype=float32)
    """
    return _native.activation_bwd("softplus", dy, y, (), out)


def softsign(x: Array, *, out: Array | None = None) -> Array:
    """``x / (1 + |x|)``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.softsign(np.array([-1, 2], np.float32)).round(3)
    array([-0.5  ,  0.667], dtype=float32)
    """
    return activation("softsign", x, (), out)


def softsign_bwd(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `softsign` from its input: ``dy / (1 + |x|)^2``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.softsign_bwd(np.ones(2, np.float32), x).round(3)
    array([0.25 , 0.111], dtype=float32)
    """
    return _native.activation_bwd("softsign", dy, x, (), out)


def log_sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """``log(sigmoid(x))``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.log_sigmoid(np.array([-1, 2], np.float32)).round(3)
    array([-1.313, -0.127], dtype=float32)
    """
    return activation("log_sigmoid", x, (), out)


def log_sigmoid_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `log_sigmoid` from its output: ``dy (1 - exp(y))``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.log_sigmoid(np.array([-1, 2], np.float32))
    >>> ops.log_sigmoid_bwd(np.ones(2, np.float32), y).round(3)
    array([0.731, 0.119], dtype=float32)
    """
    return _native.activation_bwd("log_sigmoid", dy, y, (), out)


def exponential(x: Array, *, out: Array | None = None) -> Array:
    """``exp(x)``; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.exponential(np.array([-1, 2], np.float32)).round(3)
    array([0.368, 7.389], dtype=float32)
    """
    return _native.activation("exponential", x, (), out)


def exponential_bwd(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `exponential` from its output: ``dy y``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.exponential(np.array([-1, 2], np.float32))
    >>> ops.exponential_bwd(np.ones(2, np.float32), y).round(3)
    array([0.368, 7.389], dtype=float32)
    """
    return _native.activation_bwd("exponential", dy, y, (), out)


def tanh_shrink(x: Array, *, out: Array | None = None) -> Array:
    """``x - tanh(x)``, to the last digits near 0 too; elementwise, any rank from 1.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.tanh_shrink(np.array([-1, 2], np.float32)).round(3)
    array([-0.238,  1.036], dtype=float32)
    """
    return _native.activation("tanh_shrink", x, (), out)


def tanh_shrink_bwd(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `tanh_shrink` from its input: ``dy tanh(x)^2``.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> x = np.array([-1, 2], np.float32)
    >>> ops.tanh_shrink_bwd(np.ones(2, np.float32), x).round(3)
    array([0.58 , 0.929], dtype=float32)
    """
    return _native.activation_bwd("tanh_shrink", dy, x, (), out)


def squareplus(x: Array, b: float = 4.0, *, out: Array | None = None) -> Array:
    """``(x + sqrt(x^2 + b)) / 2``, below 0 as ``b / 2 / (sqrt(x^2 + b) - x)``.

    Parameters
    ----------
    x
        Any rank from 1.
    b
        Above 0.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> ops.squareplus(np.array([-1, 2], np.float32)).round(3)
    array([0.618, 2.414], dtype=float32)
    """
    return activation("squareplus", x, (b,), out)


def squareplus_bwd(dy: Array, y: Array, b: float = 4.0, *, out: Array | None = None) -> Array:
    """Gradient of `squareplus` from its output: ``dy y^2 / (y^2 + b / 4)``.

    The parameters are those of the forward pass.

    >>> import numpy as np
    >>> from fastcnn import ops
    >>> y = ops.squareplus(np.array([-1, 2], np.float32))
    >>> ops.squareplus_bwd(np.ones(2, np.float32), y).round(3)
    array([0.276, 0.854], dtype=float32)
    """
    return _native.activation_bwd("squareplus", dy, y, (b,), out)
