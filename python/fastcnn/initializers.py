# SPDX-License-Identifier: Apache-2.0
"""Initial weights, drawn on the host: ``weights = initializer(shape)``, float32.

The last two axes of a shape are inputs and outputs, those before them the window: ``fan_in = window *
inputs``, ``fan_out = window * outputs``. Names, arguments and defaults are Keras's. Without a seed of its own
an initializer draws from its model's, so `utils.set_random_seed` fixes every weight.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastcnn import _arguments, _random
from fastcnn._absent import absences
from fastcnn._arguments import choose, integer, real
from fastcnn._config import Configurable, named, reading, resolve, serialize
from fastcnn.errors import ShapeError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


class Initializer(Configurable, abc.ABC):
    """Base of all initializers; calling one gives new weights.

    Examples
    --------
    >>> from fastcnn import initializers
    >>> initializers.get("glorot_uniform")((3, 3, 1, 32)).shape
    (3, 3, 1, 32)
    """

    seed: int | None = None

    def __call__(self, shape: Sequence[int], *, rng: np.random.Generator | None = None) -> Array:
        """Weights of ``shape``, from the initializer's own seed, else ``rng``, else the global sequence."""
        sizes = _arguments.shape(shape, f"{type(self).__name__}: shape")
        if self.seed is not None:
            rng = _random.seeded(self.seed)
        elif rng is None:
            rng = _random.seeded(_random.next_seed())
        return np.asarray(self._draw(sizes, rng), np.float32)

    @abc.abstractmethod
    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]: ...

    def _set_seed(self, seed: int | None) -> None:
        self.seed = None if seed is None else integer(seed, f"{type(self).__name__}: seed", least=0)

    def _real(self, value: float, name: str) -> float:
        return real(value, f"{type(self).__name__}: {name}")


class Constant(Initializer):
    """Every weight is ``value``, a number or an array of one."""

    _fields = ("value",)

    def __init__(self, value: float = 0.0) -> None:
        single = isinstance(value, np.ndarray) and value.size == 1
        self.value = self._real(value.item() if single else value, "value")  # type: ignore[attr-defined]

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        return np.full(shape, self.value)


class Zeros(Initializer):
    """Every weight is 0."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        return np.zeros(shape)


class Ones(Initializer):
    """Every weight is 1."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        return np.ones(shape)


class RandomUniform(Initializer):
    """Uniform over ``[minval, maxval)``."""

    _fields = ("minval", "maxval", "seed")

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval = self._real(minval, "minval"), self._real(maxval, "maxval")
        self._set_seed(seed)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        return self.minval + (self.maxval - self.minval) * rng.random(shape, np.float32)


class RandomNormal(Initializer):
    """Normal with ``mean`` and standard deviation ``stddev``."""

    _fields = ("mean", "stddev", "seed")

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev = self._real(mean, "mean"), self._real(stddev, "stddev")
        self._set_seed(seed)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        return self.mean + self.stddev * rng.standard_normal(shape, np.float32)


