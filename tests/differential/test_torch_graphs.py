# SPDX-License-Identifier: Apache-2.0
"""100 random networks of 5 to 15 layers: loss and every gradient agree with PyTorch's in float64.

The bound is that of `stochastic`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stochastic import UNSEEN, disturbed, generators

from fastcnn import _native
from fastcnn.testing.compare import UNIT
from fastcnn.testing.network import MEAN_SQUARED_ERROR, SGD
from fastcnn.testing.random_graphs import random_graph

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT, BATCH = 100, 4


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    nodes, outputs = random_graph(number, exact=False)
    rng = np.random.default_rng(number)
    model = _native.Model(nodes, outputs)
    losses = tuple(MEAN_SQUARED_ERROR for _ in outputs)
    model.compile(SGD, losses, tuple(None for _ in outputs), "cpu", "float32", "default")
    weights = [initial(rng, parameter) for parameter in model.parameters]
    model.set_parameters(weights)
    x = tuple(
        rng.standard_normal((BATCH, *node["shape"]), dtype=np.float32)
        for node in nodes
        if node["op"] == "input"
    )
    y = tuple(rng.standard_normal((BATCH, *model.output_shapes[each]), dtype=np.float32) for each in outputs)
    session = model.session("train", x, y, None, BATCH)
    session.run(None, 0, 1.0)
    loss = sum(each["loss"] / each["samples"] for each in session.totals())

    peer = Peer(nodes, outputs, model.parameters)
    wanted_loss, wanted = peer.step(weights, x, y, None)
    drawn = [peer.step(weights, x, y, noise) for noise in generators()]
    loss_bound = UNSEEN * max(abs(each - wanted_loss) for each, _ in drawn) + UNIT * abs(wanted_loss)
    assert abs(loss - wanted_loss) <= loss_bound
    for p, (old, new) in enumerate(zip(weights, model.get_parameters(), strict=True)):
        if not model.parameters[p]["trainable"]:
            continue
        moved = max(np.abs(gradients[p] - wanted[p]).max() for _, gradients in drawn)
        bound = UNSEEN * moved + 2 * UNIT * (np.abs(old) + np.abs(wanted[p]))
        error = np.abs(old.astype(np.float64) - new - wanted[p])
        assert np.all(error <= bound), (model.parameters[p]["name"], float((error / bound).max()))


def initial(rng: np.random.Generator, parameter: dict[str, Any]) -> np.ndarray:
    if parameter["role"] == "moving_variance":
        return np.ones(parameter["shape"], np.float32)
    scale = 1.0 / np.sqrt(max(1, parameter["fan_in"]))
    return (scale * rng.standard_normal(parameter["shape"])).astype(np.float32)


class Peer:
    """The same network in PyTorch, channels last throughout."""

    def __init__(self, nodes: list[Any], outputs: list[int], parameters: list[Any]) -> None:
        self.nodes, self.outputs = nodes, outputs
        self.index = {parameter["name"]: p for p, parameter in enumerate(parameters)}

    def step(self, weights: Any, x: Any, y: Any, noise: Any) -> tuple[float, list[np.ndarray]]:
        """The loss and the gradients of all weights."""
        tensors = [torch.from_numpy(w.astype(np.float64)).requires_grad_() for w in weights]
        left = iter(x)
        values: list[Any] = []
        for node in self.nodes:
            if node["op"] == "input":
                values.append(torch.from_numpy(next(left).astype(np.float64)))
                continue
            own = {
                role: tensors[self.index[f"{node['name']}/{role}"]]
                for role in ("kernel", "bias", "gamma", "beta")
                if f"{node['name']}/{role}" in self.index
            }
            seen = [values[u] for u in node["inputs"]]
            if node["op"].endswith("norm"):  # its sums of x, before the differences
                seen = [disturbed(each, terms(node), noise) for each in seen]
            if node["op"] == "max_unpool2d":
                pooling = self.nodes[node["inputs"][1]]
                value = max_unpool2d(pooling, seen[0], values[pooling["inputs"][0]])
            else:
                value = TORCH[node["op"]](node, seen, own)
            values.append(disturbed(value, terms(node), noise))
        loss = sum(
            ((values[o] - torch.from_numpy(t.astype(np.float64))) ** 2).mean()
            for o, t in zip(self.outputs, y, strict=True)
        )
        gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
        arrays = [
            np.zeros(w.shape) if g is None else g.numpy() for w, g in zip(weights, gradients, strict=True)
        ]
        return loss.item(), arrays


def terms(node: Any) -> int:
    return int(node.get("fan", 4)) + 1


def image(function: Any) -> Any:
    """Apply a function of [N,C,H,W] to [N,H,W,C]."""
    return lambda x: function(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def conv2d(node: Any, x: Any, own: Any) -> Any:
    kernel, stride = own["kernel"].permute(3, 2, 0, 1).contiguous(), node["strides"][0]
    size = node["kernel_size"][0]
    value = x[0].permute(0, 3, 1, 2)
    if node["padding"] == "same":
        pads = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in value.shape[2:]]
        value = functional.pad(
            value, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2)
        )
    y = functional.conv2d(value, kernel, own.get("bias"), stride, 0, 1, node["groups"])
    return y.permute(0, 2, 3, 1)


def dense(node: Any, x: Any, own: Any) -> Any:
    y = x[0] @ own["kernel"]
    return y + own["bias"] if "bias" in own else y


def pool(kind: str) -> Any:
    def apply(node: Any, x: Any, own: Any) -> Any:
        stride = node["strides"][0]
        if kind == "max":
            return image(lambda v: functional.max_pool2d(v, 2, stride))(x[0])
        factor = 4.0 if kind == "sum" else 1.0
        return image(lambda v: factor * functional.avg_pool2d(v, 2, stride))(x[0])

    return apply


def max_unpool2d(pooling: Any, x: Any, pooled: Any) -> Any:
    """x at the places where that pooling found its maxima."""
    n, h, w, c = pooled.shape
    images = pooled.detach().permute(0, 3, 1, 2)
    _, places = functional.max_pool2d(images, 2, pooling["strides"][0], return_indices=True)
    zeros = torch.zeros((n, c, h * w), dtype=x.dtype)
    full = zeros.scatter(2, places.flatten(2), x.permute(0, 3, 1, 2).flatten(2))
    return full.reshape(n, c, h, w).permute(0, 2, 3, 1)


def zero_padding(node: Any, x: Any, own: Any) -> Any:
    top, bottom, left, right = node["padding"]
    return functional.pad(x[0], (0, 0, left, right, top, bottom))


def cropping(node: Any, x: Any, own: Any) -> Any:
    top, bottom, left, right = node["cropping"]
    return x[0][:, top : x[0].shape[1] - bottom, left : x[0].shape[2] - right]


def upsampling(node: Any, x: Any, own: Any) -> Any:
    smooth = {"align_corners": False} if node["interpolation"] == "bilinear" else {}
    return image(lambda v: functional.interpolate(v, scale_factor=2, mode=node["interpolation"], **smooth))(
        x[0]
    )


def reduce_all(function: Any) -> Any:
    def apply(node: Any, x: Any, own: Any) -> Any:
        y = x[0]
        for other in x[1:]:
            y = function(y, other)
        return y

    return apply


def depthwise_conv2d(node: Any, x: Any, own: Any) -> Any:
    r, s, c, times = own["kernel"].shape
    kernel = {**own, "kernel": own["kernel"].reshape(r, s, 1, c * times).contiguous()}
    return conv2d({**node, "groups": c}, x, kernel)


def conv2d_transpose(node: Any, x: Any, own: Any) -> Any:
    """Of a 2x2 kernel with padding "same": what sticks out beyond the input's stride lies at the end."""
    kernel, stride = own["kernel"].permute(3, 2, 0, 1).contiguous(), node["strides"][0]
    full = functional.conv_transpose2d(x[0].permute(0, 3, 1, 2), kernel, own.get("bias"), stride)
    h, w = (size * stride for size in x[0].shape[1:3])
    return full[:, :, :h, :w].permute(0, 2, 3, 1)


