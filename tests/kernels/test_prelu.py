# SPDX-License-Identifier: Apache-2.0
"""PReLU: its kernels with every pattern of shared axes, and its slopes learnt inside a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, layers, ops
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, prelu_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_exact
from fastcnn.testing.fill import integers
from fastcnn.testing.graph import GraphReference
from fastcnn.testing.network import Chain, dense

CALLS = [call for case in (*cases.PRELU, *cases.PRELU_PARALLEL) for call in prelu_calls(case)]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


def test_special_values() -> None:
    x = np.array([[np.nan, np.inf, -np.inf, 0.0, -1.0]], np.float32)
    alpha = np.full(5, -0.5, np.float32)
    assert np.array_equal(
        ops.prelu(x, alpha), np.array([[np.nan, np.inf, np.inf, 0.0, 0.5]], np.float32), equal_nan=True
    )
    # 0 itself lies on the slope.
    dx = ops.prelu_bwd(np.ones_like(x), x, alpha)
    assert dx.tolist() == [[-0.5, 1.0, -0.5, -0.5, -0.5]]
    assert np.isnan(ops.prelu_alpha_bwd(np.ones_like(x), x, (5,))[0])


@pytest.mark.parametrize("shared_axes", [(), (1, 2), (1,), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize("batch", [4, 8])
def test_slopes_are_learnt(shared_axes: tuple[int, ...], batch: int, rng: np.random.Generator) -> None:
    """Between two dense layers, in whole numbers."""
    node = {"op": "prelu", "shared_axes": shared_axes}
    layout = [{"op": "input", "shape": (2, 4, 5)}, dense(3), node, {"op": "flatten"}, dense(4)]
    chain = Chain((2, 4, 5), *layout[1:])
    weights = chain.weights = [integers(rng, w.shape, 2**20) for w in chain.weights]
    x, dy = integers(rng, (batch, 2, 4, 5), 2**20), integers(rng, (batch, 4), 2**20)
    judge = GraphReference(
        [{**each, "name": str(i), "inputs": [i - 1] if i else []} for i, each in enumerate(layout)], weights
    )
    (wanted,) = judge.forward([x])
    assert_exact(chain.predict(x), wanted, "prediction")
    for got, gradient in zip(chain.gradients(x, dy), judge.backward([dy]), strict=True):
        assert np.array_equal(got, gradient)


def test_a_layer_with_slopes_of_zero_is_relu(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4, 4, 2)).astype(np.float32)
    model = Sequential([layers.PReLU(input_shape=(4, 4, 2))])
    assert model.get_weights()[0].shape == (4, 4, 2)
    assert np.array_equal(model.predict(x, verbose=0), np.maximum(x, 0))


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("prelu", {"alpha": np.ones(4, np.float32)}, ShapeError, r"alpha has shape \[4\], wanted .*\[5\]"),
    ("prelu", {"alpha": np.ones((3, 5), np.float32)}, ShapeError, "alpha has rank 2, wanted 1"),
    ("prelu", {"alpha": np.ones(5)}, DTypeError, "alpha"),
    ("prelu", {"x": np.ones(5, np.float32)}, ShapeError, "x has rank 1"),
    ("prelu_bwd", {"x": np.ones((3, 4), np.float32)}, ShapeError, r"dy has shape \[3, 5\] and x \[3, 4\]"),
    ("prelu_alpha_bwd", {"alpha_shape": (2,)}, ShapeError, r"alpha has shape \[2\]"),
    ("prelu_alpha_bwd", {"alpha_shape": (0,)}, ShapeError, r"alpha has shape \[0\]"),
    ("prelu_alpha_bwd", {"alpha_shape": (-5,)}, ShapeError, r"alpha has shape \[-5\]"),
    ("prelu_alpha_bwd", {"alpha_shape": (2**70,)}, ArgumentError, "alpha_shape"),
    ("prelu_alpha_bwd", {"alpha_shape": (3, 5)}, ArgumentError, "alpha_shape"),
    ("prelu_alpha_bwd", {"alpha_shape": 5}, DTypeError, "alpha_shape"),
]


@pytest.mark.parametrize(("op", "spoil", "error", "message"), BAD)
def test_refused(op: str, spoil: dict[str, Any], error: type[Exception], message: str) -> None:
    x, alpha = np.ones((3, 5), np.float32), np.ones(5, np.float32)
    good = {
        "prelu": {"x": x, "alpha": alpha},
        "prelu_bwd": {"dy": x, "x": x, "alpha": alpha},
        "prelu_alpha_bwd": {"dy": x, "x": x, "alpha_shape": (5,)},
    }[op]
    with pytest.raises(error, match=f"^{op}: .*{message}"):
        getattr(ops, op)(**{**good, **spoil})


@pytest.mark.parametrize("axes", [(0,), (3,), (-1,), (2**40,)])
def test_shared_axes_outside_the_sample(axes: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="shared_axes"):
        Sequential([layers.PReLU(shared_axes=axes, input_shape=(4, 3))])


def test_arrays_larger_than_caches(rng: np.random.Generator) -> None:
    """Their results are stored past the caches: one slope for all, and one for each number of a sample."""
    shape = (129, 32771)
    x, dy = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    for slopes in (1, shape[1]):
        alpha = rng.standard_normal(slopes, dtype=np.float32)
        assert np.array_equal(ops.prelu(x, alpha), np.where(x > 0, x, alpha * x))
        assert np.array_equal(ops.prelu_bwd(dy, x, alpha), np.where(x > 0, dy, alpha * dy))
