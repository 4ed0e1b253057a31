# SPDX-License-Identifier: Apache-2.0
"""The references of normalizations: gradients against central differences, values by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_reference import assert_gradient

from fastcnn.testing import reference as ref

X_SHAPE = (3, 2, 4)
GRADIENTS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "batch": ("batch_norm", {}, (4,)),
    "given": ("batch_norm", {"mean": [0.5, -1, 0, 2], "variance": [1, 2, 0.5, 3]}, (4,)),
    "group": ("group_norm", {"groups": 2}, (4,)),
    "instance": ("instance_norm", {}, (4,)),
    "layer": ("layer_norm", {}, (4,)),
    "layer over two axes": ("layer_norm", {"axis": (1, 2)}, (2, 4)),
    "rms": ("rms_norm", {}, (4,)),
    "unit": ("unit_norm", {}, ()),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str, rng: np.random.Generator) -> None:
    op, options, shape = GRADIENTS[name]
    forward, backward = getattr(ref, op), getattr(ref, f"{op}_bwd")
    x, dy = rng.standard_normal(X_SHAPE), rng.standard_normal(X_SHAPE)
    if not shape:
        assert_gradient(lambda v: float((dy * forward(v, **options)).sum()), backward(dy, x, **options), x)
        return
    gamma, beta = rng.standard_normal(shape), rng.standard_normal(shape)
    with_beta = {} if op == "rms_norm" else {"beta": beta}

    def scalar(x: Any, gamma: Any, **rest: Any) -> float:
        return float((dy * forward(x, gamma, **rest, **options)).sum())

    dx, dgamma, *dbeta = backward(dy, x, gamma, **options)
    assert_gradient(lambda v: scalar(v, gamma, **with_beta), dx, x)
    assert_gradient(lambda v: scalar(x, v, **with_beta), dgamma, gamma)
    if dbeta:
        assert_gradient(lambda v: scalar(x, gamma, beta=v), dbeta[0], beta)


def test_by_hand() -> None:
    x = np.array([[1.0, 10.0], [3.0, 30.0]])
    assert ref.batch_norm(x, epsilon=3.0)[:, 0].tolist() == [-0.5, 0.5]
    assert ref.batch_norm(x, [2.0, 1.0], [1.0, 0.0], epsilon=0.0).tolist() == [[-1.0, -1.0], [3.0, 1.0]]
    assert ref.batch_norm(x, mean=[1.0, 0.0], variance=[4.0, 25.0], epsilon=0.0).tolist() == [[0, 2], [1, 6]]
    _, mean, variance = ref.batch_norm_train(x, momentum=0.5)
    assert mean.tolist() == [1.0, 10.0]
    assert variance.tolist() == [1.0, 50.5]
    assert ref.layer_norm(x, epsilon=0.0).tolist() == [[-1.0, 1.0], [-1.0, 1.0]]
    assert ref.rms_norm([[3.0, 3.0]], epsilon=0.0).tolist() == [[1.0, 1.0]]
    assert ref.unit_norm([[0.0, 4.0], [0.0, 0.0]]).tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert ref.group_norm([[1.0, 3.0, 10.0, 30.0]], groups=2, epsilon=0.0).tolist() == [[-1, 1, -1, 1]]


def test_unit_norm_at_its_limit() -> None:
    assert ref.unit_norm([[0.25, 0.0]], epsilon=0.5).tolist() == [[0.5, 0.0]]
    assert ref.unit_norm_bwd([[1.0, 3.0]], [[0.25, 0.0]], epsilon=0.5).tolist() == [[2.0, 6.0]]
