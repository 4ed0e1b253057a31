# SPDX-License-Identifier: Apache-2.0
"""Repetition of vectors and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn.testing import cases
from fastcnn.testing.calls import Call, move_calls
from fastcnn.testing.check import check_bound, check_exact

CALLS = [call for case in cases.REPEAT_VECTOR for call in move_calls("repeat_vector", case)]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)
