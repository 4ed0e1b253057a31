# SPDX-License-Identifier: Apache-2.0
"""Calls of matrix products."""

from __future__ import annotations

from fastcnn.testing import cases
from fastcnn.testing.calls.call import Call, Suite
from fastcnn.testing.case import GemmCase


def gemm_call(case: GemmCase, activation: str | None = None) -> Call:
    """A matrix product with a bias."""
    return Call(
        "gemm", case, {"a": case.a_shape, "b": case.b_shape, "bias": (case.n,)},
        {**case.options, "activation": activation}, (case.m, case.n),
        terms=case.k + 1, linear=("a", "b", "bias"), exact=activation in (None, "relu"),
    )  # fmt: skip


SUITE = Suite(
    every=tuple(gemm_call(case) for case in cases.GEMM),
    views=(
        gemm_call(GemmCase(9, 17, 33)),
        gemm_call(GemmCase(16, 3, 8, transpose_a=True, transpose_b=True)),
    ),
    parallel=tuple(gemm_call(case) for case in cases.GEMM_PARALLEL),
)
