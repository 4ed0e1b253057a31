# SPDX-License-Identifier: Apache-2.0
"""PyTorch as a peer: eager and compiled, NCHW and channels-last ("eager nchw", "compile nhwc", ...).

Operators run in inference mode on tensors that ask for no gradient; data and weight gradients are timed apart
through convolution_backward's output mask. Training is the loop a good user writes: data in memory, a
permutation per epoch, batches gathered by index, fused optimizer, gradients set to None, losses added up on
the way.

On a GPU ("torch-cuda") tensors live there and cuDNN tries its algorithms; "graph" replays the call, or the
whole step, as a captured CUDA graph, and "compile" searches for longest (max-autotune). Products are those of
float32.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from . import infer_torch, library_torch_cuda, library_torch_operators, library_torch_steps, networks
from .image_networks import IMAGE_NETWORKS, ImageNetwork
from .library import LOSSES, Job
from .operators import OpTask
from .steps import LossTask, OptimizerTask
from .tasks import ConvTask, GemmTask, InferTask, PoolTask, Task, TrainTask

_FORMATS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


class TorchLibrary:
    native = None

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def version(self) -> str:
        return f"PyTorch {torch.__version__}"

    def roofs(self, threads: int) -> None:
        return None

    def build(self, task: Task, setting: str) -> Job:
        mode, _, layout = setting.partition(" ")
        compiled = mode == "compile"
        if self._device.type == "cuda":
            return library_torch_cuda.build(task, mode, _FORMATS[layout or "nchw"])
        if isinstance(task, LossTask):
            return library_torch_steps.loss(task, compiled)
        if isinstance(task, OptimizerTask):
            return library_torch_steps.optimizer(task, mode)
        if isinstance(task, OpTask):
            return Job(*library_torch_operators.build(task, compiled, _FORMATS[layout]))
        if isinstance(task, InferTask):
            return infer_torch.build(task, compiled, _FORMATS[layout])
        if isinstance(task, ConvTask):
            bound = conv(task, _FORMATS[layout])
            if task.precision == "bfloat16":
                bound = bound._replace(tensors=tuple(each.bfloat16() for each in bound.tensors))
            return _job(bound, compiled)
        if isinstance(task, PoolTask):
            return _job(pool(task, _FORMATS[layout]), compiled)
        if isinstance(task, GemmTask):
            return _gemm(task, mode)
        return _train(task, compiled, _FORMATS[layout or "nchw"])

    def context(self, task: Task) -> AbstractContextManager[Any]:
        return (
            nullcontext()
            if isinstance(task, (TrainTask, LossTask, OptimizerTask))
            else torch.inference_mode()
        )

    def release(self) -> None:
        torch._dynamo.reset()


def load(threads: int, device: str = "cpu") -> TorchLibrary:
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return TorchLibrary(device)


def images_of(array: NDArray[np.float32], layout: torch.memory_format) -> torch.Tensor:
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def _filters(array: NDArray[np.float32], layout: torch.memory_format) -> torch.Tensor:
    return torch.from_numpy(array).permute(3, 2, 0, 1).contiguous(memory_format=layout)


class Bound(NamedTuple):
    """A function of tensors, and the order of axes in which its result is ours."""

    function: Callable[..., torch.Tensor]
    tensors: tuple[torch.Tensor, ...]
    axes: tuple[int, ...]


def _job(bound: Bound, compiled: bool) -> Job:
    call = torch.compile(bound.function, dynamic=False) if compiled else bound.function
    tensors, axes = bound.tensors, bound.axes
    return Job(lambda: call(*tensors), lambda: call(*tensors).float().permute(axes).contiguous().numpy())


def conv(task: ConvTask, layout: torch.memory_format) -> Bound:
    stride, pad, dilation = ([value, value] for value in (task.stride, task.pad, task.dilation))
    x, w = images_of(task.x(), layout), _filters(task.kernel(), layout)
    if task.direction == "fprop":

        def fprop(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return functional.conv2d(x, w, None, stride, pad, dilation, task.groups)

        return Bound(fprop, (x, w), (0, 2, 3, 1))
    mask = [task.direction == "dgrad", task.direction == "wgrad", False]

    def backward(dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        gradients = torch.ops.aten.convolution_backward(
            dy, x, w, None, stride, pad, dilation, False, [0, 0], task.groups, mask
        )
        gradient: torch.Tensor = gradients[mask.index(True)]
        return gradient

    axes = (0, 2, 3, 1) if mask[0] else (2, 3, 1, 0)
    return Bound(backward, (images_of(task.dy(), layout), x, w), axes)


def pool(task: PoolTask, layout: torch.memory_format) -> Bound:
    x, dy = images_of(task.x(), layout), images_of(task.dy(), layout)
    window, stride, pad = ([value, value] for value in (task.window, task.stride, task.pad))
    divisor = 1 if task.kind == "sum" else None
    axes = (0, 2, 3, 1)
    if task.direction == "fwd":
        if task.kind == "max":
            return Bound(lambda x: functional.max_pool2d(x, window, stride, pad), (x,), axes)

        def average(x: torch.Tensor) -> torch.Tensor:
            return functional.avg_pool2d(x, window, stride, pad, False, False, divisor)

        return Bound(average, (x,), axes)
    if task.kind == "max":
        _, indices = functional.max_pool2d_with_indices(x, window, stride, pad)

        def max_bwd(dy: torch.Tensor, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            dx: torch.Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
                dy, x, window, stride, pad, [1, 1], False, indices
            )
            return dx

        return Bound(max_bwd, (dy, x, indices), axes)

    def average_bwd(dy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        dx: torch.Tensor = torch.ops.aten.avg_pool2d_backward(
            dy, x, window, stride, pad, False, False, divisor
        )
        return dx

    return Bound(average_bwd, (dy, x), axes)


def gemm(task: GemmTask) -> Bound:
    a, b = torch.from_numpy(task.a()), torch.from_numpy(task.b())
    return Bound(torch.mm, (a.T if task.transpose_a else a, b.T if task.transpose_b else b), (0, 1))


def _gemm(task: GemmTask, mode: str) -> Job:
    bound = gemm(task)
    if mode == "out":
        out = torch.empty(task.m, task.n)
        return Job(lambda: torch.mm(*bound.tensors, out=out), lambda: out.numpy())
    return _job(bound, compiled=mode == "compile")


def module_of(network: networks.Network | ImageNetwork) -> torch.nn.Module:
    """The network with its first weights; a dense kernel after images has its rows in the order C,H,W."""
    if isinstance(network, ImageNetwork):
        return infer_torch.Network(network)
    modules: list[torch.nn.Module] = []
    weights = iter(network.weights())
    shape = network.input_shape
    images: tuple[int, ...] = ()  # what the next dense layer's input was before it was flattened
    for layer in network.layers:
        if isinstance(layer, networks.Conv):
            conv = torch.nn.Conv2d(shape[2], layer.filters, layer.size, padding=layer.pad)
            _assign(conv, next(weights).transpose(3, 2, 0, 1), next(weights))
            modules += [conv, torch.nn.ReLU()]
        elif isinstance(layer, networks.Pool):
            modules.append(torch.nn.MaxPool2d(2))
        elif isinstance(layer, networks.Flatten):
            images = shape
            modules.append(torch.nn.Flatten())
        elif isinstance(layer, networks.Dropout):
            modules.append(torch.nn.Dropout(layer.rate))
        else:
            kernel = next(weights)
            if images:
                kernel = kernel.reshape(*images, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                images = ()
            dense = torch.nn.Linear(shape[0], layer.units)
            _assign(dense, kernel.T, next(weights))
            modules += [dense, torch.nn.ReLU()] if layer.relu else [dense]
        shape = networks.output_shape(layer, shape)
    return torch.nn.Sequential(*modules)


def _assign(
    module: torch.nn.Conv2d | torch.nn.Linear, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(bias))


def scale_epsilon(optimizer: torch.optim.Optimizer, count: int) -> None:
    """Make Adam's step number `count` that of Keras, which adds epsilon before it corrects the bias."""
    if isinstance(optimizer, torch.optim.Adam):
        for group in optimizer.param_groups:
            group["eps"] = networks.ADAM_EPSILON / (1.0 - group["betas"][1] ** count) ** 0.5


