# SPDX-License-Identifier: Apache-2.0
"""Samples and targets on their way to a session: arrays, and which of them are held back for validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from fastcnn._arguments import Array, array, integer, real
from fastcnn.errors import ArgumentError, DTypeError, ShapeError

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
    """Samples, one array for each input, and their targets and weights, one for each loss; or none."""

    x: Arrays
    y: Arrays | None = None
    weights: Arrays | None = None

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.x[0])

    def part(self, begin: int, end: int) -> Data:
        """Samples ``begin`` to ``end``, as views."""

        def cut(group: Arrays | None) -> Arrays | None:
            return None if group is None else tuple(each[begin:end] for each in group)

        return Data(tuple(each[begin:end] for each in self.x), cut(self.y), cut(self.weights))


def arrays(value: object, names: Sequence[str], where: str) -> Arrays:
    """One array for each name: from an array, if there is one name, from a list in their order, or a dict."""
    if not isinstance(value, np.ndarray) and isinstance(value, Mapping):  # which is slow to say no
        if set(value) != set(names):
            raise ArgumentError(f"{where}: arrays for {sorted(value)} came, wanted them for {sorted(names)}")
        return tuple(array(value[name], f"{where}[{name!r}]") for name in names)
    if len(names) == 1:
        return (array(value, where),)
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        came = f"{len(value)} arrays" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ArgumentError(f"{where}: {came} came, wanted a list of {len(names)} arrays: {', '.join(names)}")
    return tuple(array(each, f"{where}[{index}]") for index, each in enumerate(value))


def pair_up(x: object, y: object, ports: Ports, where: str, weights: object = None) -> Data:
    """The arrays of a batch or data set; one array of weights is for all outputs."""
    data = Data(arrays(x, ports.x, f"{where}: x"), arrays(y, ports.y, f"{where}: y"))
    if weights is None:
        return data
    name = f"{where}: sample_weight"
    several = isinstance(weights, (Mapping, list, tuple)) and len(ports.y) > 1
    given = arrays(weights, ports.y, name) if several else (array(weights, name),) * len(ports.y)
    return data._replace(weights=given)


def with_class_weights(data: Data, class_weight: object, axis: int | None, where: str) -> Data:
    """Weights that follow from the classes of the targets, in place of weights of samples.

    The class is the label of a sparse loss, for which `axis` is None, the only target's rounded value, or
    where the largest target stands along the axis.
    """
    if class_weight is None:
        return data
    name = f"{where}: class_weight"
    if data.weights is not None:
        raise ArgumentError(f"{name}: came together with sample_weight, wanted one of them")
    if data.y is None or len(data.y) != 1:
        raise ArgumentError(f"{name}: wanted a model with one output that has a loss; use sample_weight")
    if not isinstance(class_weight, Mapping):
        raise DTypeError(f"{name}: {type(class_weight).__name__} came, wanted a dict of classes and weights")
    by_class = {integer(key, name): real(value, f"{name}[{key}]") for key, value in class_weight.items()}
    (classes,) = data.y
    if classes.ndim > 1 and classes.shape[-1] == 1:
        classes = classes[..., 0]
    elif classes.ndim > 1 and axis is not None:
        classes = classes.argmax(axis=axis)
    weights = np.ones(classes.shape, np.float32)
    rounded = np.round(classes)
    for key, value in by_class.items():
        weights[rounded == key] = value
    return data._replace(weights=(weights,))


def split(data: Data, share: float, given: bool) -> tuple[Data, Data | None]:
    """Training and validation data, both of them views; all for training if validation data was given."""
    share = real(share, "fit: validation_split", least=0, below=1)
    if given or not share:
        return data, None
    count = data.samples
    named = {"x": (data.x, "samples"), "y": (data.y, "targets"), "sample_weight": (data.weights, "weights")}
    for argument, (group, kind) in named.items():
        for each in group or ():
            if len(each) != count:
                raise ShapeError(f"fit: {argument}: {len(each)} {kind} came for {count} samples")
    kept = math.floor(count * (1 - share))
    if not 0 < kept < count:
        raise ArgumentError(f"fit: validation_split: {share:g} of {count} samples leaves one side empty")
    return data.part(0, kept), data.part(kept, count)
