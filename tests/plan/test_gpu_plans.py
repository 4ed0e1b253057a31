# SPDX-License-Identifier: Apache-2.0
"""The plans of the benchmarks' networks for a GPU that need not be there, beside those on file.

A line is a step: its layer, its kernel, operations and bytes of the definition.
`python tests/plan/test_gpu_plans.py` writes the files anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import fastcnn
from fastcnn import _device

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = Path(__file__).parent / "gpu_plans"
CAPABILITY = 75  # the rows that every GPU has: the same steps, whatever a build's architectures are
BATCHES = {
    "lenet5": 128,
    "mnist_cnn": 128,
    "resnet20": 128,
    "resnet18": 32,
    "resnet50": 32,
    "mobilenet_v2": 32,
}


def built(name: str) -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from harness import infer_fastcnn, networks
        from harness.image_networks import IMAGE_NETWORKS
        from harness.library_fastcnn import _layer
    finally:
        sys.path.remove(str(BENCHMARKS))
    if name in networks.NETWORKS:
        network = networks.NETWORKS[name]
        model = fastcnn.Sequential([fastcnn.Input(network.input_shape), *map(_layer, network.layers)])
    else:
        model = infer_fastcnn.functional(IMAGE_NETWORKS[name])
    model.compile(
        fastcnn.optimizers.SGD(0.01, momentum=0.9),
        fastcnn.losses.SparseCategoricalCrossentropy(from_logits=True),
        device="cpu",
    )
    return model._bind().native


def text_of(name: str) -> str:
    model, lines = built(name), []
    for mode in ("train", "predict"):
        plan = model.plan_for_gpu(mode, BATCHES[name], CAPABILITY)
        steps = plan["steps"]
        flops, size = (sum(step[key] for step in steps) for key in ("flops", "bytes"))
        lines.append(
            f"{mode}: {len(steps)} steps, {flops:.0f} FLOP, {size:.0f} bytes, arena of {plan['arena_bytes']}"
        )
        for step in steps:
            layer = re.sub(r"_\d+$", "", step["layer"])  # numbers count the layers of a process
            lines.append(f"  {layer}  {step['kernel']}  {step['flops']:.0f}  {step['bytes']:.0f}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", BATCHES)
def test_plan_is_the_one_on_file(name: str) -> None:
    try:
        _device.kernels()
    except fastcnn.DeviceError:
        pytest.skip("this build has no GPU kernels")
    assert text_of(name) == (FILES / f"{name}.txt").read_text()


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for each in BATCHES:
        (FILES / f"{each}.txt").write_text(text_of(each))
