# SPDX-License-Identifier: Apache-2.0
"""Losses on arrays: their values, the losses of rows, and gradients, by the step that trains networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastcnn import losses
from fastcnn.testing import reference as ref
from fastcnn.testing.calls.loss import (
    CASES,
    DENSE,
    KINDS,
    SCALING,
    SPARSE,
    Kind,
    LossCall,
    batch_of,
    calls,
    has_rows,
    loss_call,
    one_of_each,
    positive,
    run_loss,
    signs,
    value_bound,
)
from fastcnn.testing.case import RowsCase
from fastcnn.testing.check import check_bound
from fastcnn.testing.compare import (
    assert_exact,
    assert_same_bits,
    assert_within,
    gamma,
    rounding_bound,
)
from fastcnn.testing.fill import integers, reals
from fastcnn.testing.reference.loss import evaluate
from fastcnn.testing.rounding import Rounded

Real = NDArray[np.float64]


@pytest.mark.parametrize("call", [call for case in CASES for call in calls(case)], ids=str)
def test_gradients_and_rows_are_within_bounds(call: LossCall, rng: np.random.Generator) -> None:
    check_bound(call, rng)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_values_are_within_bounds(kind: Kind, case: RowsCase, rng: np.random.Generator) -> None:
    arrays = loss_call(kind, case).reals(rng)
    got = run_loss(kind, arrays, "value")
    wanted = ref.loss_value(kind.name, *batch_of(arrays), **kind.options)
    bound = value_bound(kind, arrays)
    assert abs(got - wanted) <= bound, f"{got!r}, wanted {wanted!r}, bound {bound:.3g}"


# Divisors that are powers of two: nothing is rounded.
EXACT = [RowsCase(rows, cols) for rows, cols in ((1, 1), (4, 8), (16, 2), (2, 32), (64, 64))]


@pytest.mark.parametrize("case", EXACT, ids=str)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.exact], ids=str)
def test_whole_numbers_are_exact(kind: Kind, case: RowsCase, rng: np.random.Generator) -> None:
    call = loss_call(kind, case)
    arrays = call.integers(rng)
    if "hinge" in kind.name:
        arrays["y_true"] = signs(arrays["y_true"])
        arrays["y_pred"] = -np.abs(arrays["y_pred"]) * arrays["y_true"]  # on the wrong side
    assert_exact(call.run(arrays), call.reference(arrays), str(call))
    assert run_loss(kind, arrays, "value") == ref.loss_value(kind.name, *batch_of(arrays), **kind.options)
    assert_exact(
        run_loss(kind, arrays, "rows"), ref.loss_rows(kind.name, *batch_of(arrays), **kind.options), str(kind)
    )


def test_categorical_hinge_is_exact(rng: np.random.Generator) -> None:
    x = integers(rng, (8, 21))
    t = np.eye(21, dtype=np.float32)[rng.integers(0, 21, 8)]
    loss = losses.CategoricalHinge()
    assert_exact(loss.gradient(t, x), ref.loss_bwd("categorical_hinge", t, x), "gradient")
    assert loss(t, x) == ref.loss_value("categorical_hinge", t, x)


# Reductions and weights

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 2, 8, 2), (4, 2, 1, 1), (8, 16)])
def test_reductions_of_rows_with_shared_weights(
    reduction: str | None, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Weights of the samples, of the leading axes, of the rows; powers of two keep everything exact."""
    x, t = integers(rng, shape), integers(rng, shape)
    loss = losses.MeanAbsoluteError(reduction=reduction)
    for axes in range(len(shape)):
        for extra in ((), (1,)):
            weight = np.full((*shape[:axes], *extra), 2.0, np.float32)
            weight.reshape(-1)[::2] = 6.0 if weight.size > 1 else 4.0
            wanted = ref.loss_bwd("mean_absolute_error", t, x, weight, reduction=reduction)
            assert_exact(loss.gradient(t, x, weight), wanted, f"{weight.shape}")
            got = loss(t, x, weight)
            if reduction is None:
                rows = ref.loss_rows("mean_absolute_error", t, x, weight, reduction=reduction)
                assert_exact(got, rows, f"{weight.shape}")
            else:
                assert got == ref.loss_value("mean_absolute_error", t, x, weight, reduction=reduction)


def test_a_weight_of_zero_takes_a_sample_out(rng: np.random.Generator) -> None:
    for kind in KINDS:
        if not has_rows(kind) or kind.weighted:
            continue
        arrays = loss_call(kind, RowsCase(5, 7)).reals(rng)
        weight = np.array([1, 0, 2, 0, 1], np.float32)
        gradient = run_loss(kind, {**arrays, "sample_weight": weight}, "gradient")
        assert not gradient[[1, 3]].any(), str(kind)
        # A weight of one changes no bit.
        ones = run_loss(kind, {**arrays, "sample_weight": np.ones(5, np.float32)}, "gradient")
        assert_same_bits(ones, run_loss(kind, arrays, "gradient"), str(kind))


