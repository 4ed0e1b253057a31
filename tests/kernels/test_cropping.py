# SPDX-License-Identifier: Apache-2.0
"""Cropping of images and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, move_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CALLS = [call for case in cases.CROPPING for call in move_calls("cropping", case)]


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 6, 7, 3), (2, 6, 7, 5, 3)])
def test_channels_first(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = reals(rng, shape)
    first = ops.cropping(np.moveaxis(x, -1, 1), 2, data_format="channels_first")
    assert_same_bits(np.moveaxis(first, 1, -1), ops.cropping(x, 2), "cropping")
    back = ops.cropping_bwd(first, 2, data_format="channels_first")
    assert_same_bits(np.moveaxis(back, 1, -1), ops.cropping_bwd(ops.cropping(x, 2), 2), "cropping_bwd")
