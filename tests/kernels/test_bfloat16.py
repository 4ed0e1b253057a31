# SPDX-License-Identifier: Apache-2.0
"""Products of matrices in bfloat16: those of the rounded operands, whose sums have float32's error.

Where the processor has neither AMX nor AVX512-BF16 they are refused; ``make test-avx512`` emulates both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import fastcnn
from fastcnn import DeviceError, _native, ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Arrays, Call, conv_calls, conv_nd_calls, gemm_call
from fastcnn.testing.check import check_exact, run_poisoned
from fastcnn.testing.compare import assert_same_bits, assert_within
from fastcnn.testing.fill import F32, bfloat16, reals

has_bfloat16 = pytest.mark.skipif(not _native.bfloat16_pays(), reason="no products of bfloat16, or slow ones")
not_amx = pytest.mark.skipif(_native.isa() == "amx_bf16", reason="AMX multiplies these as floats")

GEMM = (
    *cases.GEMM_PARALLEL[:3],
    *(
        cases.GemmCase(m, n, k, transpose_a, transpose_b)
        for m, n, k in ((65, 77, 301), (200, 140, 400), (72, 66, 47))
        for transpose_a in (False, True)
        for transpose_b in (False, True)
    ),
    cases.GemmCase(50, 512, 300),
    cases.GemmCase(48, 48, 6001),
)
CONV = (
    cases.ConvCase(2, 9, 10, 32, 40, padding="same"),
    cases.ConvCase(3, 11, 9, 17, 33, strides=(2, 2), padding=1),
    cases.ConvCase(2, 12, 11, 33, 48, strides=(1, 2), dilation_rate=(2, 1), padding=2),
    cases.ConvCase(2, 14, 14, 6, 32, r=5, s=5),
    cases.ConvCase(3, 9, 9, 65, 66, r=1, s=1),
    cases.ConvCase(5, 10, 11, 64, 192, r=1, s=1, strides=(2, 2)),
    cases.ConvCase(6, 13, 15, 33, 48, r=1, s=1, strides=(3, 2)),
    cases.ConvCase(4, 14, 11, 64, 96, r=1, s=1, strides=(1, 2), groups=2),
    cases.ConvCase(2, 8, 9, 64, 96, groups=2, padding="same"),
    # Bands that tasks round themselves: of one image, of several, with zeros, by groups, of strided outputs.
    cases.ConvCase(2, 30, 31, 32, 48, r=1, s=1),
    cases.ConvCase(40, 6, 5, 32, 64, r=1, s=1),
    cases.ConvCase(19, 15, 13, 16, 40, padding=2, dilation_rate=(2, 1), groups=2),
    cases.ConvCase(18, 16, 17, 14, 34, r=5, s=4, strides=(2, 3), padding=2),
    # Panels that tasks pack themselves, bands that are copied, few channels of a filter row.
    cases.ConvCase(2, 7, 7, 64, 300, padding=1),
    cases.ConvCase(17, 20, 19, 16, 32, padding=1),
    cases.ConvCase(4, 30, 31, 4, 32, padding=2, r=5, s=5),
)
# Whose pairs run through the taps of a filter row, but for strict math.
JOINED = (
    cases.ConvCase(3, 21, 23, 3, 40, r=7, s=7, strides=(2, 2), padding=3),
    cases.ConvCase(2, 30, 32, 3, 48, strides=(2, 2), padding="same"),
    cases.ConvCase(2, 30, 31, 3, 48, strides=(1, 2), padding=0),
    cases.ConvCase(3, 19, 28, 5, 33, r=2, s=4, strides=(3, 2), dilation_rate=(2, 1), padding=1),
    cases.ConvCase(5, 16, 40, 1, 64, r=5, s=6, strides=(2, 4), padding=5),
)
CALLS: list[Call] = [gemm_call(case) for case in GEMM]
# Lanes of pixels compute the gradient of few channels, in float32.
CALLS += [call for case in CONV for call in conv_calls(case) if call.op != "conv2d_dgrad" or case.c > 8]
# Whose steps are these convolutions too: transposed, of sequences, of volumes.
TAPS = [next(call for call in conv_calls(case) if call.op == "conv2d") for case in JOINED]
OTHERS = [call for i in (0, 2, 4, 6) for call in conv_nd_calls(cases.CONV_ND_PARALLEL[i])]


@pytest.fixture
def in_bfloat16() -> Iterator[None]:
    """Operators of `ops` round what they multiply."""
    _native.set_cpu_precision("bfloat16")
    yield
    _native.set_cpu_precision("float32")


def run_directly(call: Call, arrays: Arrays) -> F32:
    """Without Winograd's kernels, which have an error of their own and round nothing."""
    options = call.options if call.op == "gemm" else {**call.options, "math": "strict"}
    return run_poisoned(replace(call, options=options), arrays)


@has_bfloat16
@pytest.mark.parametrize("call", [*CALLS, *TAPS, *OTHERS], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator, in_bfloat16: None) -> None:
    check_exact(call, rng)


