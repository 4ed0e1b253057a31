# SPDX-License-Identifier: Apache-2.0
"""500 random merges and moves of elements, forward and backward: as PyTorch in float64, or both refuse.

A configuration follows from its number alone. PyTorch shares the gradient of equal operands of a maximum; no
two of these are equal.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing.calls import Call, concatenate_calls, merge_calls, move_calls
from fastcnn.testing.cases import ConcatenateCase, MergeCase, MoveCase
from fastcnn.testing.compare import assert_within
from fastcnn.testing.fill import reals
from fastcnn.testing.reference.shape import sides

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT, SPOILED = 500, 0.25
MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "add": torch.add,
    "subtract": torch.subtract,
    "multiply": torch.multiply,
    "average": lambda a, b: (a + b) / 2,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
KINDS = (*MERGES, "concatenate", "permute", "zero_padding", "cropping", "upsampling", "repeat_vector")
CHANNELS = (1, 2, 3, 5, 8, 15, 16, 17, 33, 64)
REFUSED = (ValueError, TypeError, MemoryError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError)


class Configuration(NamedTuple):
    kind: str
    case: Any
    spoiled: bool


def configuration(number: int) -> Configuration:
    dice = random.Random(number)
    kind = dice.choice(KINDS)
    spoiled = dice.random() < SPOILED
    draw = _merge if kind in MERGES else DRAWS[kind]
    return Configuration(kind, draw(dice, spoiled), spoiled)


def _merge(dice: random.Random, spoiled: bool) -> MergeCase:
    shape = [dice.randint(1, 6) for _ in range(dice.randint(0, 3))] + [dice.choice(CHANNELS)]
    pair = [[1 if dice.random() < 0.25 else size for size in shape] for _ in range(2)]
    if spoiled:
        axis = dice.randrange(len(shape))
        pair[0][axis], pair[1][axis] = shape[axis] + 1, shape[axis] + 2
        return MergeCase(tuple(pair[0]), tuple(pair[1]))
    longer = dice.randrange(2)
    pair[longer] = pair[longer][dice.choice((0, 0, dice.randrange(len(shape)))) :]
    return MergeCase(tuple(pair[0]), tuple(pair[1]))


def _concatenate(dice: random.Random, spoiled: bool) -> ConcatenateCase:
    shape = [dice.randint(1, 5) for _ in range(dice.randint(1, 3))] + [dice.choice(CHANNELS)]
    axis = dice.randint(1, len(shape) - 1) - dice.choice((0, len(shape)))
    sizes = tuple(dice.choice((1, 2, 3, 16, 17)) for _ in range(dice.randint(1, 4)))
    return ConcatenateCase(tuple(shape), sizes, len(shape) if spoiled else axis)


def _permute(dice: random.Random, spoiled: bool) -> MoveCase:
    shape = [dice.choice((1, 2, 3, 4, 16, 19)) for _ in range(dice.randint(2, 4))]
    dims = list(range(1, len(shape)))
    dice.shuffle(dims)
    if spoiled:
        dims[0] = dice.choice((0, len(shape), dims[-1] if len(dims) > 1 else 7))
    return MoveCase(tuple(shape), {"dims": tuple(dims)})


def _image(dice: random.Random, least: int) -> tuple[int, ...]:
    spatial = dice.randint(1, 3)
    return (dice.randint(1, 3), *(dice.randint(least, 6) for _ in range(spatial)), dice.choice(CHANNELS))


def _zero_padding(dice: random.Random, spoiled: bool) -> MoveCase:
    shape = _image(dice, 1)
    return MoveCase(shape, {"padding": _amounts(dice, len(shape) - 2, -7 if spoiled else 3)})


def _cropping(dice: random.Random, spoiled: bool) -> MoveCase:
    shape = _image(dice, 3)
    return MoveCase(shape, {"cropping": _amounts(dice, len(shape) - 2, 7 if spoiled else 1)})


def _amounts(dice: random.Random, spatial: int, most: int) -> Any:
    """In one of the forms that Keras has; `most` everywhere, if it is out of the ordinary."""
    one = lambda: dice.randint(0, most) if 0 <= most <= 3 else most  # noqa: E731
    if spatial == 1:
        return dice.choice((one(), (one(), one())))
    each = tuple(one() for _ in range(spatial))
    return dice.choice((one(), each, tuple((one(), one()) for _ in range(spatial))))


def _upsampling(dice: random.Random, spoiled: bool) -> MoveCase:
    shape = _image(dice, 1)
    spatial = len(shape) - 2
    size: Any = 0 if spoiled else dice.choice((1, 2, 3, tuple(dice.randint(1, 4) for _ in range(spatial))))
    size = size[0] if isinstance(size, tuple) and spatial == 1 else size
    bilinear = spatial == 2 and dice.random() < 0.7
    return MoveCase(shape, {"size": size, "interpolation": "bilinear" if bilinear else "nearest"})


def _repeat_vector(dice: random.Random, spoiled: bool) -> MoveCase:
    return MoveCase((dice.randint(1, 4), dice.choice(CHANNELS)), {"n": -1 if spoiled else dice.randint(1, 9)})


DRAWS: dict[str, Callable[[random.Random, bool], Any]] = {
    "concatenate": _concatenate,
    "permute": _permute,
    "zero_padding": _zero_padding,
    "cropping": _cropping,
    "upsampling": _upsampling,
    "repeat_vector": _repeat_vector,
}


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    chosen = configuration(number)
    rng = np.random.default_rng(number)
    if chosen.spoiled:
        both_refuse(chosen, rng)
        return
    for call in calls_of(chosen):
        arrays = call.reals(rng)
        wanted = torch_result(call, arrays)
        assert_within(call.run(arrays), wanted, call.bound(arrays, wanted), str(call))


def test_the_mixture_is_as_planned() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    share = sum(each.spoiled for each in drawn) / COUNT
    # Five standard deviations of a binomial share.
    assert abs(share - SPOILED) < 5 * (SPOILED * (1 - SPOILED) / COUNT) ** 0.5
    assert min(sum(each.kind == kind and not each.spoiled for each in drawn) for kind in KINDS) >= 15


def calls_of(chosen: Configuration) -> list[Call]:
    if isinstance(chosen.case, MergeCase):
        calls = list(merge_calls(chosen.case))
    elif isinstance(chosen.case, ConcatenateCase):
        calls = list(concatenate_calls(chosen.case))
    else:
        calls = list(move_calls(chosen.kind, chosen.case))
    return [call for call in calls if call.op.removesuffix("_bwd") == chosen.kind]


def torch_result(call: Call, arrays: dict[str, Any]) -> Any:
    given = {name: torch.from_numpy(array.astype(np.float64)) for name, array in arrays.items()}
    kind = call.op.removesuffix("_bwd")
    if not call.op.endswith("_bwd"):
        return torch_forward(kind, call.case, list(given.values())).numpy()
    index = call.options.get("index", 0)
    if kind == "multiply":
        index = 0
        inputs = [torch.ones(call.out_shape, dtype=torch.float64), given["other"]]
    elif isinstance(call.case, MergeCase):
        shapes = (call.case.x1_shape, call.case.x2_shape)
        if "index" not in call.options:
            index = shapes.index(call.out_shape)
        none = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
        inputs = [given.get(name, zeros) for name, zeros in zip(("x1", "x2"), none, strict=True)]
    elif isinstance(call.case, ConcatenateCase):
        inputs = [torch.zeros(shape, dtype=torch.float64) for shape in call.case.x_shapes]
    else:
        inputs = [torch.zeros(call.case.x_shape, dtype=torch.float64)]
    inputs[index].requires_grad_()
    y = torch_forward(kind, call.case, inputs)
    return torch.autograd.grad(y, inputs[index], given["dy"])[0].numpy()


def torch_forward(kind: str, case: Any, x: list[Any]) -> Any:
    if kind in MERGES:
        return MERGES[kind](*x)
    if kind == "concatenate":
        return torch.cat(x, case.axis)
    options = case.options
    if kind == "permute":
        return x[0].permute(0, *options["dims"])
    if kind == "repeat_vector":
        return x[0][:, None].expand(-1, options["n"], -1) if options["n"] > 0 else x[0].repeat(options["n"])
    first = x[0].movedim(-1, 1)
    if kind == "upsampling":
        bilinear = options["interpolation"] == "bilinear"
        size = options["size"]
        factors = tuple(map(float, size)) if isinstance(size, tuple) else float(size)
        extra = {"mode": "bilinear", "align_corners": False} if bilinear else {"mode": "nearest"}
        return functional.interpolate(first, scale_factor=factors, **extra).movedim(1, -1)
    amount = sides(options["padding" if kind == "zero_padding" else "cropping"], first.ndim - 2)
    sign = 1 if kind == "zero_padding" else -1
    flat = [sign * n for pair in reversed(amount) for n in pair]
    return functional.pad(first, flat).movedim(1, -1)


def both_refuse(chosen: Configuration, rng: np.random.Generator) -> None:
    case = chosen.case
    if isinstance(case, MergeCase):
        x = [reals(rng, case.x1_shape), reals(rng, case.x2_shape)]
        ours: Callable[[], Any] = lambda: getattr(ops, chosen.kind)(*x)  # noqa: E731
    elif isinstance(case, ConcatenateCase):
        x = [reals(rng, case.shape) for _ in case.sizes]
        ours = lambda: ops.concatenate(x, case.axis)  # noqa: E731
    else:
        x = [reals(rng, case.x_shape)]
        ours = lambda: getattr(ops, chosen.kind)(x[0], **case.options)  # noqa: E731
    with pytest.raises(REFUSED):
        ours()
    with pytest.raises(TORCH_REFUSED):
        torch_forward(chosen.kind, case, [torch.from_numpy(each) for each in x])
