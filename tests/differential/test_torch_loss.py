# SPDX-License-Identifier: Apache-2.0
"""500 random configurations of losses: fastcnn agrees with PyTorch within the derived bounds, or both refuse.

PyTorch computes in float64, so that its own rounding plays no part. Where it has the loss of a kind, that is
called; where it has none, Keras's formula is written in its operations and differentiated by it. A
configuration follows from its number alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fastcnn import losses
from fastcnn.testing.calls.loss import (
    KINDS,
    Kind,
    LossCall,
    batch_of,
    has_rows,
    loss_call,
    run_loss,
    value_bound,
)
from fastcnn.testing.case import RowsCase
from fastcnn.testing.compare import assert_within

torch = pytest.importorskip("torch")
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT = 500
SPOILED = 0.2
EPSILON = 1e-7

REFUSED = (ValueError, TypeError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError, UserWarning)

Options = dict[str, Any]


def configuration(number: int) -> tuple[Kind, RowsCase, str]:
    """A kind with random arguments, its size, and what is wrong with it."""
    dice = random.Random(number)
    kind = dice.choice(KINDS)
    options: Options = dict(kind.options)
    for name, values in (
        ("gamma", (0.0, 1.0, 1.5, 2.0, 3.0)),
        ("label_smoothing", (0.0, 0.05, 0.5, 1.0)),
        ("delta", (0.1, 1.0, 4.0)),
        ("apply_class_balancing", (False, True)),
    ):
        if name in options or (name == "gamma" and "focal" in kind.name):
            options[name] = dice.choice(values)
    if kind.name == "tversky":
        options |= {"alpha": dice.random(), "beta": dice.random()}
    options["reduction"] = dice.choice(("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"))
    weighted = dice.random() < 0.5
    case = RowsCase(dice.choice((1, 2, 3, 16, 33, 200)), dice.choice((1, 2, 3, 5, 8, 10, 16, 17, 33, 100)))
    spoiled = dice.choice(("rows differ", "columns differ")) if dice.random() < SPOILED else ""
    return replace(kind, options=options, weighted=weighted), case, spoiled


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    kind, case, spoiled = configuration(number)
    call = loss_call(kind, case)
    arrays = call.reals(np.random.default_rng(number))
    if spoiled:
        both_refuse(kind, arrays, spoiled)
    else:
        both_agree(call, arrays)


def both_agree(call: LossCall, arrays: dict[str, Any]) -> None:
    kind = call.kind
    leaf = torch.from_numpy(arrays["y_pred"].astype(np.float64)).requires_grad_()
    wanted = torch_loss(kind, arrays, leaf)
    wanted.backward()
    value, bound = run_loss(kind, arrays, "value"), value_bound(kind, arrays)
    assert abs(value - wanted.item()) <= bound, (
        f"{kind}: {value!r}, wanted {wanted.item()!r}, bound {bound:.3g}"
    )
    gradient = leaf.grad.numpy()
    # PyTorch subtracts a probability from a target of 1, which costs it float64's last digits of the rest.
    own = 2.0**-52 * max(1.0, arrays.get("sample_weight", np.ones(1)).max())
    assert_within(call.run(arrays), gradient, call.bound(arrays, gradient) + own, str(call))


def test_every_kind_is_drawn() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    assert {kind.name for kind, _, _ in drawn} == {kind.name for kind in KINDS}
    share = sum(bool(spoiled) for _, _, spoiled in drawn) / COUNT
    # Five standard deviations of a binomial share.
    assert abs(share - SPOILED) < 5 * (SPOILED * (1 - SPOILED) / COUNT) ** 0.5


def both_refuse(kind: Kind, arrays: dict[str, Any], spoiled: str) -> None:
    x, t = arrays["y_pred"], arrays["y_true"]
    # Three where there was one would be broadcast, which PyTorch takes for granted.
    if spoiled == "rows differ" or kind.sparse:
        t = np.concatenate([t, t, t[:1]] if len(x) == 1 else [t, t[:1]])
        x = np.concatenate([x, x]) if len(x) == 1 else x
    else:
        t = np.concatenate([t, t, t[:, :1]], axis=1)
        x = np.concatenate([x, x], axis=1) if x.shape[1] == 1 else x
    with pytest.raises(REFUSED):
        type(losses.minimized(kind.name))(**kind.options)(t, x)
    one_each = functional.nll_loss if kind.sparse else functional.l1_loss
    target = torch.from_numpy(t).long() if kind.sparse else torch.from_numpy(t)
    with pytest.raises(TORCH_REFUSED):
        one_each(torch.from_numpy(x), target)


def torch_loss(kind: Kind, arrays: dict[str, Any], x: Any) -> Any:
    """The loss of the batch."""
    target, _, weight = batch_of(arrays)
    t = torch.from_numpy(target.astype(np.int64 if kind.sparse else np.float64))
    valid = torch.ones(len(x), dtype=torch.float64)
    if kind.options.get("ignore_class") is not None:
        valid = (t != kind.options["ignore_class"]).double()
    rows = TORCH[kind.name](x, t, kind.options)
    w = None if weight is None else torch.from_numpy(weight.astype(np.float64))
    reduction = kind.options["reduction"]
    if not has_rows(kind):
        if w is None:
            return rows
        return rows * {"sum": w.sum(), "mean_with_sample_weight": 1.0}.get(reduction, w.mean())
    weights = valid if w is None else valid * w
    divisor = {"sum": 1.0, "mean_with_sample_weight": weights.sum()}.get(reduction, valid.sum())
    total = (rows * weights).sum()
    return total / divisor if float(divisor) else total


def clip(p: Any) -> Any:
    return p.clamp(EPSILON, 1.0 - EPSILON)


def sparse(x: Any, t: Any, o: Options) -> Any:
    ignored = o.get("ignore_class")
    ignored = -100 if ignored is None else ignored
    logits = x if o.get("from_logits") else torch.log(clip(x / x.sum(-1, keepdim=True)))
    if not o.get("from_logits"):
        return functional.nll_loss(logits, t, ignore_index=ignored, reduction="none")
    return functional.cross_entropy(logits, t, ignore_index=ignored, reduction="none")


def categorical(x: Any, t: Any, o: Options) -> Any:
    smoothing = o.get("label_smoothing", 0.0)
    if o.get("from_logits"):
        return functional.cross_entropy(x, t, label_smoothing=smoothing, reduction="none")
    t = t * (1.0 - smoothing) + smoothing / t.shape[-1]
    return -(t * torch.log(clip(x / x.sum(-1, keepdim=True)))).sum(-1)


def categorical_focal(x: Any, t: Any, o: Options) -> Any:
    smoothing = o.get("label_smoothing", 0.0)
    t = t * (1.0 - smoothing) + smoothing / t.shape[-1]
    q = torch.softmax(x, -1) if o.get("from_logits") else x / x.sum(-1, keepdim=True)
    q = clip(q)
    return -(o.get("alpha", 0.25) * (1.0 - q) ** o.get("gamma", 2.0) * t * torch.log(q)).sum(-1)


def binary_crossentropy(x: Any, t: Any, o: Options) -> Any:
    t = t * (1.0 - o.get("label_smoothing", 0.0)) + 0.5 * o.get("label_smoothing", 0.0)
    if o.get("from_logits"):
        return functional.binary_cross_entropy_with_logits(x, t, reduction="none").mean(-1)
    return functional.binary_cross_entropy(clip(x), t, reduction="none").mean(-1)


def binary_focal(x: Any, t: Any, o: Options) -> Any:
    t = t * (1.0 - o.get("label_smoothing", 0.0)) + 0.5 * o.get("label_smoothing", 0.0)
    p = torch.sigmoid(x) if o.get("from_logits") else x
    loss = functional.binary_cross_entropy(clip(p), t, reduction="none")
    loss = (1.0 - (t * p + (1.0 - t) * (1.0 - p))) ** o.get("gamma", 2.0) * loss
    if o.get("apply_class_balancing"):
        alpha = o.get("alpha", 0.25)
        loss = (t * alpha + (1.0 - t) * (1.0 - alpha)) * loss
    return loss.mean(-1)


def hinge_target(t: Any) -> Any:
    return 2.0 * t - 1.0 if bool(((t == 0) | (t == 1)).all()) else t


def tversky(x: Any, t: Any, o: Options) -> Any:
    both = (t * x).sum()
    missed, wrong = (t * (1.0 - x)).sum(), ((1.0 - t) * x).sum()
    return 1.0 - both / (both + o["alpha"] * missed + o["beta"] * wrong + EPSILON)


def msle(x: Any, t: Any, o: Options) -> Any:
    a, b = torch.log(x.clamp(min=EPSILON) + 1.0), torch.log(t.clamp(min=EPSILON) + 1.0)
    return functional.mse_loss(a, b, reduction="none").mean(-1)


def kl_divergence(x: Any, t: Any, o: Options) -> Any:
    log = torch.log(x.clamp(EPSILON, 1.0))
    return functional.kl_div(log, t.clamp(EPSILON, 1.0), reduction="none").sum(-1)


def categorical_hinge(x: Any, t: Any, o: Options) -> Any:
    greatest = ((1.0 - t) * x).max(-1).values
    return functional.relu(greatest - (t * x).sum(-1) + 1.0)


TORCH: dict[str, Callable[[Any, Any, Options], Any]] = {
    "sparse_categorical_crossentropy": sparse,
    "categorical_crossentropy": categorical,
    "categorical_focal_crossentropy": categorical_focal,
    "binary_crossentropy": binary_crossentropy,
    "binary_focal_crossentropy": binary_focal,
    "mean_squared_error": lambda x, t, o: functional.mse_loss(x, t, reduction="none").mean(-1),
    "mean_absolute_error": lambda x, t, o: functional.l1_loss(x, t, reduction="none").mean(-1),
    "mean_absolute_percentage_error": lambda x, t, o: (
        100.0 * ((x - t).abs() / t.abs().clamp(min=EPSILON)).mean(-1)
    ),
    "mean_squared_logarithmic_error": msle,
    "huber": lambda x, t, o: functional.huber_loss(x, t, reduction="none", delta=o["delta"]).mean(-1),
    "log_cosh": lambda x, t, o: (x - t + functional.softplus(-2.0 * (x - t)) - np.log(2.0)).mean(-1),
    "hinge": lambda x, t, o: functional.relu(1.0 - hinge_target(t) * x).mean(-1),
    "squared_hinge": lambda x, t, o: (functional.relu(1.0 - hinge_target(t) * x) ** 2).mean(-1),
    "categorical_hinge": categorical_hinge,
    "kl_divergence": kl_divergence,
    "poisson": lambda x, t, o: (
        functional.poisson_nll_loss(x + EPSILON, t, log_input=False, eps=0.0, reduction="none") - EPSILON
    ).mean(-1),
    "cosine_similarity": lambda x, t, o: -functional.cosine_similarity(x, t, dim=-1, eps=EPSILON**2),
    "dice": lambda x, t, o: 1.0 - 2.0 * (t * x).sum() / (t.sum() + x.sum() + EPSILON),
    "tversky": tversky,
}
