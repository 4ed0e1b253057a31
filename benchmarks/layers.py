# SPDX-License-Identifier: Apache-2.0
"""Convolution layers of known networks, pass by pass, beside PyTorch: `python benchmarks/layers.py --help`.

GFLOP/s count 2 N K P Q C/g R S whatever the algorithm. A backward pass is timed alone, so the data gradient
of a first layer, which training never computes, is a row like any other.
"""

from __future__ import annotations

import random
import sys

from harness import program
from harness.report import Measure
from harness.session import Contender, Pace
from harness.tasks import ConvTask

from fastcnn.testing.cases import CONV_SUITE, ConvCase

PASSES = ("fprop", "dgrad", "wgrad")
CONTENDERS = [
    Contender("fastcnn", "call"),
    Contender("fastcnn", "out", judged=False),  # the peer has no such argument
    *(Contender("torch", f"{mode} {layout}") for mode in ("eager", "compile") for layout in ("nchw", "nhwc")),
]
FLOOR = 0.4


def task(case: ConvCase, direction: str, math: str = "default", precision: str = "float32") -> ConvTask:
    """A case of the suite, whose strides, padding and dilation are square and symmetric."""
    pad = 0 if case.padding == "valid" else case.padding
    (stride, stride_w), (dilation, dilation_w) = case.strides, case.dilation_rate
    if stride != stride_w or dilation != dilation_w or not isinstance(pad, int):
        raise ValueError(f"{case}: the benchmark takes square strides, dilation and padding")
    sizes = {name: getattr(case, name) for name in ("n", "c", "h", "w", "k", "r", "s", "groups")}
    how = {"direction": direction, "math": math, "precision": precision}
    return ConvTask(str(case), **sizes, stride=stride, pad=pad, dilation=dilation, **how)


def random_cases(count: int, seed: int) -> list[ConvCase]:
    """Layers that no list names, of 20 million to 4 billion operations."""
    rng = random.Random(seed)
    cases: list[ConvCase] = []
    while len(cases) < count:
        side, size = rng.randint(5, 80), rng.choice((1, 1, 2, 3, 3, 3, 5, 7))
        groups = rng.choice((1, 1, 1, 1, 2, 8, 0))
        c = rng.choice((1, 3)) if rng.random() < 0.2 else rng.randint(2, 320)
        k = rng.randint(4, 320)
        if groups == 0:
            groups = k = c
        if c % groups or k % groups or (size - 1) * 2 >= side:
            continue
        case = ConvCase(
            *(rng.choice((1, 4, 16, 32, 128)), side, side, c, k, size, size),
            strides=rng.choice(((1, 1), (1, 1), (2, 2))),
            padding=rng.choice((0, size // 2)),
            dilation_rate=rng.choice(((1, 1), (1, 1), (1, 1), (2, 2))),
            groups=groups,
        )
        if 2e7 <= case.flops <= 4e9:
            cases.append(case)
    return cases


def main(arguments: list[str]) -> int:
    parser = program.parser(
        "Time convolutions beside PyTorch.", Pace(rounds=9, seconds=0.04), program.DEVICES
    )
    parser.add_argument("--passes", default=",".join(PASSES), help="which, separated by commas")
    parser.add_argument(
        "--random", type=int, default=0, metavar="COUNT", help="this many shapes beside the list"
    )
    parser.add_argument("--math", choices=("default", "strict", "fast"), default="default", help="of fastcnn")
    program.add_precision(parser, "PyTorch's tensors are of it too")
    parser.add_argument("--seed", type=int, default=0, help="of the random shapes")
    options = parser.parse_args(arguments)
    passes = options.passes.split(",")
    if not set(passes) <= set(PASSES):
        parser.error(f"--passes: got {options.passes!r}, wanted some of {', '.join(PASSES)}")
    cases = [*CONV_SUITE, *random_cases(options.random, options.seed)]
    suite = program.Suite(
        title=program.titled("layers", math=options.math, precision=options.precision),
        measure=Measure("GFLOP/s", lambda task: 1e-9 * task.flops),
        tasks=[
            task(case, direction, options.math, options.precision) for case in cases for direction in passes
        ],
        quick=[f"lenet2 {direction}" for direction in PASSES],
        contenders=lambda _: CONTENDERS,
        floor=lambda _: FLOOR,
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
