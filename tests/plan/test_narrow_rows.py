# SPDX-License-Identifier: Apache-2.0
"""Which rows a plan of precision="bfloat16" takes on a GPU, what it converts, how much it stores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_augmented
from bfloat16_reference import signs
from graph_checks import small
from narrow_networks import REALS, build, is_held
from plan_networks import SGD, SPARSE, SQUARED, Node, chain, conv2d, dense, dropout, op, pool, predict

import fastcnn
from fastcnn.testing import network, reference
from fastcnn.testing.compare import assert_exact, assert_same_bits
from fastcnn.testing.fill import bfloat16, integers

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CAPABILITY = int(os.environ.get("FASTCNN_EMULATED_SM") or 75)


def steps(
    model: Any, mode: str, batch: int, capability: int = CAPABILITY
) -> tuple[int, list[tuple[str, str]]]:
    """Bytes of the arena; layer and kernel of each step."""
    plan = model.plan_for_gpu(mode, batch, capability)
    return plan["arena_bytes"], [(each["layer"], each["kernel"]) for each in plan["steps"]]


@pytest.mark.parametrize(("capability", "algorithm"), [(75, "implicit"), (80, "tensor"), (90, "map")])
def test_the_large_one_takes_tensor_cores(capability: int, algorithm: str) -> None:
    model = build(REALS["large"], SGD, SPARSE)
    few, many = ([kernel for _, kernel in steps(model, "train", batch, capability)[1]] for batch in (16, 512))
    assert f"conv2d_wgrad_{algorithm}_to_float32" in few
    assert f"conv2d_fprop_{algorithm}_bfloat16" in many


@pytest.mark.parametrize(
    "name", sorted(set(test_augmented.NODES) - {"contrast"})
)  # whose results bfloat16 cannot hold
def test_what_has_no_such_row_is_converted(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it, under its name; what the network sees stays exact."""
    monkeypatch.setattr(network, "precision", "bfloat16")
    test_augmented.test_what_a_network_sees(name, 4, False, rng)
    chain = network.Chain((8, 8, 3), test_augmented.NODES[name], network.conv2d(3, 1))
    added = [kernel for layer, kernel in steps(chain.model, "train", 4)[1] if layer.endswith("_1")]
    row = next(i for i, kernel in enumerate(added) if not kernel.startswith("copy_strided"))
    assert added[row - 1 : row + 2 : 2] == ["copy_strided_to_float32", "copy_strided_to_bfloat16"]


@pytest.mark.parametrize(
    "node",
    [
        {"op": "dropout", "rate": 0.5},
        {"op": "dropout", "rate": 0.3},
        {"op": "spatial_dropout", "rate": 0.5, "axes": 2},
        {"op": "gaussian_noise", "stddev": 0.75},
        {"op": "gaussian_dropout", "rate": 0.3},
        {"op": "alpha_dropout", "rate": 0.3},
    ],
    ids=lambda node: str(node["op"]),
)
def test_what_is_drawn_is_rounded_once(
    node: Node, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of float32, read off the gradient of a last kernel of zeros."""
    x = integers(rng, (4, 5, 3, 6))
    seen = []
    for precision in ("float32", "bfloat16"):
        monkeypatch.setattr(network, "precision", precision)
        chain = network.Chain(x.shape[1:], node, op("flatten"), dense(4, use_bias=False))
        chain.model.seed = 2**41 + 12345
        chain.weights = [np.zeros((90, 4), np.float32)]
        chain.train(x, np.eye(4, dtype=np.float32) * -8)
        seen.append(-chain.weights[0])
    assert np.any(seen[0])
    assert_same_bits(seen[1], bfloat16(seen[0]), "drawn")


def test_most_rows_need_no_conversion() -> None:
    """Of a network of usual layers and losses what the caller is given alone does."""
    nodes = chain(
        (8, 8, 3),
        conv2d(8, 3, padding="same"),
        op("relu"),
        pool("max"),
        conv2d(8, 3),
        op("tanh"),
        dropout(0.5),
        op("flatten"),
        dense(6),
        op("softmax"),
    )
    model = build(nodes, SGD, SPARSE)
    _, of_step = steps(model, "train", 8)
    assert [step for step in of_step if step[1].startswith("copy_strided")] == [
        ("weights", "copy_strided_to_bfloat16")
    ]
    assert ("batch", "gather_strided_to_bfloat16") in of_step
    of_weights = [kernel for _, kernel in of_step if "wgrad" in kernel]
    assert len(of_weights) == 2
    assert all(kernel.endswith("_to_float32") for kernel in of_weights)
    _, of_prediction = steps(model, "predict", 8)
    assert [step for step in of_prediction if step[1].startswith("copy_strided")] == [
        ("weights", "copy_strided_to_bfloat16"),
        ("softmax_9", "copy_strided_to_float32"),
    ]


def test_norms_go_into_narrow_weights(rng: np.random.Generator) -> None:
    """Of a prediction: gamma over the root of the variance is one half, and all numbers stay whole."""
    norm = {"op": "batch_norm", "epsilon": 2.0**-10, "momentum": 0.5, "scale": True, "center": True}
    nodes = chain((5, 5, 3), conv2d(8, 3), norm, op("relu"))
    model = build(nodes, SGD, SQUARED)
    kernel, (bias, gain, shift, mean) = 2 * small(rng, (3, 3, 3, 8)), (small(rng, (8,)) for _ in range(4))
    gain[:] = 1
    model.set_parameters([kernel, 2 * bias, gain, shift, 2 * mean, np.full(8, 4 - 2.0**-10, np.float32)])
    x = signs(rng, (4, 5, 5, 3), 0.8)
    wanted = np.maximum(reference.conv2d(x, kernel / 2, bias - mean + shift), 0)
    assert is_held(wanted)
    assert_exact(predict(model, x, 4), wanted, "predictions")
    kernels = [kernel for _, kernel in steps(model, "predict", 4)[1]]
    assert kernels.count("batch_norm_fold_columns_to_bfloat16") == 1
    assert sum(kernel.startswith("copy_strided") for kernel in kernels) == 1


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_arena_is_half_as_large(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the copy of the weights, the workspaces, the places of the maxima and what lives longer so that
    weight gradients go beside the line, 64 MB at most: of many images these are a small part.
    """
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from harness import infer_fastcnn
    from harness.image_networks import IMAGE_NETWORKS

    arenas = {}
    for precision in ("float32", "bfloat16"):
        model = infer_fastcnn.functional(IMAGE_NETWORKS[name])
        loss = fastcnn.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, device="cuda", precision=precision)
        arenas[precision] = {mode: steps(model._bind().native, mode, 512)[0] for mode in ("train", "predict")}
    for mode in ("train", "predict"):
        assert arenas["bfloat16"][mode] < 0.6 * arenas["float32"][mode]
