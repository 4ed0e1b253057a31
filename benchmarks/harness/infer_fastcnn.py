# SPDX-License-Identifier: Apache-2.0
"""The networks of `image_networks` in fastcnn: functional models, and their `predict_on_batch`."""

from __future__ import annotations

from typing import Any

import fastcnn
from fastcnn import layers

from .image_networks import EPSILON, IMAGE_NETWORKS, ImageNetwork, Unit
from .library import Job
from .tasks import InferTask


def build(task: InferTask) -> Job:
    network = IMAGE_NETWORKS[task.network]
    model = functional(network)
    if task.precision != "float32":
        model.compile(loss="mean_squared_error", device="cpu", precision=task.precision)
    x = network.images(task.batch)
    return Job(lambda: model.predict_on_batch(x), lambda: model.predict_on_batch(x), warmups=2)


def functional(network: ImageNetwork) -> fastcnn.Model:
    image = fastcnn.Input((network.side, network.side, 3))
    values, weighted = [image], []
    for layer in network.layers:
        x = values[layer.x]
        if not isinstance(layer, Unit):
            values.append(layers.MaxPooling2D(3, strides=2, padding=1)(x))
            continue
        options: dict[str, Any] = {"strides": layer.stride, "padding": layer.size // 2, "use_bias": False}
        conv = (
            layers.DepthwiseConv2D(layer.size, **options)
            if layer.depthwise
            else layers.Conv2D(layer.filters, layer.size, **options)
        )
        norm = layers.BatchNormalization(epsilon=EPSILON)
        y = norm(conv(x))
        if layer.residual is not None:
            y = layers.Add()([y, values[layer.residual]])
        if layer.activation:
            y = layers.Activation(layer.activation)(y)
        weighted += [conv, norm]
        values.append(y)
    dense = layers.Dense(network.classes)
    model = fastcnn.Model(image, dense(layers.GlobalAveragePooling2D()(values[-1])))
    *units, head = network.weights()
    values_of = {id(dense): head}
    for conv, norm, (kernel, *statistics) in zip(weighted[::2], weighted[1::2], units, strict=True):
        values_of[id(conv)], values_of[id(norm)] = (kernel,), tuple(statistics)
    # At once: of a layer's own, each call copies those of the whole model.
    model.set_weights([value for layer in model.layers for value in values_of.get(id(layer), ())])
    return model
