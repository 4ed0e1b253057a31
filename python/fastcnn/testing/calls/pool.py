# SPDX-License-Identifier: Apache-2.0
"""Calls of pools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcnn.testing import cases, compare, reference
from fastcnn.testing.calls.call import Arrays, Call, Real, Suite
from fastcnn.testing.case import PoolCase
from fastcnn.testing.case_pool import AdaptivePoolCase, GlobalPoolCase, LpPoolCase, PoolNdCase
from fastcnn.testing.fill import F32
from fastcnn.testing.reference.windows import Windows


def powers_of_two(divisors: Real) -> bool:
    """An average of whole numbers is exact if every window counts 1, 2, 4, ... elements."""
    return bool(np.all(np.log2(divisors) % 1 == 0))


@dataclass(frozen=True)
class Pool:
    """What the calls of a pool have in common."""

    case: Any
    name: str  # of the operator, the kind left open
    windows: Windows
    options: dict[str, Any]

    def calls(self, kind: str, own: dict[str, Any]) -> Iterator[Call]:
        """Forward and backward pass of one kind; `own` are its own arguments."""
        name, case, windows = self.name.format(kind), self.case, self.windows
        x, dy, options = {"x": case.x_shape}, {"dy": case.y_shape}, {**self.options, **own}
        if kind == "max":
            yield Call(name, case, x, options, case.y_shape, exact=True)
            yield Call(
                f"{name}_bwd", case, {**dy, **x}, options, case.x_shape, windows.overlap, ("dy",), exact=True
            )
            return
        # One division, and of volumes one after each of two passes.
        divisions = (1 if len(case.x_shape) < 5 else 2) if kind == "average" else 0
        exact = kind == "sum" or powers_of_two(windows.divisors())
        terms, image = windows.taps + divisions, {**options, "input_shape": case.x_shape}
        yield Call(name, case, x, options, case.y_shape, terms, ("x",), exact)
        yield Call(f"{name}_bwd", case, dy, image, case.x_shape, windows.overlap + divisions, ("dy",), exact)


def pool_calls(case: PoolCase) -> Iterator[Call]:
    """Max, average and sum, forward and backward; those of them that the case has arguments for."""
    pool = Pool(case, "{}_pool2d", case.windows, case.options)
    dilated, padded = case.dilation_rate != (1, 1), case.count_include_pad
    for kind in ("max", "average", "sum"):
        if (kind == "max" or not dilated) and (kind == "average" or not padded):
            yield from pool.calls(kind, {})


def pool_nd_calls(case: PoolNdCase) -> Iterator[Call]:
    """The same on other numbers of axes."""
    name = f"{{}}_pool{case.axes}d"
    pool = Pool(case, name, case.windows, case.options)
    yield from pool.calls("max", {"dilation_rate": case.dilation_rate})
    if case.dilation_rate == 1:
        yield from pool.calls("average", {"count_include_pad": case.count_include_pad})
        yield from pool.calls("sum", {})


def global_calls(case: GlobalPoolCase) -> Iterator[Call]:
    """Max, average and sum of whole images."""
    pool = Pool(case, "global_{}_pool", Windows.adaptive(case.x_shape, 1), {"keepdims": case.keepdims})
    for kind in ("max", "average", "sum"):
        yield from pool.calls(kind, {})


def adaptive_calls(case: AdaptivePoolCase) -> Iterator[Call]:
    """Max and average."""
    pool = Pool(case, "adaptive_{}_pool", case.windows, {"output_size": case.output_size})
    for kind in ("max", "average"):
        yield from pool.calls(kind, {})


def lp_calls(case: LpPoolCase) -> Iterator[Call]:
    """Lp pooling, forward and backward."""
    pool, windows = case.pool, case.pool.windows
    image, output = pool.x_shape, pool.y_shape
    yield Call(
        "lp_pool2d", case, {"x": image}, case.options, output, windows.taps, exact=case.p == 1.0,
        error=_lp_error,
    )  # fmt: skip
    yield Call(
        "lp_pool2d_bwd", case, {"dy": output, "x": image, "y": output}, case.options, image, windows.overlap,
        exact=case.p == 1.0, error=_lp_bwd_error, derive=_norm_of_x,
    )  # fmt: skip


def _norm_of_x(call: Call, arrays: dict[str, F32]) -> dict[str, F32]:
    return {**arrays, "y": reference.lp_pool2d(arrays["x"], **call.options).astype(np.float32)}


# exp(p log t) of t in [0, 1]: the logarithm, the product and the exponential err by this many roundings for
# each unit of p |log t|, and t^p p |log t| is at most 1 / e.
_OF_EXPONENT = (2.0 * compare.LOG_ULPS + 1.0) / np.e
_OF_EXP = 2.0 * compare.EXP_ULPS


def _lp_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    p, taps = call.options["p"], call.terms
    if p == 1.0:
        return compare.sum_bound(wanted, wanted, taps)
    if p == 2.0:  # half of what the sum of the squares errs by, and the root
        return compare.rounding_bound(wanted, taps / 2 + 2)
    # The sum of the powers lies between 1 and `taps`; each is off by what exp, log and the quotient are.
    total = taps * (_OF_EXPONENT + 1.0) + p + _OF_EXP
    root = (total + (2.0 * compare.LOG_ULPS + 1.0) * np.log(taps)) / p
    return compare.rounding_bound(wanted, root + _OF_EXP + 3.0)


def _lp_bwd_error(call: Call, arrays: Arrays, wanted: Real) -> Real:
    dy, x = np.abs(arrays["dy"].astype(np.float64)), np.abs(arrays["x"].astype(np.float64))
    p, options = call.options["p"], {k: v for k, v in call.options.items() if k != "p"}
    terms = reference.lp_pool2d_bwd(dy, x, arrays["y"], **call.options)
    if p in (1.0, 2.0):
        return compare.sum_bound(wanted, terms, call.terms + (0 if p == 1.0 else 2))
    exponents = compare.UNIT * _OF_EXPONENT * reference.sum_pool2d_bwd(dy, x.shape, **options)
    factor = compare.gamma(call.terms + p + _OF_EXP + 2.0)
    return np.asarray(exponents + factor * terms + call.terms * compare.SUBNORMAL)


class IndexCall(Call):
    """`max_pool2d_with_index`, or of volumes, by its first result; its own tests look at the second."""

    def run(self, arrays: Arrays, out: F32 | None = None) -> F32:
        from fastcnn import ops

        y: F32 = getattr(ops, self.op)(arrays["x"], **self.options, out=out)[0]
        return y

    def reference(self, arrays: Arrays) -> Real:
        """The same in float64."""
        y: Real = getattr(reference, self.op)(arrays["x"], **self.options)[0]
        return y


def index_calls(case: PoolCase | PoolNdCase) -> Iterator[Call]:
    """Max pooling with indices, its gradient, and unpooling to the places that it names for some x."""
    axes = len(case.x_shape) - 2
    name, options = f"max_pool{axes}d_with_index", {**case.options, "dilation_rate": case.dilation_rate}
    yield IndexCall(name, case, {"x": case.x_shape}, options, case.y_shape, exact=True)
    x = np.random.default_rng(case.x_shape).standard_normal(case.x_shape)
    index = reference.max_pool2d_with_index(x, **options)[1].astype(np.int32)
    yield Call(
        f"{name}_bwd", case, {"dy": case.y_shape}, {"index": index, "input_shape": case.x_shape, **options},
        case.x_shape, case.windows.overlap, ("dy",), exact=True,
    )  # fmt: skip
    if axes != 2:
        return
    yield Call(
        "max_unpool2d", case, {"x": case.y_shape}, {"index": index, "output_shape": case.x_shape},
        case.x_shape, exact=True,
    )  # fmt: skip
    yield Call("max_unpool2d_bwd", case, {"dy": case.x_shape}, {"index": index}, case.y_shape, exact=True)


OTHER = (*cases.POOL_DILATED, *cases.POOL_PADDED, *cases.POOL_WIDE)
_VIEW = PoolCase(2, 7, 6, 17, pool_size=(3, 2), strides=(2, 2), padding=1)

SUITE = Suite(
    every=(
        *(call for case in (*cases.POOL, *OTHER) for call in pool_calls(case)),
        *(call for case in cases.POOL_ND for call in pool_nd_calls(case)),
        *(call for case in cases.GLOBAL_POOL for call in global_calls(case)),
        *(call for case in cases.ADAPTIVE_POOL for call in adaptive_calls(case)),
        *(call for case in cases.LP_POOL for call in lp_calls(case)),
        *(call for case in (*cases.POOL[-8:], *cases.POOL_DILATED) for call in index_calls(case)),
        *(call for case in cases.POOL_ND if case.axes == 3 for call in index_calls(case)),
    ),
    views=(
        *pool_calls(_VIEW),
        *pool_nd_calls(PoolNdCase((2, 5, 4, 6, 3), 2)),
        *global_calls(GlobalPoolCase((2, 5, 7, 5))),
        *adaptive_calls(AdaptivePoolCase((2, 7, 9, 5), (3, 4))),
        *lp_calls(LpPoolCase(_VIEW, 3.0)),
        *index_calls(_VIEW),
        *index_calls(PoolNdCase((2, 5, 4, 6, 17), 2)),
    ),
    parallel=(
        *(call for case in cases.POOL_PARALLEL for call in pool_calls(case)),
        *(call for case in cases.POOL_ND_PARALLEL for call in pool_nd_calls(case)),
        *(call for case in cases.GLOBAL_POOL_PARALLEL for call in global_calls(case)),
        *(call for case in cases.ADAPTIVE_POOL_PARALLEL for call in adaptive_calls(case)),
        *(call for case in cases.LP_POOL_PARALLEL for call in lp_calls(case)),
        *(call for case in cases.POOL_PARALLEL for call in index_calls(case)),
        *(call for case in cases.POOL_ND_PARALLEL if case.axes == 3 for call in index_calls(case)),
    ),
)
