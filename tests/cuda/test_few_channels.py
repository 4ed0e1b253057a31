# SPDX-License-Identifier: Apache-2.0
"""Convolutions of few channels and their data gradients: tiles, classes of pixels, filters in turns.

Needs a GPU, or the emulated one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device import cupy

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, conv_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

CASES = (
    # First layers, in one tile and in several.
    cases.ConvCase(2, 28, 28, 1, 6, r=5, s=5, padding=2),
    cases.ConvCase(3, 28, 28, 1, 32),
    cases.ConvCase(1, 70, 76, 3, 64, r=7, s=7, strides=(2, 2), padding=3),
    cases.ConvCase(1, 39, 150, 3, 24, padding="same"),
    # Classes that no tap reaches, rows of taps in turns, rows that are dilated.
    cases.ConvCase(1, 16, 16, 2, 8, r=2, s=2, strides=(3, 3)),
    cases.ConvCase(1, 30, 31, 3, 10, r=11, s=11, strides=(4, 4), padding=2),
    cases.ConvCase(2, 17, 19, 4, 5, strides=(3, 3), dilation_rate=(2, 1), padding=1),
    cases.ConvCase(1, 25, 23, 3, 8, strides=(4, 1), dilation_rate=(6, 1), padding=6),
    cases.ConvCase(2, 9, 70, 1, 12, r=1, s=9, padding=(0, 4)),
    # Channels in parts, filters in turns of which the last is shorter.
    cases.ConvCase(1, 20, 20, 5, 16, r=4, s=4, strides=(2, 2), padding=1),
    cases.ConvCase(1, 12, 33, 7, 44),
    cases.ConvCase(1, 40, 40, 3, 130, r=5, s=5, padding=2),
    # Images of one row of pixels, or of one column.
    cases.ConvCase(1, 2, 300, 3, 4, r=2),
    cases.ConvCase(1, 300, 2, 3, 4, s=2),
)
CALLS = [call for case in CASES for call in conv_calls(case) if call.op != "conv2d_wgrad"]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("call", [call for call in CALLS[2:12] if call.op == "conv2d_dgrad"], ids=str)
def test_addresses_do_not_matter(call: Call, rng: np.random.Generator) -> None:
    """Filters are read four at a time where they are aligned so, else one by one: the bits are the same."""
    arrays = [reals(rng, shape) for shape in call.shapes.values()]

    def dgrad(skipped: int) -> Any:
        placed = []
        for array in arrays:
            whole = cupy.asarray(np.concatenate([np.zeros(skipped, np.float32), array.reshape(-1)]))
            placed.append(whole[skipped:].reshape(*array.shape))
        return cupy.asnumpy(getattr(ops, call.op).__wrapped__(*placed, **call.options))

    assert_same_bits(dgrad(1), dgrad(0), str(call))
