# SPDX-License-Identifier: Apache-2.0
"""Pooling forward and backward beside PyTorch: `python benchmarks/pool.py --help`.

GB/s count every argument and the result once, for both sides as fastcnn has them: backward the two
gradients and, of max-pooling, in the rows bwd_index the places of the maxima, four bytes each, in the rows
bwd the input, in which fastcnn finds them again. PyTorch is given the places in both, as its forward pass has
kept them, eight bytes each.
"""

from __future__ import annotations

import sys

from harness import program
from harness.report import Measure
from harness.session import Contender, Pace
from harness.tasks import PoolTask

CASES = {
    # kind, n, c, h, w, window, stride, pad
    "max2x2": ("max", 16, 64, 112, 112, 2, 2, 0),
    "max3x3s2": ("max", 16, 64, 112, 112, 3, 2, 1),
    "average2x2": ("average", 16, 64, 112, 112, 2, 2, 0),
    "average3x3s1": ("average", 32, 64, 28, 28, 3, 1, 0),
    "average3x3s2": ("average", 32, 12, 27, 29, 3, 2, 0),
    "max3x3s2_odd": ("max", 64, 9, 27, 29, 3, 2, 0),
    "sum2x2": ("sum", 16, 64, 112, 112, 2, 2, 0),
    "lenet_max2x2": ("max", 128, 6, 28, 28, 2, 2, 0),
    "mnist_max2x2": ("max", 128, 32, 26, 26, 2, 2, 0),
    "max7x7s2": ("max", 8, 3, 112, 112, 7, 2, 3),
    "max3x3s2_gray": ("max", 16, 1, 112, 112, 3, 2, 1),
    "global7x7": ("average", 16, 512, 7, 7, 7, 7, 0),
}
CONTENDERS = [
    Contender("fastcnn", "call"),
    Contender("fastcnn", "out", judged=False),  # the peer has no such argument
    *(Contender("torch", f"{mode} {layout}") for mode in ("eager", "compile") for layout in ("nchw", "nhwc")),
]


def _directions(kind: str) -> tuple[str, ...]:
    return ("fwd", "bwd", "bwd_index") if kind == "max" else ("fwd", "bwd")


def main(arguments: list[str]) -> int:
    options = program.parser(str(__doc__), Pace(rounds=9, seconds=0.04), program.DEVICES).parse_args(
        arguments
    )
    suite = program.Suite(
        title="pool",
        measure=Measure("GB/s", lambda task: 1e-9 * task.bytes),
        tasks=[
            PoolTask(name, *sizes, direction)
            for name, sizes in CASES.items()
            for direction in _directions(str(sizes[0]))
        ],
        quick=["lenet_max2x2 fwd", "lenet_max2x2 bwd"],
        contenders=lambda _: CONTENDERS,
        floor=lambda _: 0.0,
        notes={
            r"\S*max\S* bwd": "max bwd: ours finds the maxima again, PyTorch is given their places, "
            "as ours is in the rows bwd_index; training keeps them where that is faster. With few "
            "channels or large windows the search takes longer than adding dy: rows are joined, then each "
            "line of them is searched for the greatest and once more for the first that equals it; of "
            "more than 3 x 3 at each second pixel rows are searched once for all windows that hold them. "
            "At each pixel windows of 3 x 3 take some 57 instructions on a vector, in a cache 23 to 25 "
            "cycles: six taps of rows and columns, three each to find and three to gather; at each second "
            "pixel some 45, of as many channels as fill vectors, and 50 cycles of as many windows of few "
            "channels; elsewhere dy is added to one pixel after the other, three loads and a store for each "
            "window."
        },
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
