# SPDX-License-Identifier: Apache-2.0
"""500 random normalizations: fastcnn agrees with PyTorch in float64 within its bounds, or both refuse.

PyTorch's running variance is the unbiased one and fastcnn's, as Keras's, the biased one; it is converted.
PyTorch has no backward pass of given statistics of its own, no several axes in RMS norm and no limit of unit
norm at 1 / epsilon: the same formulas through its autograd stand for them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from configurations import EDGES

from fastcnn import ops
from fastcnn.testing.calls import Call, channel_norm_calls, row_norm_calls
from fastcnn.testing.case import NormCase
from fastcnn.testing.compare import assert_within

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT, SPOILED = 500, 0.3
KINDS = ("batch", "group", "instance", "layer", "rms", "unit")
REFUSED = (ValueError, TypeError, MemoryError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError)


# PyTorch divides by these and ends the process, or computes something; of no axes of its own it knows none.
STRICTER = {"groups 0", "no channels", "axes too many"}


@dataclass(frozen=True)
class Configuration:
    kind: str
    case: NormCase
    spoiled: str = ""


def configuration(number: int) -> Configuration:
    dice = random.Random(number)
    kind = dice.choice(KINDS)
    c = dice.choice(EDGES)
    n = dice.choice((1, 2, 3, 7))
    image = tuple(dice.choice((1, 2, 3, 4, 5, 8, 13, 16)) for _ in range(dice.choice((1, 2, 2, 2, 3))))
    divisors = [g for g in range(1, c + 1) if c % g == 0]
    axes = dice.choice((1, 1, 1, 2, 3)) if kind in ("layer", "rms", "unit") else 1
    shape = (n + 1 if n == 1 and all(size == 1 for size in image) else n, *image, c)
    case = NormCase(
        shape, dice.choice(divisors), min(axes, len(shape) - 1), dice.random() < 0.7,
        kind == "batch" and dice.random() < 0.4,
    )  # fmt: skip
    spoiled = dice.choice(ways_of(kind)) if dice.random() < SPOILED else ""
    return Configuration(kind, case, spoiled)


def ways_of(kind: str) -> list[str]:
    if kind == "group":
        return ["gamma too long", "groups not dividing", "groups 0", "no channels"]
    if kind in ("batch", "instance"):
        return ["gamma too long"]
    return ["axes too many"] + (["gamma too long"] if kind != "unit" else [])


def tensor(value: Any) -> Any:
    return torch.from_numpy(np.array(value, np.float64))


def first(x: Any) -> Any:
    """[N,...,C] as [N,C,...]."""
    return x.movedim(-1, 1)


def forward(call: Call, a: dict[str, Any]) -> Any:
    """The result of PyTorch; `a` holds float64 tensors."""
    x, gamma, beta = a["x"], a.get("gamma"), a.get("beta")
    epsilon = call.options.get("epsilon", 1e-12)
    kind = call.op.split("_")[0]
    if kind == "batch":
        given = "mean" in a
        moving = (a["mean"], a["variance"]) if given else (None, None)
        return functional.batch_norm(first(x), *moving, gamma, beta, not given, 0.0, epsilon).movedim(1, -1)
    if kind == "group":
        return functional.group_norm(first(x), call.options["groups"], gamma, beta, epsilon).movedim(1, -1)
    if kind == "instance":
        if all(size == 1 for size in x.shape[1:-1]):  # refused by instance_norm
            return functional.group_norm(first(x), x.shape[-1], gamma, beta, epsilon).movedim(1, -1)
        return functional.instance_norm(first(x), None, None, gamma, beta, True, 0.1, epsilon).movedim(1, -1)
    shape = x.shape[len(x.shape) - len(call.options["axis"]) :]
    if kind == "layer":
        return functional.layer_norm(x, shape, gamma, beta, epsilon)
    if kind == "rms":
        return functional.rms_norm(x, shape, gamma, epsilon)
    return functional.normalize(x.flatten(-len(shape)), dim=-1, eps=epsilon).reshape(x.shape)


def train(call: Call, a: dict[str, Any]) -> tuple[Any, ...]:
    """The moving statistics; momentum is PyTorch's share of the new, and its variance is unbiased."""
    mean, variance = (
        a.get(name, torch.full((a["x"].shape[-1],), value, dtype=torch.float64)).clone()
        for name, value in (("moving_mean", 0.0), ("moving_variance", 1.0))
    )
    share, count = 1.0 - call.options["momentum"], a["x"].numel() // a["x"].shape[-1]
    kept = variance * (1.0 - share)
    y = functional.batch_norm(
        first(a["x"]), mean, variance, a.get("gamma"), a.get("beta"), True, share, call.options["epsilon"]
    ).movedim(1, -1)
    return y, mean, kept + (variance - kept) * (count - 1) / count


