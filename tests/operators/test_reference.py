# SPDX-License-Identifier: Apache-2.0
"""The references themselves: gradients against central differences, values against sums done by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fastcnn import _native, optimizers
from fastcnn.optimizers import Optimizer
from fastcnn.testing import cases
from fastcnn.testing import reference as ref
from fastcnn.testing.calls.activation import FORWARD, PARAMETERS
from fastcnn.testing.rounding import Rounded

Real = NDArray[np.float64]

# Cube root of the roundoff of float64: where the truncation error h^2 of a central difference meets rounding
# u / h.
STEP = 2.0**-17


def assert_gradient(function: Callable[[Real], float], gradient: Real, at: Real) -> None:
    """Compare every partial derivative with a central difference."""
    numeric = np.empty_like(at)
    for i in np.ndindex(at.shape):
        ahead, behind = at.copy(), at.copy()
        ahead[i] += STEP
        behind[i] -= STEP
        numeric[i] = (function(ahead) - function(behind)) / (2.0 * STEP)
    scale = 1.0 + abs(function(at)) + np.abs(gradient).max()
    worst = np.abs(numeric - gradient).max()
    assert worst <= 64.0 * STEP**2 * scale, f"off by {worst:.3g} at a scale of {scale:.3g}"


CONVOLUTIONS = (
    cases.ConvCase(2, 4, 5, 2, 3, padding="same"),
    cases.ConvCase(1, 6, 5, 4, 6, r=2, strides=(2, 1), padding=((0, 1), (2, 0)), groups=2),
    cases.ConvCase(1, 7, 6, 3, 3, dilation_rate=(2, 1), padding=1, strides=(1, 2), groups=3),
    cases.ConvCase(1, 5, 5, 1, 2, r=1, s=1, strides=(3, 2)),
)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv2d_gradients(case: cases.ConvCase, rng: np.random.Generator) -> None:
    x, kernel, bias = (rng.standard_normal(shape) for shape in (case.x_shape, case.kernel_shape, case.k))
    dy = rng.standard_normal(case.y_shape)

    def scalar(x: Real, kernel: Real, bias: Real) -> float:
        return float((dy * ref.conv2d(x, kernel, bias, **case.options)).sum())

    dx = ref.conv2d_dgrad(dy, kernel, case.x_shape, **case.options)
    dw = ref.conv2d_wgrad(x, dy, (case.r, case.s), **case.options)
    assert_gradient(lambda v: scalar(v, kernel, bias), dx, x)
    assert_gradient(lambda v: scalar(x, v, bias), dw, kernel)
    assert_gradient(lambda v: scalar(x, kernel, v), ref.conv2d_bias_bwd(dy), bias)


def test_conv2d_by_hand() -> None:
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    kernel = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    valid = [[4310.0, 5421.0], [7643.0, 8754.0]]
    assert ref.conv2d(x, kernel)[0, :, :, 0].tolist() == valid
    # An even kernel pads after, not before.
    assert ref.conv2d(x, kernel, padding="same")[0, :2, :2, 0].tolist() == valid
    assert ref.conv2d(x, kernel, padding=((1, 0), (1, 0)))[0, 1:, 1:, 0].tolist() == valid


def test_conv2d_groups_are_separate_convolutions(rng: np.random.Generator) -> None:
    x, kernel = rng.standard_normal((2, 5, 5, 6)), rng.standard_normal((3, 3, 2, 9))
    whole = ref.conv2d(x, kernel, groups=3)
    parts = [ref.conv2d(x[..., 2 * g : 2 * g + 2], kernel[..., 3 * g : 3 * g + 3]) for g in range(3)]
    assert np.array_equal(whole, np.concatenate(parts, axis=-1))


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(
    ("window", "stride", "dilation"), [(3, 1, 1), (2, 2, 1), (5, 3, 1), (3, 2, 3), (1, 4, 1)]
)
def test_same_padding(size: int, window: int, stride: int, dilation: int) -> None:
    pads = ref.resolve_padding("same", (size, size), (window, window), (stride, stride), (dilation, dilation))
    count = ref.output_size(size, window, stride, pads.top, pads.bottom, dilation=dilation)
    assert count == -(-size // stride)
    assert 0 <= pads.bottom - pads.top <= 1


POOLS = (
    cases.PoolCase(2, 5, 4, 2),
    cases.PoolCase(1, 5, 6, 2, pool_size=(3, 2), strides=(1, 2), padding="same"),
    cases.PoolCase(1, 6, 5, 2, pool_size=(2, 3), strides=(3, 2), padding=((1, 0), (0, 2)), ceil_mode=True),
)


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pool_gradients(case: cases.PoolCase, rng: np.random.Generator) -> None:
    # Distinct values far more than a step apart: the maximum does not change hands.
    x = rng.permutation(np.arange(float(np.prod(case.x_shape)))).reshape(case.x_shape)
    dy = rng.standard_normal(case.y_shape)
    gradients = {
        ref.max_pool2d: ref.max_pool2d_bwd(dy, x, **case.options),
        ref.average_pool2d: ref.average_pool2d_bwd(dy, case.x_shape, **case.options),
        ref.sum_pool2d: ref.sum_pool2d_bwd(dy, case.x_shape, **case.options),
    }
    for pool, gradient in gradients.items():
        assert_gradient(lambda v, pool=pool: float((dy * pool(v, **case.options)).sum()), gradient, x)


ND_POOLS = (
    cases.PoolNdCase((2, 7, 2), 3, 2, 1, 2),
    cases.PoolNdCase((1, 5, 2), 2, 1, ((1, 0),), count_include_pad=True),
    cases.PoolNdCase((1, 4, 3, 5, 2), (2, 3, 2), (1, 2, 2), "same", count_include_pad=True),
)


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Real:
    """Values far more than a step apart: the maximum does not change hands; none is 0."""
    return rng.permutation(np.arange(float(np.prod(shape)))).reshape(shape) - 4.5


@pytest.mark.parametrize("case", ND_POOLS, ids=str)
def test_pool_gradients_on_other_axes(case: cases.PoolNdCase, rng: np.random.Generator) -> None:
    x, dy = distinct(rng, case.x_shape), rng.standard_normal(case.y_shape)
    dilated = {**case.options, "dilation_rate": case.dilation_rate}
    dx = ref.max_pool3d_bwd(dy, x, **dilated)
    assert_gradient(lambda v: float((dy * ref.max_pool3d(v, **dilated)).sum()), dx, x)
    if case.dilation_rate == 1:
        counted = {**case.options, "count_include_pad": case.count_include_pad}
        dx = ref.average_pool3d_bwd(dy, case.x_shape, **counted)
        assert_gradient(lambda v: float((dy * ref.average_pool3d(v, **counted)).sum()), dx, x)
        dx = ref.sum_pool3d_bwd(dy, case.x_shape, **case.options)
        assert_gradient(lambda v: float((dy * ref.sum_pool3d(v, **case.options)).sum()), dx, x)


@pytest.mark.parametrize("output_size", [(2, 3), (5, 7), 1])
def test_adaptive_pool_gradients(output_size: int | tuple[int, int], rng: np.random.Generator) -> None:
    x = distinct(rng, (2, 4, 5, 2))
    dy = rng.standard_normal(ref.adaptive_max_pool(x, output_size).shape)
    dx = ref.adaptive_max_pool_bwd(dy, x, output_size)
    assert_gradient(lambda v: float((dy * ref.adaptive_max_pool(v, output_size)).sum()), dx, x)
    dx = ref.adaptive_average_pool_bwd(dy, x.shape, output_size)
    assert_gradient(lambda v: float((dy * ref.adaptive_average_pool(v, output_size)).sum()), dx, x)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 3, 4, 3), (2, 2, 3, 2, 3)])
def test_global_pool_gradients(shape: tuple[int, ...], keepdims: bool, rng: np.random.Generator) -> None:
    x = distinct(rng, shape)
    dy = rng.standard_normal(ref.global_max_pool(x, keepdims=keepdims).shape)
    for kind, given in (("max", x), ("average", shape), ("sum", shape)):
        pool, pool_bwd = getattr(ref, f"global_{kind}_pool"), getattr(ref, f"global_{kind}_pool_bwd")
        dx = pool_bwd(dy, given, keepdims=keepdims)
        assert_gradient(lambda v, pool=pool: float((dy * pool(v, keepdims=keepdims)).sum()), dx, x)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_lp_pool_gradients(p: float, rng: np.random.Generator) -> None:
    x, options = distinct(rng, (1, 5, 6, 1)) / 8, {"pool_size": 3, "strides": 2, "padding": 1, "p": p}
    y = ref.lp_pool2d(x, **options)
    dy = rng.standard_normal(y.shape)
    dx = ref.lp_pool2d_bwd(dy, x, y, **options)
    assert_gradient(lambda v: float((dy * ref.lp_pool2d(v, **options)).sum()), dx, x)


def test_unpooling(rng: np.random.Generator) -> None:
    x = distinct(rng, (2, 6, 4, 3))
    y, index = ref.max_pool2d_with_index(x, 2)
    assert np.array_equal(y, ref.max_pool2d(x, 2))
    dy = rng.standard_normal(x.shape)
    dx = ref.max_unpool2d_bwd(dy, index)
    assert_gradient(lambda v: float((dy * ref.max_unpool2d(v, index, x.shape)).sum()), dx, y)
    # Where windows do not overlap, unpooling is the gradient of pooling.
    assert np.array_equal(ref.max_unpool2d(y, index, x.shape), ref.max_pool2d_bwd(y, x, 2))


def test_other_pools_by_hand() -> None:
    x = np.arange(1.0, 6.0).reshape(1, 5, 1)
    assert ref.max_pool1d(x, 2, 1, dilation_rate=3).ravel().tolist() == [4.0, 5.0]
    padded = ref.average_pool1d(x, 2, 2, 1, count_include_pad=True)
    assert padded.ravel().tolist() == [0.5, 2.5, 4.5]
    # The window that hangs over the padding counts the padding alone.
    hanging = ref.average_pool1d(x, 3, 2, 1, ceil_mode=True, count_include_pad=True)
    assert hanging.ravel().tolist() == [1.0, 3.0, 3.0]
    assert ref.adaptive_average_pool(x, 3).ravel().tolist() == [1.5, 3.0, 4.5]
    assert ref.lp_pool2d([[[[3.0], [-4.0]]]], (1, 2)).ravel().tolist() == [5.0]
    volume = np.arange(8.0).reshape(1, 2, 2, 2, 1)
    assert ref.max_pool3d(volume, (2, 1, 2)).ravel().tolist() == [5.0, 7.0]


def test_pools_by_hand() -> None:
    x = np.array([[1.0, 5.0, 5.0], [4.0, 2.0, 0.0], [3.0, 3.0, 9.0]]).reshape(1, 3, 3, 1)
    assert ref.max_pool2d(x, 2)[0, :, :, 0].tolist() == [[5.0]]
    assert ref.max_pool2d(x, 2, padding="same")[0, :, :, 0].tolist() == [[5.0, 5.0], [3.0, 9.0]]
    # Only real elements count in an average.
    assert ref.average_pool2d(x, 2, padding="same")[0, :, :, 0].tolist() == [[3.0, 2.5], [3.0, 9.0]]
    assert ref.sum_pool2d(x, 2, padding="same")[0, :, :, 0].tolist() == [[12.0, 5.0], [6.0, 9.0]]


def test_max_pool_ties_go_to_the_first_and_nan_wins() -> None:
    one = np.ones((1, 1, 1, 1))
    tie = np.array([[3.0, 7.0], [7.0, 7.0]]).reshape(1, 2, 2, 1)
    assert ref.max_pool2d_bwd(one, tie, 2)[0, :, :, 0].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    tie[0, 1, 0, 0] = np.nan
    assert np.isnan(ref.max_pool2d(tie, 2)).all()
    assert ref.max_pool2d_bwd(one, tie, 2)[0, :, :, 0].tolist() == [[0.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("options", [{}, None])
@pytest.mark.parametrize("name", [*FORWARD, "softmax", "log_softmax"])
def test_activation_gradients(name: str, options: dict[str, float] | None, rng: np.random.Generator) -> None:
    # No deviate lies within a step of a joint.
    x, dy = rng.standard_normal((3, 5)) * 2.0, rng.standard_normal((3, 5))
    chosen = PARAMETERS.get(name, {}) if options is None or name == "threshold" else options
    forward, backward = getattr(ref, name), getattr(ref, f"{name}_bwd")
    saved = x if ref.saves_x(backward) else forward(x, **chosen)
    assert_gradient(lambda v: float((dy * forward(v, **chosen)).sum()), backward(dy, saved, **chosen), x)


def test_activations_at_the_ends() -> None:
    ends = np.array([-1e4, 1e4])
    assert ref.sigmoid(ends).tolist() == [0.0, 1.0]
    assert ref.softmax(ends).tolist() == [0.0, 1.0]
    assert np.isnan(ref.relu(np.nan))


def test_dense_gradients(rng: np.random.Generator) -> None:
    x, kernel, bias, dy = (rng.standard_normal(shape) for shape in ((3, 4), (4, 2), 2, (3, 2)))
    dx, dw, db = ref.dense_bwd(dy, x, kernel)
    assert_gradient(lambda v: float((dy * ref.dense(v, kernel, bias)).sum()), dx, x)
    assert_gradient(lambda v: float((dy * ref.dense(x, v, bias)).sum()), dw, kernel)
    assert_gradient(lambda v: float((dy * ref.dense(x, kernel, v)).sum()), db, bias)


@pytest.mark.parametrize("from_logits", [True, False])
def test_crossentropy_gradients(from_logits: bool, rng: np.random.Generator) -> None:
    # Positive and not normalised, so the division by the sum takes part.
    prediction = rng.uniform(0.2, 2.0, (4, 5))
    labels = rng.integers(0, 5, 4)
    soft = ref.softmax(rng.standard_normal((4, 5)))
    for loss, target in (("sparse_categorical_crossentropy", labels), ("categorical_crossentropy", soft)):
        forward, backward = getattr(ref, loss), getattr(ref, f"{loss}_bwd")
        assert_gradient(
            lambda v, f=forward, t=target: f(t, v, from_logits=from_logits),
            backward(target, prediction, from_logits=from_logits),
            prediction,
        )


def test_crossentropy_clips() -> None:
    sure = np.array([[1.0, 0.0, 0.0]])
    assert ref.sparse_categorical_crossentropy([0], sure) == pytest.approx(1e-7)
    assert ref.sparse_categorical_crossentropy([1], sure) == pytest.approx(-np.log(1e-7))
    assert not ref.sparse_categorical_crossentropy_bwd([1], sure).any()
    assert ref.sparse_categorical_crossentropy([1], [[1e4, -1e4]], from_logits=True) == 2e4


def test_mean_squared_error_gradient(rng: np.random.Generator) -> None:
    target, prediction = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    gradient = ref.mean_squared_error_bwd(target, prediction)
    assert_gradient(lambda v: ref.mean_squared_error(target, v), gradient, prediction)


# Known answers of Philox4x32-10, published with the Random123 library.
KNOWN = (
    ((0x00000000,) * 4, (0x00000000,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN)
def test_philox_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], wanted: tuple[int, ...]
) -> None:
    assert tuple(int(word) for word in ref.philox4x32(counter, key)) == wanted


def test_dropout_keeps_the_right_share_and_the_mean() -> None:
    count, rate = 100_000, 0.3
    y = ref.dropout(np.ones(count), rate, ref.DropoutDraw(seed=2**40 + 7, step=3, op=1))
    kept = np.count_nonzero(y)
    # Five standard deviations of a binomial count.
    assert abs(kept - count * (1 - rate)) < 5 * np.sqrt(count * rate * (1 - rate))
    assert set(np.unique(y)) == {0.0, 1.0 / (1.0 - rate)}
    assert ref.dropout(np.ones(9), 0.0, ref.DropoutDraw(seed=1)).all()
    draws = ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1))
    masks = [ref.dropout_mask(64, 0.5, ref.DropoutDraw(*draw)).tobytes() for draw in draws]
    assert len(set(masks)) == 4


def stepped(optimizer: Optimizer, w: object, gradients: list[object]) -> ref.Variable:
    """One variable after these gradients, in float64."""
    config = optimizer.native()
    slots = tuple(np.full(np.shape(w), value) for value in _native.optimizer_slots(config))
    variable = ref.Variable(np.asarray(w, np.float64), slots)
    for step, g in enumerate(gradients):
        (variable,) = ref.optimizer_step(config, step, [variable], [np.asarray(g, np.float64)])
    return variable


def test_sgd_by_hand() -> None:
    assert stepped(optimizers.SGD(0.25), 1.0, [2.0]).weights == 0.5
    assert stepped(optimizers.SGD(0.25, 0.5), 1.0, [2.0, 2.0]).weights == 1.0 - 0.5 - 0.75
    assert stepped(optimizers.SGD(0.25, 0.5, True), 1.0, [2.0]).weights == 1.0 - 0.25 - 0.5
    assert stepped(optimizers.SGD(0.25, weight_decay=0.5), 1.0, [2.0]).weights == 1.0 - 0.125 - 0.5


def test_first_steps_are_the_rate() -> None:
    """Whatever the gradient, up to epsilon, which stands outside the root of a v without bias correction."""
    for kind in (optimizers.Adam, optimizers.AdamW, optimizers.Adamax):
        twice = [stepped(kind(0.01), np.zeros(2), [[3.0, -5.0]] * steps).weights for steps in (1, 2)]
        assert np.allclose(twice[0], [-0.01, 0.01], rtol=1e-4), kind
        assert np.allclose(twice[1], [-0.02, 0.02], rtol=1e-4), kind


def test_rules_around_the_formula_by_hand() -> None:
    g = [[3.0, 4.0]]
    assert stepped(optimizers.SGD(1.0, clipnorm=2.5), [0.0, 0.0], g).weights.tolist() == [-1.5, -2.0]
    assert stepped(optimizers.SGD(1.0, clipvalue=3.5), [0.0, 0.0], g).weights.tolist() == [-3.0, -3.5]
    accumulated = optimizers.SGD(1.0, gradient_accumulation_steps=2)
    assert stepped(accumulated, 0.0, [1.0]).weights == 0.0
    assert stepped(accumulated, 0.0, [1.0, 3.0]).weights == -2.0
    averaged = stepped(optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75), 0.0, [4.0, 4.0])
    assert averaged.weights == -8.0
    assert averaged.slots[-1] == 0.75 * -4.0 + 0.25 * -8.0


def test_rmsprop_and_adagrad_by_hand() -> None:
    rmsprop = optimizers.RMSprop(1.0, rho=0.75, epsilon=2.0**-2)
    assert stepped(rmsprop, 0.0, [3.0]).weights == pytest.approx(-3.0 / 2.5**0.5)
    adagrad = optimizers.Adagrad(1.0, initial_accumulator_value=6.75, epsilon=0.25)
    assert stepped(adagrad, 0.0, [3.0]).weights == pytest.approx(-0.75)


def test_newton_schulz_acts_on_singular_values(rng: np.random.Generator) -> None:
    """Singular vectors stay, and each value goes through ``a s + b s^3 + c s^5``."""
    u = rng.standard_normal((3, 5))
    config = optimizers.Muon(ns_steps=1).native()
    left, values, right = np.linalg.svd(u, full_matrices=False)
    s = values / (np.linalg.norm(u) + 1e-7)
    wanted = (left * (3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5)) @ right
    assert np.allclose(ref.newton_schulz(config, u), wanted, rtol=1e-12, atol=1e-12)
    assert np.allclose(ref.newton_schulz(config, u.T), wanted.T, rtol=1e-12, atol=1e-12)


def test_rounded_bounds_hold(rng: np.random.Generator) -> None:
    """Float32 arithmetic, checked operation by operation against float64."""
    a, b = (rng.standard_normal((40, 40)).astype(np.float32) for _ in range(2))
    formulas = (
        lambda x, y: (x + y) * (x - y) / (np.abs(y) + 0.1),
        lambda x, y: np.sqrt(x * x + y * y) - np.maximum(x, y),
        lambda x, y: np.minimum(np.sign(x - y), y) + np.power(np.abs(x), 0.75),
        lambda x, y: x @ y.T - 0.3 * x,
    )
    for formula in formulas:
        exact = formula(a.astype(np.float64), b.astype(np.float64))
        bound = formula(Rounded(a), Rounded(b))
        assert np.array_equal(bound.value, exact)
        assert (np.abs(formula(a, b) - exact) <= bound.error).all()
