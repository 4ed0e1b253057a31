# SPDX-License-Identifier: Apache-2.0
"""Calls of activations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcnn.testing import cases, compare, reference
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import RowsCase
from fastcnn.testing.fill import F32


def rows_calls(case: RowsCase) -> Iterator[Call]:
    """Every activation, forward and backward."""
    shape = (case.rows, case.cols)
    for name in reference.ACTIVATIONS:
        yield Call(name, case, {"x": shape}, {}, shape, exact=name == "relu", error=_FORWARD.get(name))
        terms = case.cols + 2 if name == "softmax" else 2
        yield Call(
            f"{name}_bwd", case, {"dy": shape, "y": shape}, {}, shape, terms, exact=name == "relu",
            error=_BACKWARD.get(name), derive=_output_of_forward,
        )  # fmt: skip


def _output_of_forward(call: Call, arrays: dict[str, F32]) -> dict[str, F32]:
    """An output that a backward pass takes is what its forward pass would give."""
    y = reference.ACTIVATIONS[call.op.removesuffix("_bwd")](arrays["y"])
    return {**arrays, "y": y.astype(np.float32)}


def _softmax_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    return compare.softmax_bound(arrays["x"], wanted)


def _activation_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    return compare.activation_bound(wanted, 0.0, call.op)


def _sigmoid_bwd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    return compare.rounding_bound(wanted, 4)


def _tanh_bwd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of the terms of ``dy (1 - y^2)``."""
    dy, y = np.abs(arrays["dy"].astype(np.float64)), np.abs(arrays["y"].astype(np.float64))
    return compare.sum_bound(wanted, dy * (1.0 + y * y), call.terms)


def _softmax_bwd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    """Of the terms of ``y (dy - dy.y)``."""
    dy, y = np.abs(arrays["dy"].astype(np.float64)), np.abs(arrays["y"].astype(np.float64))
    terms: Real = y * (dy + (dy * y).sum(axis=-1, keepdims=True))
    return compare.sum_bound(wanted, terms, call.terms)


_FORWARD = {"softmax": _softmax_error, "sigmoid": _activation_error, "tanh": _activation_error}
_BACKWARD = {"softmax": _softmax_bwd_error, "sigmoid": _sigmoid_bwd_error, "tanh": _tanh_bwd_error}

SUITE = Suite(
    every=tuple(call for case in cases.ROWS for call in rows_calls(case)),
    views=tuple(rows_calls(RowsCase(5, 19))),
    parallel=tuple(rows_calls(RowsCase(3001, 130))),
)
