# SPDX-License-Identifier: Apache-2.0
"""Cases of convolutions beyond conv2d, by operator."""

from __future__ import annotations

from collections.abc import Mapping

from fastcnn.testing.case import ConvNdCase

_T2 = "conv2d_transpose"

_TRANSPOSED_2D = (
    ConvNdCase(_T2, 1, (1, 1), 1, 1, (1, 1)),
    ConvNdCase(_T2, 2, (3, 4), 3, 5, (3, 3), padding="same"),
    ConvNdCase(_T2, 2, (4, 3), 16, 33, (3, 3), (2, 2), "same"),
    ConvNdCase(_T2, 1, (5, 4), 33, 16, (4, 4), (2, 2), "same"),
    ConvNdCase(_T2, 1, (4, 5), 8, 17, (2, 2), (2, 2)),
    # The stride is larger than the window: pixels that nothing reaches hold the bias.
    ConvNdCase(_T2, 2, (3, 2), 5, 18, (2, 1), (3, 4)),
    ConvNdCase(_T2, 2, (3, 2), 5, 7, (1, 2), (3, 3), "same"),
    # Each way to say how large the output is.
    ConvNdCase(_T2, 2, (3, 4), 4, 6, (3, 3), (2, 2), "valid", output_padding=(1, 0)),
    ConvNdCase(_T2, 2, (3, 4), 4, 6, (3, 3), (2, 2), "same", output_padding=(1, 1)),
    ConvNdCase(_T2, 2, (3, 4), 4, 6, (4, 3), (3, 2), "same", output_padding=(1, 0)),
    ConvNdCase(_T2, 2, (4, 5), 4, 6, (3, 3), (2, 1), ((1, 0), (2, 1)), output_padding=(1, 0)),
    ConvNdCase(_T2, 2, (4, 4), 3, 17, (3, 3), (1, 1), (2, 1)),
    ConvNdCase(_T2, 1, (4, 5), 3, 5, (2, 2), (2, 2), ((3, 2), (0, 3))),
    ConvNdCase(_T2, 1, (4, 5), 4, 8, (3, 2), (1, 2), "valid", (2, 3)),
    ConvNdCase(_T2, 1, (3, 4), 4, 8, (2, 2), (1, 1), 0, (3, 3), output_padding=(2, 1)),
    ConvNdCase(_T2, 2, (4, 5), 16, 12, (3, 3), (2, 2), 1, (2, 1), 4),
    # Groups, and one channel to a group with and without a multiplier.
    ConvNdCase(_T2, 2, (4, 3), 12, 8, (3, 3), (2, 2), "same", groups=2),
    ConvNdCase(_T2, 2, (4, 5), 17, 17, (3, 3), (2, 2), "same", groups=17),
    ConvNdCase(_T2, 1, (4, 5), 10, 5, (3, 3), (2, 1), 1, groups=5),
    ConvNdCase(_T2, 1, (4, 5), 5, 15, (3, 3), (1, 2), "same", groups=5),
    ConvNdCase(_T2, 1, (5, 4), 48, 48, (3, 3), (2, 2), "same", groups=12),
    # Few output channels on long rows, and large weights on few pixels.
    ConvNdCase(_T2, 2, (5, 37), 4, 2, (3, 3), padding="same"),
    ConvNdCase(_T2, 1, (5, 40), 8, 3, (4, 4), (2, 2), "same"),
    ConvNdCase(_T2, 1, (2, 2), 260, 64, (3, 3), (2, 2), "same"),
)

_T1 = "conv1d_transpose"

_TRANSPOSED_1D = (
    ConvNdCase(_T1, 2, (5,), 3, 17, (3,), (2,), "same"),
    ConvNdCase(_T1, 2, (5,), 16, 5, (4,), (3,)),
    ConvNdCase(_T1, 1, (4,), 6, 8, (3,), (2,), ((1, 0),), groups=2, output_padding=(1,)),
    ConvNdCase(_T1, 1, (9,), 4, 33, (3,), (1,), "valid", (3,)),
    ConvNdCase(_T1, 2, (3,), 5, 5, (2,), (4,), "same", groups=5),
)

_T3 = "conv3d_transpose"

