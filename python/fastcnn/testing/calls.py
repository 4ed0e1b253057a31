# SPDX-License-Identifier: Apache-2.0
"""Calls of ``fastcnn.ops`` as data: which arrays go in, what comes out, how exact it must be.

A `Call` can be made on any arrays of its shapes, so one list serves every test that compares a kernel with
something: with the reference, with itself on a view, with itself on another number of threads, with the edge
of a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing import compare, reference
from fastcnn.testing.cases import ConvCase, GemmCase, PoolCase, RowsCase
from fastcnn.testing.fill import F32, integers, reals
from fastcnn.testing.reference.pool import Windows

Shape = tuple[int, ...]
Arrays = Mapping[str, F32]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Call:
    """One operator of ``fastcnn.ops`` with everything fixed but the values.

    `terms` is the length of the longest sum in the result; `linear` names the arguments in which the result
    is linear (affine for a bias), so that their absolute values give the sum of the absolute terms. `exact`
    says that whole numbers give a result without rounding.
    """

    op: str
    case: object
    shapes: Mapping[str, Shape]
    options: Mapping[str, Any]
    out_shape: Shape
    terms: int = 1
    linear: tuple[str, ...] = ()
    exact: bool = False

    def __str__(self) -> str:
        activation = self.options.get("activation")
        return f"{self.op}-{self.case}" + (f"-{activation}" if activation else "")

    def integers(self, rng: np.random.Generator) -> dict[str, F32]:
        """Whole numbers for every argument, small enough for exact sums."""
        return {name: integers(rng, shape, self.terms) for name, shape in self.shapes.items()}

    def reals(self, rng: np.random.Generator) -> dict[str, F32]:
        """Normal deviates; an output that a backward pass takes is what its forward pass would give."""
        arrays = {name: reals(rng, shape) for name, shape in self.shapes.items()}
        if "y" in arrays:
            arrays["y"] = reference.ACTIVATIONS[self.op.removesuffix("_bwd")](arrays["y"]).astype(np.float32)
        return arrays

    def run(self, arrays: Arrays, out: F32 | None = None) -> F32:
        """Call the kernel."""
        # The references alone are of use where the extension is not built.
        from fastcnn import ops

        y: F32 = getattr(ops, self.op)(**arrays, **self.options, out=out)
        return y

    def reference(self, arrays: Arrays) -> Real:
        """The same in float64."""
        y: Real = getattr(reference, self.op)(**arrays, **self.options)
        return y

    def bound(self, arrays: Arrays, wanted: Real) -> Real:
        """What the kernel's result may differ from `wanted`."""
        if self.op == "softmax":
            return compare.softmax_bound(arrays["x"], wanted)
        if self.op in ("sigmoid", "tanh"):
            return compare.activation_bound(wanted, 0.0, self.op)
        if self.op == "sigmoid_bwd":
            return compare.rounding_bound(wanted, 4)
        if self.op in ("tanh_bwd", "softmax_bwd"):
            return compare.sum_bound(wanted, self._cancelling(arrays), self.terms)
        if not self.linear:  # nothing is computed, only chosen
            return np.zeros_like(wanted) + 0.5 * compare.SUBNORMAL
        options = {name: value for name, value in self.options.items() if name != "activation"}
        terms = {name: np.abs(value) if name in self.linear else value for name, value in arrays.items()}
        magnitude = getattr(reference, self.op)(**terms, **options)
        activation = self.options.get("activation")
        if activation == "softmax":
            raise ValueError("no bound for a fused softmax: compare it with softmax of the result")
        before = getattr(reference, self.op)(**arrays, **options)
        return compare.activation_bound(wanted, compare.sum_bound(before, magnitude, self.terms), activation)

    def _cancelling(self, arrays: Arrays) -> Real:
        """Absolute terms of the gradients that subtract: tanh ``dy (1 - y^2)``, softmax ``y (dy - dy.y)``."""
        dy, y = np.abs(arrays["dy"].astype(np.float64)), np.abs(arrays["y"].astype(np.float64))
        if self.op == "tanh_bwd":
            return dy * (1.0 + y * y)
        terms: Real = y * (dy + (dy * y).sum(axis=-1, keepdims=True))
        return terms


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


def pool_calls(case: PoolCase) -> Iterator[Call]:
    """Max, average and sum, forward and backward."""
    windows = Windows.of(case.x_shape, case.pool_size, case.strides, case.padding, case.ceil_mode)
    taps = case.pool_size[0] * case.pool_size[1]
    overlap = int(
        np.prod([-(-size // step) for size, step in zip(windows.window, windows.strides, strict=True)])
    )
    x, dy, image = {"x": case.x_shape}, {"dy": case.y_shape}, {**case.options, "input_shape": case.x_shape}
    # An average of whole numbers is exact if every window counts 1, 2, 4, ... elements.
    exact = bool(np.all(np.log2(windows.counts()) % 1 == 0))
    yield Call("max_pool2d", case, x, case.options, case.y_shape, exact=True)
    yield Call("max_pool2d_bwd", case, {**dy, **x}, case.options, case.x_shape, overlap, ("dy",), exact=True)
    yield Call("average_pool2d", case, x, case.options, case.y_shape, taps + 1, ("x",), exact)
    yield Call("average_pool2d_bwd", case, dy, image, case.x_shape, overlap + 1, ("dy",), exact)
    yield Call("sum_pool2d", case, x, case.options, case.y_shape, taps, ("x",), exact=True)
    yield Call("sum_pool2d_bwd", case, dy, image, case.x_shape, overlap, ("dy",), exact=True)


def gemm_call(case: GemmCase, activation: str | None = None) -> Call:
    """A matrix product with a bias."""
    return Call(
        "gemm", case, {"a": case.a_shape, "b": case.b_shape, "bias": (case.n,)},
        {**case.options, "activation": activation}, (case.m, case.n),
        terms=case.k + 1, linear=("a", "b", "bias"), exact=activation in (None, "relu"),
    )  # fmt: skip


def rows_calls(case: RowsCase) -> Iterator[Call]:
    """Every activation, forward and backward."""
    shape = (case.rows, case.cols)
    for name in reference.ACTIVATIONS:
        yield Call(name, case, {"x": shape}, {}, shape, exact=name == "relu")
        terms = case.cols + 2 if name == "softmax" else 2
        yield Call(f"{name}_bwd", case, {"dy": shape, "y": shape}, {}, shape, terms, exact=name == "relu")
