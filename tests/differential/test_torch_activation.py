# SPDX-License-Identifier: Apache-2.0
"""500 random configurations of activations, forward and backward: fastcnn agrees with PyTorch in float64
within the bounds of its calls, or both refuse.

A configuration follows from its number alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing.calls import activation_calls, prelu_calls, softmax_calls
from fastcnn.testing.calls.activation import FORWARD
from fastcnn.testing.case import PreluCase, RowsCase
from fastcnn.testing.compare import assert_within
from fastcnn.testing.fill import reals

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT, SPOILED = 500, 0.25
REFUSED = (ValueError, TypeError, MemoryError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError)
COLUMNS = (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 257)


def general_relu(x: Any, negative_slope: float = 0.0, max_value: Any = None, threshold: float = 0.0) -> Any:
    limit = float("inf") if max_value is None else max_value
    return torch.where(x > threshold, torch.clamp(x, max=limit), negative_slope * (x - threshold))


def gelu(x: Any, approximate: bool = True) -> Any:
    """PyTorch computes 1 + erf() and 1 + tanh(), which leave nothing of the tail in double precision."""
    if approximate:
        return x * torch.sigmoid(2 * (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))
    return 0.5 * x * torch.special.erfc(-x / 2**0.5)


def sparse_plus(x: Any) -> Any:
    return torch.where(x <= -1, torch.zeros_like(x), torch.where(x < 1, (x + 1) ** 2 / 4, x))


TORCH: dict[str, Callable[..., Any]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "leaky_relu": lambda x, negative_slope=0.2: functional.leaky_relu(x, negative_slope),
    "general_relu": general_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "celu": functional.celu,
    "gelu": gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    # PyTorch's own returns x beyond a threshold.
    "softplus": lambda x: functional.softplus(x, threshold=1000),
    "softsign": functional.softsign,
    "log_sigmoid": functional.logsigmoid,
    "exponential": torch.exp,
    # PyTorch's own have 1 / 6 in single precision in their gradients.
    "hard_sigmoid": lambda x: functional.relu6(x + 3) / 6,
    "hard_silu": lambda x: x * functional.relu6(x + 3) / 6,
    "hard_tanh": functional.hardtanh,
    "hard_shrink": lambda x, threshold=0.5: functional.hardshrink(x, threshold),
    "soft_shrink": lambda x, threshold=0.5: functional.softshrink(x, threshold),
    "tanh_shrink": functional.tanhshrink,
    "threshold": lambda x, threshold, default_value: functional.threshold(x, threshold, default_value),
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": lambda x: torch.clamp((x + 1) / 2, 0, 1),
    "squareplus": lambda x, b=4.0: (x + torch.sqrt(x * x + b)) / 2,
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "prelu": lambda x, alpha: functional.prelu(x, alpha),
}

PARAMETERS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "leaky_relu": lambda dice: {"negative_slope": dice.choice((0.0, 0.01, 0.5, 1.0, 2.5))},
    "general_relu": lambda dice: {
        "negative_slope": dice.choice((0.0, 0.25)),
        "max_value": dice.choice((None, 0.5, 2.0)),
        "threshold": dice.choice((0.0, 0.75)),
    },
    "elu": lambda dice: {"alpha": dice.choice((0.25, 1.0, 3.0))},
    "celu": lambda dice: {"alpha": dice.choice((0.25, 1.0, 3.0))},
    "gelu": lambda dice: {"approximate": dice.random() < 0.5},
    "hard_shrink": lambda dice: {"threshold": dice.choice((0.0, 0.25, 1.5))},
    "soft_shrink": lambda dice: {"threshold": dice.choice((0.0, 0.25, 1.5))},
    "threshold": lambda dice: {"threshold": dice.uniform(-1, 1), "default_value": dice.uniform(-9, 9)},
    "squareplus": lambda dice: {"b": dice.choice((0.5, 4.0))},
}


@dataclass(frozen=True)
class Configuration:
    """One activation on an array of this many rows and columns, its deviates enlarged by `scale`."""

    name: str
    rows: int
    cols: int
    scale: float
    options: tuple[tuple[str, Any], ...]
    spoiled: str = ""


def configuration(number: int) -> Configuration:
    dice = random.Random(number)
    name = dice.choice(list(TORCH))
    options = PARAMETERS.get(name, lambda dice: {})(dice)
    spoiled = ""
    if dice.random() < SPOILED:
        spoiled = dice.choice(("another length", "another rank", "one more parameter"))
    scale = dice.choice((0.01, 1.0, 1.0, 5.0, 20.0))
    return Configuration(
        name, dice.choice((1, 2, 5, 33)), dice.choice(COLUMNS), scale, tuple(options.items()), spoiled
    )


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    chosen = configuration(number)
    rng = np.random.default_rng(number)
    if chosen.spoiled:
        both_refuse(chosen, rng)
    elif chosen.name == "prelu":
        prelu_agrees(chosen, rng)
    else:
        agrees(chosen, rng)


def agrees(chosen: Configuration, rng: np.random.Generator) -> None:
    case = RowsCase(chosen.rows, chosen.cols)
    if chosen.name in FORWARD:
        forward, backward = activation_calls(case, chosen.name, dict(chosen.options))
    else:
        forward, backward = (call for call in softmax_calls(case) if call.op.startswith(chosen.name))
    x = reals(rng, (chosen.rows, chosen.cols)) * np.float32(chosen.scale)
    dy = reals(rng, x.shape)
    leaf = torch.tensor(x.astype(np.float64), requires_grad=True)
    y = TORCH[chosen.name](leaf, **float32_of(chosen.options))
    wanted = y.detach().numpy()
    bound = forward.bound({"x": x}, wanted)
    assert_within(forward.run({"x": x}), wanted, bound, str(chosen))

    (gradient,) = torch.autograd.grad(y, leaf, torch.from_numpy(dy.astype(np.float64)))
    if "x" in backward.shapes:
        arrays = {"dy": dy, "x": x}
        assert_within(
            backward.run(arrays), gradient.numpy(), backward.bound(arrays, gradient.numpy()), str(chosen)
        )
        return
    # PyTorch's gradient is that of the exact output, ours of the rounded one: the reference tells the
    # difference.
    arrays = {"dy": dy, "y": wanted.astype(np.float32)}
    exact, rounded = (
        backward.reference({"dy": dy, "y": each}) for each in (wanted, wanted.astype(np.float32))
    )
    allowed = backward.bound(arrays, gradient.numpy()) + np.abs(exact - rounded)
    assert_within(backward.run(arrays), gradient.numpy(), allowed, str(chosen))


def float32_of(options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The parameters as the kernels have them."""
    return {name: float(np.float32(value)) if isinstance(value, float) else value for name, value in options}


