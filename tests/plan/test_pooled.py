# SPDX-License-Identifier: Apache-2.0
"""Convolutions before a max-pool: their gradients from those of the pooled values, exact in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph
from plan_networks import MOMENTUM, Node, bits, build, chain, conv2d, dense, dropout, op, pool, run

import fastcnn
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import poisoned
from fastcnn.testing.graph import GraphReference

TAIL = (op("flatten"), dense(3))
RELU = op("relu")

# Each takes what is special about a row: tiles of taps, padding, strides, what stands between. In lanes and,
# with few samples or many channels, channels-last.
NETWORKS: dict[str, list[Node]] = {
    "one channel": chain((8, 8, 1), conv2d(3), RELU, pool("max"), *TAIL),
    "twice": chain((14, 13, 2), conv2d(5), RELU, pool("max"), conv2d(9), RELU, pool("max"), *TAIL),
    "no activation": chain((8, 9, 3), conv2d(4), pool("max"), *TAIL),
    "an activation behind": chain((8, 9, 3), conv2d(4), pool("max"), RELU, *TAIL),
    "no bias": chain((8, 8, 2), conv2d(3, use_bias=False), RELU, pool("max"), *TAIL),
    "padding": chain((8, 7, 2), conv2d(3, 5, padding="same"), RELU, pool("max"), conv2d(2, 2), *TAIL),
    "strides": chain((17, 19, 2), conv2d(3, 3, strides=(2, 3)), RELU, pool("max"), conv2d(2, 1), *TAIL),
    "dilated rows": chain((12, 9, 2), conv2d(3, dilation_rate=(2, 1)), RELU, pool("max"), *TAIL),
    "windows overlap": chain(
        (11, 12, 2), conv2d(3, 2), RELU, pool("max", 3, strides=(2, 2)), conv2d(2, 2), *TAIL
    ),
    "gaps": chain((12, 12, 1), conv2d(3), RELU, pool("max", 2, strides=(3, 3)), *TAIL),
    "rows left over": chain((9, 10, 2), conv2d(2), conv2d(3, 2), RELU, pool("max", 3, strides=(3, 3)), *TAIL),
    "seven rows of taps": chain((12, 12, 1), conv2d(4, 7), pool("max"), *TAIL),
    "vectors of channels and more": chain((9, 8, 1), conv2d(19, 2), RELU, pool("max"), *TAIL),
    "three rows of taps": chain((9, 8, 1), conv2d(35, 3), RELU, pool("max"), *TAIL),
    "whole vectors of channels": chain((9, 8, 3), conv2d(32, 2), RELU, pool("max"), *TAIL),
    "places of nine": chain((10, 9, 1), conv2d(32, 2), RELU, pool("max", 3, strides=(2, 2)), *TAIL),
    "windows in bands": chain((41, 60, 1), conv2d(32, 2), RELU, pool("max"), *TAIL),
    "few channels in bands": chain((21, 22, 1), conv2d(7, 5, padding="same"), RELU, pool("max"), *TAIL),
    "planes in bands": chain((48, 46, 3), conv2d(3, 7), RELU, pool("max"), *TAIL),
    "vectors in parts": chain((7, 6, 2), conv2d(35, 1), conv2d(3), RELU, pool("max"), *TAIL),
    "a filter of whole pages": chain((7, 7, 2), conv2d(32, 1), conv2d(3, 4), pool("max"), *TAIL),
    "winograd": chain((14, 13, 2), conv2d(24, 1), conv2d(21), RELU, pool("max"), *TAIL),
    "winograd by parts": chain((14, 13, 2), conv2d(32, 1), conv2d(48, 5), RELU, pool("max"), *TAIL),
    "winograd in lanes": chain(
        (14, 12, 8), conv2d(9), RELU, pool("max"), conv2d(8, 5, padding="same"), pool("max"), *TAIL
    ),
    "two readers": chain(
        (8, 8, 2), conv2d(2), RELU, pool("max"), conv2d(2, 1), {"op": "add", "inputs": [3, 4]}, *TAIL
    ),
    "pools on each other": chain((11, 11, 2), conv2d(2, 2), RELU, pool("max"), pool("max"), *TAIL),
}


def steps(model: Any, batch: int) -> str:
    return str(model.describe("train", batch))


@pytest.mark.parametrize("batch", [3, 21, 32])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact(name: str, batch: int, rng: np.random.Generator) -> None:
    graph = Graph(NETWORKS[name], [len(NETWORKS[name]) - 1], rng)
    check_exact_graph(graph, rng, batch)
    text = steps(graph.model, batch)
    assert text.count("wgrad_pooled") == sum(node["op"] == "max_pool2d" for node in graph.nodes) - (
        name == "pools on each other"
    )
    assert ("pooled_lanes" in text) == ("fprop_lanes" in text)


@pytest.mark.parametrize("batch", [4, 16])
def test_windows_that_the_border_cuts_off(batch: int, rng: np.random.Generator) -> None:
    """Their places are those of a whole window in lanes alone."""
    nodes = chain((11, 12, 2), conv2d(3, 2), RELU, pool("max", 3, strides=(2, 2), padding="same"), *TAIL)
    graph = Graph(nodes, [len(nodes) - 1], rng)
    check_exact_graph(graph, rng, batch)
    assert ("wgrad_pooled" in steps(graph.model, batch)) == (batch == 16)


def test_both_layouts_are_tested() -> None:
    texts = [steps(build(nodes, MOMENTUM), 32) for nodes in NETWORKS.values()]
    assert any("dgrad_pooled_lanes" in text for text in texts)
    rows = "".join(steps(build(nodes, MOMENTUM), 3) for nodes in NETWORKS.values())
    for row in ("dgrad_pooled_gather", "wgrad_pooled_gather", "wgrad_pooled_narrow"):
        assert row in rows


def test_a_relu_masks_the_pooled_gradient(rng: np.random.Generator) -> None:
    """In the step that makes it; behind a dropout in one of its own."""
    inside = chain((8, 8, 2), conv2d(2), RELU, pool("max"), *TAIL)
    behind = chain((8, 8, 2), conv2d(2), RELU, pool("max"), dropout(0.5), *TAIL)
    assert "relu_bwd" not in steps(build(inside, MOMENTUM), 4)
    assert "activation_bwd" not in steps(build(inside, MOMENTUM), 4)
    assert "activation_bwd" in steps(build(behind, MOMENTUM), 4)


@pytest.mark.parametrize("mode", ["predict", "train"])
@pytest.mark.parametrize("math", ["strict", "default"])
@pytest.mark.parametrize(("channels", "size"), [(3, 3), (20, 3), (64, 3), (64, 5)])
def test_a_pool_in_the_step_of_its_convolution_has_the_bits_of_one_of_its_own(
    channels: int, size: int, math: str, mode: str, rng: np.random.Generator
) -> None:
    """Where the values before it are an output, it is a step."""
    nodes = chain((14, 12, channels), conv2d(channels, size, padding="same"), RELU, pool("max"))
    weights, results = None, []
    x = (rng.standard_normal((5, 14, 12, channels), dtype=np.float32),)
    for outputs in ([3], [2, 3]):
        graph = Graph(nodes, outputs, rng)
        graph.compile(math=math)
        weights = weights or [rng.standard_normal(w.shape, dtype=np.float32) for w in graph.weights]
        graph.model.set_parameters(weights)
        joined = [line for line in str(graph.model.describe(mode, 5)).splitlines() if "+ pool" in line]
        assert not (joined and outputs == [2, 3])
        assert joined or outputs == [2, 3] or channels < 64 or math == "default" or size > 3
        shapes = [graph.model.output_shapes[each] for each in outputs]
        y = tuple(poisoned((5, *shape)) for shape in shapes)
        run(graph.model.session("predict", x, None, y, 5))
        results.append(y[-1])
    assert_same_bits(results[0], results[1], "pooled")


def test_every_row_that_takes_a_pool_is_tested() -> None:
    texts = [steps(build(nodes, MOMENTUM), batch) for nodes in NETWORKS.values() for batch in (3, 32)]
    lines = [line for text in texts for line in text.splitlines() if "+ pool" in line]
    for row in ("fprop_lanes ", "fprop_lanes_winograd", "fprop_planar", "fprop_direct", "fprop_winograd2"):
        assert any(row in line for line in lines), row
    assert any("fprop_winograd2" in line and "* [5, 5" in line for line in lines)


ELSEWHERE: dict[str, list[Node]] = {
    "an activation that saves its input": chain((8, 8, 2), conv2d(2), op("gelu"), pool("max"), *TAIL),
    "another reader before the pool": chain(
        (8, 8, 2), conv2d(2), RELU, {**pool("max", 1)}, {"op": "add", "inputs": [2, 3]}, *TAIL
    ),
    "windows side by side everywhere": chain(
        (8, 8, 2), conv2d(2), RELU, pool("max", 2, strides=(1, 1)), *TAIL
    ),
    "groups": chain((8, 8, 2), conv2d(2, groups=2), RELU, pool("max"), *TAIL),
    "dilated columns": chain((8, 8, 2), conv2d(2, dilation_rate=(1, 2)), RELU, pool("max"), *TAIL),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_not_pooled(name: str) -> None:
    for batch in (4, 16):
        assert "pooled" not in steps(build(ELSEWHERE[name], MOMENTUM), batch)


def test_frozen_parameters(rng: np.random.Generator) -> None:
    nodes = NETWORKS["twice"]
    graph = Graph(nodes, [len(nodes) - 1], rng)
    names = [p["name"] for p in graph.model.parameters]
    x = graph.inputs(rng, 4)
    for frozen, pooled in (("conv2d_1/kernel", 1), ("conv2d_1/bias", 2), ("conv2d_4/kernel", 1)):
        graph.compile((names.index(frozen),))
        assert steps(graph.model, 4).count("wgrad_pooled") == pooled
        dy = [np.full((4, 3), 4, np.float32)]
        judge = GraphReference(graph.nodes, graph.weights, graph.outputs)
        judge.forward(x)
        for parameter, got, wanted in zip(names, graph.gradients(x, dy), judge.backward(dy), strict=True):
            assert np.array_equal(got, wanted * (parameter != frozen)), parameter


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "leaky_relu"])
@pytest.mark.parametrize("batch", [4, 16])
def test_other_activations_equal_those_behind_the_pool(
    activation: str, batch: int, rng: np.random.Generator
) -> None:
    """They rise, so that the greatest value is that of the greatest argument: the bits are the same."""
    between = {"op": activation, "negative_slope": 0.25} if activation == "leaky_relu" else op(activation)
    before = chain((9, 9, 2), conv2d(3), between, pool("max"), *TAIL)
    after = chain((9, 9, 2), conv2d(3), pool("max"), between, *TAIL)
    x = rng.standard_normal((batch, 9, 9, 2)).astype(np.float32)
    states = []
    for nodes in (before, after):
        model = build(nodes, MOMENTUM)
        assert "wgrad_pooled" in steps(model, batch)
        run(model.session("train", x, np.arange(batch) % 3, None, batch))
        states.append([array.tobytes() for array in model.get_parameters()])
    assert states[0] == states[1]


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize(("channels", "size"), [(6, 3), (6, 5), (40, 3)])
def test_same_bits_for_any_number_of_threads(channels: int, size: int) -> None:
    pooled = (conv2d(channels, 5), RELU, pool("max"), conv2d(24, size), RELU, pool("max"))
    nodes = chain((20, 20, 1), *pooled, *TAIL)
    states = set()
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        rng = np.random.default_rng(5)
        x = rng.standard_normal((80, 20, 20, 1)).astype(np.float32)
        model = build(nodes, MOMENTUM)
        assert steps(model, 32).count("wgrad_pooled") == 2
        session = model.session("train", x, rng.integers(0, 3, len(x)), None, 32)
        for _ in range(2):
            run(session, rng.permutation(len(x)))
        states.add(b"".join(bits(model)))
    assert len(states) == 1


@pytest.mark.parametrize("activation", ["silu", "tanh", "relu"])
def test_an_activation_of_pooled_values_does_not_come_before_the_pool(
    activation: str, rng: np.random.Generator
) -> None:
    """Some rise where values fall."""
    nodes = chain((8, 8, 2), conv2d(24), pool("max"), op(activation))
    graph = Graph(nodes, [len(nodes) - 1], rng)
    pooled = Graph(nodes[:-1], [len(nodes) - 2], rng)
    for each in (graph, pooled):
        each.model.set_parameters(graph.weights)
    x = (graph.inputs(rng, 4)[0] / 8,)
    assert "+ pool" in graph.strict.describe("predict", 4)
    wanted = getattr(fastcnn.ops, activation)(pooled.predict(x)[0])
    assert_same_bits(graph.predict(x)[0], wanted, activation)
