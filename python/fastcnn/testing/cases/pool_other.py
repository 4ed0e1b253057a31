# SPDX-License-Identifier: Apache-2.0
"""Cases of pools of one and three axes, global, adaptive and Lp pools."""

from __future__ import annotations

from fastcnn.testing.case import PoolCase
from fastcnn.testing.case_pool import AdaptivePoolCase, GlobalPoolCase, LpPoolCase, PoolNdCase
from fastcnn.testing.cases.conv import CHANNELS

# Arguments that one kind of pool has: max pooling its dilation, average pooling what it counts.
POOL_DILATED: tuple[PoolCase, ...] = (
    PoolCase(2, 9, 10, 5, pool_size=(3, 2), strides=(1, 1), dilation_rate=(2, 3)),
    PoolCase(2, 9, 9, 17, pool_size=(3, 3), strides=(1, 1), padding="same", dilation_rate=(3, 2)),
    PoolCase(1, 12, 11, 33, pool_size=(2, 2), strides=(3, 2), padding=1, dilation_rate=(4, 1)),
    PoolCase(2, 11, 12, 4, pool_size=(3, 3), strides=(2, 2), padding=2, dilation_rate=(3, 4), ceil_mode=True),
    PoolCase(1, 130, 20, 16, pool_size=(3, 3), strides=(1, 1), padding=2, dilation_rate=(2, 2)),
    # The taps in the image of the second window begin before those of the first.
    PoolCase(1, 9, 9, 17, pool_size=(3, 3), strides=(1, 1), padding=1, dilation_rate=(2, 3)),
    PoolCase(2, 9, 9, 3, pool_size=(5, 5), strides=(1, 1), padding=3, dilation_rate=(2, 2)),
    PoolCase(1, 30, 45, 2, pool_size=(3, 3), strides=(3, 4), padding="same", dilation_rate=(1, 2)),
    # Taps further apart than the image is wide: one each lies inside.
    PoolCase(1, 2, 9, 3, pool_size=(3, 2), strides=(1, 1), padding="same", dilation_rate=(3, 1)),
)
POOL_PADDED: tuple[PoolCase, ...] = (
    PoolCase(2, 7, 8, 5, pool_size=(2, 4), strides=(2, 2), padding=1, count_include_pad=True),
    PoolCase(2, 7, 9, 17, pool_size=(3, 3), strides=(2, 2), padding="same", count_include_pad=True),
    PoolCase(2, 9, 8, 33, pool_size=(3, 3), strides=(1, 1), padding=((1, 2), (0, 1)), count_include_pad=True),
    PoolCase(2, 8, 7, 4, pool_size=(4, 4), strides=(3, 3), padding=1, ceil_mode=True, count_include_pad=True),
    PoolCase(1, 4, 4, 3, pool_size=(8, 8), padding=((2, 2), (3, 1)), count_include_pad=True),
)
# More taps than a byte counts, and whole images.
POOL_WIDE: tuple[PoolCase, ...] = (
    PoolCase(2, 40, 21, 3, pool_size=(20, 16), strides=(5, 3)),
    PoolCase(1, 33, 33, 17, pool_size=(17, 17), strides=(16, 16), padding=1),
    PoolCase(2, 30, 20, 5, pool_size=(30, 20)),
    PoolCase(3, 7, 7, 65, pool_size=(7, 7)),
    # Windows side by side, of which vectors hold some or a part.
    PoolCase(2, 12, 31, 1, pool_size=(3, 3)),
    PoolCase(2, 9, 28, 3, pool_size=(4, 4)),
    PoolCase(1, 10, 43, 9, pool_size=(5, 3)),
)

POOL_ND: tuple[PoolNdCase, ...] = (
    PoolNdCase((2, 9, 5), 2),
    PoolNdCase((3, 1, 1), 1),
    PoolNdCase((2, 10, 17), 3, 2, "same"),
    PoolNdCase((2, 11, 4), 3, 2, 1, 2, ceil_mode=True),
    PoolNdCase((1, 12, 3), 4, 1, ((1, 2),), count_include_pad=True),
    PoolNdCase((1, 300, 2), 300),
    PoolNdCase((2, 4, 5, 6, 3), 2),
    PoolNdCase((1, 1, 1, 1, 1), 1),
    PoolNdCase((2, 5, 4, 6, 17), (3, 2, 2), (2, 1, 3), "same"),
    PoolNdCase((1, 6, 7, 5, 4), 3, 2, 1, ceil_mode=True),
    PoolNdCase((1, 6, 5, 7, 2), 2, 1, ((1, 0), (0, 1), (1, 1)), count_include_pad=True),
    PoolNdCase((1, 7, 8, 6, 5), 2, 1, 1, (2, 3, 1)),
    PoolNdCase((2, 3, 4, 5, 16), (3, 4, 5)),
)
POOL_ND_PARALLEL: tuple[PoolNdCase, ...] = (
    PoolNdCase((4, 2000, 33), 3, 2, "same"),
    PoolNdCase((2, 16, 17, 18, 24), 3, 2, 1),
)

