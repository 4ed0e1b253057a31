# SPDX-License-Identifier: Apache-2.0
"""Inference of known networks beside PyTorch and ONNX Runtime: `python benchmarks/infer.py --help`.

A call is one batch of 224x224 images, in memory, through the whole network to the logits. All libraries have
the same random weights, and their logits must agree before anything is timed.
"""

from __future__ import annotations

import sys

from harness import program
from harness.report import Measure
from harness.session import Contender, Pace, available
from harness.tasks import InferTask

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2")
BATCHES = (1, 8)
CONTENDERS = [
    Contender("fastcnn", "predict_on_batch"),
    Contender("onnxruntime", "nchw"),
    *(Contender("torch", f"{mode} {layout}") for mode in ("eager", "compile") for layout in ("nchw", "nhwc")),
]


def main(arguments: list[str]) -> int:
    parser = program.parser(str(__doc__), Pace(rounds=7, seconds=0.5))
    program.add_precision(parser, "PyTorch's weights and images are of it too, ONNX Runtime has none")
    options = parser.parse_args(arguments)
    rounds = options.precision != "float32"
    suite = program.Suite(
        title=program.titled("infer", precision=options.precision),
        measure=Measure("images/s", lambda task: float(task.batch)),
        tasks=[InferTask(network, batch, options.precision) for network in NETWORKS for batch in BATCHES],
        quick=["mobilenet_v2 batch 1"],
        contenders=lambda _: [each for each in CONTENDERS if not rounds or each.library != "onnxruntime"],
        floor=lambda _: 0.0,
        notes={}
        if rounds or available("onnxruntime")
        else {".*": "ONNX Runtime is not installed, so no row has it."},
    )
    return program.run(suite, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
