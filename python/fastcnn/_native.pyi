# SPDX-License-Identifier: Apache-2.0
# The typed surface of the extension; checked against it in CI.
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]

def conv(
    op: str,
    x: Any,
    kernel: Any,
    bias: Any,
    strides: Any,
    padding: Any,
    output_padding: Any,
    dilation_rate: Any,
    groups: Any,
    activation: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def conv_dgrad(
    op: str,
    dy: Any,
    kernel: Any,
    input_shape: Any,
    strides: Any,
    padding: Any,
    output_padding: Any,
    dilation_rate: Any,
    groups: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def conv_wgrad(
    op: str,
    x: Any,
    dy: Any,
    kernel_size: Any,
    strides: Any,
    padding: Any,
    output_padding: Any,
    dilation_rate: Any,
    groups: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv1d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    bias: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    activation: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv1d_dgrad(
    dy: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    input_shape: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv1d_depthwise_wgrad(
    x: Any,
    dy: Any,
    pointwise_kernel: Any,
    kernel_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv1d_pointwise_wgrad(
    x: Any,
    dy: Any,
    depthwise_kernel: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv2d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    bias: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    activation: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv2d_dgrad(
    dy: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    input_shape: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv2d_depthwise_wgrad(
    x: Any,
    dy: Any,
    pointwise_kernel: Any,
    kernel_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def separable_conv2d_pointwise_wgrad(
    x: Any,
    dy: Any,
    depthwise_kernel: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    data_format: Any,
    math: Any,
    out: Any,
) -> _Array: ...
def max_pool1d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def max_pool1d_bwd(
    dy: Any,
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def average_pool1d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def average_pool1d_bwd(
    dy: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def sum_pool1d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def sum_pool1d_bwd(
    dy: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def max_pool2d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def max_pool2d_bwd(
    dy: Any,
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def average_pool2d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def average_pool2d_bwd(
    dy: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def sum_pool2d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def sum_pool2d_bwd(
    dy: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def max_pool3d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def max_pool3d_bwd(
    dy: Any,
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def average_pool3d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def average_pool3d_bwd(
    dy: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def sum_pool3d(
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def sum_pool3d_bwd(
    dy: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    count_include_pad: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def global_max_pool(x: Any, keepdims: Any, data_format: Any, out: Any) -> _Array: ...
def global_max_pool_bwd(dy: Any, x: Any, keepdims: Any, data_format: Any, out: Any) -> _Array: ...
def global_average_pool(x: Any, keepdims: Any, data_format: Any, out: Any) -> _Array: ...
def global_average_pool_bwd(
    dy: Any, input_shape: Any, keepdims: Any, data_format: Any, out: Any
) -> _Array: ...
def global_sum_pool(x: Any, keepdims: Any, data_format: Any, out: Any) -> _Array: ...
def global_sum_pool_bwd(dy: Any, input_shape: Any, keepdims: Any, data_format: Any, out: Any) -> _Array: ...
def adaptive_max_pool(x: Any, output_size: Any, data_format: Any, out: Any) -> _Array: ...
def adaptive_max_pool_bwd(dy: Any, x: Any, output_size: Any, data_format: Any, out: Any) -> _Array: ...
def adaptive_average_pool(x: Any, output_size: Any, data_format: Any, out: Any) -> _Array: ...
def adaptive_average_pool_bwd(
    dy: Any, input_shape: Any, output_size: Any, data_format: Any, out: Any
) -> _Array: ...
def lp_pool2d(
    x: Any, pool_size: Any, strides: Any, padding: Any, p: Any, ceil_mode: Any, data_format: Any, out: Any
) -> _Array: ...
def lp_pool2d_bwd(
    dy: Any,
    x: Any,
    y: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    p: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> _Array: ...
def max_pool2d_with_index(
    x: Any, pool_size: Any, strides: Any, padding: Any, dilation_rate: Any, ceil_mode: Any, out: Any
) -> tuple[_Array, NDArray[np.int32]]: ...
def max_pool2d_with_index_bwd(
    dy: Any,
    index: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    ceil_mode: Any,
    out: Any,
) -> _Array: ...
def max_pool3d_with_index(
    x: Any, pool_size: Any, strides: Any, padding: Any, dilation_rate: Any, ceil_mode: Any, out: Any
) -> tuple[_Array, NDArray[np.int32]]: ...
def max_pool3d_with_index_bwd(
    dy: Any,
    index: Any,
    input_shape: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    dilation_rate: Any,
    ceil_mode: Any,
    out: Any,
) -> _Array: ...
def max_unpool2d(x: Any, index: Any, output_shape: Any, out: Any) -> _Array: ...
def max_unpool2d_bwd(dy: Any, index: Any, out: Any) -> _Array: ...
def gemm(
    a: Any, b: Any, transpose_a: Any, transpose_b: Any, bias: Any, activation: Any, out: Any
) -> _Array: ...
def activation(name: str, x: Any, parameters: tuple[Any, ...], out: Any) -> _Array: ...
def activation_bwd(name: str, dy: Any, saved: Any, parameters: tuple[Any, ...], out: Any) -> _Array: ...
def prelu(x: Any, alpha: Any, out: Any) -> _Array: ...
def prelu_bwd(dy: Any, x: Any, alpha: Any, out: Any) -> _Array: ...
def prelu_alpha_bwd(dy: Any, x: Any, alpha_shape: Any, out: Any) -> _Array: ...
def softmax(x: Any, axis: Any, out: Any) -> _Array: ...
def softmax_bwd(dy: Any, y: Any, axis: Any, out: Any) -> _Array: ...
def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: Any, out: Any) -> _Array: ...
def batch_norm_train(
    x: Any,
    gamma: Any,
    beta: Any,
    moving_mean: Any,
    moving_variance: Any,
    momentum: Any,
    epsilon: Any,
    out: Any,
) -> tuple[_Array, _Array, _Array]: ...
def batch_norm_bwd(
    dy: Any, x: Any, gamma: Any, mean: Any, variance: Any, epsilon: Any, out: Any
) -> tuple[_Array, _Array, _Array]: ...
def group_norm(x: Any, gamma: Any, beta: Any, groups: Any, epsilon: Any, out: Any) -> _Array: ...
def group_norm_bwd(
    dy: Any, x: Any, gamma: Any, groups: Any, epsilon: Any, out: Any
) -> tuple[_Array, _Array, _Array]: ...
def instance_norm(x: Any, gamma: Any, beta: Any, epsilon: Any, out: Any) -> _Array: ...
def instance_norm_bwd(
    dy: Any, x: Any, gamma: Any, epsilon: Any, out: Any
) -> tuple[_Array, _Array, _Array]: ...
def layer_norm(x: Any, gamma: Any, beta: Any, axis: Any, epsilon: Any, out: Any) -> _Array: ...
def layer_norm_bwd(
    dy: Any, x: Any, gamma: Any, axis: Any, epsilon: Any, out: Any
) -> tuple[_Array, _Array, _Array]: ...
def rms_norm(x: Any, gamma: Any, beta: Any, axis: Any, epsilon: Any, out: Any) -> _Array: ...
def rms_norm_bwd(dy: Any, x: Any, gamma: Any, axis: Any, epsilon: Any, out: Any) -> tuple[_Array, _Array]: ...
def unit_norm(x: Any, gamma: Any, beta: Any, axis: Any, epsilon: Any, out: Any) -> _Array: ...
def unit_norm_bwd(dy: Any, x: Any, gamma: Any, axis: Any, epsilon: Any, out: Any) -> tuple[_Array]: ...
def loss(
    loss: dict[str, Any], y_true: Any, y_pred: Any, sample_weight: Any, wanted: Any, out: Any
) -> Any: ...
def log_softmax(x: Any, axis: Any, out: Any) -> _Array: ...
def log_softmax_bwd(dy: Any, y: Any, axis: Any, out: Any) -> _Array: ...
def optimizer_slots(description: dict[str, Any]) -> list[float]: ...
def optimizer_step(
    description: dict[str, Any],
    variables: list[tuple[_Array, _Array, list[_Array], bool, tuple[int, int] | None]],
    step: Any,
    learning_rate: Any,
) -> None: ...
def clip_norm(gradient: Any, limit: Any) -> None: ...
def accumulate(gradient: Any, sum: Any, steps: Any, step: Any) -> None: ...
def add(x1: Any, x2: Any, out: Any) -> _Array: ...
def subtract(x1: Any, x2: Any, out: Any) -> _Array: ...
def multiply(x1: Any, x2: Any, out: Any) -> _Array: ...
def maximum(x1: Any, x2: Any, out: Any) -> _Array: ...
def minimum(x1: Any, x2: Any, out: Any) -> _Array: ...
def average(x1: Any, x2: Any, out: Any) -> _Array: ...
def add_bwd(dy: Any, input_shape: Any, out: Any) -> _Array: ...
def average_bwd(dy: Any, input_shape: Any, out: Any) -> _Array: ...
def subtract_bwd(dy: Any, input_shape: Any, index: Any, out: Any) -> _Array: ...
def multiply_bwd(dy: Any, other: Any, input_shape: Any, out: Any) -> _Array: ...
def maximum_bwd(dy: Any, x1: Any, x2: Any, index: Any, out: Any) -> _Array: ...
def minimum_bwd(dy: Any, x1: Any, x2: Any, index: Any, out: Any) -> _Array: ...
def concatenate(inputs: Any, axis: Any, out: Any) -> _Array: ...
def concatenate_bwd(dy: Any, sizes: Any, index: Any, axis: Any, out: Any) -> _Array: ...
def permute(x: Any, dims: Any, out: Any) -> _Array: ...
def permute_bwd(dy: Any, dims: Any, out: Any) -> _Array: ...
def zero_padding(x: Any, padding: Any, data_format: Any, out: Any) -> _Array: ...
def zero_padding_bwd(dy: Any, padding: Any, data_format: Any, out: Any) -> _Array: ...
def cropping(x: Any, cropping: Any, data_format: Any, out: Any) -> _Array: ...
def cropping_bwd(dy: Any, cropping: Any, data_format: Any, out: Any) -> _Array: ...
def repeat_vector(x: Any, n: Any, out: Any) -> _Array: ...
def repeat_vector_bwd(dy: Any, out: Any) -> _Array: ...
def upsampling(x: Any, size: Any, interpolation: Any, data_format: Any, out: Any) -> _Array: ...
def upsampling_bwd(dy: Any, size: Any, interpolation: Any, data_format: Any, out: Any) -> _Array: ...
def operators() -> list[dict[str, str]]: ...
def kernels() -> list[dict[str, str]]: ...
def gpu_variant() -> str: ...
def bfloat16() -> bool: ...
def bfloat16_pays() -> bool: ...
def set_cpu_precision(precision: str) -> None: ...
def set_gpu_precision(precision: str) -> None: ...
def gpu_kernels() -> list[dict[str, str]]: ...
def isa() -> str: ...
def isas() -> list[str]: ...
def thread_sources() -> dict[str, Any]: ...
def get_num_threads() -> int: ...
def set_num_threads(num_threads: int) -> None: ...
def fma_peak(num_threads: int) -> float: ...
def copy_bandwidth(num_threads: int) -> float: ...

class Model:
    def __init__(self, nodes: list[dict[str, Any]], outputs: Any = None) -> None: ...
    @property
    def output_shapes(self) -> list[tuple[int, ...]]: ...
    @property
    def flops(self) -> list[float]: ...
    @property
    def parameters(self) -> list[dict[str, Any]]: ...
    def get_parameters(self, numbers: Any = None) -> list[_Array]: ...
    def set_parameters(self, weights: Any, numbers: Any = None) -> None: ...
    def compile(
        self,
        optimizer: dict[str, Any],
        loss: Any,
        accuracy: Any,
        device: Any,
        precision: Any,
        math: Any,
        frozen: Any = (),
        rules: Any = (),
    ) -> None: ...
    def finalize(self) -> None: ...
    learning_rate: float
    step: int
    seed: int
    def get_gradients(self) -> list[_Array]: ...
    def get_state(self) -> dict[str, NDArray[Any]]: ...
    def set_state(self, state: dict[str, Any]) -> None: ...
    def session(
        self,
        mode: Any,
        x: Any,
        y: Any = None,
        out: Any = None,
        batch_size: Any = 32,
        sample_weight: Any = None,
        external: Any = None,
        where: Any = None,
    ) -> Session: ...
    def predict(self, x: Any, out: Any) -> None: ...
    def describe(self, mode: Any, batch_size: Any) -> str: ...
    def plan_for_gpu(self, mode: Any, batch_size: Any, capability: Any) -> dict[str, Any]: ...

class Session:
    def run(self, order: Any, begin: Any, seconds: Any, rates: Any = None, end: Any = None) -> int: ...
    @property
    def batches(self) -> int: ...
    @property
    def mixed_shapes(self) -> list[tuple[int, ...] | None]: ...
    def write_mixed(self, mixed: Sequence[_Array | None]) -> None: ...
    def totals(self) -> list[dict[str, Any]]: ...
    def last(self) -> list[dict[str, Any]]: ...
    @property
    def penalty(self) -> float: ...
    def reset(self) -> None: ...
    def resume(self, totals: Any, penalty: Any) -> None: ...

def augment(
    nodes: list[dict[str, Any]], x: Any, seed: int, step: int, training: bool, out: Any
) -> _Array: ...
def augment_bwd(nodes: list[dict[str, Any]], dy: Any, x: Any, seed: int, step: int, out: Any) -> _Array: ...
def mix(x: Any, index: Any, weight: Any, box: Any, out: Any) -> _Array: ...
def mix_bwd(dy: Any, index: Any, weight: Any, box: Any, out: Any) -> _Array: ...
def mix_draw(
    nodes: list[dict[str, Any]], n: int, seed: int, step: int
) -> tuple[_Array, _Array, _Array | None]: ...
def infer_shapes(nodes: list[dict[str, Any]]) -> list[tuple[int, ...]]: ...
def infer_parameters(nodes: list[dict[str, Any]], outputs: Any) -> list[dict[str, Any]]: ...
def plan_memory(tensors: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]: ...
