# SPDX-License-Identifier: Apache-2.0
"""One training step of every optimizer, by Keras's formulas. Nothing is changed in place.

A configuration holds Keras's names, as ``fastcnn.optimizers.Optimizer.native`` gives them. Arrays are
float64, or `fastcnn.testing.rounding.Rounded`, which derive the bound of a float32 computation from the same
formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Config = Mapping[str, Any]
Slots = list[Any]


class Variable(NamedTuple):
    """Weights and their state: the slots of the formula, then the average, then the accumulated gradients."""

    weights: Any
    slots: tuple[Any, ...] = ()
    decays: bool = True
    matrix: tuple[int, int] | None = None  # to Muon


class Moment(NamedTuple):
    """When an update happens."""

    t: int  # its number, 1, 2, ...
    rate: float


def optimizer_step(
    config: Config, step: int, variables: Sequence[Variable], gradients: Sequence[Any]
) -> list[Variable]:
    """All variables after the training step that follows ``step`` others."""
    steps = config.get("gradient_accumulation_steps") or 1
    sums = [each.slots[-1] + g for each, g in zip(variables, gradients, strict=True)] if steps > 1 else []
    if (step + 1) % steps:
        return [
            each._replace(slots=(*each.slots[:-1], total))
            for each, total in zip(variables, sums, strict=True)
        ]
    if steps > 1:
        gradients = [total / steps for total in sums]
    moment = Moment((step + 1) // steps, config["learning_rate"])
    return [
        _updated(config, moment, each, g)
        for each, g in zip(variables, clipped(config, gradients), strict=True)
    ]


def clipped(config: Config, gradients: Sequence[Any]) -> list[Any]:
    """Gradients by at most one of Keras's three rules."""
    if config.get("clipnorm"):
        return [g * _share(config["clipnorm"], [g]) for g in gradients]
    if config.get("global_clipnorm"):
        share = _share(config["global_clipnorm"], gradients)
        return [g * share for g in gradients]
    if config.get("clipvalue"):
        return [np.minimum(np.maximum(g, -config["clipvalue"]), config["clipvalue"]) for g in gradients]
    return list(gradients)


def _share(limit: float, gradients: Sequence[Any]) -> Any:
    """limit / max(norm, limit)"""
    norm = np.sqrt(sum((g * g).sum() for g in gradients))
    return limit / np.maximum(norm, limit)


def _updated(config: Config, moment: Moment, variable: Variable, g: Any) -> Variable:
    w, slots = variable.weights, list(variable.slots)
    muon = config["name"] == "muon"
    decay = config.get("adam_weight_decay" if muon and variable.matrix is None else "weight_decay")
    if decay and variable.decays:
        w = w - w * (moment.rate * decay)
    if not muon:
        w = FORMULAS[config["name"]](config, moment, w, g, slots)
    elif variable.matrix is not None:
        w = muon_matrix(config, moment, variable._replace(weights=w), g, slots)
    else:
        renamed = {**config, "beta_1": config["adam_beta_1"], "beta_2": config["adam_beta_2"]}
        w = adam(renamed, moment._replace(rate=moment.rate * config["adam_lr_ratio"]), w, g, slots)
    if config.get("use_ema"):
        momentum = config["ema_momentum"] if moment.t > 1 else 0.0
        place = -2 if (config.get("gradient_accumulation_steps") or 1) > 1 else -1
        slots[place] = momentum * slots[place] + (1.0 - momentum) * w
        frequency = config.get("ema_overwrite_frequency")
        if frequency and moment.t % frequency == 0:
            w = slots[place]
    if (config.get("gradient_accumulation_steps") or 1) > 1:
        slots[-1] = slots[-1] * 0.0
    return variable._replace(weights=w, slots=tuple(slots))


# Each formula replaces its slots and returns the weights.


