# SPDX-License-Identifier: Apache-2.0
"""Matrix product with transposes, bias and activation."""

from __future__ import annotations

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import gemm_call
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_exact, assert_same_bits
from fastcnn.testing.fill import integers, reals

QUICK = (*cases.GEMM, *cases.GEMM_PARALLEL)
SOME = (
    cases.GemmCase(5, 7, 3),
    cases.GemmCase(33, 65, 17, transpose_a=True),
    cases.GemmCase(16, 31, 64),
    # A vector times a matrix, dot products, partial sums.
    cases.GemmCase(1, 37, 19),
    cases.GemmCase(37, 1, 19),
    cases.GemmCase(3, 11, 50, transpose_b=True),
    cases.GemmCase(20, 18, 6000),
    cases.GemmCase(9, 1, 9000),
    cases.GemmCase(8, 2048, 40),  # rows of b added to those of y
)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_exact_on_integers(case: cases.GemmCase, rng: np.random.Generator) -> None:
    check_exact(gemm_call(case), rng)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_reals_within_bound(case: cases.GemmCase, rng: np.random.Generator) -> None:
    check_bound(gemm_call(case), rng)


@pytest.mark.full
@pytest.mark.parametrize("case", cases.GEMM_FULL, ids=str)
def test_exact_on_integers_long(case: cases.GemmCase, rng: np.random.Generator) -> None:
    check_exact(gemm_call(case), rng)


@pytest.mark.full
@pytest.mark.parametrize("case", cases.GEMM_FULL, ids=str)
def test_reals_within_bound_long(case: cases.GemmCase, rng: np.random.Generator) -> None:
    check_bound(gemm_call(case), rng)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_without_bias(case: cases.GemmCase, rng: np.random.Generator) -> None:
    call = gemm_call(case)
    arrays = {name: integers(rng, call.shapes[name], case.k) for name in ("a", "b")}
    assert_exact(call.run(arrays), call.reference(arrays), str(call))


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_activation(case: cases.GemmCase, activation: str, rng: np.random.Generator) -> None:
    check_bound(gemm_call(case, activation), rng)


@pytest.mark.parametrize(("m", "n", "k"), [(300, 128, 250), (40, 192, 150)], ids=["packed", "copied"])
def test_same_bits_wherever_b_begins(m: int, n: int, k: int, rng: np.random.Generator) -> None:
    a, b = reals(rng, (m, k)), reals(rng, (k, n))
    memory = np.empty(b.size + 32, np.float32)
    line = -memory.ctypes.data // memory.itemsize % 16
    results = []
    for shift in (0, 1):
        at = memory[line + shift :][: b.size].reshape(b.shape)
        at[:] = b
        results.append(ops.gemm(a, at))
    assert_same_bits(results[1], results[0], "gemm of a b that begins in the middle of a line")


def test_softmax_is_over_the_columns(rng: np.random.Generator) -> None:
    a, b = reals(rng, (5, 9)), reals(rng, (9, 10))
    fused = ops.gemm(a, b, activation="softmax")
    assert_same_bits(fused, ops.softmax(ops.gemm(a, b)), "gemm with softmax")


def test_zero_times_infinity_is_nan() -> None:
    a = np.array([[0.0, 1.0]], np.float32)
    b = np.array([[np.inf, 1.0], [2.0, 3.0]], np.float32)
    y = ops.gemm(a, b)
    assert np.isnan(y[0, 0])
    assert y[0, 1] == 3.0