def wanted_of(call: Call, arrays: dict[str, Any]) -> Any:
    a = {name: tensor(value) for name, value in arrays.items()}
    if call.op == "batch_norm_train":
        assert call.part is not None
        return train(call, a)[call.part[0]].numpy()
    if not call.op.endswith("_bwd"):
        return forward(call, a).numpy()
    part = call.part[0] if call.part else 0
    affine = call.out_shape if part else a.get("gamma", torch.ones(())).shape
    a.setdefault("gamma", torch.ones(affine or call.shapes["x"][-1:], dtype=torch.float64))
    a["beta"] = torch.zeros_like(a["gamma"])
    if call.op.startswith("unit"):
        a.pop("gamma"), a.pop("beta")
    elif call.op.startswith(("layer", "rms")):
        shape = call.shapes["x"][-len(call.options["axis"]) :]
        a["gamma"], a["beta"] = (a[name].expand(shape).clone() for name in ("gamma", "beta"))
    # Channels first: of a dy that is not, PyTorch 2.13 gives instance norm of one sample a wrong gradient.
    dy = first(a["dy"]).contiguous().movedim(1, -1)
    # All at once: its group norm of channels-last data ends the process when asked for dgamma alone.
    leaves = [a[name].requires_grad_() for name in ("x", "gamma", "beta") if name in a]
    return torch.autograd.grad(forward(call, a), leaves, dy, allow_unused=True)[part].numpy()


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    chosen = configuration(number)
    rng = np.random.default_rng(number)
    if chosen.spoiled:
        both_refuse(chosen, rng)
        return
    calls = row_norm_calls if chosen.kind in ("layer", "rms", "unit") else channel_norm_calls
    for call in calls(chosen.case):
        if not call.op.startswith(chosen.kind):
            continue
        if call.op == "batch_norm_train" and np.prod(call.shapes["x"][:-1]) == 1:
            continue  # PyTorch refuses the variance of one value
        arrays = call.reals(rng)
        wanted = wanted_of(call, arrays)
        assert_within(call.run(arrays), wanted, call.bound(arrays, wanted), str(call))


def both_refuse(chosen: Configuration, rng: np.random.Generator) -> None:
    case = chosen.case
    calls = row_norm_calls if chosen.kind in ("layer", "rms", "unit") else channel_norm_calls
    call = next(call for call in calls(case) if call.op == f"{chosen.kind}_norm")
    arrays, options = call.reals(rng), dict(call.options)
    c = case.channels
    if chosen.spoiled == "gamma too long":
        arrays["gamma"] = np.ones((*arrays.get("gamma", np.ones(c)).shape[:-1], c + 1), np.float32)
    elif chosen.spoiled == "no channels":
        arrays = {"x": np.ones((*case.x_shape[:-1], 0), np.float32)}
        options["groups"] = 0
    elif chosen.spoiled == "axes too many":
        options["axis"] = tuple(range(-len(case.x_shape) - 1, 0))
    else:
        options["groups"] = 0 if chosen.spoiled == "groups 0" else c + 1
    with pytest.raises(REFUSED):
        getattr(ops, call.op)(**arrays, **options)
    if chosen.spoiled in STRICTER:
        return
    spoiled = Call(call.op, case, call.shapes, options, call.out_shape)
    with pytest.raises(TORCH_REFUSED):
        forward(spoiled, {name: tensor(value) for name, value in arrays.items()})


def test_the_mixture_is_as_planned() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    share = sum(bool(c.spoiled) for c in drawn) / COUNT
    # Five standard deviations of a binomial share.
    assert abs(share - SPOILED) < 5 * (SPOILED * (1 - SPOILED) / COUNT) ** 0.5
    assert min(sum(c.kind == kind for c in drawn) for kind in KINDS) >= 50
    checks: Callable[[Configuration], bool] = lambda c: c.case.given  # noqa: E731
    assert sum(map(checks, drawn)) >= 20
