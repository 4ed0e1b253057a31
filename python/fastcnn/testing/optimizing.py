# SPDX-License-Identifier: Apache-2.0
"""Every optimizer with every option, and trajectories of them against the reference, step by step.

Each step of the reference begins with the float32 state that the kernel left, so the bound of one step holds
for every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastcnn import optimizers
from fastcnn.optimizers import Optimizer
from fastcnn.testing import reference
from fastcnn.testing.compare import assert_within
from fastcnn.testing.fill import F32
from fastcnn.testing.rounding import Rounded

# Numbers that float32 holds, so that no constant is rounded apart; and some that it does not.
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (optimizers.SGD, {"learning_rate": 0.25}),
    "momentum": (optimizers.SGD, {"momentum": 0.9}),
    "nesterov": (optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (optimizers.Adam, {}),
    "amsgrad": (optimizers.Adam, {"amsgrad": True, "beta_2": 0.5}),
    "adamw": (optimizers.AdamW, {"weight_decay": 0.1}),
    "adamax": (optimizers.Adamax, {}),
    "nadam": (optimizers.Nadam, {}),
    "rmsprop": (optimizers.RMSprop, {}),
    "rmsprop-momentum": (optimizers.RMSprop, {"momentum": 0.9}),
    "rmsprop-centered": (optimizers.RMSprop, {"centered": True, "rho": 0.5}),
    "rmsprop-both": (optimizers.RMSprop, {"centered": True, "momentum": 0.5}),
    "adagrad": (optimizers.Adagrad, {}),
    "adadelta": (optimizers.Adadelta, {"learning_rate": 1.0}),
    "lion": (optimizers.Lion, {}),
    "ftrl": (optimizers.Ftrl, {}),
    "ftrl-all": (
        optimizers.Ftrl,
        {
            "learning_rate": 0.1,
            "learning_rate_power": -0.75,
            "l1_regularization_strength": 0.5,
            "l2_regularization_strength": 0.25,
            "l2_shrinkage_regularization_strength": 0.125,
            "beta": 0.5,
        },
    ),
    "muon": (optimizers.Muon, {"ns_steps": 1}),
    "muon-plain": (optimizers.Muon, {"ns_steps": 2, "nesterov": False, "rms_rate": None}),
}

COMMON: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay": {"weight_decay": 0.125},
    "clipvalue": {"clipvalue": 0.5},
    "clipnorm": {"clipnorm": 1.0},
    "global-clipnorm": {"global_clipnorm": 2.0},
    "ema": {"use_ema": True, "ema_momentum": 0.75},
    "ema-overwrite": {"use_ema": True, "ema_overwrite_frequency": 3},
    "accumulate": {"gradient_accumulation_steps": 3},
}


def made(name: str, common: str = "plain") -> Optimizer:
    """An optimizer of the lists."""
    kind, options = OPTIMIZERS[name]
    return kind(**{**options, **COMMON[common]})


def expected(
    optimizer: Optimizer, before: Sequence[reference.Variable], gradients: Sequence[F32]
) -> list[reference.Variable]:
    """What `Optimizer.apply` leaves, with bounds."""
    variables = [
        each._replace(weights=Rounded(each.weights), slots=tuple(Rounded(slot) for slot in each.slots))
        for each in before
    ]
    wanted: list[reference.Variable] = reference.optimizer_step(
        optimizer.native(), optimizer._steps, variables, [Rounded(g) for g in gradients]
    )
    return wanted


def state_of(optimizer: Optimizer) -> list[reference.Variable]:
    """Copies of the variables and slots of `Optimizer.apply`."""
    return [
        reference.Variable(
            variable.copy(),
            tuple(slot.copy() for slot in slots),
            optimizer._decays(name),
            optimizer._matrix(name, variable.shape),
        )
        for variable, slots, name in zip(
            optimizer._variables, optimizer._slots, optimizer._names, strict=True
        )
    ]


def check_step(optimizer: Optimizer, gradients: Sequence[F32], what: str) -> None:
    """Make one step; every weight and slot is within the bound that its formula derives."""
    wanted = expected(optimizer, state_of(optimizer), gradients)
    optimizer.apply(gradients)
    for i, (got, want) in enumerate(zip(state_of(optimizer), wanted, strict=True)):
        assert_within(got.weights, want.weights.value, want.weights.error, f"{what}: variable {i}")
        for j, (slot, bound) in enumerate(zip(got.slots, want.slots, strict=True)):
            assert_within(slot, bound.value, bound.error, f"{what}: variable {i}, slot {j}")


def names_of(shapes: Sequence[tuple[int, ...]]) -> list[str]:
    """A vector is a bias, all else a kernel."""
    return [f"layer_{i}/{'kernel' if len(shape) > 1 else 'bias'}" for i, shape in enumerate(shapes)]
