# SPDX-License-Identifier: Apache-2.0
"""Products in float32, tf32 and bfloat16 on compute capability 9.0, whose operands come by tensor maps.

Needs such a GPU, or an emulated one that claims to be: FASTCNN_EMULATED_SM=90. Shapes are large enough for
these kernels to be chosen, which their rounding shows, or in bfloat16 the plan of a network.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from device import capability, cupy

import fastcnn
from fastcnn import _native, layers, ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, conv_calls, gemm_call
from fastcnn.testing.check import check_bound, check_exact, run_poisoned
from fastcnn.testing.compare import UNIT, assert_same_bits, assert_within, gamma, sum_bound
from fastcnn.testing.fill import integers, poisoned, reals

if capability() != 90:
    pytest.skip("the GPU has other tensor cores", allow_module_level=True)

TF32, BFLOAT16 = 2.0**-11, 2.0**-8  # their unit roundoffs


@pytest.fixture(autouse=True)
def tf32() -> Iterator[None]:
    """Products of numbers of 10 bits."""
    _native.set_gpu_precision("tf32")
    yield
    _native.set_gpu_precision("float32")


@pytest.fixture
def float32(tf32: None) -> None:
    """Of all of float32's."""
    _native.set_gpu_precision("float32")


@pytest.fixture
def bfloat16(tf32: None) -> None:
    """Of 7 bits."""
    _native.set_gpu_precision("bfloat16")


GEMM = (
    cases.GemmCase(1000, 260, 36),
    cases.GemmCase(1027, 264, 100, transpose_b=True),
    cases.GemmCase(5000, 12, 64),
    # The tiles of 128 x 128, 128 x 256, 256 x 128; the others take those of 128 x 64.
    cases.GemmCase(1500, 1412, 20, transpose_b=True),
    cases.GemmCase(16900, 252, 36),
    cases.GemmCase(33800, 124, 36),
)
# Padding, strides by which some classes of pixels have fewer taps than others or none, dilation, channels
# that fill no row of a map.
CONV = (
    cases.ConvCase(2, 33, 31, 36, 68, padding="same"),
    cases.ConvCase(4, 40, 37, 8, 132, r=3, s=2, strides=(2, 2), padding=1),
    cases.ConvCase(2, 32, 33, 72, 76, dilation_rate=(2, 2), padding="same"),
    cases.ConvCase(4, 41, 40, 68, 132, r=1, s=1, strides=(2, 2)),
    cases.ConvCase(2, 34, 35, 40, 72, r=5, s=3, padding=((1, 3), (2, 0))),
)
CALLS = [*map(gemm_call, GEMM), *(call for case in CONV for call in list(conv_calls(case, "relu"))[:2])]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


# In float32, where many more rows are worth splitting b: of every tile, 128 x 128, 256 x 64, 128 x 64,
# 256 x 32, 256 x 16; padding, strides, dilation and channels as above.
FLOAT32 = (
    cases.GemmCase(1400, 1412, 100, transpose_b=True),
    cases.GemmCase(33800, 60, 68),
    cases.GemmCase(9000, 36, 100),
    cases.GemmCase(33800, 28, 68),
    cases.GemmCase(33800, 12, 68),
)
FLOAT32_FPROP = (
    cases.ConvCase(5, 33, 31, 36, 68, padding="same"),
    cases.ConvCase(4, 40, 37, 40, 132, strides=(2, 2), padding=1),
    cases.ConvCase(5, 32, 33, 36, 68, dilation_rate=(2, 2), padding="same"),
    cases.ConvCase(5, 30, 31, 36, 68, r=3, s=2, padding=((1, 3), (2, 0))),
)
FLOAT32_DGRAD = (
    cases.ConvCase(5, 33, 31, 44, 64, dilation_rate=(2, 2), padding="same"),
    cases.ConvCase(4, 40, 37, 8, 132, r=3, s=2, strides=(2, 2), padding=1),
    cases.ConvCase(4, 41, 40, 68, 132, r=1, s=1, strides=(2, 2)),
    cases.ConvCase(5, 30, 31, 68, 36, r=3, s=2, padding=((1, 3), (2, 0))),
)
FLOAT32_CALLS = [
    *map(gemm_call, FLOAT32),
    *(next(iter(conv_calls(case, "relu"))) for case in FLOAT32_FPROP),
    *(list(conv_calls(case))[1] for case in FLOAT32_DGRAD),
]


