# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime as a peer in inference: the networks of `image_networks` as an ONNX graph, on its CPU provider
with all graph optimizations (it folds batch norm into the convolutions and chooses its own layout inside).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from .image_networks import EPSILON, IMAGE_NETWORKS, Array, ImageNetwork, Unit
from .library import Job
from .tasks import InferTask, Task

_OPSET, _IR = 17, 8


class OnnxruntimeLibrary:
    native = None

    def __init__(self, threads: int) -> None:
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        self._options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

    def version(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}"

    def roofs(self, threads: int) -> None:
        return None

    def build(self, task: Task, setting: str) -> Job:
        if not isinstance(task, InferTask):
            raise NotImplementedError(f"{task.label}: networks alone")
        network = IMAGE_NETWORKS[task.network]
        model = _model(network, task.batch).SerializeToString()
        session = onnxruntime.InferenceSession(model, self._options, providers=["CPUExecutionProvider"])
        x = {"x": network.images(task.batch).transpose(0, 3, 1, 2).copy()}
        return Job(lambda: session.run(None, x), lambda: session.run(None, x)[0], warmups=2)

    def context(self, task: Task) -> AbstractContextManager[None]:
        return nullcontext()

    def release(self) -> None:
        pass


def load(threads: int) -> OnnxruntimeLibrary:
    return OnnxruntimeLibrary(threads)


class _Graph:
    """Nodes and weights so far; a value goes by the name of its node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, value: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name


def _unit(graph: _Graph, unit: Unit, x: str, residual: str | None, weights: tuple[Array, ...]) -> str:
    kernel = weights[0].transpose((2, 3, 0, 1) if unit.depthwise else (3, 2, 0, 1))
    y = graph.node(
        "Conv",
        [x, graph.weight(kernel)],
        kernel_shape=[unit.size] * 2,
        strides=[unit.stride] * 2,
        pads=[unit.size // 2] * 4,
        group=unit.filters if unit.depthwise else 1,
    )
    y = graph.node("BatchNormalization", [y, *map(graph.weight, weights[1:])], epsilon=EPSILON)
    if residual is not None:
        y = graph.node("Add", [y, residual])
    if unit.activation == "relu":
        y = graph.node("Relu", [y])
    elif unit.activation == "relu6":
        bounds = [graph.weight(np.array(bound, np.float32)) for bound in (0.0, 6.0)]
        y = graph.node("Clip", [y, *bounds])
    return y


def _model(network: ImageNetwork, batch: int) -> onnx.ModelProto:
    graph, values = _Graph(), ["x"]
    *units, (kernel, bias) = network.weights()
    remaining = iter(units)
    for layer in network.layers:
        x = values[layer.x]
        if isinstance(layer, Unit):
            residual = None if layer.residual is None else values[layer.residual]
            values.append(_unit(graph, layer, x, residual, next(remaining)))
        else:
            values.append(graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))
    y = graph.node("Flatten", [graph.node("GlobalAveragePool", [values[-1]])])
    y = graph.node("Gemm", [y, graph.weight(kernel), graph.weight(bias)])
    image = [batch, 3, network.side, network.side]
    info = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", image), (y, [batch, network.classes]))
    ]
    described = helper.make_graph(graph.nodes, "network", info[:1], info[1:], graph.weights)
    return helper.make_model(described, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
