# SPDX-License-Identifier: Apache-2.0
"""Concatenation and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import concatenate_calls
from fastcnn.testing.compare import assert_same_bits

CALLS = [call for case in cases.CONCATENATE for call in concatenate_calls(case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_one_input_is_copied() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = ops.concatenate([x])
    assert np.array_equal(y, x)
    assert not np.shares_memory(y, x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.0])
def test_bits_are_kept(value: float) -> None:
    x = np.full((2, 3), value, np.float32)
    assert_same_bits(ops.concatenate([x, x]), np.concatenate([x, x], -1), "concatenate")


@pytest.mark.parametrize("widths", [(64, 96, 16, 16), (160, 32), (100, 92), (20, 171)])
@pytest.mark.parametrize("by", [0, 4])
def test_arrays_larger_than_caches(widths: tuple[int, ...], by: int, rng: np.random.Generator) -> None:
    """Whole lines of the result are stored past the caches, wherever in a line it begins."""
    rows = 23_001
    parts = [rng.standard_normal((rows, width), np.float32) for width in widths]
    wanted = np.concatenate(parts, -1)
    memory = np.full(wanted.size + 32, np.nan, np.float32)
    begin = -memory.ctypes.data % 64 // 4 + by
    out = memory[begin : begin + wanted.size].reshape(wanted.shape)
    ops.concatenate(parts, out=out)
    assert_same_bits(out, wanted, "concatenate")
    assert np.isnan(memory[:begin]).all()
    assert np.isnan(memory[begin + wanted.size :]).all()
