# SPDX-License-Identifier: Apache-2.0
"""Calls of normalizations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fastcnn.testing import cases
from fastcnn.testing.calls.call import Arrays, Call, Real, Shape, Suite
from fastcnn.testing.case import NormCase
from fastcnn.testing.compare import UNIT
from fastcnn.testing.fill import F32
from fastcnn.testing.norm_bounds import LONG_ROW, TILE_ROWS, Norm, Spec

EPSILON = 11.0  # of exact cases: 5 + 11 is a power of 4
MOMENTUM = 0.5
MOST_EXACT = 4096  # elements of one statistic whose products still fit 24 bits


def channel_norm_calls(case: NormCase) -> Iterator[Call]:
    """Batch, group and instance norm, forward and backward."""
    x, c = case.x_shape, case.channels
    affine: dict[str, Shape] = {"gamma": (c,), "beta": (c,)} if case.affine else {}
    exact = _exact(int(np.prod(x[:-1])))
    if case.given:
        given: dict[str, Shape] = {"mean": (c,), "variance": (c,)}
        yield _call("batch_norm", case, {"x": x, **affine, **given}, exact=True)
        yield from _backward("batch_norm_bwd", case, given, exact=(True, exact, True))
        return
    moving: dict[str, Shape] = {"moving_mean": (c,), "moving_variance": (c,)} if case.affine else {}
    train = _call("batch_norm_train", case, {"x": x, **affine, **moving}, exact=exact)
    train = replace(train, options={**train.options, "momentum": MOMENTUM}, part=(0, 3))
    yield _call("batch_norm", case, {"x": x, **affine}, exact=exact)
    yield train
    yield replace(train, part=(1, 3), out_shape=(c,))
    yield replace(train, part=(2, 3), out_shape=(c,))
    yield from _backward("batch_norm_bwd", case, {}, exact=(exact, exact, True))
    pixels = int(np.prod(x[1:-1]))
    for op, size in (("group_norm", c // case.groups), ("instance_norm", 1)):
        exact = _exact(pixels * size)
        yield _call(op, case, {"x": x, **affine}, exact=exact)
        yield from _backward(f"{op}_bwd", case, {}, exact=(exact, exact, True))


def row_norm_calls(case: NormCase) -> Iterator[Call]:
    """Layer, RMS and unit norm, forward and backward."""
    x, rows = case.x_shape, case.row_shape
    gamma: dict[str, Shape] = {"gamma": rows} if case.affine else {}
    beta: dict[str, Shape] = {"beta": rows} if case.affine else {}
    count = int(np.prod(rows))
    exact = _exact(count)
    yield _call("layer_norm", case, {"x": x, **gamma, **beta}, exact)
    yield from _backward("layer_norm_bwd", case, {}, (exact, exact, True))
    yield _call("rms_norm", case, {"x": x, **gamma}, exact)
    yield from _backward("rms_norm_bwd", case, {}, (exact, exact))
    # Of +-1: the root is exact for an even power of two of them.
    exact = exact and bool(np.log2(count) % 2 == 0)
    yield _call("unit_norm", case, {"x": x}, exact)
    yield _call("unit_norm_bwd", case, {"dy": x, "x": x}, exact)


def _exact(count: int) -> bool:
    """Whole numbers of variance 5 have an exact mean and root if they are 4, 8, 16, ... in number."""
    return 4 <= count <= MOST_EXACT and count & (count - 1) == 0


def _call(op: str, case: NormCase, shapes: dict[str, Shape], exact: bool) -> Call:
    options: dict[str, Any] = {} if op.startswith("unit") else {"epsilon": EPSILON}
    if op.startswith("group"):
        options["groups"] = case.groups
    if op.startswith(("layer", "rms", "unit")):
        options["axis"] = tuple(range(-case.axes, 0))
    return Call(
        op, case, shapes, options, case.x_shape, exact=exact, error=_error, derive=_derive, whole=_whole
    )


def _backward(op: str, case: NormCase, given: dict[str, Shape], exact: tuple[bool, ...]) -> Iterator[Call]:
    shape = case.row_shape if op.startswith(("layer", "rms")) else (case.channels,)
    gamma: dict[str, Shape] = {"gamma": shape} if case.affine else {}
    whole = _call(op, case, {"dy": case.x_shape, "x": case.x_shape, **gamma, **given}, True)
    for part, is_exact in enumerate(exact):
        out_shape = shape if part else case.x_shape
        yield replace(whole, part=(part, len(exact)), exact=is_exact, out_shape=out_shape)


# --- arguments


def _derive(call: Call, arrays: dict[str, F32]) -> dict[str, F32]:
    """Variances are positive, and x is far from zero in half of its last axis."""
    for name in ("variance", "moving_variance"):
        if name in arrays:
            arrays[name] = np.abs(arrays[name]) + np.float32(0.1)
    if not call.op.startswith(("rms", "unit")):
        arrays["x"][..., ::2] += np.float32(300.0)
        if "mean" in arrays:
            arrays["mean"][::2] += np.float32(300.0)
    return arrays


def _grouping(call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A shape of x, and the axes of it that share a statistic."""
    case: Any = call.case
    shape: Shape = case.x_shape
    if call.op.startswith("batch"):
        return shape, tuple(range(len(shape) - 1))
    if call.op.startswith(("group", "instance")):
        groups = case.groups if call.op.startswith("group") else case.channels
        return (shape[0], -1, groups, shape[-1] // groups), (1, 3)
    return shape, tuple(range(len(shape) - case.axes, len(shape)))


def _whole(call: Call, rng: np.random.Generator) -> dict[str, F32]:
    """x of variance 5 about a whole mean wherever a statistic has 4, 8, 16, ... elements."""
    arrays = {name: rng.integers(1, 3, size).astype(np.float32) for name, size in call.shapes.items()}
    for name in ("gamma", "beta", "mean", "moving_mean"):
        if name in arrays:
            arrays[name] *= rng.choice((-1, 1), arrays[name].shape)
    if "variance" in arrays:
        arrays["variance"][...] = 5
    shape, axes = _grouping(call)
    x = arrays["x"].reshape(shape)
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    count = int(np.prod(moved.shape[moved.ndim - len(axes) :]))
    values = np.resize([-1, 1] if call.op.startswith("unit") else [-3, -1, 1, 3], count)
    rows = rng.permuted(np.tile(values, (moved.size // count, 1)), axis=1)
    if not call.op.startswith(("rms", "unit")):
        rows = rows + rng.integers(-4, 5, (len(rows), 1))
    x[...] = np.moveaxis(rows.reshape(moved.shape), range(-len(axes), 0), axes)
    arrays["x"] = x.reshape(call.shapes["x"])
    return arrays


# --- bounds


def _vector(value: Real | None, otherwise: float, shape: Shape) -> Real:
    """Gamma or beta in the grouping's shape; ``()`` where it is that of x."""
    return np.full((), otherwise) if value is None else value.reshape(shape or value.shape)


def _error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    shape, axes = _grouping(call)
    a = {name: np.asarray(value, np.float64) for name, value in arrays.items()}
    x, case = a["x"].reshape(shape), call.case
    affine = x.shape[2:] if call.op.startswith(("group", "instance")) else ()
    gamma, beta = _vector(a.get("gamma"), 1.0, affine), _vector(a.get("beta"), 0.0, affine)
    rowwise = call.op.startswith(("layer", "rms", "unit"))
    count = int(np.prod([x.shape[i] for i in axes]))
    others = tuple(i for i in range(x.ndim) if i not in axes) if rowwise else tuple(range(x.ndim - 1))
    if affine:
        others = (0, 1)
    norm = Norm(
        Spec(
            x, gamma, axes, others,
            float(call.options.get("epsilon", 1e-12)),
            terms=min(count, LONG_ROW if rowwise else TILE_ROWS),
            rows=x.size // count if rowwise else TILE_ROWS,
            centered=not call.op.startswith(("rms", "unit")), unit=call.op.startswith("unit"),
            given=(a["mean"], a["variance"]) if "mean" in a else None,
        )
    )  # fmt: skip
    assert isinstance(case, NormCase)
    if call.op == "batch_norm_train" and call.part in ((1, 3), (2, 3)):
        assert call.part is not None
        error, batch = ((norm.d_mean, norm.mean), (norm.d_variance, norm.variance))[call.part[0] - 1]
        return (1.0 - MOMENTUM) * error.ravel() + 3.0 * UNIT * (np.abs(wanted) + np.abs(batch.ravel()))
    if not call.op.endswith("_bwd"):
        return norm.y(wanted.reshape(x.shape), beta).reshape(wanted.shape)
    part = call.part[0] if call.part else 0
    rules: tuple[Callable[[Real, Real], Real], ...] = (norm.dx, norm.dgamma, norm.dbeta)
    like = x.shape if part == 0 else affine or wanted.shape
    return rules[part](wanted.reshape(like), a["dy"].reshape(x.shape)).reshape(wanted.shape)


SUITE = Suite(
    every=(
        *(call for case in cases.CHANNEL_NORM for call in channel_norm_calls(case)),
        *(call for case in cases.ROW_NORM for call in row_norm_calls(case)),
    ),
    views=(
        *channel_norm_calls(NormCase((3, 4, 5, 6), groups=2)),
        *channel_norm_calls(NormCase((3, 4, 5, 6), given=True)),
        *row_norm_calls(NormCase((5, 3, 7), axes=2)),
        *row_norm_calls(NormCase((9, 3))),
    ),
    parallel=(
        *(call for case in cases.CHANNEL_NORM_PARALLEL for call in channel_norm_calls(case)),
        *(call for case in cases.ROW_NORM_PARALLEL for call in row_norm_calls(case)),
    ),
)