class TruncatedNormal(RandomNormal):
    """`RandomNormal` whose values beyond two standard deviations are drawn again."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        return self.mean + self.stddev * _truncated_normal(shape, rng)


class VarianceScaling(Initializer):
    """Weights of variance ``scale / n``, where ``n`` is a fan: the signal keeps its size through the layers.

    Parameters
    ----------
    scale
        Factor of the variance.
    mode
        ``n``: "fan_in", "fan_out", or "fan_avg", their mean.
    distribution
        "truncated_normal" (normal, cut at two standard deviations, then widened to the variance asked for),
        "untruncated_normal" or "uniform" (``[-limit, limit)``, ``limit = sqrt(3 * variance)``).
    seed
        Own seed, or None.
    """

    _fields: ClassVar[tuple[str, ...]] = ("scale", "mode", "distribution", "seed")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        self.scale = self._real(scale, "scale")
        self.mode, self.distribution = mode, distribution
        choose(mode, _FANS, "VarianceScaling: mode")
        choose(distribution, _DISTRIBUTIONS, "VarianceScaling: distribution")
        self._set_seed(seed)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        variance = self.scale / max(1.0, _FANS[self.mode](*_fans(shape)))
        return math.sqrt(variance) * _DISTRIBUTIONS[self.distribution](shape, rng)


class _Scaled(VarianceScaling):
    """A `VarianceScaling` with a name of its own in the literature."""

    _fields = ("seed",)
    _law: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._law, seed)


class GlorotUniform(_Scaled):
    """Uniform, variance ``2 / (fan_in + fan_out)``. X. Glorot, Y. Bengio, AISTATS 2010."""

    _law = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal, variance ``2 / (fan_in + fan_out)``. X. Glorot, Y. Bengio, AISTATS 2010."""

    _law = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform, variance ``2 / fan_in``. K. He et al., ICCV 2015."""

    _law = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal, variance ``2 / fan_in``. K. He et al., ICCV 2015."""

    _law = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform, variance ``1 / fan_in``. Y. LeCun et al., Efficient BackProp, 1998."""

    _law = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal, variance ``1 / fan_in``. Y. LeCun et al., Efficient BackProp, 1998."""

    _law = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A matrix of orthonormal rows or columns, whichever are fewer, times ``gain``; all axes but the last are
    its rows. A. Saxe et al., ICLR 2014.

    Examples
    --------
    >>> from fastcnn import initializers
    >>> weights = initializers.Orthogonal(seed=1)((3, 2))
    >>> (weights.T @ weights).round(4) + 0.0
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    _fields = ("gain", "seed")

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = self._real(gain, "gain")
        self._set_seed(seed)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal: shape: {shape} came, wanted two axes or more")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(r.diagonal())  # else the draw would not be uniform
        drawn: np.ndarray[Any, Any] = self.gain * (q.T if rows < columns else q)
        return drawn.reshape(shape)


class Identity(Initializer):
    """The identity matrix, times ``gain``."""

    _fields = ("gain",)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = self._real(gain, "gain")

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        if len(shape) != 2:
            raise ShapeError(f"Identity: shape: {shape} came, wanted two axes")
        identity: np.ndarray[Any, Any] = self.gain * np.eye(*shape)
        return identity


OrthogonalInitializer, IdentityInitializer = Orthogonal, Identity


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        return (shape or (1,)) * 2  # type: ignore[return-value]
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    values = rng.standard_normal(shape, np.float32)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()), np.float32)
    return values


_FANS: dict[str, Callable[[int, int], float]] = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
}

_CUT = 0.87962566103423978  # standard deviation of a normal cut at two of its own

_DISTRIBUTIONS: dict[str, Callable[[tuple[int, ...], np.random.Generator], np.ndarray[Any, Any]]] = {
    "truncated_normal": lambda shape, rng: _truncated_normal(shape, rng) / _CUT,
    "untruncated_normal": lambda shape, rng: rng.standard_normal(shape, np.float32),
    "uniform": lambda shape, rng: math.sqrt(3) * (2 * rng.random(shape, np.float32) - 1),
}

_CLASSES: dict[str, type[Initializer]] = named(
    GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Zeros, Ones, Constant,
    RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling, Orthogonal, Identity,
)  # fmt: skip


constant, zeros, ones, identity, orthogonal = Constant, Zeros, Ones, Identity, Orthogonal
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
variance_scaling = VarianceScaling


def get(identifier: object, where: str = "initializers.get") -> Initializer:
    """An initializer from its name ("he_normal"), its description or itself.

    Raises
    ------
    ArgumentError
        The name is unknown.
    """
    return resolve(identifier, Initializer, _CLASSES, where)  # type: ignore[type-abstract]


deserialize = reading(get)

__getattr__ = absences(__name__)
