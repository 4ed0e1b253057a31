# SPDX-License-Identifier: Apache-2.0
"""Parameters of activations that mean nothing are refused, by the operators and by the layers, and nothing is
written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastcnn import _native, layers, ops
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.testing.network import Chain

X = np.ones((2, 3), np.float32)

FROM_ZERO = (-1.0, -1e-30, math.nan, math.inf, -math.inf, 1e39)
ABOVE_ZERO = (*FROM_ZERO, 0.0, 1e-50)
ANY = (math.nan, math.inf, -math.inf, 1e39, -1e39)
BAD: list[tuple[str, str, tuple[float, ...]]] = [
    ("leaky_relu", "negative_slope", FROM_ZERO),
    ("general_relu", "negative_slope", FROM_ZERO),
    ("general_relu", "max_value", (-1.0, math.nan, -math.inf, 1e39)),
    ("general_relu", "threshold", FROM_ZERO),
    ("elu", "alpha", FROM_ZERO),
    ("celu", "alpha", ABOVE_ZERO),
    ("hard_shrink", "threshold", FROM_ZERO),
    ("soft_shrink", "threshold", FROM_ZERO),
    ("threshold", "threshold", ANY),
    ("threshold", "default_value", ANY),
    ("squareplus", "b", ABOVE_ZERO),
]
CASES = [(op, parameter, value) for op, parameter, values in BAD for value in values]
SOUND: dict[str, dict[str, float]] = {"threshold": {"threshold": 0.0, "default_value": 0.0}}


def test_native_calls_check_what_they_are_given() -> None:
    """Without pybind11's dispatch, which counted arguments and knew a tuple."""
    out = np.full_like(X, 7)
    call: Any = _native.activation
    for parameters in ([], None, 0):
        with pytest.raises(DTypeError, match=r"^relu: parameters is a .*wanted a tuple"):
            call("relu", X, parameters, out)
    with pytest.raises(ArgumentError, match=r"^relu: 1 parameters came, wanted 0"):
        call("relu", X, (1.0,), out)
    for arguments in ((), ("relu", X, ()), ("relu", X, (), out, None)):
        with pytest.raises(TypeError, match=f"^activation: {len(arguments)} arguments came, wanted 4"):
            call(*arguments)
    with pytest.raises(TypeError, match="keyword"):
        call("relu", X, (), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(("op", "parameter", "value"), CASES)
def test_parameters_out_of_range(op: str, parameter: str, value: float) -> None:
    out = np.full_like(X, 7)
    parameters = {**SOUND.get(op, {}), parameter: value}
    with pytest.raises(ArgumentError, match=f"^{op}: {parameter} is .*wanted a.*number"):
        getattr(ops, op)(X, **parameters, out=out)
    with pytest.raises(ArgumentError, match=f"^{op}_bwd: {parameter} is .*wanted a.*number"):
        getattr(ops, f"{op}_bwd")(X, X, **parameters, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(("op", "parameter"), sorted({(op, parameter) for op, parameter, _ in BAD}))
def test_parameters_of_another_type(op: str, parameter: str) -> None:
    for value in ("1", None, True, [1.0], 1j):
        if value is None and parameter == "max_value":
            continue
        with pytest.raises(DTypeError, match=f"{op}: {parameter} "):
            getattr(ops, op)(X, **{**SOUND.get(op, {}), parameter: value})


@pytest.mark.parametrize(("op", "parameter", "value"), CASES)
def test_a_network_refuses_them_too(op: str, parameter: str, value: float) -> None:
    usual = {
        "negative_slope": 0.0,
        "max_value": 1.0,
        "threshold": 0.0,
        "alpha": 1.0,
        "b": 1.0,
        "default_value": 0.0,
    }
    with pytest.raises(ArgumentError, match=f"{parameter} is .*wanted a.*number"):
        Chain((3,), {"op": op, **usual, parameter: value})


def test_what_the_backward_pass_reads_has_the_shape_of_dy() -> None:
    for op, argument in (("gelu_bwd", "x"), ("elu_bwd", "y"), ("log_softmax_bwd", "y")):
        with pytest.raises(ShapeError, match=rf"{op}: dy has shape \[2, 3\] and {argument} \[2, 2\]"):
            getattr(ops, op)(X, X[:, :2])


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        (layers.LeakyReLU, {"negative_slope": -0.1}),
        (layers.LeakyReLU, {"negative_slope": math.nan}),
        (layers.ELU, {"alpha": -1}),
        (layers.ReLU, {"max_value": -1}),
        (layers.ReLU, {"negative_slope": math.inf}),
        (layers.ReLU, {"threshold": -0.5}),
    ],
)
def test_layers(layer: Any, arguments: dict[str, float]) -> None:
    (name,) = arguments
    with pytest.raises(ArgumentError, match=f"{layer.__name__} .*: {name}: "):
        layer(**arguments)
