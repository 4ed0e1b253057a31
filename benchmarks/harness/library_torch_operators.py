# SPDX-License-Identifier: Apache-2.0
"""By what PyTorch computes each row of `operators.py`: a function of tensors, and its result as ours.

Backward passes go through the library's own backward functions, so that neither a graph nor the forward pass
is timed. An operator without one is differentiated by hand from the same formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from . import augment
from .operators import OpTask, flat

aten = torch.ops.aten
Tensor = torch.Tensor


class Binding(NamedTuple):
    """``function(*tensors)``; `channels` says whether images are brought to [N, C, ...] first."""

    function: Callable[..., Any]
    channels: bool = False


def build(
    task: OpTask, compiled: bool, layout: torch.memory_format
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """What is timed, and the answer in our layout."""
    binding = BINDINGS[task.op](dict(task.options), dict(task.shapes))
    channels = binding.channels
    tensors = [
        _brought(name, torch.from_numpy(array), channels, layout) for name, array in task.arrays().items()
    ]
    call = torch.compile(binding.function, dynamic=False) if compiled else binding.function

    def answer() -> NDArray[np.float32]:
        result = call(*tensors)
        parts = result if isinstance(result, (tuple, list)) else (result,)
        return flat(tuple(_taken_back(part, channels) for part in parts))

    return lambda: call(*tensors), answer


def _brought(name: str, tensor: Tensor, channels: bool, layout: torch.memory_format) -> Tensor:
    if not channels or tensor.ndim < 3:
        return tensor
    axes = list(range(tensor.ndim))
    if name == "kernel":  # [..., C, K] to [K, C, ...]
        return tensor.permute(axes[-1], axes[-2], *axes[:-2]).contiguous()
    tensor = tensor.permute(0, axes[-1], *axes[1:-1]).contiguous()
    if layout == torch.channels_last and tensor.ndim == 4:
        return tensor.contiguous(memory_format=layout)
    if layout == torch.channels_last and tensor.ndim == 5:
        return tensor.contiguous(memory_format=torch.channels_last_3d)
    return tensor


def _taken_back(tensor: Tensor, channels: bool) -> NDArray[np.float32]:
    if channels and tensor.ndim >= 3:
        axes = list(range(tensor.ndim))
        tensor = tensor.permute(0, *axes[2:], 1)
    return tensor.contiguous().numpy()


def _kernel_back(tensor: Tensor) -> Tensor:
    """A gradient [K, C, ...] so that `_taken_back` gives [..., C, K] in the end."""
    axes = list(range(tensor.ndim))
    moved = tensor.permute(*axes[2:], 1, 0)  # [..., C, K], as ours
    return moved.permute(0, moved.ndim - 1, *range(1, moved.ndim - 1))


def _plain(function: Callable[..., Any]) -> Callable[[dict[str, Any], dict[str, Any]], Binding]:
    return lambda options, shapes: Binding(function)


def _norm_options(options: dict[str, Any], shapes: dict[str, Any]) -> tuple[int, float]:
    return shapes["x"][-1], options["epsilon"]


def _batch_norm_train(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    # PyTorch's own moving variance is unbiased, Keras's is not: it is made from what the operator returns.
    part = 1.0 - options["momentum"]

    def run(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Any:
        y, batch_mean, rstd = aten.native_batch_norm(
            x, gamma, beta, None, None, True, part, options["epsilon"]
        )
        batch_variance = rstd.pow(-2) - options["epsilon"]
        return y, mean + part * (batch_mean - mean), variance + part * (batch_variance - variance)

    return Binding(run, channels=True)


def _batch_norm(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    def run(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Any:
        return functional.batch_norm(x, mean, variance, gamma, beta, False, 0.0, options["epsilon"])

    return Binding(run, channels=True)


def _batch_norm_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    def run(dy: Tensor, x: Tensor, gamma: Tensor) -> Any:
        dims = [0, *range(2, x.ndim)]
        variance, mean = torch.var_mean(x, dims, correction=0)
        rstd = torch.rsqrt(variance + options["epsilon"])
        return aten.native_batch_norm_backward(
            dy, x, gamma, None, None, mean, rstd, True, options["epsilon"], [True, True, True]
        )

    return Binding(run, channels=True)


def _layer_norm(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    c, epsilon = _norm_options(options, shapes)
    return Binding(lambda x, gamma, beta: functional.layer_norm(x, (c,), gamma, beta, epsilon))


def _layer_norm_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    c, epsilon = _norm_options(options, shapes)

    def run(dy: Tensor, x: Tensor, gamma: Tensor) -> Any:
        variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        rstd = torch.rsqrt(variance + epsilon)
        return aten.native_layer_norm_backward(dy, x, [c], mean, rstd, gamma, gamma, [True, True, True])

    return Binding(run)


def _rms_norm(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    c, epsilon = _norm_options(options, shapes)
    return Binding(lambda x, gamma, *_: functional.rms_norm(x, (c,), gamma, epsilon))


def _rms_norm_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    _, epsilon = _norm_options(options, shapes)

    def run(dy: Tensor, x: Tensor, gamma: Tensor) -> Any:
        rstd = torch.rsqrt((x * x).mean(-1, keepdim=True) + epsilon)
        hat = x * rstd
        g = dy * gamma
        dx = rstd * (g - hat * (g * hat).mean(-1, keepdim=True))
        return dx, (dy * hat).sum(dim=tuple(range(x.ndim - 1)))

    return Binding(run)


def _group_norm(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    c, epsilon = _norm_options(options, shapes)
    groups = options.get("groups", c)
    return Binding(
        lambda x, gamma, beta: functional.group_norm(x, groups, gamma, beta, epsilon), channels=True
    )


def _group_norm_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    c, epsilon = _norm_options(options, shapes)
    groups = options.get("groups", c)
    n, h, w, _ = shapes["x"]

    def run(dy: Tensor, x: Tensor, gamma: Tensor) -> Any:
        variance, mean = torch.var_mean(x.reshape(n, groups, -1), -1, correction=0)
        rstd = torch.rsqrt(variance + epsilon)
        return aten.native_group_norm_backward(
            dy, x, mean, rstd, gamma, n, c, h * w, groups, [True, True, True]
        )

    return Binding(run, channels=True)


def _multiply_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    return Binding(lambda dy, other: dy * other)


def _upsampling(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    smooth = {"align_corners": False} if options["interpolation"] == "bilinear" else {}
    return Binding(
        lambda x: functional.interpolate(
            x, scale_factor=options["size"], mode=options["interpolation"], **smooth
        ),
        channels=True,
    )


def _upsampling_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    n, h, w, c = shapes["dy"]
    sizes = [h, w], [n, c, h // options["size"], w // options["size"]]
    if options["interpolation"] == "bilinear":
        return Binding(
            lambda dy: aten.upsample_bilinear2d_backward(dy, *sizes, False, None, None), channels=True
        )
    return Binding(lambda dy: aten.upsample_nearest2d_backward(dy, *sizes, None, None), channels=True)


def _pool(function: Callable[..., Any]) -> Callable[[dict[str, Any], dict[str, Any]], Binding]:
    return lambda options, shapes: Binding(
        lambda x: function(x, options["pool_size"], options["strides"]), channels=True
    )


def _lp_pool(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    return Binding(
        lambda x: functional.lp_pool2d(x, options["p"], options["pool_size"], options["strides"]),
        channels=True,
    )


def _global_bwd(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    n, h, w, c = options["input_shape"]

    def run(dy: Tensor) -> Tensor:
        return (dy / (h * w))[:, None, None, :].expand(n, h, w, c).contiguous()

    return Binding(run)


def _transposed(options: dict[str, Any], shapes: dict[str, Any], mask: list[bool] | None) -> Binding:
    """Padding "same": all of the full output but size - stride rows, the smaller half before."""
    kernel = shapes.get("kernel") or (*options["kernel_size"], 0, 0)
    stride, size = options["strides"], kernel[0]
    excess = size - stride
    pad = (excess + 1) // 2
    extra = 2 * pad - excess
    assert excess // 2 == pad or extra == 0, "a padding that PyTorch cannot express"
    if mask is None:
        return Binding(
            lambda x, w: functional.conv_transpose2d(x, w, None, stride, pad, extra), channels=True
        )

    def backward(dy: Tensor, x: Tensor, w: Tensor) -> Any:
        return aten.convolution_backward(
            dy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], True, [extra] * 2, 1, mask
        )

    if mask[0]:
        n, h, w_, c = options["input_shape"]
        x = torch.empty(n, c, h, w_)
        return Binding(lambda dy, w: backward(dy, x, w)[0], channels=True)
    # Its kernel is [C, K, R, S]: ours [R, S, K, C] backwards.
    w = torch.empty(shapes["x"][3], shapes["dy"][3], size, size)
    return Binding(lambda x, dy: _kernel_back(backward(dy, x, w)[1]), channels=True)


def _convolution(
    options: dict[str, Any], shapes: dict[str, Any], mask: list[bool] | None, depthwise: bool
) -> Binding:
    image = shapes.get("x") or options["input_shape"]
    axes, c = len(image) - 2, image[-1]
    stride = [options.get("strides", 1)] * axes
    size = shapes["kernel"][:axes] if "kernel" in shapes else tuple(options["kernel_size"])
    pad = [size[0] // 2] * axes if options["padding"] == "same" else [options["padding"]] * axes
    groups = c if depthwise else 1

    def turned(w: Tensor) -> Tensor:  # ours [R, S, C, 1], brought to [1, C, R, S]
        return w.transpose(0, 1) if depthwise else w

    if mask is None:
        function = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[axes]
        return Binding(lambda x, w: function(x, turned(w), None, stride, pad, 1, groups), channels=True)

    def backward(dy: Tensor, x: Tensor, w: Tensor) -> Any:
        return aten.convolution_backward(
            dy, x, w, None, stride, pad, [1] * axes, False, [0] * axes, groups, mask
        )

    if mask[0]:
        x = torch.empty(image[0], c, *image[1:-1])
        return Binding(lambda dy, w: backward(dy, x, turned(w))[0], channels=True)
    w = torch.empty(shapes["dy"][-1], c // groups, *size)
    return Binding(lambda x, dy: _kernel_back(turned(backward(dy, x, w)[1])), channels=True)


_DX, _DW = [True, False, False], [False, True, False]


def _random_flip(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    mirrored = torch.tensor(augment.mirrored(shapes["x"])).reshape(-1, 1, 1, 1)
    return Binding(lambda x: torch.where(mirrored, x.flip(3), x), channels=True)


def _random_rotation(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    angle = 2 * math.pi * augment.TURNS
    row = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]  # of squares
    maps = torch.tensor([row] * shapes["x"][0])

    def run(x: Tensor) -> Tensor:
        grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
        return functional.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)

    return Binding(run, channels=True)


def _random_contrast(options: dict[str, Any], shapes: dict[str, Any]) -> Binding:
    def run(x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return ((x - mean) * augment.FACTOR + mean).clamp(-2, 2)

    return Binding(run, channels=True)


BINDINGS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Binding]] = {
    "relu": _plain(torch.relu),
    "relu6": _plain(functional.relu6),
    "leaky_relu": _plain(lambda x: functional.leaky_relu(x, 0.2)),
    "elu": _plain(functional.elu),
    "selu": _plain(functional.selu),
    "sigmoid": _plain(torch.sigmoid),
    "tanh": _plain(torch.tanh),
    "hard_sigmoid": _plain(functional.hardsigmoid),
    "softplus": _plain(functional.softplus),
    "exponential": _plain(torch.exp),
    "gelu": _plain(lambda x: functional.gelu(x, approximate="tanh")),
    "silu": _plain(functional.silu),
    "mish": _plain(functional.mish),
    "hard_silu": _plain(functional.hardswish),
    "softsign": _plain(functional.softsign),
    "relu_bwd": _plain(lambda dy, y: aten.threshold_backward(dy, y, 0)),
    "relu6_bwd": _plain(lambda dy, y: aten.hardtanh_backward(dy, y, 0, 6)),
    "leaky_relu_bwd": _plain(lambda dy, y: aten.leaky_relu_backward(dy, y, 0.2, False)),
    "elu_bwd": _plain(lambda dy, y: aten.elu_backward(dy, 1.0, 1.0, 1.0, True, y)),
    "selu_bwd": _plain(
        lambda dy, y: aten.elu_backward(dy, 1.6732632423543772, 1.0507009873554805, 1.0, True, y)
    ),
    "sigmoid_bwd": _plain(aten.sigmoid_backward),
    "tanh_bwd": _plain(aten.tanh_backward),
    "hard_sigmoid_bwd": _plain(lambda dy, y: dy * ((y > 0) & (y < 1)) / 6),
    "softplus_bwd": _plain(lambda dy, y: -dy * torch.expm1(-y)),
    "exponential_bwd": _plain(torch.mul),
    "gelu_bwd": _plain(lambda dy, x: aten.gelu_backward(dy, x, approximate="tanh")),
    "silu_bwd": _plain(aten.silu_backward),
    "mish_bwd": _plain(aten.mish_backward),
    "hard_silu_bwd": _plain(aten.hardswish_backward),
    "softsign_bwd": _plain(lambda dy, x: dy / (1 + x.abs()) ** 2),
    "softmax": _plain(lambda x: torch.softmax(x, -1)),
    "log_softmax": _plain(lambda x: torch.log_softmax(x, -1)),
    "softmax_bwd": _plain(lambda dy, y: aten._softmax_backward_data(dy, y, -1, torch.float32)),
    "log_softmax_bwd": _plain(lambda dy, y: aten._log_softmax_backward_data(dy, y, -1, torch.float32)),
    "batch_norm_train": _batch_norm_train,
    "batch_norm": _batch_norm,
    "batch_norm_bwd": _batch_norm_bwd,
    "layer_norm": _layer_norm,
    "layer_norm_bwd": _layer_norm_bwd,
    "rms_norm": _rms_norm,
    "rms_norm_bwd": _rms_norm_bwd,
    "group_norm": _group_norm,
    "group_norm_bwd": _group_norm_bwd,
    "instance_norm": _group_norm,
    "instance_norm_bwd": _group_norm_bwd,
    "random_flip": _random_flip,
    "random_rotation": _random_rotation,
    "random_contrast": _random_contrast,
    "add": _plain(torch.add),
    "multiply": _plain(torch.mul),
    "maximum": _plain(torch.maximum),
    "average": _plain(lambda a, b: (a + b) * 0.5),
    "multiply_bwd": _multiply_bwd,
    "concatenate": _plain(lambda *parts: torch.cat(parts, -1)),
    "concatenate_bwd": lambda options, shapes: Binding(
        lambda dy: dy.split(options["sizes"], options["axis"])[options["index"]].contiguous()
    ),
    "permute": lambda options, shapes: Binding(lambda x: x.permute(0, *options["dims"]).contiguous()),
    "zero_padding": _plain(lambda x: functional.pad(x, (0, 0, 1, 1, 1, 1))),
    "upsampling": _upsampling,
    "upsampling_bwd": _upsampling_bwd,
    "lp_pool2d": _lp_pool,
    "average_pool2d": _pool(functional.avg_pool2d),
    "max_pool2d": _pool(functional.max_pool2d),
    "global_average_pool": _plain(lambda x: x.mean((1, 2))),
    "global_max_pool": _plain(lambda x: x.amax((1, 2))),
    "global_average_pool_bwd": _global_bwd,
    "adaptive_average_pool": lambda options, shapes: Binding(
        lambda x: functional.adaptive_avg_pool2d(x, options["output_size"]), channels=True
    ),
    "conv2d_transpose": lambda options, shapes: _transposed(options, shapes, None),
    "conv2d_transpose_dgrad": lambda options, shapes: _transposed(options, shapes, _DX),
    "conv2d_transpose_wgrad": lambda options, shapes: _transposed(options, shapes, _DW),
    "depthwise_conv2d": lambda options, shapes: _convolution(options, shapes, None, True),
    "depthwise_conv2d_dgrad": lambda options, shapes: _convolution(options, shapes, _DX, True),
    "depthwise_conv2d_wgrad": lambda options, shapes: _convolution(options, shapes, _DW, True),
    "conv3d": lambda options, shapes: _convolution(options, shapes, None, False),
    "conv3d_dgrad": lambda options, shapes: _convolution(options, shapes, _DX, False),
    "conv3d_wgrad": lambda options, shapes: _convolution(options, shapes, _DW, False),
    "conv1d": lambda options, shapes: _convolution(options, shapes, None, False),
}
