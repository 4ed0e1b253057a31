# SPDX-License-Identifier: Apache-2.0
"""Arguments that the operators accept which merge arrays and move elements."""

from __future__ import annotations

from typing import Any

import numpy as np

PAIR = {"x1": (2, 3, 5), "x2": (2, 1, 5)}
DY = {"dy": (2, 3, 5)}
IMAGE = (2, 4, 6, 5)

# Shapes of the arrays, and everything else.
GOOD: dict[str, tuple[dict[str, tuple[int, ...]], dict[str, Any]]] = {
    **{op: (PAIR, {}) for op in ("add", "subtract", "multiply", "maximum", "minimum", "average")},
    "add_bwd": (DY, {"input_shape": (2, 1, 5)}),
    "average_bwd": (DY, {"input_shape": (2, 1, 5)}),
    "subtract_bwd": (DY, {"input_shape": (2, 1, 5), "index": 1}),
    "multiply_bwd": ({**DY, "other": (2, 3, 5)}, {"input_shape": (2, 1, 5)}),
    "maximum_bwd": ({**DY, **PAIR}, {"index": 1}),
    "minimum_bwd": ({**DY, **PAIR}, {"index": 1}),
    "concatenate": ({"x1": (2, 3, 5), "x2": (2, 3, 4)}, {"axis": -1}),
    "concatenate_bwd": ({"dy": (2, 3, 9)}, {"sizes": (5, 4), "index": 1, "axis": -1}),
    "permute": ({"x": IMAGE}, {"dims": (3, 1, 2)}),
    "permute_bwd": ({"dy": IMAGE}, {"dims": (3, 1, 2)}),
    "zero_padding": ({"x": IMAGE}, {"padding": ((1, 0), (2, 1))}),
    "zero_padding_bwd": ({"dy": IMAGE}, {"padding": ((1, 0), (2, 1))}),
    "cropping": ({"x": IMAGE}, {"cropping": ((1, 0), (2, 1))}),
    "cropping_bwd": ({"dy": IMAGE}, {"cropping": ((1, 0), (2, 1))}),
    "upsampling": ({"x": IMAGE}, {"size": 2, "interpolation": "bilinear"}),
    "upsampling_bwd": ({"dy": IMAGE}, {"size": 2, "interpolation": "bilinear"}),
    "repeat_vector": ({"x": (3, 5)}, {"n": 4}),
    "repeat_vector_bwd": ({"dy": (3, 4, 5)}, {}),
}


def good(op: str) -> dict[str, Any]:
    """Ones, and the rest; concatenate takes its arrays as a list."""
    shapes, rest = GOOD[op]
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return {"inputs": list(arrays.values()), **rest} if op == "concatenate" else {**arrays, **rest}
