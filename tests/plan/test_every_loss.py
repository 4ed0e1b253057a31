# SPDX-License-Identifier: Apache-2.0
"""Every loss inside a network: the plan runs the step that eager losses run, so both have the same bits.

The network is one dense layer without bias and its input the identity, so its kernel is the prediction and
the gradient of its kernel is that of the prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_networks import SGD, chain, dense, op

from fastcnn import _native
from fastcnn.testing.calls.loss import KINDS, Kind, has_rows, loss_call, run_loss
from fastcnn.testing.case import RowsCase
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import F32, integers, reals

RATE = np.float32(0.5)

# A sum of two roundings in double precision.
CLOSE = 2.0**-51


def model_of(cols: int, rows: int, loss: dict[str, Any], *more: dict[str, Any]) -> _native.Model:
    model = _native.Model(chain((rows,), dense(cols, use_bias=False), *more))
    model.compile({**SGD, "learning_rate": float(RATE)}, loss, None, "cpu", "float32", "default")
    return model


def run(model: _native.Model, mode: str, x: Any, y: Any, weight: Any = None, **options: Any) -> float:
    """The mean loss over the batches of a session."""
    session = model.session(mode, x, y, None, options.get("batch_size", len(x)), weight)
    done = 0
    while done < session.batches:
        done = session.run(options.get("order"), done, 1.0)
    (totals,) = session.totals()
    return float(totals["loss"] / totals["samples"])


@pytest.mark.parametrize("case", [RowsCase(3, 5), RowsCase(40, 19)], ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_network_has_the_bits_of_the_eager_loss(
    kind: Kind, case: RowsCase, rng: np.random.Generator
) -> None:
    arrays = loss_call(kind, case).reals(rng)
    x, weight = arrays["y_pred"], arrays.get("sample_weight")
    model = model_of(case.cols, case.rows, {**kind.options, "name": kind.name})
    model.set_parameters([x])
    identity = np.eye(case.rows, dtype=np.float32)
    value = run_loss(kind, arrays, "value")
    for mode in ("evaluate", "train"):
        assert abs(run(model, mode, identity, arrays["y_true"], weight) - value) <= CLOSE * abs(value)
    (kernel,) = model.get_parameters()
    assert_same_bits(kernel, x - RATE * run_loss(kind, arrays, "gradient"), str(kind))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if has_rows(kind)], ids=str)
def test_batches_count_by_their_size(kind: Kind, rng: np.random.Generator) -> None:
    """As in Keras: each batch is reduced by itself, a short last one too."""
    arrays = loss_call(kind, RowsCase(17, 6)).reals(rng)
    model = model_of(6, 17, {**kind.options, "name": kind.name})
    model.set_parameters([arrays["y_pred"]])
    order = rng.permutation(17)
    identity, weight = np.eye(17, dtype=np.float32), arrays.get("sample_weight")
    got = run(model, "evaluate", identity, arrays["y_true"], weight, batch_size=5, order=order)
    total = 0.0
    for begin in range(0, 17, 5):
        rows = order[begin : begin + 5]
        batch = {name: array[rows] for name, array in arrays.items()}
        total += len(rows) * run_loss(kind, batch, "value")
    assert abs(got - total / 17) <= 8 * CLOSE * abs(got)


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "mean_absolute_error"])
def test_weights_of_samples_and_of_rows(name: str, rng: np.random.Generator) -> None:
    """A prediction [N, 4, 3]: weights [N] count for each of its rows, [N, 4] one by one."""
    x = integers(rng, (8, 4, 2))
    y = rng.integers(0, 3, (8, 4)) if "sparse" in name else integers(rng, (8, 4, 3))
    of_samples = rng.integers(1, 4, 8)

    def trained(weight: Any, **options: Any) -> tuple[float, F32]:
        nodes = chain((4, 2), dense(3, use_bias=False))
        model = _native.Model(nodes)
        model.compile(SGD, {"name": name, "from_logits": True, **options}, None, "cpu", "float32", "default")
        model.set_parameters([np.zeros((2, 3), np.float32)])
        loss = run(model, "train", x, y, weight)
        return loss, model.get_parameters()[0]

    for options in ({}, {"reduction": "sum"}, {"reduction": "mean_with_sample_weight"}):
        loss, kernel = trained(of_samples, **options)
        for same in (of_samples[:, None], np.repeat(of_samples[:, None], 4, axis=1), of_samples * 1.0):
            again, other = trained(same, **options)
            assert again == loss
            assert_same_bits(other, kernel, str(np.shape(same)))
    plain, kernel = trained(None)
    once, other = trained(np.ones((8, 4), np.uint8))
    assert once == plain
    assert_same_bits(other, kernel, "weights of one")


def test_a_last_sigmoid_is_part_of_the_loss(rng: np.random.Generator) -> None:
    x, y = reals(rng, (6, 4)) * np.float32(30), (reals(rng, (6, 1)) > 0).astype(np.float32)
    kernels = []
    for from_logits in (False, True):
        loss = {"name": "binary_crossentropy", "from_logits": from_logits}
        model = model_of(1, 4, loss, *([] if from_logits else [op("sigmoid")]))
        model.set_parameters([np.ones((4, 1), np.float32)])
        run(model, "train", x, y)
        kernels.append(model.get_parameters()[0])
    assert_same_bits(*kernels, "sigmoid before the loss and in it")


def test_weights_must_fit() -> None:
    model = model_of(3, 4, {"name": "mean_squared_error"})
    x, y = np.zeros((5, 4), np.float32), np.zeros((5, 3), np.float32)
    for weight, message in (
        (np.ones(4), r"sample_weight has shape \[4\], wanted \[5\]"),
        (np.ones((5, 3)), r"sample_weight has shape \[5, 3\], wanted the first axes of \[5\]"),
        (np.ones(()), "sample_weight has shape"),
        ((np.ones(5), np.ones(5)), "2 arrays, wanted 1"),
    ):
        for mode in ("train", "evaluate"):
            with pytest.raises(ValueError, match=message):
                model.session(mode, x, y, None, 2, weight)
    with pytest.raises(TypeError, match="sample_weight"):
        model.session("train", x, y, None, 2, np.array(["a"] * 5))


def test_a_loss_of_rows_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match="reduction None"):
        model_of(3, 4, {"name": "mean_squared_error", "reduction": None})


def test_labels_are_checked_before_anything_runs() -> None:
    model = model_of(3, 4, {"name": "sparse_categorical_crossentropy", "ignore_class": -1})
    x = np.zeros((4, 4), np.float32)
    model.session("train", x, np.array([0, -1, 2, -1]), None, 2)
    with pytest.raises(ValueError, match="label -2 at index 1"):
        model.session("train", x, np.array([0, -2, 2, -1]), None, 2)
