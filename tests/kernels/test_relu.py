# SPDX-License-Identifier: Apache-2.0
"""ReLU and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, rows_calls
from fastcnn.testing.check import check_bound, check_exact

CALLS = [call for case in cases.ROWS for call in rows_calls(case) if call.op.startswith("relu")]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


def test_special_values() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    assert np.array_equal(
        ops.relu(x), np.array([np.nan, np.inf, 0.0, 0.0, 1e-45], np.float32), equal_nan=True
    )
    # Zero itself has no gradient.
    dy = np.ones(3, np.float32)
    assert ops.relu_bwd(dy, np.array([0.0, 1e-45, 2.0], np.float32)).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("shape", [(7,), (2, 3, 5), (2, 1, 3, 4), (1,) * 8])
def test_any_rank(shape: tuple[int, ...]) -> None:
    x = np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape) - 2.0
    assert np.array_equal(ops.relu(x), np.maximum(x, 0.0))
