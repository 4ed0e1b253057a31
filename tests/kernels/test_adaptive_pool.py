# SPDX-License-Identifier: Apache-2.0
"""Pooling to a given output size and its gradients."""

from __future__ import annotations

import numpy as np
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import adaptive_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [
    call for case in (*cases.ADAPTIVE_POOL, *cases.ADAPTIVE_POOL_PARALLEL) for call in adaptive_calls(case)
]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


def test_a_size_that_divides_is_a_plain_pool(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 8, 9, 5))
    assert_same_bits(ops.adaptive_max_pool(x, (4, 3)), ops.max_pool2d(x, (2, 3)), "max")
    assert_same_bits(ops.adaptive_average_pool(x, (4, 3)), ops.average_pool2d(x, (2, 3)), "average")


def test_output_size_1_is_global(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 8, 9, 5))
    wanted = ops.global_average_pool(x, keepdims=True)
    assert_same_bits(ops.adaptive_average_pool(x, 1), wanted, "average")


def test_none_keeps_an_axis(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 8, 9, 5))
    assert_same_bits(ops.adaptive_max_pool(x, (None, 4)), ops.adaptive_max_pool(x, (8, 4)), "max")


def test_channels_first(rng: np.random.Generator) -> None:
    x, dy = reals(rng, (2, 7, 9, 5)), reals(rng, (2, 3, 4, 5))
    first, dy_first = (np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (x, dy))
    y = ops.adaptive_max_pool(first, (3, 4), data_format="channels_first")
    assert_same_bits(y, ops.adaptive_max_pool(x, (3, 4)).transpose(0, 3, 1, 2), "max")
    dx = ops.adaptive_max_pool_bwd(dy_first, first, (3, 4), data_format="channels_first")
    assert_same_bits(dx, ops.adaptive_max_pool_bwd(dy, x, (3, 4)).transpose(0, 3, 1, 2), "max_bwd")
