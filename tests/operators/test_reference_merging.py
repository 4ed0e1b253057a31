# SPDX-License-Identifier: Apache-2.0
"""The references of merges and moves: gradients against central differences, values by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_reference import assert_gradient

from fastcnn.testing import cases
from fastcnn.testing import reference as ref

PAIRS = (
    ((2, 3, 4), (2, 3, 4)),
    ((2, 3, 4), (2, 1, 4)),
    ((3, 1), (2, 1, 4)),
    ((4,), (3, 2, 4)),
    ((1,), (2, 3)),
)


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("op", ["add", "subtract", "average", "multiply", "maximum", "minimum"])
def test_merge_gradients(
    op: str, first: tuple[int, ...], second: tuple[int, ...], rng: np.random.Generator
) -> None:
    # Distinct values far more than a step apart: the choice does not change hands.
    count = int(np.prod(first))
    values = rng.permutation(np.arange(float(count + np.prod(second)))) / 4
    x = [values[:count].reshape(first), values[count:].reshape(second)]
    forward = getattr(ref, op)
    dy = rng.standard_normal(forward(*x).shape)
    for index in (0, 1):
        arguments: dict[str, dict[str, Any]] = {
            "add": {"input_shape": x[index].shape},
            "average": {"input_shape": x[index].shape},
            "subtract": {"input_shape": x[index].shape, "index": index},
            "multiply": {"other": x[1 - index], "input_shape": x[index].shape},
            "maximum": {"x1": x[0], "x2": x[1], "index": index},
            "minimum": {"x1": x[0], "x2": x[1], "index": index},
        }
        gradient = getattr(ref, f"{op}_bwd")(dy, **arguments[op])

        def scalar(v: np.ndarray, index: int = index) -> float:
            return float((dy * forward(*(v if k == index else x[k] for k in (0, 1)))).sum())

        assert_gradient(scalar, gradient, x[index])


def test_concatenate_gradients(rng: np.random.Generator) -> None:
    x = [rng.standard_normal((2, size, 3)) for size in (2, 1, 3)]
    dy = rng.standard_normal((2, 6, 3))
    for index in range(3):
        gradient = ref.concatenate_bwd(dy, (2, 1, 3), index, axis=1)

        def scalar(v: np.ndarray, index: int = index) -> float:
            return float((dy * ref.concatenate([v if k == index else x[k] for k in range(3)], 1)).sum())

        assert_gradient(scalar, gradient, x[index])


MOVES = (
    ("reshape", cases.MoveCase((2, 3, 4), {"target_shape": (2, -1)})),
    ("permute", cases.MoveCase((2, 3, 4, 2), {"dims": (3, 1, 2)})),
    ("zero_padding", cases.MoveCase((2, 3, 2, 2), {"padding": ((1, 0), (0, 2))})),
    ("zero_padding", cases.MoveCase((2, 3, 2), {"padding": (1, 2)})),
    ("cropping", cases.MoveCase((2, 4, 5, 2), {"cropping": ((1, 0), (0, 2))})),
    ("cropping", cases.MoveCase((2, 4, 3, 5, 2), {"cropping": (1, 0, 2)})),
    ("upsampling", cases.MoveCase((2, 3, 2, 2), {"size": (2, 3)})),
    ("upsampling", cases.MoveCase((1, 3, 2, 2), {"size": (2, 3), "interpolation": "bilinear"})),
    ("repeat_vector", cases.MoveCase((2, 3), {"n": 4})),
)


@pytest.mark.parametrize(("op", "case"), MOVES, ids=str)
def test_move_gradients(op: str, case: cases.MoveCase, rng: np.random.Generator) -> None:
    x = rng.standard_normal(case.x_shape)
    forward = getattr(ref, op)
    dy = rng.standard_normal(forward(x, **case.options).shape)
    options = {} if op == "repeat_vector" else dict(case.options)
    if op == "reshape":
        options = {"input_shape": x.shape}
    gradient = getattr(ref, f"{op}_bwd")(dy, **options)
    assert_gradient(lambda v: float((dy * forward(v, **case.options)).sum()), gradient, x)


def test_by_hand() -> None:
    x = np.array([[0.0, 4.0], [8.0, 12.0]]).reshape(1, 2, 2, 1)
    assert ref.upsampling(x, (1, 2), "bilinear")[0, :, :, 0].tolist() == [[0, 1, 3, 4], [8, 9, 11, 12]]
    assert ref.upsampling(x, (1, 3), "bilinear")[0, 0, :, 0] == pytest.approx([0, 0, 4 / 3, 8 / 3, 4, 4])
    assert ref.upsampling(x, (2, 1))[0, :, 0, 0].tolist() == [0, 0, 8, 8]
    assert ref.zero_padding(x, ((1, 0), (0, 1)))[0, :, :, 0].tolist() == [[0, 0, 0], [0, 4, 0], [8, 12, 0]]
    assert ref.cropping(x, ((1, 0), (0, 1)))[0, :, :, 0].tolist() == [[8]]
    assert ref.permute(x, (2, 1, 3))[0, :, :, 0].tolist() == [[0, 8], [4, 12]]
    one = np.ones(2)
    assert ref.maximum_bwd(one, [1.0, np.nan], [1.0, 2.0], 0).tolist() == [1, 1]
    assert ref.minimum_bwd(one, [1.0, 2.0], [1.0, np.nan], 1).tolist() == [0, 1]
