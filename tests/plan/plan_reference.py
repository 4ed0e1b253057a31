# SPDX-License-Identifier: Apache-2.0
"""A chain of nodes in float64 by the references of fastcnn.testing, slow and obvious."""

from __future__ import annotations

from typing import Any

import numpy as np
from plan_networks import Node

from fastcnn.testing import reference

Array = np.ndarray[Any, np.dtype[Any]]


class Reference:
    """A chain of nodes in float64: values forward, gradients of the parameters backward."""

    def __init__(self, nodes: list[Node], weights: list[Array]) -> None:
        self.nodes = nodes
        self.kernels: dict[int, tuple[Array, Array | None]] = {}
        left = list(weights)
        for i, node in enumerate(nodes):
            if "use_bias" in node:
                self.kernels[i] = (left.pop(0), left.pop(0) if node["use_bias"] else None)
        self.values: list[Array] = []

    def forward(self, x: Array) -> Array:
        self.values = [x.astype(np.float64)]
        for i, node in enumerate(self.nodes[1:], start=1):
            self.values.append(self._apply(i, node, self.values[-1]))
        return self.values[-1]

    def _apply(self, i: int, node: Node, x: Array) -> Array:
        kind = node["op"]
        if "kernel_size" in node:
            return np.asarray(getattr(reference, kind)(x, *self.kernels[i], **self._window(node)))
        if kind == "dense":
            kernel, bias = self.kernels[i]
            rows = reference.dense(x.reshape(-1, x.shape[-1]), kernel, bias)
            return rows.reshape(*x.shape[:-1], -1)
        if kind.endswith("pool2d"):
            return np.asarray(reference.OPERATORS[kind].forward(x, node["pool_size"], node["strides"]))
        if kind == "rescaling":
            return reference.rescaling(x, node["scale"], node["offset"])
        return np.asarray(reference.OPERATORS[kind].forward(x))

    def backward(self, dy: Array) -> list[Array]:
        gradients: list[Array] = []
        for i in range(len(self.nodes) - 1, 0, -1):
            dy, own = self._gradient(i, dy)
            gradients = own + gradients
        return gradients

    def _gradient(self, i: int, dy: Array) -> tuple[Array, list[Array]]:
        node, x, y = self.nodes[i], self.values[i - 1], self.values[i]
        kind = node["op"]
        if "kernel_size" in node:
            kernel, bias = self.kernels[i]
            window = self._window(node)
            own = [getattr(reference, f"{kind}_wgrad")(x, dy, node["kernel_size"], **window)]
            own += [] if bias is None else [dy.reshape(-1, dy.shape[-1]).sum(axis=0)]
            return getattr(reference, f"{kind}_dgrad")(dy, kernel, x.shape, **window), own
        if kind == "dense":
            kernel, bias = self.kernels[i]
            flat_dy, flat_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
            dx, dw, db = reference.dense_bwd(flat_dy, flat_x, kernel)
            return dx.reshape(x.shape), [dw] if bias is None else [dw, db]
        if kind == "max_pool2d":
            return reference.max_pool2d_bwd(dy, x, node["pool_size"], node["strides"]), []
        if kind.endswith("pool2d"):
            bwd = reference.OPERATORS[kind].gradients[0]
            return np.asarray(bwd(dy, x.shape, node["pool_size"], node["strides"])), []
        if kind == "rescaling":
            return reference.rescaling_bwd(dy, node["scale"]), []
        if kind == "flatten":
            return reference.flatten_bwd(dy, x.shape), []
        return np.asarray(reference.OPERATORS[kind].gradients[0](dy, y)), []

    @staticmethod
    def _window(node: Node) -> Node:
        keys = ("strides", "padding", "dilation_rate", "groups", "output_padding")
        return {key: node[key] for key in keys if key in node}
