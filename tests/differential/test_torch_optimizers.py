# SPDX-License-Identifier: Apache-2.0
"""480 random optimizers against PyTorch in float64, step by step, and schedules against its schedulers.

Before each step PyTorch is given the float32 state that fastcnn left, so the bound of one step holds for all;
`fastcnn.testing.rounding` derives it. Where Keras places epsilon elsewhere, PyTorch's state or epsilon is
shifted so that both compute the same function: see `Peer`. PyTorch has no Lion and no Ftrl, and its Muon
iterates in bfloat16: those are written in its operators (`WRITTEN`).
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
functional = torch.nn.functional
torch.set_num_threads(1)

COUNT, SPOILED, STEPS = 480, 0.2, 6
EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
KINDS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam")
WRITTEN = ("lion", "ftrl", "muon")


class Peer:
    """One variable in PyTorch: how it is made, given a state, and read.

    The method of a kind takes fastcnn's slots in float64 and returns the optimizer, its state, and what to
    add to a part of the state before the step and take off after it, where it has become epsilon inside a
    root or a maximum.
    """

    def __init__(self, kind: str, config: dict[str, Any]) -> None:
        self.kind, self.config = kind, config

    def clip(self, gradients: list[Any]) -> list[Any]:
        """Of all variables."""
        c = self.config
        leaves = [torch.zeros(g.shape, dtype=torch.float64) for g in gradients]
        for leaf, g in zip(leaves, gradients, strict=True):
            leaf.grad = torch.tensor(g, dtype=torch.float64)
        if c["clipvalue"]:
            torch.nn.utils.clip_grad_value_(leaves, c["clipvalue"])
        for group in [leaves] if c["global_clipnorm"] else [[leaf] for leaf in leaves]:
            limit = c["global_clipnorm"] or c["clipnorm"]
            if limit:  # PyTorch divides by the norm and 1e-6
                norm = float(torch.nn.utils.get_total_norm([leaf.grad for leaf in group]))
                torch.nn.utils.clip_grad_norm_(group, limit * (norm + 1e-6) / norm)
        return [leaf.grad for leaf in leaves]

    def step(self, variable: Any, g: Any, t: int) -> tuple[Any, list[Any]]:
        """The weights and the slots of one variable; `g` is clipped."""
        c = self.config
        weights = torch.tensor(variable.weights, dtype=torch.float64, requires_grad=True)
        slots = [torch.tensor(slot, dtype=torch.float64) for slot in variable.slots]
        average = slots.pop() if c["use_ema"] else None
        weights.grad = g
        vector_of_muon = self.kind == "muon" and variable.matrix is None
        decay = c["adam_weight_decay" if vector_of_muon else "weight_decay"]
        if decay and self.kind != "adamw":
            with torch.no_grad():
                weights -= weights * decay * c["learning_rate"]
        read = self.written(weights, slots, t, variable.matrix) if self.kind in WRITTEN else None
        if read is None:
            read = self.library(weights, slots, t)
        if average is not None:
            momentum = c["ema_momentum"] if t > 1 else 0.0
            read.append(average.lerp(weights.detach(), 1.0 - momentum))
        return weights.detach().numpy(), [each.numpy() for each in read]

    def library(self, weights: Any, slots: list[Any], t: int) -> list[Any]:
        """PyTorch's own optimizer."""
        made, state, shifts = getattr(self, self.kind)(weights, slots, t)
        if state is not None:
            made.state[weights] = {
                name: value + shifts.get(name, (0.0, 0.0))[0] for name, value in state.items()
            }
        made.step()
        after = made.state[weights]
        return [after[name] - shifts.get(name, (0.0, 0.0))[1] for name in state or {} if name in SLOT_NAMES]

    @torch.no_grad()
    def written(self, w: Any, slots: list[Any], t: int, matrix: Any) -> list[Any]:
        """X. Chen et al., 2023 (Lion); H. B. McMahan et al., 2013 (FTRL); K. Jordan et al., 2024 (Muon)."""
        c, g, rate = self.config, w.grad, self.config["learning_rate"]
        if self.kind == "lion":
            w -= rate * torch.sign(torch.lerp(g, slots[0], c["beta_1"]))
            return [torch.lerp(g, slots[0], c["beta_2"])]
        if self.kind == "ftrl":
            power, l1 = -c["learning_rate_power"], c["l1_regularization_strength"]
            squares = torch.addcmul(slots[0], g, g)
            sigma = (squares**power - slots[0] ** power) / rate
            linear = slots[1] + g + (2 * c["l2_shrinkage_regularization_strength"] - sigma) * w
            divisor = (squares**power + c["beta"]) / rate + 2 * c["l2_regularization_strength"]
            w.copy_(-functional.softshrink(linear, l1) / divisor)
            return [squares, linear]
        if matrix is None:
            names = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2"}
            own = {**c, **{key: c[name] for key, name in names.items()}, "amsgrad": False, "weight_decay": 0}
            own["learning_rate"] = rate * c["adam_lr_ratio"]
            peer = Peer("adam", own)
            return peer.library(w, slots, t)
        buffer = c["momentum"] * slots[0] + g
        x = (g + c["momentum"] * buffer if c["nesterov"] else buffer).reshape(matrix)
        x = x.T if matrix[0] > matrix[1] else x
        x = x / (torch.linalg.matrix_norm(x) + 1e-7)
        for _ in range(c["ns_steps"]):
            a = x @ x.T
            x = c["muon_a"] * x + (c["muon_b"] * a + c["muon_c"] * a @ a) @ x
        x = x.T if matrix[0] > matrix[1] else x
        w -= (
            rate * (1.0 if c["rms_rate"] is None else c["rms_rate"] * max(matrix) ** 0.5) * x.reshape(w.shape)
        )
        return [buffer, *slots[1:]]

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
    kind = dice.choice((*KINDS, *WRITTEN))
    options: dict[str, Any] = {"learning_rate": dice.choice((1e-3, 0.01, 0.1, 0.5))}
    if kind == "sgd":
        options |= {"momentum": dice.choice((0.0, 0.5, 0.9)), "nesterov": False}
        options["nesterov"] = options["momentum"] > 0 and dice.random() < 0.5
    if kind in ("adam", "adamw", "adamax", "nadam", "lion"):
        options |= {"beta_1": dice.choice((0.5, 0.9)), "beta_2": dice.choice((0.9, 0.99, 0.999))}
    if kind in ("adam", "adamw"):
        options["amsgrad"] = dice.random() < 0.5
    if kind in ("rmsprop", "adadelta"):
        options["rho"] = dice.choice((0.5, 0.9, 0.95))
    if kind == "rmsprop":
        options |= {"momentum": dice.choice((0.0, 0.5, 0.9)), "centered": dice.random() < 0.5}
    if kind == "ftrl":
        options["learning_rate_power"] = dice.choice((-0.5, -0.75))
        options["initial_accumulator_value"] = dice.choice((0.1, 1.0))
        for name in ("l1_regularization_strength", "l2_regularization_strength", "beta"):
            options[name] = dice.choice((0.0, 0.25, 0.5))
        options["l2_shrinkage_regularization_strength"] = dice.choice((0.0, 0.125))
    if kind == "muon":
        options |= {"momentum": dice.choice((0.5, 0.95)), "nesterov": dice.random() < 0.5}
        options |= {"ns_steps": dice.choice((1, 2)), "rms_rate": dice.choice((None, 0.2))}
    if kind not in ("sgd", "lion", "ftrl"):
        options["epsilon"] = dice.choice((1e-7, 1e-5, 1e-3))
    if kind == "adagrad":
        options["initial_accumulator_value"] = dice.choice((0.0, 0.1, 1.0))
    if kind == "adamw" or dice.random() < 0.3:
        options["weight_decay"] = dice.choice((0.004, 0.1))
    clip = dice.choice((None, None, "clipnorm", "clipvalue", "global_clipnorm"))
    if clip is not None:
        options[clip] = dice.choice((0.1, 1.0))
    if dice.random() < 0.25:
        options |= {"use_ema": True, "ema_momentum": dice.choice((0.5, 0.99))}
    return kind, options


