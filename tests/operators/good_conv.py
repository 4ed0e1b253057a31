# SPDX-License-Identifier: Apache-2.0
"""Arguments that each convolution beyond conv2d accepts."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.testing.calls import Call, conv_nd_calls
from fastcnn.testing.case import ConvNdCase

_CASES = (
    ConvNdCase("conv1d", 2, (6,), 4, 6, (3,)),
    ConvNdCase("conv3d", 2, (3, 5, 4), 4, 6, (2, 3, 2)),
    ConvNdCase("conv1d_transpose", 2, (6,), 4, 6, (3,)),
    ConvNdCase("conv2d_transpose", 2, (5, 6), 4, 6, (3, 3)),
    ConvNdCase("conv3d_transpose", 2, (3, 5, 4), 4, 6, (2, 3, 2)),
    ConvNdCase("depthwise_conv1d", 2, (6,), 4, 8, (3,)),
    ConvNdCase("depthwise_conv2d", 2, (5, 6), 4, 8, (3, 3)),
    ConvNdCase("separable_conv1d", 2, (6,), 4, 6, (3,), multiplier=2),
    ConvNdCase("separable_conv2d", 2, (5, 6), 4, 6, (3, 3), multiplier=2),
)

GOOD: dict[str, Call] = {call.op: call for case in _CASES for call in conv_nd_calls(case)}


def good(op: str) -> dict[str, Any]:
    """Ones of the right shapes, and the options that have no default."""
    call = GOOD[op]
    wanted = {name: call.options[name] for name in ("input_shape", "kernel_size") if name in call.options}
    return {**{name: np.ones(shape, np.float32) for name, shape in call.shapes.items()}, **wanted}
