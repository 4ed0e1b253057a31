# SPDX-License-Identifier: Apache-2.0
"""Cropping of images and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import move_calls
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [call for case in cases.CROPPING for call in move_calls("cropping", case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 6, 7, 3), (2, 6, 7, 5, 3)])
def test_channels_first(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = reals(rng, shape)
    first = ops.cropping(np.moveaxis(x, -1, 1), 2, data_format="channels_first")
    assert_same_bits(np.moveaxis(first, 1, -1), ops.cropping(x, 2), "cropping")
    back = ops.cropping_bwd(first, 2, data_format="channels_first")
    assert_same_bits(np.moveaxis(back, 1, -1), ops.cropping_bwd(ops.cropping(x, 2), 2), "cropping_bwd")
