# SPDX-License-Identifier: Apache-2.0
"""400 random optimizers against torch.optim in float64, step by step, and schedules against its schedulers.

Before each step PyTorch is given the float32 state that fastcnn left, so the bound of one step holds for all;
`fastcnn.testing.rounding` derives it. Where Keras places epsilon elsewhere, PyTorch's state or epsilon is
shifted so that both compute the same function: see `Peer`. PyTorch has no Lion and no Ftrl, and its Muon
iterates in bfloat16: those are compared with the reference alone, in tests/kernels/test_optimizer.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import optimizers
from fastcnn.optimizers import Optimizer, schedules
from fastcnn.testing import optimizing
from fastcnn.testing.compare import assert_within
from fastcnn.testing.fill import reals

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

COUNT, SPOILED, STEPS = 400, 0.2, 6
EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
KINDS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam")


class Peer:
    """One variable in PyTorch: how it is made, given a state, and read.

    Each method takes fastcnn's slots in float64 and returns the optimizer, its state, and what to add to a
    part of the state before the step and take off after it, where it has become epsilon inside a root or a
    maximum.
    """

    def __init__(self, kind: str, optimizer: Any) -> None:
        self.kind, self.config = kind, optimizer.get_config()

    def step(self, w: Any, slots: list[Any], g: Any, t: int) -> tuple[Any, list[Any]]:
        weights = torch.tensor(w, dtype=torch.float64, requires_grad=True)
        weights.grad = torch.tensor(g, dtype=torch.float64)
        c = self.config
        if c["weight_decay"] and self.kind != "adamw":
            with torch.no_grad():
                weights -= weights * c["weight_decay"] * c["learning_rate"]
        if c["clipnorm"]:
            # PyTorch divides by the norm and 1e-6.
            norm = float(torch.linalg.vector_norm(weights.grad))
            torch.nn.utils.clip_grad_norm_([weights], c["clipnorm"] * (norm + 1e-6) / norm)
        if c["clipvalue"]:
            torch.nn.utils.clip_grad_value_([weights], c["clipvalue"])
        made, state, shifts = getattr(self, self.kind)(weights, [torch.tensor(s) for s in slots], t)
        if state is not None:
            made.state[weights] = {
                name: value + shifts.get(name, (0.0, 0.0))[0] for name, value in state.items()
            }
        made.step()
        after = made.state[weights]
        read = [after[name] - shifts.get(name, (0.0, 0.0))[1] for name in state or {} if name in SLOT_NAMES]
        return weights.detach().numpy(), [each.numpy() for each in read]

    def sgd(self, w: Any, slots: list[Any], t: int) -> Any:
        """PyTorch's velocity is Keras's by -rate."""
        c = self.config
        made = torch.optim.SGD([w], c["learning_rate"], c["momentum"], nesterov=c["nesterov"])
        return made, {"momentum_buffer": slots[0] / -c["learning_rate"]} if slots else None, {}

    def adam(self, w: Any, slots: list[Any], t: int) -> Any:
        """Keras's epsilon stands beside a root without its bias correction."""
        c = self.config
        kind = torch.optim.AdamW if self.kind == "adamw" else torch.optim.Adam
        made = kind(
            [w], c["learning_rate"], (c["beta_1"], c["beta_2"]),
            c["epsilon"] / math.sqrt(1.0 - c["beta_2"] ** t),
            c["weight_decay"] if self.kind == "adamw" else 0.0, c["amsgrad"],
        )  # fmt: skip
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return made, {"step": torch.tensor(t - 1.0), **dict(zip(names, slots, strict=False))}, {}

    adamw = adam

    def rmsprop(self, w: Any, slots: list[Any], t: int) -> Any:
        """Keras's epsilon stands under the root: the mean square is eps / rho larger before, eps after."""
        c = self.config
        made = torch.optim.RMSprop([w], c["learning_rate"], c["rho"], 0.0, 0.0, c["momentum"], c["centered"])
        names = ["square_avg"] + ["momentum_buffer"] * (c["momentum"] > 0) + ["grad_avg"] * c["centered"]
        state = {"step": torch.tensor(t - 1.0), **dict(zip(names, slots, strict=True))}
        if "momentum_buffer" in state:
            state["momentum_buffer"] = state["momentum_buffer"] / c["learning_rate"]
        return made, state, {"square_avg": (c["epsilon"] / c["rho"], c["epsilon"])}

    def adagrad(self, w: Any, slots: list[Any], t: int) -> Any:
        """Keras's epsilon stands under the root."""
        c = self.config
        made = torch.optim.Adagrad([w], c["learning_rate"], eps=0.0)
        state = {"step": torch.tensor(t - 1.0), "sum": slots[0]}
        return made, state, {"sum": (c["epsilon"], c["epsilon"])}

    def adadelta(self, w: Any, slots: list[Any], t: int) -> Any:
        c = self.config
        made = torch.optim.Adadelta([w], c["learning_rate"], c["rho"], c["epsilon"])
        return made, {"step": torch.tensor(t - 1.0), "square_avg": slots[0], "acc_delta": slots[1]}, {}

    def adamax(self, w: Any, slots: list[Any], t: int) -> Any:
        """PyTorch adds epsilon to the gradient's size, Keras to the greatest: shifted, that is the same."""
        c = self.config
        made = torch.optim.Adamax([w], c["learning_rate"], (c["beta_1"], c["beta_2"]), c["epsilon"])
        state = {"step": torch.tensor(t - 1.0), "exp_avg": slots[0], "exp_inf": slots[1]}
        return made, state, {"exp_inf": (c["epsilon"] / c["beta_2"], c["epsilon"])}

    def nadam(self, w: Any, slots: list[Any], t: int) -> Any:
        """Keras's decay is 0.96^t, PyTorch's 0.96^(t momentum_decay)."""
        c = self.config
        made = torch.optim.NAdam(
            [w], c["learning_rate"], (c["beta_1"], c["beta_2"]), c["epsilon"], momentum_decay=1.0
        )
        product = math.prod(c["beta_1"] * (1.0 - 0.5 * 0.96**i) for i in range(1, t))
        return made, {
            "step": torch.tensor(t - 1.0), "exp_avg": slots[0], "exp_avg_sq": slots[1],
            "mu_product": torch.tensor(product, dtype=torch.float64),
        }, {}  # fmt: skip


