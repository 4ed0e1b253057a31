# SPDX-License-Identifier: Apache-2.0
"""fastcnn itself, through its public functions: `ops` as a plain call and with `out=`, training through `fit`
and step by step through `train_on_batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastcnn
from fastcnn import _native, layers, losses, ops, optimizers

from . import gpu, infer_fastcnn, networks
from .image_networks import IMAGE_NETWORKS, ImageNetwork
from .library import LOSSES, Job
from .operators import OpTask, flat
from .steps import RATE, LossTask, OptimizerTask
from .tasks import ConvTask, GemmTask, InferTask, PoolTask, Task, TrainTask

Call = Callable[..., Any]


class FastcnnLibrary:
    native = _native

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def version(self) -> str:
        return f"fastcnn {fastcnn.__version__}"

    def roofs(self, threads: int) -> tuple[float, float, str] | None:
        if self._device == "cpu":
            return None
        found = gpu.roofs()
        return found.gflops, found.gbytes, found.source

    def build(self, task: Task, setting: str) -> Job:
        if isinstance(task, TrainTask):
            return _train(task, setting, self._device)
        if isinstance(task, InferTask):
            return infer_fastcnn.build(task)
        if isinstance(task, OpTask):
            return _operator(task, setting)
        if isinstance(task, OptimizerTask):
            return _optimizer(task)
        if isinstance(task, LossTask):
            call = _loss(task)
        else:
            function, arrays = _conv(task) if isinstance(task, ConvTask) else _other(task)
            if self._device == "cuda":
                return _on_gpu(function, arrays, setting)
            call = partial(function, *arrays)
        if setting == "out":
            out = call(out=None)
            return Job(lambda: call(out=out), lambda: out)
        return Job(lambda: call(out=None), lambda: call(out=None))

    def context(self, task: Task) -> AbstractContextManager[None]:
        return nullcontext()

    def release(self) -> None:
        pass


def load(threads: int, device: str = "cpu") -> FastcnnLibrary:
    fastcnn.set_num_threads(threads)
    return FastcnnLibrary(device)


def _on_gpu(function: Call, arrays: Sequence[NDArray[Any]], setting: str) -> Job:
    take = gpu.rotation(arrays)
    out = function(*take(), out=None) if setting == "out" else None

    def call() -> Any:
        return function(*take(), out=out)

    warmups = 0 if gpu.is_emulated() else 10
    return Job(call, lambda: call().get(), warmups, gpu.timer(call))


def _operator(task: OpTask, setting: str) -> Job:
    call = task.bind(ops, task.arrays())
    if setting != "out":
        return Job(call, lambda: flat(call()))
    out = call()
    return Job(partial(call, out=out), lambda: flat(out))


def _loss(task: LossTask) -> Callable[..., NDArray[np.float32]]:
    loss = losses.get({"class_name": task.name, "config": dict(task.options)})
    target, prediction = task.target(), task.prediction()
    return lambda out: loss.gradient(target, prediction, out=out)


def _optimizer(task: OptimizerTask) -> Job:
    def begin() -> tuple[list[NDArray[np.float32]], Callable[[], None]]:
        optimizer = getattr(optimizers, task.name)(RATE, **dict(task.options))
        weights, gradients = task.weights(), task.gradients()
        return weights, lambda: optimizer.apply(gradients, weights)

    def answer() -> NDArray[np.float32]:
        weights, step = begin()
        step()
        return np.concatenate(weights)

    return Job(begin()[1], answer)


def _conv(task: ConvTask) -> tuple[Call, list[NDArray[np.float32]]]:
    options: dict[str, Any] = {
        "strides": task.stride,
        "padding": task.pad,
        "dilation_rate": task.dilation,
        "groups": task.groups,
        "math": task.math,
    }
    _native.set_cpu_precision(task.precision)
    if task.direction == "fprop":
        return partial(ops.conv2d, **options), [task.x(), task.kernel()]
    if task.direction == "dgrad":
        return partial(ops.conv2d_dgrad, input_shape=task.x_shape, **options), [task.dy(), task.kernel()]
    return partial(ops.conv2d_wgrad, kernel_size=(task.r, task.s), **options), [task.x(), task.dy()]


def _other(task: PoolTask | GemmTask) -> tuple[Call, list[NDArray[Any]]]:
    if isinstance(task, GemmTask):
        how = {"transpose_a": task.transpose_a, "transpose_b": task.transpose_b}
        return partial(ops.gemm, **how), [task.a(), task.b()]
    geometry: dict[str, Any] = {"pool_size": task.window, "strides": task.stride, "padding": task.pad}
    if task.direction == "fwd":
        forward = {"max": ops.max_pool2d, "average": ops.average_pool2d, "sum": ops.sum_pool2d}[task.kind]
        return partial(forward, **geometry), [task.x()]
    if task.direction == "bwd_index":
        index = ops.max_pool2d_with_index(task.x(), **geometry)[1]
        return partial(ops.max_pool2d_with_index_bwd, input_shape=task.x_shape, **geometry), [
            task.dy(),
            index,
        ]
    if task.kind == "max":
        return partial(ops.max_pool2d_bwd, **geometry), [task.dy(), task.x()]
    backward = {"average": ops.average_pool2d_bwd, "sum": ops.sum_pool2d_bwd}[task.kind]
    return partial(backward, input_shape=task.x_shape, **geometry), [task.dy()]


def _layer(layer: networks.Layer) -> layers.Layer:
    if isinstance(layer, networks.Conv):
        padding = "same" if layer.pad else "valid"
        return layers.Conv2D(layer.filters, layer.size, padding=padding, activation="relu")
    if isinstance(layer, networks.Pool):
        return layers.MaxPooling2D(2)
    if isinstance(layer, networks.Flatten):
        return layers.Flatten()
    if isinstance(layer, networks.Dropout):
        return layers.Dropout(layer.rate)
    return layers.Dense(layer.units, activation="relu" if layer.relu else None)


def _model(
    network: networks.Network | ImageNetwork, optimizer: str, device: str, precision: str
) -> fastcnn.Model | fastcnn.Sequential:
    model = (
        infer_fastcnn.functional(network)
        if isinstance(network, ImageNetwork)
        else fastcnn.Sequential([fastcnn.Input(network.input_shape), *map(_layer, network.layers)])
    )
    rate = networks.LEARNING_RATE[optimizer]
    model.compile(
        optimizer=optimizers.SGD(rate, momentum=networks.MOMENTUM)
        if optimizer == "sgd"
        else optimizers.Adam(rate, epsilon=networks.ADAM_EPSILON),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        device=device,
        precision=precision,
    )
    if isinstance(network, networks.Network):
        model.set_weights(network.weights())
    return model


def _train(task: TrainTask, setting: str, device: str) -> Job:
    network = {**networks.NETWORKS, **IMAGE_NETWORKS}[task.network]
    x, y = network.data(task.images)
    model = _model(network, task.optimizer, device, task.precision)
    starts = range(0, task.images, task.batch)
    rng = np.random.default_rng(0)

    def fit() -> None:
        model.fit(x, y, batch_size=task.batch, epochs=1, verbose=0)

    def by_batch() -> None:
        order = rng.permutation(task.images)
        for start in starts:
            batch = order[start : start + task.batch]
            model.train_on_batch(x[batch], y[batch])

    def first_losses() -> NDArray[np.float32]:
        fresh = _model(network.without_dropout(), task.optimizer, device, task.precision)
        batches = [slice(start, start + task.batch) for start in starts[:LOSSES]]
        return np.array([fresh.train_on_batch(x[batch], y[batch]) for batch in batches], np.float32)

    return Job(fit if setting == "fit" else by_batch, first_losses, warmups=1)
