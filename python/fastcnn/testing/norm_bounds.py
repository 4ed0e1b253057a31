# SPDX-License-Identifier: Apache-2.0
"""Bounds of normalizations.

Sums are taken in float32 of d = x - p, the pivot p being the mean of at least a quarter of a tile's rows,
and combined in double precision (csrc/cpu/kernels/moments.h). With f the relative error of a float32 sum
(`compare`), s^2 the variance and D = f max|x| the error of p, the mean of d^2 is at most (2 s + D)^2: the
mean of a quarter is within sqrt(3) deviations of the mean. By the theorem on sums and the inequality of
Cauchy and Schwarz

    |mean' - mean|          <= f (2 s + D)
    |variance' - variance|  <= 3 f (2 s + D)^2 + |mean' - mean|^2
    |root' / root - 1|      <= |variance' - variance| / (variance + epsilon), where that is at most 1/2.

The results follow by the rule of products. What is not centered has the pivot 0 and D = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing.compare import SUBNORMAL, UNIT, gamma, rounding_bound, sum_bound

Real = NDArray[np.float64]

TILE_ROWS = 256  # of a float32 sum down a channel, at most
LONG_ROW = 16384  # elements of a float32 sum along a row, at most
ROUNDINGS = 8  # of a root, and of the products it takes part in


def sum_error(terms: int) -> float:
    """Relative error of a sum of float32 products, of the sum of their absolute values."""
    return float(min(gamma(terms + 2), (4.0 + 6.0 * np.sqrt(terms)) * UNIT))


@dataclass(frozen=True)
class Spec:
    """A normalization of x, and gamma, which broadcasts against it.

    `axes` are those of the statistics, `others` those that dgamma sums over; `terms` and `rows` are the
    lengths of a float32 sum over either.
    """

    x: Real
    gamma: Real
    axes: tuple[int, ...]
    others: tuple[int, ...]
    epsilon: float
    terms: int
    rows: int
    centered: bool = True
    unit: bool = False
    given: tuple[Real, Real] | None = None  # mean and variance


class Norm:
    """The errors of the statistics of a `Spec`, and what follows from them for each result."""

    def __init__(self, spec: Spec) -> None:
        x, f = spec.x, sum_error(spec.terms)
        largest = np.abs(x).max(axis=spec.axes, keepdims=True)
        self.spec = spec
        self.pivot: Real = f * largest if spec.centered else 0.0 * largest
        self.d_mean: Real = 0.0 * largest
        self.d_variance: Real = 0.0 * largest
        if spec.given is not None:
            self.mean, self.variance = spec.given
        elif spec.centered:
            self.mean = x.mean(axis=spec.axes, keepdims=True)
            self.variance = x.var(axis=spec.axes, keepdims=True)
            deviation = np.sqrt(self.variance)
            self.d_mean = f * (2.0 * deviation + self.pivot) + x.size * 2.0**-52 * largest
            self.d_variance = 3.0 * f * (2.0 * deviation + self.pivot) ** 2 + self.d_mean**2
        else:
            count = 1 if spec.unit else x.size // largest.size
            self.mean = 0.0 * largest
            self.variance = (x**2).sum(axis=spec.axes, keepdims=True) / count
            self.d_variance = f * self.variance
        total = self.variance + (0.0 if spec.unit else spec.epsilon)
        relative = self.d_variance / total
        assert relative.max() <= 0.5, "rounding swallows the variance: no bound"
        self.d_root: Real = relative + ROUNDINGS * UNIT
        self.root: Real = 1.0 / np.sqrt(total)
        if spec.unit:
            self.root = np.minimum(self.root, 1.0 / spec.epsilon)
        self.xhat: Real = (x - self.mean) * self.root

    def y(self, wanted: Real, beta: Real) -> Real:
        """Of ``gamma root (x - mean) + beta``."""
        scale = np.abs(self.spec.gamma) * self.root
        center = np.abs(self.mean) * UNIT**2
        bound: Real = scale * (self.d_mean + center) + np.abs(self.spec.gamma * self.xhat) * self.d_root
        return bound + 2.0 * UNIT * (np.abs(beta) + np.abs(wanted)) + ROUNDINGS * SUBNORMAL

    def dx(self, wanted: Real, dy: Real) -> Real:
        """Of ``root (g - mean(g) - xhat mean(g xhat))``; with given statistics of ``root g``."""
        g, xhat = np.abs(self.spec.gamma * dy), np.abs(self.xhat)
        if self.spec.given is not None:
            return rounding_bound(wanted, ROUNDINGS)
        f = sum_error(self.spec.terms)
        # The mean of products g xhat is a sum in unit norm.
        count = 1.0 if not self.spec.unit else g.size / self.root.size
        mean_g = self._mean(g) * count * self.spec.centered
        along = self._mean(g * xhat) * count
        sums = f * self._mean(g * self._about_pivot()) * count + self.d_mean * self.root * mean_g
        bound: Real = (self.d_root + ROUNDINGS * UNIT) * (g + mean_g + xhat * along)
        bound = bound + f * mean_g + xhat * (sums + 2.0 * self.d_root * along)
        return self.root * (bound + self.d_mean * self.root * along) + ROUNDINGS * SUBNORMAL

    def dgamma(self, wanted: Real, dy: Real) -> Real:
        """Of ``sum(dy xhat)``."""
        g, others = np.abs(dy), self.spec.others
        f = sum_error(max(self.spec.terms, self.spec.rows))
        bound: Real = f * np.sum(g * self._about_pivot(), axis=others)
        bound = bound + np.sum(g * (np.abs(self.xhat) * self.d_root + self.d_mean * self.root), axis=others)
        return bound + ROUNDINGS * (UNIT * np.abs(wanted) + SUBNORMAL)

    def dbeta(self, wanted: Real, dy: Real) -> Real:
        """Of ``sum(dy)``."""
        magnitude = np.abs(dy).sum(axis=self.spec.others)
        return sum_bound(wanted, magnitude, max(self.spec.terms, self.spec.rows))

    def _mean(self, values: Real) -> Real:
        mean: Real = values.mean(axis=self.spec.axes, keepdims=True)
        return mean

    def _about_pivot(self) -> Real:
        """|x - pivot| + 2 |pivot - mean| in units of 1 / root: a pivot lies between values of x."""
        xhat = np.abs(self.xhat)
        if not self.spec.centered:
            return xhat
        furthest = xhat.max(axis=self.spec.axes, keepdims=True)
        distance: Real = xhat + 3.0 * (furthest + self.pivot * self.root)
        return distance