_TRANSPOSED_3D = (
    ConvNdCase(_T3, 2, (2, 3, 4), 3, 17, (3, 3, 3), (2, 2, 2), "same"),
    ConvNdCase(_T3, 1, (3, 2, 3), 16, 5, (2, 3, 1), (1, 2, 1)),
    ConvNdCase(_T3, 2, (2, 2, 3), 5, 6, (1, 2, 2), (3, 1, 2)),
    ConvNdCase(_T3, 1, (2, 3, 3), 6, 8, (3, 2, 2), (2, 2, 1), ((1, 1), (0, 1), (1, 0)), groups=2,
               output_padding=(1, 0, 0)),
    ConvNdCase(_T3, 1, (3, 3, 2), 4, 8, (2, 2, 2), (1, 1, 1), "valid", (2, 1, 3)),
    ConvNdCase(_T3, 1, (2, 3, 3), 4, 7, (3, 3, 3), (3, 1, 1), "same", (2, 1, 1)),
    ConvNdCase(_T3, 2, (3, 3, 4), 6, 6, (2, 3, 3), (3, 2, 1), "same", groups=6),
)  # fmt: skip

_C1 = "conv1d"

_PLAIN_1D = (
    ConvNdCase(_C1, 1, (1,), 1, 1, (1,)),
    ConvNdCase(_C1, 2, (9,), 3, 17, (3,), padding="same"),
    ConvNdCase(_C1, 2, (9,), 16, 33, (4,), (2,), "same"),
    ConvNdCase(_C1, 2, (9,), 5, 6, (3,), padding="causal"),
    ConvNdCase(_C1, 2, (11,), 4, 16, (3,), (2,), "causal", (2,)),
    ConvNdCase(_C1, 1, (8,), 6, 9, (2,), (1,), ((2, 1),), (3,), 3),
    ConvNdCase(_C1, 1, (8,), 17, 17, (3,), (2,), 1, groups=17),
    ConvNdCase(_C1, 1, (70,), 2, 4, (5,), padding=(2,)),
    ConvNdCase(_C1, 3, (5,), 64, 48, (1,)),
)

_C3 = "conv3d"

_PLAIN_3D = (
    ConvNdCase(_C3, 1, (1, 1, 1), 1, 1, (1, 1, 1)),
    ConvNdCase(_C3, 2, (4, 3, 5), 3, 17, (3, 3, 3), padding="same"),
    ConvNdCase(_C3, 2, (5, 4, 3), 16, 33, (2, 3, 1), (2, 1, 2), "same"),
    # A kernel one frame deep: the frames are images, unless it skips some or there are more of them.
    ConvNdCase(_C3, 2, (3, 5, 4), 6, 8, (1, 3, 3), padding=((0, 0), (1, 1), (1, 1))),
    ConvNdCase(_C3, 2, (3, 4, 4), 6, 5, (1, 2, 2), (2, 1, 1)),
    ConvNdCase(_C3, 1, (2, 3, 4), 6, 5, (1, 1, 1), padding=(1, 0, 2)),
    ConvNdCase(_C3, 1, (3, 1, 1), 4, 5, (3, 1, 1)),
    # Strides that leave frames out, alone and with taps that meet none of a phase.
    ConvNdCase(_C3, 1, (7, 3, 3), 5, 16, (2, 2, 2), (3, 2, 2)),
    ConvNdCase(_C3, 2, (6, 3, 3), 4, 6, (2, 2, 2), (4, 1, 1), "valid", (2, 1, 1)),
    ConvNdCase(_C3, 1, (7, 6, 5), 4, 6, (3, 2, 2), (2, 1, 1), "same", (3, 2, 1)),
    ConvNdCase(_C3, 1, (2, 3, 4), 3, 5, (2, 2, 2), padding=((3, 2), (1, 0), (0, 2))),
    # Groups.
    ConvNdCase(_C3, 1, (3, 4, 5), 8, 12, (3, 3, 3), (1, 1, 1), "same", groups=4),
    ConvNdCase(_C3, 2, (4, 3, 4), 6, 6, (2, 2, 2), (2, 1, 1), 1, groups=6),
    ConvNdCase(_C3, 1, (3, 3, 4), 5, 10, (3, 1, 2), groups=5),
    ConvNdCase(_C3, 2, (5, 4, 5), 16, 16, (3, 3, 3), (2, 1, 2), "same", groups=4),
    ConvNdCase(_C3, 1, (2, 4, 5), 17, 17, (3, 3, 3), padding=(4, 1, 1), groups=17),
    ConvNdCase(_C3, 1, (9, 3, 4), 12, 12, (2, 2, 2), (5, 1, 1), "valid", (2, 1, 1), 6),
    ConvNdCase(_C3, 1, (3, 4, 9), 8, 8, (2, 3, 3), (1, 1, 1), "same", groups=8),
    # Few channels on long rows; weights larger than the volume.
    ConvNdCase(_C3, 1, (4, 5, 37), 1, 4, (3, 3, 3), padding="same"),
    ConvNdCase(_C3, 1, (2, 3, 3), 64, 65, (3, 3, 3), padding=1),
)

