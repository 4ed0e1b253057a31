# SPDX-License-Identifier: Apache-2.0
"""Any graph of nodes judged by the float64 reference, in whole numbers: no tolerance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from plan_networks import SGD, SQUARED, Node, run

from fastcnn import _native
from fastcnn.testing.fill import F32, poisoned
from fastcnn.testing.graph import GraphReference

LARGEST = 2.0**22  # multiples of one up to here are floats; a quarter of what is, for sums of a few branches
FINEST = 2.0**-12  # means of four and halves leave bits below the point


def half_squares(cols: int, weight: float = 1.0) -> Node:
    """A loss whose gradient is weight (x - t): its factor 2 / cols is weighted away, so none is rounded."""
    return {**SQUARED, "reduction": "sum", "weight": weight * cols / 2}


class UnfitNumbers(Exception):
    """The numbers of a test do not stay exact, or are all zero."""


def named(*nodes: Node) -> list[Node]:
    """Nodes whose names follow from operator and place where they give none."""
    return [{"name": f"{node['op']}_{i}", "inputs": [i - 1], **node} for i, node in enumerate(nodes)]


def source(*shape: int) -> Node:
    return {"op": "input", "shape": shape, "inputs": []}


class Graph:
    """A native model with small whole weights, compiled for SGD with rate 1 and squared errors.

    Its predictions are those of strict math: by default they may round.
    """

    def __init__(self, nodes: list[Node], outputs: list[int], rng: np.random.Generator) -> None:
        self.nodes, self.outputs = nodes, outputs
        self.model = _native.Model(nodes, outputs)
        self.compile()
        self.strict = _native.Model(nodes, outputs)
        self.compile(of=self.strict, math="strict")
        self.weights = [small(rng, p["shape"]) for p in self.model.parameters]

    def compile(
        self, frozen: tuple[int, ...] = (), of: _native.Model | None = None, math: str = "default"
    ) -> None:
        losses = tuple(half_squares(self.model.output_shapes[each][-1]) for each in self.outputs)
        none = tuple(None for _ in self.outputs)
        (of or self.model).compile(SGD, losses, none, "cpu", "float32", math, frozen)

    def inputs(self, rng: np.random.Generator, batch: int) -> tuple[F32, ...]:
        return tuple(small(rng, (batch, *node["shape"])) for node in self.nodes if node["op"] == "input")

    def predict(self, x: tuple[F32, ...]) -> list[F32]:
        shapes = [self.model.output_shapes[each] for each in self.outputs]
        out = tuple(poisoned((len(x[0]), *shape)) for shape in shapes)
        self.strict.set_parameters(self.model.get_parameters())
        run(self.strict.session("predict", x, None, out, len(x[0])))
        return list(out)

    def gradients(self, x: tuple[F32, ...], dy: list[F32]) -> list[F32]:
        """What a step subtracted from each weight whose outputs have these gradients."""
        self.model.set_parameters(self.weights)
        target = tuple(y - d for y, d in zip(self.predict(x), dy, strict=True))
        run(self.model.session("train", x, target, None, len(x[0])))
        return [old - new for old, new in zip(self.weights, self.model.get_parameters(), strict=True)]


def stay_exact(arrays: Iterable[NDArray[np.float64]]) -> bool:
    """Whether all numbers, and sums of a few of them, are floats."""
    numbers = np.concatenate([each.ravel() for each in arrays])
    unit = 1.0
    while unit > FINEST and not np.all(numbers / unit == np.floor(numbers / unit)):
        unit /= 2
    return bool(unit > FINEST and np.abs(numbers).max() < LARGEST * unit)


def small(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> F32:
    return (rng.integers(-2, 2, shape, endpoint=True) * scale).astype(np.float32)


def check_exact_graph(graph: Graph, rng: np.random.Generator, batch: int = 4) -> None:
    """Predictions and the gradients of all parameters, to the last bit."""
    graph.model.set_parameters(graph.weights)
    x = graph.inputs(rng, batch)
    judge = GraphReference(graph.nodes, graph.weights, graph.outputs)
    wanted = judge.forward(x)
    dy = [small(rng, y.shape, 4.0) for y in wanted]
    gradients = judge.backward(dy)
    if not stay_exact(judge.magnitudes(dy)):
        raise UnfitNumbers
    if not (any(map(np.any, wanted)) and any(map(np.any, gradients))):
        raise UnfitNumbers("zeros everywhere prove nothing")
    for got, y, output in zip(graph.predict(x), wanted, graph.outputs, strict=True):
        assert np.array_equal(got, y), f"output {output}"
    for parameter, got, gradient in zip(
        graph.model.parameters, graph.gradients(x, dy), gradients, strict=True
    ):
        assert np.array_equal(got, gradient), parameter["name"]
