# SPDX-License-Identifier: Apache-2.0
"""Winograd's convolution and gradients: F(2,3), also of the parts of other filters than 3x3, or that of
stride 2, with math="default", F(4,3) with "fast", else direct.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from fastcnn import Sequential, layers, ops
from fastcnn.testing import cases, reference, winograd
from fastcnn.testing.calls import Call, winograd_calls
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import UNIT, assert_same_bits
from fastcnn.testing.fill import integers, poisoned, reals

CASES = cases.WINOGRAD + cases.WINOGRAD_PARTS
CALLS = [call for case in CASES for call in winograd_calls(case)]
THREES = sum(isinstance(call.case, cases.ConvCase) and call.case.r == call.case.s == 3 for call in CALLS)
EXACT = [call for call in CALLS if call.exact]


@pytest.mark.parametrize("call", EXACT, ids=str)
def test_f2_is_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("case", cases.WINOGRAD[:2] + cases.WINOGRAD_PARTS[::9], ids=str)
def test_activation(case: cases.ConvCase, activation: str, rng: np.random.Generator) -> None:
    for call in winograd_calls(case, activation):
        check_bound(call, rng)


@pytest.mark.parametrize("call", [c for c in EXACT if c.op == "conv2d"][:4], ids=str)
def test_relu_is_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(replace(call, options={**call.options, "activation": "relu"}), rng)


def differs(call: Call, rng: np.random.Generator) -> bool:
    """Whether other kernels compute it than with a less generous `math`: their sums round differently."""
    less = "strict" if call.options["math"] == "default" else "default"
    arrays = call.reals(rng)
    return not np.array_equal(
        call.run(arrays), replace(call, options={**call.options, "math": less}).run(arrays)
    )


@pytest.mark.parametrize(
    ("op", "math"),
    [
        ("conv2d", "default"),
        ("conv2d", "fast"),
        ("conv2d_dgrad", "default"),
        ("conv2d_dgrad", "fast"),
        ("conv2d_wgrad", "default"),
        ("conv2d_wgrad", "fast"),
    ],
)
def test_the_cases_are_winograds(op: str, math: str, rng: np.random.Generator) -> None:
    calls = [call for call in CALLS[:THREES] if call.op == op and call.options["math"] == math]
    # Of small images much of tiles of 4x4 lies outside.
    least = 4 if (op, math) == ("conv2d_wgrad", "fast") else 2
    assert sum(differs(call, rng) for call in calls) > len(calls) / least


@pytest.mark.parametrize(("strides", "math"), [(1, "default"), (1, "fast"), (2, "default")])
@pytest.mark.parametrize("op", ["conv2d", "conv2d_dgrad"])
def test_the_cases_are_winograds_by_parts(op: str, strides: int, math: str, rng: np.random.Generator) -> None:
    calls = [call for call in CALLS[THREES:] if call.op == op and call.options["math"] == math]
    calls = [call for call in calls if call.options["strides"] == (strides, strides)]
    assert sum(differs(call, rng) for call in calls) > len(calls) / 2


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("math", ["default", "fast"])
def test_the_cases_are_winograds_weight_gradients_by_parts(
    strides: int, math: str, rng: np.random.Generator
) -> None:
    calls = [call for call in CALLS[THREES:] if call.op == "conv2d_wgrad" and call.options["math"] == math]
    calls = [call for call in calls if call.options["strides"] == (strides, strides)]
    least = 4 if math == "fast" else 2
    assert sum(differs(call, rng) for call in calls) > len(calls) / least


def test_strict_knows_no_winograd(rng: np.random.Generator) -> None:
    """A pixel that an output does not see cannot make it NaN."""
    case = cases.WINOGRAD[0]
    x, kernel = reals(rng, case.x_shape), reals(rng, case.kernel_shape)
    x[:, 0, 0] = np.nan
    seen = np.zeros(case.y_shape, bool)
    seen[:, :2, :2] = True
    assert np.array_equal(np.isnan(ops.conv2d(x, kernel, padding="same", math="strict")), seen)
    for math in ("default", "fast"):
        y = ops.conv2d(x, kernel, padding="same", math=math)
        assert np.isnan(y[seen]).all()
        assert np.isfinite(y[:, 4:, 4:]).all(), "NaN has left its tile"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_adjoint(case: cases.ConvCase, rng: np.random.Generator) -> None:
    n, p, q, k = case.y_shape
    terms = 32 * max(
        n * p * q, case.r * case.s * max(case.c, k)
    )  # sums of quarters, of numbers eight times as large
    x, w, g = (integers(rng, shape, terms) for shape in (case.x_shape, case.kernel_shape, case.y_shape))
    y = ops.conv2d(x, w, **case.options)
    dx = ops.conv2d_dgrad(g, w, case.x_shape, **case.options)
    dw = ops.conv2d_wgrad(x, g, (case.r, case.s), **case.options)
    inner = [np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in ((y, g), (x, dx), (w, dw))]
    assert inner[0] == inner[1] == inner[2]


@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
@pytest.mark.parametrize("pad", [0, 1, 3])
@pytest.mark.parametrize("outputs", [2, 4])
def test_the_formula_is_the_convolution(
    outputs: Literal[2, 4], pad: int, dilation: tuple[int, int], rng: np.random.Generator
) -> None:
    x, w = rng.standard_normal((2, 11, 9, 3)), rng.standard_normal((3, 3, 3, 4))
    at = winograd.Geometry((pad, pad), dilation)
    wanted = reference.conv2d(x, w, padding=pad, dilation_rate=dilation)
    got = winograd.convolve(x, w, (wanted.shape[1], wanted.shape[2]), at, outputs)
    assert np.abs(got - wanted).max() < UNIT * np.abs(wanted).max()
    dy = rng.standard_normal(wanted.shape)
    dw = reference.conv2d_wgrad(x, dy, 3, padding=pad, dilation_rate=dilation)
    got = winograd.wgrad(x, dy, at, outputs)
    assert np.abs(got - dw).max() < UNIT * np.abs(dw).max()


@pytest.mark.parametrize("pad", [0, 2])
def test_the_formula_of_five_taps_is_the_convolution(pad: int, rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 11, 8, 3)), rng.standard_normal((5, 5, 3, 4))
    wanted = reference.conv2d(x, w, padding=pad)
    at = winograd.Geometry((pad, pad))
    got = winograd.convolve(x, w, (wanted.shape[1], wanted.shape[2]), at, "five taps")
    assert np.abs(got - wanted).max() < UNIT * np.abs(wanted).max()


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize(("taps", "stride"), [((5, 4), 1), ((6, 7), 1), ((4, 5), 2), ((6, 7), 2)])
def test_the_formula_of_parts_is_the_convolution(
    taps: tuple[int, int], stride: int, outputs: Literal[2, 4], rng: np.random.Generator
) -> None:
    x, w = rng.standard_normal((2, 15, 14, 3)), rng.standard_normal((*taps, 3, 4))
    wanted = reference.conv2d(x, w, padding=((1, 2), (0, 3)), strides=(stride, stride))
    form, at = winograd.Parts(outputs, taps, stride), winograd.Geometry((1, 0))
    got = winograd.convolve(x, w, (wanted.shape[1], wanted.shape[2]), at, form)
    assert np.abs(got - wanted).max() < UNIT * np.abs(wanted).max()
    dy = rng.standard_normal(wanted.shape)
    dw = reference.conv2d_wgrad(x, dy, taps, padding=((1, 2), (0, 3)), strides=(stride, stride))
    assert np.abs(winograd.wgrad(x, dy, at, form) - dw).max() < UNIT * np.abs(dw).max()


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize(("taps", "pads"), [((5, 4), (1, 1)), ((4, 5), (2, 2)), ((6, 4), (2, 3))])
def test_the_formula_of_phases_is_the_gradient(
    taps: tuple[int, int], pads: tuple[int, int], outputs: Literal[2, 4], rng: np.random.Generator
) -> None:
    w, options = (
        rng.standard_normal((*taps, 3, 4)),
        {"strides": (2, 2), "padding": tuple((i, i) for i in pads)},
    )
    dy = rng.standard_normal(reference.conv2d(np.zeros((2, 15, 14, 3)), w, **options).shape)
    wanted = reference.conv2d_dgrad(dy, w, (2, 15, 14, 3), **options)
    form = winograd.Parts(outputs, taps, 2, pads)
    got = winograd.convolve(dy, w.swapaxes(2, 3), (15, 14), winograd.dgrad_geometry(form), form)
    assert np.abs(got - wanted).max() < UNIT * np.abs(wanted).max()


@pytest.mark.parametrize("pads", [(0, 0), (1, 2), (3, 1)])
@pytest.mark.parametrize("size", [(11, 10), (13, 16)])
def test_the_strided_formula_is_the_convolution(
    size: tuple[int, int], pads: tuple[int, int], rng: np.random.Generator
) -> None:
    x, w = rng.standard_normal((2, *size, 3)), rng.standard_normal((3, 3, 3, 4))
    options = {"strides": (2, 2), "padding": ((pads[0],) * 2, (pads[1],) * 2)}
    wanted = reference.conv2d(x, w, **options)
    dy = rng.standard_normal(wanted.shape)
    dx = reference.conv2d_dgrad(dy, w, x.shape, **options)
    dw = reference.conv2d_wgrad(x, dy, 3, **options)
    at, turned = winograd.Geometry(pads), w[::-1, ::-1].swapaxes(2, 3)
    before = -((pads[0] - 1) // 2), -((pads[1] - 1) // 2)
    back = winograd.Geometry(before, flipped=(pads[0] % 2 == 1, pads[1] % 2 == 1))
    for got, real in (
        (winograd.convolve(x, w, (wanted.shape[1], wanted.shape[2]), at, "strided"), wanted),
        (winograd.convolve(dy, turned, size, back, "strided dgrad"), dx),
        (winograd.wgrad(x, dy, at, "strided"), dw),
    ):
        assert np.abs(got - real).max() < UNIT * np.abs(real).max()


def test_predictions_take_f4(rng: np.random.Generator) -> None:
    """predict and evaluate may use F(4,3) where training uses F(2,3)."""
    case = cases.ConvCase(2, 12, 16, 32, 32, padding="same")
    x, kernel, bias = reals(rng, case.x_shape), reals(rng, case.kernel_shape), reals(rng, (case.k,))
    predicted = {}
    for math in ("strict", "default", "fast"):
        conv = layers.Conv2D(case.k, 3, padding="same", input_shape=case.x_shape[1:])
        model = Sequential([conv])
        model.compile("sgd", "mse", math=math)
        model.set_weights([kernel, bias])
        predicted[math] = model.predict(x, verbose=0)
    for math, kernels in (("strict", "strict"), ("default", "fast"), ("fast", "fast")):
        out = poisoned(case.y_shape)
        ops.conv2d(x, kernel, bias, padding="same", math=kernels, out=out)
        assert_same_bits(predicted[math], out, f"predict with math={math!r}")
