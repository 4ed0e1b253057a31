# SPDX-License-Identifier: Apache-2.0
"""Every operator and gradient of fastcnn in float64 NumPy, slow and obvious.

The kernels are judged against these functions, so each is the formula written down once: no blocking, no
tricks, no clever axis order. Arguments and layouts are those of ``fastcnn.ops`` (activations N H W C, kernels
R S C K). `OPERATORS` holds, by the names of the operator table, the forward function and the functions of its
gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastcnn.testing.reference.activation import (
    ACTIVATIONS,
    activate,
    relu,
    relu_bwd,
    sigmoid,
    sigmoid_bwd,
    softmax,
    softmax_bwd,
    tanh,
    tanh_bwd,
)
from fastcnn.testing.reference.conv import conv2d, conv2d_bias_bwd, conv2d_dgrad, conv2d_wgrad
from fastcnn.testing.reference.conv_family import (
    conv1d,
    conv1d_dgrad,
    conv1d_transpose,
    conv1d_transpose_dgrad,
    conv1d_transpose_wgrad,
    conv1d_wgrad,
    conv2d_transpose,
    conv2d_transpose_dgrad,
    conv2d_transpose_wgrad,
    conv3d,
    conv3d_dgrad,
    conv3d_transpose,
    conv3d_transpose_dgrad,
    conv3d_transpose_wgrad,
    conv3d_wgrad,
    depthwise_conv1d,
    depthwise_conv1d_dgrad,
    depthwise_conv1d_wgrad,
    depthwise_conv2d,
    depthwise_conv2d_dgrad,
    depthwise_conv2d_wgrad,
    separable_conv1d,
    separable_conv1d_depthwise_wgrad,
    separable_conv1d_dgrad,
    separable_conv1d_pointwise_wgrad,
    separable_conv2d,
    separable_conv2d_depthwise_wgrad,
    separable_conv2d_dgrad,
    separable_conv2d_pointwise_wgrad,
)
from fastcnn.testing.reference.geometry import Pads, output_size, pair, resolve_padding
from fastcnn.testing.reference.linear import (
    dense,
    dense_bwd,
    flatten,
    flatten_bwd,
    gemm,
    rescaling,
    rescaling_bwd,
)
from fastcnn.testing.reference.loss import (
    categorical_crossentropy,
    categorical_crossentropy_bwd,
    loss_bwd,
    loss_rows,
    loss_value,
    mean_squared_error,
    mean_squared_error_bwd,
    one_hot,
    sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_bwd,
)
from fastcnn.testing.reference.optimizer import AdamState, SGDState, adam, sgd
from fastcnn.testing.reference.pool import (
    average_pool2d,
    average_pool2d_bwd,
    max_pool2d,
    max_pool2d_bwd,
    sum_pool2d,
    sum_pool2d_bwd,
)
from fastcnn.testing.reference.random import DropoutDraw, dropout, dropout_bwd, dropout_mask, philox4x32

__all__ = [
    "ACTIVATIONS",
    "OPERATORS",
    "AdamState",
    "DropoutDraw",
    "Operator",
    "Pads",
    "SGDState",
    "activate",
    "adam",
    "average_pool2d",
    "average_pool2d_bwd",
    "categorical_crossentropy",
    "categorical_crossentropy_bwd",
    "conv1d",
    "conv1d_dgrad",
    "conv1d_transpose",
    "conv1d_transpose_dgrad",
    "conv1d_transpose_wgrad",
    "conv1d_wgrad",
    "conv2d",
    "conv2d_bias_bwd",
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
    "dense",
    "dense_bwd",
    "depthwise_conv1d",
    "depthwise_conv1d_dgrad",
    "depthwise_conv1d_wgrad",
    "depthwise_conv2d",
    "depthwise_conv2d_dgrad",
    "depthwise_conv2d_wgrad",
    "dropout",
    "dropout_bwd",
    "dropout_mask",
    "flatten",
    "flatten_bwd",
    "gemm",
    "loss_bwd",
    "loss_rows",
    "loss_value",
    "max_pool2d",
    "max_pool2d_bwd",
    "mean_squared_error",
    "mean_squared_error_bwd",
    "one_hot",
    "output_size",
    "pair",
    "philox4x32",
    "relu",
    "relu_bwd",
    "rescaling",
    "rescaling_bwd",
    "resolve_padding",
    "separable_conv1d",
    "separable_conv1d_depthwise_wgrad",
    "separable_conv1d_dgrad",
    "separable_conv1d_pointwise_wgrad",
    "separable_conv2d",
    "separable_conv2d_depthwise_wgrad",
    "separable_conv2d_dgrad",
    "separable_conv2d_pointwise_wgrad",
    "sgd",
    "sigmoid",
    "sigmoid_bwd",
    "softmax",
    "softmax_bwd",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_bwd",
    "sum_pool2d",
    "sum_pool2d_bwd",
    "tanh",
    "tanh_bwd",
]


class Operator(NamedTuple):
    """The reference of one row of the operator table."""

    forward: Callable[..., Any]
    gradients: tuple[Callable[..., Any], ...]


OPERATORS: dict[str, Operator] = {
    "conv2d": Operator(conv2d, (conv2d_dgrad, conv2d_wgrad, conv2d_bias_bwd)),
    "conv1d": Operator(conv1d, (conv1d_dgrad, conv1d_wgrad)),
    "conv3d": Operator(conv3d, (conv3d_dgrad, conv3d_wgrad)),
    "conv1d_transpose": Operator(conv1d_transpose, (conv1d_transpose_dgrad, conv1d_transpose_wgrad)),
    "conv2d_transpose": Operator(conv2d_transpose, (conv2d_transpose_dgrad, conv2d_transpose_wgrad)),
    "conv3d_transpose": Operator(conv3d_transpose, (conv3d_transpose_dgrad, conv3d_transpose_wgrad)),
    "depthwise_conv1d": Operator(depthwise_conv1d, (depthwise_conv1d_dgrad, depthwise_conv1d_wgrad)),
    "depthwise_conv2d": Operator(depthwise_conv2d, (depthwise_conv2d_dgrad, depthwise_conv2d_wgrad)),
    "dense": Operator(dense, (dense_bwd,)),
    "max_pool2d": Operator(max_pool2d, (max_pool2d_bwd,)),
    "average_pool2d": Operator(average_pool2d, (average_pool2d_bwd,)),
    "sum_pool2d": Operator(sum_pool2d, (sum_pool2d_bwd,)),
    "relu": Operator(relu, (relu_bwd,)),
    "sigmoid": Operator(sigmoid, (sigmoid_bwd,)),
    "tanh": Operator(tanh, (tanh_bwd,)),
    "softmax": Operator(softmax, (softmax_bwd,)),
    "dropout": Operator(dropout, (dropout_bwd,)),
    "rescaling": Operator(rescaling, (rescaling_bwd,)),
    "flatten": Operator(flatten, (flatten_bwd,)),
}
