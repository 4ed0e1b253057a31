# SPDX-License-Identifier: Apache-2.0
"""Whole networks in float64: values forward, gradients backward through any graph of native nodes.

Branches, shared parameters and several outputs are the business of `GraphReference`; `fastcnn.testing.nodes`
says of each operator how a node of it is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastcnn.testing.nodes import NODES, Node, Real


class GraphReference:
    """A network in float64.

    Parameters
    ----------
    nodes
        As the native model takes them.
    weights
        One array for each parameter of the native model, in its order.
    outputs
        Nodes; None means the last.
    training
        Batch norm takes its statistics from the batch; otherwise from its moving ones.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        weights: Sequence[ArrayLike],
        outputs: Sequence[int] | None = None,
        training: bool = False,
    ) -> None:
        self.nodes = [{**node, "training": training} for node in nodes]
        for node in self.nodes:
            if node["op"] == "max_unpool2d":
                node["pool"] = self._origin(node["inputs"][1])
        self.outputs = [len(nodes) - 1] if outputs is None else list(outputs)
        self.weights = [np.asarray(each, np.float64) for each in weights]
        self._owned: list[list[int]] = []  # parameters of each node
        found: dict[str, int] = {}
        for node in self.nodes:
            roles = NODES[node["op"]].parameters(node) if node["op"] != "input" else ()
            self._owned.append([found.setdefault(f"{node['name']}/{role}", len(found)) for role in roles])
        assert len(found) == len(self.weights), f"{len(self.weights)} weights for {sorted(found)}"
        self.values: list[Real] = []

    def forward(self, inputs: Sequence[ArrayLike]) -> list[Real]:
        """The outputs for these inputs; `values` holds those of all nodes."""
        left = iter(inputs)
        self.values = []
        for i, node in enumerate(self.nodes):
            if node["op"] == "input":
                self.values.append(np.asarray(next(left), np.float64))
                continue
            if node["op"] == "max_pool2d":
                node["x"] = self._inputs(i)[0]
            y = NODES[node["op"]].forward(node, self._inputs(i), self._parameters(i))
            self.values.append(np.asarray(y, np.float64))
        return [self.values[each] for each in self.outputs]

    def backward(self, gradients: Sequence[ArrayLike]) -> list[Real]:
        """Gradients of all parameters, given those of the outputs; `input_gradients` holds those of nodes."""
        dy: list[Real] = [np.zeros(value.shape) for value in self.values]
        for output, gradient in zip(self.outputs, gradients, strict=True):
            dy[output] = dy[output] + np.asarray(gradient, np.float64)
        own = [np.zeros(weight.shape) for weight in self.weights]
        for i in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[i]
            if node["op"] == "input":
                continue
            result = NODES[node["op"]].backward(
                node, dy[i], self._inputs(i), self._parameters(i), self.values[i]
            )
            for u, dx in zip(node["inputs"], result.inputs, strict=True):
                dy[u] = dy[u] + dx
            for p, gradient in zip(self._owned[i], result.parameters, strict=True):
                own[p] = own[p] + gradient
        self.gradients = dy
        return own

    def magnitudes(self, gradients: Sequence[ArrayLike]) -> Iterator[Real]:
        """Values and gradients of the last `forward` and its backward pass, and both from absolute values.

        The latter bound the partial sums of a linear operator in any order.
        """
        yield from self.backward(gradients)
        yield from self.gradients
        for i, node in enumerate(self.nodes):
            yield self.values[i]
            if node["op"] == "input":
                continue
            x, w = ([np.abs(each) for each in group] for group in (self._inputs(i), self._parameters(i)))
            yield np.asarray(NODES[node["op"]].forward(node, x, w))
            back = NODES[node["op"]].backward(node, np.abs(self.gradients[i]), x, w, self.values[i])
            yield from (*back.inputs, *back.parameters)

    def _origin(self, i: int) -> Node:
        """The node whose values these are, behind permutations that cancel out."""
        node = self.nodes[i]
        return self._origin(node["inputs"][0]) if node["op"] == "permute" else node

    def _inputs(self, i: int) -> list[Real]:
        return [self.values[u] for u in self.nodes[i]["inputs"]]

    def _parameters(self, i: int) -> list[Real]:
        return [self.weights[p] for p in self._owned[i]]
