# SPDX-License-Identifier: Apache-2.0
"""What a metric of your own counts in: ``self.add_variable(...)``, as in Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

if TYPE_CHECKING:
    from fastcnn.metrics.base import Array, Metric


class Variable(NDArrayOperatorsMixin):
    """A float64 array that belongs to a metric's state; 0 again whenever the metric begins anew."""

    def __init__(self, metric: Metric, name: str, start: Array) -> None:
        self._metric, self.name, self._start = metric, name, start
        self.shape = start.shape

    @property
    def value(self) -> Array:
        """A copy of it."""
        found: Array = self._metric._sums.get(self.name, self._start)
        return found.copy()

    def numpy(self) -> Array:
        """A copy of it."""
        return self.value

    def assign(self, value: Any) -> None:
        """Replace it by what has its shape, or spreads over it."""
        array = np.broadcast_to(np.asarray(value, np.float64), self.shape)
        self._metric._sums[self.name] = array.copy()

    def assign_add(self, value: Any) -> None:
        """Add to it."""
        self.assign(self.value + value)

    def assign_sub(self, value: Any) -> None:
        """Take from it."""
        self.assign(self.value - value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.value.astype(dtype or np.float64)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = (each.value if isinstance(each, Variable) else each for each in inputs)
        return getattr(ufunc, method)(*plain, **options)

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"<Variable name={self.name}, value={self.value!r}>"
