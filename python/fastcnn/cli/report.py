# SPDX-License-Identifier: Apache-2.0
"""What the commands print and write: a confusion matrix as text, bars, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcnn.io.atomic import atomic_write

_SHOWN = 32  # classes


def matrix_text(matrix: npt.NDArray[np.int64], class_names: Sequence[str]) -> str:
    """A confusion matrix; zeros are dots, so that the errors stand out."""
    if len(matrix) > _SHOWN:
        return f"(a confusion matrix of {len(matrix)} classes: --json and --plots show it)"
    names = list(class_names)
    cells = [[str(count) if count else "." for count in row] for row in matrix]
    width = 2 + max(len(cell) for row in [names, *cells] for cell in row)
    lines = ["confusion matrix (a row for each true class, a column for each predicted one)"]
    lines += [
        "".join(cell.rjust(width) for cell in row)
        for row in [["", *names], *([name, *row] for name, row in zip(names, cells, strict=True))]
    ]
    return "\n".join(lines)


def bar(share: float, width: int = 30) -> str:
    """A bar for a number from 0 to 1."""
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    block = "\u2588" if "utf" in (sys.stdout.encoding or "").lower() else "#"
    return block * round(share * width)


def json_text(value: Any) -> str:
    """JSON that every reader takes: what is not a finite number becomes null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` in one step."""
    with atomic_write(path) as file:
        file.write(json_text(value).encode() + b"\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
