# SPDX-License-Identifier: Apache-2.0
"""What is reported beside the loss: the share of right answers, counted natively over an epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from fastcnn._arguments import choose
from fastcnn._config import Configurable, deserialize, snake_case
from fastcnn.errors import ArgumentError, DTypeError

__all__ = ["BinaryAccuracy", "CategoricalAccuracy", "Metric", "SparseCategoricalAccuracy", "get"]


class Metric(Configurable):
    """Base of all metrics.

    Parameters
    ----------
    name
        Key in ``history`` and in logs; None means the class's own.
    """

    _fields = ("name",)
    native: ClassVar[str]

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise DTypeError(f"{type(self).__name__}: name: {name!r} came, wanted a string")
        self.name = name or snake_case(type(self).__name__)


class SparseCategoricalAccuracy(Metric):
    """Share of samples whose largest prediction stands at the label.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.SparseCategoricalAccuracy(name="accuracy").name
    'accuracy'
    """

    native = "sparse"


class CategoricalAccuracy(Metric):
    """Share of samples whose largest prediction stands where the largest target does.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.CategoricalAccuracy().name
    'categorical_accuracy'
    """

    native = "categorical"


class BinaryAccuracy(Metric):
    """Share of predictions on the side of 0.5 that their target, 0 or 1, names.

    Examples
    --------
    >>> from fastcnn import metrics
    >>> metrics.BinaryAccuracy().name
    'binary_accuracy'
    """

    native = "binary"


class AccuracyByShape(Metric):
    """Sparse, categorical or binary, by the shape of the targets: what "accuracy" means."""

    native = "auto"


_CLASSES: dict[str, type[Metric]] = {
    each.__name__: each
    for each in (SparseCategoricalAccuracy, CategoricalAccuracy, BinaryAccuracy, AccuracyByShape)
}
_NAMES: dict[str, type[Metric]] = {
    "accuracy": AccuracyByShape,
    "acc": AccuracyByShape,
    **{snake_case(name): each for name, each in _CLASSES.items() if each is not AccuracyByShape},
}


def get(identifiers: object) -> Metric | None:
    """The one metric of a list of names ("accuracy"), descriptions or objects; None if the list is empty.

    Raises
    ------
    ArgumentError
        The name is unknown, or there are several.
    """
    if identifiers is None:
        return None
    if isinstance(identifiers, (str, Metric)) or not isinstance(identifiers, Iterable):
        identifiers = [identifiers]
    found = list(identifiers)
    if len(found) > 1:
        raise ArgumentError(f"compile: metrics: {found!r} came, wanted one metric at most")
    return _get_one(found[0]) if found else None


def _get_one(identifier: object) -> Metric:
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier, _CLASSES, "compile: metrics")
    return choose(identifier, _NAMES, "compile: metrics")(str(identifier))
