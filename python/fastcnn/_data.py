# SPDX-License-Identifier: Apache-2.0
"""Samples and targets on their way to a session: arrays, and which of them are held back for validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fastcnn._arguments import Array, array, real
from fastcnn.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Arrays: TypeAlias = tuple[Array, ...]
Feed: TypeAlias = "ArrayLike | Mapping[str, Any]"
"""What users pass as x or y: an array, a list of them in the order of the ports, or a dict by their names."""


class Ports(NamedTuple):
    """Names of the arrays that a model reads: of its inputs, and of its outputs that have a loss."""

    x: tuple[str, ...]
    y: tuple[str, ...]


class Data(NamedTuple):
    """Samples, one array for each input, and their targets, one for each loss; a prediction has none."""

    x: Arrays
    y: Arrays | None = None

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.x[0])

    def part(self, begin: int, end: int) -> Data:
        """Samples ``begin`` to ``end``, as views."""
        return Data(
            tuple(each[begin:end] for each in self.x),
            None if self.y is None else tuple(each[begin:end] for each in self.y),
        )


def arrays(value: object, names: Sequence[str], where: str) -> Arrays:
    """One array for each name: from an array, if there is one name, from a list in their order, or a dict."""
    if isinstance(value, Mapping):
        if set(value) != set(names):
            raise ArgumentError(f"{where}: arrays for {sorted(value)} came, wanted them for {sorted(names)}")
        return tuple(array(value[name], f"{where}[{name!r}]") for name in names)
    if len(names) == 1:
        return (array(value, where),)
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        came = f"{len(value)} arrays" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ArgumentError(f"{where}: {came} came, wanted a list of {len(names)} arrays: {', '.join(names)}")
    return tuple(array(each, f"{where}[{index}]") for index, each in enumerate(value))


def pair_up(x: object, y: object, ports: Ports, where: str) -> Data:
    return Data(arrays(x, ports.x, f"{where}: x"), arrays(y, ports.y, f"{where}: y"))


def split(x: object, y: object, share: float, held_out: object, ports: Ports) -> tuple[Data, Data | None]:
    """Training and validation data, both of them views."""
    share = real(share, "fit: validation_split", least=0, below=1)
    data = pair_up(x, y, ports, "fit")
    if held_out is not None:
        if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
            raise ArgumentError("fit: validation_data: wanted a pair (x, y)")
        return data, pair_up(held_out[0], held_out[1], ports, "fit: validation_data")
    if not share:
        return data, None
    count = data.samples
    for kind, group in (("samples", data.x), ("targets", data.y or ())):
        for each in group:
            if len(each) != count:
                raise ShapeError(f"fit: {len(each)} {kind} came for {count} samples")
    kept = math.floor(count * (1 - share))
    if not 0 < kept < count:
        raise ArgumentError(f"fit: validation_split: {share:g} of {count} samples leaves one side empty")
    return data.part(0, kept), data.part(kept, count)
