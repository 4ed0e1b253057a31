# SPDX-License-Identifier: Apache-2.0
"""What the tests of most operators share: each test file gives its calls to `call_tests`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from fastcnn import ops
from fastcnn.testing.calls import Call
from fastcnn.testing.check import check_bound, check_exact
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.fill import reals

Test = Callable[..., None]


def call_tests(calls: Sequence[Call]) -> tuple[Test, Test]:
    """Exact on integers where a call can be, within bounds on reals."""

    @pytest.mark.parametrize("call", [call for call in calls if call.exact], ids=str)
    def test_exact_on_integers(call: Call, rng: np.random.Generator) -> None:
        check_exact(call, rng)

    @pytest.mark.parametrize("call", calls, ids=str)
    def test_reals_within_bound(call: Call, rng: np.random.Generator) -> None:
        check_bound(call, rng)

    return test_exact_on_integers, test_reals_within_bound


def pool_channels_first_test(op: str, shape: tuple[int, ...]) -> Test:
    """A pool of x of this shape, with its channels first: the same bits."""

    def test_channels_first(rng: np.random.Generator) -> None:
        pool, backward = getattr(ops, op), getattr(ops, f"{op}_bwd")
        x, dy = reals(rng, shape), reals(rng, (shape[0], *(-(-n // 2) for n in shape[1:-1]), shape[-1]))
        first, dy_first = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, dy))
        y = pool(first, 3, 2, "same", data_format="channels_first")
        assert_same_bits(y, np.moveaxis(pool(x, 3, 2, "same"), -1, 1), op)
        reads = (lambda a: a) if op.startswith("max") else np.shape
        dx = backward(dy_first, reads(first), 3, 2, "same", data_format="channels_first")
        assert_same_bits(dx, np.moveaxis(backward(dy, reads(x), 3, 2, "same"), -1, 1), f"{op}_bwd")

    return test_channels_first


def rows_apart_test(norm: Callable[[np.ndarray], np.ndarray], dx_of: Callable[..., np.ndarray]) -> Test:
    """NaN in one row stays there, and the others have the bits that they have alone."""

    @pytest.mark.parametrize("cols", [3, 4, 20, 17000])
    def test_rows_do_not_mix(cols: int, rng: np.random.Generator) -> None:
        x, dy = reals(rng, (21, cols)), reals(rng, (21, cols))
        x[3, 2] = np.nan
        y, dx = norm(x), dx_of(dy, x)
        assert np.isnan(y[3]).all()
        assert np.isnan(dx[3]).all()
        for i in (2, 4, 20):
            one = slice(i, i + 1)
            assert_same_bits(y[one], norm(x[one]), "y")
            assert_same_bits(dx[one], dx_of(dy[one], x[one]), "dx")

    return test_rows_do_not_mix
