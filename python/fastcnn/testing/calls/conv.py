# SPDX-License-Identifier: Apache-2.0
"""Calls of convolutions."""

from __future__ import annotations

from collections.abc import Iterator

from fastcnn.testing import cases
from fastcnn.testing.calls.call import Call, Suite
from fastcnn.testing.case import ConvCase


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


_VIEWS = (
    ConvCase(2, 6, 7, 16, 33, padding="same"),
    ConvCase(2, 7, 6, 3, 5, r=2, strides=(2, 1), padding=((0, 1), (2, 0))),
    ConvCase(2, 6, 5, 17, 17, groups=17, padding="same"),
    ConvCase(2, 4, 5, 64, 32, r=1, s=1),
)

SUITE = Suite(
    every=tuple(call for case in cases.CONV for call in conv_calls(case)),
    views=tuple(call for case in _VIEWS for call in conv_calls(case)),
    parallel=tuple(call for case in cases.CONV_PARALLEL for call in conv_calls(case)),
)
