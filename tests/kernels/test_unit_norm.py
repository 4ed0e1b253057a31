# SPDX-License-Identifier: Apache-2.0
"""Unit norm and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests, rows_apart_test

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import row_norm_calls

CASES = (*cases.ROW_NORM, *cases.ROW_NORM_PARALLEL)
CALLS = [call for case in CASES for call in row_norm_calls(case) if call.op.startswith("unit_norm")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)
test_rows_do_not_mix = rows_apart_test(ops.unit_norm, ops.unit_norm_bwd)


@pytest.mark.parametrize("cols", [3, 40])
def test_the_limit(cols: int) -> None:
    """Rows shorter than epsilon are divided by it; a row of zeros stays zero."""
    x = np.zeros((2, cols), np.float32)
    x[1, 0] = 0.25
    dy = np.ones_like(x)
    y = ops.unit_norm(x, epsilon=0.5)
    assert y.sum() == y[1, 0] == 0.5
    assert (ops.unit_norm_bwd(dy, x, epsilon=0.5) == 2.0).all()
    assert (ops.unit_norm(np.zeros((2, cols), np.float32)) == 0.0).all()
