# SPDX-License-Identifier: Apache-2.0
"""What a model says of itself: the table of its layers, and the steps that a batch takes."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastcnn._arguments import flag, integer
from fastcnn._graph.summary import Row, between, render
from fastcnn.models.state import Stateful

if TYPE_CHECKING:
    from fastcnn._graph.network import Shape
    from fastcnn.layers import Layer
    from fastcnn.models.base import BaseModel


class Described(Stateful):
    """A model that prints tables."""

    _shape: Shape | None

    @property
    @abc.abstractmethod
    def layers(self) -> list[Layer | BaseModel]:
        """The layers in order, and models that stand among them."""

    def _connections(self) -> dict[Any, str]:
        """Whose outputs each layer reads, if that is not the one before."""
        return {}

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print the table of layers: output shape, parameters, arithmetic and memory traffic of one sample.

        A multiplication and an addition count as two FLOPs; bytes are the activations that a layer reads and
        writes, float32. Of a graph with branches a column says what each layer reads: ``name[call][output]``.

        Parameters
        ----------
        line_length
            Characters of a line of the table; None means as many as it needs.
        positions
            Where columns end, for Keras's sake and without effect: they are as wide as what they hold.
        print_fn
            Takes the text in place of ``print``.
        expand_nested
            Whether the layers of models among the layers have rows of their own.
        show_trainable
            Whether a column says which layers train.
        layer_range
            Names of the first layer that has a row and of the last, or the beginnings of names.

        Raises
        ------
        ArgumentError, DTypeError
            No layer has such a name, or an argument is wrong.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> Sequential([layers.Dense(10, input_shape=(784,), name="dense")], name="article").summary()
        Model: "article"
        ┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━━┓
        ┃ Layer (type)  ┃ Output Shape ┃ Param # ┃  FLOPs ┃ Bytes ┃
        ┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━━┩
        │ dense (Dense) │ (None, 10)   │   7,850 │ 15,680 │ 3,176 │
        └───────────────┴──────────────┴─────────┴────────┴───────┘
         Total params: 7,850 (30.66 KB)
         Trainable params: 7,850 (30.66 KB)
         Non-trainable params: 0 (0.00 B)
         Forward pass of one sample: 15,680 FLOPs, 3.10 KB of activations moved
        """
        if self._shape is None:
            rows = [
                Row(layer.name, type(layer).__name__, None, None, None, None, trainable=layer.trainable)
                for layer in self.layers
            ]
        else:
            rows = self._bind().rows(flag(expand_nested, "summary: expand_nested"), self._connections())
        shown = rows if layer_range is None else between(rows, layer_range, f"{self.name!r}: summary")
        length = None if line_length is None else integer(line_length, "summary: line_length", least=1)
        trains = flag(show_trainable, "summary: show_trainable")
        (print_fn or print)(render(self.name, rows, shown, length, trains))

    def describe(self, mode: str = "train", batch_size: int = 32) -> str:
        """The steps that a batch takes: kernel, shapes, FLOPs, bytes, place in memory, and time once run.

        Parameters
        ----------
        mode
            "train", "evaluate" or "predict".
        batch_size
            Samples in the batch.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(10, input_shape=(784,))])
        >>> "gemm" in model.describe("predict", batch_size=1)
        True
        """
        return self._bind().native.describe(mode, integer(batch_size, "describe: batch_size", least=1))
