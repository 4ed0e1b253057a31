# SPDX-License-Identifier: Apache-2.0
"""Small things that scripts for Keras call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastcnn._graph.symbolic import SymbolicTensor, reachable, symbolic_inputs
from fastcnn._training.progress import Progress
from fastcnn.errors import ArgumentError


def is_keras_tensor(x: Any) -> bool:
    """Whether it is what layers give before there are numbers.

    >>> import fastcnn
    >>> fastcnn.utils.is_keras_tensor(fastcnn.Input((3,))), fastcnn.utils.is_keras_tensor(3)
    (True, False)
    """
    return isinstance(x, SymbolicTensor)


def get_source_inputs(tensor: Any) -> list[SymbolicTensor]:
    """The inputs that a tensor depends on.

    >>> import fastcnn
    >>> inputs = fastcnn.Input((3,), name="image")
    >>> [each.name for each in fastcnn.utils.get_source_inputs(fastcnn.layers.ReLU()(inputs))]
    ['image']
    """
    ends = symbolic_inputs(tensor, "get_source_inputs: tensor")
    return [each for each in reachable(ends) if not each.inputs]


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of what a data set gives; None for what it does not.

    >>> from fastcnn import utils
    >>> utils.unpack_x_y_sample_weight(([1], [2]))
    ([1], [2], None)
    """
    parts = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if len(parts) > 3:
        raise ArgumentError(f"unpack_x_y_sample_weight: {len(parts)} parts came, wanted 1 to 3")
    return (*parts, *(None,) * (3 - len(parts)))


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What `unpack_x_y_sample_weight` takes apart.

    >>> from fastcnn import utils
    >>> utils.pack_x_y_sample_weight([1], [2])
    ([1], [2])
    """
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


class Progbar:
    """The progress line of `fit`, for a loop of your own.

    Parameters
    ----------
    target
        How many steps there are; None if it is not known.
    width, interval, unit_name
        Without effect: the line is that of `fit`.
    verbose
        0: nothing, 1: a bar, 2: a line at the end.
    stateful_metrics
        Names of values that are shown as they come; of the others the mean is, each weighing the steps that
        it came with.
    stateless_metrics
        In its place, names of values whose mean is shown; the others come as they are.

    Examples
    --------
    >>> from fastcnn import utils
    >>> line = utils.Progbar(2, verbose=2)
    >>> line.update(1, [("loss", 0.5)])
    >>> line.update(2, [("loss", 0.25)])  # doctest: +ELLIPSIS
    2/2 - ...s - .../step - loss: 0.3750
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ArgumentError("Progbar: stateful_metrics and stateless_metrics came, wanted one of them")
        self.target, self._averaged = target, None if stateless_metrics is None else {*stateless_metrics}
        self.stateful_metrics = {*(stateful_metrics or ())}
        self._line, self._begun, self._seen = Progress(verbose, "Progbar"), False, 0
        self._totals: dict[str, tuple[float, int]] = {}

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """``current`` steps are done; the line ends when it is all of them, or ``finalize`` says so."""
        if not self._begun:
            self._line.begin(self.target)
            self._begun = True
        steps = max(1, current - self._seen)
        self._seen = max(self._seen, current)
        for name, value in values or ():
            mean = name not in self.stateful_metrics if self._averaged is None else name in self._averaged
            total, count = self._totals.get(name, (0.0, 0)) if mean else (0.0, 0)
            self._totals[name] = (total + float(value) * steps, count + steps)
        logs = {name: total / count for name, (total, count) in self._totals.items()}
        self._line.update(current, logs)
        if finalize or (finalize is None and self.target is not None and current >= self.target):
            self._line.end(logs)
            self._begun = False

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """``n`` more steps are done."""
        self.update(self._seen + n, values)
