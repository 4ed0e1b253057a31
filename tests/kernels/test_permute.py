# SPDX-License-Identifier: Apache-2.0
"""Permutation of axes and its gradient."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import move_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [call for case in cases.PERMUTE for call in move_calls("permute", case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_there_and_back(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 17, 5, 33))
    assert_same_bits(ops.permute_bwd(ops.permute(x, (3, 1, 2)), (3, 1, 2)), x, "permute")
