# SPDX-License-Identifier: Apache-2.0
"""Enlargement of images, nearest and bilinear, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from call_checks import call_tests

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import move_calls

CALLS = [call for case in cases.UPSAMPLING for call in move_calls("upsampling", case)]

test_exact_on_integers, test_reals_within_bound = call_tests(CALLS)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_channels_first(interpolation: str, rng: np.random.Generator) -> None:
    x = rng.integers(-4, 5, (2, 3, 4, 5)).astype(np.float32)
    options = {"interpolation": interpolation, "data_format": "channels_first"}
    first = ops.upsampling(np.moveaxis(x, -1, 1), (2, 4), **options)
    assert np.array_equal(np.moveaxis(first, 1, -1), ops.upsampling(x, (2, 4), interpolation))
    back = ops.upsampling_bwd(first, (2, 4), **options)
    wanted = ops.upsampling_bwd(ops.upsampling(x, (2, 4), interpolation), (2, 4), interpolation)
    assert np.array_equal(np.moveaxis(back, 1, -1), wanted)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_gradient_is_adjoint(interpolation: str, rng: np.random.Generator) -> None:
    x, dy = (rng.integers(-4, 5, n).astype(np.float32) for n in ((2, 5, 6, 17), (2, 10, 24, 17)))
    y = ops.upsampling(x, (2, 4), interpolation)
    dx = ops.upsampling_bwd(dy, (2, 4), interpolation)
    assert np.vdot(y.astype(np.float64), dy) == np.vdot(x.astype(np.float64), dx) != 0
