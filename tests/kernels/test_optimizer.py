# SPDX-License-Identifier: Apache-2.0
"""Optimizer steps on arrays against Keras's formulas: exact in whole numbers, else within derived bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastcnn
from fastcnn import _native, optimizers
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.optimizers import Optimizer
from fastcnn.testing import optimizing
from fastcnn.testing import reference as ref
from fastcnn.testing.compare import assert_exact, assert_same_bits, assert_within
from fastcnn.testing.fill import F32, integers, reals
from fastcnn.testing.guard import Side, guarded
from fastcnn.testing.rounding import Rounded

STEPS = 20
SHAPES = ((5, 3), (7,), (3, 3, 2, 4), (1, 16), (33,))


def begin(optimizer: Optimizer, shapes: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> list[F32]:
    """Variables of normal deviates."""
    variables = [reals(rng, shape) for shape in shapes]
    optimizer.build(variables, optimizing.names_of(shapes))
    return variables


@pytest.mark.parametrize("common", optimizing.COMMON)
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_trajectory(name: str, common: str, rng: np.random.Generator) -> None:
    optimizer = optimizing.made(name, common)
    begin(optimizer, SHAPES, rng)
    for step in range(STEPS):
        optimizing.check_step(optimizer, [reals(rng, shape) for shape in SHAPES], f"step {step}")
    assert optimizer.iterations == STEPS // (optimizer.gradient_accumulation_steps or 1)


@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 15, 16, 17, 31, 33, 16384, 16385])
def test_sizes(name: str, count: int, rng: np.random.Generator) -> None:
    optimizer = optimizing.made(name, "ema")
    begin(optimizer, ((count,),), rng)
    for step in range(2):
        optimizing.check_step(optimizer, [reals(rng, (count,))], f"step {step}")


@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_late_steps(name: str, rng: np.random.Generator) -> None:
    """The bias corrections of any step follow from its number alone."""
    for steps in (999, 10**6, 10**12):
        optimizer = optimizing.made(name)
        begin(optimizer, ((4, 9),), rng)
        optimizer.follow(steps)
        optimizing.check_step(optimizer, [reals(rng, (4, 9))], f"step {steps}")


@pytest.mark.parametrize("nesterov", [False, True])
def test_velocities_fade_to_zero(nesterov: bool) -> None:
    """Rounding would keep them among the denormal numbers for ever."""
    optimizer = optimizers.SGD(1.0, momentum=0.5, nesterov=nesterov)
    least = float(np.finfo(np.float32).tiny)
    factors = np.arange(-33.0, 34.0)
    optimizer.build([np.ones(factors.size, np.float32)])
    optimizer.apply([np.float32(least) * factors.astype(np.float32)])
    for step in range(6):
        velocities = -factors * 0.5**step
        velocities[np.abs(velocities) < 1] = 0
        assert_exact(optimizer._slots[0][0], velocities * least, f"step {step}")
        optimizer.apply([np.zeros(factors.size, np.float32)])
    assert not optimizer._slots[0][0].any()


def test_whole_numbers_are_exact(rng: np.random.Generator) -> None:
    shape = (5, 13)
    w, g = integers(rng, shape), integers(rng, shape)
    plain = w.copy()
    optimizers.SGD(0.5, weight_decay=0.25, clipvalue=4.0).apply([g], [plain])
    assert_exact(plain, (w - w / 8) - np.clip(g, -4, 4) / 2, "SGD")
    fast, nesterov = w.copy(), w.copy()
    for optimizer, variable in ((optimizers.SGD(0.5, 0.5), fast), (optimizers.SGD(0.5, 0.5, True), nesterov)):
        optimizer.apply([g], [variable])
        optimizer.apply([g], [variable])
    assert_exact(fast, w - g / 2 - (g / 4 + g / 2), "momentum")
    assert_exact(nesterov, w - (g / 4 + g / 2) - (3 * g / 8 + g / 2), "Nesterov")
    lion = w.copy()
    optimizers.Lion(2.0, beta_1=0.5, beta_2=0.5).apply([g], [lion])
    assert_exact(lion, w - 2 * np.sign(g), "Lion")
    mean = w.copy()
    accumulating = optimizers.SGD(1.0, gradient_accumulation_steps=4)
    for _ in range(4):
        accumulating.apply([g], [mean])
    assert_exact(mean, w - g, "accumulated")
    averaged = w.copy()
    ema = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    ema.apply([g], [averaged])
    assert_exact(averaged, w - g, "the first average is w")
    ema.apply([g], [averaged])
    assert_exact(averaged, w - 1.5 * g, "the second is the weights")


def test_clipped_norms_are_exact() -> None:
    # 3, 4, 12 and 84 make a norm of 85; of the first two alone 5.
    w = [np.zeros(2, np.float32), np.zeros(2, np.float32)]
    g = [np.array([3, 4], np.float32), np.array([12, 84], np.float32)]
    optimizers.SGD(1.0, global_clipnorm=42.5).apply(g, w)
    assert_exact(np.concatenate(w), np.array([-1.5, -2, -6, -42]), "global_clipnorm")
    w = [np.zeros(2, np.float32), np.zeros(2, np.float32)]
    optimizers.SGD(1.0, clipnorm=5.0).apply([g[0], np.array([6, 8])], w)
    assert_exact(np.concatenate(w), np.array([-3, -4, -3, -4]), "clipnorm")
    # Squares that float32 could not hold.
    w = [np.zeros(2, np.float32)]
    optimizers.SGD(1.0, clipnorm=5.0).apply([np.float32(2.0**100) * g[0]], w)
    assert_exact(w[0], np.array([-3, -4]), "of large gradients")


def test_a_norm_below_its_limit_changes_no_bit(rng: np.random.Generator) -> None:
    g = reals(rng, (1000,))
    clipped = g.copy()
    _native.clip_norm(clipped, 1e9)
    assert_same_bits(clipped, g, "clip_norm")


HUGE = 3 * 16384 + 77


@pytest.mark.parametrize("common", ["global-clipnorm", "ema", "accumulate"])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_same_bits_for_any_number_of_threads(
    name: str, common: str, rng: np.random.Generator, keep_threads: None
) -> None:
    shapes = ((HUGE,), (200, 210))
    start, gradients = [reals(rng, shape) for shape in shapes], [reals(rng, shape) for shape in shapes]
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        optimizer, variables = optimizing.made(name, common), [each.copy() for each in start]
        optimizer.build(variables)
        for _ in range(3):
            optimizer.apply(gradients)
        results.append(variables)
    for threads, variables in zip((2, 3, 5), results[1:], strict=True):
        for got, wanted in zip(variables, results[0], strict=True):
            assert_same_bits(got, wanted, f"{threads} threads")


@pytest.mark.parametrize("count", [3, 40, 20000])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_same_bits_wherever_variables_lie(name: str, count: int, rng: np.random.Generator) -> None:
    """Lines of memory are left whole, and where the first begins is no part of the result."""
    start, gradient = reals(rng, (count,)), reals(rng, (count,))
    results = []
    for offset in (0, 1, 7, 15):
        memory = np.full(count + 32, np.nan, np.float32)
        variable = memory[offset : offset + count]
        variable[...] = start
        optimizer = optimizing.made(name, "ema")
        optimizer.build([variable])
        for _ in range(2):
            optimizer.apply([gradient])
        assert np.isnan(memory[:offset]).all()
        assert np.isnan(memory[offset + count :]).all()
        results.append(variable.copy())
        assert_same_bits(results[-1], results[0], f"{name} from {offset}")


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_together_as_one_by_one(
    name: str, threads: int, rng: np.random.Generator, keep_threads: None
) -> None:
    """Large variables and small ones, several of these in a row, matrices among them."""
    shapes = [(3,), (5, 3), (200_000,), (40,), (1,), (300, 200), (60_000,), (17,)]
    starts, gradients = [reals(rng, s) for s in shapes], [reals(rng, s) for s in shapes]
    together, alone = [each.copy() for each in starts], [each.copy() for each in starts]
    fastcnn.set_num_threads(threads)
    optimizer = optimizing.made(name, "ema")
    optimizer.build(together)
    each_its_own = [optimizing.made(name, "ema") for _ in alone]
    for _ in range(2):
        optimizer.apply(gradients)
        for one, variable, gradient in zip(each_its_own, alone, gradients, strict=True):
            one.apply([gradient], [variable])
    for got, wanted, start in zip(together, alone, starts, strict=True):
        assert_same_bits(got, wanted, f"{name} of {got.shape}")
        assert not np.array_equal(got, start)


def test_a_bad_variable_leaves_those_before_it(rng: np.random.Generator) -> None:
    adam = optimizers.Adam()

    def variable(slots: int = 2, count: int = 5) -> tuple[F32, F32, list[F32], bool, None]:
        zeros = [np.zeros(5, np.float32) for _ in range(slots)]
        return reals(rng, (5,)), reals(rng, (count,)), zeros, True, None

    for bad in (variable(slots=1), variable(count=6), (*variable()[:2], None, True, None)):
        good = variable()
        before = good[0].copy()
        with pytest.raises((ArgumentError, ShapeError, DTypeError)):
            _native.optimizer_step(adam.native(), [good, bad], 0, 0.1)  # type: ignore[list-item]
        assert_same_bits(good[0], before, "a variable")
        assert not any(slot.any() for slot in good[2])


@pytest.mark.parametrize("size", [40, 100_000])
def test_a_gradient_may_be_memory_of_a_variable(size: int, rng: np.random.Generator) -> None:
    """The variable itself, a view of another one, a part of one array that holds them all."""
    memory = reals(rng, (4 * size,))
    halves = memory[:size], memory[size : 2 * size]
    own = reals(rng, (size,)), reals(rng, (size,))
    for variables in (halves, own):
        first, second = variables
        for gradients in (
            (first, second),
            (second, first),
            (second[:], first[::-1]),
            (memory[2 * size : 3 * size], first),
        ):
            wanted = [v - np.float32(0.5) * g for v, g in zip(variables, gradients, strict=True)]
            optimizers.SGD(0.5).apply(gradients, variables)
            for got, right in zip(variables, wanted, strict=True):
                assert_exact(got, right.astype(np.float64), "a variable")


@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_nothing_outside_is_touched(name: str, side: Side, rng: np.random.Generator) -> None:
    for shape in ((1,), (5, 3), (16,), (7, 31)):
        start, g = reals(rng, shape), reals(rng, shape)
        optimizer, free = optimizing.made(name, "ema"), start.copy()
        optimizer.apply([g], [free])
        description = optimizer.native()
        slots = [guarded(np.full(shape, v, np.float32), side) for v in _native.optimizer_slots(description)]
        fenced = guarded(start, side)
        variable = (fenced, guarded(g, side), slots, True, optimizer._matrix("", shape))
        _native.optimizer_step(description, [variable], 0, optimizer.learning_rate)
        assert_same_bits(fenced, free, name)
        _native.clip_norm(guarded(g, side), 0.5)
        _native.accumulate(guarded(g, side), guarded(g, side), 2, 1)


@pytest.mark.parametrize("common", ["plain", "clipvalue", "clipnorm", "global-clipnorm"])
@pytest.mark.parametrize("name", optimizing.OPTIMIZERS)
def test_nan_stays(name: str, common: str) -> None:
    optimizer = optimizing.made(name, common)
    w = np.ones(40, np.float32)
    g = np.ones(40, np.float32)
    g[[3, 37]] = np.nan
    optimizer.apply([g], [w])
    assert np.isnan(w[[3, 37]]).all()
    assert np.isnan(w).all() == common.endswith("norm")  # a norm is everyone's


def test_clipping_bounds_infinity() -> None:
    w = np.zeros(2, np.float32)
    optimizers.SGD(1.0, clipvalue=2.0).apply([np.array([np.inf, -np.inf])], [w])
    assert w.tolist() == [-2.0, 2.0]


def test_ftrl_begins_at_a_rate_of_zero() -> None:
    w = np.ones(3, np.float32)
    schedule = optimizers.schedules.CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=2)
    ftrl = optimizers.Ftrl(schedule)
    ftrl.apply([np.ones(3)], [w])
    assert w.tolist() == [1.0, 1.0, 1.0]
    ftrl.apply([np.ones(3)])
    assert np.isfinite(w).all()
    assert (w != 1).all()


# --- Muon


def iterates(u: F32, steps: int, **options: float) -> F32:
    """X after some iterations: the step from zero weights with a rate of 1."""
    w = np.zeros(u.shape, np.float32)
    optimizers.Muon(1.0, momentum=0.0, weight_decay=None, ns_steps=steps, rms_rate=None, **options).apply(
        [u], [w]
    )
    return -w


MATRICES = [(2, 2), (4, 3), (3, 4), (17, 33), (33, 17), (64, 64), (288, 24), (24, 288)]


@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_newton_schulz_iterates(shape: tuple[int, int], rng: np.random.Generator) -> None:
    """Each iterate against the reference of one iteration of the one before."""
    u = reals(rng, shape)
    config = optimizers.Muon().native()
    first = ref.newton_schulz({**config, "ns_steps": 0}, Rounded(u))
    assert_within(iterates(u, 0), first.value, first.error, "X")
    for step in range(5):
        x = Rounded(iterates(u, step))
        wanted = ref.newton_schulz({**config, "ns_steps": 1}, x, normalise=False)
        assert_within(iterates(u, step + 1), wanted.value, wanted.error, f"iteration {step}")


@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_muon_makes_matrices_nearly_orthogonal(shape: tuple[int, int], rng: np.random.Generator) -> None:
    # Singular values that are not far apart come near 1 in five iterations: the polynomial keeps them there.
    left, _, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    u = (left * rng.uniform(0.5, 1.0, min(shape))) @ right
    values = np.linalg.svd(iterates(u.astype(np.float32), 5).astype(np.float64), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("shape", [(4, 4), (16, 16), (4, 16), (16, 4)])
def test_muon_is_exact_on_hadamard_matrices(shape: tuple[int, int]) -> None:
    """Rows of a Hadamard matrix have a norm that is a power of two, and X X^T is a multiple of I."""
    hadamard = np.ones((1, 1))
    while len(hadamard) < 16:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    u = hadamard[: shape[0], : shape[1]] if shape[0] <= shape[1] else hadamard[: shape[1], : shape[0]].T
    if shape == (4, 4):
        u = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    norm = math.sqrt(u.size)
    for steps, c in ((1, 1.0), (2, 0.0)):  # few digits each
        got = iterates(u.astype(np.float32), steps, muon_a=2.0, muon_b=-1.0, muon_c=c)
        scale = 1.0 / norm
        for _ in range(steps):
            square = scale * scale * max(shape)
            scale = scale * (2.0 - square + c * square * square)
        assert_exact(got, scale * u, "X")


def test_muon_chooses_its_variables() -> None:
    muon = optimizers.Muon(exclude_layers=["dense_1"])
    assert muon._matrix("dense/kernel", (4, 6)) == (4, 6)
    assert muon._matrix("conv2d/kernel", (3, 3, 8, 16)) == (72, 16)
    assert muon._matrix("dense/bias", (6,)) is None
    assert muon._matrix("dense_1/kernel", (4, 6)) is None
    assert muon._matrix("Embedding/embeddings", (4, 6)) is None
    assert optimizers.Muon(exclude_embeddings=False)._matrix("embedding/embeddings", (4, 6)) == (4, 6)
    assert muon._matrix("depthwise_conv2d/kernel", (3, 3, 8, 1)) is None
