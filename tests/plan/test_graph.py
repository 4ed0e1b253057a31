# SPDX-License-Identifier: Apache-2.0
"""Networks as they are built: shapes, parameters, FLOPs, and errors that name the layer."""

from __future__ import annotations

from typing import Any

import pytest
from plan_networks import (
    ADAM,
    SGD,
    SPARSE,
    SQUARED,
    Node,
    build,
    chain,
    conv2d,
    dense,
    dropout,
    lenet,
    op,
    pool,
    rescaling,
)

from fastcnn import _native
from fastcnn.errors import ArgumentError, DeviceError, DTypeError, ShapeError

IMAGE = (8, 9, 4)


def test_lenet() -> None:
    model = _native.Model(lenet())
    assert model.output_shapes[0] == (28, 28, 1)
    assert model.output_shapes[4] == (14, 14, 6)
    assert model.output_shapes[8] == (400,)
    assert model.output_shapes[-1] == (10,)
    assert [p["name"] for p in model.parameters[:2]] == ["conv2d_2/kernel", "conv2d_2/bias"]
    assert sum(w.size for w in model.get_parameters()) == 61_706
    assert model.flops[2] == 2 * 28 * 28 * 6 * 25
    assert model.flops[9] == 2 * 400 * 120


def test_fans_count_the_window() -> None:
    kernel, bias = _native.Model(chain(IMAGE, conv2d(6, 3, groups=2))).parameters
    assert kernel == {
        "name": "conv2d_1/kernel",
        "node": 1,
        "role": "kernel",
        "shape": (3, 3, 2, 6),
        "fan_in": 18,
        "fan_out": 54,
        "trainable": True,
    }
    assert (bias["role"], bias["shape"]) == ("bias", (6,))


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (conv2d(5, 3, padding="same", strides=(2, 3)), (4, 3, 5)),
        (conv2d(5, 2, padding=((1, 0), (2, 1))), (8, 11, 5)),
        (conv2d(5, 3, dilation_rate=(2, 2)), (4, 5, 5)),
        (pool("max", 3), (2, 3, 4)),
        (pool("average", 3, ceil_mode=True), (3, 3, 4)),
        (pool("sum", 2, padding="same"), (4, 5, 4)),
        (dense(7), (8, 9, 7)),
        (op("flatten"), (288,)),
        (op("softmax"), IMAGE),
        (dropout(0.5), IMAGE),
        (rescaling(2.0), IMAGE),
    ],
)
def test_output_shape(node: Node, shape: tuple[int, ...]) -> None:
    assert _native.Model(chain(IMAGE, node)).output_shapes == [IMAGE, shape]


@pytest.mark.parametrize(
    ("node", "error", "message"),
    [
        (conv2d(5, 3, strides=(0, 1)), ArgumentError, "strides"),
        (conv2d(5, 3, strides=(-1, 1)), ArgumentError, "strides"),
        (conv2d(5, 3, dilation_rate=(0, 1)), ArgumentError, "dilation_rate"),
        (conv2d(5, 3, padding=-1), ArgumentError, "padding"),
        (conv2d(5, 3, padding="full"), ArgumentError, "'full'.*'valid', 'same'"),
        (conv2d(0, 3), ArgumentError, "filters is 0"),
        (conv2d(5, 0), ArgumentError, "kernel_size is 0"),
        (conv2d(5, 9), ShapeError, "window covers 9"),
        (conv2d(6, 3, groups=3), ArgumentError, "groups is 3"),
        (conv2d(5, 3, groups=2), ArgumentError, "groups is 2"),
        (conv2d(2.5, 3), DTypeError, "filters is a float"),
        (conv2d(True, 3), DTypeError, "filters is a bool"),
        (conv2d(2**40, 3), ArgumentError, "filters"),
        (dense(0), ArgumentError, "units is 0"),
        (dense(-3), ArgumentError, "units is -3"),
        (pool("max", 0), ArgumentError, "pool_size"),
        (pool("max", 2, padding=2), ArgumentError, "smaller than pool_size"),
        (pool("sum", 10), ShapeError, "window covers 10"),
        (dropout(1.0), ArgumentError, r"rate is 1, wanted a number in \[0, 1\)"),
        (dropout(-0.1), ArgumentError, "rate"),
        (dropout(float("nan")), ArgumentError, "rate"),
        (rescaling(float("inf")), ArgumentError, "scale"),
        ({"op": "dense", "units": 3}, ArgumentError, "'use_bias' is missing"),
    ],
)
def test_bad_layer(node: Node, error: type[Exception], message: str) -> None:
    nodes = chain(IMAGE, op("relu"), node)
    nodes[2]["name"] = "bad"
    with pytest.raises(error, match=message) as info:
        _native.Model(nodes)
    assert str(info.value).startswith("layer 1 'bad' (")


