# SPDX-License-Identifier: Apache-2.0
"""Repetition of vectors and its gradient."""

from __future__ import annotations

from call_checks import call_tests

from fastcnn.testing import cases
from fastcnn.testing.calls import move_calls

CALLS = [call for case in cases.REPEAT_VECTOR for call in move_calls("repeat_vector", case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)