def prelu_agrees(chosen: Configuration, rng: np.random.Generator) -> None:
    case = PreluCase((chosen.rows, 3, 2, chosen.cols), (1, 1, chosen.cols))
    forward, backward, slopes = prelu_calls(case)
    x, dy, alpha = reals(rng, case.x_shape), reals(rng, case.x_shape), reals(rng, case.alpha_shape)
    leaf, weight = (
        torch.tensor(np.ascontiguousarray(a, np.float64), requires_grad=True)
        for a in (x.transpose(0, 3, 1, 2), alpha.reshape(-1))
    )
    y = functional.prelu(leaf, weight)
    back = torch.from_numpy(np.ascontiguousarray(dy.transpose(0, 3, 1, 2), np.float64))
    dx, dalpha = torch.autograd.grad(y, (leaf, weight), back)
    arrays = {"dy": dy, "x": x, "alpha": alpha}
    for call, wanted in (
        (forward, y.detach().numpy().transpose(0, 2, 3, 1)),
        (backward, dx.numpy().transpose(0, 2, 3, 1)),
        (slopes, dalpha.numpy().reshape(case.alpha_shape)),
    ):
        given = {name: arrays[name] for name in call.shapes}
        assert_within(call.run(given), wanted, call.bound(given, wanted), str(call))


def both_refuse(chosen: Configuration, rng: np.random.Generator) -> None:
    """Gradients of another length or rank, parameters that are not there."""
    x = reals(rng, (chosen.rows, chosen.cols))
    dy = np.zeros((chosen.rows, chosen.cols + 1), np.float32)
    if chosen.spoiled == "another rank":
        dy = np.zeros((2, chosen.rows, chosen.cols), np.float32)
    ours, theirs = dict(chosen.options), dict(chosen.options)
    if chosen.name == "prelu":
        ours, theirs = {"alpha": np.ones(chosen.cols, np.float32)}, {"alpha": torch.ones(1)}
    leaf = torch.tensor(x, requires_grad=True)
    if chosen.spoiled == "one more parameter":
        with pytest.raises(REFUSED):
            getattr(ops, chosen.name)(x, **ours, slope=1.0)
        with pytest.raises(TORCH_REFUSED):
            TORCH[chosen.name](leaf, **theirs, slope=1.0)
        return
    with pytest.raises(REFUSED):
        getattr(ops, f"{chosen.name}_bwd")(dy, x, **ours)
    with pytest.raises(TORCH_REFUSED):
        torch.autograd.grad(TORCH[chosen.name](leaf, **theirs), leaf, torch.from_numpy(dy))


def test_the_mixture_is_as_planned() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    share = sum(bool(c.spoiled) for c in drawn) / COUNT
    # Five standard deviations of a binomial share.
    assert abs(share - SPOILED) < 5 * (SPOILED * (1 - SPOILED) / COUNT) ** 0.5
    assert min(sum(c.name == name and not c.spoiled for c in drawn) for name in TORCH) >= 3
