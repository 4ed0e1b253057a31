# SPDX-License-Identifier: Apache-2.0
"""Losses of numbers and of distributions: means over the last axis of a function of prediction and target."""

from __future__ import annotations

from fastcnn.losses.base import DEFAULT, Measure, one_axis, parameter


class MeanSquaredError(Measure):
    """Mean of ``(prediction - target)^2`` over all outputs of a sample.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.get("MeanSquaredError")
    MeanSquaredError()
    >>> losses.MeanSquaredError()([[0, 1]], [[2, 1]])
    2.0
    """


class MeanAbsoluteError(Measure):
    """Mean of ``|prediction - target|``; at 0 the gradient is 0.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.MeanAbsoluteError()([[0, 1]], [[2, 1]])
    1.0
    """


class MeanAbsolutePercentageError(Measure):
    """Mean of ``100 |prediction - target| / max(|target|, 1e-7)``.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.MeanAbsolutePercentageError()([[4, 1]], [[3, 1]])
    12.5
    """


class MeanSquaredLogarithmicError(Measure):
    """Mean of ``(log(1 + prediction) - log(1 + target))^2``, both taken as 1e-7 at least.

    Examples
    --------
    >>> from fastcnn import losses
    >>> round(losses.MeanSquaredLogarithmicError()([[0, 1]], [[1, 1]]), 6)
    0.240226
    """


class LogCosh(Measure):
    """Mean of ``log cosh(prediction - target)``, ``d^2 / 2`` near 0 and ``|d| - log 2`` far from it.

    Examples
    --------
    >>> from fastcnn import losses
    >>> round(losses.LogCosh()([[0, 1], [0, 0]], [[1, 1], [0, 0]]), 6)
    0.108445
    """


class Poisson(Measure):
    """Mean of ``prediction - target log(prediction + 1e-7)``.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.Poisson()([[0, 0]], [[1, 3]])
    2.0
    """


class KLDivergence(Measure):
    """Sum of ``target log(target / prediction)``, both clipped to [1e-7, 1].

    Examples
    --------
    >>> from fastcnn import losses
    >>> round(losses.KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 6)
    0.143841
    """


class Huber(Measure):
    """Mean of ``d^2 / 2`` where ``|d| <= delta`` and of ``delta |d| - delta^2 / 2`` elsewhere.

    ``d = prediction - target``.

    Parameters
    ----------
    delta
        Where the square ends.
    reduction, name, dtype
        See `Loss`.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.Huber(delta=2.0)([[0, 0]], [[1, 5]])
    4.25
    """

    _fields = ("delta", *Measure._fields)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = DEFAULT,
        name: str | None = "huber_loss",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = parameter(delta, self, "delta")


class CosineSimilarity(Measure):
    """``-sum(target prediction) / (|target| |prediction|)``: -1 where both point the same way.

    Lengths are taken as 1e-7 at least.

    Examples
    --------
    >>> from fastcnn import losses
    >>> losses.CosineSimilarity()([[0, 1], [2, 0]], [[0, 3], [0, 1]])
    -0.5
    """

    _fields = ("axis", *Measure._fields)

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = DEFAULT,
        name: str | None = "cosine_similarity",
        dtype: str | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = one_axis(axis, self)