SLOT_NAMES = {
    "momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "sum",
    "acc_delta", "exp_inf",
}  # fmt: skip


def drawn(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """A kind and its arguments, all of them numbers that both libraries take."""
    kind = dice.choice(KINDS)
    options: dict[str, Any] = {"learning_rate": dice.choice((1e-3, 0.01, 0.1, 0.5))}
    if kind == "sgd":
        options |= {"momentum": dice.choice((0.0, 0.5, 0.9)), "nesterov": False}
        options["nesterov"] = options["momentum"] > 0 and dice.random() < 0.5
    if kind in ("adam", "adamw", "adamax", "nadam"):
        options |= {"beta_1": dice.choice((0.5, 0.9)), "beta_2": dice.choice((0.9, 0.99, 0.999))}
    if kind in ("adam", "adamw"):
        options["amsgrad"] = dice.random() < 0.5
    if kind in ("rmsprop", "adadelta"):
        options["rho"] = dice.choice((0.5, 0.9, 0.95))
    if kind == "rmsprop":
        options |= {"momentum": dice.choice((0.0, 0.5, 0.9)), "centered": dice.random() < 0.5}
    if kind != "sgd":
        options["epsilon"] = dice.choice((1e-7, 1e-5, 1e-3))
    if kind == "adagrad":
        options["initial_accumulator_value"] = dice.choice((0.0, 0.1, 1.0))
    if kind == "adamw" or dice.random() < 0.3:
        options["weight_decay"] = dice.choice((0.004, 0.1))
    clip = dice.choice((None, None, "clipnorm", "clipvalue"))
    if clip is not None:
        options[clip] = dice.choice((0.1, 1.0))
    return kind, options


CLASSES: dict[str, tuple[type[Optimizer], Any]] = {
    "sgd": (optimizers.SGD, torch.optim.SGD),
    "adam": (optimizers.Adam, torch.optim.Adam),
    "adamw": (optimizers.AdamW, torch.optim.AdamW),
    "rmsprop": (optimizers.RMSprop, torch.optim.RMSprop),
    "adagrad": (optimizers.Adagrad, torch.optim.Adagrad),
    "adadelta": (optimizers.Adadelta, torch.optim.Adadelta),
    "adamax": (optimizers.Adamax, torch.optim.Adamax),
    "nadam": (optimizers.Nadam, torch.optim.NAdam),
}


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    dice = random.Random(number)
    kind, options = drawn(dice)
    if dice.random() < SPOILED:
        both_refuse(kind, dice)
        return
    optimizer = CLASSES[kind][0](**options)
    rng = np.random.default_rng(number)
    shape = tuple(dice.choice(EDGES) for _ in range(dice.randint(1, 3)))
    variable = reals(rng, shape)
    optimizer.build([variable])
    peer = Peer(kind, optimizer)
    for step in range(STEPS):
        g = reals(rng, shape) * np.float32(dice.choice((0.01, 1.0, 10.0)))
        before = optimizing.state_of(optimizer)[0]
        (bound,) = optimizing.expected(optimizer, [before], [g])
        slots = [slot.astype(np.float64) for slot in before.slots]
        weights, wanted = peer.step(before.weights.astype(np.float64), slots, g.astype(np.float64), step + 1)
        optimizer.apply([g])
        after = optimizing.state_of(optimizer)[0]
        what = f"{optimizer}: step {step}"
        assert_within(after.weights, weights, bound.weights.error, what)
        if kind == "sgd" or optimizer.get_config().get("momentum"):
            continue  # a velocity in other units
        for got, want, error in zip(after.slots, wanted, bound.slots, strict=True):
            # Taking a shift off again rounds in float64.
            slack = 2.0**-50 * (np.abs(want) + optimizer.get_config()["epsilon"])
            assert_within(got, want, error.error + slack, what)


def both_refuse(kind: str, dice: random.Random) -> None:
    ours, theirs = CLASSES[kind]
    names = {"sgd": ("lr", "momentum"), "rmsprop": ("lr", "alpha", "eps", "momentum")}.get(
        kind, ("lr", "rho", "eps") if kind == "adadelta" else ("lr", "eps")
    )
    if kind in ("adam", "adamw", "adamax", "nadam"):
        names = (*names, "betas")
    name = dice.choice((*names, "weight_decay"))
    value: Any = dice.choice((-0.5, -1e-3))
    keras = {"lr": "learning_rate", "alpha": "rho", "eps": "epsilon", "betas": "beta_2"}.get(name, name)
    with pytest.raises(ValueError, match=keras):
        ours(**{keras: value})
    weights = torch.zeros(1, requires_grad=True)
    with pytest.raises(ValueError, match="Invalid"):
        theirs([weights], **{name: (0.9, value) if name == "betas" else value})


# --- schedules

Pair = tuple[schedules.LearningRateSchedule, Callable[[Any], Any]]


def scheduled(dice: random.Random) -> Pair:
    """A schedule and its peer, both of a rate of 1 or a greatest rate of 1."""
    lr, total = torch.optim.lr_scheduler, dice.randint(5, 60)
    kind = dice.choice(("one cycle", "exponential", "polynomial", "cosine", "restarts", "pieces"))
    if kind == "one cycle":
        start, strategy = dice.choice((0.25, 0.3, 0.5)), dice.choice(("cos", "linear"))
        three = start < 0.5 and dice.random() < 0.5
        total = max(total, 12)
        return schedules.OneCycle(1.0, total, start, strategy, three_phase=three), lambda o: lr.OneCycleLR(
            o, 1.0, total, pct_start=start, anneal_strategy=strategy, cycle_momentum=False, three_phase=three
        )
    if kind == "exponential":
        return schedules.ExponentialDecay(1.0, 1, 0.9), lambda o: lr.ExponentialLR(o, 0.9)
    if kind == "polynomial":
        power = dice.choice((0.5, 1.0, 2.0))
        return schedules.PolynomialDecay(1.0, total, 0.0, power), lambda o: lr.PolynomialLR(o, total, power)
    if kind == "cosine":
        return schedules.CosineDecay(1.0, 80, 0.25), lambda o: lr.CosineAnnealingLR(o, 80, 0.25)
    if kind == "restarts":
        first, factor = dice.randint(1, 9), dice.choice((1, 2, 3))
        return schedules.CosineDecayRestarts(
            1.0, first, float(factor)
        ), lambda o: lr.CosineAnnealingWarmRestarts(o, first, factor)
    ends = sorted(dice.sample(range(1, 60), 3))
    # Keras changes after the boundary, PyTorch at it.
    return schedules.PiecewiseConstantDecay(
        [each - 1 for each in ends], [1.0, 0.5, 0.25, 0.125]
    ), lambda o: lr.MultiStepLR(o, ends, 0.5)


@pytest.mark.filterwarnings("ignore:Detected call of")  # PyTorch wants optimizer.step() before
@pytest.mark.parametrize("number", range(60))
def test_schedules_agree_with_torch(number: int) -> None:
    dice = random.Random(number)
    schedule, make = scheduled(dice)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = make(optimizer)
    steps = getattr(scheduler, "total_steps", 61) - 1
    theirs = []
    for _ in range(steps):
        theirs.append(scheduler.get_last_lr()[0])
        scheduler.step()
    # PyTorch chains some of its rates: a few roundings for each step.
    assert np.abs(schedule.rates(0, steps) - np.array(theirs)).max() <= 8 * (steps + 8) * 2.0**-53
