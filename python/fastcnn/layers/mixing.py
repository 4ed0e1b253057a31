# SPDX-License-Identifier: Apache-2.0
"""Images of a batch mixed in pairs, and their labels with them: in a model, or before they reach one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _native
from fastcnn._arguments import Array, array, real
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.layers.augmentation import Augmentation, Factor, between
from fastcnn.layers.base import Common, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Mixing(Augmentation):
    """What becomes of the samples of a batch, and of what they are compared with."""

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
        (node,) = (each for each in self.nodes() if each["op"] == "mix")
        nodes: list[Node] = [
            {"op": "input", "name": "images", "inputs": [], "shape": batch.shape[1:]},
            {**node, "name": self.name, "layer": type(self).__name__, "inputs": [0]},
        ]
        index, weight, box = _native.mix_draw(nodes, len(batch), *self._moment())
        self._calls += 1
        mixed = _native.mix(batch, index, None if box is not None else weight, box, None)
        labels = None if targets is None else _native.mix(targets, index, weight, None, None)
        return self._as_given(mixed, False), labels

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


class MixUp(_Mixing):
    """Weighted means of images and of their labels, in random pairs.

    H. Zhang et al., "mixup: beyond empirical risk minimization", 2017: ``w x[i] + (1 - w) x[j]`` for images
    and labels, ``w`` from a beta distribution of both parameters ``alpha``, drawn for each image.

    In a model the layer is a part of the training step: what the outputs behind it are compared with is mixed
    as the images are, class numbers as one-hot rows, and weights of samples stay. The accuracy asks for the
    class that weighs most. In evaluation and prediction nothing is mixed. Called on a batch, it mixes labels
    that are one-hot or otherwise real.

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

    def nodes(self) -> list[Node]:
        """Pairs and weights of a batch, drawn and mixed."""
        return self._seeded({"op": "mix", "kind": "up", **between("alpha", (self.alpha, self.alpha))})


class CutMix(_Mixing):
    """A box of each image shows another image of the batch, and the labels are mixed by its area.

    S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features",
    2019. The sides of the box are ``sqrt(1 - w)`` of the image's, ``w`` from a beta distribution of both
    parameters a; a label keeps the share of the pixels that its image keeps.

    In a model the layer is a part of the training step: what the outputs behind it are compared with is mixed
    as the images are, class numbers as one-hot rows, and weights of samples stay. The accuracy asks for the
    class that weighs most. In evaluation and prediction nothing is mixed. Called on a batch, it mixes labels
    that are one-hot or otherwise real.

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

    def nodes(self) -> list[Node]:
        """Pairs and boxes of a batch, drawn and mixed."""
        return self._seeded({"op": "mix", "kind": "cut", **between("alpha", self.factor)})
