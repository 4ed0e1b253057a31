# SPDX-License-Identifier: Apache-2.0
"""The rows of `operators.py` that augment images: as layers do that are called on arrays, with a seed.

Rotation and contrast leave nothing to chance; which images are mirrored follows from the seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tasks import Array

SEED, TURNS, FACTOR = 1, 0.1, 1.5

_TURN = {"factor_low": TURNS, "factor_high": TURNS, "fill_mode": "reflect", "fill_value": 0.0}
_SPREAD = {"factor_low": FACTOR, "factor_high": FACTOR, "minimum": -2.0, "maximum": 2.0}

NODES: dict[str, dict[str, Any]] = {
    "random_flip": {"op": "affine", "kind": "flip", "horizontal": True, "vertical": False},
    "random_rotation": {"op": "affine", "kind": "rotation", "interpolation": "bilinear", **_TURN},
    "random_contrast": {"op": "adjust", "kind": "contrast", **_SPREAD},
}


def right(op: str, x: Array) -> NDArray[np.float64]:
    """What comes out, in float64."""
    from fastcnn.testing import reference

    node = NODES[op]
    result: NDArray[np.float64] = getattr(reference, node["op"])(x, node, reference.DropoutDraw(SEED))
    return result


def run(op: str, x: Array, out: Array | None = None) -> Array:
    """What comes out of the kernel."""
    from fastcnn import _native

    source = {"op": "input", "name": "images", "inputs": [], "shape": x.shape[1:]}
    return _native.augment([source, {**NODES[op], "name": op, "inputs": [0]}], x, SEED, 0, True, out)


def mirrored(shape: tuple[int, ...]) -> list[bool]:
    """Which images of a batch are."""
    ramp = np.broadcast_to(np.arange(2.0)[:, None], (shape[0], 1, 2, 1))
    return [bool(first) for first in right("random_flip", ramp.astype(np.float32))[:, 0, 0, 0]]
