# SPDX-License-Identifier: Apache-2.0
"""Calls of losses: their gradients, and the losses of the rows, with bounds by running error analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastcnn.testing import compare, reference
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import RowsCase
from fastcnn.testing.fill import F32, integers
from fastcnn.testing.reference.loss import Parts, evaluate
from fastcnn.testing.rounding import BLOCK, Rounded

# The roundings of weight, divisor and their product with the slope.
SCALING = 4


@dataclass(frozen=True)
class Kind:
    """A loss with its arguments, and what its targets and predictions are made of normal deviates by."""

    name: str
    target: Callable[[F32], F32]
    prediction: Callable[[F32], F32]
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False  # small whole numbers give small whole numbers, or halves
    weighted: bool = False

    @property
    def sparse(self) -> bool:
        return self.name == "sparse_categorical_crossentropy"

    def __str__(self) -> str:
        options = "".join(f"-{key}={value}" for key, value in self.options.items())
        return self.name + options + ("-weighted" if self.weighted else "")


@dataclass(frozen=True)
class LossCall(Call):
    """A call of a loss; `op` is "gradient" or "rows"."""

    kind: Kind = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.op}-{self.kind}-{self.case}"

    def integers(self, rng: np.random.Generator) -> dict[str, F32]:
        return {name: integers(rng, shape) for name, shape in self.shapes.items()}

    def run(self, arrays: Arrays, out: F32 | None = None) -> F32:
        y: F32 = run_loss(self.kind, arrays, self.op, out)
        return y

    def reference(self, arrays: Arrays) -> Real:
        wanted: Real = self._wanted(self._parts(arrays, np.asarray))
        return wanted

    def bound(self, arrays: Arrays, wanted: Real) -> Real:
        rounded = self._wanted(self._parts(arrays, Rounded))
        bound: Real = rounded.error.reshape(wanted.shape) + compare.rounding_bound(wanted, SCALING)
        return bound

    def _wanted(self, parts: Parts) -> Any:
        shape = self.out_shape
        if self.op == "gradient":
            return parts.gradient if isinstance(parts.gradient, Rounded) else parts.gradient.reshape(shape)
        return parts.rows if isinstance(parts.rows, Rounded) else parts.rows.reshape(shape)

    def _parts(self, arrays: Arrays, arithmetic: Callable[[Any], Any]) -> Parts:
        options = {**self.kind.options, **({"reduction": None} if self.op == "rows" else {})}
        return evaluate(self.kind.name, *batch_of(arrays), options, arithmetic)


def run_loss(kind: Kind, arrays: Arrays, wanted: str, out: F32 | None = None) -> Any:
    """The kernel's "value", "rows" or "gradient"."""
    # The references alone are of use where the extension is not built.
    from fastcnn import _native

    description = {**kind.options, "name": kind.name}
    return _native.loss(description, *batch_of(arrays), wanted, out)


def batch_of(arrays: Arrays) -> tuple[F32, F32, F32 | None]:
    return arrays["y_true"], arrays["y_pred"], arrays.get("sample_weight")


def value_bound(kind: Kind, arrays: Arrays) -> float:
    """Error of the loss of a batch, its rows' terms being summed in blocks."""
    parts = evaluate(kind.name, *batch_of(arrays), kind.options, Rounded)
    terms = max(arrays["y_pred"].shape[-1], min(arrays["y_pred"].size, BLOCK))
    total = parts.rows.error.sum() + compare.gamma(terms + SCALING) * parts.magnitude
    return float(total / abs(parts.divisor)) if parts.divisor else 0.0


def loss_call(kind: Kind, case: RowsCase, op: str = "gradient") -> LossCall:
    shape = (case.rows, case.cols)
    shapes = {"y_true": (case.rows,) if kind.sparse else shape, "y_pred": shape}
    if kind.weighted:
        shapes["sample_weight"] = (case.rows,)
    out = shape if op == "gradient" else (case.rows,)
    return LossCall(op, case, shapes, {}, out, exact=kind.exact, derive=_derive, kind=kind)


def _derive(call: Call, arrays: dict[str, F32]) -> dict[str, F32]:
    kind = call.kind  # type: ignore[attr-defined]
    if kind.sparse:
        classes = call.shapes["y_pred"][-1]
        target = (np.abs(arrays["y_true"]) * 1000).astype(np.int64) % classes
        if "ignore_class" in kind.options:
            target[::3] = kind.options["ignore_class"]
    else:
        target = kind.target(arrays["y_true"])
    made = {"y_true": target.astype(np.float32), "y_pred": kind.prediction(arrays["y_pred"])}
    if kind.weighted:
        made["sample_weight"] = np.abs(arrays["sample_weight"])
    return made


# What deviates become.


def as_they_are(a: F32) -> F32:
    return a


def probability(a: F32) -> F32:
    """Away from 0 and 1, where a clip would be a matter of the last bit."""
    p: F32 = (0.05 + 0.9 / (1.0 + np.exp(-a.astype(np.float64)))).astype(np.float32)
    return p


