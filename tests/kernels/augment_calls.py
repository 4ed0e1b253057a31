# SPDX-License-Identifier: Apache-2.0
"""Augmentations run on arrays, as layers do that are called on some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.testing import reference as ref
from fastcnn.testing.fill import poisoned
from fastcnn.testing.guard import guarded

SEED, STEP = 2**41 + 12345, 2**33 + 7
DRAW = ref.DropoutDraw(SEED, STEP)

Node = Mapping[str, Any]


def nodes(node: Node, sample: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {"op": "input", "name": "images", "inputs": [], "shape": sample},
        {**node, "name": "layer", "inputs": [0]},
    ]


def result_shape(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    if node["op"] != "affine":
        return shape
    return (shape[0], *ref.affine_shape(node, *shape[1:3]), shape[3])


def run(node: Node, x: np.ndarray, training: bool = True, side: Any = None) -> np.ndarray:
    """Forward; with a side given, between pages that may not be touched."""
    out = poisoned(result_shape(node, x.shape))
    if side is not None:
        x, out = guarded(x, side), guarded(out, side)
    return _native.augment(nodes(node, x.shape[1:]), x, SEED, STEP, training, out)


def run_bwd(node: Node, dy: np.ndarray, x: np.ndarray, side: Any = None) -> np.ndarray:
    """The gradient of the input."""
    out = poisoned(x.shape)
    if side is not None:
        dy, x, out = (guarded(each, side) for each in (dy, x, out))
    return _native.augment_bwd(nodes(node, x.shape[1:]), dy, x, SEED, STEP, out)