def test_weights_that_sum_up_to_nothing() -> None:
    loss = losses.MeanSquaredError(reduction="mean_with_sample_weight")
    assert loss([[1.0]], [[2.0]], [0.0]) == 0.0
    assert loss.gradient([[1.0]], [[2.0]], [0.0]).tolist() == [[0.0]]


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("ignored", [-1, 255, 2])
def test_an_ignored_class_is_as_if_it_were_not_there(
    ignored: int, from_logits: bool, rng: np.random.Generator
) -> None:
    x = np.abs(reals(rng, (4, 9, 5))) + np.float32(0.1)
    labels = rng.integers(0, 5, (4, 9))
    labels[rng.random((4, 9)) < 0.4] = ignored
    kept = labels != ignored
    x[~kept] = np.nan  # not even looked at
    loss = losses.SparseCategoricalCrossentropy(from_logits, ignore_class=ignored)
    others = losses.SparseCategoricalCrossentropy(from_logits)
    assert loss(labels, x) == others(labels[kept], x[kept])
    gradient = loss.gradient(labels, x)
    assert not gradient[~kept].any()
    assert_same_bits(gradient[kept], others.gradient(labels[kept], x[kept]), "what is left")
    everything = np.full((4, 9), ignored)
    assert loss(everything, x) == 0.0
    assert not loss.gradient(everything, x).any()


# What Keras 3 gives where a formula could be read in several ways.

SETTLED = [
    # Of one number only the sign is left; a length of 0 stays 0; an array of one axis is one row.
    ("cosine_similarity", [[2.0]], [[3.0]], -1.0),
    ("cosine_similarity", [[2.0]], [[-1e-4]], 1.0),
    ("cosine_similarity", [[0.0]], [[1.0]], 0.0),
    ("cosine_similarity", [2.0, 3.0], [1.0, -2.0], 4.0 / np.sqrt(65.0)),
    # The wanted class takes part in the maximum, with 0.
    ("categorical_hinge", [[1.0]], [[0.25]], 0.75),
    ("categorical_hinge", [[0.0]], [[0.25]], 1.25),
    ("categorical_hinge", [[0.0, 1.0]], [[-3.0, -2.0]], 3.0),
    ("categorical_hinge", [[1.0, 1.0]], [[-3.0, -2.0]], 6.0),
    ("categorical_hinge", [[-1.0, 1.0]], [[-3.0, -2.0]], 0.0),
]


@pytest.mark.parametrize(("name", "target", "prediction", "wanted"), SETTLED)
def test_values_as_in_keras(name: str, target: Any, prediction: Any, wanted: float) -> None:
    got = getattr(losses, name)(np.float32(target), np.float32(prediction))
    assert np.abs(np.asarray(got, np.float64) - wanted).max() <= gamma(8) * abs(wanted)
    assert abs(ref.loss_value(name, target, prediction) - wanted) <= 2.0**-50


# Axes


ALONG: tuple[Kind, ...] = tuple(
    kind for kind in KINDS
    if not kind.weighted and kind.name in (
        SPARSE, DENSE, "categorical_focal_crossentropy", "binary_crossentropy", "binary_focal_crossentropy",
        "cosine_similarity", "dice", "tversky",
    )
)  # fmt: skip


