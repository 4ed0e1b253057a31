# SPDX-License-Identifier: Apache-2.0
"""Layer norm and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests, rows_apart_test

from fastcnn import ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import row_norm_calls
from fastcnn.testing.case import NormCase
from fastcnn.testing.check import check_far_from_zero
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import F32, reals

CASES = (*cases.ROW_NORM, *cases.ROW_NORM_PARALLEL)
CALLS = [call for case in CASES for call in row_norm_calls(case) if call.op.startswith("layer_norm")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)
test_rows_do_not_mix = rows_apart_test(ops.layer_norm, lambda dy, x: ops.layer_norm_bwd(dy, x)[0])


@pytest.mark.parametrize("cols", [4, 5, 64, 100, 17000])
def test_data_far_from_zero(cols: int, rng: np.random.Generator) -> None:
    for call in row_norm_calls(NormCase((9, cols))):
        if call.op.startswith("layer_norm"):
            check_far_from_zero(call, rng)


@pytest.mark.parametrize("axis", [0, 1, 2, -3, (0, 2), (1, 2), (3, 0), (0, 1, 2, 3)])
@pytest.mark.parametrize("op", ["layer_norm", "rms_norm", "unit_norm"])
def test_any_axes(op: str, axis: int | tuple[int, ...], rng: np.random.Generator) -> None:
    """The same bits as over the last ones, moved; gamma and beta are shaped as the axes in their order."""
    x, dy = reals(rng, (2, 3, 4, 5)), reals(rng, (2, 3, 4, 5))
    axes = sorted(each % 4 for each in (axis if isinstance(axis, tuple) else (axis,)))
    order = [each for each in range(4) if each not in axes] + axes
    last, affine = tuple(range(-len(axes), 0)), tuple(x.shape[each] for each in axes)

    def rows(a: F32) -> F32:
        return np.ascontiguousarray(a.transpose(order))

    def back(a: F32) -> F32:
        return np.ascontiguousarray(a.transpose(np.argsort(order)))

    gamma = {} if op == "unit_norm" else {"gamma": reals(rng, affine)}
    beta = {"beta": reals(rng, affine)} if op == "layer_norm" else {}
    forward, backward = getattr(ops, op), getattr(ops, f"{op}_bwd")
    out = np.full(x.shape, np.nan, np.float32)
    assert forward(x, **gamma, **beta, axis=axis, out=out) is out
    assert_same_bits(out, back(forward(rows(x), **gamma, **beta, axis=last)), op)
    got, wanted = (
        each if isinstance(each, tuple) else (each,)
        for each in (backward(dy, x, **gamma, axis=axis), backward(rows(dy), rows(x), **gamma, axis=last))
    )
    assert_same_bits(got[0], back(wanted[0]), f"{op}_bwd: dx")
    for ours, plain in zip(got[1:], wanted[1:], strict=True):
        assert_same_bits(ours, plain, f"{op}_bwd")
    # And what the references mean by an axis.
    exact = getattr(reference, op)(x, **gamma, **beta, axis=axis)
    moved = getattr(reference, op)(rows(x), **gamma, **beta, axis=last)
    assert np.abs(exact - moved.transpose(np.argsort(order))).max() <= 2.0**-40 * np.abs(exact).max()


@pytest.mark.parametrize("axis", [(1, 2, 3), (-1, -2, -3), [3, 1, 2]])
def test_axes_in_any_order(axis: tuple[int, ...], rng: np.random.Generator) -> None:
    x = reals(rng, (2, 4, 5, 6))
    wanted = ops.layer_norm(x.reshape(2, 120)).reshape(x.shape)
    assert_same_bits(ops.layer_norm(x, axis=axis), wanted, "layer_norm")


@pytest.mark.parametrize("rows", [1, 5, 17])
@pytest.mark.parametrize("cols", [2, 4, 6, 16, 64])
def test_epsilon_may_be_zero(rows: int, cols: int, rng: np.random.Generator) -> None:
    """Rows of as many 1 as -1 are their own norms; gamma's gradient counts no row that is not there."""
    x = rng.permuted(np.tile(np.float32([1, -1]), (rows, cols // 2)), axis=1)
    dy = rng.integers(-4, 5, x.shape).astype(np.float32)
    for backward in ops.layer_norm_bwd, ops.rms_norm_bwd:
        assert_same_bits(backward(dy, x, epsilon=0)[1], (dy * x).sum(axis=0), backward.__name__)
