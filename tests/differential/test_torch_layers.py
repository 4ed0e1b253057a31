# SPDX-License-Identifier: Apache-2.0
"""Every operator of the table as a layer with random arguments: as PyTorch in float64 predicts and trains.

The inputs of the layer are kernels of dense layers that are fed with the identity, so that gradients of
inputs are gradients of weights. The bound is that of `stochastic`. An operator without a peer in
`layer_peers` needs a reason there.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import test_torch_activation
import test_torch_conv
import test_torch_graphs
import test_torch_loss
import test_torch_merge
import test_torch_norm
import test_torch_ops
import test_torch_optimizers
import test_torch_pool
from drawn_layer import Drawn
from layer_peers import DRAWS, WITHOUT
from stochastic import bound, disturbed, generators

from fastcnn import Input, Model, _native, layers

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

EACH = 12


@pytest.mark.parametrize("operator", [row["name"] for row in _native.operators()])
def test_operator_has_a_peer_or_a_reason(operator: str) -> None:
    assert (operator in DRAWS) != (operator in WITHOUT)


@pytest.mark.filterwarnings("ignore:.* over an axis of size 1")  # of a trial that is drawn again
@pytest.mark.parametrize("number", range(EACH))
@pytest.mark.parametrize("operator", DRAWS)
def test_agrees_with_torch(operator: str, number: int) -> None:
    dice, rng = random.Random(f"{operator} {number}"), np.random.default_rng(number)
    trial = Trial(DRAWS[operator](dice), dice.choice((2, 3, 4)), rng)
    while not any(map(np.any, trial.wanted[:-1])):  # a softmax of one element, say, proves nothing
        trial = Trial(DRAWS[operator](dice), dice.choice((2, 3, 4)), rng)
    samples = [trial.peer(noise) for noise in generators()]
    predictions = trial.model.predict_on_batch(trial.x)  # before moving statistics move
    got = [*trial.model.gradients(trial.x, trial.target), predictions]
    for i, (name, value, wanted) in enumerate(zip(trial.names, got, trial.wanted, strict=True)):
        allowed = bound(wanted, [each[i] for each in samples])
        error = np.abs(value.astype(np.float64) - wanted)
        assert value.shape == wanted.shape, name
        assert np.all(error <= allowed), (name, trial.drawn.shapes, float((error / allowed).max()))


def test_five_thousand_configurations_are_sound() -> None:
    """Over all families; those that both libraries must refuse do not count."""
    count = EACH * len(DRAWS) + test_torch_graphs.COUNT
    count += sum(not test_torch_optimizers.spoiled(n) for n in range(test_torch_optimizers.COUNT))
    count += sum(not test_torch_loss.configuration(n)[2] for n in range(test_torch_loss.COUNT))
    for family in (
        test_torch_activation, test_torch_conv, test_torch_merge, test_torch_norm, test_torch_ops,
        test_torch_pool,
    ):  # fmt: skip
        count += sum(not family.configuration(n).spoiled for n in range(family.COUNT))
    assert count >= 5000


class Trial:
    """A model of the layer and of layers that hold its inputs, and what PyTorch makes of it.

    `wanted` are the gradients of what trains, and last the predictions; `names` says which.
    """

    def __init__(self, drawn: Drawn, batch: int, rng: np.random.Generator) -> None:
        self.drawn, self.x = drawn, np.eye(batch, dtype=np.float32)
        x = Input((batch,))
        holders = [layers.Dense(math.prod(shape), use_bias=False) for shape in drawn.shapes]
        inputs = [
            layers.Reshape(shape)(holder(x)) for holder, shape in zip(holders, drawn.shapes, strict=True)
        ]
        self.model = Model(x, drawn.layer(inputs[0] if len(inputs) == 1 else inputs))
        found = self.model._bind().parameters
        self.roles = [holders.index(each.layer) if each.layer in holders else each.role for each in found]
        self.weights = [
            initial(rng, str(role), each.shape) for role, each in zip(self.roles, found, strict=True)
        ]
        self.model.set_weights(self.weights)
        self.target = rng.standard_normal((batch, *self.model.output_shape[1:]), dtype=np.float32)
        self.model.compile("sgd", "mse")
        self.trained = self.model._bind().trained()
        self.names = [*(str(self.roles[index]) for index in self.trained), "predictions"]
        self.wanted = self.peer(None)

    def peer(self, noise: Any) -> list[np.ndarray]:
        tensors = [torch.from_numpy(each.astype(np.float64)).requires_grad_() for each in self.weights]
        seen = {
            role: disturbed(each, self.drawn.terms, noise)
            for role, each in zip(self.roles, tensors, strict=True)
        }
        x = [seen[k].reshape(len(self.x), *shape) for k, shape in enumerate(self.drawn.shapes)]
        own = {role: value for role, value in seen.items() if isinstance(role, str)}
        predicted = disturbed((self.drawn.predicts or self.drawn.peer)(x, own), self.drawn.terms, noise)
        y = disturbed(self.drawn.peer(x, own), self.drawn.terms, noise)
        loss = ((y - torch.from_numpy(self.target.astype(np.float64))) ** 2).mean()
        trained = [tensors[index] for index in self.trained]
        found = torch.autograd.grad(loss, trained, allow_unused=True)
        zeros = [np.zeros(each.shape) for each in trained]
        arrays = [zero if each is None else each.numpy() for zero, each in zip(zeros, found, strict=True)]
        return [*arrays, predicted.detach().numpy()]


def initial(rng: np.random.Generator, role: str, shape: tuple[int, ...]) -> np.ndarray:
    value = rng.standard_normal(shape, dtype=np.float32)
    if role == "moving_variance":
        return np.abs(value) + np.float32(0.5)
    return value * np.float32(0.5) if "kernel" in role else value
