# SPDX-License-Identifier: Apache-2.0
"""What joins the step before it: batch norm, a residual and activations, in whole numbers and in the steps.

Moving variances are 5 and epsilon is 11, so that the factor of a channel is a quarter of its gamma.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph, named, source, stay_exact
from plan_networks import SGD, SQUARED, Node, conv2d, convolution, dense, op, pool, run

import fastcnn
from fastcnn.testing.compare import assert_exact, assert_same_bits, gamma
from fastcnn.testing.graph import GraphReference

NORM: Node = {"op": "batch_norm", "epsilon": 11.0, "momentum": 0.5, "scale": True, "center": True}
SAME = {"padding": "same"}


def add(*inputs: int) -> Node:
    return {"op": "add", "inputs": list(inputs)}


def after(node: int) -> dict[str, Any]:
    return {"inputs": [node]}


NORMS: dict[str, tuple[list[Node], int]] = {  # and how many of them are folded
    "conv2d": (named(source(9, 8, 3), conv2d(5), NORM), 1),
    "conv2d without bias": (named(source(9, 8, 3), conv2d(5, use_bias=False), NORM, op("relu")), 1),
    "groups": (named(source(9, 8, 6), conv2d(9, groups=3), NORM, op("relu")), 1),
    "pointwise": (named(source(9, 8, 3), conv2d(17, 1), NORM, op("relu6"), dense(2)), 1),
    "depthwise": (
        named(source(9, 8, 5), convolution("depthwise_conv2d", (3, 3), depth_multiplier=2), NORM), 1,
    ),
    "conv1d": (named(source(19, 3), convolution("conv1d", (3,), filters=4), NORM, op("relu")), 1),
    "conv3d": (named(source(4, 5, 5, 2), convolution("conv3d", (2, 2, 2), filters=3), NORM), 1),
    "dense": (named(source(7, 3, 4), dense(5), NORM, op("relu")), 1),
    "gamma alone": (named(source(9, 8, 3), conv2d(5), {**NORM, "center": False}), 1),
    "beta alone": (named(source(9, 8, 3), conv2d(5), {**NORM, "scale": False}), 1),
    "two in a row": (named(source(9, 8, 3), conv2d(5), NORM, NORM), 2),
    "a layer called twice": (
        named(
            source(9, 8, 3),
            {**conv2d(3, **SAME), "name": "shared"}, NORM,
            {**conv2d(3, **SAME), "name": "shared", "call": 1}, NORM,
        ),
        2,
    ),
    "a convolution of more weights than values": (named(source(3, 3, 40), conv2d(24), NORM), 1),
    # Not folded: the weights of a transposed convolution have the channels elsewhere; an activation between,
    # another reader, and an output of the model see what the convolution gives.
    "transposed": (named(source(5, 4, 3), convolution("conv2d_transpose", (3, 3), filters=2), NORM), 0),
    "an activation between": (named(source(9, 8, 3), conv2d(5), op("relu"), NORM), 0),
    "another reader": (named(source(9, 8, 3), conv2d(5), NORM, add(1, 2)), 0),
    "a dense layer of more weights than values": (named(source(9), dense(40), NORM), 0),
}  # fmt: skip

# So many channels that the convolutions are direct, whose tiles add residuals, whatever the instruction set.
RESIDUALS: dict[str, tuple[list[Node], int]] = {  # and how many sums are part of a convolution
    "identity": (named(source(6, 6, 3), conv2d(20, 1), conv2d(20, **SAME), add(2, 1), op("relu")), 1),
    "on the left": (named(source(6, 6, 3), conv2d(20, 1), conv2d(20, **SAME), add(1, 2), op("relu")), 1),
    "with batch norm": (
        named(source(12, 12, 3), conv2d(20, 1), conv2d(20, **SAME), NORM, add(3, 1), op("relu"), dense(2)), 1,
    ),
    "a projection": (
        named(
            source(6, 6, 3), conv2d(20, **SAME), NORM, op("relu"), conv2d(20, **SAME), NORM,
            {**conv2d(20, 1), **after(0)}, NORM, add(5, 7), op("relu"), pool("max"),
        ),
        1,
    ),
    "strided": (
        named(
            source(7, 9, 3), conv2d(20, strides=(2, 2), **SAME), conv2d(20, **SAME),
            {**conv2d(20, 1, strides=(2, 2), **SAME), **after(0)}, add(3, 2), op("relu6"), conv2d(20, 1),
            add(6, 5),
        ),
        2,
    ),
    "wide filters": (
        named(
            source(5, 12, 3), conv2d(40, 1), op("relu"), conv2d(40, kernel_size=(3, 9), **SAME), add(3, 2),
            op("relu"),
        ),
        1,
    ),
    "a chain": (
        named(source(6, 6, 20), conv2d(20, **SAME), add(1, 0), conv2d(20, **SAME), add(3, 2), op("relu")), 2,
    ),
    # Not fused: no residual of the same shape is at hand, or the sum is not of the convolution's own values.
    "of three": (named(source(6, 6, 3), conv2d(3, **SAME), add(0, 1, 0), op("relu")), 0),
    "broadcast": (named(source(6, 6, 3), conv2d(3, **SAME), {**conv2d(1, 1), **after(0)}, add(2, 1)), 0),
    "of itself": (named(source(6, 6, 3), conv2d(3, **SAME), add(1, 1)), 0),
    "an activation between": (named(source(6, 6, 3), conv2d(3, **SAME), op("relu"), add(2, 0)), 0),
    "a later one": (named(source(6, 6, 3), conv2d(3, **SAME), {**pool("max", 1), **after(0)}, add(1, 2)), 0),
}  # fmt: skip


def graph_of(
    nodes: list[Node],
    rng: np.random.Generator,
    outputs: list[int] | None = None,
    math: str = "strict",  # F(4,3), which predictions take by default, is not exact
) -> Graph:
    graph = Graph(nodes, outputs or [len(nodes) - 1], rng)
    losses = tuple(SQUARED for _ in graph.outputs)
    graph.model.compile(SGD, losses, tuple(None for _ in losses), "cpu", "float32", math, ())
    for i, parameter in enumerate(graph.model.parameters):
        if parameter["role"] == "moving_variance":
            graph.weights[i][:] = 5
    graph.model.set_parameters(graph.weights)
    return graph


def check_predictions(graph: Graph, rng: np.random.Generator, batch: int = 4) -> None:
    x = graph.inputs(rng, batch)
    judge = GraphReference(graph.nodes, graph.weights, graph.outputs)
    wanted = judge.forward(x)
    assert stay_exact(judge.values)
    assert all(map(np.any, wanted))
    for got, y in zip(graph.predict(x), wanted, strict=True):
        assert_exact(got, y, "predictions")


def steps(graph: Graph, mode: str, kernel: str) -> int:
    return str(graph.model.describe(mode, 4)).count(kernel)


@pytest.mark.parametrize("name", NORMS)
def test_batch_norm_goes_into_the_weights(name: str, rng: np.random.Generator) -> None:
    nodes, folded = NORMS[name]
    graph = graph_of(nodes, rng)
    check_predictions(graph, rng)
    norms = sum(node["op"] == "batch_norm" for node in nodes)
    for mode in ("predict", "evaluate"):
        assert steps(graph, mode, "batch_norm_fold") == folded
        assert steps(graph, mode, "batch_norm_infer") == norms - folded
    assert steps(graph, "train", "batch_norm_fold") == 0


def test_weights_may_change_between_calls(rng: np.random.Generator) -> None:
    graph = graph_of(NORMS["conv2d"][0], rng)
    check_predictions(graph, rng)
    graph.weights = [w + 1 if w.ndim > 1 else w for w in graph.weights]
    graph.model.set_parameters(graph.weights)
    check_predictions(graph, rng)


def test_an_output_is_not_folded(rng: np.random.Generator) -> None:
    graph = graph_of(NORMS["conv2d"][0], rng, [1, 2])
    check_predictions(graph, rng)
    assert steps(graph, "predict", "batch_norm_fold") == 0


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", RESIDUALS)
def test_residuals(name: str, batch: int, rng: np.random.Generator) -> None:
    nodes, fused = RESIDUALS[name]
    graph = graph_of(nodes, rng)
    check_predictions(graph, rng, batch)
    assert steps(graph, "predict", "+ residual") == fused
    sums = sum(len(node["inputs"]) - 1 for node in nodes if node["op"] == "add")
    assert steps(graph, "predict", "binary_nest") == sums - fused


@pytest.mark.parametrize("name", ["identity", "strided", "a chain", "of three", "broadcast"])
def test_gradients_through_sums_and_their_activations(name: str, rng: np.random.Generator) -> None:
    nodes = [{**node, "op": "relu"} if node["op"] == "relu6" else node for node in RESIDUALS[name][0]]
    check_exact_graph(Graph(nodes, [len(nodes) - 1], rng), rng, 2)


@pytest.mark.parametrize("activation", ["relu", "relu6", None])
@pytest.mark.parametrize("channels", [5, 16])
def test_a_sum_joins_the_batch_norm_before_it_in_training(
    channels: int, activation: str | None, rng: np.random.Generator
) -> None:
    """With the bits of a step of its own: where the other summand is made later, it stays one."""
    ends = [op(activation)] if activation else []
    other = {**conv2d(channels, 1), "name": "other", "inputs": [0]}
    conv, norm = {**conv2d(channels, **SAME), "name": "conv", "inputs": [0]}, {**NORM, "name": "norm"}
    head = {**dense(2), "name": "head"}
    late = named(source(9, 7, 3), conv, norm, other, add(2, 3), *ends, head)
    early = named(source(9, 7, 3), other, conv, norm, add(3, 1), *ends, head)
    apart, fused = Graph(late, [len(late) - 1], rng), Graph(early, [len(early) - 1], rng)
    reals = {p["name"]: rng.random(p["shape"], np.float32) for p in apart.model.parameters}
    x, target = rng.standard_normal((5, 9, 7, 3), np.float32), rng.standard_normal((5, 9, 7, 2), np.float32)
    results = []
    for graph in (apart, fused):
        names = [p["name"] for p in graph.model.parameters]
        graph.model.set_parameters([reals[name] for name in names])
        run(graph.model.session("train", (x,), (target,), None, 5))
        results.append(dict(zip(names, graph.model.get_parameters(), strict=True)))
    assert [steps(graph, "train", "binary_nest") for graph in (apart, fused)] == [1, 0]
    assert steps(fused, "train", "+ residual + " + activation if activation else "+ residual") == 1
    for name, wanted in results[0].items():
        assert_same_bits(results[1][name], wanted, name)


BRANCHES: dict[str, list[Node]] = {  # after a ReLU, node 2; the convolution whose turn is last adds and masks
    "identity": [conv2d(40, **SAME), add(3, 2)],
    "two": [conv2d(40, **SAME), {**conv2d(40, 5, **SAME), **after(2)}, add(3, 4)],
    "strided": [
        conv2d(20, strides=(2, 2), **SAME),
        {**conv2d(20, 1, strides=(2, 2), **SAME), **after(2)},
        add(3, 4),
    ],
    "three": [conv2d(40, **SAME), {**conv2d(40, 1), **after(2)}, add(2, 3, 4)],
    "narrow": [conv2d(3, **SAME), {**conv2d(3, 1), **after(2)}, add(3, 4)],
    "wide filters": [conv2d(40, kernel_size=(3, 9), **SAME), add(3, 2)],
}


@pytest.mark.parametrize("name", BRANCHES)
def test_the_last_dgrad_adds_what_there_is(name: str, rng: np.random.Generator) -> None:
    """On 7 x 9 pixels, so that tiles and vectors have borders."""
    nodes = named(source(7, 9, 2), conv2d(40, 1), op("relu"), *BRANCHES[name])
    graph = Graph(nodes, [len(nodes) - 1], rng)
    check_exact_graph(graph, rng, 2)
    assert steps(graph, "train", "+ residual + mask") == 1
    assert steps(graph, "train", "add_flat") == 0
    assert steps(graph, "train", "activation_bwd") == 0


def test_a_dgrad_without_residual_leaves_the_sum_to_a_step(rng: np.random.Generator) -> None:
    depthwise = convolution("depthwise_conv2d", (3, 3), depth_multiplier=1, **SAME)
    nodes = named(source(7, 9, 2), conv2d(5, 1), op("relu"), depthwise, add(3, 2))
    graph = Graph(nodes, [4], rng)
    check_exact_graph(graph, rng, 2)
    assert steps(graph, "train", "add_flat") == 1


def test_an_activation_joins_the_sum_before_it_in_training(rng: np.random.Generator) -> None:
    graph = graph_of(RESIDUALS["of three"][0], rng)
    assert steps(graph, "train", "activation_fwd") == 0
    assert steps(graph, "train", "add + relu") == 1


@pytest.mark.parametrize("math", ["strict", "default"])
@pytest.mark.parametrize(
    ("channels", "width", "size"), [(20, 19, (3, 3)), (40, 19, (3, 3)), (40, 12, (3, 9))]
)
def test_a_fused_residual_has_the_bits_of_a_sum(
    channels: int, width: int, size: tuple[int, int], math: str, rng: np.random.Generator
) -> None:
    """Whatever the row: where the convolution's own values are an output, they are added by a step."""
    nodes = named(
        source(17, width, channels), conv2d(channels, kernel_size=size, **SAME), add(1, 0), op("relu")
    )
    fused, apart = (graph_of(nodes, rng, outputs, math) for outputs in ([3], [1, 3]))
    weights = [rng.standard_normal(w.shape, dtype=np.float32) for w in fused.weights]
    x = (rng.standard_normal((4, 17, width, channels), dtype=np.float32),)
    for graph in (fused, apart):
        graph.model.set_parameters(weights)
    assert [steps(graph, "predict", "+ residual") for graph in (fused, apart)] == [1, 0]
    assert_same_bits(fused.predict(x)[0], apart.predict(x)[1], "convolution with residual")


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("name", ["with batch norm", "a projection", "strided"])
def test_same_bits_for_any_number_of_threads(name: str, rng: np.random.Generator) -> None:
    graph = graph_of(RESIDUALS[name][0], rng)
    graph.weights = [np.abs(rng.standard_normal(w.shape, dtype=np.float32)) for w in graph.weights]
    graph.model.set_parameters(graph.weights)
    x = tuple(rng.standard_normal((64, *graph.nodes[0]["shape"]), dtype=np.float32) for _ in range(1))
    results = set()
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.add(graph.predict(x)[0].tobytes())
    assert len(results) == 1


def test_reals_stay_within_the_bounds_of_the_unfused_network(rng: np.random.Generator) -> None:
    """Conv, batch norm, residual and ReLU: beside the values runs a bound of their errors."""
    nodes = RESIDUALS["with batch norm"][0][:6]
    graph = graph_of(nodes, rng)
    graph.weights = [np.abs(rng.standard_normal(w.shape, dtype=np.float32)) for w in graph.weights]
    graph.model.set_parameters(graph.weights)
    x = graph.inputs(rng, 3)
    signs = GraphReference(nodes, graph.weights).forward(x)[0]
    # From absolute values, and a mean that is added: no partial sum is larger.
    largest = [
        -w if p["role"] == "moving_mean" else w
        for p, w in zip(graph.model.parameters, graph.weights, strict=True)
    ]
    sizes = GraphReference(nodes, largest).forward([np.abs(each) for each in x])[0]
    terms = 3 + 1 + 20 * 9 + 8  # of both convolutions, their biases, the factor, the offset and the residual
    assert np.all(np.abs(graph.predict(x)[0] - signs) <= gamma(terms) * sizes)
