# SPDX-License-Identifier: Apache-2.0
"""Cases of what merges tensors and moves their elements."""

from __future__ import annotations

from fastcnn.testing.case import ConcatenateCase, MergeCase, MoveCase
from fastcnn.testing.cases.conv import CHANNELS

MERGE: tuple[MergeCase, ...] = (
    *(MergeCase((3, c), (3, c)) for c in (*CHANNELS, 1000)),
    *(MergeCase((2, 3, 5, c), (2, 1, 1, c)) for c in CHANNELS),  # squeeze and excitation
    *(MergeCase((2, 7, 11, c), (2, 1, 1, c)) for c in (5, 12, 33, 63, 64, 65)),
    *(MergeCase((2, 3, 1, c), (2, 3, 4, c)) for c in (1, 3, 16, 17, 70)),
    *(MergeCase((2, 7, c), (2, 7, 1)) for c in (1, 2, 15, 16, 17, 33, 140)),
    *(MergeCase((90, n, c), (90, 1, c)) for n, c in ((12, 3), (21, 7), (70, 2))),  # many short sums
    MergeCase((1,), (1,)),
    MergeCase((5,), (1,)),
    MergeCase((1, 1, 7), (4, 3, 1)),
    MergeCase((2, 1, 5, 1), (1, 3, 1, 4)),
    MergeCase((4, 5, 6, 3), (3,)),
    MergeCase((6, 1), (2, 3, 1, 7)),
    MergeCase((2, 3, 4, 5), (1, 1, 1, 1)),
    # More sums than a kernel loops over, none of which can be joined with its neighbour.
    MergeCase((2, 1, 2, 1, 2, 1, 2, 1), (1, 3, 1, 2, 1, 3, 1, 2)),
    MergeCase((1, 2, 1, 2, 1, 2, 1, 3), (2, 1, 2, 1, 2, 1, 2, 1)),
    MergeCase((1,) * 8, (2, 1, 2, 1, 2, 1, 2, 3)),
    # Long sums of few elements: cut into parts, of the rows and of the columns.
    MergeCase((700, 130, 3), (3,)),
    MergeCase((2, 90_001), (2, 1)),
    MergeCase((1, 3, 300, 200), (1, 3, 1, 1)),
)

MERGE_PARALLEL: tuple[MergeCase, ...] = (
    MergeCase((9, 33, 31, 40), (9, 33, 31, 40)),
    MergeCase((9, 33, 31, 40), (9, 1, 1, 40)),
    MergeCase((9, 33, 31, 40), (9, 33, 31, 1)),
    MergeCase((9, 33, 31, 40), (40,)),
)

CONCATENATE: tuple[ConcatenateCase, ...] = (
    ConcatenateCase((2, 3, 4, 5), (5,)),
    *(ConcatenateCase((2, 3, 5, 0), (1, c, 3)) for c in CHANNELS),
    ConcatenateCase((2, 0, 4, 3), (1, 5, 2), axis=1),
    ConcatenateCase((2, 3, 0, 17), (4, 1), axis=-2),
    ConcatenateCase((7, 0), (1, 1, 1)),
    ConcatenateCase((1, 0, 1), (2, 3), axis=1),
    ConcatenateCase((3, 5, 0), (1, 4, 16, 20, 40, 64, 65, 2)),  # more than a step takes
    ConcatenateCase((3, 0, 7), (11, 5000, 3), axis=1),  # rows that several tasks share
)

RESHAPE: tuple[MoveCase, ...] = (
    MoveCase((2, 3, 4, 5), {"target_shape": (60,)}),
    MoveCase((2, 12), {"target_shape": (3, 2, 2)}),
    MoveCase((3, 4, 6), {"target_shape": (-1, 2)}),
    MoveCase((3, 4), {"target_shape": (-1,)}),
)

