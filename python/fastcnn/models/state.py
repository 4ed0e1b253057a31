# SPDX-License-Identifier: Apache-2.0
"""Weights, optimizer state and files of a model. The native model owns them; all that comes out is a copy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastcnn._arguments import Array, integer, listed
from fastcnn._training.trainer import Trainer
from fastcnn._variables import Variables
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn.io.safetensors import Path
    from fastcnn.layers import Layer
    from fastcnn.models.base import BaseModel

_PERMUTATIONS = "permutations"


class Stateful(Variables, Trainer):
    """A model whose weights and state can be read, replaced and written to files."""

    @property
    def _where(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def get_weights(self) -> list[Array]:
        """Copies of all weights in the order of `layers`, kernel before bias.

        Kernels are ``[R, S, C / groups, K]`` or ``[C, K]``, biases ``[K]``.

        Raises
        ------
        ArgumentError
            The model is not built.
        """
        return self._bind().get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights, in the order and shapes of `get_weights`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The weights do not fit; nothing has changed.
        """
        where = f"{self._where}: set_weights"
        arrays = [np.asarray(value) for value in listed(weights, where, "arrays")]
        network = self._bind()
        if len(arrays) != len(network.parameters):
            raise ArgumentError(f"{where}: {len(arrays)} arrays came, wanted {len(network.parameters)}")
        network.set_all(arrays)
        network.changed()

    @property
    def weights(self) -> list[Array]:
        """What `get_weights` returns."""
        return self.get_weights()

    @property
    def trainable_weights(self) -> list[Array]:
        """Copies of the weights that training changes, in the order of `get_weights`. May be assigned."""
        network = self._bind()
        weights = network.get_weights()
        return [weights[index] for index in network.trained()]

    @trainable_weights.setter
    def trainable_weights(self, weights: Sequence[Any]) -> None:
        network = self._bind()
        where = f"{self._where}: trainable_weights"
        given, indices = listed(weights, where, "arrays"), network.trained()
        if len(given) != len(indices):
            raise ArgumentError(f"{where}: {len(given)} arrays came, wanted {len(indices)}")
        everything = network.get_weights()
        for index, value in zip(indices, given, strict=True):
            everything[index] = np.asarray(value)
        self.set_weights(everything)

    @property
    def non_trainable_weights(self) -> list[Array]:
        """Copies of the others: frozen ones, and moving statistics."""
        network = self._bind()
        trained = set(network.trained())
        return [each for index, each in enumerate(network.get_weights()) if index not in trained]

    def get_layer_weights(self, layer: Layer) -> list[Array]:
        """What ``layer.get_weights()`` returns."""
        return self._bind().get_weights(layer)

    def set_layer_weights(self, layer: Layer, weights: Sequence[Any]) -> None:
        """What ``layer.set_weights(weights)`` does."""
        self._bind().set_weights(weights, layer)

    def count_params(self) -> int:
        """How many numbers the model learns."""
        return sum(math.prod(parameter.shape) for parameter in self._bind().parameters)

    def get_state(self) -> dict[str, Array]:
        """All that changes in training: weights, optimizer slots, step, seed, orders drawn. Copies.

        With `get_config` and `get_compile_config` it makes a model that goes on to the same bits.
        """
        native = self._bind().native
        if self._settings is not None:
            native.learning_rate = self.optimizer.learning_rate  # may have been assigned since the last step
        return {**native.get_state(), _PERMUTATIONS: np.array(self._permutations, np.int64)}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Take over what `get_state` gave.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The state is another model's; nothing has changed.
        """
        if _PERMUTATIONS not in state:
            raise ArgumentError(f"{self._where}: set_state: {_PERMUTATIONS!r} is missing")
        permutations = integer(state[_PERMUTATIONS], f"{self._where}: set_state: {_PERMUTATIONS}", least=0)
        native = self._bind().native
        native.set_state({key: value for key, value in state.items() if key != _PERMUTATIONS})
        self._bind().changed()
        self._permutations, self._seed = permutations, native.seed
        if self._settings is not None:
            self.optimizer.follow(native.step, native.learning_rate)

    def save(self, filepath: Path, overwrite: bool = True) -> None:
        """Write the model into one safetensors file; `fastcnn.load_model` reads it.

        See `fastcnn.io.save_model`.
        """
        from fastcnn.io import save_model

        save_model(cast("BaseModel", self), filepath, overwrite)

    def save_weights(self, filepath: Path, overwrite: bool = True) -> None:
        """Write the weights alone into a safetensors file; `load_weights` reads it.

        Parameters
        ----------
        filepath
            The file.
        overwrite
            Whether an existing one may be replaced.

        Raises
        ------
        OSError
            The file cannot be written, or exists and ``overwrite`` is False.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from fastcnn import Sequential, layers
        >>> first, second = (Sequential([layers.Dense(1, input_shape=(2,))]) for _ in range(2))
        >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
        >>> first.save_weights(path)
        >>> second.load_weights(path)
        >>> bool((first.get_weights()[0] == second.get_weights()[0]).all())
        True
        """
        from fastcnn.io import save_weights

        save_weights(cast("BaseModel", self), filepath, overwrite)

    def load_weights(self, filepath: Path, skip_mismatch: bool = False) -> None:
        """Take over weights that `save_weights` wrote, by their order: names of layers may differ.

        Parameters
        ----------
        filepath
            The file.
        skip_mismatch
            Whether weights of other shapes than the model's are left out, rather than refused.

        Raises
        ------
        FormatError
            The file is damaged, holds no weights of a model, or others than this model's.
        OSError
            The file cannot be read.
        """
        from fastcnn.io import load_weights

        load_weights(cast("BaseModel", self), filepath, skip_mismatch)
