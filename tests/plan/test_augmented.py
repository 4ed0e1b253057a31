# SPDX-License-Identifier: Apache-2.0
"""Augmentation within a network: in training alone, the same numbers in either layout, gradients back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import _native
from fastcnn.testing import reference as ref
from fastcnn.testing.cases.augment import adjust, erase, flip, sized, warp
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import integers
from fastcnn.testing.network import MEAN_SQUARED_ERROR, SGD, Chain, Node, conv2d, dense

SEED = 2**41 + 12345

# Nodes whose results are whole numbers for whole numbers.
NODES: dict[str, Node] = {
    "flip": flip(True, True),
    "translation": warp("translation", "wrap", "nearest", height=(-0.5, 0.5), width=(-0.5, 0.5)),
    "rotation": warp("rotation", "constant", "nearest", fill_value=2.0, factor=(-0.5, 0.5)),
    "zoom": warp("zoom", "reflect", "nearest", height=(-0.5, 0.5)),
    "crop": sized("crop", 3, 4),
    "brightness": adjust("brightness", 0.5, 0.5, -4.0, 4.0),
    "contrast": adjust("contrast", 1.5, 1.5, -4.0, 4.0),
    "erasing": erase(1.0),
}
LAYOUTS = pytest.mark.parametrize(("batch", "lanes"), [(4, False), (17, True)])


def forward(node: Node, x: np.ndarray, op: int = 0) -> np.ndarray:
    """What the node makes of x in the first step, in float64."""
    draw = ref.DropoutDraw(SEED, op=op)
    return np.asarray(getattr(ref, node["op"])(x, node, draw))


def backward(node: Node, dy: np.ndarray, x: np.ndarray, op: int = 0) -> np.ndarray:
    draw = ref.DropoutDraw(SEED, op=op)
    if node["op"] == "affine":
        return ref.affine_bwd(dy, x.shape, node, draw)
    return ref.adjust_bwd(dy, x, node, draw) if node["op"] == "adjust" else ref.erase_bwd(dy, node, draw)


def steps(chain: Chain, batch: int) -> list[str]:
    """Names of the kernels of a training step."""
    lines = str(chain.model.describe("train", batch)).splitlines()[2:-1]
    return [line.split()[2] for line in lines]


def identity(channels: int) -> np.ndarray:
    return np.eye(channels, dtype=np.float32).reshape(1, 1, channels, channels)


@LAYOUTS
@pytest.mark.parametrize("name", NODES)
def test_what_a_network_sees(name: str, batch: int, lanes: bool, rng: np.random.Generator) -> None:
    """Behind a 1x1 convolution that changes nothing: the gradient of the last kernel holds its input."""
    node, channels = NODES[name], 3
    x = integers(rng, (batch, 8, 8, channels))
    wanted = forward(node, x).reshape(batch, -1)
    chain = Chain(x.shape[1:], node, conv2d(channels, 1), {"op": "flatten"}, dense(batch, use_bias=False))
    last = np.zeros((wanted.shape[1], batch), np.float32)
    chain.weights = [identity(channels), np.zeros(channels, np.float32), last]
    chain.model.seed = SEED
    chain.train(x, np.eye(batch, dtype=np.float32) * np.float32(-batch * batch / 2))
    assert np.array_equal((last - chain.weights[-1]).T, wanted)
    assert not np.array_equal(wanted, x.reshape(batch, -1))
    names = steps(chain, batch)
    assert ("conv2d_fprop_lanes" in names) == lanes
    # The batch is put into lanes once, behind the augmentation.
    before = names[: names.index(next(each for each in names if each.startswith("conv2d_fprop")))]
    assert sum(each.startswith("to_lanes") for each in before) == lanes
    assert not any(each.startswith("from_lanes") for each in before)


@LAYOUTS
@pytest.mark.parametrize("name", NODES)
def test_gradients_go_through(name: str, batch: int, lanes: bool, rng: np.random.Generator) -> None:
    """A convolution before the node and one behind it; powers of two, so that nothing rounds."""
    node, channels = NODES[name], 2
    x = integers(rng, (batch, 8, 8, channels))
    chain = Chain(x.shape[1:], conv2d(channels, 1), node, conv2d(channels, 1), {"op": "flatten"}, dense(2))
    h = forward(node, x)
    kernel = rng.integers(-1, 2, (int(np.prod(h.shape[1:])), 2)).astype(np.float32)
    zeros = np.zeros(channels, np.float32)
    chain.weights = [identity(channels), zeros, identity(channels), zeros, kernel, np.zeros(2, np.float32)]
    chain.model.seed = SEED
    y = h.reshape(batch, -1) @ kernel
    dy = rng.integers(-1, 2, y.shape).astype(np.float64)
    chain.train(x, (y - dy * (y.size / 2)).astype(np.float32))
    assert ("conv2d_fprop_lanes" in steps(chain, batch)) == lanes
    dh = (dy @ kernel.T.astype(np.float64)).reshape(h.shape)
    dx = backward(node, dh, x)
    assert np.array_equal(-chain.weights[1], dx.sum(axis=(0, 1, 2))), "the bias before the node"
    wanted = np.einsum("nhwc,nhwk->ck", x, dx)
    assert np.array_equal((identity(channels) - chain.weights[0])[0, 0], wanted), "the kernel before it"


@pytest.mark.parametrize("name", NODES)
def test_prediction_and_evaluation_leave_images_alone(name: str, rng: np.random.Generator) -> None:
    x = integers(rng, (20, 6, 7, 3))
    chain = Chain((6, 7, 3), NODES[name])
    if name == "crop":
        assert chain.predict(x).shape == (20, 3, 4, 3)
        return
    assert_same_bits(chain.predict(x), x, "prediction")
    assert chain.evaluate(x, x) == 0.0


def test_each_operator_draws_its_own(rng: np.random.Generator) -> None:
    """Two translations, then noise, whose counter two numbers of an erasing do not meet."""
    move, batch = NODES["translation"], 16
    x = integers(rng, (batch, 4, 4, 1))
    chain = Chain((4, 4, 1), move, erase(1.0), move, {"op": "flatten"}, dense(batch, use_bias=False))
    chain.weights = [np.zeros((16, batch), np.float32)]
    chain.model.seed = SEED
    chain.train(x, np.eye(batch, dtype=np.float32) * np.float32(-batch * batch / 2))
    wanted = forward(move, forward(erase(1.0), forward(move, x), 1), 3)
    assert np.array_equal(-chain.weights[0].T, wanted.reshape(batch, -1))


@pytest.mark.parametrize(
    "node",
    [
        warp("rotation", factor=(0.0, 0.0)),
        warp("translation", height=(0.0, 0.0), width=(0.0, 0.0)),
        flip(False, False),
        erase(1.0, chance=(0.0, 0.0)),
        sized("crop", 8, 8),
        sized("resize", 8, 8),
    ],
    ids=lambda node: node.get("kind", "erase"),
)
@LAYOUTS
def test_what_changes_nothing_has_no_step(
    node: Node, batch: int, lanes: bool, rng: np.random.Generator
) -> None:
    chain = Chain((8, 8, 2), conv2d(2, 3), node, {"op": "flatten"}, dense(2))
    assert not {"affine_fwd_rows", "erase_box"} & set(steps(chain, batch))
    x = integers(rng, (batch, 8, 8, 2))
    chain.train(x, np.zeros((batch, 2), np.float32))
    assert ("conv2d_fprop_lanes" in steps(chain, batch)) == lanes


def test_the_last_layer_may_be_one(rng: np.random.Generator) -> None:
    x = integers(rng, (32, 4, 4, 2))
    chain = Chain((4, 4, 2), conv2d(2, 3), flip())
    y = np.zeros_like(x)
    chain.train(x, y)
    assert "conv2d_fprop_lanes" in steps(chain, 32)


def test_an_input_that_is_read_twice(rng: np.random.Generator) -> None:
    """Augmented for one output, as it is for the other: both are put into lanes."""
    nodes: list[dict[str, Any]] = [
        {"op": "input", "shape": (4, 4, 2), "inputs": []},
        {**flip(), "inputs": [0]},
        {**conv2d(2, 1), "inputs": [1]},
        {**conv2d(2, 1), "inputs": [0]},
    ]
    model = _native.Model([{**node, "name": f"n{i}"} for i, node in enumerate(nodes)], [2, 3])
    model.compile(SGD, (MEAN_SQUARED_ERROR,) * 2, (None, None), "cpu", "float32", "default")
    model.set_parameters([identity(2), np.zeros(2, np.float32)] * 2)
    model.seed = SEED
    assert str(model.describe("train", 16)).count("to_lanes") == 4  # the inputs, and the losses' gradients
    x = integers(rng, (16, 4, 4, 2))
    session = model.session("train", x, (forward(nodes[1], x).astype(np.float32), x), None, 16)
    session.run(None, 0, 1.0)
    assert [float(total["loss"]) for total in session.totals()] == [0.0, 0.0]
