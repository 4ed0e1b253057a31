# SPDX-License-Identifier: Apache-2.0
"""Calls of pools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcnn.testing import cases
from fastcnn.testing.calls.call import Call, Suite
from fastcnn.testing.case import PoolCase
from fastcnn.testing.reference.pool import Windows


def pool_calls(case: PoolCase) -> Iterator[Call]:
    """Max, average and sum, forward and backward."""
    windows = Windows.of(case.x_shape, case.pool_size, case.strides, case.padding, case.ceil_mode)
    taps = case.pool_size[0] * case.pool_size[1]
    overlap = int(
        np.prod([-(-size // step) for size, step in zip(windows.window, windows.strides, strict=True)])
    )
    x, dy, image = {"x": case.x_shape}, {"dy": case.y_shape}, {**case.options, "input_shape": case.x_shape}
    # An average of whole numbers is exact if every window counts 1, 2, 4, ... elements.
    exact = bool(np.all(np.log2(windows.counts()) % 1 == 0))
    yield Call("max_pool2d", case, x, case.options, case.y_shape, exact=True)
    yield Call("max_pool2d_bwd", case, {**dy, **x}, case.options, case.x_shape, overlap, ("dy",), exact=True)
    yield Call("average_pool2d", case, x, case.options, case.y_shape, taps + 1, ("x",), exact)
    yield Call("average_pool2d_bwd", case, dy, image, case.x_shape, overlap + 1, ("dy",), exact)
    yield Call("sum_pool2d", case, x, case.options, case.y_shape, taps, ("x",), exact=True)
    yield Call("sum_pool2d_bwd", case, dy, image, case.x_shape, overlap, ("dy",), exact=True)


SUITE = Suite(
    every=tuple(call for case in cases.POOL for call in pool_calls(case)),
    views=tuple(pool_calls(PoolCase(2, 7, 6, 17, pool_size=(3, 2), strides=(2, 2), padding=1))),
    parallel=tuple(call for case in cases.POOL_PARALLEL for call in pool_calls(case)),
)
