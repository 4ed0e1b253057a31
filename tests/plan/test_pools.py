# SPDX-License-Identifier: Apache-2.0
"""Every kind of pooling inside a network: predictions and gradients equal the reference with no tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_checks import Graph, check_exact_graph, named, source
from plan_networks import SGD, SQUARED, Node, conv2d, dense, op, pool

from fastcnn import Sequential, _native, layers
from fastcnn.errors import ArgumentError, ShapeError

RELU = op("relu")


def nd(kind: str, axes: int, size: int = 2, **attributes: Any) -> Node:
    name = f"{kind}_pool{3 if axes == 3 else 2}d"
    node = {"op": name, "axes": axes, "pool_size": size, "strides": size}
    return {**node, "padding": "valid", "ceil_mode": False, **attributes}


def whole(kind: str, axes: int = 2, keepdims: bool = False) -> Node:
    return {"op": f"{kind}_pool2d", "axes": axes, "global": True, "keepdims": keepdims}


def adaptive(kind: str, *output_size: int) -> Node:
    axes = len(output_size)
    return {"op": f"{kind}_pool{3 if axes == 3 else 2}d", "axes": axes, "output_size": output_size}


def lp(p: float, size: int = 2) -> Node:
    return {**pool("max", size), "op": "lp_pool2d", "p": p}


IMAGE, SEQUENCE, VOLUME = (
    (source(7, 6, 2), dense(3)),
    (source(9, 2), dense(3)),
    (source(4, 5, 6, 2), dense(3)),
)

NETWORKS: dict[str, list[Node]] = {
    # Where a maximum stands is kept: windows that overlap, and few channels; behind a ReLU or not.
    "max 3x3 by 2": named(*IMAGE, pool("max", 3, strides=(2, 2)), dense(2)),
    "max 3x3 by 2, relu": named(*IMAGE, RELU, pool("max", 3, strides=(2, 2)), dense(2)),
    "max 3x3 by 1, same, relu": named(*IMAGE, RELU, pool("max", 3, strides=(1, 1), padding="same"), dense(2)),
    "max 2x2, three channels, relu": named(*IMAGE, RELU, pool("max"), dense(2)),
    "max 2x2, eight channels, relu": named(source(7, 13, 2), dense(8), RELU, pool("max"), dense(2)),
    "max 2x2, nine channels, relu": named(source(7, 6, 2), dense(9), RELU, pool("max"), dense(2)),
    "max 4x4, nine channels, relu": named(source(9, 12, 2), dense(9), RELU, pool("max", 4), dense(2)),
    "max with gaps": named(*IMAGE, RELU, pool("max", 2, strides=(3, 3)), dense(2)),
    "max 3x3, read twice": named(
        *IMAGE, RELU, pool("max", 3, strides=(2, 2)), dense(2), {**dense(2), "inputs": [3]}
    ),
    "max 3x3, changed in place": named(*IMAGE, pool("max", 3, strides=(2, 2)), RELU, op("relu"), dense(2)),
    "max dilated": named(*IMAGE, RELU, pool("max", 2, strides=(1, 1), dilation_rate=(2, 3)), dense(2)),
    "max after max": named(source(9, 9, 1), conv2d(3), pool("max", 3, strides=(1, 1)), pool("max"), dense(2)),
    "unpooling": named(
        *IMAGE, pool("max"), dense(3), {"op": "max_unpool2d", "inputs": [3, 2]}, RELU, dense(2)
    ),
    "unpooling twice, of what is pooled too": named(
        *IMAGE,
        RELU,
        pool("max", 3, padding="same"),
        {"op": "max_unpool2d", "inputs": [3, 3]},
        dense(3),
        pool("max", 2, strides=(3, 3)),
        {"op": "max_unpool2d", "inputs": [6, 6]},
        {"op": "add", "inputs": [7, 4, 1]},
        dense(2),
    ),
    "unpooling of channels first": named(
        *IMAGE,
        pool("max"),
        {"op": "permute", "from_end": [1]},
        {"op": "permute", "to_end": [1]},
        dense(3),
        {"op": "max_unpool2d", "inputs": [5, 4]},
        {"op": "permute", "from_end": [1]},
        RELU,
        dense(2),
    ),
    "average, padding counts": named(
        *IMAGE, RELU, pool("average", 2, padding=((1, 1), (1, 1)), count_include_pad=True), dense(2)
    ),
    "lp 1": named(*IMAGE, lp(1.0), dense(2)),
    "lp 2 of single pixels": named(*IMAGE, RELU, lp(2.0, 1), dense(2)),
    **{f"global {kind}": named(*IMAGE, RELU, whole(kind), dense(2)) for kind in ("max", "sum")},
    "global average": named(source(8, 4, 2), dense(3), RELU, whole("average"), dense(2)),
    "global max, axes kept": named(*IMAGE, whole("max", keepdims=True), dense(2)),
    "global sum of sequences": named(*SEQUENCE, RELU, whole("sum", 1), dense(2)),
    "global max of volumes": named(*VOLUME, RELU, whole("max", 3), dense(2)),
    "adaptive max": named(*IMAGE, RELU, adaptive("max", 3, 4), dense(2)),
    "adaptive average": named(source(3, 6, 2), dense(3), RELU, adaptive("average", 2, 4), dense(2)),
    "adaptive max, an axis kept": named(*IMAGE, adaptive("max", 0, 4), dense(2)),
    "adaptive max of sequences": named(*SEQUENCE, adaptive("max", 4), dense(2)),
    "adaptive max of volumes": named(*VOLUME, RELU, adaptive("max", 3, 2, 4), dense(2)),
    "max 1-D": named(*SEQUENCE, RELU, nd("max", 1, 3, strides=(2,), padding="same"), dense(2)),
    "max 1-D, uneven padding": named(*SEQUENCE, nd("max", 1, 3, strides=2, padding=((2, 1),)), dense(2)),
    "average 1-D": named(*SEQUENCE, RELU, nd("average", 1), dense(2)),
    "sum 1-D": named(*SEQUENCE, RELU, nd("sum", 1, 3, strides=(1,)), dense(2)),
    "max 3-D": named(*VOLUME, RELU, nd("max", 3, 3, strides=2, padding="same"), dense(2)),
    "average 3-D": named(*VOLUME, RELU, nd("average", 3, strides=(1, 2, 2)), dense(2)),
    "sum 3-D": named(*VOLUME, RELU, nd("sum", 3, strides=(2, 1, 3)), dense(2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_exact(name: str, rng: np.random.Generator) -> None:
    nodes = NETWORKS[name]
    outputs = [len(nodes) - 1] if "twice" not in name else [len(nodes) - 2, len(nodes) - 1]
    check_exact_graph(Graph(nodes, outputs, rng), rng)


def kernels_of(nodes: list[Node]) -> str:
    model = _native.Model(nodes, [len(nodes) - 1])
    model.compile(SGD, (SQUARED,), (None,), "cpu", "float32", "default", ())
    return str(model.describe("train", 4))


@pytest.mark.parametrize("channels", [1, 3, 6, 12, 16, 20, 32])
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 1, 0), (2, 1, 1), (4, 2, 0), (4, 2, 1)])
def test_a_relu_masks_averages_that_overlap(
    channels: int, size: int, stride: int, padding: int, rng: np.random.Generator
) -> None:
    """In the step that makes their gradient: pixels side by side, of whole vectors and of others."""
    sides = ((padding, padding), (padding, padding))
    average = pool("average", size, strides=(stride, stride), padding=sides, count_include_pad=True)
    nodes = named(source(9, 8, 2), conv2d(channels, 2), RELU, average, op("flatten"), dense(2))
    backward = [line for line in kernels_of(nodes).splitlines() if "average_pool2d_bwd" in line]
    assert len(backward) == 1
    assert "+ mask" in backward[0]
    check_exact_graph(Graph(nodes, [len(nodes) - 1], rng), rng)


def test_the_place_of_a_maximum_is_kept_where_that_pays() -> None:
    for name in ("max 3x3 by 2", "max 2x2, three channels, relu", "max dilated"):
        text = kernels_of(NETWORKS[name])
        assert "max_pool2d_fwd_index" in text
        assert "max_pool2d_bwd_index" in text
    for channels in ("eight", "nine"):
        assert "index" not in kernels_of(NETWORKS[f"max 2x2, {channels} channels, relu"])


def test_nothing_is_kept_without_a_gradient() -> None:
    nodes = named(source(7, 6, 2), pool("max", 3, strides=(2, 2)), dense(2))
    assert "index" not in kernels_of(nodes)


def test_nan_keeps_its_place(rng: np.random.Generator) -> None:
    """The gradient of a window with a NaN goes to the NaN, also by way of the index."""
    graph = Graph(NETWORKS["max 3x3 by 2"], [3], rng)
    graph.model.set_parameters(graph.weights)
    x = rng.standard_normal((1, 7, 6, 2)).astype(np.float32)
    x[0, 2, 2] = np.nan
    y = graph.predict((x,))[0]
    assert np.isnan(y).any()
    assert not np.isnan(y).all()


BAD = {
    "a sequence for an image": (named(source(9, 2), pool("max")), ShapeError, r"wanted \[height, width, ch"),
    "an image for a sequence": (named(source(9, 9, 2), whole("max", 1)), ShapeError, r"wanted \[length, ch"),
    "an image for a volume": (named(source(9, 9, 2), whole("max", 3)), ShapeError, r"wanted \[depth, height"),
    "a window too large": (named(source(3, 3, 2), pool("max", 4)), ShapeError, "covers 4 in height"),
    "p below 1": (named(source(3, 3, 2), lp(0.5)), ArgumentError, "p is 0.5"),
    "output_size too long": (
        named(source(3, 3, 2), {**adaptive("max", 2, 2), "output_size": (2, 2, 2)}), ArgumentError,
        "output_size has 3",
    ),
    "three axes in two": (
        named(source(3, 3, 3, 2), {**nd("max", 3), "op": "max_pool2d"}), ArgumentError, "axes is 3"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused(name: str) -> None:
    nodes, error, message = BAD[name]
    with pytest.raises(error, match=message):
        _native.Model(nodes, [len(nodes) - 1])


LAYERS = {
    (12, 3): (
        layers.MaxPooling1D(3, 2, ((2, 0),), dilation_rate=2),
        layers.AveragePooling1D(2, padding=1, count_include_pad=True),
        layers.SumPooling1D(3),
        layers.GlobalMaxPooling1D(keepdims=True),
        layers.AdaptiveAveragePooling1D(5),
    ),
    (6, 7, 3): (
        layers.MaxPooling2D(2, dilation_rate=(1, 2)),
        layers.AveragePooling2D(3, padding="same", count_include_pad=True),
        layers.LPPooling2D(3, 2),
        layers.GlobalAveragePooling2D(),
        layers.AdaptiveMaxPooling2D((None, 3)),
    ),
    (4, 5, 6, 2): (
        layers.MaxPooling3D(2, (1, 2, 2)),
        layers.AveragePooling3D((2, 1, 2)),
        layers.SumPooling3D(3, padding="same"),
        layers.GlobalSumPooling3D(),
        layers.AdaptiveAveragePooling3D((2, 3, 4)),
    ),
}


@pytest.mark.parametrize(
    ("shape", "layer"),
    [(shape, layer) for shape, row in LAYERS.items() for layer in row],
    ids=lambda value: type(value).__name__,
)
def test_layers_train(shape: tuple[int, ...], layer: layers.Layer, rng: np.random.Generator) -> None:
    """A layer that follows weights passes their gradient on: the loss falls."""
    again = type(layer).from_config({**layer.get_config(), "name": None})
    model = Sequential([layers.Dense(4, input_shape=shape), again, layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    x = rng.standard_normal((32, *shape)).astype(np.float32)
    y = rng.standard_normal((32, 1)).astype(np.float32)
    before = float(np.asarray(model.evaluate(x, y, verbose=0)).ravel()[0])
    model.fit(x, y, epochs=3, batch_size=8, verbose=0)
    assert float(np.asarray(model.evaluate(x, y, verbose=0)).ravel()[0]) < before