def sgd(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    if config["momentum"] == 0:
        return w - moment.rate * g
    slots[0] = config["momentum"] * slots[0] - moment.rate * g
    return w + (config["momentum"] * slots[0] - moment.rate * g if config["nesterov"] else slots[0])


def _moments(config: Config, g: Any, slots: Slots) -> None:
    slots[0] = slots[0] + (g - slots[0]) * (1.0 - config["beta_1"])
    slots[1] = slots[1] + (g * g - slots[1]) * (1.0 - config["beta_2"])


def adam(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    _moments(config, g, slots)
    rate = moment.rate * np.sqrt(1.0 - config["beta_2"] ** moment.t) / (1.0 - config["beta_1"] ** moment.t)
    v = slots[1]
    if config.get("amsgrad"):
        v = slots[2] = np.maximum(slots[2], v)
    return w - slots[0] * float(rate) / (np.sqrt(v) + config["epsilon"])


def adamax(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    slots[0] = slots[0] + (g - slots[0]) * (1.0 - config["beta_1"])
    slots[1] = np.maximum(config["beta_2"] * slots[1], np.abs(g))
    return w - slots[0] * (moment.rate / (1.0 - config["beta_1"] ** moment.t)) / (
        slots[1] + config["epsilon"]
    )


def nadam(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    _moments(config, g, slots)
    t, beta_1 = moment.t, config["beta_1"]
    decay, following = (beta_1 * (1.0 - 0.5 * 0.96**i) for i in (t, t + 1))
    # Factors beyond the first thousands change a product that is 0 by then, but for extreme betas.
    product = float(np.prod([beta_1 * (1.0 - 0.5 * 0.96**i) for i in range(1, min(t, 10_000) + 1)]))
    of_moment = moment.rate * following / (1.0 - product * following)
    of_gradient = moment.rate * (1.0 - decay) / (1.0 - product)
    mean_square = slots[1] * (1.0 / (1.0 - config["beta_2"] ** t))
    return w - (slots[0] * of_moment + g * of_gradient) / (np.sqrt(mean_square) + config["epsilon"])


def rmsprop(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    rho = config["rho"]
    v = slots[0] = rho * slots[0] + (1.0 - rho) * (g * g)
    with_momentum = int(config["momentum"] > 0)
    if config["centered"]:
        mean = slots[1 + with_momentum] = rho * slots[1 + with_momentum] + (1.0 - rho) * g
        v = np.maximum(v - mean * mean, 0.0)
    change = moment.rate * g / np.sqrt(v + config["epsilon"])
    if with_momentum:
        change = slots[1] = config["momentum"] * slots[1] + change
    return w - change


def adagrad(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    slots[0] = slots[0] + g * g
    return w - moment.rate * g / np.sqrt(slots[0] + config["epsilon"])


def adadelta(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    rho = config["rho"]
    slots[0] = rho * slots[0] + (1.0 - rho) * (g * g)
    change = np.sqrt(slots[1] + config["epsilon"]) * g / np.sqrt(slots[0] + config["epsilon"])
    slots[1] = rho * slots[1] + (1.0 - rho) * (change * change)
    return w - moment.rate * change


def lion(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    direction = np.sign(config["beta_1"] * slots[0] + (1.0 - config["beta_1"]) * g)
    slots[0] = config["beta_2"] * slots[0] + (1.0 - config["beta_2"]) * g
    return w - moment.rate * direction


def ftrl(config: Config, moment: Moment, w: Any, g: Any, slots: Slots) -> Any:
    exponent, inverse = -config["learning_rate_power"], 1.0 / moment.rate
    l1, l2 = config["l1_regularization_strength"], config["l2_regularization_strength"]
    total = slots[0] + g * g
    grown = np.power(total, exponent)
    sigma = (grown - np.power(slots[0], exponent)) * inverse
    shrinkage = 2.0 * config["l2_shrinkage_regularization_strength"]
    slots[0], slots[1] = total, slots[1] + (g + shrinkage * w - sigma * w)
    beyond = np.minimum(np.maximum(slots[1], -l1), l1) - slots[1]
    return beyond / (grown * inverse + (2.0 * l2 + config["beta"] / moment.rate))


def muon_matrix(config: Config, moment: Moment, variable: Variable, g: Any, slots: Slots) -> Any:
    """Muon's step of a variable that is the matrix ``variable.matrix``."""
    assert variable.matrix is not None
    rows, columns = variable.matrix
    slots[0] = config["momentum"] * slots[0] + g
    u = g + config["momentum"] * slots[0] if config["nesterov"] else slots[0]
    x = newton_schulz(config, u.reshape(rows, columns)).reshape(u.shape)
    scale = 1.0 if config["rms_rate"] is None else config["rms_rate"] * max(rows, columns) ** 0.5
    return variable.weights - x * (moment.rate * scale)


def newton_schulz(config: Config, u: Any, normalise: bool = True) -> Any:
    """``X <- (a I + b A + c A A) X`` with ``A = X X^T``, from ``X = u / (norm(u) + 1e-7)``."""
    tall = u.shape[0] > u.shape[1]
    x = u.T if tall else u
    if normalise:
        x = x * (1.0 / (np.sqrt((x * x).sum()) + 1e-7))
    one = np.eye(x.shape[0])
    for _ in range(config["ns_steps"]):
        a = x @ x.T
        x = (config["muon_b"] * a + config["muon_c"] * (a @ a) + config["muon_a"] * one) @ x
    return x.T if tall else x


FORMULAS: dict[str, Callable[[Config, Moment, Any, Any, Slots], Any]] = {
    "sgd": sgd,
    "adam": adam,
    "adamax": adamax,
    "nadam": nadam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "lion": lion,
    "ftrl": ftrl,
}
