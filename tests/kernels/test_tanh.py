# SPDX-License-Identifier: Apache-2.0
"""Tanh and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import Call, rows_calls
from fastcnn.testing.check import check_bound
from fastcnn.testing.compare import activation_bound, assert_within

CALLS = [call for case in cases.ROWS for call in rows_calls(case) if call.op.startswith("tanh")]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_whole_range() -> None:
    """Relative accuracy around zero too, where the definition cancels."""
    small = np.geomspace(1e-38, 20.0, 20_011).astype(np.float32)
    x = np.concatenate([-small, small])
    y, wanted = ops.tanh(x), reference.tanh(x)
    assert_within(y, wanted, activation_bound(wanted, 0.0, "tanh"), "tanh")
    ends = np.array([-np.inf, -1e30, 0.0, 1e30, np.inf, np.nan], np.float32)
    assert np.array_equal(ops.tanh(ends), [-1.0, -1.0, 0.0, 1.0, 1.0, np.nan], equal_nan=True)
    assert np.signbit(ops.tanh(np.array([-0.0], np.float32)))[0]
