# SPDX-License-Identifier: Apache-2.0
"""The training step of networks small and deep beside PyTorch: `python benchmarks/train.py --help`.

A call is an epoch over data in memory, shuffled: of fastcnn `fit` (and, shown beside it, a loop of
`train_on_batch`), of PyTorch the plain loop. Both start from the same weights, and their first losses must
agree before anything is timed (without dropout, whose masks each draws for itself).
"""

from __future__ import annotations

import sys

from harness import program
from harness.report import Measure
from harness.session import Contender, Pace
from harness.tasks import TrainTask

OPTIMIZERS = {"dense": ("sgd", "adam"), "lenet5": ("sgd", "adam"), "mnist_cnn": ("sgd", "adam")}
EPOCHS = {
    # batch sizes, images in an epoch: long enough to time, and for a call's own cost to be that of real use
    "dense": ((32,), 9_600),
    "lenet5": ((32, 64, 128), 3_200),
    "mnist_cnn": ((32, 128), 1_280),
    "resnet20": ((128,), 256),
    "resnet18": ((8,), 16),
    "resnet50": ((8,), 16),
    "mobilenet_v2": ((8,), 16),
}
FLOORS = {"dense": 3.0, "lenet5": 1.5, "mnist_cnn": 1.3}
QUICK_IMAGES = 640
MODES = ("eager", "compile")
FASTCNN = [Contender("fastcnn", "fit"), Contender("fastcnn", "train_on_batch", judged=False)]


def contenders(task: TrainTask) -> list[Contender]:
    layouts = ("",) if task.network == "dense" else (" nchw", " nhwc")
    return FASTCNN + [Contender("torch", mode + layout) for mode in MODES for layout in layouts]


def main(arguments: list[str]) -> int:
    parser = program.parser(str(__doc__), Pace(rounds=9, seconds=0.2), program.DEVICES)
    program.add_precision(parser, "PyTorch's autocast chooses where")
    options = parser.parse_args(arguments)
    suite = program.Suite(
        title=program.titled("train", precision=options.precision),
        measure=Measure("images/s", lambda task: float(task.images)),
        tasks=[
            TrainTask(network, batch, optimizer, QUICK_IMAGES if options.quick else images, options.precision)
            for network, (batches, images) in EPOCHS.items()
            for batch in batches
            for optimizer in OPTIMIZERS.get(network, ("sgd",))
        ],
        quick=["dense batch 32 adam", "lenet5 batch 32 sgd"],
        contenders=contenders,
        floor=lambda task: FLOORS.get(task.network, 0.0) if task.precision == "float32" else 0.0,
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
