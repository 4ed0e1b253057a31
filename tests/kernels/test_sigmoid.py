# SPDX-License-Identifier: Apache-2.0
"""Sigmoid and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import Call, rows_calls
from fastcnn.testing.check import check_bound
from fastcnn.testing.compare import activation_bound, assert_within

CALLS = [call for case in cases.ROWS for call in rows_calls(case) if call.op.startswith("sigmoid")]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_whole_range() -> None:
    """From where the result is 1 to where it underflows, and at the ends."""
    x = np.linspace(-110.0, 40.0, 20_011, dtype=np.float32)
    y, wanted = ops.sigmoid(x), reference.sigmoid(x)
    assert_within(y, wanted, activation_bound(wanted, 0.0, "sigmoid"), "sigmoid")
    ends = np.array([-np.inf, -1e30, -0.0, 1e30, np.inf, np.nan], np.float32)
    assert np.array_equal(ops.sigmoid(ends), [0.0, 0.0, 0.5, 1.0, 1.0, np.nan], equal_nan=True)
