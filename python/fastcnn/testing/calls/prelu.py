# SPDX-License-Identifier: Apache-2.0
"""Calls of PReLU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcnn.testing import cases, compare
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import PreluCase


def prelu_calls(case: PreluCase) -> Iterator[Call]:
    """Forward, the gradient of the input, that of the slopes."""
    x, alpha = case.x_shape, case.alpha_shape
    yield Call("prelu", case, {"x": x, "alpha": alpha}, {}, x, exact=True, error=_one_rounding)
    yield Call("prelu_bwd", case, {"dy": x, "x": x, "alpha": alpha}, {}, x, exact=True, error=_one_rounding)
    terms = int(np.prod(x)) // int(np.prod(alpha))
    yield Call(
        "prelu_alpha_bwd", case, {"dy": x, "x": x}, {"alpha_shape": alpha}, alpha, terms, ("dy",),
        exact=int(np.prod(x)) > 1,  # of one element the gradient may well be 0
        error=_sum_error,
    )  # fmt: skip


def _one_rounding(call: Call, arrays: Arrays, wanted: Real) -> Real:
    return compare.rounding_bound(wanted, 1)


def _sum_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    dy = np.abs(arrays["dy"].astype(np.float64))
    return compare.sum_bound(wanted, -call.reference({**arrays, "dy": dy.astype(np.float32)}), call.terms)


SUITE = Suite(
    every=tuple(call for case in cases.PRELU for call in prelu_calls(case)),
    views=tuple(prelu_calls(PreluCase((2, 3, 4, 5), (1, 1, 5)))),
    parallel=tuple(call for case in cases.PRELU_PARALLEL for call in prelu_calls(case)),
)
