# SPDX-License-Identifier: Apache-2.0
"""Types of the arguments of operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Axis: TypeAlias = int | Sequence[int]
Size: TypeAlias = int | tuple[int, int]
Sizes: TypeAlias = int | tuple[int, ...]
Padding: TypeAlias = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
PaddingNd: TypeAlias = str | int | tuple[int, ...] | tuple[tuple[int, int], ...]


def shape_of(shape: Any) -> Any:
    """Arrays and other sequences as a tuple; what is none goes on to the validator."""
    if type(shape) in (int, tuple, str):  # asking for an abstract class takes as long as a small operator
        return shape
    return tuple(shape) if isinstance(shape, Sequence | np.ndarray) and not isinstance(shape, str) else shape
