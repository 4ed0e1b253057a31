# SPDX-License-Identifier: Apache-2.0
"""Cases of matrix products."""

from __future__ import annotations

from collections.abc import Iterator

from fastcnn.testing.case import GemmCase
from fastcnn.testing.cases.conv import CHANNELS


def _transposed(*sizes: tuple[int, int, int]) -> Iterator[GemmCase]:
    """Each size with a and b as they are and transposed."""
    for m, n, k in sizes:
        for transpose_a in (False, True):
            for transpose_b in (False, True):
                yield GemmCase(m, n, k, transpose_a, transpose_b)


_SIZES = (1, 2, 7, 15, 16, 17, 33, 65)

GEMM: tuple[GemmCase, ...] = (
    *(GemmCase(m, n, 19) for m in _SIZES for n in _SIZES),
    *(GemmCase(9, n, 6) for n in CHANNELS),
    *(GemmCase(13, 18, k) for k in (1, 2, 3, 4, 5, 8, 31, 255, 256, 257, 513)),
    *_transposed((1, 1, 1), (5, 7, 3), (17, 33, 65), (1, 10, 784), (784, 10, 5)),
    # Where the blocking changes: few rows and a large b, a large a transposed, more than one slice of k.
    *_transposed((5, 300, 1000), (200, 140, 400), (70, 40, 1100)),
    GemmCase(70, 300, 1000),
    # One row or column, its sums and outputs split; few outputs; few rows and a transposed b.
    *_transposed((1, 300, 1100), (300, 1, 1100), (1, 21, 9000), (2, 29, 333), (1, 1, 300)),
    # Short sums, of one block of columns and of more.
    *_transposed((3, 70, 1), (29, 700, 5), (9, 1100, 8)),
    # Fewer columns than lanes, rows in whole blocks and in part of one.
    *_transposed((61, 5, 33)),
    GemmCase(96, 12, 70, transpose_a=True),
    # Rows of b that share cache sets; a long sum of few outputs.
    GemmCase(13, 512, 700),
    GemmCase(20, 1024, 700),
    GemmCase(9, 2048, 700),
    GemmCase(50, 512, 300),
    *_transposed((20, 18, 6000)),
    # Panels read as they lie that end within a vector: their last rows in a sum of their own.
    GemmCase(9, 2, 200),
    GemmCase(20, 3, 300),
    GemmCase(20, 6, 300),
    # The same of a transposed a, and of sums in slices.
    GemmCase(5, 17, 300, transpose_a=True),
    *_transposed((3, 33, 1600), (20, 5, 8191)),
    # Rows of a that share cache sets.
    *_transposed((40, 16, 1024)),
    # Columns that leave half a vector of 16 lanes idle; panels of three vectors.
    *_transposed((40, 8, 200), (40, 40, 70), (90, 17, 260), (90, 72, 260)),
    # Few columns of a long sum, also of parts of it.
    *_transposed((40, 2, 210), (19, 5, 500), (16, 4, 9000)),
)

GEMM_FULL: tuple[GemmCase, ...] = (
    *_transposed(*((m, n, k) for m in (1, 31, 64, 130) for n in (3, 63, 129) for k in (2, 64, 1025))),
    GemmCase(300, 301, 302),
    GemmCase(32, 10, 784),
    GemmCase(1000, 10, 784),
    GemmCase(3, 5, 40_000),
)

GEMM_PARALLEL: tuple[GemmCase, ...] = (
    GemmCase(128, 130, 257),
    GemmCase(257, 65, 300, transpose_a=True),
    GemmCase(31, 600, 128, transpose_b=True),
    GemmCase(784, 10, 512, transpose_a=True),
    GemmCase(1, 600, 1100),
    GemmCase(600, 1, 1100),
    GemmCase(9, 600, 700, transpose_b=True),
    GemmCase(300, 3, 1100),
    GemmCase(300, 5, 1100, transpose_b=True),
    GemmCase(20, 18, 6000),
    GemmCase(20, 1024, 700),
    GemmCase(600, 700, 4, transpose_b=True),
    # Panels of b that several tasks of a thread read, or that are read as they lie, by alignment.
    GemmCase(300, 128, 250),
    GemmCase(260, 100, 70, transpose_b=True),
    # A b that each thread keeps, and the same of a transposed a; parts of the columns; two last panels.
    GemmCase(130, 100, 90),
    GemmCase(150, 72, 60, transpose_a=True),
    GemmCase(96, 330, 200),
    GemmCase(40, 80, 30),
    # Few rows and a last panel that ends within a vector, in parts of the rows, of the columns, of the sum.
    GemmCase(70, 30, 500),
    GemmCase(40, 330, 200),
    GemmCase(20, 18, 1000),
    GemmCase(30, 37, 5000, transpose_a=True),
    # Columns that leave half a vector of 16 lanes idle: of many rows, of a large a and in parts of the sum.
    *_transposed((1500, 8, 200), (700, 24, 1024), (300, 40, 1500)),
    # Parts of the columns that a thread packs in turn, each for several parts of the rows.
    GemmCase(280, 400, 700),
    # A transposed a that is copied for all parts of the columns; in parts of the sum; for few columns.
    GemmCase(300, 330, 260, transpose_a=True),
    GemmCase(280, 136, 1300, transpose_a=True),
    GemmCase(300, 40, 1800, transpose_a=True),
    # The same where only an a whose rows share cache sets is copied.
    GemmCase(1024, 150, 70, transpose_a=True),
    GemmCase(1024, 40, 300, transpose_a=True),
    GemmCase(512, 40, 4200, transpose_a=True),
    # Work for two threads and no more: parts of the rows, of the columns, of outputs; an odd number of tasks.
    GemmCase(81, 48, 48),
    GemmCase(19, 509, 21),
    GemmCase(7, 210, 156, transpose_b=True),
    GemmCase(16, 1282, 9, transpose_a=True),
)

GEMM_SUITE: tuple[GemmCase, ...] = tuple(
    GemmCase(n, n, n, name=f"gemm{n}") for n in (64, 128, 256, 512, 1024, 2048)
)
