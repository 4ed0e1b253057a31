# SPDX-License-Identifier: Apache-2.0
"""The weights of a layer: a half of `Layer`.

They are the models'. A layer in several of them knows which changed them last.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fastcnn._variables import Variables
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn._arguments import Array
    from fastcnn._graph.network import Network
    from fastcnn.layers.base import Layer
    from fastcnn.models.base import BaseModel


class Held(Variables):
    """Weights through the models that hold them."""

    if TYPE_CHECKING:  # the other half
        composed: ClassVar[bool]
        trainable: bool

        @property
        def layers(self) -> list[Any]: ...
        def _set_inner(self, weights: Sequence[Any]) -> None: ...
        @property
        def weight_initializers(self) -> dict[str, Any]: ...
        def _where(self, argument: str | None = None) -> str: ...

    @property
    def told(self) -> bool:
        """Its parameters are arguments, and no weights."""
        return False

    def __init__(self) -> None:
        self._models: list[weakref.ref[BaseModel]] = []
        self._networks: weakref.WeakSet[Network] = weakref.WeakSet()  # that have a copy of the weights
        self._latest: Network | None = None  # that changed them last, if there were several
        self.version = 0  # of the weights, counted where there are several copies
        self.at_once: dict[Any, Any] = {}  # models of calls on arrays

    @property
    def _layer(self) -> Layer:
        return self  # type: ignore[return-value]  # which is made of the halves

    @property
    def network(self) -> Network | None:
        """The network that holds the layer's weights; None as long as there is none."""
        return self._latest if self._latest is not None else next(iter(self._networks), None)

    def join(self, network: Network) -> int:
        """A network has taken over the layer's weights; their version."""
        others = list(self._networks)
        self._networks.add(network)
        for each in others:
            each.shares = network.shares = True
        return self.version

    def changed_in(self, network: Network) -> int:
        """A network has changed the weights; their new version."""
        self.version += 1
        self._latest = network
        return self.version

    @property
    def model(self) -> BaseModel:
        """The model that the layer stands in; of several the first.

        Raises
        ------
        ArgumentError
            There is none.
        """
        model = next(self._living(), None)
        if model is None:
            raise ArgumentError(f"{self._where()}: the layer stands in no model and has no weights yet")
        return model

    def attach(self, model: BaseModel) -> None:
        """Enter a model, which calls this; the layer may stand in several, which share its weights."""
        self.detach(model)
        self._models.append(weakref.ref(model))
        for layer in self.layers:
            layer.attach(model)

    def detach(self, model: BaseModel) -> None:
        """Leave a model, which calls this."""
        self._models = [each for each in self._models if each() not in (None, model)]

    def get_weights(self) -> list[Array]:
        """Copies of the layer's weights: kernel, then bias."""
        if self.composed:
            return [each for layer in self.layers for each in layer.get_weights()]
        network = self.network
        if network is None:
            return self.model.get_layer_weights(self._layer)
        network.pull()
        return network.get_weights(self._layer)

    @property
    def weights(self) -> list[Array]:
        """What `get_weights` returns."""
        return self.get_weights()

    @property
    def trainable_weights(self) -> list[Array]:
        """Copies of the weights that training changes."""
        return self._weights_that(True)

    @property
    def non_trainable_weights(self) -> list[Array]:
        """Copies of the others: all of a frozen layer, and moving statistics."""
        return self._weights_that(False)

    def weight(self, role: str) -> Array | None:
        """A copy of one of the weights, "kernel" or "bias"; None if the layer goes without."""
        if self.network is None and any(model.declared_shape is not None for model in self._living()):
            self.get_weights()  # the model joins its layers anew
        network = self.network
        if network is None:
            raise AttributeError(f"{self._where(role)}: the layer has no weights yet; build its model first")
        roles = [network.parameters[index].role for index in network.of(self._layer)]
        return self.get_weights()[roles.index(role)] if role in roles else None

    def set_weight(self, role: str, value: Any) -> None:
        """Replace one of the weights."""
        if self.weight(role) is None:
            if value is None:
                return
            raise ArgumentError(f"{self._where(role)}: {type(value).__name__} came, the layer goes without")
        network, weights = self.network, self.get_weights()
        assert network is not None
        roles = [network.parameters[index].role for index in network.of(self._layer)]
        weights[roles.index(role)] = value
        self.set_weights(weights)

    def _weights_that(self, train: bool) -> list[Array]:
        if self.composed:
            kind = "trainable_weights" if train else "non_trainable_weights"
            return [each for layer in self.layers for each in getattr(layer, kind)]
        weights, network = self.get_weights(), self.network
        if network is None:  # which holds all that have weights
            return []
        owned = [network.parameters[index] for index in network.of(self._layer)]
        pairs = zip(weights, owned, strict=True)
        return [value for value, each in pairs if (each.trainable and self.trainable) == train]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the layer's weights, in the order and shapes of `get_weights`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The weights do not fit; nothing has changed.
        """
        if self.composed:
            return self._set_inner(weights)
        network = self.network
        if network is None:
            return self.model.set_layer_weights(self._layer, weights)
        network.pull()
        return network.set_weights(weights, self._layer)

    def count_params(self) -> int:
        """How many numbers the layer learns."""
        return sum(each.size for each in self.get_weights())

    def _living(self) -> Iterator[BaseModel]:
        return (model for model in (each() for each in self._models) if model is not None)
