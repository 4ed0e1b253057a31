# SPDX-License-Identifier: Apache-2.0
"""Layer norm and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, row_norm_calls
from fastcnn.testing.case import NormCase
from fastcnn.testing.check import check_bound, check_exact, check_far_from_zero
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = (*cases.ROW_NORM, *cases.ROW_NORM_PARALLEL)
CALLS = [call for case in CASES for call in row_norm_calls(case) if call.op.startswith("layer_norm")]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("cols", [3, 20, 17000])
def test_rows_do_not_mix(cols: int, rng: np.random.Generator) -> None:
    x, dy = reals(rng, (21, cols)), reals(rng, (21, cols))
    x[3, 2] = np.nan
    y, dx = ops.layer_norm(x), ops.layer_norm_bwd(dy, x)[0]
    assert np.isnan(y[3]).all()
    assert np.isnan(dx[3]).all()
    for i in (2, 4, 20):
        one = slice(i, i + 1)
        assert_same_bits(y[one], ops.layer_norm(x[one]), "y")
        assert_same_bits(dx[one], ops.layer_norm_bwd(dy[one], x[one])[0], "dx")


@pytest.mark.parametrize("cols", [5, 64, 100, 17000])
def test_data_far_from_zero(cols: int, rng: np.random.Generator) -> None:
    for call in row_norm_calls(NormCase((9, cols))):
        if call.op.startswith("layer_norm"):
            check_far_from_zero(call, rng)


@pytest.mark.parametrize("axis", [(1, 2, 3), (-1, -2, -3), [3, 1, 2]])
def test_axes_in_any_order(axis: tuple[int, ...], rng: np.random.Generator) -> None:
    x = reals(rng, (2, 4, 5, 6))
    wanted = ops.layer_norm(x.reshape(2, 120)).reshape(x.shape)
    assert_same_bits(ops.layer_norm(x, axis=axis), wanted, "layer_norm")
