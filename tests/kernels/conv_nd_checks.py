# SPDX-License-Identifier: Apache-2.0
"""What the convolutions beyond conv2d share: each test file gives its operators to `conv_nd_tests`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing import cases
from fastcnn.testing.calls import Call, conv_nd_calls
from fastcnn.testing.case import ConvNdCase
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import integers, poisoned

Test = Callable[..., None]


def conv_nd_tests(op: str) -> tuple[Test, ...]:
    """Tests of one operator: exact on integers, within bounds on reals, activated, channels first."""
    mine = (*cases.CONV_ND[op], *(case for case in cases.CONV_ND_PARALLEL if case.op == op))
    calls = [call for case in mine for call in conv_nd_calls(case)]

    @pytest.mark.parametrize("call", calls, ids=str)
    def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
        check_exact(call, rng)

    @pytest.mark.parametrize("call", calls, ids=str)
    def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
        check_bound(call, rng)

    @pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
    @pytest.mark.parametrize("case", mine[1:5], ids=str)
    def test_activation(case: ConvNdCase, activation: str, rng: np.random.Generator) -> None:
        forward = next(conv_nd_calls(case, activation))
        check_bound(forward, rng)
        if activation == "relu":
            check_exact(forward, rng)

    @pytest.mark.parametrize("call", [call for case in mine[:4] for call in conv_nd_calls(case)], ids=str)
    def test_channels_first(call: Call, rng: np.random.Generator) -> None:
        arrays = call.reals(rng)
        images = {"x", "dy"} & set(arrays)
        wanted, options = call.run(arrays), {**call.options, "data_format": "channels_first"}
        if "input_shape" in options:
            n, *size, c = options["input_shape"]
            options["input_shape"] = (n, c, *size)
        if not call.op.endswith("wgrad"):
            wanted = to_first(wanted)
        arrays = {name: to_first(a) if name in images else a for name, a in arrays.items()}
        got = getattr(ops, call.op)(**arrays, **options, out=poisoned(wanted.shape))
        assert_same_bits(got, wanted, str(call))

    return test_exact_on_integers, test_reals_within_bound, test_activation, test_channels_first


def adjoint_test(op: str) -> Test:
    """<conv(x, w), g> = <x, dgrad(g, w)> = <w, wgrad(x, g)>, without a reference and exact in integers."""

    @pytest.mark.parametrize("case", cases.CONV_ND[op], ids=str)
    def test_gradients_are_adjoint(case: ConvNdCase, rng: np.random.Generator) -> None:
        terms = max(math.prod(case.x_shape), math.prod(case.y_shape), math.prod(case.kernel_shape))
        shapes = (case.x_shape, case.kernel_shape, case.y_shape)
        x, w, g = (integers(rng, shape, terms) for shape in shapes)
        y = getattr(ops, op)(x, w, **case.options)
        dx = getattr(ops, f"{op}_dgrad")(g, w, case.x_shape, **case.options)
        dw = getattr(ops, f"{op}_wgrad")(x, g, case.window, **case.options)
        inner = [np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in ((y, g), (x, dx), (w, dw))]
        assert inner[0] == inner[1] == inner[2]

    return test_gradients_are_adjoint


def to_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, -1, 1))


def nan_stays_where_it_belongs(op: str, rank: int) -> None:
    """A NaN and an infinity reach the outputs whose windows hold them, and no other."""
    x = np.ones((1, *(5,) * rank, 3), np.float32)
    x[(0, *(0,) * rank, 0)], x[(0, *(4,) * rank, 2)] = np.nan, np.inf
    w = np.ones((*(2,) * rank, 3, 4), np.float32)
    if op.endswith("transpose"):
        w = np.ones((*(2,) * rank, 4, 3), np.float32)
    y = getattr(ops, op)(x, w)[0]
    first = y[(slice(0, 2),) * rank] if op.endswith("transpose") else y[(0,) * rank]
    last = y[(slice(-2, None),) * rank] if op.endswith("transpose") else y[(-1,) * rank]
    assert np.isnan(first).all()
    assert np.isinf(last).all()
    assert np.isfinite(y).sum() == y.size - first.size - last.size