@pytest.mark.parametrize("call", FLOAT32_CALLS, ids=str)
@pytest.mark.usefixtures("float32")
def test_float32_is_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", FLOAT32_CALLS[::2], ids=str)
@pytest.mark.usefixtures("float32")
def test_float32_has_the_error_of_float32(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.usefixtures("float32")
def test_float32_takes_maps_for_many_rows_alone(rng: np.random.Generator) -> None:
    """Which parts of a sum tensor cores take, 32 terms of it or 8, shows in its last bits."""
    a, b = reals(rng, (9000, 96)), reals(rng, (96, 36))
    assert (ops.gemm(a, b)[:40] != ops.gemm(a[:40], b)).any()


@pytest.mark.usefixtures("float32")
def test_float32_sums_of_one_sign_are_not_cut_off(rng: np.random.Generator) -> None:
    k = 480
    a, b = (np.abs(reals(rng, shape)) for shape in ((9000, k), (k, 12)))
    wanted = a.astype(np.float64) @ b
    y = ops.gemm(a, b, out=poisoned(wanted.shape))
    assert_within(y, wanted, sum_bound(wanted, wanted, k), "gemm")
    assert (y > wanted).any()
    # Four products of big halves are cut off in a step, after 1/4, 2/4, 3/4 and all of its sum: by 2.5 units
    # at most, and by some 0.01 in those of small halves. In one sum for all steps it would be 15.
    assert abs(((y - wanted) / wanted).mean()) < 2.6 * 2.0 * UNIT


@pytest.mark.usefixtures("float32")
def test_float32_has_numbers_without_halves(rng: np.random.Generator) -> None:
    """Infinities, NaN and numbers next to the largest one, in either operand: the results of float32."""
    largest = np.finfo(np.float32).max
    case = cases.ConvCase(5, 30, 31, 68, 68, r=3, s=2, padding=1)
    for call in list(conv_calls(case, "relu"))[:2]:
        arrays = call.reals(rng)
        image, weights = (arrays[name] for name in list(arrays)[:2])
        image[0, 5, 6, 7], image[0, 9, 9, 1], image[1, 20, 3, 2] = np.inf, np.nan, largest
        weights[1, 1, 3, 4], weights[0, 0, 8, 9] = -np.inf, largest
        strict = dict(call.options, math="strict")
        with np.errstate(invalid="ignore", over="ignore"):
            wanted = getattr(ops, call.op)(**arrays, **strict).astype(np.float64)
            y = getattr(ops, call.op)(**arrays, **call.options)
        assert np.isfinite(wanted).any()
        assert not np.isfinite(wanted).all()
        np.testing.assert_array_equal(np.isnan(y), np.isnan(wanted))
        np.testing.assert_array_equal(np.isposinf(y), np.isposinf(wanted))
        np.testing.assert_array_equal(np.isneginf(y), np.isneginf(wanted))


# Worth rounding their operands first; the largest tile, channels that fill no row, classes of pixels.
BFLOAT16_CALLS = [
    gemm_call(cases.GemmCase(1000, 580, 72)),
    gemm_call(cases.GemmCase(516, 1028, 40, transpose_b=True)),
    gemm_call(cases.GemmCase(5600, 580, 16)),
    *list(conv_calls(cases.ConvCase(1, 33, 31, 72, 68, padding="same"), "relu"))[:1],
    *list(conv_calls(cases.ConvCase(1, 33, 32, 64, 72, padding="same"), "relu"))[:2],
    *list(conv_calls(cases.ConvCase(2, 33, 31, 68, 16, r=3, s=3, strides=(2, 2), padding=1), "relu"))[1:2],
]

# Of weight gradients: chunks of channels that are full and that are not, tiles of both widths, strides, sums
# that are cut and that are not.
BFLOAT16_CALLS += [
    list(conv_calls(case))[2]
    for case in (
        cases.ConvCase(2, 11, 10, 72, 40, r=5, s=5, padding=2),
        cases.ConvCase(2, 33, 17, 40, 72, r=5, s=5, padding="same"),
        cases.ConvCase(2, 13, 12, 64, 64, r=7, s=7, strides=(2, 2), padding=3),
        cases.ConvCase(1, 25, 24, 24, 24, r=7, s=7, dilation_rate=(2, 2), padding=((5, 6), (4, 3))),
    )
]


@pytest.mark.parametrize("call", BFLOAT16_CALLS, ids=str)
@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_is_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_within_its_bound(rng: np.random.Generator) -> None:
    check_rounded_products(BFLOAT16, (300, 1028, 200), rng)


# Tiles of 16, 32, 64 and 128 columns; channels and filters that fill them and that do not; strides, dilation,
# sums that are cut and one that is not; and one tap, for which x and dy change places.
FLOAT32_WGRADS = [
    list(conv_calls(case))[2]
    for case in (
        cases.ConvCase(9, 32, 31, 16, 16, padding="same"),
        cases.ConvCase(4, 33, 37, 36, 28, padding="same"),
        cases.ConvCase(12, 31, 33, 20, 44, r=5, s=5, strides=(2, 2), padding=2),
        cases.ConvCase(14, 17, 19, 40, 64, dilation_rate=(2, 2), padding=((1, 2), (3, 0))),
        cases.ConvCase(1, 9, 9, 260, 444, padding="same"),
        cases.ConvCase(8, 25, 24, 20, 260, r=1, s=1),
    )
]


@pytest.mark.parametrize("call", FLOAT32_WGRADS, ids=str)
@pytest.mark.usefixtures("float32")
def test_float32_weight_gradients(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)
    check_bound(call, rng)


@pytest.mark.parametrize("call", [FLOAT32_WGRADS[1], FLOAT32_WGRADS[-1]], ids=str)
@pytest.mark.usefixtures("float32")
def test_float32_weight_gradients_of_what_has_no_halves(call: Call, rng: np.random.Generator) -> None:
    """Infinities and NaN stay in their rows and columns, and the largest numbers are those of float32."""
    arrays = call.integers(rng)
    x, dy = arrays["x"], arrays["dy"]
    x[..., 5], dy[..., 9] = 0, 0
    x[1, 8, 9, 5], dy[2, 3, 4, 9] = np.nan, np.finfo(np.float32).max
    x[0, 7, 7, 18], dy[1, 6, 6, 27] = np.inf, -np.inf
    y = run_poisoned(call, arrays)
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = call.reference(arrays).astype(np.float32)
    assert 0.5 < np.isfinite(wanted).mean() < 1
    np.testing.assert_array_equal(y, wanted)


@pytest.mark.usefixtures("float32")
def test_float32_weight_gradients_take_maps_in_networks() -> None:
    hidden = [layers.Conv2D(24, 3, padding="same"), layers.GlobalAveragePooling2D()]
    model = fastcnn.Sequential([fastcnn.Input((16, 16, 36)), *hidden])
    model.compile("sgd", "mse", device="cuda")
    native = model._bind().native
    assert "conv2d_wgrad_map" in native.describe("train", 64)
    assert "conv2d_wgrad_tensor" in native.describe("train", 1)


def test_bfloat16_takes_maps_in_networks() -> None:
    model = fastcnn.Sequential(
        [
            fastcnn.Input((12, 12, 8)),
            layers.Conv2D(72, 3, padding="same"),
            layers.Conv2D(72, 5, padding="same"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile("sgd", "mse", device="cuda", precision="bfloat16")
    plan = model._bind().native.describe("train", 32)
    assert "conv2d_fprop_map" in plan
    assert "conv2d_dgrad_map" in plan
    assert "conv2d_wgrad_map" in plan


def test_reals_within_the_bound_of_tf32(rng: np.random.Generator) -> None:
    check_rounded_products(TF32, (1000, 260, 200), rng)


def check_rounded_products(unit: float, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Each factor is off by `unit` at most, and sums are cut off: 2 u for each of their terms."""
    m, n, k = shape
    a, b = reals(rng, (m, k)), reals(rng, (k, n))
    wanted, magnitude = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    products = 2.0 * unit + unit * unit
    bound = (products + (1.0 + products) * gamma(2.0 * k)) * magnitude + UNIT * np.abs(wanted)
    assert_within(ops.gemm(a, b, out=poisoned(wanted.shape)), wanted, bound, "gemm")


def test_numbers_are_rounded_by_the_maps() -> None:
    """Of ties they take the even number; the kernels that have no maps take the larger one."""
    tie = np.float32(1 + 2.0**-11)
    for m, even in ((5000, np.float32(1)), (50, np.float32(1 + 2.0**-10))):
        a, b = np.zeros((m, 16), np.float32), np.full((16, 12), tie, np.float32)
        a[:, 3] = 1
        assert_same_bits(ops.gemm(a, b), np.full((m, 12), even), f"{m} rows")
    x, kernel = np.zeros((2, 50, 50, 8), np.float32), np.full((3, 3, 8, 12), tie, np.float32)
    x[..., 0] = 1
    y = ops.conv2d(x, kernel)
    assert_same_bits(y, np.full(y.shape, np.float32(9)), "conv2d")
    dx = ops.conv2d_dgrad(np.pad(x[:, :48, :48, :1], ((0, 0), (0, 0), (0, 0), (0, 11))), kernel, x.shape)
    assert dx[0, 25, 25, 0] == 9


@pytest.mark.parametrize("precision", ["tf32", "float32"])
def test_arrays_that_no_map_describes(precision: str, rng: np.random.Generator) -> None:
    _native.set_gpu_precision(precision)
    memory = cupy.asarray(integers(rng, (1 + 5000 * 16,)))
    a, b = memory[1:].reshape(5000, 16), cupy.asarray(integers(rng, (16, 12)))
    y = cupy.asnumpy(ops.gemm.__wrapped__(a, b))
    assert_same_bits(y, cupy.asnumpy(a) @ cupy.asnumpy(b), "gemm")
