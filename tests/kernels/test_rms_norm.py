# SPDX-License-Identifier: Apache-2.0
"""RMS norm and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, row_norm_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = (*cases.ROW_NORM, *cases.ROW_NORM_PARALLEL)
CALLS = [call for case in CASES for call in row_norm_calls(case) if call.op.startswith("rms_norm")]


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
    y, dx = ops.rms_norm(x), ops.rms_norm_bwd(dy, x)[0]
    assert np.isnan(y[3]).all()
    assert np.isnan(dx[3]).all()
    for i in (2, 4, 20):
        one = slice(i, i + 1)
        assert_same_bits(y[one], ops.rms_norm(x[one]), "y")
        assert_same_bits(dx[one], ops.rms_norm_bwd(dy[one], x[one])[0], "dx")
