# SPDX-License-Identifier: Apache-2.0
"""Cases of operators that work row by row or element by element."""

from __future__ import annotations

from fastcnn.testing.case import RowsCase
from fastcnn.testing.cases.conv import CHANNELS

ROWS: tuple[RowsCase, ...] = (
    *(RowsCase(3, cols) for cols in (*CHANNELS, 1000)),
    *(RowsCase(rows, 10) for rows in (1, 2, 15, 16, 17, 33, 128)),
)

# For what does not know of rows: counts on both sides of whole vectors.
FLAT: tuple[RowsCase, ...] = tuple(RowsCase(1, cols) for cols in (1, 7, 15, 16, 17, 33, 47, 64, 1000))
