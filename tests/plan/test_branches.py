# SPDX-License-Identifier: Apache-2.0
"""What a chain has not: several inputs and outputs, values read twice, shared and frozen parameters."""

from __future__ import annotations

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph, half_squares, named, small, source
from plan_networks import SGD, SQUARED, Node, conv2d, dense, op, pool, run

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError, ShapeError
from fastcnn.testing.compare import assert_exact
from fastcnn.testing.graph import GraphReference

FROM = {"inputs": [1]}

GRAPHS: dict[str, tuple[list[Node], list[int]]] = {
    "two heads": (named(source(5), dense(4), dense(3), {**dense(2), **FROM}), [2, 3]),
    "a ReLU with two readers": (
        named(source(5), dense(6), op("relu"), dense(3), {**dense(2), "inputs": [2]}),
        [3, 4],
    ),
    "a ReLU read by a pool and an output": (
        named(source(6, 6, 2), conv2d(3), op("relu"), pool("max"), op("flatten"), dense(2)),
        [2, 5],
    ),
    "an output that is read again": (named(source(5), dense(4), op("relu"), dense(3)), [1, 2, 3]),
    "an output behind two names": (named(source(2, 3), dense(4), op("flatten")), [1, 2]),
    "an input as an output": (named(source(3), dense(3)), [0, 1]),
    "two inputs, two chains": (
        named(source(5), source(3, 2), {**dense(4), "inputs": [0]}, {**dense(3), "inputs": [1]}),
        [2, 3],
    ),
    "a layer called twice": (
        named(
            source(5),
            source(5),
            {**dense(4), "name": "shared", "inputs": [0]},
            {**dense(4), "name": "shared", "call": 1, "inputs": [1]},
            {**dense(2), "inputs": [2]},
        ),
        [3, 4],
    ),
    "a layer called on its own output": (
        named(
            source(6, 6, 2),
            {**conv2d(2, padding="same"), "name": "shared"},
            op("relu"),
            {**conv2d(2, padding="same"), "name": "shared", "call": 1},
            {**conv2d(2, padding="same"), "name": "shared", "call": 2},
        ),
        [4],
    ),
    "a rescaling of one of two readers": (
        named(
            source(4), {"op": "rescaling", "scale": 2.0, "offset": 1.0}, dense(3), {**dense(2), "inputs": [0]}
        ),
        [2, 3],
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_exact(name: str, rng: np.random.Generator) -> None:
    nodes, outputs = GRAPHS[name]
    check_exact_graph(Graph(nodes, outputs, rng), rng)


@pytest.mark.parametrize("name", GRAPHS)
def test_reference_gradients_are_numerical_differences(name: str, rng: np.random.Generator) -> None:
    """Of sum(dy y) by central differences with steps that are powers of two."""
    nodes, outputs = GRAPHS[name]
    graph = Graph(nodes, outputs, rng)
    weights = [rng.standard_normal(w.shape) for w in graph.weights]
    x = [rng.standard_normal(a.shape) for a in graph.inputs(rng, 3)]
    judge = GraphReference(nodes, weights, outputs)
    dy = [rng.standard_normal(y.shape) for y in judge.forward(x)]
    step = 2.0**-14
    for p, gradient in enumerate(judge.backward(dy)):
        for index in rng.choice(weights[p].size, min(6, weights[p].size), replace=False):
            sums = []
            for sign in (1.0, -1.0):
                moved = [w.copy() for w in weights]
                moved[p].flat[index] += sign * step
                y = GraphReference(nodes, moved, outputs).forward(x)
                sums.append(sum(float((d * v).sum()) for d, v in zip(dy, y, strict=True)))
            # Piecewise linear or quadratic in one weight: central differences err by rounding alone, unless a
            # step crosses a kink, which 2^-14 seldom does and this test's numbers do not.
            difference = (sums[0] - sums[1]) / (2 * step)
            scale = sum(float(np.abs(d * v).sum()) for d, v in zip(dy, y, strict=True))
            bound = 2.0**-52 * 64 * scale / step + 8 * step**2 * scale
            assert abs(gradient.flat[index] - difference) <= bound, (p, index)


def test_frozen_parameters_stay(rng: np.random.Generator) -> None:
    nodes = named(source(5), dense(4), op("relu"), dense(3), op("relu"), dense(2))
    graph = Graph(nodes, [5], rng)
    x, dy = graph.inputs(rng, 4), [small(rng, (4, 2), 4.0)]
    judge = GraphReference(nodes, graph.weights)
    judge.forward(x)
    wanted = judge.backward(dy)
    for frozen in ((0, 1), (2, 3), (2,), (4, 5), (0, 3)):
        graph.compile(frozen)
        for i, (got, gradient) in enumerate(zip(graph.gradients(x, dy), wanted, strict=True)):
            assert np.array_equal(got, np.zeros_like(got) if i in frozen else gradient), (frozen, i)


def test_gradients_that_nothing_needs_are_not_computed() -> None:
    model = _native.Model(named(source(5), dense(4), dense(3), dense(2)))
    model.compile(SGD, SQUARED, None, "cpu", "float32", "default", (0, 1, 2, 3))
    text = model.describe("train", 8)
    assert text.count("gemm") == 3 + 1  # forward, and the gradient of the last kernel


def test_weights_of_losses(rng: np.random.Generator) -> None:
    nodes = named(source(5), dense(4), dense(3), {**dense(2), **FROM})
    graph = Graph(nodes, [2, 3], rng)
    graph.model.set_parameters(graph.weights)
    x, dy = graph.inputs(rng, 4), [small(rng, (4, 3), 4.0), small(rng, (4, 2), 4.0)]
    losses = (half_squares(3, 2.0), half_squares(2, -0.5))
    graph.model.compile(SGD, losses, (None, None), "cpu", "float32", "default")
    judge = GraphReference(nodes, graph.weights, [2, 3])
    judge.forward(x)
    wanted = judge.backward([2.0 * dy[0], -0.5 * dy[1]])
    for got, gradient in zip(graph.gradients(x, dy), wanted, strict=True):
        assert_exact(got, gradient, "gradient")


def test_an_output_without_a_loss(rng: np.random.Generator) -> None:
    nodes = named(source(5), dense(4), dense(3), {**dense(2), **FROM})
    graph = Graph(nodes, [2, 3], rng)
    graph.model.set_parameters(graph.weights)
    graph.model.compile(SGD, (None, SQUARED), (None, None), "cpu", "float32", "default")
    (x,) = graph.inputs(rng, 4)
    session = graph.model.session("train", x, (small(rng, (4, 2)),), None, 4)
    run(session)
    moved = [
        not np.array_equal(a, b) for a, b in zip(graph.weights, graph.model.get_parameters(), strict=True)
    ]
    assert moved == [True, True, False, False, True, True]
    assert [each["samples"] for each in session.totals()] == [0, 4]


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("name", ["a layer called on its own output", "a ReLU read by a pool and an output"])
def test_same_bits_for_any_number_of_threads(name: str, rng: np.random.Generator) -> None:
    nodes, outputs = GRAPHS[name]
    graph = Graph(nodes, outputs, rng)
    graph.weights = [rng.standard_normal(w.shape, dtype=np.float32) for w in graph.weights]
    x = tuple(rng.standard_normal((256, *node["shape"]), dtype=np.float32) for node in nodes[:1])
    graph.model.set_parameters(graph.weights)
    dy = [rng.standard_normal(y.shape, dtype=np.float32) for y in graph.predict(x)]
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append(b"".join(each.tobytes() for each in graph.gradients(x, dy)))
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("nodes", "outputs", "error", "message"),
    [
        (named(source(4), dense(2)), [2], ArgumentError, "outputs names node 2, wanted 0 to 1"),
        (named(source(4), dense(2)), [-1], ArgumentError, "outputs names node -1"),
        (named(source(4), dense(2), dense(3)), [1], ArgumentError, "'dense_2'.*nothing reads"),
        (named(source(4), dense(2), source(3)), [1], ArgumentError, "an input after a layer"),
        (
            named(source(4), {**dense(2), "name": "a"}, {**dense(2), "name": "a", "call": 1}),
            [2],
            ShapeError,
            r"layer 0 'a' \(Dense\): called again.*kernel has shape \[2, 2\], wanted \[4, 2\]",
        ),
        (named(source(4), {**dense(2), "call": 1}), [1], ArgumentError, "its call is number 1, wanted 0"),
        (named(*[source(4)] * 17), [0], ArgumentError, "more than 16 inputs"),
    ],
)
def test_bad_graph(nodes: list[Node], outputs: list[int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _native.Model(nodes, outputs)


def test_bad_sessions(rng: np.random.Generator) -> None:
    nodes, outputs = GRAPHS["two inputs, two chains"]
    model = Graph(nodes, outputs, rng).model
    x = tuple(small(rng, (4, *node["shape"])) for node in nodes[:2])
    y = (np.zeros((4, 4), np.float32), np.zeros((4, 3, 3), np.float32))
    before = [w.tobytes() for w in model.get_parameters()]
    for bad_x, bad_y, error, message in (
        (x[:1], y, ArgumentError, "x has 1 arrays, wanted 2"),
        (x[0], y, ArgumentError, "x has 1 arrays, wanted 2"),
        (x, y[:1], ArgumentError, "y has 1 arrays, wanted 2"),
        ((x[0], x[1][:3]), y, ShapeError, r"x\[0\] has 4 samples and x\[1\] 3"),
        (x, (y[0], y[1][:3]), ShapeError, r"x has 4 samples and y\[1\] 3"),
        (x[::-1], y, ShapeError, r"x\[0\] has shape"),
        (x, y[::-1], ShapeError, r"y\[0\] has shape"),
    ):
        with pytest.raises(error, match=message):
            model.session("train", bad_x, bad_y, None, 4)
    assert [w.tobytes() for w in model.get_parameters()] == before
