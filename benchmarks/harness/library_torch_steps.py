# SPDX-License-Identifier: Apache-2.0
"""Losses and optimizers of PyTorch, as `steps` names them. Both run outside of inference mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from .library import Job
from .steps import RATE, LossTask, OptimizerTask

_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "sparse_categorical_crossentropy": functional.cross_entropy,
    "binary_crossentropy": functional.binary_cross_entropy_with_logits,
    "huber": functional.huber_loss,
    "mean_squared_error": functional.mse_loss,
}


def loss(task: LossTask, compiled: bool) -> Job:
    x = torch.from_numpy(task.prediction()).requires_grad_()
    target = torch.from_numpy(task.target())
    function = _LOSSES[task.name]
    call = torch.compile(function, dynamic=False) if compiled else function

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(call(x, target), x)[0]

    return Job(gradient, lambda: gradient().numpy())


def _optimizer(task: OptimizerTask, mode: str) -> torch.optim.Optimizer:
    weights = [torch.from_numpy(each).requires_grad_() for each in task.weights()]
    for each, gradient in zip(weights, task.gradients(), strict=True):
        each.grad = torch.from_numpy(gradient)
    o: dict[str, Any] = dict(task.options)
    how: dict[str, Any] = {"lr": RATE, mode: True}
    if task.name == "SGD":
        return torch.optim.SGD(weights, momentum=o["momentum"], **how)
    if task.name == "RMSprop":
        return torch.optim.RMSprop(weights, alpha=o["rho"], eps=o["epsilon"], **how)
    if task.name == "Adagrad":
        first = o["initial_accumulator_value"]
        return torch.optim.Adagrad(weights, initial_accumulator_value=first, eps=o["epsilon"], **how)
    kind = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[task.name]
    return kind(weights, eps=o["epsilon"], weight_decay=o.get("weight_decay", 0.0), **how)


def optimizer(task: OptimizerTask, mode: str) -> Job:
    """`mode`: foreach or fused."""

    def answer() -> NDArray[np.float32]:
        fresh = _optimizer(task, mode)
        fresh.step()
        return np.concatenate([each.detach().numpy() for each in fresh.param_groups[0]["params"]])

    return Job(_optimizer(task, mode).step, answer)
