# SPDX-License-Identifier: Apache-2.0
"""Pooling of sequences: it is that of images of one row."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import pool_nd_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = [case for case in (*cases.POOL_ND, *cases.POOL_ND_PARALLEL) if case.axes == 1]
CALLS = [call for case in CASES for call in pool_nd_calls(case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.parametrize("kind", ["max", "average", "sum"])
def test_equals_an_image_of_one_row(kind: str, rng: np.random.Generator) -> None:
    x, dy = reals(rng, (3, 11, 5)), reals(rng, (3, 6, 5))
    pool, pool_bwd = (getattr(ops, f"{kind}_pool1d{way}") for way in ("", "_bwd"))
    image, image_bwd = (getattr(ops, f"{kind}_pool2d{way}") for way in ("", "_bwd"))
    assert_same_bits(pool(x, 3, 2, "same"), image(x[:, None], (1, 3), (1, 2), "same")[:, 0], kind)
    given, given_image = (x, x[:, None]) if kind == "max" else (x.shape, (3, 1, 11, 5))
    dx = image_bwd(dy[:, None], given_image, (1, 3), (1, 2), "same")[:, 0]
    assert_same_bits(pool_bwd(dy, given, 3, 2, "same"), dx, f"{kind}_bwd")


def test_channels_first(rng: np.random.Generator) -> None:
    x = reals(rng, (2, 9, 5))
    first = np.ascontiguousarray(x.transpose(0, 2, 1))
    y = ops.max_pool1d(first, 2, data_format="channels_first")
    assert_same_bits(y, ops.max_pool1d(x, 2).transpose(0, 2, 1), "max_pool1d")
