# SPDX-License-Identifier: Apache-2.0
"""Every kernel as a function on NumPy arrays, forward and backward.

Names, argument names, defaults and layouts are Keras 3's: images are channels-last ``[N, H, W, C]``,
convolution kernels ``[R, S, C / groups, K]``. What Keras lacks is added in its style: integer and
asymmetric padding, sum pooling, the backward passes.

All functions share these rules. Arrays are float32, of any strides (views are accepted); another dtype
raises `fastcnn.DTypeError`. ``out`` is an array of exactly the result's shape, C-contiguous, writable and
apart from every input; it is what is returned. Everything is checked before anything is written:
`fastcnn.ShapeError` and `fastcnn.ArgumentError` name the argument, what came and what was wanted. Results
have the same bits for any number of threads.

``padding`` is ``"valid"`` (none), ``"same"`` (the output has ``ceil(size / stride)`` pixels; the odd one
goes to the bottom and right), ``p``, ``(h, w)``, or ``((top, bottom), (left, right))``.
``data_format="channels_first"`` accepts and returns ``[N, C, H, W]``, converted at the edge.
"""

from __future__ import annotations

from fastcnn.ops.activation import (
    relu,
    relu_bwd,
    sigmoid,
    sigmoid_bwd,
    softmax,
    softmax_bwd,
    tanh,
    tanh_bwd,
)
from fastcnn.ops.conv import (
    conv2d,
    conv2d_dgrad,
    conv2d_wgrad,
)
from fastcnn.ops.conv1d import (
    conv1d,
    conv1d_dgrad,
    conv1d_wgrad,
)
from fastcnn.ops.conv3d import (
    conv3d,
    conv3d_dgrad,
    conv3d_wgrad,
)
from fastcnn.ops.conv_transpose import (
    conv1d_transpose,
    conv1d_transpose_dgrad,
    conv1d_transpose_wgrad,
    conv2d_transpose,
    conv2d_transpose_dgrad,
    conv2d_transpose_wgrad,
    conv3d_transpose,
    conv3d_transpose_dgrad,
    conv3d_transpose_wgrad,
)
from fastcnn.ops.depthwise import (
    depthwise_conv1d,
    depthwise_conv1d_dgrad,
    depthwise_conv1d_wgrad,
    depthwise_conv2d,
    depthwise_conv2d_dgrad,
    depthwise_conv2d_wgrad,
)
from fastcnn.ops.linear import (
    gemm,
)
from fastcnn.ops.pool import (
    average_pool2d,
    average_pool2d_bwd,
    max_pool2d,
    max_pool2d_bwd,
    sum_pool2d,
    sum_pool2d_bwd,
)
from fastcnn.ops.separable import (
    separable_conv1d,
    separable_conv1d_depthwise_wgrad,
    separable_conv1d_dgrad,
    separable_conv1d_pointwise_wgrad,
    separable_conv2d,
    separable_conv2d_depthwise_wgrad,
    separable_conv2d_dgrad,
    separable_conv2d_pointwise_wgrad,
)

__all__ = [
    "average_pool2d",
    "average_pool2d_bwd",
    "conv1d",
    "conv1d_dgrad",
    "conv1d_transpose",
    "conv1d_transpose_dgrad",
    "conv1d_transpose_wgrad",
    "conv1d_wgrad",
    "conv2d",
    "conv2d_dgrad",
    "conv2d_transpose",
    "conv2d_transpose_dgrad",
    "conv2d_transpose_wgrad",
    "conv2d_wgrad",
    "conv3d",
    "conv3d_dgrad",
    "conv3d_transpose",
    "conv3d_transpose_dgrad",
    "conv3d_transpose_wgrad",
    "conv3d_wgrad",
    "depthwise_conv1d",
    "depthwise_conv1d_dgrad",
    "depthwise_conv1d_wgrad",
    "depthwise_conv2d",
    "depthwise_conv2d_dgrad",
    "depthwise_conv2d_wgrad",
    "gemm",
    "max_pool2d",
    "max_pool2d_bwd",
    "relu",
    "relu_bwd",
    "separable_conv1d",
    "separable_conv1d_depthwise_wgrad",
    "separable_conv1d_dgrad",
    "separable_conv1d_pointwise_wgrad",
    "separable_conv2d",
    "separable_conv2d_depthwise_wgrad",
    "separable_conv2d_dgrad",
    "separable_conv2d_pointwise_wgrad",
    "sigmoid",
    "sigmoid_bwd",
    "softmax",
    "softmax_bwd",
    "sum_pool2d",
    "sum_pool2d_bwd",
    "tanh",
    "tanh_bwd",
]