PERMUTE: tuple[MoveCase, ...] = (
    *(MoveCase((2, 5, 7, c), {"dims": (3, 1, 2)}) for c in CHANNELS),
    *(MoveCase((2, c, 5, 7), {"dims": (2, 3, 1)}) for c in CHANNELS),
    *(MoveCase((1, r, c), {"dims": (2, 1)}) for r in (1, 4, 15, 16, 17, 40) for c in (3, 8, 16, 33, 130)),
    MoveCase((2, 3, 4, 5), {"dims": (1, 2, 3)}),
    MoveCase((2, 3, 4, 5), {"dims": (2, 1, 3)}),
    MoveCase((2, 3, 4, 5), {"dims": (3, 2, 1)}),
    MoveCase((2, 1, 4, 1), {"dims": (3, 2, 1)}),
    MoveCase((2, 3, 2, 4, 5), {"dims": (4, 2, 3, 1)}),
    MoveCase((2, 2, 3, 2, 4, 2, 5, 2), {"dims": (7, 5, 3, 1, 2, 4, 6)}),
    MoveCase((5, 6), {"dims": (1,)}),
    MoveCase((2, 300, 210), {"dims": (2, 1)}),
)

SIDES: tuple[tuple[tuple[int, ...], object], ...] = (
    *(((2, 5, 6, c), ((1, 2), (0, 1))) for c in CHANNELS),
    ((2, 5, 3), 1),
    ((2, 5, 17), (0, 2)),
    ((1, 9, 1), (3, 1)),
    ((2, 6, 7, 3), 2),
    ((2, 6, 7, 3), (2, 0)),
    ((2, 6, 7, 3), ((0, 0), (0, 0))),
    ((2, 6, 7, 3), ((0, 3), (2, 0))),
    ((2, 5, 6, 7, 3), 1),
    ((2, 5, 6, 7, 4), (1, 0, 2)),
    ((1, 5, 6, 7, 2), ((0, 1), (2, 1), (0, 3))),
    ((1, 60, 70, 33), 3),
)
ZERO_PADDING: tuple[MoveCase, ...] = tuple(MoveCase(x, {"padding": padding}) for x, padding in SIDES)
CROPPING: tuple[MoveCase, ...] = tuple(MoveCase(x, {"cropping": cropping}) for x, cropping in SIDES)

UPSAMPLING: tuple[MoveCase, ...] = (
    *(MoveCase((2, 3, 4, c), {"size": 2}) for c in CHANNELS),
    *(MoveCase((2, 3, 4, c), {"size": 2, "interpolation": "bilinear"}) for c in CHANNELS),
    MoveCase((2, 5, 3), {"size": 3}),
    MoveCase((2, 1, 17), {"size": 4}),
    MoveCase((2, 5, 4, 3), {"size": (1, 3)}),
    MoveCase((2, 5, 4, 3), {"size": (5, 2)}),
    MoveCase((2, 3, 4, 2, 5), {"size": (2, 1, 3)}),
    MoveCase((1, 2, 3, 4, 1), {"size": 2}),
    MoveCase((1, 40, 50, 17), {"size": 2}),
    *(
        MoveCase((2, h, w, 5), {"size": size, "interpolation": "bilinear"})
        for h, w in ((1, 1), (1, 4), (3, 1), (4, 3))
        for size in ((1, 1), (1, 2), (3, 1), (2, 4), (3, 3), (5, 4))
    ),
    MoveCase((1, 2, 3, 2), {"size": (70, 2), "interpolation": "bilinear"}),
    MoveCase((1, 40, 50, 17), {"size": 2, "interpolation": "bilinear"}),
)

REPEAT_VECTOR: tuple[MoveCase, ...] = (
    *(MoveCase((3, c), {"n": 5}) for c in CHANNELS),
    MoveCase((1, 1), {"n": 1}),
    MoveCase((2, 7), {"n": 30_000}),
)

MOVE_PARALLEL: dict[str, tuple[MoveCase, ...]] = {
    "permute": (MoveCase((9, 33, 31, 40), {"dims": (3, 1, 2)}), MoveCase((2, 700, 300), {"dims": (2, 1)})),
    "zero_padding": (MoveCase((9, 33, 31, 40), {"padding": ((1, 2), (0, 3))}),),
    "cropping": (MoveCase((9, 33, 31, 40), {"cropping": ((1, 2), (0, 3))}),),
    "upsampling": (
        MoveCase((9, 33, 31, 40), {"size": 2}),
        MoveCase((5, 33, 31, 21), {"size": (3, 2), "interpolation": "bilinear"}),
    ),
    "repeat_vector": (MoveCase((9, 700), {"n": 90}),),
}