def test_an_activation_of_a_layer_is_the_same_layer() -> None:
    nodes = chain(IMAGE, conv2d(4), op("relu"), pool("max", 90))
    nodes[1]["name"] = nodes[2]["name"] = "first"
    with pytest.raises(ShapeError, match=r"^layer 1 'max_pool2d_3' \(MaxPooling2D\)"):
        _native.Model(nodes)


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ([], ArgumentError, "first node is missing"),
        (chain(IMAGE, op("tangent")), ArgumentError, "'tangent', wanted one of conv2d"),
        ([{**op("relu"), "name": "a", "inputs": []}], ArgumentError, "wanted an input"),
        (chain((0, 3), dense(1)), ShapeError, "input_0.*at least 1"),
        (chain((), dense(1)), ShapeError, "at least one axis"),
        (chain((2**40, 2**40), dense(1)), ShapeError, r"exceeds 2\*\*60"),
        (chain((1,) * 8, dense(1)), ShapeError, "at most 7"),
        (chain((4, 4), conv2d(1)), ShapeError, "conv2d_1.*height, width, channels"),
        (chain((4,), {**op("relu"), "inputs": [1]}), ArgumentError, "inputs names node 1"),
        (chain((4,), {**op("relu"), "inputs": [-1]}), ArgumentError, "inputs names node -1"),
        (chain((4,), {**op("relu"), "inputs": [0, 0]}), ArgumentError, "2 entries, wanted 1"),
        (chain((4,), {**dense(1), "name": "a"}, {**dense(1), "name": "a"}), ArgumentError, "'a'.*two layers"),
        (
            chain((4,), {**dense(1), "name": "a"}, op("relu"), {**dense(1), "name": "a"}),
            ArgumentError,
            "'a'.*two layers",
        ),
        (chain((4,), dense(2), {**dense(3), "inputs": [0]}), ArgumentError, "nothing reads its output"),
        (chain((4,), {"op": "input", "shape": (4,)}), ArgumentError, "second input|inputs"),
    ],
)
def test_bad_network(nodes: list[Node], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _native.Model(nodes)


def test_a_branch_that_leads_nowhere() -> None:
    """One of two readers does not lead to the output."""
    nodes = chain((4,), dense(4), op("relu"), {**op("relu"), "inputs": [1]})
    with pytest.raises(ArgumentError, match=r"'relu_2' \(ReLU\): nothing reads"):
        _native.Model(nodes)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": {**ADAM, "learning_rate": float("nan")}}, ArgumentError, "learning_rate is nan"),
        ({"optimizer": {**ADAM, "learning_rate": -1e-3}}, ArgumentError, "learning_rate is -0.001"),
        ({"optimizer": {**ADAM, "learning_rate": 1e39}}, ArgumentError, "learning_rate"),
        ({"optimizer": {**ADAM, "beta_1": 1.0}}, ArgumentError, "beta_1"),
        ({"optimizer": {**ADAM, "beta_2": -0.5}}, ArgumentError, "beta_2"),
        ({"optimizer": {**ADAM, "epsilon": 0.0}}, ArgumentError, "epsilon"),
        ({"optimizer": {**SGD, "momentum": 1.5}}, ArgumentError, "momentum"),
        ({"optimizer": {**SGD, "name": "sgdx"}}, ArgumentError, "'sgdx', wanted one of 'sgd', 'adam'"),
        ({"optimizer": {"name": "sgd"}}, ArgumentError, "missing"),
        ({"loss": {**SPARSE, "name": "mse"}}, ArgumentError, "'mse'"),
        ({"loss": {**SPARSE, "from_logits": 1}}, DTypeError, "from_logits"),
        ({"accuracy": "top"}, ArgumentError, "accuracy"),
        ({"accuracy": "categorical"}, ArgumentError, "wanted 'sparse'"),
        ({"loss": SQUARED, "accuracy": "sparse"}, ArgumentError, "wanted 'categorical' or 'binary'"),
        ({"device": "cuda"}, DeviceError, "no GPU kernels"),
        ({"device": "gpu"}, ArgumentError, "device is 'gpu'"),
        ({"precision": "\ud800"}, ArgumentError, "precision has a lone surrogate"),
        ({"device": "\ud800"}, ArgumentError, r"device is '\?', wanted one of"),
        ({"precision": "float16"}, ArgumentError, "precision is 'float16', wanted 'float32' or 'bfloat16'"),
        ({"math": "exact"}, ArgumentError, "math is 'exact'"),
    ],
)
def test_bad_compile(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "optimizer": ADAM,
        "loss": SPARSE,
        "accuracy": None,
        "device": "auto",
        "precision": "float32",
        "math": "default",
    }
    model = build(lenet())
    model.step = 7
    with pytest.raises(error, match=message):
        model.compile(**{**arguments, **change})
    assert model.step == 7


def test_describe() -> None:
    model = build(lenet())
    text = model.describe("train", 32)
    lines = text.splitlines()
    assert lines[0].startswith("train, batch of 32: ")
    assert all(word in lines[1] for word in ("kernel", "MFLOP", "us"))
    assert "conv2d_wgrad" in text
    assert "optimizer" in text
    assert "conv2d_dgrad" in text
    convolutions = [line for line in lines if line.split()[1:2] and line.split()[1].startswith("conv2d")]
    assert sum("conv2d_dgrad" in line for line in convolutions) == 1  # the first input needs no gradient
    assert "dropout" in text
    assert "dropout" not in model.describe("predict", 32)


def test_describe_takes_no_memory() -> None:
    text = build(lenet()).describe("predict", 10**9)
    assert "batch of 1000000000" in text
    with pytest.raises(ShapeError, match=r"exceeds 2\*\*60"):
        build(lenet()).describe("predict", 2**60)