def large(a: F32) -> F32:
    return a * np.float32(8)


def positive(a: F32) -> F32:
    return np.abs(a) + np.float32(0.1)


def binary(a: F32) -> F32:
    return (a > 0).astype(np.float32)


def signs(a: F32) -> F32:
    return np.where(a > 0, np.float32(1), np.float32(-1))


def one_of_each(a: F32) -> F32:
    """One-hot at the greatest."""
    hot: F32 = (np.arange(a.shape[-1]) == a.argmax(axis=-1)[:, None]).astype(np.float32)
    return hot


def distribution(a: F32) -> F32:
    return reference.softmax(a).astype(np.float32)


LOGITS = {"from_logits": True}
MEAN_BY_WEIGHT = {"reduction": "mean_with_sample_weight"}
SPARSE, DENSE = "sparse_categorical_crossentropy", "categorical_crossentropy"

KINDS: tuple[Kind, ...] = (
    Kind(SPARSE, as_they_are, large, LOGITS),
    Kind(SPARSE, as_they_are, positive),
    Kind(SPARSE, as_they_are, large, {**LOGITS, "ignore_class": -1}),
    Kind(SPARSE, as_they_are, positive, {"ignore_class": 255, **MEAN_BY_WEIGHT}, weighted=True),
    Kind(DENSE, distribution, large, LOGITS),
    Kind(DENSE, distribution, positive),
    Kind(DENSE, one_of_each, as_they_are, {**LOGITS, "label_smoothing": 0.1}),
    Kind(DENSE, one_of_each, positive, {"label_smoothing": 0.25, "reduction": "sum"}, weighted=True),
    Kind("categorical_focal_crossentropy", one_of_each, as_they_are, LOGITS),
    Kind("categorical_focal_crossentropy", distribution, positive),
    Kind("categorical_focal_crossentropy", one_of_each, positive,
         {"gamma": 1.5, "alpha": 0.6, "label_smoothing": 0.1}),
    Kind("binary_crossentropy", binary, large, LOGITS),
    Kind("binary_crossentropy", binary, probability, weighted=True),
    Kind("binary_crossentropy", probability, as_they_are, {**LOGITS, "label_smoothing": 0.2}),
    Kind("binary_focal_crossentropy", binary, probability),
    Kind("binary_focal_crossentropy", binary, as_they_are, LOGITS),
    Kind("binary_focal_crossentropy", binary, probability,
         {"gamma": 1.5, "apply_class_balancing": True, "label_smoothing": 0.1}),
    Kind("binary_focal_crossentropy", binary, as_they_are, {**LOGITS, "gamma": 0.0}),
    Kind("mean_squared_error", as_they_are, as_they_are, exact=True),
    Kind("mean_squared_error", as_they_are, as_they_are, MEAN_BY_WEIGHT, weighted=True),
    Kind("mean_absolute_error", as_they_are, as_they_are, exact=True),
    Kind("mean_absolute_percentage_error", as_they_are, as_they_are),
    Kind("mean_squared_logarithmic_error", positive, as_they_are),
    Kind("huber", as_they_are, as_they_are, {"delta": 2.0}, exact=True),
    Kind("huber", as_they_are, as_they_are, {"delta": 0.3}, weighted=True),
    Kind("log_cosh", as_they_are, large),
    Kind("hinge", signs, as_they_are, exact=True),
    Kind("hinge", binary, as_they_are),
    Kind("squared_hinge", binary, as_they_are, exact=True),
    Kind("categorical_hinge", one_of_each, as_they_are),
    Kind("kl_divergence", distribution, probability),
    Kind("poisson", positive, positive),
    Kind("cosine_similarity", as_they_are, as_they_are),
    Kind("dice", binary, probability),
    Kind("dice", binary, probability, weighted=True),
    Kind("tversky", binary, probability, {"alpha": 0.25, "beta": 0.75}),
)  # fmt: skip

# 1320 numbers are more than a block of the kernels.
CASES = (
    RowsCase(1, 1), RowsCase(3, 2), RowsCase(3, 5), RowsCase(2, 16), RowsCase(5, 17), RowsCase(33, 40),
    RowsCase(2, 1100), RowsCase(67, 1), RowsCase(35, 10),
)  # fmt: skip


def has_rows(kind: Kind) -> bool:
    return kind.name not in ("dice", "tversky")


def calls(case: RowsCase) -> Iterator[LossCall]:
    """Of every kind: the gradient, and the losses of the rows."""
    for kind in KINDS:
        yield loss_call(kind, case)
        if has_rows(kind):
            yield loss_call(kind, case, "rows")


SUITE = Suite(
    every=tuple(call for case in CASES[2:6] for call in calls(case)),
    views=tuple(loss_call(kind, RowsCase(5, 19)) for kind in KINDS),
    parallel=tuple(loss_call(kind, RowsCase(3001, 30)) for kind in KINDS),
)
