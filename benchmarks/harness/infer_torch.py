# SPDX-License-Identifier: Apache-2.0
"""The networks of `image_networks` in PyTorch, and their inference; compiled they are traced whole."""

from __future__ import annotations

import numpy as np
import torch

from .image_networks import EPSILON, IMAGE_NETWORKS, Array, ImageNetwork, Unit
from .library import Job
from .tasks import InferTask


def build(task: InferTask, compiled: bool, layout: torch.memory_format) -> Job:
    network = IMAGE_NETWORKS[task.network]
    module = Network(network).eval().to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.from_numpy(network.images(task.batch).transpose(0, 3, 1, 2).copy()).to(memory_format=layout)
    if task.precision == "bfloat16":
        module, x = module.bfloat16(), x.bfloat16()
    call = torch.compile(module, dynamic=False) if compiled else module
    return Job(lambda: call(x), lambda: call(x).float().numpy(), warmups=2)


class Network(torch.nn.Module):
    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.plan = network.layers
        self.convs, self.norms = torch.nn.ModuleList(), torch.nn.ModuleList()
        channels = network.channels()
        *units, (kernel, bias) = network.weights()
        for layer, weights in zip((u for u in self.plan if isinstance(u, Unit)), units, strict=True):
            c = channels[layer.x]
            conv = torch.nn.Conv2d(
                *(c, layer.filters, layer.size, layer.stride, layer.size // 2),
                groups=c if layer.depthwise else 1,
                bias=False,
            )
            norm = torch.nn.BatchNorm2d(layer.filters, eps=EPSILON)
            self.convs.append(conv)
            self.norms.append(norm)
            _copy(conv.weight, weights[0].transpose((2, 3, 0, 1) if layer.depthwise else (3, 2, 0, 1)))
            for to, value in zip(
                (norm.weight, norm.bias, norm.running_mean, norm.running_var), weights[1:], strict=True
            ):
                _copy(to, value)
        self.head = torch.nn.Linear(channels[-1], network.classes)
        _copy(self.head.weight, kernel.T)
        _copy(self.head.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, unit = [x], 0
        for layer in self.plan:
            y = values[layer.x]
            if isinstance(layer, Unit):
                y = self.norms[unit](self.convs[unit](y))
                unit += 1
                if layer.residual is not None:
                    y = y + values[layer.residual]
                if layer.activation == "relu":
                    y = torch.relu_(y)
                elif layer.activation == "relu6":
                    y = torch.nn.functional.relu6(y, inplace=True)
            else:
                y = torch.nn.functional.max_pool2d(y, 3, 2, 1)
            values.append(y)
        logits: torch.Tensor = self.head(values[-1].mean((2, 3)))
        return logits


def _copy(to: torch.Tensor | None, value: Array) -> None:
    assert to is not None
    with torch.no_grad():
        to.copy_(torch.from_numpy(np.ascontiguousarray(value)))
