# SPDX-License-Identifier: Apache-2.0
"""Convolution: forward pass, data gradient, weight gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, conv_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_exact, assert_same_bits
from fastcnn.testing.fill import integers, poisoned, reals

CALLS = [call for case in (*cases.CONV, *cases.CONV_PARALLEL) for call in conv_calls(case)]
LONG = [call for case in cases.CONV_FULL for call in conv_calls(case)]

# One of each family of kernels: direct, first layer, strided, pointwise, dilated, depthwise, grouped, wide.
FAMILIES = (
    cases.ConvCase(2, 9, 8, 16, 33, padding="same"),
    cases.ConvCase(2, 12, 13, 3, 24, r=5, s=5, strides=(2, 2), padding=2),
    cases.ConvCase(2, 6, 7, 65, 31, r=1, s=1),
    cases.ConvCase(3, 9, 8, 20, 130, r=1, s=1),
    cases.ConvCase(2, 9, 8, 70, 24, r=1, s=1),
    cases.ConvCase(2, 9, 10, 4, 17, dilation_rate=(3, 1), padding=2),
    cases.ConvCase(2, 7, 9, 17, 17, groups=17, padding="same"),
    cases.ConvCase(2, 6, 5, 6, 9, groups=3, strides=(2, 1), padding=1),
    cases.ConvCase(2, 5, 12, 48, 40, s=9, padding=(1, 4)),
)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.full
@pytest.mark.parametrize("call", LONG, ids=str)
def test_exact_on_integers_long(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.full
@pytest.mark.parametrize("call", LONG, ids=str)
def test_reals_within_bound_long(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("case", [*cases.CONV, *FAMILIES], ids=str)
def test_gradients_are_adjoint(case: cases.ConvCase, rng: np.random.Generator) -> None:
    """<conv(x, w), g> = <x, dgrad(g, w)> = <w, wgrad(x, g)>, without a reference and exact in integers."""
    n, p, q, k = case.y_shape
    terms = max(n * p * q, case.r * case.s * max(case.c, k) // case.groups)
    x, w, g = (integers(rng, shape, terms) for shape in (case.x_shape, case.kernel_shape, case.y_shape))
    y = ops.conv2d(x, w, **case.options)
    dx = ops.conv2d_dgrad(g, w, case.x_shape, **case.options)
    dw = ops.conv2d_wgrad(x, g, (case.r, case.s), **case.options)
    inner = [np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in ((y, g), (x, dx), (w, dw))]
    assert inner[0] == inner[1] == inner[2]


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("case", FAMILIES, ids=str)
def test_activation(case: cases.ConvCase, activation: str, rng: np.random.Generator) -> None:
    check_bound(next(conv_calls(case, activation)), rng)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("case", FAMILIES, ids=str)
def test_relu_is_exact_on_integers(case: cases.ConvCase, activation: str, rng: np.random.Generator) -> None:
    check_exact(next(conv_calls(case, activation)), rng)


def test_softmax_is_over_the_channels(rng: np.random.Generator) -> None:
    case = FAMILIES[0]
    x, w = reals(rng, case.x_shape), reals(rng, case.kernel_shape)
    fused = ops.conv2d(x, w, activation="softmax", **case.options)
    assert_same_bits(fused, ops.softmax(ops.conv2d(x, w, **case.options)), "conv2d with softmax")


@pytest.mark.parametrize("math", ["strict", "default"])  # "fast" may take F(4,3), which rounds
@pytest.mark.parametrize("case", FAMILIES[:1], ids=str)
def test_math_is_exact_on_multiples_of_four(
    case: cases.ConvCase, math: str, rng: np.random.Generator
) -> None:
    """Winograd F(2,3) halves the kernel twice: multiples of 4 stay whole numbers."""
    for call in conv_calls(case):
        arrays = call.integers(rng)
        arrays["kernel" if "kernel" in arrays else "dy"] *= np.float32(4)
        got = replace(call, options={**call.options, "math": math}).run(arrays)
        assert_exact(got, call.reference(arrays), str(call))


@pytest.mark.parametrize("case", FAMILIES, ids=str)
def test_channels_first(case: cases.ConvCase, rng: np.random.Generator) -> None:
    x, w, g = reals(rng, case.x_shape), reals(rng, case.kernel_shape), reals(rng, case.y_shape)
    first = {**case.options, "data_format": "channels_first"}
    shape_first = to_first(x).shape

    y = ops.conv2d(to_first(x), w, out=poisoned(to_first(g).shape), **first)
    assert_same_bits(y, to_first(ops.conv2d(x, w, **case.options)), "conv2d")
    dx = ops.conv2d_dgrad(to_first(g), w, shape_first, out=poisoned(shape_first), **first)
    assert_same_bits(dx, to_first(ops.conv2d_dgrad(g, w, case.x_shape, **case.options)), "conv2d_dgrad")
    dw = ops.conv2d_wgrad(to_first(x), to_first(g), (case.r, case.s), **first)
    assert_same_bits(dw, ops.conv2d_wgrad(x, g, (case.r, case.s), **case.options), "conv2d_wgrad")


def to_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def test_nan_and_infinity_stay_where_they_belong() -> None:
    x = np.ones((1, 5, 5, 17), np.float32)
    x[0, 0, 0, 0], x[0, 4, 4, 16] = np.nan, np.inf
    y = ops.conv2d(x, np.ones((3, 3, 17, 4), np.float32))
    assert np.isnan(y[0, 0, 0]).all()
    assert np.isinf(y[0, 2, 2]).all()
    rest = np.ones((3, 3), bool)
    rest[0, 0] = rest[2, 2] = False
    assert (y[0][rest] == 9 * 17).all()
