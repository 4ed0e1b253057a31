# SPDX-License-Identifier: Apache-2.0
"""Group norm and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import channel_norm_calls
from fastcnn.testing.case import NormCase
from fastcnn.testing.check import check_far_from_zero
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = (*cases.CHANNEL_NORM, *cases.CHANNEL_NORM_PARALLEL)
CALLS = [call for case in CASES for call in channel_norm_calls(case) if call.op.startswith("group_norm")]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_minus_one_group_is_one_for_each_channel(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 5, 6, 12))
    assert_same_bits(ops.group_norm(x, groups=-1), ops.instance_norm(x), "group_norm")
    assert_same_bits(ops.group_norm(x, groups=12), ops.instance_norm(x), "group_norm")


def test_samples_do_not_mix(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (3, 7, 5, 8)), reals(rng, (3, 7, 5, 8))
    y, dx = ops.group_norm(x, groups=4), ops.group_norm_bwd(dy, x, groups=4)[0]
    for i in range(3):
        one = slice(i, i + 1)
        assert_same_bits(y[one], ops.group_norm(x[one], groups=4), "group_norm")
        assert_same_bits(dx[one], ops.group_norm_bwd(dy[one], x[one], groups=4)[0], "group_norm_bwd")


def test_nan_spoils_its_group_alone(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 9, 6))
    x[1, 4, 3] = np.nan
    y = ops.group_norm(x, groups=3)
    assert np.isnan(y[1, :, 2:4]).all()
    y[1, :, 2:4] = 0.0
    assert np.isfinite(y).all()


@pytest.mark.parametrize("groups", [1, 2, 32])
def test_data_far_from_zero(groups: int, rng: np.random.Generator) -> None:
    for call in channel_norm_calls(NormCase((2, 20, 21, 64), groups=groups)):
        if call.op.startswith("group_norm"):
            check_far_from_zero(call, rng)
