# SPDX-License-Identifier: Apache-2.0
"""Matrix products, square and skinny, beside PyTorch and NumPy: `python benchmarks/gemm.py --help`.

NumPy runs twice: as it comes, and with the AVX-512 kernels of its OpenBLAS, which it does not choose by
itself on every processor that has them.
"""

from __future__ import annotations

import random
import sys

from harness import program
from harness.report import Measure
from harness.session import Contender, Pace
from harness.tasks import GemmTask

CUBES = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
SKINNY = (
    # Dense layers: forward, data gradient, weight gradient.
    GemmTask(32, 10, 784),
    GemmTask(32, 784, 10, transpose_b=True),
    GemmTask(784, 10, 32, transpose_a=True),
    GemmTask(128, 120, 400),
    GemmTask(400, 120, 128, transpose_a=True),
    # One row, few rows, few columns, a long sum.
    GemmTask(1, 1000, 2048),
    GemmTask(8, 4096, 1024),
    GemmTask(4096, 16, 256),
    GemmTask(64, 64, 16384),
    GemmTask(1, 2048, 1000, transpose_b=True),
    GemmTask(8, 1024, 4096, transpose_b=True),
    GemmTask(24, 3000, 1000),
    # No multiples of anything.
    GemmTask(1, 10, 784),
    GemmTask(100, 10, 784),
    GemmTask(37, 211, 503),
    GemmTask(3000, 3, 1000),
    GemmTask(500, 1, 500),
)
CONTENDERS = [
    Contender(library, setting)
    for library, settings in {
        "fastcnn": ("call", "out"),
        "torch": ("call", "out", "compile"),
        "numpy": ("call", "out"),
        "numpy-skylakex": ("call", "out"),
    }.items()
    for setting in settings
]


def random_tasks(count: int, seed: int) -> list[GemmTask]:
    """Products that no list names: sizes from 1 to 4096, log-uniform, of up to 4 billion operations."""
    rng = random.Random(seed)
    tasks: list[GemmTask] = []
    while len(tasks) < count:
        m, n, k = (round(4096 ** rng.random()) for _ in range(3))
        task = GemmTask(m, n, k, rng.random() < 0.5, rng.random() < 0.5)
        if 2e4 <= task.flops <= 4e9:
            tasks.append(task)
    return tasks


def main(arguments: list[str]) -> int:
    parser = program.parser(str(__doc__), Pace(rounds=9, seconds=0.03), program.DEVICES)
    parser.add_argument(
        "--random", type=int, default=0, metavar="COUNT", help="this many shapes beside the list"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random shapes")
    options = parser.parse_args(arguments)
    suite = program.Suite(
        title="gemm",
        measure=Measure("GFLOP/s", lambda task: 1e-9 * task.flops),
        tasks=[
            *(GemmTask(size, size, size) for size in CUBES),
            *SKINNY,
            *random_tasks(options.random, options.seed),
        ],
        quick=["64x64x64 NN", "784x10x32 TN"],
        contenders=lambda _: CONTENDERS,
        floor=lambda _: 0.0,
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
