# SPDX-License-Identifier: Apache-2.0
"""Layers of a class of the user's own, whose ``call`` is written with other layers: a half of `Layer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastcnn._arguments import listed, shape
from fastcnn._graph.composed import Trace, parts_of, trace, used
from fastcnn._graph.symbolic import SymbolicTensor
from fastcnn._graph.walk import Call
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.layers.held import Held

if TYPE_CHECKING:
    pass


class Own(Held):
    """What stands for a layer by calls of others; of the package's own layers it says that nothing does."""

    name: str
    trainable: bool

    if TYPE_CHECKING:  # the other half

        def __call__(self, inputs: Any, *more: Any, training: Any = None, mask: None = None) -> Any: ...
        def _where(self, argument: str | None = None) -> str: ...

    composed: ClassVar[bool] = False  # a class with a `call` of its own
    _own: frozenset[str] = frozenset()  # attributes that are not the user's
    _trace: Trace | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.composed = cls.call is not Own.call

    def call(self, inputs: Any) -> Any:
        """What a layer of your own computes, written with other layers; run once, on symbolic tensors.

        >>> import fastcnn
        >>> from fastcnn import layers
        >>> class Residual(layers.Layer):
        ...     def __init__(self, filters, **common):
        ...         super().__init__(**common)
        ...         self.conv = layers.Conv2D(filters, 3, padding="same", activation="relu")
        ...     def call(self, x):
        ...         return x + self.conv(x)
        >>> model = fastcnn.Sequential([fastcnn.Input((8, 8, 4)), Residual(4), layers.Flatten()])
        >>> model.output_shape, model.count_params()
        ((None, 256), 148)
        """
        raise ArgumentError(
            f"{self._where()}: call: the layer is joined into a model by calling it; a class that does more "
            "has one as an attribute, and calls that"
        )

    def build(self, input_shape: Any) -> None:
        """Of a layer of your own: where it may make its layers, given ``(None, ...)``. Here nothing to do."""

    @property
    def traced(self) -> bool:
        """Whether ``call`` has been run."""
        return self._trace is not None

    def prepare(self, shapes: Sequence[Callable[[], tuple[int, ...]]]) -> None:
        """Run ``call`` if it has not been run, on inputs of these shapes."""
        if self._trace is not None:
            return
        found = [each() for each in shapes]
        wanted = [(None, *shape) for shape in found]
        self.build(wanted[0] if len(wanted) == 1 else wanted)
        self._trace = trace(self, self._where(), found)
        if not self.trainable:
            self.trainable = False
        for model in self._living():
            self.attach(model)

    def inner_calls(self) -> tuple[list[Call], list[int]]:
        """The calls of layers that a call of this one stands for, and which tensors are its outputs."""
        if self._trace is None:
            raise ArgumentError(f"{self._where()}: it has not been called, so its layers are not known")
        return self._trace.calls, self._trace.ends

    def described(self) -> dict[str, Any]:
        """A layer of your own as a model of the layers in it: files know no code."""
        from fastcnn.models.graphs import graph_config

        if self._trace is None:
            raise ArgumentError(f"{self._where()}: get_config: the layer has not been called")
        return {"class_name": "Model", "config": graph_config(self.name, self._trace)}

    def adopt_shape(self, shape: tuple[int, ...]) -> None:
        """A network that this is part of knows its input's shape: nothing to do."""

    @property
    def layers(self) -> list[Any]:
        """Of a layer of your own, those that it uses."""
        if self._trace is not None:
            return list(used(self, self._own, self._trace.calls))
        return list(parts_of(self, self._own)) if self.composed else []

    def add_weight(self, *arguments: Any, **named: Any) -> Any:
        """Weights of your own are refused: compose layers that have them.

        Raises
        ------
        ArgumentError
            Always.
        """
        raise ArgumentError(
            f"{self._where()}: add_weight: a layer of your own has the weights of the layers in it; make "
            "those in __init__, and use them in call"
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """What the layer makes of ``(None, ...)``, or of a list of them.

        >>> from fastcnn import layers
        >>> layers.Conv2D(8, 3).compute_output_shape((None, 28, 28, 1))
        (None, 26, 26, 8)
        """
        from fastcnn.layers import InputLayer

        several = isinstance(input_shape, list)
        where = self._where("input_shape")
        inputs = [
            SymbolicTensor(InputLayer(shape(each[1:], where)), ())
            for each in (input_shape if several else [input_shape])
        ]
        made = self(inputs if several else inputs[0])
        return [each.shape for each in made] if isinstance(made, list) else made.shape

    def _set_inner(self, weights: Sequence[Any]) -> None:
        where = self._where("set_weights")
        given, before = listed(weights, where, "arrays"), self.get_weights()
        if len(given) != len(before):
            raise ArgumentError(f"{where}: {len(given)} arrays came, wanted {len(before)}")
        values = [np.asarray(each) for each in given]
        for new, old in zip(values, before, strict=True):
            if new.shape != old.shape:
                raise ShapeError(f"{where}: shape {new.shape} came, wanted {old.shape}")
            if new.dtype.kind not in "fiub":
                raise DTypeError(f"{where}: dtype {new.dtype} came, wanted real numbers")
        left = iter(values)
        for layer in self.layers:
            layer.set_weights([next(left) for _ in layer.get_weights()])
