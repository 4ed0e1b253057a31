# SPDX-License-Identifier: Apache-2.0
"""Average pooling of volumes and its gradient."""

from __future__ import annotations

from call_checks import call_tests, pool_channels_first_test

from fastcnn.testing import cases
from fastcnn.testing.calls import pool_nd_calls

CASES = [case for case in (*cases.POOL_ND, *cases.POOL_ND_PARALLEL) if case.axes == 3]
CALLS = [call for case in CASES for call in pool_nd_calls(case) if call.op.startswith("average_")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)
test_channels_first = pool_channels_first_test("average_pool3d", (2, 5, 7, 6, 3))
