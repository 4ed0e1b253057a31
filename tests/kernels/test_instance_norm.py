# SPDX-License-Identifier: Apache-2.0
"""Instance norm and its gradients."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import channel_norm_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = (*cases.CHANNEL_NORM, *cases.CHANNEL_NORM_PARALLEL)
CALLS = [call for case in CASES for call in channel_norm_calls(case) if call.op.startswith("instance_norm")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_one_sample_is_batch_norm(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (1, 19, 23, 11)), reals(rng, (1, 19, 23, 11))
    assert_same_bits(ops.instance_norm(x), ops.batch_norm(x), "instance_norm")
    for got, wanted in zip(ops.instance_norm_bwd(dy, x), ops.batch_norm_bwd(dy, x), strict=True):
        assert_same_bits(got, wanted, "instance_norm_bwd")