def norm(statistics: Any) -> Any:
    """By mean and variance over the axes of [N,H,W,G,C/G] that `statistics` gives."""

    def apply(node: Any, x: Any, own: Any) -> Any:
        c = x[0].shape[-1]
        groups = {-1: c}.get(node.get("groups", 1), node.get("groups", 1))
        grouped = x[0].reshape(*x[0].shape[:-1], groups, c // groups)
        centred = grouped - grouped.mean(statistics, keepdim=True)
        root = torch.rsqrt((centred**2).mean(statistics, keepdim=True) + node["epsilon"])
        return (centred * root).reshape(x[0].shape) * own.get("gamma", 1.0) + own.get("beta", 0.0)

    return apply


def batch_norm(node: Any, x: Any, own: Any) -> Any:
    return functional.batch_norm(
        x[0].permute(0, 3, 1, 2), None, None, own.get("gamma"), own.get("beta"), True, eps=node["epsilon"]
    ).permute(0, 2, 3, 1)


def rms_norm(node: Any, x: Any, own: Any) -> Any:
    return functional.rms_norm(x[0], x[0].shape[-1:], own.get("gamma"), node["epsilon"])


def unit_norm(node: Any, x: Any, own: Any) -> Any:
    return x[0] * torch.rsqrt((x[0] ** 2).sum(-1, keepdim=True).clamp_min(node["epsilon"] ** 2))


TORCH: dict[str, Any] = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "conv2d_transpose": conv2d_transpose,
    "batch_norm": batch_norm,
    "group_norm": norm((1, 2, 4)),
    "layer_norm": norm((3, 4)),
    "rms_norm": rms_norm,
    "unit_norm": unit_norm,
    "gelu_tanh": lambda node, x, own: functional.gelu(x[0], approximate="tanh"),
    "silu": lambda node, x, own: functional.silu(x[0]),
    "softplus": lambda node, x, own: functional.softplus(x[0], threshold=1e9),
    "dense": dense,
    "max_pool2d": pool("max"),
    "average_pool2d": pool("average"),
    "sum_pool2d": pool("sum"),
    "relu": lambda node, x, own: torch.relu(x[0]),
    "sigmoid": lambda node, x, own: torch.sigmoid(x[0]),
    "tanh": lambda node, x, own: torch.tanh(x[0]),
    "softmax": lambda node, x, own: torch.softmax(x[0], -1),
    "rescaling": lambda node, x, own: x[0] * node["scale"] + node["offset"],
    "zero_padding": zero_padding,
    "cropping": cropping,
    "upsampling": upsampling,
    "permute": lambda node, x, own: x[0].permute(0, *node["dims"]),
    "reshape": lambda node, x, own: x[0].reshape(len(x[0]), *node["target_shape"]),
    "add": reduce_all(torch.add),
    "subtract": reduce_all(torch.sub),
    "multiply": reduce_all(torch.mul),
    "maximum": reduce_all(lambda a, b: torch.where(a >= b, a, b)),  # ties to the first input
    "minimum": reduce_all(lambda a, b: torch.where(a <= b, a, b)),
    "average": lambda node, x, own: sum(x) / len(x),
    "concatenate": lambda node, x, own: torch.cat(x, -1),
}
