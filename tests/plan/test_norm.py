# SPDX-License-Identifier: Apache-2.0
"""Normalizations in a network: exact in whole numbers, in training, inference and frozen.

A dense layer with the identity as its kernel stands before each, so that its gradient holds dx. The data are
those of the exact calls: variance 5 or 1 about whole means, and an epsilon for which the root is a power of
two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_checks import half_squares
from plan_networks import SGD, SQUARED

import fastcnn
from fastcnn.testing import reference as ref
from fastcnn.testing.calls import Call, channel_norm_calls, row_norm_calls
from fastcnn.testing.case import NormCase
from fastcnn.testing.fill import F32
from fastcnn.testing.network import Chain, conv2d, dense

SHAPE = (4, 4, 8, 4)
EPSILON, MOMENTUM = 11.0, 0.5


def norm(op: str, **attributes: Any) -> dict[str, Any]:
    affine = op != "unit_norm"
    node = {"op": op, "epsilon": EPSILON, "scale": affine, "center": affine and op != "rms_norm"}
    return {**node, **attributes}


NODES = {
    "batch_norm": norm("batch_norm", momentum=MOMENTUM),
    "group_norm": norm("group_norm", groups=2),
    "instance_norm": norm("group_norm", groups=-1),
    "layer_norm": norm("layer_norm", axis=[-1]),
    "layer_norm over all": norm("layer_norm", axis=[1, 2, 3]),
    "rms_norm": norm("rms_norm", axis=[-1]),
    "unit_norm": norm("unit_norm", axis=[-1], epsilon=1e-12),
}


def call_of(name: str) -> Call:
    """The backward call whose arguments fit the node."""
    axes = 3 if name.endswith("all") else 1
    case = NormCase(SHAPE, groups=2, axes=axes)
    op = f"{name.split()[0]}_bwd"
    return next(c for f in (channel_norm_calls, row_norm_calls) for c in f(case) if c.op == op)


def network(name: str, rng: np.random.Generator, *after: Any, **changed: Any) -> tuple[Chain, dict[str, F32]]:
    arrays = call_of(name).integers(rng)
    chain = Chain(SHAPE[1:], dense(SHAPE[-1], use_bias=False), {**NODES[name], **changed}, *after)
    weights = chain.weights
    weights[0] = np.eye(SHAPE[-1], dtype=np.float32)
    for i, parameter in enumerate(chain.model.parameters[1:], 1):
        role = parameter["role"]
        value = {"gamma": arrays.get("gamma"), "moving_variance": 5.0, "moving_mean": 2.0}.get(role, 3.0)
        weights[i] = np.broadcast_to(np.float32(value), weights[i].shape).copy()
    chain.weights = weights
    return chain, arrays


def forward(name: str, x: Any, weights: list[F32]) -> Any:
    op = name.split()[0]
    affine = [] if op == "unit_norm" else weights[1:2] if op == "rms_norm" else weights[1:3]
    return getattr(ref, op)(x, *affine, **call_of(name).options)


@pytest.mark.parametrize("with_relu", [False, True])
@pytest.mark.parametrize("name", NODES)
def test_training_step(name: str, with_relu: bool, rng: np.random.Generator) -> None:
    chain, a = network(name, rng, *([{"op": "relu"}] if with_relu else []))
    before, x = chain.weights, a["x"]
    y = forward(name, x, before)
    seen = np.maximum(y, 0.0) if with_relu else y
    chain.train(x, (seen - a["dy"] * (a["dy"].size / 2)).astype(np.float32))
    dy = np.where(y > 0.0, a["dy"], 0.0) if with_relu else a["dy"]
    call = call_of(name)
    gamma = {} if name == "unit_norm" else {"gamma": before[1]}
    gradients = getattr(ref, call.op)(dy, x, **gamma, **call.options)
    dx, *own = gradients if isinstance(gradients, tuple) else (gradients,)
    dw = x.reshape(-1, SHAPE[-1]).T.astype(np.float64) @ dx.reshape(-1, SHAPE[-1])
    wanted = [w - g for w, g in zip(before, (dw, *own), strict=False)]
    if name == "batch_norm":
        wanted += list(ref.batch_norm_train(x, None, None, *before[3:], MOMENTUM)[1:])
    for got, value in zip(chain.weights, wanted, strict=True):
        assert np.array_equal(got, value)


@pytest.mark.parametrize("with_relu", [False, True])
@pytest.mark.parametrize("copies", [2, 3])
def test_batch_norm_in_lanes(copies: int, with_relu: bool, rng: np.random.Generator) -> None:
    """Copies of a batch have its means, as exact; three of them leave half of a block empty."""
    shape = (8, 4, 4, 3)
    call = next(c for c in channel_norm_calls(NormCase(shape)) if c.op == "batch_norm_bwd")
    a = call.integers(rng)
    x, dy = (np.tile(a[each], (copies, 1, 1, 1)) for each in ("x", "dy"))
    chain = Chain(shape[1:], conv2d(3, 1), NODES["batch_norm"], *([{"op": "relu"}] if with_relu else []))
    chain.compile(loss=half_squares(3))
    before = chain.weights
    before[0][0, 0], before[1][:] = np.eye(3), 0.0
    before[2][:], before[3][:], before[4][:], before[5][:] = a["gamma"], 3.0, 2.0, 5.0
    chain.weights = before
    y = ref.batch_norm(x, *before[2:4], **call.options)
    chain.train(x, ((np.maximum(y, 0.0) if with_relu else y) - dy).astype(np.float32))
    seen = np.where(y > 0.0, dy, 0.0) if with_relu else dy
    dx, *own = ref.batch_norm_bwd(seen, x, before[2], **call.options)
    moving = ref.batch_norm_train(x, None, None, *before[4:], MOMENTUM)[1:]
    dw = x.reshape(-1, 3).T.astype(np.float64) @ dx.reshape(-1, 3)
    gradients = (dw.reshape(before[0].shape), dx.sum((0, 1, 2)), *own)
    wanted = [*(w - g for w, g in zip(before, gradients, strict=False)), *moving]
    for got, value in zip(chain.weights, wanted, strict=True):
        assert np.array_equal(got, value)
    text = chain.model.describe("train", len(x))
    assert "batch_norm_fwd_lanes" in text
    assert "batch_norm_bwd_lanes" in text


def test_batch_norm_of_flattened_images_stays_channels_last() -> None:
    chain = Chain((4, 4, 2), conv2d(3, 3), {"op": "flatten"}, NODES["batch_norm"], dense(2))
    assert "lanes" not in chain.model.describe("train", 16)


@pytest.mark.parametrize("name", NODES)
def test_prediction(name: str, rng: np.random.Generator) -> None:
    """Batch norm uses its moving statistics, of 2 and 5; batches of any size give the same."""
    chain, a = network(name, rng)
    wanted = forward(name, a["x"], chain.weights)
    if name == "batch_norm":
        wanted = ref.batch_norm(a["x"], *chain.weights[1:], EPSILON)
    for batch_size in (1, 3, 4):
        assert np.array_equal(chain.predict(a["x"], batch_size), wanted)
    loss = chain.evaluate(a["x"], np.zeros(SHAPE, np.float32))
    assert loss == np.mean(wanted**2)


def test_frozen_batch_norm_is_linear(rng: np.random.Generator) -> None:
    chain, a = network("batch_norm", rng)
    chain.model.compile(SGD, SQUARED, None, "cpu", "float32", "default", (1, 2, 3, 4))
    before, x = chain.weights, a["x"]
    y = ref.batch_norm(x, *before[1:], EPSILON)
    chain.train(x, (y - a["dy"] * (a["dy"].size / 2)).astype(np.float32))
    dx, _, _ = ref.batch_norm_bwd(a["dy"], x, before[1], before[3], before[4], EPSILON)
    dw = x.reshape(-1, SHAPE[-1]).T.astype(np.float64) @ dx.reshape(-1, SHAPE[-1])
    for got, value in zip(chain.weights, (before[0] - dw, *before[1:]), strict=True):
        assert np.array_equal(got, value)


def test_frozen_gamma_alone_still_normalizes_by_the_batch(rng: np.random.Generator) -> None:
    chain, a = network("batch_norm", rng)
    chain.model.compile(SGD, SQUARED, None, "cpu", "float32", "default", (1,))
    before = chain.weights
    chain.train(a["x"], np.zeros(SHAPE, np.float32))
    after = chain.weights
    assert np.array_equal(after[1], before[1])
    assert not np.array_equal(after[2], before[2])
    assert not np.array_equal(after[3], before[3])


@pytest.mark.parametrize("name", ["batch_norm", "group_norm", "layer_norm"])
def test_without_gamma_and_beta(name: str, rng: np.random.Generator) -> None:
    chain, a = network(name, rng, scale=False, center=False)
    before = chain.weights
    assert len(before) == (3 if name == "batch_norm" else 1)
    y = getattr(ref, name)(a["x"], **call_of(name).options)
    chain.train(a["x"], (y - a["dy"] * (a["dy"].size / 2)).astype(np.float32))
    dx = getattr(ref, f"{name}_bwd")(a["dy"], a["x"], **call_of(name).options)[0]
    dw = a["x"].reshape(-1, SHAPE[-1]).T.astype(np.float64) @ dx.reshape(-1, SHAPE[-1])
    assert np.array_equal(chain.weights[0], before[0] - dw)


@pytest.mark.parametrize("name", NODES)
def test_relu_is_fused(name: str, rng: np.random.Generator) -> None:
    chain, _ = network(name, rng, {"op": "relu"})
    for mode in ("train", "predict"):
        text = chain.model.describe(mode, 4)
        assert "+ relu" in text
        assert "activation_fwd" not in text


def test_first_in_a_network(rng: np.random.Generator) -> None:
    """Nothing before it trains: no gradient of its input is made."""
    chain = Chain((8,), norm("batch_norm", momentum=MOMENTUM), dense(3))
    x, y = rng.standard_normal((16, 8)).astype(np.float32), rng.standard_normal((16, 3)).astype(np.float32)
    losses = [chain.train(x, y) for _ in range(3)]
    assert losses[2] < losses[0]


@pytest.mark.usefixtures("keep_threads")
def test_same_bits_on_any_number_of_threads(rng: np.random.Generator) -> None:
    x = rng.standard_normal((32, 16, 16, 6)).astype(np.float32)
    y = rng.standard_normal((32, 16, 16, 6)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        chain = Chain(
            x.shape[1:], NODES["batch_norm"], dense(6), NODES["group_norm"], {"op": "relu"},
            NODES["layer_norm"], NODES["rms_norm"], NODES["layer_norm over all"],
        )  # fmt: skip
        seed = np.random.default_rng(1)
        chain.weights = [seed.uniform(0.5, 1.0, w.shape).astype(np.float32) for w in chain.weights]
        chain.compile({**SGD, "learning_rate": 0.01})
        for _ in range(3):
            chain.train(x, y)
        results.append([w.tobytes() for w in chain.weights])
    assert all(result == results[0] for result in results)
    assert np.isfinite(np.concatenate([w.ravel() for w in chain.weights])).all()
