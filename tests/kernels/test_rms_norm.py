# SPDX-License-Identifier: Apache-2.0
"""RMS norm and its gradients."""

from __future__ import annotations

from call_checks import call_tests, rows_apart_test

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import row_norm_calls

CASES = (*cases.ROW_NORM, *cases.ROW_NORM_PARALLEL)
CALLS = [call for case in CASES for call in row_norm_calls(case) if call.op.startswith("rms_norm")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)
test_rows_do_not_mix = rows_apart_test(ops.rms_norm, lambda dy, x: ops.rms_norm_bwd(dy, x)[0])