def loss_of(
    module: torch.nn.Module, precision: str, device: str
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Cross-entropy of the module's logits, which it computes in bfloat16 as far as PyTorch advises."""

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(x), y)

    def rounded(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            logits = module(x)
        return functional.cross_entropy(logits.float(), y)

    return rounded if precision == "bfloat16" else loss


class _Trainer:
    """A module, its optimizer, and one step of training."""

    def __init__(
        self,
        network: networks.Network | ImageNetwork,
        optimizer: str,
        compiled: bool,
        layout: torch.memory_format,
        precision: str,
    ) -> None:
        module = module_of(network).to(memory_format=layout)  # type: ignore[call-overload]
        parameters, rate = list(module.parameters()), networks.LEARNING_RATE[optimizer]
        self.optimizer: torch.optim.Optimizer
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD(parameters, rate, momentum=networks.MOMENTUM, fused=True)
        else:
            self.optimizer = torch.optim.Adam(parameters, rate, eps=networks.ADAM_EPSILON, fused=True)

        loss = loss_of(module, precision, "cpu")
        self.loss = torch.compile(loss, dynamic=False) if compiled else loss

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(x, y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def _train(task: TrainTask, compiled: bool, layout: torch.memory_format) -> Job:
    network = {**networks.NETWORKS, **IMAGE_NETWORKS}[task.network]
    images, labels = network.data(task.images)
    x = images_of(images, layout) if images.ndim == 4 else torch.from_numpy(images)
    y = torch.from_numpy(labels)
    trainer = _Trainer(network, task.optimizer, compiled, layout, task.precision)

    def epoch() -> float:
        total = torch.zeros(())
        order = torch.randperm(task.images)
        for start in range(0, task.images, task.batch):
            batch = order[start : start + task.batch]
            total += trainer.step(x[batch], y[batch])
        return float(total)

    def losses() -> NDArray[np.float32]:
        fresh = _Trainer(network.without_dropout(), task.optimizer, compiled, layout, task.precision)
        starts = range(0, task.images, task.batch)[:LOSSES]
        batches = [slice(start, start + task.batch) for start in starts]
        values: list[torch.Tensor] = []
        for count, batch in enumerate(batches, 1):
            scale_epsilon(fresh.optimizer, count)
            values.append(fresh.step(x[batch], y[batch]))
        return np.array(values, np.float32)

    return Job(epoch, losses, warmups=1)
