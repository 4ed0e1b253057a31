# SPDX-License-Identifier: Apache-2.0
"""Matrix products on tensor cores: which numbers they take for which, and how far off their sums may be.

That they compute the right thing at all is what tests/kernels asks, on a GPU that has them. Needs compute
capability 8.0, or an emulated GPU that claims to have it: FASTCNN_EMULATED_SM=80.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from device import capability, cupy

from fastcnn import _native, ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, conv_calls, gemm_call
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import UNIT, assert_same_bits, assert_within, gamma, sum_bound
from fastcnn.testing.fill import integers, poisoned, reals

if capability() < 80:
    pytest.skip("the GPU has no tensor cores that take float32", allow_module_level=True)

UNITS = {"tf32": 2.0**-11, "bfloat16": 2.0**-8}
"""Unit roundoffs of what the operands are rounded to."""


def with_precision(name: str) -> Iterator[float]:
    _native.set_gpu_precision(name)
    yield UNITS[name]
    _native.set_gpu_precision("float32")


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> Iterator[float]:
    """Products of rounded numbers."""
    yield from with_precision(request.param)


@pytest.fixture
def tf32() -> Iterator[float]:
    yield from with_precision("tf32")


@pytest.fixture
def bfloat16() -> Iterator[float]:
    yield from with_precision("bfloat16")


# Tiles that are full and that are not, rows that can be read by sixteen bytes and that cannot, every
# transposition, and, last, a product that takes large tiles.
GEMM = (
    *(
        cases.GemmCase(m, n, k, transpose_a=a, transpose_b=b)
        for m, n, k in ((64, 64, 32), (129, 68, 52), (67, 131, 33), (5, 3, 16))
        for a in (False, True)
        for b in (False, True)
    ),
    cases.GemmCase(21, 20, 2100),  # a sum that is cut
    cases.GemmCase(1400, 1500, 20),
    cases.GemmCase(1430, 1503, 17, transpose_a=True),
)
# Of each pass a full and a ragged tile, channels that are fours and that are not, strides, dilation, groups.
CONV = (
    cases.ConvCase(2, 9, 8, 16, 32, padding="same"),
    cases.ConvCase(1, 9, 10, 20, 18, r=3, s=2, strides=(2, 3), padding=1),
    cases.ConvCase(2, 7, 6, 3, 24, r=5, s=5, strides=(2, 2), padding=2),
    cases.ConvCase(2, 6, 7, 36, 44, groups=2, dilation_rate=(2, 1), padding=2),
    cases.ConvCase(2, 5, 5, 65, 31, r=1, s=1, strides=(2, 2)),
    cases.ConvCase(1, 4, 5, 36, 32, padding="same"),  # sums that are cut
    cases.ConvCase(1, 5, 6, 72, 136, groups=2, strides=(2, 2), padding=1),  # in which some parts are empty
)
LARGE = cases.ConvCase(1, 130, 128, 2, 8, padding="same")  # whose forward pass takes large tiles
CALLS = [
    *map(gemm_call, GEMM),
    *(call for case in CONV for call in conv_calls(case)),
    next(conv_calls(LARGE)),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.usefixtures("unit")
def test_rounded_operands_are_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_have_the_error_of_float32(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


def test_long_sums_of_one_sign_have_the_error_of_float32(rng: np.random.Generator) -> None:
    k = 1000  # short of a sum that is cut
    a, b = (np.abs(reals(rng, shape)) for shape in ((16, k), (k, 16)))
    wanted = a.astype(np.float64) @ b
    y = ops.gemm(a, b, out=poisoned(wanted.shape))
    assert_within(y, wanted, sum_bound(wanted, wanted, k), "gemm")
    # Tensor cores would cut all sums of parts off in one direction: no error here would be above zero.
    assert (y > wanted).any()
    assert (y < wanted).any()


def test_rounded_operands_within_their_bound(unit: float, rng: np.random.Generator) -> None:
    """Each factor is off by `unit` at most, and sums are cut off: 2 u for each of their terms."""
    k = 200
    a, b = reals(rng, (40, k)), reals(rng, (k, 70))
    wanted, magnitude = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    products = 2.0 * unit + unit * unit
    bound = (products + (1.0 + products) * gamma(2.0 * k)) * magnitude + UNIT * np.abs(wanted)
    y = ops.gemm(a, b, out=poisoned(wanted.shape))
    assert_within(y, wanted, bound, "gemm")
    with pytest.raises(AssertionError, match="outside the bound"):
        assert_within(y, wanted, sum_bound(wanted, magnitude, k), "float32")


@pytest.mark.usefixtures("tf32")
def test_tf32_rounds_to_nearest() -> None:
    a = np.eye(16, dtype=np.float32)
    below, above = np.float32(1 + 2.0**-11 - 2.0**-23), np.float32(1 + 2.0**-11)
    b = np.full((16, 4), [below, above, -below, -above], np.float32)
    y = ops.gemm(a, b)
    assert_same_bits(y, np.full((16, 4), [1, 1 + 2.0**-10, -1, -1 - 2.0**-10], np.float32), "gemm")


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_rounds_to_nearest_ties_to_even() -> None:
    a = np.eye(16, dtype=np.float32)
    tie, odd = np.float32(1 + 2.0**-8), np.float32(1 + 3 * 2.0**-8)
    b = np.full((16, 6), [tie, np.nextafter(tie, np.float32(2)), -tie, odd, np.inf, 2.0**-130], np.float32)
    y = ops.gemm(a, b)
    assert_same_bits(y[0, :4], np.float32([1, 1 + 2.0**-7, -1, 1 + 2.0**-6]), "gemm")
    assert np.isnan(y[0, 4])  # 0 times infinity, elsewhere in the sum
    assert y[0, 5] == np.float32(2.0**-130)


@pytest.mark.usefixtures("unit")
def test_strict_math_rounds_nothing(rng: np.random.Generator) -> None:
    for call in conv_calls(CONV[0]):
        strict = dict(call.options, math="strict")
        arrays = call.reals(rng)
        wanted = call.reference(arrays)
        assert_within(getattr(ops, call.op)(**arrays, **strict), wanted, call.bound(arrays, wanted), call.op)


def test_what_has_no_halves() -> None:
    """Infinities, NaN and numbers next to the largest one: the results of float32."""
    a, b = np.ones((70, 48), np.float32), np.ones((48, 66), np.float32)
    largest = np.finfo(np.float32).max
    a[3, 5], a[4, 7], a[5, 2] = np.inf, largest, -np.inf
    b[2, 9], b[7, :], b[1, 64], b[40, 65] = np.nan, 0.5, np.inf, -np.inf
    y = ops.gemm(a, b)
    with np.errstate(invalid="ignore"):
        wanted = a @ b
    assert_within(y, wanted.astype(np.float64), sum_bound(wanted, np.abs(wanted), 48), "gemm")
    assert np.isinf(y[3, 0])
    assert np.isnan(y[3, 65])
    assert y[4, 0] == np.float32(0.5) * largest


def test_every_run_has_the_same_bits(rng: np.random.Generator) -> None:
    a, b = reals(rng, (20, 1100)), reals(rng, (1100, 66))  # a sum that is cut
    first = ops.gemm(a, b)
    for _ in range(3):
        assert_same_bits(ops.gemm(a, b), first, "gemm")


def test_bytes_of_any_alignment(rng: np.random.Generator) -> None:
    memory = cupy.asarray(integers(rng, (1 + 64 * 32,)))
    plain = ops.gemm.__wrapped__  # the operator itself, which the other tests find sending arrays to the GPU
    for first in (0, 1):
        a = memory[first : first + 64 * 32].reshape(64, 32)
        b = cupy.asarray(integers(rng, (32, 64)))
        y = cupy.asnumpy(plain(a, b))
        assert_same_bits(y, cupy.asnumpy(a) @ cupy.asnumpy(b), "gemm")