GLOBAL_POOL: tuple[GlobalPoolCase, ...] = (
    *(GlobalPoolCase((2, 5, 7, c)) for c in CHANNELS),
    GlobalPoolCase((1, 1, 1, 1)),
    GlobalPoolCase((3, 9, 4)),
    GlobalPoolCase((3, 9, 4), keepdims=True),
    GlobalPoolCase((2, 3, 4, 5, 6)),
    GlobalPoolCase((2, 2, 3, 2, 130), keepdims=True),
    GlobalPoolCase((2, 8, 8, 16), keepdims=True),
    GlobalPoolCase((1, 1, 3, 5)),
    # Images in several parts.
    GlobalPoolCase((2, 300, 100, 5)),
    GlobalPoolCase((1, 70, 70, 64)),
    GlobalPoolCase((1, 3, 70001, 1)),
)
GLOBAL_POOL_PARALLEL: tuple[GlobalPoolCase, ...] = (
    GlobalPoolCase((3, 200, 200, 6)),
    GlobalPoolCase((40, 7, 7, 256)),
)

ADAPTIVE_POOL: tuple[AdaptivePoolCase, ...] = (
    AdaptivePoolCase((2, 7, 9, 5), (3, 4)),
    AdaptivePoolCase((2, 7, 9, 17), (7, 2)),
    AdaptivePoolCase((2, 8, 6, 33), (4, 3)),
    AdaptivePoolCase((1, 3, 5, 4), (5, 7)),  # more windows than pixels
    AdaptivePoolCase((2, 6, 10, 3), (None, 4)),
    AdaptivePoolCase((1, 9, 7, 64), 1),
    AdaptivePoolCase((1, 90, 40, 16), (7, 6)),
    AdaptivePoolCase((2, 10, 3), 4),
    AdaptivePoolCase((2, 10, 3), 5),
    AdaptivePoolCase((1, 5, 6, 7, 5), (2, 4, 3)),
    AdaptivePoolCase((1, 4, 6, 8, 5), (2, 3, 4)),
)
ADAPTIVE_POOL_PARALLEL: tuple[AdaptivePoolCase, ...] = (AdaptivePoolCase((4, 61, 59, 33), (13, 7)),)

_LP = (
    PoolCase(2, 5, 6, 17),
    PoolCase(1, 1, 1, 1, pool_size=(1, 1)),
    PoolCase(2, 7, 9, 5, pool_size=(3, 3), strides=(2, 2), padding="same"),
    PoolCase(2, 8, 7, 33, pool_size=(3, 2), strides=(1, 1), padding=1, ceil_mode=True),
    PoolCase(2, 9, 8, 4, pool_size=(2, 2), strides=(3, 5)),
    PoolCase(1, 9, 9, 2, pool_size=(7, 7), strides=(2, 2), padding=3),
    PoolCase(1, 17, 17, 3, pool_size=(17, 17)),
    # Windows of few channels side by side in vectors, bands, rows that no window holds, whole vectors.
    PoolCase(2, 4, 75, 1, pool_size=(2, 2)),
    PoolCase(2, 9, 57, 2, pool_size=(3, 3), strides=(2, 2), padding="same"),
    PoolCase(1, 65, 131, 3, pool_size=(2, 4), strides=(5, 3), padding=1),
    PoolCase(1, 40, 130, 16, pool_size=(3, 2), strides=(2, 2), padding=1),
    PoolCase(1, 12, 14, 8, pool_size=(2, 2), strides=(3, 3)),
)
LP_POOL: tuple[LpPoolCase, ...] = tuple(
    LpPoolCase(case, p) for case in _LP for p in (1.0, 2.0, 3.0, 4.0, 1.5)
)
LP_POOL_PARALLEL: tuple[LpPoolCase, ...] = tuple(
    LpPoolCase(PoolCase(6, 41, 37, 20, pool_size=(3, 3), strides=(2, 2)), p) for p in (1.0, 2.0, 2.5)
)
