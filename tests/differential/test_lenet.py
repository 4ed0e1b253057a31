# SPDX-License-Identifier: Apache-2.0
"""LeNet-5 trained by both libraries, from the same weights on the same images: the first ten losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import Input, Sequential, datasets, layers, losses, optimizers

torch = pytest.importorskip("torch")
nn = torch.nn

BATCH, STEPS = 32, 10
# The losses begin at 2.3; what is seen is 4e-7.
TOLERANCE = 1e-5

OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "sgd": (lambda: optimizers.SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    # PyTorch multiplies the velocity by the rate when it is used, Keras when it is made: equal while the rate
    # is.
    "momentum": (lambda: optimizers.SGD(0.01, momentum=0.9), lambda p: torch.optim.SGD(p, 0.01, 0.9)),
    "nesterov": (
        lambda: optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.01, 0.9, nesterov=True),
    ),
    # Keras adds epsilon before the bias correction, PyTorch after it: equal when it is next to nothing.
    "adam": (
        lambda: optimizers.Adam(0.001, epsilon=1e-10),
        lambda p: torch.optim.Adam(p, 0.001, eps=1e-10),
    ),
}


def ours() -> Any:
    return Sequential(
        [
            Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )


class ChannelsLastFlatten(nn.Module):
    """Elements in the order H, W, C, as Keras has them."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 2, 3, 1).flatten(1)


def theirs(weights: list[np.ndarray]) -> Any:
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        ChannelsLastFlatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value.transpose(order[value.ndim]).copy()))
    return model


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_first_ten_losses(optimizer: str) -> None:
    (images, labels), _ = datasets.mnist.load_data()
    count = BATCH * STEPS
    x = (images[:count, :, :, None] / np.float32(255)).astype(np.float32)
    y = labels[:count].astype(np.int64)
    make_ours, make_theirs = OPTIMIZERS[optimizer]

    model = ours()
    rng = np.random.default_rng(3)
    weights = [
        (rng.standard_normal(w.shape) / np.sqrt(max(1, np.prod(w.shape[:-1])))).astype(np.float32)
        for w in model.get_weights()
    ]
    model.set_weights(weights)
    model.compile(make_ours(), losses.SparseCategoricalCrossentropy(from_logits=True))

    peer = theirs(weights)
    update = make_theirs(peer.parameters())
    pixels, classes = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)

    for begin in range(0, count, BATCH):
        batch = slice(begin, begin + BATCH)
        loss = nn.functional.cross_entropy(peer(pixels[batch]), classes[batch])
        update.zero_grad()
        loss.backward()
        update.step()
        got = float(model.train_on_batch(x[batch], y[batch]))
        assert abs(got - loss.item()) <= TOLERANCE, f"step {begin // BATCH}: {got}, PyTorch {loss.item()}"
