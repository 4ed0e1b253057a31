# SPDX-License-Identifier: Apache-2.0
"""Samples and targets on their way to a session: arrays, and which of them are held back for validation."""

from __future__ import annotations

import math
from typing import NamedTuple

from fastcnn._arguments import Array, array, real
from fastcnn.errors import ArgumentError, ShapeError


class Data(NamedTuple):
    """Samples and their targets; a prediction has none."""

    x: Array
    y: Array | None = None

    def part(self, begin: int, end: int) -> Data:
        """Samples ``begin`` to ``end``, as views."""
        return Data(self.x[begin:end], None if self.y is None else self.y[begin:end])


def pair_up(x: object, y: object, where: str) -> Data:
    return Data(array(x, f"{where}: x"), array(y, f"{where}: y"))


def split(x: object, y: object, share: float, held_out: object) -> tuple[Data, Data | None]:
    """Training and validation data, both of them views."""
    share = real(share, "fit: validation_split", least=0, below=1)
    data = pair_up(x, y, "fit")
    if held_out is not None:
        if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
            raise ArgumentError("fit: validation_data: wanted a pair (x, y)")
        return data, pair_up(held_out[0], held_out[1], "fit: validation_data")
    if not share:
        return data, None
    count = len(data.x)
    if data.y is not None and len(data.y) != count:
        raise ShapeError(f"fit: y: {len(data.y)} targets came for {count} samples")
    kept = math.floor(count * (1 - share))
    if not 0 < kept < count:
        raise ArgumentError(f"fit: validation_split: {share:g} of {count} samples leaves one side empty")
    return data.part(0, kept), data.part(kept, count)
