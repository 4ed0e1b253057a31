# SPDX-License-Identifier: Apache-2.0
"""Every other operator beside PyTorch, forward and backward: `python benchmarks/operators.py --help`.

Activations, normalization, pools, merges, moves, the relatives of convolution, losses and optimizers, on
tensors larger than the caches and on small ones. GB/s count every argument and every result once, whatever
else a library reads or writes; the roof of a row is the larger of the times that its arithmetic and these
bytes take.
"""

from __future__ import annotations

import sys

from harness import program
from harness.operators import TASKS, OpTask
from harness.report import Measure
from harness.session import Contender, Pace
from harness.steps import LOSSES, OPTIMIZERS, LossTask, OptimizerTask

CONTENDERS = [
    Contender("fastcnn", "call"),
    Contender("fastcnn", "out", judged=False),  # the peer's functions have no such argument
    *(Contender("torch", f"{mode} {layout}") for mode in ("eager", "compile") for layout in ("nchw", "nhwc")),
]


_OF_STEPS = [Contender("fastcnn", "call"), Contender("torch", "foreach"), Contender("torch", "fused")]

NOTES = {
    r"(batch|instance|group|layer|rms)_norm_bwd .*": "norm_bwd: both take the statistics anew from x, which "
    "PyTorch keeps in training: a pass over x less.",
    r"(log_)?softmax 100k x 10|layer_norm(_bwd)? narrow": "few columns: an exponential of each number (some "
    "15 instructions on a vector, and 10 for the sums), or a root and divisions of each row, take longer "
    "than moving it.",
    r"concatenate 3\+5": "few channels: each pixel takes a copy or two of each part, where PyTorch's NCHW "
    "copies whole planes.",
    r"\w+ step .*": "step: `apply` proves each variable and gradient first, which a network's step does not.",
}


def _contenders(task: OpTask | LossTask | OptimizerTask) -> list[Contender]:
    if isinstance(task, OptimizerTask):  # RMSprop has no fused form
        return [c for c in _OF_STEPS if task.name != "RMSprop" or c.setting != "fused"]
    return [c for c in CONTENDERS if not (isinstance(task, LossTask) and c.setting.endswith("nhwc"))]


def main(arguments: list[str]) -> int:
    options = program.parser(str(__doc__), Pace(rounds=5, seconds=0.03)).parse_args(arguments)
    suite = program.Suite(
        title="operators",
        measure=Measure("GB/s", lambda task: 1e-9 * task.bytes),
        tasks=[*TASKS, *LOSSES, *OPTIMIZERS],
        quick=[
            "relu large",
            "batch_norm small",
            "layer_norm_bwd small",
            "conv2d_transpose s2",
            "huber 1024x10",
            "Adam step 16 x 256",
        ],
        contenders=_contenders,
        floor=lambda _: 1 / 1.5,
        notes=NOTES,
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
