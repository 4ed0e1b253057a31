# SPDX-License-Identifier: Apache-2.0
"""No argument of a normalization, however wrong, ends the process or passes in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from good_norm import OPS, SEVERAL, good
from test_bad_input import HUGE, endless, ones, short

from fastcnn import ops
from fastcnn.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError

Row = tuple[str, dict[str, Any], type[Exception], tuple[str, ...]]


def rows() -> Iterator[Row]:
    for op in OPS:
        for argument, array in good(op).items():
            if not isinstance(array, np.ndarray):
                continue
            yield op, {argument: array.astype(np.float64)}, DTypeError, (argument, "float64", "float32")
            for value in (array.tolist(), "array", 1.0, object(), np.ma.masked_array(array)):
                yield op, {argument: value}, DTypeError, (argument,)
            yield op, {argument: np.float32(1)}, ShapeError, (argument,)
            empty = ones(*array.shape[:-1], 0)
            yield op, {argument: empty}, ShapeError, (argument, "0")
            if argument != "x":
                yield op, {argument: ones(*array.shape[:-1], 5)}, ShapeError, (argument, "5", "4")
                yield op, {argument: array[None]}, ShapeError, (argument, "rank")
        for value in (-1e-9, -1, float("nan"), float("inf"), -float("inf")):
            yield op, {"epsilon": value}, ArgumentError, ("epsilon",)
        for value in (None, "0", 1j, True, [1]):
            yield op, {"epsilon": value}, DTypeError, ("epsilon",)
        yield op, {"x": endless(3 * 2**29, 2**30)}, ShapeError, ("x", "2**60")
        if not op.endswith("_bwd"):
            yield op, {"x": endless(2**45, 3, 4)}, OutOfMemoryError, ("bytes",)
    for op in (o for o in OPS if o.startswith(("batch", "group", "instance"))):
        one = {"x": ones(4)} | ({"dy": ones(4)} if op.endswith("_bwd") else {})
        yield op, one, ShapeError, ("x", "rank 2")
    for op in ("group_norm", "group_norm_bwd"):
        for value in (0, -2, 3, 5, 2**62, HUGE, -HUGE):
            yield op, {"groups": value}, ArgumentError, ("groups",)
        for value in (1.0, None, True, "2", (1,)):
            yield op, {"groups": value}, DTypeError, ("groups", "whole number")
    for op in (o for o in OPS if o.startswith(("layer", "rms", "unit"))):
        plain = {"gamma": None} if "gamma" in good(op) else {}
        plain |= {"beta": None} if "beta" in good(op) else {}
        for value in ((-1, 2), (2, 2), (), 3, -4, (1, 3), HUGE, 2**62):
            yield op, {**plain, "axis": value}, ArgumentError, ("axis",)
        for value in (1.0, None, True, "2", (2, 1.5)):
            yield op, {**plain, "axis": value}, DTypeError, ("axis",)
        if plain:
            yield op, {"axis": (1, 2)}, ShapeError, ("gamma",)
    for op in ("batch_norm", "batch_norm_bwd"):
        yield op, {"mean": None}, ArgumentError, ("mean", "both")
        yield op, {"variance": None}, ArgumentError, ("variance", "both")
    for value in (-0.1, 1.1, float("nan"), HUGE):
        yield "batch_norm_train", {"momentum": value}, ArgumentError, ("momentum",)
    yield "batch_norm_train", {"momentum": None}, DTypeError, ("momentum",)


def spelled(row: Row) -> str:
    op, spoil, *_ = row
    return f"{op}-" + "-".join(f"{name}={short(value)}" for name, value in spoil.items())


@pytest.mark.parametrize("row", list(rows()), ids=spelled)
def test_refused(row: Row) -> None:
    op, spoil, error, says = row
    arguments = good(op) | spoil
    kept = {n: a.tobytes() for n, a in arguments.items() if isinstance(a, np.ndarray) and a.nbytes < 2**20}
    with pytest.raises(error) as caught:
        getattr(ops, op)(**arguments)
    assert type(caught.value) is error
    message = str(caught.value)
    assert message.startswith(f"{op}:")
    for word in says:
        assert word in message, message
    for name, before in kept.items():
        assert arguments[name].tobytes() == before, f"{name} has changed"


@pytest.mark.parametrize("op", OPS)
def test_good_arguments_pass(op: str) -> None:
    getattr(ops, op)(**good(op))


@pytest.mark.parametrize("op", SEVERAL)
def test_outputs_of_several(op: str) -> None:
    """Every array is proven before one of them is written."""
    count = 2 if op.startswith("rms") else 3
    first, vector = np.full((2, 3, 4), 7, np.float32), np.full(4, 7, np.float32)
    rest = (vector,) * (count - 2)
    read_only = np.full(4, 7, np.float32)
    read_only.flags.writeable = False
    bad: list[tuple[Any, type[Exception], str]] = [
        (first, DTypeError, "tuple"),
        ((first,) * (count + 1), ArgumentError, str(count)),
        ((first, *rest, np.full(5, 7, np.float32)), ShapeError, "5"),
        ((first, *rest, np.full(4, 7.0)), DTypeError, "float64"),
        ((first, *rest, read_only), ArgumentError, "read-only"),
        ((first, *rest, first[0, 0]), ArgumentError, "overlaps"),
        ((good(op)["x"], *rest, None), ArgumentError, "overlaps"),
    ]
    for out, error, word in bad:
        arguments = good(op)
        if isinstance(out, tuple) and out[0] is not first:
            out = (arguments["x"], *rest, None)
        with pytest.raises(error, match=word):
            getattr(ops, op)(**arguments, out=out)
        assert (first == 7).all()
        assert (vector == 7).all()
