# SPDX-License-Identifier: Apache-2.0
"""Arguments that the pools beyond the three of images accept, for the tests that spoil them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

IMAGES = {1: (2, 6, 4), 2: (2, 5, 6, 4), 3: (2, 4, 5, 6, 3)}
POOLED = {1: (2, 3, 4), 2: (2, 2, 3, 4), 3: (2, 2, 2, 3, 3)}


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _input(kind: str, axes: int) -> dict[str, Any]:
    shape = IMAGES[axes]
    return {"x": ones(*shape)} if kind == "max" else {"input_shape": shape}


def _sliding(kind: str, axes: int, backward: bool) -> dict[str, Any]:
    if not backward:
        return {"x": ones(*IMAGES[axes]), "pool_size": 2}
    return {"dy": ones(*POOLED[axes]), **_input(kind, axes), "pool_size": 2}


def _global(kind: str, backward: bool) -> dict[str, Any]:
    return {"dy": ones(2, 4), **_input(kind, 2)} if backward else {"x": ones(*IMAGES[2])}


def _adaptive(kind: str, backward: bool) -> dict[str, Any]:
    if not backward:
        return {"x": ones(*IMAGES[2]), "output_size": (2, 3)}
    return {"dy": ones(*POOLED[2]), **_input(kind, 2), "output_size": (2, 3)}


def _way(name: str) -> str:
    return name.removesuffix("_bwd").removesuffix("_pool").split("_")[-1]


KINDS = ("max", "average", "sum")
SLIDING = tuple(f"{kind}_pool{axes}d{way}" for axes in (1, 3) for kind in KINDS for way in ("", "_bwd"))
GLOBAL = tuple(f"global_{kind}_pool{way}" for kind in KINDS for way in ("", "_bwd"))
ADAPTIVE = tuple(f"adaptive_{kind}_pool{way}" for kind in KINDS[:2] for way in ("", "_bwd"))
LP = ("lp_pool2d", "lp_pool2d_bwd")
PLACED = tuple(f"max_pool{axes}d_with_index{way}" for axes in (2, 3) for way in ("", "_bwd"))
INDEX = (*PLACED, "max_unpool2d", "max_unpool2d_bwd")


def _placed(axes: int, backward: bool) -> dict[str, Any]:
    if not backward:
        return {"x": ones(*IMAGES[axes]), "pool_size": 2}
    index = np.zeros(POOLED[axes], np.int32)
    return {"dy": ones(*POOLED[axes]), "index": index, "input_shape": IMAGES[axes], "pool_size": 2}


def axes_of(op: str) -> int:
    """Of a sliding pool."""
    return int(op.split("pool")[1][0])


GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    **{
        op: lambda op=op: _sliding(op.split("_")[0], axes_of(op), op.endswith("_bwd"))  # type: ignore[misc]
        for op in SLIDING
    },
    **{op: lambda op=op: _global(_way(op), op.endswith("_bwd")) for op in GLOBAL},  # type: ignore[misc]
    **{op: lambda op=op: _adaptive(_way(op), op.endswith("_bwd")) for op in ADAPTIVE},  # type: ignore[misc]
    "lp_pool2d": lambda: {"x": ones(*IMAGES[2]), "pool_size": 2},
    "lp_pool2d_bwd": lambda: {
        "dy": ones(*POOLED[2]), "x": ones(*IMAGES[2]), "y": ones(*POOLED[2]), "pool_size": 2
    },
    **{op: lambda op=op: _placed(axes_of(op), op.endswith("_bwd")) for op in PLACED},  # type: ignore[misc]
    "max_unpool2d": lambda: {
        "x": ones(*POOLED[2]), "index": np.zeros(POOLED[2], np.int32), "output_shape": IMAGES[2]
    },
    "max_unpool2d_bwd": lambda: {"dy": ones(*IMAGES[2]), "index": np.zeros(POOLED[2], np.int32)},
}  # fmt: skip


def good(op: str) -> dict[str, Any]:
    """Arguments that `op` accepts."""
    return GOOD[op]()
