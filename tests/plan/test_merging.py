# SPDX-License-Identifier: Apache-2.0
"""Networks whose nodes join several inputs or move elements: exact in whole numbers, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph, named, small, source
from plan_networks import Node, conv2d, dense, op, pool

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError, ShapeError


def merge(name: str, *inputs: int) -> Node:
    return {"op": name, "inputs": list(inputs)}


def concatenate(*inputs: int, axis: int = -1) -> Node:
    return {"op": "concatenate", "inputs": list(inputs), "axis": axis}


def padding(*sides: int) -> Node:
    return {"op": "zero_padding", "padding": sides}


def cropping(*sides: int) -> Node:
    return {"op": "cropping", "cropping": sides}


def upsampling(*size: int, interpolation: str = "nearest") -> Node:
    return {"op": "upsampling", "size": size, "interpolation": interpolation}


def branches(*heads: Node) -> list[Node]:
    """Two convolutions of one image, nodes 1 and 2, then the rest."""
    same = conv2d(3, padding="same")
    return named(source(5, 4, 2), {**same, "inputs": [0]}, {**same, "inputs": [0]}, *heads)


GRAPHS: dict[str, list[Node]] = {
    **{name: branches(merge(name, 1, 2)) for name in ("add", "subtract", "average", "multiply")},
    **{name: branches(merge(name, 1, 2)) for name in ("maximum", "minimum")},
    "add, then relu, then a convolution": branches(merge("add", 1, 2), op("relu"), conv2d(2)),
    "residual": named(
        source(6, 6, 2),
        conv2d(3, padding="same"),
        op("relu"),
        conv2d(3, padding="same"),
        {"op": "add", "inputs": [3, 2]},
        op("relu"),
        conv2d(1),
    ),
    "residual of an input": named(
        source(6, 6, 2), conv2d(2, padding="same"), op("relu"), {"op": "add", "inputs": [2, 0]}, conv2d(1)
    ),
    "the same value twice": named(source(5), dense(4), {"op": "add", "inputs": [1, 1]}, dense(2)),
    "a square": named(source(5), dense(4), {"op": "multiply", "inputs": [1, 1]}, dense(2)),
    **{
        f"three of {name}": named(
            source(5), dense(4), {**dense(4), "inputs": [0]}, {**dense(4), "inputs": [0]},
            merge(name, 1, 2, 3), dense(2),
        )
        for name in ("add", "multiply", "maximum", "minimum")
    },
    "four on average": named(source(5), dense(4), dense(4), merge("average", 1, 2, 1, 2), dense(2)),
    "two sums of one value": named(
        source(5), dense(4), op("relu"), dense(4), merge("add", 2, 3), dense(4), merge("add", 4, 5), dense(2)
    ),
    "squeeze and excitation": named(
        source(4, 4, 2),
        conv2d(3, padding="same"),
        pool("sum", 4),
        op("flatten"),
        dense(3),
        {"op": "reshape", "target_shape": (1, 1, -1)},
        merge("multiply", 1, 5),
    ),
    **{
        f"{name} of ranks that differ": named(
            source(3, 2, 4), source(4), {**dense(4), "inputs": [0]}, {**dense(4), "inputs": [1]},
            merge(name, 2, 3),
        )
        for name in ("add", "subtract", "average", "multiply", "maximum", "minimum")
    },
    "sizes of 1 on both sides": named(
        source(3, 1, 4), source(1, 5, 1), {**dense(4), "inputs": [0]}, {**dense(1), "inputs": [1]},
        merge("multiply", 2, 3), merge("add", 4, 3),
    ),
    "results that grow": named(
        source(4), source(3, 4), source(2, 3, 4), {**dense(4), "inputs": [0]}, {**dense(4), "inputs": [1]},
        {**dense(4), "inputs": [2]}, merge("add", 3, 4, 5), merge("multiply", 3, 4, 5), merge("add", 6, 7),
    ),
    "concatenate": branches(concatenate(1, 2, 0), conv2d(2)),
    "concatenate rows": branches(concatenate(1, 2, axis=1), conv2d(2)),
    "concatenate eight": branches(concatenate(1, 2, 0, 1, 2, 0, 1, 2), conv2d(2)),
    "concatenate a ReLU twice": branches({**op("relu"), "inputs": [1]}, concatenate(3, 2, 3), conv2d(1)),
    "concatenate vectors": named(
        source(5), dense(4), {**dense(1), "inputs": [0]}, concatenate(1, 2, 0), dense(2)
    ),
    "dense block": named(
        source(4, 4, 2), conv2d(2, padding="same"), concatenate(0, 1), conv2d(1, padding="same"),
        concatenate(2, 3), op("relu"), conv2d(1),
    ),
    "reshape": named(source(4, 3), dense(4), {"op": "reshape", "target_shape": (2, -1)}, dense(2)),
    "identity": named(source(4), dense(4), op("identity"), op("relu"), op("identity"), dense(2)),
    "permute": named(source(3, 2, 4), dense(5), {"op": "permute", "dims": (3, 1, 2)}, dense(2)),
    "padding": named(source(4, 3, 2), conv2d(2, 1), padding(1, 0, 2, 1), op("relu"), conv2d(2)),
    "padding of steps": named(source(4, 2), dense(3), padding(1, 2), dense(2)),
    "padding of voxels": named(source(2, 3, 2, 2), dense(3), padding(1, 2, 0, 0, 1, 1), dense(2)),
    "cropping": named(source(6, 7, 2), conv2d(2, 1), op("relu"), cropping(1, 0, 2, 1), conv2d(2)),
    "cropping of steps": named(source(6, 2), dense(3), cropping(1, 2), dense(2)),
    "cropping of voxels": named(source(4, 3, 2, 2), dense(3), cropping(1, 2, 0, 0, 1, 0), dense(2)),
    "nearest": named(source(3, 2, 2), conv2d(2, 1), op("relu"), upsampling(2, 3), conv2d(2)),
    "nearest steps": named(source(3, 2), dense(3), upsampling(4), dense(2)),
    "nearest voxels": named(source(2, 1, 3, 2), dense(3), upsampling(2, 1, 2), dense(2)),
    "bilinear": named(
        source(3, 2, 2), conv2d(2, 1), upsampling(2, 4, interpolation="bilinear"), conv2d(1, 2)
    ),
    "repeat vector": named(source(4), dense(3), {"op": "repeat_vector", "n": 5}, dense(2)),
    "a small U": named(
        source(4, 4, 1), conv2d(2, padding="same"), op("relu"), pool("max"), conv2d(2, padding="same"),
        upsampling(2, 2), concatenate(2, 5), conv2d(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_exact(name: str, rng: np.random.Generator) -> None:
    check_exact_graph(Graph(GRAPHS[name], [len(GRAPHS[name]) - 1], rng), rng)


@pytest.mark.parametrize("name", ["add", "concatenate", "residual"])
def test_exact_where_inner_values_are_outputs_too(name: str, rng: np.random.Generator) -> None:
    """Nothing is written over a value that the caller gets."""
    nodes = GRAPHS[name]
    check_exact_graph(Graph(nodes, list(range(1, len(nodes))), rng), rng)


def steps(nodes: list[Node], mode: str, kernel: str) -> int:
    graph = Graph(nodes, [len(nodes) - 1], np.random.default_rng(0))
    return graph.model.describe(mode, 8).count(f" {kernel} ")


def test_a_sum_has_no_backward_step() -> None:
    nodes = GRAPHS["add"]
    assert steps(nodes, "train", "binary_nest") == 1
    assert steps(nodes, "train", "binary_bwd_nest") == 0
    assert steps(nodes, "train", "add_flat") == 0


def test_renames_have_no_steps() -> None:
    for name in ("reshape", "identity"):
        assert steps(GRAPHS[name], "train", "copy_strided") == 0


@pytest.mark.parametrize(
    ("nodes", "over"),
    [
        (branches(merge("add", 1, 2), conv2d(1)), ["conv2d_1"]),
        # The first operand is read again.
        (branches(merge("add", 1, 2), merge("subtract", 3, 1), conv2d(1)), ["conv2d_2"]),
        (branches(merge("add", 1, 2), merge("subtract", 3, 1), merge("add", 4, 2), conv2d(1)), []),
    ],
)
def test_a_sum_is_written_over_an_operand_that_nothing_else_reads(nodes: list[Node], over: list[str]) -> None:
    text = Graph(nodes, [len(nodes) - 1], np.random.default_rng(0)).model.describe("train", 8)
    rows = [line.split() for line in text.splitlines()]
    # Of each layer the first step: forward.
    place = {row[1]: row[-2] for row in rows[::-1] if len(row) > 4}
    ours = next(row[-2] for row in rows if "binary_nest" in row)
    assert [name for name in ("conv2d_1", "conv2d_2") if place.get(name) == ours] == over


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize(
    "name", ["residual", "squeeze and excitation", "dense block", "a small U", "bilinear"]
)
def test_same_bits_for_any_number_of_threads(name: str, rng: np.random.Generator) -> None:
    nodes = GRAPHS[name]
    graph = Graph(nodes, [len(nodes) - 1], rng)
    graph.weights = [rng.standard_normal(w.shape, dtype=np.float32) for w in graph.weights]
    x = tuple(rng.standard_normal((256, *node["shape"]), dtype=np.float32) for node in nodes[:1])
    graph.model.set_parameters(graph.weights)
    dy = [rng.standard_normal(y.shape, dtype=np.float32) for y in graph.predict(x)]
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append(b"".join(each.tobytes() for each in graph.gradients(x, dy)))
    assert len(set(results)) == 1


def test_a_short_last_batch(rng: np.random.Generator) -> None:
    """Steps of fewer samples give the samples' own results."""
    for name in ("squeeze and excitation", "permute", "padding", "bilinear", "a small U", "repeat vector"):
        nodes = GRAPHS[name]
        graph = Graph(nodes, [len(nodes) - 1], rng)
        graph.model.set_parameters(graph.weights)
        x = (small(rng, (7, *nodes[0]["shape"])),)
        whole = graph.predict(x)[0]
        parts = [graph.predict((x[0][begin : begin + 3],))[0] for begin in (0, 3, 6)]
        assert np.array_equal(np.concatenate(parts), whole), name


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        (named(source(4), merge("add", 0)), ArgumentError, "inputs has 1 entries, wanted at least 2"),
        (named(source(4), merge("add")), ArgumentError, "inputs has no entries"),
        (named(source(4), merge("subtract", 0, 0, 0)), ArgumentError, "inputs has 3 entries, wanted 2"),
        (named(source(4), source(3), merge("add", 0, 1)), ShapeError, r"\[1, 4\].*\[1, 3\], wanted equal"),
        (named(source(4), concatenate(0, 0, axis=0)), ArgumentError, "axis is 0"),
        (named(source(4), concatenate(0, 0, axis=2)), ArgumentError, "axis is 2"),
        (named(source(4, 2), source(3, 2), concatenate(0, 1)), ShapeError, r"\[1, 3, 2\].*axis but 2"),
        (named(source(4, 2), source(4), concatenate(0, 1)), ShapeError, "input 1 has shape"),
        (named(source(6), {"op": "reshape", "target_shape": (4,)}), ShapeError, r"target_shape is \[4\]"),
        (named(source(6), {"op": "reshape", "target_shape": (4, -1)}), ShapeError, "target_shape"),
        (named(source(6), {"op": "reshape", "target_shape": (-1, -1)}), ShapeError, "target_shape"),
        (named(source(6), {"op": "reshape", "target_shape": (0, -1)}), ShapeError, "target_shape"),
        (named(source(6), {"op": "reshape", "target_shape": ()}), ShapeError, "target_shape has 0 axes"),
        (named(source(6), {"op": "reshape", "target_shape": (2**62, 4)}), ShapeError, "target_shape"),
        (named(source(4, 3), {"op": "permute", "dims": (1,)}), ShapeError, "dims has 1 entries, wanted 2"),
        (named(source(4, 3), {"op": "permute", "dims": (1, 3)}), ArgumentError, "dims is"),
        (named(source(4, 3), padding(1, 1, 1, 1)), ShapeError, "wanted 2 spatial axes"),
        (named(source(4, 3), padding(1, -1)), ArgumentError, "padding is"),
        (named(source(4, 3), padding()), ShapeError, "wanted 0 spatial axes"),
        (named(source(4, 3), cropping(2, 2)), ShapeError, "cropping takes 2"),
        (named(source(4, 3), upsampling(0)), ArgumentError, "size is 0"),
        (named(source(4, 3), upsampling(2**62)), ArgumentError, "size is"),
        (named(source(4, 3), upsampling(2, interpolation="bilinear")), ArgumentError, "bilinear"),
        (named(source(4, 3), upsampling(2, interpolation="cubic")), ArgumentError, "cubic"),
        (named(source(4, 3), {"op": "repeat_vector", "n": 2}), ShapeError, "wanted one axis"),
        (named(source(4), {"op": "repeat_vector", "n": 0}), ArgumentError, "n is 0"),
    ],
)
def test_bad_graph(nodes: list[Node], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _native.Model(nodes, [len(nodes) - 1])
