# SPDX-License-Identifier: Apache-2.0
"""Zeros around an image and the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import move_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [call for case in cases.ZERO_PADDING for call in move_calls("zero_padding", case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 6, 3), (2, 5, 6, 7, 3)])
def test_channels_first(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = reals(rng, shape)
    first = ops.zero_padding(np.moveaxis(x, -1, 1), 2, data_format="channels_first")
    assert_same_bits(np.moveaxis(first, 1, -1), ops.zero_padding(x, 2), "zero_padding")
    back = ops.zero_padding_bwd(first, 2, data_format="channels_first")
    assert_same_bits(np.moveaxis(back, 1, -1), x, "zero_padding_bwd")


def test_values_at_the_border_do_not_leak() -> None:
    y = ops.zero_padding(np.full((1, 2, 2, 3), np.nan, np.float32), 1)
    assert np.isnan(y).sum() == 12
    assert not y[0, 0].any()
