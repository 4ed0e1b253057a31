# SPDX-License-Identifier: Apache-2.0
"""Cases of pools."""

from __future__ import annotations

from fastcnn.testing.case import PoolCase
from fastcnn.testing.cases.conv import CHANNELS

POOL: tuple[PoolCase, ...] = (
    *(PoolCase(2, 5, 6, c) for c in CHANNELS),
    PoolCase(1, 1, 1, 1, pool_size=(1, 1)),
    PoolCase(1, 2, 2, 1),
    PoolCase(2, 7, 9, 5, pool_size=(3, 3), strides=(2, 2), padding="same"),
    PoolCase(2, 8, 7, 17, pool_size=(3, 2), strides=(1, 1), padding="same"),
    PoolCase(2, 8, 7, 16, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(2, 8, 7, 3, pool_size=(2, 3), strides=(3, 2), padding=((1, 0), (2, 1))),
    PoolCase(2, 6, 7, 3, pool_size=(3, 4), strides=(2, 2), padding=(1, 2)),
    PoolCase(2, 9, 8, 4, pool_size=(2, 2), strides=(3, 5)),
    PoolCase(2, 4, 5, 4, pool_size=(4, 5)),
    PoolCase(3, 5, 5, 33, pool_size=(3, 3), strides=(1, 1)),
    PoolCase(2, 7, 8, 5, pool_size=(2, 2), ceil_mode=True),
    PoolCase(2, 8, 7, 18, pool_size=(3, 3), strides=(2, 2), padding=1, ceil_mode=True),
    # The window that ceil_mode adds would begin in the padding after the input, so it is dropped.
    PoolCase(2, 5, 5, 3, pool_size=(2, 2), strides=(3, 3), padding=1, ceil_mode=True),
    PoolCase(2, 5, 7, 3, pool_size=(2, 2), strides=(4, 4), ceil_mode=True),
    PoolCase(1, 9, 9, 2, pool_size=(7, 7), strides=(2, 2), padding=3),
    PoolCase(1, 17, 17, 2, pool_size=(16, 17)),
    # windows over all rows, at each of them
    PoolCase(2, 5, 12, 17, pool_size=(5, 2), strides=(1, 2)),
    PoolCase(1, 4, 9, 3, pool_size=(4, 4), strides=(1, 1), padding=((1, 0), (2, 1))),
    # Tall: worked on in bands.
    PoolCase(1, 200, 16, 32, pool_size=(3, 3), strides=(1, 1), padding="same"),
    PoolCase(1, 131, 20, 16, pool_size=(3, 2), strides=(2, 1), padding=(1, 0), ceil_mode=True),
    PoolCase(1, 101, 16, 32, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(1, 90, 41, 9, pool_size=(5, 5), strides=(1, 1), padding=2),
    PoolCase(1, 700, 30, 1, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(1, 150, 31, 6, pool_size=(7, 7), strides=(2, 2), padding=3),
    # Of 3 x 3 at each second pixel columns and rows are shared: of more windows than are taken at a time,
    # with pixels beyond the last one, in bands, and with more padding than a pixel.
    PoolCase(2, 6, 44, 21, pool_size=(3, 3), strides=(2, 2)),
    PoolCase(1, 150, 7, 9, pool_size=(3, 3), strides=(2, 2), padding=((2, 0), (1, 1))),
    PoolCase(1, 5, 6, 16, pool_size=(3, 3), strides=(2, 2), padding=((1, 2), (2, 2))),
    PoolCase(1, 1, 2, 16, pool_size=(3, 3), strides=(2, 2), padding=1),
    # Few channels: windows that stand apart share vectors.
    PoolCase(1, 35, 62, 4, pool_size=(1, 3), strides=(1, 4), padding=(0, 1)),
    PoolCase(2, 37, 58, 1, pool_size=(5, 9), strides=(2, 3), padding=(2, 4)),
    # And at each second pixel they give side by side: in bands, with pixels beyond the last one, and with as
    # many channels as leave lanes unused or none.
    PoolCase(2, 9, 83, 1, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(1, 700, 49, 1, pool_size=(3, 3), strides=(2, 2), padding=((2, 0), (0, 1))),
    PoolCase(2, 7, 32, 3, pool_size=(3, 3), strides=(2, 2)),
    PoolCase(1, 6, 21, 5, pool_size=(3, 3), strides=(2, 2), padding=1, ceil_mode=True),
    PoolCase(1, 5, 16, 6, pool_size=(3, 3), strides=(2, 2), padding=((1, 2), (0, 2))),
    PoolCase(2, 8, 17, 7, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(1, 9, 12, 8, pool_size=(3, 3), strides=(2, 2)),
    PoolCase(2, 7, 83, 1),
    PoolCase(1, 700, 48, 1, padding=((1, 0), (0, 1))),
    PoolCase(1, 6, 19, 3, padding=((1, 0), (0, 1))),
    PoolCase(1, 9, 17, 6, ceil_mode=True),
    PoolCase(1, 4, 14, 7),
    PoolCase(2, 5, 15, 8),
)

# Larger than the caches.
POOL_FULL: tuple[PoolCase, ...] = (
    PoolCase(1, 260, 256, 64),
    PoolCase(2, 150, 220, 66, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(2, 150, 220, 64, pool_size=(3, 3), strides=(2, 2), padding=1),
    PoolCase(1, 257, 257, 65, pool_size=(2, 2), strides=(3, 3), ceil_mode=True),
)

POOL_PARALLEL: tuple[PoolCase, ...] = (
    PoolCase(16, 28, 28, 33),
    PoolCase(9, 27, 29, 48, pool_size=(3, 3), strides=(2, 2), padding=1),
)

POOL_SUITE: tuple[PoolCase, ...] = (
    PoolCase(16, 112, 112, 64, name="pool2x2"),
    PoolCase(16, 112, 112, 64, pool_size=(3, 3), strides=(2, 2), padding=1, name="pool3x3s2"),
)
