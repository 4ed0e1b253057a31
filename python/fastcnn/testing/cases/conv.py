# SPDX-License-Identifier: Apache-2.0
"""Cases of convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fastcnn.testing.case import ConvCase

# Tile widths in use are 1, 16, 32, 48, 64 and 128: these stand on both sides of them.
CHANNELS = (1, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 128, 130)


def _conv_channels() -> Iterator[ConvCase]:
    """Every channel count as C and as K, against a small and a large partner; 3x3 and pointwise."""
    for count in CHANNELS:
        yield ConvCase(1, 6, 7, count, 5, padding="same")
        yield ConvCase(1, 6, 7, 5, count, padding="same")
        yield ConvCase(2, 5, 3, count, 33, r=1, s=1)
        yield ConvCase(1, 5, 4, 17, count, padding=1, strides=(2, 1))


_CONV_GEOMETRY = (
    # The smallest of everything.
    ConvCase(1, 1, 1, 1, 1, r=1, s=1),
    ConvCase(1, 1, 1, 1, 1, padding="same"),
    ConvCase(3, 1, 9, 2, 3, r=1, s=4),
    ConvCase(3, 9, 1, 2, 3, r=4, s=1),
    # Kernel as large as the padded input: one output pixel.
    ConvCase(2, 5, 4, 3, 18, r=5, s=4),
    ConvCase(2, 3, 2, 3, 18, r=5, s=4, padding=1),
    ConvCase(1, 5, 5, 4, 4, r=3, s=3, dilation_rate=(2, 2)),
    # Even kernels and uneven sides.
    ConvCase(2, 7, 8, 3, 5, r=2, s=2, padding="same"),
    ConvCase(2, 7, 8, 3, 5, r=4, s=2, padding="same", strides=(2, 3)),
    ConvCase(2, 7, 8, 3, 5, padding=((0, 2), (1, 0))),
    ConvCase(2, 7, 8, 3, 20, padding=((3, 0), (0, 4)), strides=(2, 2)),
    ConvCase(2, 5, 13, 3, 33, r=5, s=4, padding=((0, 1), (1, 1)), strides=(1, 4)),  # begins outside
    ConvCase(2, 6, 5, 3, 5, padding=(2, 1)),
    # Padding beyond the kernel: whole outputs see nothing but zeros.
    ConvCase(1, 3, 3, 2, 17, r=1, s=1, padding=2),
    ConvCase(1, 4, 3, 2, 3, r=2, s=2, padding=((3, 3), (4, 2))),
    # Stride larger than the kernel, and than the input: skipped pixels.
    ConvCase(2, 9, 10, 3, 17, r=2, s=1, strides=(3, 4)),
    ConvCase(2, 4, 4, 16, 16, r=1, s=1, strides=(2, 2)),
    ConvCase(2, 4, 5, 3, 6, r=2, s=2, strides=(7, 9)),
    ConvCase(2, 9, 8, 5, 33, strides=(2, 2), padding="same"),
    ConvCase(2, 10, 11, 5, 33, strides=(1, 2), padding=1),
    ConvCase(1, 23, 22, 3, 16, r=7, s=7, strides=(2, 2), padding=3),
    ConvCase(1, 24, 23, 3, 24, r=11, s=11, strides=(4, 4)),
    # Dilation, alone and with strides and padding.
    ConvCase(2, 9, 10, 4, 7, dilation_rate=(2, 2), padding="same"),
    ConvCase(2, 9, 10, 4, 17, dilation_rate=(3, 1), padding=2),
    ConvCase(2, 11, 12, 16, 32, dilation_rate=(2, 3), strides=(2, 2), padding=(2, 3)),
    # Rows that end inside a tile.
    ConvCase(1, 4, 13, 8, 16, padding="same"),
    ConvCase(1, 3, 29, 16, 48, padding="same"),
    ConvCase(5, 3, 3, 16, 64, padding="same"),
    ConvCase(33, 2, 2, 3, 4, r=2, s=2),
    # Groups, depthwise, and depthwise with a multiplier.
    ConvCase(2, 6, 5, 8, 12, groups=2, padding="same"),
    ConvCase(2, 6, 5, 6, 9, groups=3, strides=(2, 1), padding=1),
    ConvCase(1, 6, 5, 64, 64, groups=4, padding="same"),
    ConvCase(1, 7, 5, 66, 34, groups=2, r=1, s=1),
    ConvCase(2, 7, 9, 1, 4, groups=1, padding="same"),
    ConvCase(2, 7, 9, 17, 17, groups=17, padding="same"),
    ConvCase(2, 8, 9, 32, 32, groups=32, padding=1, strides=(2, 2)),
    ConvCase(1, 9, 8, 33, 66, groups=33, padding="same"),
    ConvCase(1, 6, 7, 9, 36, groups=9, padding="same"),
    ConvCase(1, 9, 8, 5, 15, groups=5, dilation_rate=(2, 1), padding=((2, 1), (0, 1))),
    ConvCase(1, 7, 7, 65, 65, groups=65, r=5, s=5, padding="same"),
)

# Where a kernel changes its blocking or its algorithm.
_CONV_BLOCKING = (
    # Weights larger than the image.
    ConvCase(1, 7, 7, 64, 300, padding=1),
    ConvCase(1, 7, 7, 300, 64, padding=1),
    ConvCase(2, 6, 6, 40, 260, strides=(2, 2), padding=1),
    # Few channels in many groups.
    ConvCase(1, 6, 7, 16, 16, groups=8, padding="same"),
    ConvCase(2, 5, 9, 48, 48, groups=12, padding="same"),
    ConvCase(1, 9, 8, 72, 72, groups=9, strides=(2, 1), padding=1),
    ConvCase(1, 5, 6, 48, 48, groups=16, padding="same"),
    ConvCase(1, 5, 12, 33, 33, groups=11, padding="same"),
    ConvCase(2, 6, 25, 6, 6, groups=2, strides=(1, 2), padding=1),
    ConvCase(1, 7, 11, 20, 20, groups=4, r=5, s=4, padding=2, dilation_rate=(1, 2)),
    ConvCase(1, 5, 10, 42, 42, groups=6, padding=1),
    ConvCase(1, 5, 13, 12, 12, groups=3, padding=1),
    ConvCase(1, 6, 7, 16, 32, groups=8, dilation_rate=(1, 2), padding=2),
    ConvCase(2, 6, 9, 16, 32, groups=4, padding=1),
    ConvCase(1, 9, 17, 48, 32, groups=2, strides=(2, 2), padding=1),
    ConvCase(1, 8, 9, 12, 48, groups=3, r=5, s=4, padding="same"),
    ConvCase(1, 10, 19, 16, 16, groups=4, strides=(1, 2), padding=1),
    # One channel in many: on long rows, and where few of them share a vector.
    ConvCase(1, 5, 25, 20, 20, groups=20, padding="same"),
    ConvCase(1, 7, 22, 24, 24, groups=24, strides=(2, 2), padding=1),
    ConvCase(1, 9, 27, 9, 9, groups=9, r=7, s=7, padding="same"),
    ConvCase(1, 6, 21, 24, 24, groups=24, strides=(2, 2)),
    ConvCase(2, 5, 18, 9, 9, groups=9, strides=(1, 2), padding=3),
    ConvCase(1, 12, 23, 18, 18, groups=18, r=5, s=5, strides=(2, 2), padding=2),
    ConvCase(2, 5, 30, 3, 3, groups=3, padding="same"),
    ConvCase(1, 3, 140, 3, 3, groups=3, padding="same"),
    ConvCase(1, 4, 70, 10, 10, groups=10, padding="same"),
    ConvCase(2, 4, 19, 7, 7, groups=7, r=5, s=5, padding=2, dilation_rate=(1, 2)),
    ConvCase(1, 6, 21, 3, 6, groups=3, r=5, s=5, padding=2),
    ConvCase(1, 4, 40, 2, 2, groups=2, dilation_rate=(1, 2), padding=1),
    # One channel in many, and taps of a row that share what they read, at once or in runs: within the image,
    # across its borders, and where whole runs lie outside.
    ConvCase(1, 5, 31, 33, 33, groups=33, r=7, s=7, padding=3),
    ConvCase(2, 4, 30, 16, 16, groups=16, r=2, s=4, padding=(1, 2)),
    ConvCase(1, 3, 45, 17, 17, groups=17, r=2, s=11, padding=(0, 9), dilation_rate=(1, 2)),
    ConvCase(1, 4, 3, 32, 32, groups=32, r=3, s=9, padding=((1, 0), (8, 8))),
    ConvCase(2, 6, 43, 40, 40, groups=40, r=3, s=5, strides=(2, 2), padding=2),
    ConvCase(1, 5, 9, 24, 24, groups=24, r=2, s=8, strides=(1, 2), padding=((0, 1), (7, 3))),
    # The same in fours: three taps along rows, undilated, and others.
    ConvCase(1, 8, 13, 4, 4, groups=4, r=2, s=3, strides=(2, 1), padding=((0, 1), (2, 1))),
    ConvCase(2, 7, 14, 8, 8, groups=8, r=5, s=5, strides=(2, 2), padding=2),
    ConvCase(1, 6, 11, 12, 12, groups=12, dilation_rate=(2, 2), padding=2),
    # Few channels on long rows.
    ConvCase(1, 5, 37, 3, 1, padding="same"),
    ConvCase(2, 9, 50, 2, 4, padding=1),
    ConvCase(1, 8, 66, 5, 7, strides=(2, 1), padding=2),
    ConvCase(2, 12, 40, 3, 24, r=5, s=5, padding=2),
    ConvCase(1, 11, 45, 1, 6, strides=(1, 2), padding=1),
    ConvCase(1, 7, 70, 2, 3, dilation_rate=(2, 3), padding=(1, 4)),
    # Short sums of many outputs, and gradients that few channels sum: in turns, and in place.
    ConvCase(3, 9, 11, 3, 79, r=1, s=1),
    ConvCase(5, 7, 5, 1, 6, r=5, s=5, padding=2),
    ConvCase(2, 13, 9, 3, 110, strides=(2, 2)),
    ConvCase(2, 9, 9, 12, 96, r=1, s=1),
    ConvCase(1, 7, 7, 6, 57, groups=3, r=1, s=1),
    # The same of whole wide panels, on rows of many tiles.
    ConvCase(2, 5, 33, 3, 64, padding="same"),
    ConvCase(1, 9, 50, 1, 128, r=5, s=5, strides=(2, 2), padding=2),
    # One vector of outputs, rows of 2 to 9 taps that slide over the input.
    ConvCase(2, 4, 33, 12, 16, r=2, s=2),
    ConvCase(1, 5, 31, 9, 13, r=2, s=4, padding=1),
    ConvCase(1, 4, 45, 5, 16, r=3, s=7, padding=(1, 3)),
    ConvCase(1, 3, 30, 4, 15, r=1, s=9, padding=(0, 4)),
    ConvCase(2, 5, 33, 17, 16, strides=(1, 2), dilation_rate=(1, 2), padding=(1, 2)),
    ConvCase(1, 4, 29, 32, 32, groups=2, r=3, s=5, padding=(1, 2)),
    # Rows that are one such tile, whose zeros on both sides are left out: the shortest and the longest,
    # groups, rows of taps outside, strides and dilation of rows, rows that no tap meets, one row of taps.
    ConvCase(3, 7, 7, 48, 48, groups=3, padding=1),
    ConvCase(2, 5, 16, 24, 24, groups=2, padding=1),
    ConvCase(2, 14, 14, 32, 32, groups=2, padding=1),
    ConvCase(1, 2, 11, 16, 13, padding=1),
    ConvCase(2, 9, 8, 13, 16, strides=(2, 1), dilation_rate=(3, 1), padding=(4, 1)),
    ConvCase(1, 4, 9, 30, 28, groups=2, r=2, padding=((3, 2), (1, 1))),
    ConvCase(2, 3, 15, 9, 16, r=1, padding=(0, 1)),
    ConvCase(1, 14, 15, 6, 24, groups=2, padding=1),
    # One vector of outputs, whose weight gradient meets the taps of a row at once: of rows so short that some
    # tap always lies outside, of long ones, and of channels that two strips share.
    ConvCase(3, 5, 2, 8, 12, padding="same"),
    ConvCase(2, 6, 1, 20, 16, padding=1),
    ConvCase(2, 3, 3, 9, 16),
    ConvCase(1, 7, 8, 17, 5, padding=((0, 1), (3, 2))),
    ConvCase(2, 9, 29, 36, 28, groups=2, strides=(2, 1), padding=(1, 0)),
    ConvCase(1, 6, 9, 22, 11, padding=1),
    # One vector of outputs, and 15 and 16 rows that do not slide: of pixels and of channels.
    ConvCase(1, 4, 48, 15, 14, strides=(2, 3)),
    ConvCase(2, 7, 9, 31, 15, strides=(2, 2), padding=1),
    ConvCase(2, 7, 9, 32, 32, groups=2, strides=(2, 2), padding=1),
    # Groups that strides copy apart: whole images and bands of them, several of a task, without padding, in
    # turns, one vector that slides, and columns left out tap by tap.
    ConvCase(16, 27, 13, 32, 68, groups=2, strides=(2, 2), padding=1),
    ConvCase(33, 7, 10, 30, 34, groups=2, strides=(2, 2), padding=1),
    ConvCase(3, 11, 14, 20, 44, groups=2, strides=(2, 2)),
    ConvCase(2, 9, 11, 21, 105, groups=7, r=1, s=2, strides=(1, 2), padding=((0, 0), (1, 0))),
    ConvCase(2, 5, 33, 34, 32, groups=2, strides=(1, 2), dilation_rate=(1, 2), padding=(1, 2)),
    ConvCase(2, 5, 12, 48, 40, groups=2, r=3, s=9, strides=(1, 2), padding=(1, 4)),
    # Many taps, whose weight gradient takes many pixels at once.
    ConvCase(1, 41, 30, 9, 17, r=4, s=4),
    # Few filters, whose weight gradient exchanges x and dy: pads on one side, dilation, a filter beyond the
    # image, and a pointwise one; and pads beyond the filter, which it leaves to others.
    ConvCase(2, 9, 11, 20, 3, r=5, s=4, padding=((4, 1), (0, 3))),
    ConvCase(1, 9, 11, 17, 2, dilation_rate=(2, 3), padding=(4, 1)),
    ConvCase(3, 4, 3, 24, 1, r=7, s=5, padding=(6, 3)),
    ConvCase(2, 7, 9, 12, 3, r=1, s=1),
    ConvCase(1, 4, 3, 16, 2, r=2, s=2, padding=((3, 3), (4, 2))),
    # Few channels and filters, whose weight gradient has pixels in its lanes: pads on one side and beyond the
    # image, more taps in a row than a tile has, strides, dilation, and bands of an image.
    ConvCase(2, 9, 45, 1, 3, r=5, s=7, strides=(2, 1), padding=((4, 1), (0, 3))),
    ConvCase(1, 6, 30, 2, 2, r=7, s=9, padding=((6, 3), (8, 5))),
    ConvCase(1, 90, 61, 3, 4, r=5, s=5, dilation_rate=(2, 3), padding=((3, 6), (2, 0))),
    ConvCase(3, 7, 16, 1, 8, r=5, s=5, padding=((0, 6), (5, 5))),
    # Columns beyond the image, left out tap by tap: where a tap meets all columns and where none does, with
    # strides and dilation, a phase that no tap meets, groups, and rows that none meets.
    ConvCase(2, 4, 16, 40, 48, r=2, s=9),
    ConvCase(1, 5, 12, 48, 40, r=3, s=9, padding=(1, 4)),
    ConvCase(2, 6, 27, 40, 35, r=3, s=9, strides=(1, 2), padding=(4, 0)),
    ConvCase(1, 5, 29, 33, 64, r=2, s=7, strides=(1, 2), dilation_rate=(1, 2)),
    ConvCase(1, 7, 14, 96, 96, groups=2, s=7, dilation_rate=(2, 1), padding=((3, 0), (6, 2))),
    # Columns beyond the image, left out by strips down the rows: one row of taps, dilation, pads of unlike
    # sides, rows that no tap meets, groups, and columns that no tap meets.
    ConvCase(1, 30, 17, 17, 32, r=1, s=7, padding=(0, 3)),
    ConvCase(1, 30, 9, 20, 33, r=1, s=5, padding=(0, 2)),
    ConvCase(1, 30, 9, 18, 40, r=1, dilation_rate=(1, 2), padding=(0, 2)),
    ConvCase(1, 40, 8, 18, 33, r=2, s=5, padding=((3, 2), (4, 1))),
    ConvCase(1, 40, 8, 18, 33, r=2, padding=((3, 2), (2, 0))),
    ConvCase(2, 40, 8, 40, 66, groups=2, r=2, padding=((3, 2), (2, 2))),
    ConvCase(1, 20, 9, 40, 48, r=1, padding=(0, 4)),
    # Groups that are copied: pads on one side, dilation, and rows that no tap meets.
    ConvCase(1, 5, 6, 384, 32, groups=16, padding="same"),
    ConvCase(2, 4, 7, 400, 24, groups=8, s=4, dilation_rate=(2, 1), padding=((4, 0), (2, 1))),
    # Groups that go through the blocks of a weight gradient one after the other.
    ConvCase(7, 24, 24, 64, 34, groups=2, r=1, s=2, strides=(4, 4)),
    # Many small images, and a tall one.
    ConvCase(17, 6, 5, 3, 16, padding="same"),
    ConvCase(16, 5, 9, 16, 4, padding=1),
    ConvCase(1, 120, 9, 8, 16, padding=1),
)

CONV: tuple[ConvCase, ...] = (*_CONV_GEOMETRY, *_CONV_BLOCKING, *_conv_channels())

# Every pair of channel counts, and long reductions: too many for each run.
CONV_FULL: tuple[ConvCase, ...] = (
    *(ConvCase(1, 5, 6, c, k, padding="same") for c in CHANNELS for k in CHANNELS),
    *(ConvCase(1, 4, 7, c, k, r=1, s=1, strides=(1, 2)) for c in CHANNELS for k in CHANNELS),
    *(replace(case, n=n) for case in (*_CONV_GEOMETRY, *_CONV_BLOCKING) for n in (1, 4, 17)),
    ConvCase(8, 64, 64, 96, 104, r=1, s=1),  # more than the caches hold
    ConvCase(32, 28, 28, 1, 6, r=5, s=5, padding=2),
    ConvCase(32, 14, 14, 6, 16, r=5, s=5),
    ConvCase(16, 28, 28, 1, 32, padding="same"),
    ConvCase(8, 28, 28, 32, 64, padding="same"),
    ConvCase(2, 14, 14, 256, 256, padding="same"),
    ConvCase(1, 56, 56, 64, 64, padding="same"),
    ConvCase(1, 56, 56, 144, 144, groups=144, padding="same"),
    ConvCase(1, 65, 67, 3, 64, r=7, s=7, strides=(2, 2), padding=3),
)

# Of few channels and filters, and enough pixels for a GPU to multiply them directly: rows of three taps, by
# units of eight pixels; other taps, and few units; strides and dilations; channels in several parts, that are
# no fours, and 3; small images.
_CONV_DIRECT: tuple[ConvCase, ...] = (
    ConvCase(16, 32, 32, 8, 32, padding=1),
    ConvCase(33, 31, 30, 12, 18, padding="same"),
    ConvCase(80, 15, 16, 32, 29),
    ConvCase(4, 16, 16, 32, 32, padding=1),
    ConvCase(16, 27, 30, 16, 30, strides=(2, 2), padding=1),
    ConvCase(3, 33, 30, 20, 32, r=1, s=1, strides=(2, 1)),
    ConvCase(3, 24, 25, 10, 21, dilation_rate=(2, 3), padding=((1, 2), (0, 3))),
    ConvCase(20, 14, 14, 6, 16, r=5, s=5),
    ConvCase(5, 20, 20, 17, 24, r=5, s=5, padding=2),
    ConvCase(3, 42, 41, 3, 16, strides=(1, 2), dilation_rate=(1, 2), padding=2),
    ConvCase(40, 4, 4, 32, 32, padding=1),
    ConvCase(3, 40, 41, 27, 3, r=2, s=3, padding=((0, 1), (1, 1))),
    ConvCase(17, 33, 31, 5, 28, padding=((1, 0), (2, 1))),
)

# Large enough for several threads.
CONV_PARALLEL: tuple[ConvCase, ...] = (
    *_CONV_DIRECT,
    ConvCase(8, 28, 28, 1, 6, r=5, s=5, padding=2),
    ConvCase(16, 14, 14, 6, 16, r=5, s=5),
    ConvCase(3, 28, 28, 32, 33, padding="same"),
    ConvCase(1, 14, 15, 65, 96, padding="same", strides=(2, 2)),
    ConvCase(5, 19, 21, 48, 48, groups=48, padding="same"),
    ConvCase(3, 17, 16, 64, 64, groups=4, padding=1, dilation_rate=(2, 2)),
    ConvCase(9, 14, 14, 128, 64, r=1, s=1),
    ConvCase(9, 28, 29, 40, 3, r=5, s=5, padding=2),
    # Weight gradients that may read dy in place, which ends within a vector, or does not.
    ConvCase(3, 33, 41, 3, 72, r=5, s=5, padding=2),
    ConvCase(1, 80, 60, 3, 96, r=3, s=5, strides=(1, 2)),
    # Parts of its sums meet outputs that no L2 cache of 2 MB holds.
    ConvCase(1, 19, 29, 600, 960, r=1, s=1),
    # Pointwise weight gradients of so many pixels that they come from memory.
    ConvCase(50, 22, 23, 45, 40, r=1, s=1),
    ConvCase(6, 60, 33, 96, 64, r=1, s=1),
    ConvCase(3, 15, 17, 64, 64, groups=16, padding=1),
    ConvCase(26, 24, 24, 96, 120, groups=3, r=1, s=2, strides=(4, 4)),
    # Larger than an L2 cache, and than the last.
    ConvCase(2, 90, 67, 44, 44, groups=44, padding=1),
    ConvCase(1, 290, 280, 26, 26, groups=26, padding=1),
)

# 3x3 filters that Winograd's kernels take, with tiles, channels and filters that fill nothing.
WINOGRAD: tuple[ConvCase, ...] = (
    ConvCase(2, 13, 14, 33, 34, padding="same"),
    ConvCase(1, 15, 13, 48, 33, padding=1),
    ConvCase(3, 13, 14, 24, 65),
    ConvCase(2, 12, 15, 40, 40, padding=((0, 2), (1, 0))),
    ConvCase(2, 11, 12, 32, 32, padding=2),
    # Outputs that see nothing but zeros; its gradient leaves out pixels of dy.
    ConvCase(2, 11, 12, 32, 48, padding=((3, 4), (3, 3))),
    # Dilated: the image falls apart, also into phases with fewer tiles.
    ConvCase(2, 22, 21, 32, 40, dilation_rate=(2, 2), padding="same"),
    ConvCase(1, 14, 31, 40, 33, dilation_rate=(1, 3), padding=((1, 0), (2, 5))),
    # Blocks of tiles of last rows alone, and of last columns alone.
    ConvCase(40, 5, 5, 33, 34, padding="same"),
    # So few channels that V and M stay in L1.
    ConvCase(8, 16, 18, 16, 16, padding="same"),
    ConvCase(3, 27, 22, 24, 24, padding=1),
    ConvCase(4, 22, 26, 20, 16, dilation_rate=(1, 2), padding=((1, 1), (2, 2))),
    # With strides, whose gradient has tiles that begin with an even and with an odd pixel.
    ConvCase(2, 13, 14, 33, 34, strides=(2, 2), padding="same"),
    ConvCase(2, 28, 25, 40, 65, strides=(2, 2), padding=1),
    ConvCase(1, 18, 13, 48, 40, strides=(2, 2), padding=((2, 3), (3, 0))),
    ConvCase(1, 24, 20, 300, 33, strides=(2, 2)),
    # Filters so large that the team shares the tiles, forward and backward.
    ConvCase(1, 12, 10, 300, 33, padding="same"),
    ConvCase(2, 9, 12, 40, 260, padding="same"),
    # Parts of an image, and several blocks of output channels.
    ConvCase(2, 30, 29, 32, 130, strides=(2, 2), padding=1),
    ConvCase(2, 30, 29, 32, 130, padding="same"),
    # So many channels that the team shares the tiles of x and dy of their weight gradient.
    ConvCase(2, 7, 9, 250, 260, padding="same"),
    ConvCase(1, 25, 26, 250, 260, strides=(2, 2), padding="same"),
)

# Filters of other sizes, whose parts Winograd's kernels take, forward and backward.
WINOGRAD_PARTS: tuple[ConvCase, ...] = (
    ConvCase(4, 28, 30, 47, 63, r=5, s=5, padding="same"),
    ConvCase(6, 27, 29, 48, 64, r=4, s=4, padding=((0, 2), (1, 0))),
    ConvCase(6, 26, 25, 64, 47, r=5, s=4),
    ConvCase(6, 28, 27, 48, 48, r=3, s=5, padding="same"),
    ConvCase(4, 24, 25, 48, 61, r=6, s=7, padding=2),
    ConvCase(4, 28, 28, 32, 48, r=5, s=5, dilation_rate=(2, 1), padding="same"),
    # Outputs that see nothing but zeros; its gradient leaves out pixels of dy.
    ConvCase(2, 11, 12, 32, 48, r=4, s=5, padding=((4, 6), (5, 5))),
    # Outputs that are a single tile.
    ConvCase(99, 6, 6, 48, 64, r=5, s=5),
    # Of both strides: phases of two taps, of two beside three, and of three.
    ConvCase(3, 40, 35, 96, 130, r=4, s=4, strides=(2, 2), padding=1),
    ConvCase(4, 39, 44, 64, 128, r=4, s=4, strides=(2, 2)),
    ConvCase(6, 31, 32, 64, 63, r=5, s=5, strides=(2, 2), padding="same"),
    ConvCase(6, 38, 36, 48, 64, r=5, s=4, strides=(2, 2), padding=((1, 0), (3, 2))),
    ConvCase(6, 34, 35, 48, 64, r=6, s=6, strides=(2, 2), padding=2),
    # So many channels that each part is added to M on its own; the team shares the tiles of the last ones.
    ConvCase(5, 17, 19, 130, 64, r=5, s=5, padding="same"),
    ConvCase(1, 12, 14, 150, 260, r=5, s=5, padding="same"),
    ConvCase(4, 23, 24, 144, 272, r=5, s=4, strides=(2, 2), padding=1),
    # Parts of an image, and several blocks of output channels.
    ConvCase(6, 32, 31, 48, 130, r=5, s=5, strides=(2, 2), padding=1),
    ConvCase(3, 30, 29, 48, 130, r=4, s=4, padding="same"),
    # So many tiles that weight gradients take F(4), and sum several chunks of F(2).
    ConvCase(2, 30, 29, 48, 40, r=5, s=5, padding="same"),
    ConvCase(1, 31, 41, 64, 64, r=4, s=5, padding="same"),
    ConvCase(1, 44, 46, 40, 48, r=7, s=7, padding=3),
    ConvCase(2, 60, 57, 40, 33, r=7, s=6, strides=(2, 2), padding=3),
    ConvCase(2, 62, 63, 48, 48, r=5, s=5, strides=(2, 2), padding="same"),
    ConvCase(1, 43, 44, 40, 48, r=2, s=2),
)

CONV_SUITE: tuple[ConvCase, ...] = (
    ConvCase(128, 28, 28, 1, 6, r=5, s=5, padding=2, name="lenet1"),
    ConvCase(128, 14, 14, 6, 16, r=5, s=5, name="lenet2"),
    ConvCase(128, 28, 28, 1, 32, padding=1, name="mnist32"),
    ConvCase(128, 28, 28, 32, 64, padding=1, name="mnist64"),
    ConvCase(8, 224, 224, 3, 64, r=7, s=7, strides=(2, 2), padding=3, name="stem7"),
    ConvCase(8, 112, 112, 64, 64, padding=1, name="vgg64"),
    ConvCase(16, 56, 56, 64, 64, padding=1, name="r3x3_64"),
    ConvCase(16, 28, 28, 128, 128, padding=1, name="r3x3_128"),
    ConvCase(16, 14, 14, 256, 256, padding=1, name="r3x3_256"),
    ConvCase(16, 7, 7, 512, 512, padding=1, name="r3x3_512"),
    ConvCase(16, 56, 56, 64, 256, r=1, s=1, name="r1x1_64_256"),
    ConvCase(16, 14, 14, 1024, 256, r=1, s=1, name="r1x1_1024_256"),
    ConvCase(16, 56, 56, 128, 128, strides=(2, 2), padding=1, name="r3x3s2"),
    ConvCase(16, 56, 56, 144, 144, padding=1, groups=144, name="dw3x3_144"),
    ConvCase(16, 14, 14, 576, 576, strides=(2, 2), padding=1, groups=576, name="dw3x3_576s2"),
    ConvCase(16, 28, 28, 128, 128, padding=1, groups=32, name="grp32"),
    ConvCase(16, 56, 56, 64, 64, padding=2, dilation_rate=(2, 2), name="dil2"),
    ConvCase(8, 27, 27, 64, 192, r=5, s=5, padding=2, name="k5x5"),
    ConvCase(16, 32, 32, 64, 128, r=5, s=5, strides=(2, 2), padding=2, name="k5x5s2"),
    ConvCase(16, 16, 16, 128, 256, r=4, s=4, strides=(2, 2), padding=1, name="k4x4s2"),
    ConvCase(128, 32, 32, 16, 16, padding=1, name="cifar16"),
    ConvCase(128, 8, 8, 64, 64, padding=1, name="cifar64"),
    ConvCase(1, 56, 56, 64, 64, padding=1, name="b1_r3x3_64"),
    ConvCase(1, 14, 14, 256, 256, padding=1, name="b1_r3x3_256"),
)
