# SPDX-License-Identifier: Apache-2.0
"""Calls of what merges tensors and moves their elements."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastcnn.testing import cases, compare, reference
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import ConcatenateCase, MergeCase, MoveCase

LINEAR = ("add", "subtract", "average")
SELECTING = ("maximum", "minimum")


def merge_calls(case: MergeCase) -> Iterator[Call]:
    """Every merge of two arrays, and the gradients for both."""
    pair = {"x1": case.x1_shape, "x2": case.x2_shape}
    dy = {"dy": case.y_shape}
    for op in (*LINEAR, "multiply", *SELECTING):
        error = None if op in SELECTING else _one_rounding
        yield Call(op, case, pair, {}, case.y_shape, exact=True, error=error)
    for index, (mine, other) in enumerate((pair.values(), tuple(pair.values())[::-1])):
        terms, shape = case.terms(index), {"input_shape": mine}
        both = {"dy": case.y_shape, **pair}
        for op in LINEAR:
            options: dict[str, Any] = {**shape, "index": index} if op == "subtract" else {**shape}
            yield Call(f"{op}_bwd", case, dy, options, mine, terms, exact=True, error=_sum)
        yield Call("multiply_bwd", case, {**dy, "other": other}, shape, mine, terms, exact=True, error=_sum)
        for op in SELECTING:  # of few elements none may be chosen, and zeros prove nothing
            options = {"index": index}
            exact = min(math.prod(case.x1_shape), math.prod(case.x2_shape)) >= 8
            yield Call(f"{op}_bwd", case, both, options, mine, terms, ("dy",), exact)


def concatenate_calls(case: ConcatenateCase) -> Iterator[Call]:
    """Forward, and the gradient for each input."""
    inputs = {f"x{i}": shape for i, shape in enumerate(case.x_shapes)}
    axis = {"axis": case.axis}
    yield Call("concatenate", case, inputs, axis, case.y_shape, exact=True, listed="inputs")
    for index, shape in enumerate(case.x_shapes):
        options = {**axis, "sizes": case.sizes, "index": index}
        yield Call("concatenate_bwd", case, {"dy": case.y_shape}, options, shape, exact=True)


def move_calls(op: str, case: MoveCase) -> Iterator[Call]:
    """Forward and backward: one is linear in its argument as the other is."""
    y_shape = getattr(reference, op)(np.zeros(case.x_shape, np.float32), **case.options).shape
    bilinear = case.options.get("interpolation") == "bilinear"
    options = {} if op == "repeat_vector" else case.options
    factors = _factors(op, case)
    # A power of two divides the weights of a bilinear enlargement.
    exact = not bilinear or all(factor & (factor - 1) == 0 for factor in factors)
    # Two weights for each axis, each rounded, times and plus; twice as far to either side the other way.
    fwd = 6 if bilinear else 1
    bwd = math.prod(2 * factor for factor in factors) + 4 if bilinear else math.prod(factors)
    linear = {"x": ("x",), "dy": ("dy",)} if bilinear or op in SUMMED else {"x": (), "dy": ()}
    yield Call(op, case, {"x": case.x_shape}, case.options, y_shape, fwd, linear["x"] * bilinear, exact)
    yield Call(f"{op}_bwd", case, {"dy": y_shape}, options, case.x_shape, bwd, linear["dy"], exact)


SUMMED = ("upsampling", "repeat_vector")


def _factors(op: str, case: MoveCase) -> tuple[int, ...]:
    """How often each element is repeated along each axis."""
    if op == "repeat_vector":
        return (case.options["n"],)
    size = case.options.get("size", 1)
    return size if isinstance(size, tuple) else (size,) * (len(case.x_shape) - 2)


def _one_rounding(call: Call, arrays: Arrays, wanted: Real) -> Real:
    return compare.rounding_bound(wanted, 1)


def _sum(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of sums whose sign or share does not matter to the error of its terms."""
    terms = {name: np.abs(array) for name, array in arrays.items()}
    magnitude = np.abs(getattr(reference, call.op)(**terms, **call.options))
    return compare.sum_bound(wanted, magnitude, call.terms)


MOVES = {
    "permute": cases.PERMUTE,
    "zero_padding": cases.ZERO_PADDING,
    "cropping": cases.CROPPING,
    "upsampling": cases.UPSAMPLING,
    "repeat_vector": cases.REPEAT_VECTOR,
}


SUITE = Suite(
    every=(
        *(call for case in cases.MERGE for call in merge_calls(case)),
        *(call for case in cases.CONCATENATE for call in concatenate_calls(case)),
        *(call for op, several in MOVES.items() for case in several for call in move_calls(op, case)),
    ),
    views=(
        *merge_calls(MergeCase((5, 6, 19), (5, 1, 19))),
        *concatenate_calls(ConcatenateCase((3, 4, 0), (5, 17))),
        *move_calls("permute", MoveCase((3, 5, 7, 4), {"dims": (3, 1, 2)})),
        *move_calls("zero_padding", MoveCase((3, 5, 7, 4), {"padding": 1})),
        *move_calls("cropping", MoveCase((3, 5, 7, 4), {"cropping": 1})),
        *move_calls("upsampling", MoveCase((3, 5, 7, 4), {"size": 2})),
        *move_calls("upsampling", MoveCase((3, 5, 7, 4), {"size": 3, "interpolation": "bilinear"})),
        *move_calls("repeat_vector", MoveCase((3, 5), {"n": 4})),
    ),
    parallel=(
        *(call for case in cases.MERGE_PARALLEL for call in merge_calls(case)),
        *concatenate_calls(ConcatenateCase((9, 33, 31, 0), (16, 40))),
        *(
            call
            for op, several in cases.MOVE_PARALLEL.items()
            for case in several
            for call in move_calls(op, case)
        ),
    ),
)
