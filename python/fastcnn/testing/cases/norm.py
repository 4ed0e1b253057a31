# SPDX-License-Identifier: Apache-2.0
"""Cases of normalizations.

Of channels: counts on both sides of the vectors and of the strips, images with and without pixels left over
when several make a row, groups of one channel and of all. Of rows: shorter than a vector, ragged, and longer
than what is taken in one piece.
"""

from __future__ import annotations

from fastcnn.testing.case import NormCase
from fastcnn.testing.cases.conv import CHANNELS

CHANNEL_NORM: tuple[NormCase, ...] = (
    *(NormCase((2, 4, 8, c), groups=c if c % 2 else 2) for c in CHANNELS),
    *(NormCase((3, 5, 7, c), groups=1) for c in (1, 3, 8, 33, 64)),
    NormCase((1, 1), groups=1),
    NormCase((1, 2, 2, 1)),
    NormCase((4, 6), groups=3),
    NormCase((64, 10), groups=5, affine=False),
    NormCase((2, 1, 1, 40), groups=20),
    NormCase((2, 16, 96), groups=32),
    NormCase((2, 300, 40), groups=1, affine=False),
    NormCase((1, 2, 3, 5, 4), groups=2),
    NormCase((2, 9, 260), groups=2),
    NormCase((1, 4, 600), groups=3),
    # More than one tile, and pixels left over.
    NormCase((1, 128, 32, 8), groups=4),
    NormCase((2, 91, 37, 5), groups=5),
    NormCase((1, 67, 35, 70), groups=10),
    NormCase((1, 90, 100, 64), groups=2),
    NormCase((300, 3, 3, 4), groups=2),
    NormCase((2, 5, 6, 17), given=True),
    NormCase((3, 16, 3), given=True, affine=False),
    NormCase((2, 128, 32), given=True),
    NormCase((3, 4, 7, 300), given=True),
)

ROW_NORM: tuple[NormCase, ...] = (
    *(NormCase((5, c)) for c in CHANNELS),
    *(NormCase((rows, c)) for rows in (1, 16, 17, 33) for c in (1, 2, 4, 7, 8)),
    NormCase((7,)),
    NormCase((3, 4, 5), affine=False),
    NormCase((2, 3, 4, 8), axes=3),
    NormCase((40, 3, 3, 7), axes=2),
    NormCase((130, 256)),
    NormCase((2, 4096)),
    # Blocks of rows for dgamma, and rows in pieces.
    NormCase((700, 33)),
    NormCase((2000, 3)),
    NormCase((3, 16400)),
    NormCase((2, 20000), affine=False),
    NormCase((2, 31, 40, 16), axes=3),
)

CHANNEL_NORM_PARALLEL: tuple[NormCase, ...] = (
    NormCase((6, 30, 31, 24), groups=8),
    NormCase((5, 28, 28, 130), groups=13),
    NormCase((40, 20, 20, 3), groups=3),
    NormCase((6, 30, 31, 24), given=True),
)

ROW_NORM_PARALLEL: tuple[NormCase, ...] = (
    NormCase((3000, 65)),
    NormCase((20000, 3)),
    NormCase((7, 30000)),
    NormCase((9, 28, 28, 8), axes=3),
)
