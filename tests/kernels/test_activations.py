# SPDX-License-Identifier: Apache-2.0
"""The activations that work element by element, and their gradients: each test is of all of them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from fastcnn import _native, ops
from fastcnn.testing import cases, reference
from fastcnn.testing.calls import Call, activation_calls
from fastcnn.testing.calls.activation import FORWARD, PARAMETERS
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits, assert_within

CALLS = [
    call
    for case in cases.FLAT
    for name in FORWARD
    for options in ({}, PARAMETERS.get(name))
    if options is not None
    for call in activation_calls(case, name, options)
]
# From where most have underflown or saturated, densely, and around the joints of the others.
RANGE = np.unique(
    np.concatenate(
        [np.linspace(-110.0, 88.7, 20_011), np.linspace(-8.0, 8.0, 20_011), np.geomspace(1e-40, 1.0, 999),
         -np.geomspace(1e-40, 1.0, 999), [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]]
    ).astype(np.float32)
)  # fmt: skip
ENDS = np.array([-np.inf, np.inf], np.float32)


def on_range(name: str, options: dict[str, Any]) -> list[Call]:
    return list(activation_calls(cases.RowsCase(1, len(RANGE)), name, options))


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("call", [call for call in CALLS if call.exact and call.case.cols > 1], ids=str)
def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
    check_exact(call, rng)


@pytest.mark.parametrize("name", FORWARD)
def test_whole_range(name: str) -> None:
    """Forward everywhere, backward with what the forward pass gives there."""
    for options in ({}, PARAMETERS.get(name, {})):
        forward, backward = on_range(name, options)
        x = RANGE[None]
        y = forward.run({"x": x})
        wanted = forward.reference({"x": x})
        assert_within(y, wanted, forward.bound({"x": x}, wanted), name)
        saved = {"x": x} if reference.saves_x(getattr(reference, f"{name}_bwd")) else {"y": y}
        arrays = {"dy": np.full_like(x, 0.75), **saved}
        wanted = backward.reference(arrays)
        assert_within(backward.run(arrays), wanted, backward.bound(arrays, wanted), backward.op)


@pytest.mark.parametrize("name", FORWARD)
def test_nan_stays_nan(name: str) -> None:
    for count in (1, 16, 33):
        x = np.full(count, np.nan, np.float32)
        options = PARAMETERS.get(name, {})
        assert np.isnan(getattr(ops, name)(x, **options)).all()
        dx = getattr(ops, f"{name}_bwd")(x, np.ones_like(x), **options)
        assert np.all(np.isnan(dx) | (dx == 0))  # no gradient comes back from where the function is flat


# Where infinity meets a factor of 0 the result is NaN, as the formula has it and PyTorch too.
AT_ENDS: dict[str, tuple[float, float]] = {
    "relu": (0, np.inf), "relu6": (0, 6), "leaky_relu": (-np.inf, np.inf), "general_relu": (0, np.inf),
    "elu": (-1, np.inf), "selu": (-1.7580993408473766, np.inf), "celu": (-1, np.inf),
    "gelu": (np.nan, np.inf), "silu": (np.nan, np.inf), "mish": (np.nan, np.inf), "sigmoid": (0, 1),
    "tanh": (-1, 1), "softplus": (0, np.inf), "softsign": (np.nan, np.nan), "log_sigmoid": (-np.inf, 0),
    "exponential": (0, np.inf), "hard_sigmoid": (0, 1), "hard_silu": (np.nan, np.inf), "hard_tanh": (-1, 1),
    "hard_shrink": (-np.inf, np.inf), "soft_shrink": (-np.inf, np.inf), "tanh_shrink": (-np.inf, np.inf),
    "threshold": (-3, np.inf), "sparse_plus": (0, np.inf), "sparse_sigmoid": (0, 1),
    "squareplus": (0, np.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARD)
def test_infinities(name: str) -> None:
    y = getattr(ops, name)(ENDS, **(PARAMETERS[name] if name == "threshold" else {}))
    assert np.array_equal(y, np.array(AT_ENDS[name], np.float32), equal_nan=True), y


def test_a_slope_of_zero_is_flat_even_at_infinity() -> None:
    assert ops.leaky_relu(ENDS, 0.0).tolist() == ops.general_relu(ENDS).tolist() == [0.0, np.inf]
    assert ops.leaky_relu_bwd(ENDS, np.array([-1, -1], np.float32), 0.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "x", "wanted"),
    [
        ("relu", [-0.0, 0.0, 1e-45], [0, 0, 1]),
        ("relu6", [0, 6, 5.9], [0, 0, 1]),
        ("leaky_relu", [-0.0, 0.0, 1e-45], [0.2, 0.2, 1]),
        ("elu", [-0.0, 0.0, 1e-45], [1, 1, 1]),
        ("hard_sigmoid", [-3, 3], [0, 0]),
        ("hard_silu", [-3, 3], [0, 1]),
        ("hard_tanh", [-1, 1], [0, 0]),
        ("hard_shrink", [-0.5, 0.5, 0.50001], [0, 0, 1]),
        ("soft_shrink", [-0.5, 0.5, 0.50001], [0, 0, 1]),
        ("sparse_plus", [-1, 1], [0, 1]),
        ("sparse_sigmoid", [-1, 1], [0, 0]),
    ],
)
def test_gradient_where_pieces_meet(name: str, x: list[float], wanted: list[float]) -> None:
    at = np.array(x, np.float32)
    backward = getattr(ops, f"{name}_bwd")
    saved = at if reference.saves_x(backward) else getattr(ops, name)(at)
    assert np.array_equal(backward(np.ones_like(at), saved), np.array(wanted, np.float32))


def test_relu_with_threshold_and_limit_as_in_keras() -> None:
    x = np.array([-2, 0.5, 1, 1.25, 3, 4, 9], np.float32)
    parameters = {"negative_slope": 0.5, "max_value": 4.0, "threshold": 1.0}
    assert ops.general_relu(x, **parameters).tolist() == [-1.5, -0.25, 0.0, 1.25, 3.0, 4.0, 4.0]
    dx = ops.general_relu_bwd(np.ones_like(x), x, **parameters)
    assert dx.tolist() == [0.5, 0.5, 0.5, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "name", [name for name in reference.ACTIVATIONS if name not in ("swish", "hard_swish")]
)
def test_fused_is_the_same_function(name: str, rng: np.random.Generator) -> None:
    """After a matrix product or a convolution, bit for bit."""
    a, b = (rng.standard_normal((33, 33)).astype(np.float32) for _ in range(2))
    alone = {"gelu": "gelu", "gelu_tanh": "gelu"}.get(name, name)
    options = {"approximate": name == "gelu_tanh"} if alone == "gelu" else {}
    wanted = getattr(ops, alone)(ops.gemm(a, b), **options)
    assert_same_bits(ops.gemm(a, b, activation=name), wanted, name)
    x, kernel = a.reshape(1, 11, 11, 9), b[:9, :7].reshape(1, 1, 9, 7)
    wanted = getattr(ops, alone)(ops.conv2d(x, kernel), **options)
    assert_same_bits(ops.conv2d(x, kernel, activation=name), wanted, name)


def test_other_names(rng: np.random.Generator) -> None:
    a = rng.standard_normal((3, 3)).astype(np.float32)
    for other, name in (("swish", "silu"), ("hard_swish", "hard_silu")):
        assert_same_bits(ops.gemm(a, a, activation=other), ops.gemm(a, a, activation=name), other)
    assert_same_bits(ops.gemm(a, a, activation="linear"), ops.gemm(a, a), "linear")


def test_every_row_of_the_table_is_here() -> None:
    table = {row["name"] for row in _native.operators() if row["forward"] == "activation_fwd"}
    assert table == set(reference.ELEMENTWISE) == {*FORWARD, "gelu_tanh"}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_and_backward_take_the_same_parameters(name: str) -> None:
    """With Keras's defaults, and so does the reference."""
    signatures = [
        {k: p.default for k, p in inspect.signature(f).parameters.items() if k not in ("x", "y", "dy", "out")}
        for module in (ops, reference)
        for f in (getattr(module, name), getattr(module, f"{name}_bwd"))
    ]
    assert all(signature == signatures[0] for signature in signatures)


@pytest.mark.parametrize("shape", [(7,), (2, 3, 5), (2, 1, 3, 4), (1,) * 8])
def test_any_rank(shape: tuple[int, ...]) -> None:
    x = np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape) - 2.0
    assert np.array_equal(ops.relu(x), np.maximum(x, 0.0))
