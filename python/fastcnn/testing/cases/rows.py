# SPDX-License-Identifier: Apache-2.0
"""Cases of operators that work row by row or element by element."""

from __future__ import annotations

from fastcnn.testing.case import PreluCase, RowsCase
from fastcnn.testing.cases.conv import CHANNELS

ROWS: tuple[RowsCase, ...] = (
    *(RowsCase(3, cols) for cols in (*CHANNELS, 1000)),
    *(RowsCase(rows, 10) for rows in (1, 2, 15, 16, 17, 33, 128)),
    *(RowsCase(35, cols) for cols in (1, 2, 3, 4, 5, 7, 15, 16, 17, 20, 21, 32, 33)),  # whole vectors of rows
)

# For what does not know of rows: counts on both sides of whole vectors.
FLAT: tuple[RowsCase, ...] = tuple(RowsCase(1, cols) for cols in (1, 7, 15, 16, 17, 33, 47, 64, 1000))

# Slopes by element, by channel, one for all, and in other patterns of shared axes; short and long rows.
PRELU: tuple[PreluCase, ...] = (
    *(PreluCase((3, 5, 4, c), (1, 1, c)) for c in (1, 2, 3, 7, 8, 17, 64, 255, 256, 300)),
    *(PreluCase((2, 3, 5, 6), (a, b, c)) for a in (1, 3) for b in (1, 5) for c in (1, 6)),
    *(PreluCase((3, 2, 3, 4, 5), (a, b, c, d)) for a, b, c, d in ((2, 1, 4, 1), (1, 3, 1, 5), (2, 3, 1, 1))),
    PreluCase((1, 1), (1,)),
    PreluCase((33, 1000), (1000,)),
    PreluCase((33, 1000), (1,)),
    PreluCase((2, 1, 7, 1), (1, 7, 1)),
)
PRELU_PARALLEL: tuple[PreluCase, ...] = (
    PreluCase((2, 64, 65, 17), (1, 1, 17)),
    PreluCase((5, 33, 31, 24), (33, 31, 24)),
    PreluCase((2, 64, 65, 17), (1, 1, 1)),
    PreluCase((2, 64, 65, 17), (64, 1, 17)),
)
