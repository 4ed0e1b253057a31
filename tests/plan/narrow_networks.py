# SPDX-License-Identifier: Apache-2.0
"""What tests of plans of precision="bfloat16" share; they are skipped without a GPU, real or emulated."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from plan_networks import Node, chain, conv2d, dense, initialize, op, pool
from plan_reference import Array
from test_reals import NETWORKS

from fastcnn import _native

if os.environ.get("FASTCNN_TEST_DEVICE") != "cuda":
    pytest.skip("FASTCNN_TEST_DEVICE is not cuda", allow_module_level=True)
pytest.importorskip("cupy")

WHOLE = 256  # bfloat16 holds the whole numbers up to here


def is_held(numbers: Array) -> bool:
    """Whether bfloat16 holds all numbers, and partial sums of what they are the sizes of."""
    unit = 1.0
    while unit > 2.0**-12 and not np.all(numbers / unit == np.floor(numbers / unit)):
        unit /= 2
    return bool(unit > 2.0**-12 and np.abs(numbers).max() <= WHOLE * unit)


REALS = {
    **{name: NETWORKS[name] for name in ("tanh and sigmoid", "perceptron")},
    "rectified": chain(
        (8, 8, 3),
        conv2d(8, 3, padding="same"),
        op("relu"),
        pool("average"),
        op("flatten"),
        dense(6),
        op("softmax"),
    ),
    "large": chain((6, 6, 40), conv2d(32, 3), op("tanh"), op("flatten"), dense(64), op("softmax")),
}


def build(nodes: list[Node], optimizer: Node, loss: Node, precision: str = "bfloat16") -> Any:
    model = _native.Model(nodes)
    initialize(model)
    model.compile(optimizer, loss, "auto", "cuda", precision, "default")
    return model