_D2, _D1 = "depthwise_conv2d", "depthwise_conv1d"

_DEPTHWISE_2D = (
    ConvNdCase(_D2, 1, (1, 1), 1, 1, (1, 1)),
    ConvNdCase(_D2, 2, (6, 5), 17, 17, (3, 3), padding="same"),
    ConvNdCase(_D2, 2, (7, 6), 33, 33, (3, 3), (2, 2), "same"),
    ConvNdCase(_D2, 2, (6, 5), 5, 15, (3, 2), (1, 2), "same"),
    ConvNdCase(_D2, 1, (6, 7), 16, 32, (3, 3), (2, 1), 1, (1, 2)),
    ConvNdCase(_D2, 2, (5, 4), 1, 3, (2, 2)),
    ConvNdCase(_D2, 1, (9, 8), 3, 12, (5, 5), padding=((2, 1), (0, 2))),
)
_DEPTHWISE_1D = (
    ConvNdCase(_D1, 2, (9,), 17, 17, (3,), padding="same"),
    ConvNdCase(_D1, 2, (9,), 4, 8, (3,), (2,), "same"),
    ConvNdCase(_D1, 1, (9,), 5, 15, (2,), (1,), ((1, 2),), (3,)),
)

_S2, _S1 = "separable_conv2d", "separable_conv1d"

_SEPARABLE_2D = (
    ConvNdCase(_S2, 2, (6, 5), 5, 17, (3, 3), padding="same"),
    ConvNdCase(_S2, 1, (7, 6), 16, 8, (3, 3), (2, 2), "same", multiplier=2),
    ConvNdCase(_S2, 2, (6, 5), 3, 33, (2, 3), padding=1, dilation_rate=(2, 1)),
)
_SEPARABLE_1D = (
    ConvNdCase(_S1, 2, (9,), 5, 17, (3,), padding="same"),
    ConvNdCase(_S1, 1, (8,), 6, 4, (2,), (2,), multiplier=3),
)

CONV_ND: Mapping[str, tuple[ConvNdCase, ...]] = {
    _T1: _TRANSPOSED_1D,
    _T2: _TRANSPOSED_2D,
    _T3: _TRANSPOSED_3D,
    _C1: _PLAIN_1D,
    _C3: _PLAIN_3D,
    _D1: _DEPTHWISE_1D,
    _D2: _DEPTHWISE_2D,
    _S1: _SEPARABLE_1D,
    _S2: _SEPARABLE_2D,
}

# Large enough for several threads, and volumes for several blocks.
CONV_ND_PARALLEL: tuple[ConvNdCase, ...] = (
    ConvNdCase(_T2, 5, (14, 13), 32, 33, (3, 3), (2, 2), "same"),
    ConvNdCase(_T2, 5, (19, 20), 48, 48, (3, 3), (2, 2), "same", groups=48),
    ConvNdCase(_T1, 9, (130,), 16, 33, (5,), (2,), "same"),
    ConvNdCase(_T3, 3, (5, 9, 8), 32, 33, (3, 3, 3), (2, 2, 2), "same"),
    ConvNdCase(_C1, 9, (200,), 33, 32, (5,), padding="causal"),
    ConvNdCase(_C3, 5, (6, 18, 19), 40, 33, (3, 3, 3), padding="same"),
    ConvNdCase(_C3, 3, (7, 12, 15), 16, 32, (3, 3, 3), (2, 2, 2), "same"),
    ConvNdCase(_C3, 2, (8, 14, 14), 24, 40, (1, 3, 3)),
    ConvNdCase(_C3, 3, (7, 15, 14), 24, 24, (3, 3, 3), padding="same", groups=24),
    ConvNdCase(_D2, 9, (20, 21), 24, 48, (3, 3), padding="same"),
    ConvNdCase(_S2, 5, (19, 21), 32, 65, (3, 3), padding="same"),
)
