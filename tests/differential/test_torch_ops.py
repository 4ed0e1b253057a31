# SPDX-License-Identifier: Apache-2.0
"""2,000 random configurations: fastcnn agrees with PyTorch within the derived bounds, or both refuse.

PyTorch computes in float64, so that its own rounding plays no part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from configurations import COUNT, SPOILED, Configuration, configuration

from fastcnn import ops
from fastcnn.testing.calls import Call, conv_calls, gemm_call, pool_calls
from fastcnn.testing.cases import ConvCase, GemmCase, PoolCase, RowsCase
from fastcnn.testing.compare import assert_within, crossentropy_bound, gamma, sum_bound
from fastcnn.testing.fill import reals
from fastcnn.testing.network import MEAN_SQUARED_ERROR, SGD, Chain, dense
from fastcnn.testing.reference import resolve_padding, softmax

torch = pytest.importorskip("torch")
functional = torch.nn.functional
# The calls are small: a second thread costs more than it brings.
torch.set_num_threads(1)

Arrays = dict[str, Any]

# What the exceptions of fastcnn inherit from, and what PyTorch raises: of targets that it broadcasts it only
# warns.
REFUSED = (ValueError, TypeError, MemoryError)
TORCH_REFUSED = (RuntimeError, ValueError, TypeError, IndexError, UserWarning)

# fastcnn refuses these and PyTorch computes something: sums over nothing.
STRICTER = {"no channels"}


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    chosen = configuration(number)
    rng = np.random.default_rng(number)
    if chosen.spoiled:
        both_refuse(chosen, rng)
    elif isinstance(chosen.case, RowsCase):
        losses_agree(chosen.kind, chosen.case, rng)
    else:
        for call in calls_of(chosen):
            results_agree(call, rng)


def test_the_mixture_is_as_planned() -> None:
    drawn = [configuration(number) for number in range(COUNT)]
    share = sum(bool(c.spoiled) for c in drawn) / COUNT
    # Five standard deviations of a binomial share.
    assert abs(share - SPOILED) < 5 * (SPOILED * (1 - SPOILED) / COUNT) ** 0.5
    assert min(sum(c.kind == kind for c in drawn) for kind in {c.kind for c in drawn}) >= 20


# --- sound configurations
# -----------------------------------------------------------------------------------------------


def calls_of(chosen: Configuration) -> list[Call]:
    if isinstance(chosen.case, ConvCase):
        return [call for call in conv_calls(chosen.case) if call.op == chosen.kind]
    if isinstance(chosen.case, PoolCase):
        return [call for call in pool_calls(chosen.case) if call.op.startswith(chosen.kind)]
    assert isinstance(chosen.case, GemmCase)
    return [gemm_call(chosen.case)]


def results_agree(call: Call, rng: np.random.Generator) -> None:
    arrays = call.reals(rng)
    wanted = TORCH[call.op](call.case, arrays)
    if call.linear:
        terms = {name: np.abs(a) if name in call.linear else a for name, a in arrays.items()}
        bound = sum_bound(wanted, TORCH[call.op](call.case, terms), call.terms)
    else:
        bound = np.full(wanted.shape, 2.0**-150)
    assert_within(call.run(arrays), wanted, bound, str(call))


def channels_first(image: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(np.asarray(image, np.float64).transpose(0, 3, 1, 2)))


def channels_last(image: Any) -> Any:
    return image.detach().numpy().transpose(0, 2, 3, 1)


def torch_conv(case: ConvCase, x: Any, kernel: Any, bias: Any = None) -> Any:
    if case.padding == "same":
        size, window = (case.h, case.w), (case.r, case.s)
        top, bottom, left, right = resolve_padding("same", size, window, case.strides, case.dilation_rate)
    else:
        (top, bottom), (left, right) = sides(case.padding)
    # Only F.pad knows uneven padding, but it takes a negative one for cropping.
    even = top == bottom and left == right
    if not even:
        x = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(
        x, kernel, bias, case.strides, (top, left) if even else 0, case.dilation_rate, case.groups
    )


def sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = (
        {"valid": (0, 0)}.get(padding, padding) if not isinstance(padding, int) else (padding, padding)
    )
    pair = lambda p: (p, p) if isinstance(p, int) else p  # noqa: E731
    return pair(rows), pair(columns)


def torch_kernel(kernel: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(np.asarray(kernel, np.float64).transpose(3, 2, 0, 1)))


def conv2d(case: Any, a: Arrays) -> Any:
    bias = torch.from_numpy(a["bias"].astype(np.float64))
    return channels_last(torch_conv(case, channels_first(a["x"]), torch_kernel(a["kernel"]), bias))


def conv2d_dgrad(case: Any, a: Arrays) -> Any:
    x = torch.zeros((case.n, case.c, case.h, case.w), dtype=torch.float64, requires_grad=True)
    y = torch_conv(case, x, torch_kernel(a["kernel"]))
    return channels_last(torch.autograd.grad(y, x, channels_first(a["dy"]))[0])


def conv2d_wgrad(case: Any, a: Arrays) -> Any:
    r, s, c, k = case.kernel_shape
    kernel = torch.zeros((k, c, r, s), dtype=torch.float64, requires_grad=True)
    y = torch_conv(case, channels_first(a["x"]), kernel)
    return torch.autograd.grad(y, kernel, channels_first(a["dy"]))[0].numpy().transpose(2, 3, 1, 0)


def torch_pool(kind: str, case: PoolCase, x: Any) -> Any:
    if kind == "max":
        return functional.max_pool2d(x, case.pool_size, case.strides, case.padding, ceil_mode=case.ceil_mode)
    divisor = 1 if kind == "sum" else None
    return functional.avg_pool2d(
        x, case.pool_size, case.strides, case.padding, case.ceil_mode, False, divisor
    )  # fmt: skip


def pool(kind: str) -> Callable[[Any, Arrays], Any]:
    return lambda case, a: channels_last(torch_pool(kind, case, channels_first(a["x"])))


def pool_bwd(kind: str) -> Callable[[Any, Arrays], Any]:
    def run(case: Any, a: Arrays) -> Any:
        x = channels_first(a.get("x", np.zeros(case.x_shape))).requires_grad_()
        y = torch_pool(kind, case, x)
        return channels_last(torch.autograd.grad(y, x, channels_first(a["dy"]))[0])

    return run


def gemm(case: Any, arrays: Arrays) -> Any:
    a, b, bias = (arrays[name].astype(np.float64) for name in ("a", "b", "bias"))
    a, b = a.T if case.transpose_a else a, b.T if case.transpose_b else b
    return torch.addmm(*(torch.from_numpy(np.ascontiguousarray(v)) for v in (bias, a, b))).numpy()


TORCH: dict[str, Callable[[Any, Arrays], Any]] = {
    "conv2d": conv2d,
    "conv2d_dgrad": conv2d_dgrad,
    "conv2d_wgrad": conv2d_wgrad,
    "gemm": gemm,
    **{f"{kind}_pool2d": pool(kind) for kind in ("max", "average", "sum")},
    **{f"{kind}_pool2d_bwd": pool_bwd(kind) for kind in ("max", "average", "sum")},
}


# --- losses: the prediction is the kernel of a dense layer fed with the identity
# ----------------------------------------

RATE = 2.0**14


def losses_agree(kind: str, case: RowsCase, rng: np.random.Generator) -> None:
    prediction = reals(rng, (case.rows, case.cols)) * np.float32(3)
    leaf = torch.tensor(prediction.astype(np.float64), requires_grad=True)
    if kind == "crossentropy":
        target: Any = rng.integers(0, case.cols, case.rows)
        dense_target = np.eye(case.cols)[target]
        wanted = functional.cross_entropy(leaf, torch.from_numpy(target))
        loss = {"name": "sparse_categorical_crossentropy", "from_logits": True}
        bound = crossentropy_bound(dense_target, prediction)
        magnitude = (softmax(prediction) + dense_target) / case.rows
    else:
        target = reals(rng, (case.rows, case.cols))
        wanted = functional.mse_loss(leaf, torch.from_numpy(target.astype(np.float64)))
        loss = MEAN_SQUARED_ERROR
        bound = gamma(case.cols + 4) * wanted.item()
        magnitude = 2.0 * np.abs(prediction - target) / target.size
    wanted.backward()
    chain = Chain((case.rows,), dense(case.cols, use_bias=False))
    chain.compile({**SGD, "learning_rate": RATE}, loss)
    chain.weights = [prediction]
    value = chain.train(np.eye(case.rows, dtype=np.float32), target)
    assert abs(value - wanted.item()) <= bound

    gradient = ((prediction.astype(np.float64) - chain.weights[0]) / RATE).astype(np.float32)
    distance = float(np.ptp(prediction, axis=-1).max())
    allowed = sum_bound(
        leaf.grad.numpy(), (1.0 + distance) * magnitude + np.abs(prediction) / RATE, case.cols + 8
    )
    assert_within(gradient, leaf.grad.numpy(), allowed, kind)


# --- spoiled configurations
# ---------------------------------------------------------------------------------------------


def both_refuse(chosen: Configuration, rng: np.random.Generator) -> None:
    ours, theirs = SPOILED_CALLS[type(chosen.case)](chosen, rng)
    with pytest.raises(REFUSED):
        ours()
    if chosen.spoiled not in STRICTER:
        with pytest.raises(TORCH_REFUSED):
            theirs()


Pair = tuple[Callable[[], Any], Callable[[], Any]]


def spoiled_conv(chosen: Configuration, rng: np.random.Generator) -> Pair:
    case: Any = chosen.case
    x, kernel = reals(rng, case.x_shape), reals(rng, (case.r, case.s, case.c // max(case.groups, 1), case.k))
    dy = reals(rng, (case.n, 1, 1, case.k))
    arguments = {
        "conv2d": (x, kernel),
        "conv2d_dgrad": (dy, kernel, case.x_shape),
        "conv2d_wgrad": (x, dy, (case.r, case.s)),
    }[chosen.kind]
    ours = lambda: getattr(ops, chosen.kind)(*arguments, **case.options)  # noqa: E731
    return ours, lambda: torch_conv(case, channels_first(x), torch_kernel(kernel))


def spoiled_pool(chosen: Configuration, rng: np.random.Generator) -> Pair:
    case: Any = chosen.case
    x = reals(rng, case.x_shape)
    ours = lambda: getattr(ops, chosen.kind)(x, **case.options)  # noqa: E731
    return ours, lambda: torch_pool(chosen.kind.removesuffix("_pool2d"), case, channels_first(x))


def spoiled_gemm(chosen: Configuration, rng: np.random.Generator) -> Pair:
    case: Any = chosen.case
    a, b, bias = reals(rng, case.a_shape), reals(rng, case.b_shape), reals(rng, (case.n,))
    if chosen.spoiled == "inner sizes differ":
        b = np.concatenate([b, b], axis=1 if case.transpose_b else 0)
    elif chosen.spoiled == "bias too long":
        bias = reals(rng, (case.n + 2,))
    else:
        a = a[0]
    arrays = {"a": a, "b": b, "bias": bias}
    return lambda: ops.gemm(**arrays, **case.options), lambda: gemm(case, arrays)


def spoiled_rows(chosen: Configuration, rng: np.random.Generator) -> Pair:
    case: Any = chosen.case
    x = reals(rng, (case.rows, 3))
    chain = Chain((3,), dense(case.cols))
    rows, cols = case.rows, case.cols
    if chosen.spoiled == "batch differs":
        rows += 1
    if chosen.kind == "mean_squared_error":
        cols += chosen.spoiled == "classes differ"
        target: Any = reals(rng, (rows, cols + (cols == 1)))
        theirs: Any = functional.mse_loss
        loss = MEAN_SQUARED_ERROR
    else:
        target = np.zeros(rows, np.int64)
        target[0] = case.cols if chosen.spoiled == "classes differ" else 0
        theirs = functional.cross_entropy
        loss = {"name": "sparse_categorical_crossentropy", "from_logits": True}
    chain.compile(SGD, loss)
    prediction = torch.zeros(case.rows, case.cols)
    return lambda: chain.train(x, target), lambda: theirs(prediction, torch.from_numpy(target))


SPOILED_CALLS: dict[type, Callable[[Configuration, np.random.Generator], Pair]] = {
    ConvCase: spoiled_conv,
    PoolCase: spoiled_pool,
    GemmCase: spoiled_gemm,
    RowsCase: spoiled_rows,
}
