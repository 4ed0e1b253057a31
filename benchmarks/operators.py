# SPDX-License-Identifier: Apache-2.0
"""Every other operator beside PyTorch, forward and backward: `python benchmarks/operators.py --help`.

Activations, normalization, pools, merges, moves and the relatives of convolution, on tensors larger than the
caches and on small ones. GB/s count every argument and every result once, whatever else a library reads or
writes; the roof of a row is the larger of the times that its arithmetic and these bytes take.
"""

from __future__ import annotations

import sys

from harness import program
from harness.operators import TASKS
from harness.report import Measure
from harness.session import Contender, Pace

CONTENDERS = [
    Contender("fastcnn", "call"),
    Contender("fastcnn", "out", judged=False),  # the peer's functions have no such argument
    *(Contender("torch", f"{mode} {layout}") for mode in ("eager", "compile") for layout in ("nchw", "nhwc")),
]


def main(arguments: list[str]) -> int:
    p = program.parser(str(__doc__), Pace(rounds=5, seconds=0.03))
    p.add_argument("--eager", action="store_true", help="no compiled peer: a quarter of the time")
    options = p.parse_args(arguments)
    contenders = [c for c in CONTENDERS if not (options.eager and c.setting.startswith("compile"))]
    suite = program.Suite(
        title="operators",
        measure=Measure("GB/s", lambda task: 1e-9 * task.bytes),
        tasks=TASKS,
        quick=["relu large", "batch_norm small", "layer_norm_bwd small", "conv2d_transpose s2"],
        contenders=lambda _: contenders,
        floor=lambda _: 1 / 1.5,
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
