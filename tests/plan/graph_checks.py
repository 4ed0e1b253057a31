# SPDX-License-Identifier: Apache-2.0
"""Any graph of nodes judged by the float64 reference, in whole numbers: no tolerance."""

from __future__ import annotations

import numpy as np
from plan_networks import SGD, SQUARED, Node, run

from fastcnn import _native
from fastcnn.testing.compare import assert_exact
from fastcnn.testing.fill import F32, poisoned
from fastcnn.testing.graph import GraphReference

EXACT = 2.0**24  # whole numbers up to here are floats


def named(*nodes: Node) -> list[Node]:
    """Nodes whose names follow from operator and place where they give none."""
    return [{"name": f"{node['op']}_{i}", "inputs": [i - 1], **node} for i, node in enumerate(nodes)]


def source(*shape: int) -> Node:
    return {"op": "input", "shape": shape, "inputs": []}


class Graph:
    """A native model with small whole weights, compiled for SGD with rate 1 and squared errors."""

    def __init__(self, nodes: list[Node], outputs: list[int], rng: np.random.Generator) -> None:
        self.nodes, self.outputs = nodes, outputs
        self.model = _native.Model(nodes, outputs)
        self.compile()
        self.weights = [small(rng, p["shape"]) for p in self.model.parameters]

    def compile(self, frozen: tuple[int, ...] = ()) -> None:
        losses, none = tuple(SQUARED for _ in self.outputs), tuple(None for _ in self.outputs)
        self.model.compile(SGD, losses, none, "cpu", "float32", "default", frozen)

    def inputs(self, rng: np.random.Generator, batch: int) -> tuple[F32, ...]:
        return tuple(small(rng, (batch, *node["shape"])) for node in self.nodes if node["op"] == "input")

    def predict(self, x: tuple[F32, ...]) -> list[F32]:
        shapes = [self.model.output_shapes[each] for each in self.outputs]
        out = tuple(poisoned((len(x[0]), *shape)) for shape in shapes)
        run(self.model.session("predict", x, None, out, len(x[0])))
        return list(out)

    def gradients(self, x: tuple[F32, ...], dy: list[F32]) -> list[F32]:
        """What a step subtracted from each weight whose outputs have these gradients."""
        self.model.set_parameters(self.weights)
        target = tuple(y - d * np.float32(d.size / 2) for y, d in zip(self.predict(x), dy, strict=True))
        run(self.model.session("train", x, target, None, len(x[0])))
        return [old - new for old, new in zip(self.weights, self.model.get_parameters(), strict=True)]


def small(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> F32:
    return (rng.integers(-2, 2, shape, endpoint=True) * scale).astype(np.float32)


def check_exact_graph(graph: Graph, rng: np.random.Generator, batch: int = 4) -> None:
    """Predictions and the gradients of all parameters, to the last bit."""
    graph.model.set_parameters(graph.weights)
    x = graph.inputs(rng, batch)
    judge = GraphReference(graph.nodes, graph.weights, graph.outputs)
    wanted = judge.forward(x)
    # The reference has the same sums, so it tells whether they are exact in float32.
    assert max(np.abs(value).max() for value in judge.values) < EXACT, "the test's numbers are too large"
    for got, y, output in zip(graph.predict(x), wanted, graph.outputs, strict=True):
        assert_exact(got, y, f"output {output}")
    dy = [small(rng, y.shape, 4.0) for y in wanted]
    gradients = judge.backward(dy)
    assert max(np.abs(value).max() for value in (*judge.gradients, *gradients)) < EXACT
    for parameter, got, gradient in zip(
        graph.model.parameters, graph.gradients(x, dy), gradients, strict=True
    ):
        assert np.array_equal(got, gradient), parameter["name"]
