# SPDX-License-Identifier: Apache-2.0
"""Calls of convolutions beyond conv2d."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fastcnn.testing import cases, reference
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import ConvNdCase
from fastcnn.testing.compare import activation_bound, sum_bound
from fastcnn.testing.fill import EXACT


def conv_nd_calls(case: ConvNdCase, activation: str | None = None) -> Iterator[Call]:
    """Forward pass with a bias, data gradient and weight gradients."""
    if case.separable:
        yield from _separable_calls(case, activation)
        return
    groups = case.c if case.depthwise else case.groups
    pixels = math.prod((case.x_shape if case.transposed else case.y_shape)[:-1])
    taps = math.prod(case.window)
    fprop = {"x": case.x_shape, "kernel": case.kernel_shape, "bias": (case.k,)}
    yield Call(
        case.op, case, fprop, {**case.options, "activation": activation}, case.y_shape,
        terms=taps * case.c // groups + 1, linear=("x", "kernel", "bias"), exact=activation in (None, "relu"),
    )  # fmt: skip
    yield Call(
        f"{case.op}_dgrad", case, {"dy": case.y_shape, "kernel": case.kernel_shape},
        {**case.options, "input_shape": case.x_shape}, case.x_shape,
        terms=taps * case.k // groups, linear=("dy", "kernel"), exact=True,
    )  # fmt: skip
    yield Call(
        f"{case.op}_wgrad", case, {"x": case.x_shape, "dy": case.y_shape},
        {**case.options, "kernel_size": case.window}, case.kernel_shape,
        terms=pixels, linear=("x", "dy"), exact=True,
    )  # fmt: skip


def _separable_calls(case: ConvNdCase, activation: str | None) -> Iterator[Call]:
    """Products of three factors: whole numbers stay so small that sums of sums are exact."""
    taps, middle, pixels = math.prod(case.window), case.c * case.multiplier, math.prod(case.y_shape[:-1])
    depthwise, pointwise = {"depthwise_kernel": case.kernel_shape}, {"pointwise_kernel": case.pointwise_shape}
    x, dy = {"x": case.x_shape}, {"dy": case.y_shape}
    yield Call(
        case.op, case, {**x, **depthwise, **pointwise, "bias": (case.k,)},
        {**case.options, "activation": activation}, case.y_shape,
        terms=_terms(taps, middle + 1), linear=("x", *depthwise, *pointwise, "bias"),
        exact=activation in (None, "relu"), error=_composed_error(taps, middle + 1),
    )  # fmt: skip
    yield Call(
        f"{case.op}_dgrad", case, {**dy, **depthwise, **pointwise},
        {**case.options, "input_shape": case.x_shape}, case.x_shape,
        terms=_terms(case.k, taps * case.multiplier), linear=("dy", *depthwise, *pointwise), exact=True,
        error=_composed_error(case.k, taps * case.multiplier),
    )  # fmt: skip
    yield Call(
        f"{case.op}_depthwise_wgrad", case, {**x, **dy, **pointwise},
        {**case.options, "kernel_size": case.window}, case.kernel_shape,
        terms=_terms(case.k, pixels), linear=("x", "dy", *pointwise), exact=True,
        error=_composed_error(case.k, pixels),
    )  # fmt: skip
    yield Call(
        f"{case.op}_pointwise_wgrad", case, {**x, **dy, **depthwise}, case.options, case.pointwise_shape,
        terms=_terms(taps, pixels), linear=("x", "dy", *depthwise), exact=True,
        error=_composed_error(taps, pixels),
    )  # fmt: skip


def _terms(inner: int, outer: int) -> int:
    """For `fill.integers`: numbers up to m, so that ``inner outer`` products of three of them stay exact."""
    most = 1
    while (most + 1) ** 3 * inner * outer <= EXACT:
        most += 1
    return EXACT // most**2


def _composed_error(inner: int, outer: int) -> Callable[[Call, Arrays, Real], Real]:
    """Of a sum of `outer` terms, each a sum of `inner` products."""

    def error(call: Call, arrays: Arrays, wanted: Real) -> Real:
        options = {name: value for name, value in call.options.items() if name != "activation"}
        absolute = {name: np.abs(array) for name, array in arrays.items()}
        magnitude = getattr(reference, call.op)(**absolute, **options)
        relative = [float(sum_bound(1.0, 1.0, terms)) for terms in (inner, outer)]
        bound: Real = ((1.0 + relative[0]) * (1.0 + relative[1]) - 1.0) * magnitude
        return activation_bound(wanted, bound, call.options.get("activation"))

    return error


_VIEWS = (
    ConvNdCase("conv2d_transpose", 2, (4, 3), 5, 17, (3, 3), (2, 2), "same"),
    ConvNdCase("conv1d", 2, (7,), 5, 17, (3,), padding="causal"),
    ConvNdCase("conv3d", 2, (3, 4, 3), 5, 17, (2, 3, 2), padding="same"),
    ConvNdCase("conv3d_transpose", 2, (2, 3, 2), 5, 7, (2, 3, 2), (2, 1, 1)),
    ConvNdCase("depthwise_conv2d", 2, (4, 5), 5, 10, (3, 2)),
    ConvNdCase("separable_conv1d", 2, (7,), 5, 17, (3,)),
)

SUITE = Suite(
    every=tuple(call for group in cases.CONV_ND.values() for case in group for call in conv_nd_calls(case)),
    views=tuple(call for case in _VIEWS for call in conv_nd_calls(case)),
    parallel=tuple(call for case in cases.CONV_ND_PARALLEL for call in conv_nd_calls(case)),
)
