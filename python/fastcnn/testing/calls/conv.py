# SPDX-License-Identifier: Apache-2.0
"""Calls of convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from fastcnn.testing import cases, winograd
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import ConvCase
from fastcnn.testing.compare import activation_bound
from fastcnn.testing.reference.geometry import resolve_padding


def conv_calls(case: ConvCase, activation: str | None = None) -> Iterator[Call]:
    """Forward pass with a bias, data gradient and weight gradient."""
    n, p, q, k = case.y_shape
    taps = case.r * case.s
    fprop = {"x": case.x_shape, "kernel": case.kernel_shape, "bias": (k,)}
    yield Call(
        "conv2d", case, fprop, {**case.options, "activation": activation}, case.y_shape,
        terms=taps * case.c // case.groups + 1, linear=("x", "kernel", "bias"),
        exact=activation in (None, "relu"),
    )  # fmt: skip
    yield Call(
        "conv2d_dgrad", case, {"dy": case.y_shape, "kernel": case.kernel_shape},
        {**case.options, "input_shape": case.x_shape}, case.x_shape,
        terms=taps * k // case.groups, linear=("dy", "kernel"), exact=True,
    )  # fmt: skip
    yield Call(
        "conv2d_wgrad", case, {"x": case.x_shape, "dy": case.y_shape},
        {**case.options, "kernel_size": (case.r, case.s)}, case.kernel_shape,
        terms=n * p * q, linear=("x", "dy"), exact=True,
    )  # fmt: skip


def winograd_calls(case: ConvCase, activation: str | None = None) -> Iterator[Call]:
    """The passes of a convolution by F(2,3) or that of 3x3 with stride 2, and by F(4,3)."""
    three = case.r == case.s == 3
    for call in conv_calls(case, activation):
        yield replace(call, options={**call.options, "math": "default"}, error=_winograd_error)
    for call in () if three and max(case.strides) > 1 else conv_calls(case, activation):
        yield replace(call, options={**call.options, "math": "fast"}, error=_winograd_error, exact=False)


def _winograd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    case = call.case
    assert isinstance(case, ConvCase)
    strided, taps = max(case.strides) > 1, (case.r, case.s)
    outputs: Literal[2, 4] = 4 if call.options["math"] == "fast" else 2
    form: winograd.Form = "strided" if strided else outputs
    if taps != (3, 3):
        form = winograd.Parts(outputs, taps, max(case.strides))
    down, across = case.dilation_rate
    pads = resolve_padding(case.padding, (case.h, case.w), taps, case.strides, case.dilation_rate)
    at = winograd.Geometry((pads.top, pads.left), case.dilation_rate)
    x, other = (np.asarray(arrays[name], np.float64) for name in list(arrays)[:2])
    if call.op == "conv2d_wgrad":
        return winograd.wgrad_bound(x, other, wanted, at, form)
    if call.op == "conv2d_dgrad":
        other = other.swapaxes(2, 3)
        if strided and taps != (3, 3):
            form = winograd.Parts(outputs, taps, 2, (pads.top, pads.left))
            return winograd.bound(x, other, wanted, winograd.dgrad_geometry(form), form)
        other = other[::-1, ::-1]
        before = (case.r - 1) * down - pads.top, (case.s - 1) * across - pads.left
        at = winograd.Geometry(before, case.dilation_rate)
        if strided:
            form = "strided dgrad"
            flipped = pads.top % 2 == 1, pads.left % 2 == 1
            at = winograd.Geometry((-((pads.top - 1) // 2), -((pads.left - 1) // 2)), flipped=flipped)
    error = winograd.bound(x, other, wanted, at, form)
    return activation_bound(wanted, error, call.options.get("activation"))


_VIEWS = (
    ConvCase(2, 6, 7, 16, 33, padding="same"),
    ConvCase(2, 7, 6, 3, 5, r=2, strides=(2, 1), padding=((0, 1), (2, 0))),
    ConvCase(2, 6, 5, 17, 17, groups=17, padding="same"),
    ConvCase(2, 4, 5, 64, 32, r=1, s=1),
)

_WINOGRAD = tuple(call for case in cases.WINOGRAD for call in winograd_calls(case))
_PARTS = tuple(call for case in cases.WINOGRAD_PARTS for call in winograd_calls(case))

SUITE = Suite(
    every=(*(call for case in cases.CONV for call in conv_calls(case)), *_WINOGRAD, *_PARTS),
    views=(*(call for case in _VIEWS for call in conv_calls(case)), *_WINOGRAD[:5], *_PARTS[:4]),
    parallel=(
        *(call for case in cases.CONV_PARALLEL for call in conv_calls(case)),
        *_WINOGRAD[-15:],
        *_PARTS[-20:],
    ),
)