@has_bfloat16
@pytest.mark.parametrize("call", [*CALLS, *(pytest.param(call, marks=not_amx) for call in TAPS)], ids=str)
def test_operands_are_rounded_and_their_sums_are_not(
    call: Call, rng: np.random.Generator, in_bfloat16: None
) -> None:
    run = run_poisoned if call in TAPS else run_directly
    arrays = call.reals(rng)
    rounded = {name: value if name == "bias" else bfloat16(value) for name, value in arrays.items()}
    y = run(call, arrays)
    assert_same_bits(y, run(call, rounded), str(call))
    wanted = call.reference(rounded)
    assert_within(y, wanted, call.bound(rounded, wanted), str(call))
    _native.set_cpu_precision("float32")
    assert not np.array_equal(run(call, arrays), y), "computed in float32"


@has_bfloat16
@pytest.mark.parametrize("call", TAPS, ids=str)
def test_infinity_beside_a_window_in_strict_math(
    call: Call, rng: np.random.Generator, in_bfloat16: None
) -> None:
    """The zero beside the last of an odd number of weights meets no pixel behind the window."""
    real = call.reals(rng)
    for column in (8, 9, 10, 11):
        arrays = {name: value.copy() for name, value in real.items()}
        arrays["x"][:, :, column] = np.inf
        _native.set_cpu_precision("bfloat16")
        y = run_directly(call, arrays)
        _native.set_cpu_precision("float32")
        finite = np.isfinite(run_directly(call, arrays))
        assert finite.any()
        assert np.array_equal(np.isfinite(y), finite), column


@has_bfloat16
@pytest.mark.parametrize("call", [*CALLS, *TAPS], ids=str)
def test_same_bits_on_any_number_of_threads(
    call: Call, rng: np.random.Generator, in_bfloat16: None, keep_threads: None
) -> None:
    arrays = call.reals(rng)
    results = []
    for threads in (1, 2, 5):
        fastcnn.set_num_threads(threads)
        results.append(run_poisoned(call, arrays))
    for y in results[1:]:
        assert_same_bits(y, results[0], str(call))


@has_bfloat16
@pytest.mark.parametrize("activation", ["relu", "relu6", "tanh"])
@pytest.mark.parametrize("call", [CALLS[0], next(conv_calls(CONV[0]))], ids=str)
def test_activation(call: Call, activation: str, rng: np.random.Generator, in_bfloat16: None) -> None:
    arrays = {name: value if name == "bias" else bfloat16(value) for name, value in call.reals(rng).items()}
    activated = replace(call, options={**call.options, "activation": activation})
    wanted = activated.reference(arrays)
    assert_within(run_directly(activated, arrays), wanted, activated.bound(arrays, wanted), str(activated))


@has_bfloat16
def test_numbers_that_bfloat16_has_not(in_bfloat16: None) -> None:
    """Infinity, NaN, what rounds to infinity, and what is too small."""
    a, b = np.ones((65, 64), np.float32), np.ones((64, 65), np.float32)
    special = {0: np.inf, 1: np.nan, 2: np.finfo(np.float32).max, 3: 1e-40, 4: 2.0**-126}
    for row, value in special.items():
        a[row] = 0
        a[row, 5] = value
    y = ops.gemm(a, b)
    assert np.isinf(y[0]).all()
    assert np.isnan(y[1]).all()
    assert np.isinf(y[2]).all()
    assert not y[3].any()
    assert (y[4] == 2.0**-126).all()


@has_bfloat16
def test_small_products_stay_in_float32(rng: np.random.Generator, in_bfloat16: None) -> None:
    a, b = reals(rng, (5, 7)), reals(rng, (7, 9))
    y = ops.gemm(a, b)
    _native.set_cpu_precision("float32")
    assert_same_bits(ops.gemm(a, b), y, "a small product")


@has_bfloat16
def test_sums_of_few_steps_stay_in_float32(rng: np.random.Generator, in_bfloat16: None) -> None:
    """However many: they take what their outputs do to write."""
    a, b = reals(rng, (8, 2048)), reals(rng, (8, 1000))
    y = ops.gemm(a, b, transpose_a=True)
    _native.set_cpu_precision("float32")
    assert_same_bits(ops.gemm(a, b, transpose_a=True), y, "a product of eight steps")


@pytest.mark.skipif(_native.bfloat16(), reason="this processor has it")
def test_refused_elsewhere() -> None:
    with pytest.raises(DeviceError, match=r"needs AMX or AVX512-BF16 \(.*\); wanted 'float32'"):
        _native.set_cpu_precision("bfloat16")
    model = fastcnn.Sequential([fastcnn.layers.Dense(1)])
    with pytest.raises(DeviceError, match="compile: precision is 'bfloat16', which needs AMX or AVX512-BF16"):
        model.compile("sgd", "mse", device="cpu", precision="bfloat16")
    assert model.get_compile_config() is None
