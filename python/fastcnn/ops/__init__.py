# SPDX-License-Identifier: Apache-2.0
"""Every kernel as a function on NumPy arrays, forward and backward.

Names, argument names, defaults and layouts are Keras 3's: images are channels-last ``[N, H, W, C]``,
convolution kernels ``[R, S, C / groups, K]``. What Keras lacks is added in its style: integer and
asymmetric padding, sum pooling, the backward passes.

All functions share these rules. Arrays are float32, of any strides (views are accepted); another dtype
raises `fastcnn.DTypeError`. ``out`` is an array of exactly the result's shape, C-contiguous, writable and
apart from every input; it is what is returned. Everything is checked before anything is written:
`fastcnn.ShapeError` and `fastcnn.ArgumentError` name the argument, what came and what was wanted. Results
have the same bits for any number of threads. The memory of a result of 8 MB or more serves a later one of
its size when no array needs it any more; at most 256 MB are kept, of which the system may take all but 64 if
it is short.

Arrays in a GPU's memory (CuPy's, or any with ``__cuda_array_interface__`` or ``__dlpack__``) are computed on
there, on CuPy's current stream, and give CuPy arrays; all arrays of a call lie in one place. Where that
cannot be, `fastcnn.DeviceError` says what is missing.

On a GPU they may be bfloat16: images and other activations, matrices, the kernels of convolutions, and the
gradients of these, all of a call alike. Biases, gamma, beta, alpha, means and variances are float32 beside
them, and so are their gradients. Sums are float32's, results are rounded once, to nearest, ties to even. An
array is bfloat16 by DLPack's type code, or by the name of its dtype where ``__cuda_array_interface__`` says
"<V2", which alone means any two bytes and is refused. CuPy has no such dtype: a result of bfloat16 is an
object that ``torch.from_dlpack`` and other readers of DLPack take without a copy, with the numbers' bits as
CuPy's array of uint16, ``y.bits``; ``out`` and every argument take it as well.

``padding`` is ``"valid"`` (none), ``"same"`` (the output has ``ceil(size / stride)`` pixels; the odd one
goes to the bottom and right), ``p``, ``(h, w)``, or ``((top, bottom), (left, right))``.
``data_format="channels_first"`` accepts and returns ``[N, C, H, W]``, converted at the edge.

Much of what Keras's ``ops`` shares with NumPy (``mean``, ``argmax``, ``cast``, ...) is here too, for metrics
of your own: NumPy computes it (`fastcnn.ops.plain`). On what layers give, some of both make a layer
(`fastcnn.ops.symbolic`), so that a ``call`` of your own may be written with them.
"""

from __future__ import annotations

from typing import Any

