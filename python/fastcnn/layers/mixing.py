# SPDX-License-Identifier: Apache-2.0
"""Images of a batch mixed in pairs, and their labels with them, before they reach a model."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, array, real
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.layers.augmentation import Augmentation, Factor
from fastcnn.layers.base import Common, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Mixing(Augmentation):
    """What becomes of a batch as a whole; the labels are not the model's to change, so neither is this."""

    def nodes(self) -> list[Node]:
        """None: the labels would stay as they are."""
        raise ArgumentError(
            f"{self._where()}: stands in a model, wanted a call on {{'images', 'labels'}} before it: the "
            "labels change too"
        )

    def _of_images(self, images: Any, training: bool) -> Array:
        return self._mixed(images, None, training)[0]

    def _of_dict(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        labels = inputs.get("labels")
        images, mixed = self._mixed(inputs["images"], labels, training)
        return {**inputs, "images": images} | ({} if labels is None else {"labels": mixed})

    def _mixed(self, images: Any, labels: Any, training: bool) -> tuple[Array, Any]:
        batch, single = self._batch(images)
        targets = None if labels is None else self._targets(labels, len(batch))
        if single or not training:
            return self._as_given(batch, single), targets
        random = _random.mixing(*self._moment())
        index = random.permutation(len(batch)).astype(np.int64, copy=False)
        mixed, weight = self._pairs(batch, index, random)
        self._calls += 1
        return self._as_given(mixed, False), None if targets is None else _native.mix(
            targets, index, weight, None, None
        )

    def _targets(self, labels: Any, samples: int) -> Array:
        where = self._where("labels")
        given = array(labels, where)
        if given.dtype.kind not in "fiub":
            raise DTypeError(f"{where}: dtype {given.dtype} came, wanted real numbers")
        if given.ndim < 2 or len(given) != samples:
            raise ShapeError(
                f"{where}: shape {given.shape} came for {samples} images, wanted ({samples}, classes), as "
                "utils.to_categorical makes them of class numbers"
            )
        return np.ascontiguousarray(given, np.float32)

    @abc.abstractmethod
    def _pairs(self, batch: Array, index: Array, random: _random.Generator) -> tuple[Array, Array]:
        """Images with those that the index names, and what each sample keeps of its label."""


class MixUp(_Mixing):
    """Weighted means of images and of their labels, in random pairs.

    H. Zhang et al., "mixup: beyond empirical risk minimization", 2017: ``w x[i] + (1 - w) x[j]`` for images
    and labels, ``w`` from a beta distribution of both parameters ``alpha``, drawn for each image.

    The layer is called on batches on their way to `fit`, as its labels are what the loss reads; they are
    one-hot or otherwise real.

    Parameters
    ----------
    alpha
        Above 0: the more, the more is mixed.
    data_format
        "channels_last", which None means, or "channels_first".
    seed
        None: one of the sequence that `utils.set_random_seed` starts.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, the images are none, or the labels are class numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import layers
    >>> mix = layers.MixUp(0.2, seed=1)
    >>> batch = {"images": np.ones((4, 8, 8, 3)), "labels": np.eye(4)}
    >>> mix(batch)["labels"].sum(axis=1).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    _fields = ("alpha", "data_format", "seed")

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self.alpha = real(alpha, self._where("alpha"), least=0)
        if self.alpha == 0:
            raise ArgumentError(f"{self._where('alpha')}: 0 came, wanted a number above 0")

    def _pairs(self, batch: Array, index: Array, random: _random.Generator) -> tuple[Array, Array]:
        weight = random.beta(self.alpha, self.alpha, len(batch)).astype(np.float32)
        return _native.mix(batch, index, weight, None, None), weight


class CutMix(_Mixing):
    """A box of each image shows another image of the batch, and the labels are mixed by its area.

    S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features",
    2019. The sides of the box are ``sqrt(1 - w)`` of the image's, ``w`` from a beta distribution of both
    parameters a; a label keeps the share of the pixels that its image keeps.

    The layer is called on batches on their way to `fit`, as its labels are what the loss reads; they are
    one-hot or otherwise real.

    Parameters
    ----------
    factor
        ``(low, high)`` of a, within [0, 1], which is drawn for each batch. A number f means ``(0, f)``.
    seed
        None: one of the sequence that `utils.set_random_seed` starts.
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        An argument is wrong, the images are none, or the labels are class numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import layers
    >>> cut = layers.CutMix(seed=1)
    >>> batch = {"images": np.ones((4, 8, 8, 3)), "labels": np.eye(4)}
    >>> cut(batch)["labels"].sum(axis=1).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    _fields = ("factor", "seed", "data_format")

    def __init__(
        self,
        factor: Factor = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(seed, data_format, **common)
        self.factor = self._factor(factor, "factor", 0, 1)

    def _pairs(self, batch: Array, index: Array, random: _random.Generator) -> tuple[Array, Array]:
        samples, *size = batch.shape[:3]
        alpha = random.uniform(*self.factor) + 1e-6
        share = np.sqrt(1.0 - random.beta(alpha, alpha, samples))
        sides = []
        for pixels in size:
            length = share * pixels
            start = random.random(samples) * (pixels - length)
            sides += [np.ceil(start), np.minimum(np.ceil(start + length), pixels)]
        box = np.stack(sides, axis=1).astype(np.int64)
        area = (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2])
        weight = (1.0 - area / (size[0] * size[1])).astype(np.float32)
        return _native.mix(batch, index, None, box, None), weight
