# SPDX-License-Identifier: Apache-2.0
"""Softmax, its logarithm, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import Call, softmax_calls
from fastcnn.testing.check import check_bound
from fastcnn.testing.compare import assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import F32, reals

CALLS = [call for case in cases.ROWS for call in softmax_calls(case)]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("cols", [1, 2, 10, 17, 1000])
def test_rows_sum_to_one(cols: int, rng: np.random.Generator) -> None:
    y = ops.softmax((rng.standard_normal((50, cols)) * 20.0).astype(np.float32))
    assert np.abs(y.sum(axis=-1, dtype=np.float64) - 1.0).max() <= gamma(cols + 4)


def test_large_logits_do_not_overflow() -> None:
    x = np.array([[1e4, -1e4, 1e4], [3e38, 3e38, -3e38], [-1e30, -1e30, -1e30]], np.float32)
    third = np.float32(1) / np.float32(3)
    wanted = [[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [third, third, third]]
    assert np.abs(ops.softmax(x) - wanted).max() <= gamma(3)


def test_nan_spoils_its_row_alone() -> None:
    x = np.zeros((3, 17), np.float32)
    x[1, 5] = np.nan
    y = ops.softmax(x)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize("cols", [1, 2, 3, 5, 10, 17, 32, 50, 127])
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_every_row_by_itself(op: str, cols: int, rng: np.random.Generator) -> None:
    """Within the bound wherever its numbers lie, and the same bits whatever rows are beside it."""
    x = reals(rng, (150, cols))
    x += np.linspace(-150, 150, len(x)).astype(np.float32)[rng.permutation(len(x)), None]
    x[rng.integers(0, len(x), 40), rng.integers(0, cols, 40)] -= 100.0
    forward = getattr(ops, op)
    y, wanted = forward(x), getattr(reference, op)(x)
    assert_within(y, wanted, _bound(op, x, wanted), "against the reference")
    assert_same_bits(y, np.concatenate([forward(row) for row in x[:, None]]), "row by row")


def test_logarithm_is_no_probability_above_one(rng: np.random.Generator) -> None:
    x = reals(rng, (1000, 3))
    x[:, 1] += 30.0
    assert ops.log_softmax(x).max() <= 0.0


AXES = [0, 1, 2, -1, -4, (1, 2), (0, 3), (3, 1), (0, 1, 2, 3)]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_any_axes(op: str, axis: int | tuple[int, ...], rng: np.random.Generator) -> None:
    """The same bits as over the last ones, moved; also into `out` and from strided arrays."""
    x, dy = reals(rng, (2, 3, 4, 5)), reals(rng, (2, 3, 4, 5))
    axes = sorted(each % 4 for each in (axis if isinstance(axis, tuple) else (axis,)))
    order = [each for each in range(4) if each not in axes] + axes
    cols = int(np.prod([x.shape[each] for each in axes]))

    def rows(a: F32) -> F32:
        return np.ascontiguousarray(a.transpose(order)).reshape(-1, cols)

    def back(a: F32) -> F32:
        return np.ascontiguousarray(a.reshape([x.shape[each] for each in order]).transpose(np.argsort(order)))

    forward, backward = getattr(ops, op), getattr(ops, f"{op}_bwd")
    y, out = forward(x, axis), np.full(x.shape, np.nan, np.float32)
    assert_same_bits(y, back(forward(rows(x))), op)
    assert forward(x[:, ::-1], axis, out=out) is out
    assert_same_bits(out, forward(np.ascontiguousarray(x[:, ::-1]), axis), "out")
    assert_same_bits(backward(dy, y, axis), back(backward(rows(dy), rows(y))), f"{op}_bwd")
    wanted = getattr(reference, op)(x, axis)
    assert_within(rows(y), rows(wanted), _bound(op, rows(x), rows(wanted)), "against the reference")


def _bound(op: str, x: F32, wanted: F32) -> F32:
    call = next(each for each in CALLS if each.op == op)
    return call.error(call, {"x": x}, wanted)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        (2, ArgumentError, "axis is 2"),
        (-3, ArgumentError, "axis is -3"),
        ((0, -2), ArgumentError, "twice"),
        ((), ArgumentError, "empty"),
        (None, DTypeError, "axis"),
        (0.5, DTypeError, "axis"),
        ("last", DTypeError, "axis"),
        (True, DTypeError, "axis"),
    ],
)
def test_axes_that_are_refused(op: str, axis: Any, error: type[Exception], message: str) -> None:
    one = np.ones((2, 3), np.float32)
    with pytest.raises(error, match=message):
        getattr(ops, op)(one, axis)
    with pytest.raises(error, match=message):
        getattr(ops, f"{op}_bwd")(one, one, axis)


def test_last_axis_of_any_rank(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert_same_bits(ops.softmax(x), ops.softmax(x.reshape(24, 5)).reshape(x.shape), "softmax")


@pytest.mark.parametrize("cols", [1, 2, 10, 17, 1000])
def test_logarithm_agrees_with_softmax(cols: int, rng: np.random.Generator) -> None:
    x = (rng.standard_normal((50, cols)) * 20.0).astype(np.float32)
    total = np.exp(ops.log_softmax(x).astype(np.float64)).sum(axis=-1)
    distance = float(np.ptp(x, axis=-1).max())
    assert np.abs(total - 1.0).max() <= gamma(2 * distance + cols + 8)


def test_logarithm_at_the_ends() -> None:
    x = np.array([[3e38, 3e38], [0.0, -np.inf], [np.nan, 0.0]], np.float32)
    y = ops.log_softmax(x)
    assert np.abs(y[0] + np.log(2.0)).max() <= gamma(2)
    assert y[1].tolist() == [0.0, -np.inf]
    assert np.isnan(y[2]).all()
    # The gradient where a probability is 0 is that of dy alone.
    assert ops.log_softmax_bwd(np.array([[1, 2]], np.float32), y[1:2]).tolist() == [[-2.0, 2.0]]