from fastcnn.ops.activation import (
    celu,
    celu_bwd,
    elu,
    elu_bwd,
    exponential,
    exponential_bwd,
    gelu,
    gelu_bwd,
    log_sigmoid,
    log_sigmoid_bwd,
    mish,
    mish_bwd,
    selu,
    selu_bwd,
    sigmoid,
    sigmoid_bwd,
    silu,
    silu_bwd,
    softplus,
    softplus_bwd,
    softsign,
    softsign_bwd,
    squareplus,
    squareplus_bwd,
    tanh,
    tanh_bwd,
    tanh_shrink,
    tanh_shrink_bwd,
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
from fastcnn.ops.conv1d_transpose import (
    conv1d_transpose,
    conv1d_transpose_dgrad,
    conv1d_transpose_wgrad,
)
from fastcnn.ops.conv2d_transpose import (
    conv2d_transpose,
    conv2d_transpose_dgrad,
    conv2d_transpose_wgrad,
)
from fastcnn.ops.conv3d import (
    conv3d,
    conv3d_dgrad,
    conv3d_wgrad,
)
from fastcnn.ops.conv3d_transpose import (
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
from fastcnn.ops.merge import (
    add,
    add_bwd,
    average,
    average_bwd,
    maximum,
    maximum_bwd,
    minimum,
    minimum_bwd,
    multiply,
    multiply_bwd,
    subtract,
    subtract_bwd,
)
from fastcnn.ops.moving import (
    concatenate,
    concatenate_bwd,
    cropping,
    cropping_bwd,
    permute,
    permute_bwd,
    repeat_vector,
    repeat_vector_bwd,
    upsampling,
    upsampling_bwd,
    zero_padding,
    zero_padding_bwd,
)
from fastcnn.ops.norm import (
    batch_norm,
    batch_norm_bwd,
    batch_norm_train,
    group_norm,
    group_norm_bwd,
    instance_norm,
    instance_norm_bwd,
    layer_norm,
    layer_norm_bwd,
    rms_norm,
    rms_norm_bwd,
    unit_norm,
    unit_norm_bwd,
)
from fastcnn.ops.pool import (
    average_pool2d,
    average_pool2d_bwd,
    max_pool2d,
    max_pool2d_bwd,
    sum_pool2d,
    sum_pool2d_bwd,
)
from fastcnn.ops.pool1d import (
    average_pool1d,
    average_pool1d_bwd,
    max_pool1d,
    max_pool1d_bwd,
    sum_pool1d,
    sum_pool1d_bwd,
)
from fastcnn.ops.pool3d import (
    average_pool3d,
    average_pool3d_bwd,
    max_pool3d,
    max_pool3d_bwd,
    sum_pool3d,
    sum_pool3d_bwd,
)
from fastcnn.ops.pool_global import (
    adaptive_average_pool,
    adaptive_average_pool_bwd,
    adaptive_max_pool,
    adaptive_max_pool_bwd,
    global_average_pool,
    global_average_pool_bwd,
    global_max_pool,
    global_max_pool_bwd,
    global_sum_pool,
    global_sum_pool_bwd,
)
from fastcnn.ops.pool_other import (
    lp_pool2d,
    lp_pool2d_bwd,
    max_pool2d_with_index,
    max_pool2d_with_index_bwd,
    max_pool3d_with_index,
    max_pool3d_with_index_bwd,
    max_unpool2d,
    max_unpool2d_bwd,
)
from fastcnn.ops.prelu import prelu, prelu_alpha_bwd, prelu_bwd
from fastcnn.ops.rectifier import (
    general_relu,
    general_relu_bwd,
    hard_shrink,
    hard_shrink_bwd,
    hard_sigmoid,
    hard_sigmoid_bwd,
    hard_silu,
    hard_silu_bwd,
    hard_tanh,
    hard_tanh_bwd,
    leaky_relu,
    leaky_relu_bwd,
    relu,
    relu6,
    relu6_bwd,
    relu_bwd,
    soft_shrink,
    soft_shrink_bwd,
    sparse_plus,
    sparse_plus_bwd,
    sparse_sigmoid,
    sparse_sigmoid_bwd,
    threshold,
    threshold_bwd,
)
from fastcnn.ops.separable_conv1d import (
    separable_conv1d,
    separable_conv1d_depthwise_wgrad,
    separable_conv1d_dgrad,
    separable_conv1d_pointwise_wgrad,
)
from fastcnn.ops.separable_conv2d import (
    separable_conv2d,
    separable_conv2d_depthwise_wgrad,
    separable_conv2d_dgrad,
    separable_conv2d_pointwise_wgrad,
)
from fastcnn.ops.softmax import log_softmax, log_softmax_bwd, softmax, softmax_bwd
from fastcnn.ops.symbolic import on_either

__all__ = [
    "adaptive_average_pool",
    "adaptive_average_pool_bwd",
    "adaptive_max_pool",
    "adaptive_max_pool_bwd",
    "add",
    "add_bwd",
    "average",
    "average_bwd",
    "average_pool1d",
    "average_pool1d_bwd",
    "average_pool2d",
    "average_pool2d_bwd",
    "average_pool3d",
    "average_pool3d_bwd",
    "batch_norm",
    "batch_norm_bwd",
    "batch_norm_train",
    "celu",
    "celu_bwd",
    "concatenate",
    "concatenate_bwd",
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
    "cropping",
    "cropping_bwd",
    "depthwise_conv1d",
    "depthwise_conv1d_dgrad",
    "depthwise_conv1d_wgrad",
    "depthwise_conv2d",
    "depthwise_conv2d_dgrad",
    "depthwise_conv2d_wgrad",
    "elu",
    "elu_bwd",
    "exponential",
    "exponential_bwd",
    "gelu",
    "gelu_bwd",
    "gemm",
    "general_relu",
    "general_relu_bwd",
    "global_average_pool",
    "global_average_pool_bwd",
    "global_max_pool",
    "global_max_pool_bwd",
    "global_sum_pool",
    "global_sum_pool_bwd",
    "group_norm",
    "group_norm_bwd",
    "hard_shrink",
    "hard_shrink_bwd",
    "hard_sigmoid",
    "hard_sigmoid_bwd",
    "hard_silu",
    "hard_silu_bwd",
    "hard_tanh",
    "hard_tanh_bwd",
    "instance_norm",
    "instance_norm_bwd",
    "layer_norm",
    "layer_norm_bwd",
    "leaky_relu",
    "leaky_relu_bwd",
    "log_sigmoid",
    "log_sigmoid_bwd",
    "log_softmax",
    "log_softmax_bwd",
    "lp_pool2d",
    "lp_pool2d_bwd",
    "max_pool1d",
    "max_pool1d_bwd",
    "max_pool2d",
    "max_pool2d_bwd",
    "max_pool2d_with_index",
    "max_pool2d_with_index_bwd",
    "max_pool3d",
    "max_pool3d_bwd",
    "max_pool3d_with_index",
    "max_pool3d_with_index_bwd",
    "max_unpool2d",
    "max_unpool2d_bwd",
    "maximum",
    "maximum_bwd",
    "minimum",
    "minimum_bwd",
    "mish",
    "mish_bwd",
    "multiply",
    "multiply_bwd",
    "permute",
    "permute_bwd",
    "prelu",
    "prelu_alpha_bwd",
    "prelu_bwd",
    "relu",
    "relu6",
    "relu6_bwd",
    "relu_bwd",
    "repeat_vector",
    "repeat_vector_bwd",
    "rms_norm",
    "rms_norm_bwd",
    "selu",
    "selu_bwd",
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
    "silu",
    "silu_bwd",
    "soft_shrink",
    "soft_shrink_bwd",
    "softmax",
    "softmax_bwd",
    "softplus",
    "softplus_bwd",
    "softsign",
    "softsign_bwd",
    "sparse_plus",
    "sparse_plus_bwd",
    "sparse_sigmoid",
    "sparse_sigmoid_bwd",
    "squareplus",
    "squareplus_bwd",
    "subtract",
    "subtract_bwd",
    "sum_pool1d",
    "sum_pool1d_bwd",
    "sum_pool2d",
    "sum_pool2d_bwd",
    "sum_pool3d",
    "sum_pool3d_bwd",
    "tanh",
    "tanh_bwd",
    "tanh_shrink",
    "tanh_shrink_bwd",
    "threshold",
    "threshold_bwd",
    "unit_norm",
    "unit_norm_bwd",
    "upsampling",
    "upsampling_bwd",
    "zero_padding",
    "zero_padding_bwd",
]


for _name in ("concatenate", "gelu"):  # their layers take other arguments
    globals()[_name] = on_either(_name, globals()[_name])


def __getattr__(name: str) -> Any:
    from fastcnn.ops.plain import FUNCTIONS

    if name in FUNCTIONS:
        return FUNCTIONS[name]
    from fastcnn._absent import absent

    raise absent(__name__, name)
