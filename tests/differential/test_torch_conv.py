# SPDX-License-Identifier: Apache-2.0
"""900 random convolutions beyond conv2d: fastcnn and PyTorch agree within the derived bounds, or both refuse.

PyTorch computes in float64. A configuration follows from its number alone: numbers below 400 are transposed,
then 200 depthwise or of sequences, then 300 of volumes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from configurations import EDGES

from fastcnn import ops
from fastcnn.testing.calls import Call, conv_nd_calls
from fastcnn.testing.case import ConvNdCase
from fastcnn.testing.compare import assert_within, sum_bound
from fastcnn.testing.fill import reals
from fastcnn.testing.reference.conv_nd import resolve_padding_nd

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

TRANSPOSED, FLAT, VOLUMES = 400, 200, 300
COUNT = TRANSPOSED + FLAT + VOLUMES
SPOILED = 0.25
REFUSED = (ValueError, TypeError, MemoryError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError)

PLAIN = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
BACK = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Configuration:
    """One call: `suffix` is the pass, `spoiled` says what is wrong with it, if anything is."""

    case: ConvNdCase
    suffix: str
    spoiled: str = ""


def configuration(number: int) -> Configuration:
    dice = random.Random(number)
    if number < TRANSPOSED:
        case = draw_transposed(dice, dice.choice((1, 2, 2, 2, 3)))
    elif number < TRANSPOSED + FLAT:
        case = draw_plain(dice, dice.choice(("conv1d", "depthwise_conv1d", "depthwise_conv2d")))
    else:
        case = draw_plain(dice, "conv3d")
    chosen = Configuration(case, dice.choice(("", "_dgrad", "_wgrad")))
    return spoil(chosen, dice) if dice.random() < SPOILED else chosen


def draw_window(dice: random.Random, rank: int) -> dict[str, tuple[int, ...]]:
    most = 5 if rank < 3 else 3
    return {
        "window": tuple(dice.randint(1, most) for _ in range(rank)),
        "strides": tuple(dice.choice((1, 1, 2, 3, 4)) for _ in range(rank)),
        "dilation_rate": tuple(dice.choice((1, 1, 1, 2, 3)) for _ in range(rank)),
    }


def draw_channels(dice: random.Random, rank: int) -> tuple[int, int, int]:
    """Input and output channels and groups."""
    edges = EDGES if rank < 3 else EDGES[:-3]
    c, k = dice.choice(edges), dice.choice(edges)
    groups = dice.choice((1, 1, 1, math.gcd(c, k)))
    return c, k, groups


def draw_transposed(dice: random.Random, rank: int) -> ConvNdCase:
    """A valid one, with the padding that PyTorch knows: as much on both sides."""
    c, k, groups = draw_channels(dice, rank)
    walk = draw_window(dice, rank)
    extents = [d * (r - 1) + 1 for d, r in zip(walk["dilation_rate"], walk["window"], strict=True)]
    size = tuple(dice.randint(1, 9 if rank < 3 else 5) for _ in range(rank))
    added = tuple(
        dice.randrange(max(pair)) for pair in zip(walk["strides"], walk["dilation_rate"], strict=True)
    )
    whole = [(n - 1) * s + e + a for n, s, e, a in zip(size, walk["strides"], extents, added, strict=True)]
    padding = tuple(dice.randint(0, min(3, (total - 1) // 2)) for total in whole)
    n = dice.choice((1, 2, 3))
    return ConvNdCase(
        f"conv{rank}d_transpose", n, size, c, k, padding=padding, output_padding=added, groups=groups, **walk
    )


def draw_plain(dice: random.Random, op: str) -> ConvNdCase:
    """A valid one; the kernel reaches the size of the padded input now and then."""
    rank = int(op[-2])
    c, k, groups = draw_channels(dice, rank)
    if op.startswith("depthwise"):
        k, groups = c * dice.choice((1, 1, 2, 3)), 1
    walk = draw_window(dice, rank)
    extents = [d * (r - 1) + 1 for d, r in zip(walk["dilation_rate"], walk["window"], strict=True)]
    size = tuple(extent + dice.choice((0, 0, 1, dice.randint(0, 20 // rank))) for extent in extents)
    sides = tuple((dice.randint(0, 3), dice.randint(0, 3)) for _ in range(rank))
    padding: Any = dice.choice(("valid", "same", dice.randint(0, 3), sides))
    if op == "conv1d" and dice.random() < 0.2:
        padding = "causal"
    return ConvNdCase(op, dice.choice((1, 2, 3)), size, c, k, padding=padding, groups=groups, **walk)


def spoil(sound: Configuration, dice: random.Random) -> Configuration:
    case = replace(sound.case, padding=0)
    rank = len(case.size)
    ways = {
        "stride 0": replace(case, strides=(0,) * rank),
        "stride negative": replace(case, strides=(1,) * (rank - 1) + (-1,)),
        "dilation 0": replace(case, dilation_rate=(0,) * rank),
        "padding negative": replace(case, padding=(-1,) * rank),
        "channels differ": case,
        "bias too long": case,
        "a rank too high": case,
    }
    if case.transposed:
        ways["output_padding too large"] = replace(case, output_padding=(9,) * rank)
        ways["nothing left"] = replace(case, padding=(60,) * rank)
    else:
        ways["window too large"] = replace(case, window=tuple(n + 1 for n in case.size))
    if not case.depthwise:
        ways["groups not dividing"] = replace(case, groups=case.c * case.k + 1)
    spoiled = dice.choice(list(ways))
    return Configuration(ways[spoiled], sound.suffix, spoiled)


# --- sound configurations


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    chosen = configuration(number)
    rng = np.random.default_rng(number)
    if chosen.spoiled:
        both_refuse(chosen, rng)
        return
    call = next(c for c in conv_nd_calls(chosen.case) if c.op == chosen.case.op + chosen.suffix)
    arrays = call.reals(rng)
    wanted = torch_result(call, arrays)
    magnitude = torch_result(call, {name: np.abs(array) for name, array in arrays.items()})
    assert_within(call.run(arrays), wanted, sum_bound(wanted, magnitude, call.terms), str(call))


def test_the_mixture_is_as_planned() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    share = sum(bool(c.spoiled) for c in drawn) / COUNT
    # Five standard deviations of a binomial share.
    assert abs(share - SPOILED) < 5 * (SPOILED * (1 - SPOILED) / COUNT) ** 0.5
    assert min(sum(c.case.op == op for c in drawn) for op in {c.case.op for c in drawn}) >= 20
    assert len({c.spoiled for c in drawn}) == 12


def torch_forward(case: ConvNdCase, x: Any, kernel: Any, bias: Any = None) -> Any:
    """x [N,C,...], kernel as fastcnn has it."""
    rank, options = len(case.size), case.options
    groups = case.c if case.depthwise else case.groups
    if case.depthwise:
        kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    weight = kernel.movedim((-1, -2), (0, 1))
    if case.transposed:
        padding = case.padding
        return BACK[rank](
            x, weight, bias, options["strides"], padding, options["output_padding"] or 0, groups,
            options["dilation_rate"],
        )  # fmt: skip
    pads = resolve_padding_nd(
        case.padding, case.size, case.window, options["strides"], options["dilation_rate"]
    )
    if all(before == after for before, after in pads):
        amount: Any = tuple(before for before, _ in pads)
    else:
        x, amount = functional.pad(x, [side for axis in reversed(pads) for side in axis]), 0
    return PLAIN[rank](x, weight, bias, options["strides"], amount, options["dilation_rate"], groups)


def tensor(array: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(np.asarray(array, np.float64)))


def first(array: Any) -> Any:
    return tensor(np.moveaxis(np.asarray(array), -1, 1))


def torch_result(call: Call, a: Arrays) -> Any:
    case: Any = call.case
    if "bias" in a:
        y = torch_forward(case, first(a["x"]), tensor(a["kernel"]), tensor(a["bias"]))
        return y.movedim(1, -1).numpy()
    x = first(a["x"] if "x" in a else np.zeros(case.x_shape)).requires_grad_()
    kernel = tensor(a["kernel"] if "kernel" in a else np.zeros(case.kernel_shape)).requires_grad_()
    y = torch_forward(case, x, kernel)
    if call.op.endswith("_dgrad"):
        return torch.autograd.grad(y, x, first(a["dy"]))[0].movedim(1, -1).numpy()
    return torch.autograd.grad(y, kernel, first(a["dy"]))[0].numpy()


# --- spoiled configurations


def both_refuse(chosen: Configuration, rng: np.random.Generator) -> None:
    case = chosen.case
    x, kernel, bias = reals(rng, case.x_shape), spoiled_kernel(chosen, rng), reals(rng, (case.k,))
    if chosen.spoiled == "a rank too high":
        x = x[None]
    if chosen.spoiled == "bias too long":
        bias = reals(rng, (case.k + 2,))
    dy = reals(rng, (case.n, *(1 for _ in case.size), case.k))
    arguments: dict[str, tuple[Any, ...]] = {
        "": (x, kernel, bias),
        "_dgrad": (dy, kernel, x.shape),
        "_wgrad": (x, dy, case.window),
    }
    suffix = chosen.suffix
    # What the arguments of a gradient do not say, its forward pass refuses.
    if chosen.spoiled == "bias too long" or (suffix == "_wgrad" and chosen.spoiled == "channels differ"):
        suffix = ""
    with pytest.raises(REFUSED):
        getattr(ops, case.op + suffix)(*arguments[suffix], **case.options)
    with pytest.raises(TORCH_REFUSED):
        torch_forward(case, first(x), tensor(kernel), tensor(bias))


def spoiled_kernel(chosen: Configuration, rng: np.random.Generator) -> Any:
    """Of the right shape, but for the fault that lies in it."""
    case = chosen.case
    if chosen.spoiled == "groups not dividing":
        case = replace(case, groups=1)
    kernel = reals(rng, case.kernel_shape)
    if chosen.spoiled == "channels differ":
        axis = -1 if case.transposed else -2
        kernel = np.concatenate([kernel, kernel], axis=axis)
    return kernel
