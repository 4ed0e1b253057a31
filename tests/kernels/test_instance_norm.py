# SPDX-License-Identifier: Apache-2.0
"""Instance norm and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, channel_norm_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = (*cases.CHANNEL_NORM, *cases.CHANNEL_NORM_PARALLEL)
CALLS = [call for case in CASES for call in channel_norm_calls(case) if call.op.startswith("instance_norm")]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_one_sample_is_batch_norm(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (1, 19, 23, 11)), reals(rng, (1, 19, 23, 11))
    assert_same_bits(ops.instance_norm(x), ops.batch_norm(x), "instance_norm")
    for got, wanted in zip(ops.instance_norm_bwd(dy, x), ops.batch_norm_bwd(dy, x), strict=True):
        assert_same_bits(got, wanted, "instance_norm_bwd")
