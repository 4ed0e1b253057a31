# SPDX-License-Identifier: Apache-2.0
"""Sums of two arrays and the gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, merge_calls
from fastcnn.testing.check import check_bound, check_exact

CALLS = [call for case in cases.MERGE for call in merge_calls(case) if call.op in ("add", "add_bwd")]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_special_values() -> None:
    x1, x2 = np.float32([np.inf, np.inf, np.nan, -0.0]), np.float32([1, -np.inf, 1, -0.0])
    y = ops.add(x1, x2)
    assert np.array_equal(y, np.float32([np.inf, np.nan, np.nan, -0.0]), equal_nan=True)
    assert np.signbit(y[3])