@pytest.mark.parametrize("axis", [1, -2, 2, -1, (1, 2), (3, 1), (1, 2, 3)])
@pytest.mark.parametrize("kind", ALONG, ids=str)
def test_other_axes_are_the_last_moved(kind: Kind, axis: Any, rng: np.random.Generator) -> None:
    """The same bits: rows are rows, wherever their axis stands."""
    overlap = not has_rows(kind)
    if isinstance(axis, tuple) and not overlap:
        axis = axis[0]
    axes = sorted(each % 4 for each in (axis if isinstance(axis, tuple) else (axis,)))
    order = [each for each in range(4) if each not in axes] + axes
    shape = (3, 4, 5, 6)
    moved = tuple(shape[each] for each in order)
    cols = int(np.prod([shape[each] for each in axes]))
    arrays = loss_call(kind, RowsCase(360 // cols, cols)).reals(rng)
    there = {name: a.reshape(moved if a.ndim == 2 else moved[: 4 - len(axes)]) for name, a in arrays.items()}
    here = {
        name: np.ascontiguousarray(a.transpose(np.argsort(order))) if a.ndim == 4 else a
        for name, a in there.items()
    }
    last = tuple(range(-len(axes), 0)) if overlap else -1
    ours, plain = (
        Kind(kind.name, kind.target, kind.prediction, {**kind.options, "axis": each}) for each in (axis, last)
    )
    gradient = run_loss(ours, here, "gradient")
    wanted = run_loss(plain, there, "gradient").transpose(np.argsort(order))
    assert_same_bits(gradient, np.ascontiguousarray(wanted), "gradient")
    rows = run_loss(ours, here, "rows")
    assert rows.shape == moved[: 4 - len(axes)]
    assert_same_bits(rows, run_loss(plain, there, "rows"), "rows")
    assert run_loss(ours, here, "value") == run_loss(plain, there, "value")
    parts = evaluate(kind.name, *batch_of(here), ours.options, Rounded)
    wanted_rows = ref.loss_rows(kind.name, *batch_of(here), **ours.options)
    bound = parts.rows.error.reshape(rows.shape) + rounding_bound(wanted_rows, SCALING)
    assert_within(rows, wanted_rows, bound, "rows")


@pytest.mark.parametrize("cols", [3, 4, 17])
@pytest.mark.parametrize("from_logits", [False, True])
def test_an_alpha_of_each_class(cols: int, from_logits: bool, rng: np.random.Generator) -> None:
    """Equal ones are the number itself but for roundings; others weigh the classes of the target."""
    kind = Kind("categorical_focal_crossentropy", one_of_each, positive, {"from_logits": from_logits})
    arrays = loss_call(kind, RowsCase(9, cols)).reals(rng)
    alpha = (1.0 + rng.integers(0, 8, cols)) / 8.0
    each = Kind(kind.name, kind.target, kind.prediction, {**kind.options, "alpha": alpha.tolist()})
    for op in ("gradient", "rows"):
        call = loss_call(each, RowsCase(9, cols), op)
        wanted = call.reference(arrays)
        assert_within(run_loss(each, arrays, op), wanted, call.bound(arrays, wanted), op)
    got = losses.CategoricalFocalCrossentropy(alpha, from_logits=from_logits, reduction=None)(
        arrays["y_true"], arrays["y_pred"]
    )
    plain = losses.CategoricalFocalCrossentropy(1.0, from_logits=from_logits, reduction=None)(
        arrays["y_true"], arrays["y_pred"]
    )
    weight = alpha[arrays["y_true"].argmax(axis=-1)]
    assert_within(got, weight * plain.astype(np.float64), gamma(2) * np.abs(plain), "of the class of the row")


def test_weights_of_rows_along_another_axis(rng: np.random.Generator) -> None:
    x, t = integers(rng, (4, 2, 8)), integers(rng, (4, 2, 8))
    weight = np.array([1, 2, 4, 0], np.float32)
    for shape in ((4,), (4, 8)):
        w = np.broadcast_to(weight[:, None], (4, 8)) if len(shape) == 2 else weight
        loss = losses.Tversky(1.0, 1.0, axis=1, reduction="sum")
        rows = losses.Tversky(1.0, 1.0, axis=1, reduction=None)(t, x)
        assert (
            abs(loss(t, x, w) - (rows * weight[:, None]).sum(dtype=np.float64))
            <= gamma(40) * np.abs(rows).sum()
        )


def test_an_overlap_has_one_loss(rng: np.random.Generator) -> None:
    t, p = (reals(rng, (3, 4)) > 0).astype(np.float32), rng.uniform(0, 1, (3, 4)).astype(np.float32)
    assert losses.dice(t, p) == losses.Dice()(t, p) == losses.Dice(reduction="sum")(t, p)
    assert losses.Tversky(0.5, 0.5)(t, p) == pytest.approx(losses.Dice()(t, p))
    weights = np.array([1.0, 0.0, 2.0])
    assert losses.Dice()(t, p, weights) == losses.Dice()(t, p)
    assert losses.Dice(reduction="sum")(t, p, weights) == 3.0 * losses.Dice()(t, p)


@pytest.mark.parametrize(
    "name", sorted({name for name in losses.__all__ if name.islower()} - {"get", "serialize", "deserialize"})
)
def test_functions_give_the_losses_of_rows(name: str, rng: np.random.Generator) -> None:
    kind = next(kind for kind in KINDS if kind.name == name and not kind.weighted)
    arrays = loss_call(kind, RowsCase(4, 3)).reals(rng)
    options = {key: value for key, value in kind.options.items() if key != "reduction"}
    got = getattr(losses, name)(arrays["y_true"], arrays["y_pred"], **options)
    wanted = run_loss(kind, arrays, "rows")
    if has_rows(kind):
        assert_same_bits(got, wanted, name)
    else:
        assert got == wanted


def test_other_dtypes_and_shapes() -> None:
    loss = losses.MeanSquaredError()
    assert loss([1, 2], [[2.0], [4.0]]) == 2.5  # a column without its axis
    assert loss([[1], [2]], [2.0, 4.0]) == 2.5
    assert loss([1, 2], [2, 4]) == 2.5  # one row
    assert loss(np.array([[True]]), np.array([[3]], np.uint8)) == 4.0
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)
    assert sparse(1, [0.0, 0.0]) == sparse([[1], [0]], [[0.0, 0.0], [0.0, 0.0]])
