# SPDX-License-Identifier: Apache-2.0
"""PyTorch on a GPU: the tasks of `library_torch` on tensors there, timed by events, inputs in turn.

Modes: eager; graph, a captured CUDA graph; compile, by max-autotune, which captures as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import library_torch, networks
from .gpu import copies
from .image_networks import IMAGE_NETWORKS
from .library import LOSSES, Job
from .tasks import ConvTask, GemmTask, PoolTask, Task, TrainTask

_BEFORE_CAPTURE = 3  # runs on another stream, as PyTorch's manual asks


def build(task: Task, mode: str, layout: torch.memory_format) -> Job:
    if isinstance(task, TrainTask):
        return _train(task, mode, layout)
    if isinstance(task, ConvTask):
        bound = library_torch.conv(task, layout)
    elif isinstance(task, PoolTask):
        bound = library_torch.pool(task, layout)
    elif isinstance(task, GemmTask):
        bound = library_torch.gemm(task)
    else:
        raise TypeError(f"{task.label}: not timed on a GPU")
    function = bound.function
    if mode == "compile":
        function = torch.compile(function, dynamic=False, mode="max-autotune")
    number = copies([tensor.nbytes for tensor in bound.tensors])
    sets = [tuple(tensor.to("cuda", copy=True) for tensor in bound.tensors) for _ in range(number)]
    calls = [_call(function, tensors, mode == "graph") for tensors in sets]
    turns = itertools.cycle(calls)

    def answer() -> NDArray[np.float32]:
        result: torch.Tensor = function(*sets[0])
        return result.permute(bound.axes).contiguous().cpu().numpy()

    def run() -> object:
        return next(turns)()

    return Job(run, answer, seconds=_timer(run))


def _call(
    function: Callable[..., torch.Tensor], tensors: tuple[torch.Tensor, ...], captured: bool
) -> Callable[[], object]:
    def call() -> torch.Tensor:
        return function(*tensors)

    return capture(call)[0] if captured else call


def capture(call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """A graph's replay, and where its result lies."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_BEFORE_CAPTURE):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    return graph.replay, result


def _timer(call: Callable[[], object]) -> Callable[[int], float]:
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def seconds(calls: int) -> float:
        first.record()
        for _ in range(calls):
            call()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) * 1e-3 / calls

    return seconds


class _Trainer:
    """A module, its optimizer, and one step of training on a batch that is put into place."""

    def __init__(self, task: TrainTask, mode: str, layout: torch.memory_format, dropout: bool = True) -> None:
        network = {**networks.NETWORKS, **IMAGE_NETWORKS}[task.network]
        network = network if dropout else network.without_dropout()
        self._task = task
        module = library_torch.module_of(network).to("cuda", memory_format=layout)
        parameters, rate = list(module.parameters()), networks.LEARNING_RATE[task.optimizer]
        self.optimizer: torch.optim.Optimizer
        if task.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(parameters, rate, momentum=networks.MOMENTUM, fused=True)
        else:
            options: dict[str, Any] = {"fused": True, "capturable": mode == "graph"}
            self.optimizer = torch.optim.Adam(parameters, rate, eps=networks.ADAM_EPSILON, **options)

        loss = library_torch.loss_of(module, task.precision, "cuda")
        self._loss = torch.compile(loss, dynamic=False, mode="max-autotune") if mode == "compile" else loss
        self._captured = mode == "graph"
        self._replay: Callable[[], None] | None = None

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(x, y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if not self._captured:
            return self._step(x, y)
        if self._replay is None:
            self._x, self._y = x.clone(), y.clone()
            self._replay, self._result = capture(lambda: self._step(self._x, self._y))
        self._x.copy_(x)
        self._y.copy_(y)
        self._replay()
        return self._result.clone()


def _train(task: TrainTask, mode: str, layout: torch.memory_format) -> Job:
    network = {**networks.NETWORKS, **IMAGE_NETWORKS}[task.network]
    images, labels = network.data(task.images)
    x = library_torch.images_of(images, layout) if images.ndim == 4 else torch.from_numpy(images)
    x, y = x.to("cuda"), torch.from_numpy(labels).to("cuda")
    trainer = _Trainer(task, mode, layout)
    starts = range(0, task.images - task.batch + 1, task.batch)

    def epoch() -> float:
        total = torch.zeros((), device="cuda")
        order = torch.randperm(task.images, device="cuda")
        for start in starts:
            batch = order[start : start + task.batch]
            total += trainer.step(x[batch], y[batch])
        return float(total)

    def losses() -> NDArray[np.float32]:
        # Eager: what a captured step did to warm up has changed its weights.
        fresh = _Trainer(task, "eager", layout, dropout=False)
        values = []
        for count, start in enumerate(starts[:LOSSES], 1):
            library_torch.scale_epsilon(fresh.optimizer, count)
            batch = slice(start, start + task.batch)
            values.append(float(fresh.step(x[batch], y[batch])))
        return np.array(values, np.float32)

    return Job(epoch, losses, warmups=1)
