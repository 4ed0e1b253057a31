# SPDX-License-Identifier: Apache-2.0
"""Arguments that normalizations accept, for the tests that spoil them one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

CHANNELS = ("batch_norm", "batch_norm_train", "group_norm", "instance_norm")
ROWS = ("layer_norm", "rms_norm", "unit_norm")
BACKWARD = tuple(f"{op}_bwd" for op in (*CHANNELS, *ROWS) if op != "batch_norm_train")
OPS = (*CHANNELS, *ROWS, *BACKWARD)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def good(op: str) -> dict[str, Any]:
    """Arguments that `op` accepts."""
    arguments: dict[str, Any] = {"x": ones(2, 3, 4)}
    if op.endswith("_bwd"):
        arguments["dy"] = ones(2, 3, 4)
    if not op.startswith("unit"):
        arguments["gamma"] = ones(4)
    if not op.endswith("_bwd") and not op.startswith(("unit", "rms")):
        arguments["beta"] = ones(4)
    if op in ("batch_norm", "batch_norm_bwd"):
        arguments |= {"mean": ones(4), "variance": ones(4)}
    if op == "batch_norm_train":
        arguments |= {"moving_mean": ones(4), "moving_variance": ones(4)}
    if op.startswith("group"):
        arguments["groups"] = 2
    return arguments


# What returns several arrays.
SEVERAL = [op for op in OPS if op == "batch_norm_train" or (op in BACKWARD and not op.startswith("unit"))]