def spoiled(number: int) -> bool:
    return random.Random(f"spoiled {number}").random() < SPOILED


CLASSES: dict[str, tuple[type[Optimizer], Any]] = {
    "sgd": (optimizers.SGD, torch.optim.SGD),
    "adam": (optimizers.Adam, torch.optim.Adam),
    "adamw": (optimizers.AdamW, torch.optim.AdamW),
    "rmsprop": (optimizers.RMSprop, torch.optim.RMSprop),
    "adagrad": (optimizers.Adagrad, torch.optim.Adagrad),
    "adadelta": (optimizers.Adadelta, torch.optim.Adadelta),
    "adamax": (optimizers.Adamax, torch.optim.Adamax),
    "nadam": (optimizers.Nadam, torch.optim.NAdam),
    "lion": (optimizers.Lion, None),
    "ftrl": (optimizers.Ftrl, None),
    "muon": (optimizers.Muon, torch.optim.Muon),
}


@pytest.mark.parametrize("number", range(COUNT))
def test_agrees_with_torch(number: int) -> None:
    dice = random.Random(number)
    kind, options = drawn(dice)
    if spoiled(number):
        both_refuse(dice.choice(KINDS), dice)
        return
    optimizer = CLASSES[kind][0](**options)
    rng = np.random.default_rng(number)
    edges = EDGES[:10] if kind == "muon" else EDGES
    shapes = [
        tuple(dice.choice(edges) for _ in range(dice.randint(1, 3))) for _ in range(dice.choice((1, 1, 2)))
    ]
    optimizer.build([reals(rng, shape) for shape in shapes], optimizing.names_of(shapes))
    peer = Peer(kind, optimizer.get_config())
    for step in range(STEPS):
        scale = np.float32(dice.choice((0.01, 1.0, 10.0)))
        gradients = [reals(rng, shape) * scale for shape in shapes]
        before = optimizing.state_of(optimizer)
        bounds = optimizing.expected(optimizer, before, gradients)
        clipped = peer.clip(gradients)
        wanted = [peer.step(each, g, step + 1) for each, g in zip(before, clipped, strict=True)]
        optimizer.apply(gradients)
        for i, after in enumerate(optimizing.state_of(optimizer)):
            what = f"{optimizer}: step {step}, variable {i}"
            agree(optimizer.get_config(), after, wanted[i], bounds[i], what, kind)


def agree(c: Any, after: Any, wanted: Any, bounds: Any, what: str, kind: str) -> None:
    assert_within(after.weights, wanted[0], bounds.weights.error, what)
    if kind == "sgd" or (kind == "rmsprop" and c["momentum"]):
        return  # a velocity in other units
    for got, want, error in zip(after.slots, wanted[1], bounds.slots, strict=True):
        # Taking a shift off again rounds in float64.
        slack = 2.0**-50 * (np.abs(want) + c.get("epsilon", 0.0))
        assert_within(got, want, error.error + slack, what)


def test_every_optimizer_is_drawn() -> None:
    kinds = [drawn(random.Random(number))[0] for number in range(COUNT) if not spoiled(number)]
    named = {getattr(optimizers, name) for name in optimizers.__all__ if name != "Optimizer"}
    assert {CLASSES[kind][0] for kind in kinds} == {each for each in named if isinstance(each, type)}
    assert min(map(kinds.count, set(kinds))) >= 15


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
