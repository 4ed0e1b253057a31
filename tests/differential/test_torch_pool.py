# SPDX-License-Identifier: Apache-2.0
"""700 random pools: fastcnn agrees with PyTorch within the derived bounds, or both refuse.

PyTorch computes in float64. A configuration follows from its number alone, so the number of a failing test is
its reproducer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing.calls import Call, adaptive_calls, global_calls, index_calls, lp_calls, pool_nd_calls
from fastcnn.testing.cases import AdaptivePoolCase, GlobalPoolCase, LpPoolCase, PoolCase, PoolNdCase
from fastcnn.testing.compare import assert_within, sum_bound
from fastcnn.testing.fill import integers
from fastcnn.testing.reference import max_pool2d_with_index

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT, SPOILED = 700, 0.25
CHANNELS = (1, 2, 3, 4, 7, 8, 9, 16, 17, 33)

REFUSED = (ValueError, TypeError, MemoryError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError)

Case = PoolNdCase | GlobalPoolCase | AdaptivePoolCase | LpPoolCase | PoolCase


@dataclass(frozen=True)
class Configuration:
    """`kind` says which pools; `spoiled` what is wrong, if anything is."""

    kind: str
    case: Any
    spoiled: str = ""


def configuration(number: int) -> Configuration:
    dice = random.Random(number)
    kind = dice.choices(("sliding", "global", "adaptive", "lp", "index"), weights=(6, 1, 2, 2, 2))[0]
    sound = Configuration(kind, MAKE[kind](dice))
    return spoil(sound, dice) if dice.random() < SPOILED and kind != "global" else sound


def _window(dice: random.Random, axes: int, dilated: bool) -> dict[str, Any]:
    """PyTorch pads by half a window at most."""
    size = tuple(dice.randint(1, 4 if axes == 3 else 6) for _ in range(axes))
    strides = dice.choice((None, tuple(dice.randint(1, 4) for _ in range(axes))))
    padding = tuple(dice.randint(0, n // 2) for n in size)
    dilation = tuple(dice.randint(1, 3) for _ in range(axes)) if dilated else (1,) * axes
    return {"pool_size": size, "strides": strides, "padding": padding, "dilation_rate": dilation}


def _image(dice: random.Random, window: dict[str, Any]) -> tuple[int, ...]:
    spans = [d * (n - 1) + 1 for n, d in zip(window["pool_size"], window["dilation_rate"], strict=True)]
    sizes = tuple(span + dice.choice((0, 1, dice.randint(0, 9))) for span in spans)
    return (dice.choice((1, 2, 3)), *sizes, dice.choice(CHANNELS))


def _sliding(dice: random.Random) -> PoolNdCase:
    axes = dice.choice((1, 2, 3))
    window = _window(dice, axes, dice.random() < 0.4)
    if window["dilation_rate"] == (1,) * axes:
        window["dilation_rate"] = 1
        shape = _image(dice, {**window, "dilation_rate": (1,) * axes})
    else:
        shape = _image(dice, window)
    return PoolNdCase(shape, **window, ceil_mode=dice.random() < 0.4, count_include_pad=dice.random() < 0.4)


def _global(dice: random.Random) -> GlobalPoolCase:
    sizes = tuple(dice.choice((1, 2, 5, 9, 30)) for _ in range(dice.choice((1, 2, 3))))
    return GlobalPoolCase((dice.choice((1, 2, 3)), *sizes, dice.choice(CHANNELS)), dice.random() < 0.5)


def _adaptive(dice: random.Random) -> AdaptivePoolCase:
    axes = dice.choice((1, 2, 3))
    shape = (dice.choice((1, 2)), *(dice.randint(1, 13) for _ in range(axes)), dice.choice(CHANNELS))
    return AdaptivePoolCase(shape, tuple(dice.choice((dice.randint(1, 9), None)) for _ in range(axes)))


def _image_case(dice: random.Random, dilated: bool) -> PoolCase:
    window = _window(dice, 2, dilated)
    n, h, w, c = _image(dice, window)
    return PoolCase(n, h, w, c, **window, ceil_mode=dice.random() < 0.4)


def _lp(dice: random.Random) -> LpPoolCase:
    p = dice.choice((1.0, 2.0, dice.randint(5, 40) / 4))
    return LpPoolCase(_image_case(dice, dilated=False), p)


MAKE: dict[str, Callable[[random.Random], Case]] = {
    "sliding": _sliding,
    "global": _global,
    "adaptive": _adaptive,
    "lp": _lp,
    "index": lambda dice: _image_case(dice, dilated=True),
}


def spoil(sound: Configuration, dice: random.Random) -> Configuration:
    case = sound.case
    if isinstance(case, AdaptivePoolCase):
        axes = len(case.x_shape) - 2
        # Of no output at all PyTorch makes an empty array.
        ways: dict[str, Any] = {
            "negative output": replace(case, output_size=(-1,) * axes),
            "output_size too long": replace(case, output_size=(2,) * (axes + 1)),
        }
    else:
        pool = case.pool if isinstance(case, LpPoolCase) else case
        axes = len(pool.pool_size)
        ways = {
            "stride 0": replace(pool, strides=(0,) * axes),
            "stride negative": replace(pool, strides=(-1,) * axes),
            "window 0": replace(pool, pool_size=(0,) * axes, padding=0),
            "padding negative": replace(pool, padding=(-1,) * axes),
            "padding as large as the window": replace(pool, padding=pool.pool_size),
            "window too large": replace(pool, pool_size=(99,) * axes, padding=0, ceil_mode=False),
        }
        if isinstance(case, LpPoolCase):
            ways = {name: replace(case, pool=each) for name, each in ways.items()}
    way = dice.choice(list(ways))
    return Configuration(sound.kind, ways[way], way)


# --- what PyTorch computes


def first(image: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(image, np.float64), -1, 1)))


def last(image: Any) -> Any:
    return np.moveaxis(image.detach().numpy(), 1, -1)


def forward(call: Call, x: Any) -> Any:
    """What `call` (or the forward pass of its gradient) computes of x, channels first."""
    name = call.op.removesuffix("_bwd")
    options, axes = call.options, x.ndim - 2
    if name.startswith("global"):
        keep = options["keepdims"]
        dims = tuple(range(2, x.ndim))
        if "max" in name:
            # Not amax, whose gradient is shared by equals.
            y = x.flatten(2).max(dim=2).values
            return y.reshape(*y.shape, *(1 for _ in dims)) if keep else y
        return x.mean(dims, keepdim=keep) if "average" in name else x.sum(dims, keepdim=keep)
    if name.startswith("adaptive"):
        kind = "max" if "max" in name else "avg"
        # In one dimension PyTorch knows no None.
        size = [x.shape[2 + i] if n is None else n for i, n in enumerate(options["output_size"])]
        return getattr(functional, f"adaptive_{kind}_pool{axes}d")(x, size)
    window = (options["pool_size"], options["strides"], options["padding"])
    if name.startswith("max"):
        dilation = options.get("dilation_rate", 1)
        pool = getattr(functional, f"max_pool{axes}d")
        return pool(x, *window, dilation=dilation, ceil_mode=options["ceil_mode"])
    if name == "lp_pool2d":
        # PyTorch's own counts the window where it is clipped, and leaves the sign in.
        power = functional.avg_pool2d(x.abs() ** options["p"], *window, options["ceil_mode"], False, 1)
        return power ** (1.0 / options["p"])
    return average(name, x, options)


def average(name: str, x: Any, options: Any) -> Any:
    """Means and sums; only of images does PyTorch know a divisor, so 1-D goes by way of them."""
    axes = x.ndim - 2
    counted = options.get("count_include_pad", False)
    divisor = 1 if name.startswith("sum") else None
    window = (options["pool_size"], options["strides"], options["padding"])
    if axes == 1:
        size, strides, padding = (
            None if v is None else (v[0] if isinstance(v, tuple) else v) for v in window
        )
        window = ((1, size), None if strides is None else (1, strides), (0, padding))
        y = functional.avg_pool2d(x[:, :, None], *window, options["ceil_mode"], counted, divisor)
        return y[:, :, 0]
    pool = getattr(functional, f"avg_pool{axes}d")
    return pool(x, *window, options["ceil_mode"], counted, divisor)


def of_torch(call: Call, arrays: dict[str, Any]) -> Any:
    if not call.op.endswith("_bwd"):
        y = forward(call, first(arrays["x"]))
        return last(y) if y.ndim > 2 else y.numpy()
    x = first(arrays["x"] if "x" in arrays else np.zeros(call.out_shape)).requires_grad_()
    y = forward(call, x)
    dy = first(arrays["dy"]) if y.ndim > 2 else torch.from_numpy(arrays["dy"].astype(np.float64))
    return last(torch.autograd.grad(y, x, dy)[0])


def of_unpool(call: Call, arrays: dict[str, Any]) -> Any:
    places = torch.from_numpy(np.moveaxis(call.options["index"], -1, 1).astype(np.int64))
    if call.op == "max_unpool2d":
        values = first(arrays["x"])
        n, h, w, c = call.options["output_shape"]
        y = torch.zeros((n, c, h * w), dtype=torch.float64)
        y.scatter_(2, places.flatten(2), values.flatten(2))
        return last(y.reshape(n, c, h, w))
    flat = first(arrays["dy"]).flatten(2)
    return last(flat.gather(2, places.flatten(2)).reshape(places.shape))


def of_places(call: Call, arrays: dict[str, Any]) -> Any:
    places = torch.from_numpy(np.moveaxis(call.options["index"], -1, 1).astype(np.int64))
    n, *sizes, c = call.out_shape
    dx = torch.zeros((n, c, math.prod(sizes)), dtype=torch.float64)
    dx.scatter_add_(2, places.flatten(2), first(arrays["dy"]).flatten(2))
    return last(dx.reshape(n, c, *sizes))


# --- comparison


def calls_of(chosen: Configuration) -> Iterator[Call]:
    make: dict[str, Callable[[Any], Iterator[Call]]] = {
        "sliding": pool_nd_calls,
        "global": global_calls,
        "adaptive": adaptive_calls,
        "lp": lp_calls,
        "index": index_calls,
    }
    return make[chosen.kind](chosen.case)


def agree(call: Call, rng: np.random.Generator) -> None:
    arrays = call.reals(rng)
    torch_of = of_torch
    if "index" in call.options:
        torch_of = of_unpool if "unpool" in call.op else of_places
    wanted = torch_of(call, arrays)
    if call.error is not None:
        bound = call.error(call, arrays, wanted)
        if call.op == "lp_pool2d_bwd":
            # PyTorch has its own y; ours is given, and rounded.
            bound = bound + 2.0**-24 * call.options["p"] * np.abs(call.reference(magnitudes(call, arrays)))
    elif call.linear:
        bound = sum_bound(wanted, torch_of(call, magnitudes(call, arrays)), call.terms)
    else:
        bound = np.full(wanted.shape, 2.0**-150)
    assert_within(call.run(arrays), wanted, bound, str(call))


def magnitudes(call: Call, arrays: dict[str, Any]) -> dict[str, Any]:
    if call.op == "lp_pool2d_bwd":
        return {name: np.abs(a) for name, a in arrays.items()}
    return {name: np.abs(a) if name in call.linear else a for name, a in arrays.items()}


def indices_agree(case: PoolCase | PoolNdCase, rng: np.random.Generator) -> None:
    # Distinct values: PyTorch's choice among equals is its own.
    axes, options = len(case.x_shape) - 2, {**case.options, "dilation_rate": case.dilation_rate}
    x = rng.permutation(np.prod(case.x_shape)).reshape(case.x_shape).astype(np.float32)
    image = first(x).requires_grad_()
    y, wanted = getattr(functional, f"max_pool{axes}d")(
        image, case.pool_size, case.strides, case.padding, case.dilation_rate, case.ceil_mode, True
    )
    _, index = getattr(ops, f"max_pool{axes}d_with_index")(x, **options)
    assert np.array_equal(index, last(wanted))
    assert np.array_equal(index, max_pool2d_with_index(x, **options)[1])
    dy = integers(rng, case.y_shape, case.windows.overlap)
    dx = getattr(ops, f"max_pool{axes}d_with_index_bwd")(dy, index, case.x_shape, **options)
    assert np.array_equal(dx, last(torch.autograd.grad(y, image, first(dy))[0]))


def both_refuse(chosen: Configuration) -> None:
    case = chosen.case
    pool = case.pool if isinstance(case, LpPoolCase) else case
    x = np.ones(pool.x_shape, np.float32)
    if isinstance(case, AdaptivePoolCase):
        mine, options = ops.adaptive_average_pool, {"output_size": case.output_size}
        theirs = Call("adaptive_average_pool", case, {}, options, ())
    elif chosen.kind == "sliding":
        options, axes = dict(case.options), len(case.pool_size)
        mine, theirs = (
            getattr(ops, f"average_pool{axes}d"),
            Call(f"average_pool{axes}d", case, {}, options, ()),
        )
    elif isinstance(case, LpPoolCase):
        mine, options = ops.lp_pool2d, dict(case.options)
        theirs = Call("lp_pool2d", case, {}, options, ())
    else:
        mine, options = ops.max_pool2d_with_index, dict(case.options)
        theirs = Call("max_pool2d_with_index", case, {}, options, ())
    with pytest.raises(REFUSED):
        mine(x, **options)
    with pytest.raises(TORCH_REFUSED):
        forward(theirs, first(x))


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    chosen, rng = configuration(number), np.random.default_rng(number)
    if chosen.spoiled:
        both_refuse(chosen)
        return
    for call in calls_of(chosen):
        agree(call, rng)
    if chosen.kind == "index" or (chosen.kind == "sliding" and chosen.case.axes == 3):
        indices_agree(chosen.case, rng)


def test_the_mixture_is_as_planned() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    kinds = {c.kind for c in drawn}
    assert kinds == set(MAKE)
    assert min(sum(c.kind == kind for c in drawn) for kind in kinds) >= 20
    assert sum(bool(c.spoiled) for c in drawn) >= COUNT // 8
