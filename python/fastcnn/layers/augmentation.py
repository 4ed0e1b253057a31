# SPDX-License-Identifier: Apache-2.0
"""What layers of augmentation share: they act in training alone, and may be called on arrays as well.

In a model an augmentation is part of the training step. Its numbers follow from the model's seed, or the
layer's own, the step and the number of the image: the same on every device and for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, array, choose, flag, integer, real
from fastcnn._graph.symbolic import SymbolicTensor
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack

Factor: TypeAlias = float | Sequence[float]


class Augmentation(Layer):
    """A layer that changes images in training, and in evaluation and prediction leaves them as they are.

    Called on arrays ``[N, H, W, C]`` or ``[H, W, C]``, or on a dict of ``images`` and ``labels``, it does at
    once what it does in a model; each call draws anew. With ``data_format="channels_first"`` images are
    ``[N, C, H, W]``, and what is drawn is the same.
    """

    def __init__(self, seed: int | None, data_format: str | None = None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))
        self.seed = None if seed is None else integer(seed, self._where("seed"), least=0)
        if self.seed is not None and self.seed >= 2**63:
            raise ArgumentError(f"{self._where('seed')}: {seed} came, wanted less than 2^63")
        self._base: int | None = None  # of calls on arrays
        self._calls = 0

    def __call__(self, inputs: Any, *more: Any, training: Any = None, mask: None = None) -> Any:
        """Join the layer into a graph, or change arrays at once.

        Parameters
        ----------
        inputs
            What `fastcnn.Input` or another layer gave; or images ``[N, H, W, C]`` or ``[H, W, C]`` of any
            real dtype; or a dict of ``images`` and ``labels``.
        training
            Of arrays: False leaves them as they are, up to what the layer does to all images. None means
            True.

        Returns
        -------
        SymbolicTensor, numpy.ndarray or dict
            Images are float32.

        Raises
        ------
        ArgumentError, DTypeError, ShapeError
            The inputs do not fit the layer; the message names it.
        """
        if isinstance(inputs, SymbolicTensor) or (
            isinstance(inputs, (list, tuple)) and any(isinstance(each, SymbolicTensor) for each in inputs)
        ):
            return super().__call__(inputs, *more, training=training, mask=mask)
        acts = True if training is None else flag(training, self._where("training"))
        if not isinstance(inputs, Mapping):
            return self._of_images(inputs, acts)
        unknown = set(inputs) - {"images", "labels"}
        if unknown or "images" not in inputs:
            raise ArgumentError(
                f"{self._where('inputs')}: a dict of {sorted(map(str, inputs))} came, wanted images, and "
                "labels if there are any"
            )
        return self._of_dict(inputs, acts)

    def _of_dict(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        return {**inputs, "images": self._of_images(inputs["images"], training)}

    def _of_images(self, images: Any, training: bool) -> Array:
        batch, single = self._batch(images)
        name = {"name": self.name, "layer": type(self).__name__}
        (node,) = (each for each in self.nodes() if each["op"] != "permute")
        nodes = [
            {"op": "input", "name": "images", "inputs": [], "shape": batch.shape[1:]},
            {**node, **name, "inputs": [0]},
        ]
        result = _native.augment(nodes, batch, *self._moment(), training, None)
        if training:
            self._calls += 1
        return self._as_given(result, single)

    def _batch(self, images: Any) -> tuple[Array, bool]:
        """Images as float32 [N, H, W, C], and whether there was one alone."""
        where = self._where("inputs")
        given = array(images, where)
        if given.dtype.kind not in "fiub":
            raise DTypeError(f"{where}: dtype {given.dtype} came, wanted real numbers")
        if given.ndim not in (3, 4) or not given.size:
            axes = "H, W, C" if self.data_format == "channels_last" else "C, H, W"
            raise ShapeError(f"{where}: shape {given.shape} came, wanted [N, {axes}] or [{axes}]")
        single = given.ndim == 3
        given = given[np.newaxis] if single else given
        if self.data_format == "channels_first":
            given = np.moveaxis(given, 1, -1)
        return np.ascontiguousarray(given, np.float32), single

    def _as_given(self, batch: Array, single: bool) -> Array:
        """Results in the layout and the rank of what came."""
        if self.data_format == "channels_first":
            batch = np.ascontiguousarray(np.moveaxis(batch, -1, 1))
        return batch[0] if single else batch

    def _moment(self) -> tuple[int, int]:
        """Seed and step of a call on arrays."""
        if self._base is None:
            self._base = _random.next_seed() if self.seed is None else self.seed
        return self._base, self._calls

    def _seeded(self, node: Node) -> list[Node]:
        """The operator with the layer's seed, in its layout."""
        seeded = node if self.seed is None else {**node, "seed": self.seed}
        return _axes.laid_out(self.data_format, [seeded])

    def _factor(self, value: object, argument: str, least: float, most: float) -> tuple[float, float]:
        """``(low, high)``, or a number f for ``(-f, f)``, within ``[least, most]``."""
        low, high = self._two(value, argument) if isinstance(value, (tuple, list)) else (None, value)
        where = self._where(argument)
        upper = real(high, where)
        lower = max(least, 0.0 - abs(upper)) if low is None else real(low, where)
        lower, upper = (lower, abs(upper)) if low is None else sorted((lower, upper))
        if not least <= lower <= upper <= most:
            raise ArgumentError(f"{where}: {value!r} came, wanted numbers in [{least:g}, {most:g}]")
        return lower, upper

    def _two(self, value: object, argument: str) -> tuple[object, object]:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ArgumentError(f"{self._where(argument)}: {value!r} came, wanted two numbers")
        return value[0], value[1]

    def _range(self, value: object) -> tuple[float, float]:
        low, high = self._two(value, "value_range")
        where = self._where("value_range")
        limits = sorted((real(low, where), real(high, where)))
        if not all(math.isfinite(np.float32(limit)) for limit in limits):
            raise ArgumentError(f"{where}: {value!r} came, wanted numbers of float32")
        return limits[0], limits[1]


def between(name: str, limits: tuple[float, float]) -> Node:
    """Bounds of a draw, as the native module reads them."""
    return {f"{name}_low": limits[0], f"{name}_high": limits[1]}


FILL_MODES: dict[str, str] = {name: name for name in ("constant", "nearest", "reflect", "wrap")}
INTERPOLATIONS: dict[str, str] = {name: name for name in ("nearest", "bilinear")}


class Warping(Augmentation):
    """Images seen through a map that is drawn for each."""

    _kind: ClassVar[str]

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self.fill_mode = choose(fill_mode, FILL_MODES, self._where("fill_mode"))
        self.interpolation = choose(interpolation, INTERPOLATIONS, self._where("interpolation"))
        self.fill_value = real(fill_value, self._where("fill_value"))

    def _node(self, **drawn: float) -> list[Node]:
        return self._seeded(
            {
                "op": "affine",
                "kind": self._kind,
                "fill_mode": self.fill_mode,
                "interpolation": self.interpolation,
                "fill_value": self.fill_value,
                **drawn,
            }
        )
