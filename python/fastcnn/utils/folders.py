# SPDX-License-Identifier: Apache-2.0
"""Pictures in folders, a folder for each class, as batches for `fit`.

Files are listed once, in Keras's order, and decoded when their batch is asked for, on as many threads as the
kernels use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _native, _random
from fastcnn._arguments import Array, choose, flag, integer, pair, real
from fastcnn.errors import ArgumentError, DTypeError
from fastcnn.utils.batches import PyDataset
from fastcnn.utils.images import CHANNELS, pillow, read_pixels
from fastcnn.utils.listing import WHERE as _WHERE
from fastcnn.utils.listing import Files, check_labels, listed_files, shuffled
from fastcnn.utils.resizing import INTERPOLATIONS, crop, pad, resize

_SUBSETS = ("training", "validation", "both")


class Look(NamedTuple):
    """What becomes of a picture."""

    color_mode: str = "rgb"
    size: tuple[int, int] = (256, 256)
    interpolation: str = "bilinear"
    crop: bool = False
    pad: bool = False
    channels_first: bool = False
    upright: bool = False  # turned as the camera was held, which Keras leaves aside

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        channels = CHANNELS[self.color_mode]
        return (channels, *self.size) if self.channels_first else (*self.size, channels)

    def read(self, path: str) -> Array:
        """A picture, float32 of `shape`, values 0 to 255."""
        pixels = read_pixels(path, self.color_mode, self.upright)
        if self.crop or self.pad:
            pixels = (crop if self.crop else pad)(pixels, self.size)
        scaled = resize(pixels, self.size, self.interpolation)
        return scaled.transpose(2, 0, 1) if self.channels_first else scaled


class ImageDataset(PyDataset):
    """Pictures and their labels, batch by batch. `image_dataset_from_directory` makes it.

    Attributes
    ----------
    class_names
        Of label 0, 1, ...; None without labels.
    file_paths
        The files, in the order of the first pass.
    labels
        The number of each file's class, int32 ``[N]``; None without.
    """

    def __init__(
        self, files: Files, label_mode: str | None, look: Look, batch_size: int | None, seed: int | None
    ) -> None:
        super().__init__()
        self.class_names, self.file_paths, self.labels = files.class_names, files.paths, files.labels
        self.look, self.batch_size, self.label_mode = look, batch_size, label_mode
        self._seed, self._passes = seed, 0  # a seed of None: in the same order again
        self._order = np.arange(len(files.paths))

    @property
    def samples(self) -> int:
        """How many pictures there are."""
        return len(self.file_paths)

    def take(self, order: Sequence[int]) -> ImageDataset:
        """Some of the pictures, in this order, as batches of their own."""
        files = Files(self.file_paths, self.labels, self.class_names).take(order)
        return ImageDataset(files, self.label_mode, self.look, self.batch_size, self._seed)

    def __len__(self) -> int:
        return -(-self.samples // (self.batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"{_WHERE}: batch {index} of {count}")
        size = self.batch_size or 1
        at = index % count * size
        chosen = self._order[at : at + size]
        paths = [self.file_paths[each] for each in chosen]
        x = np.empty((len(paths), *self.look.shape), np.float32)

        def read(place: int) -> None:
            x[place] = self.look.read(paths[place])

        threads = min(_native.get_num_threads(), len(paths))
        if threads == 1:
            for place in range(len(paths)):
                read(place)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(read, range(len(paths))))  # the list raises what a thread raised
        batch = (x,) if self.labels is None else (x, self._targets(self.labels[chosen]))
        if self.batch_size is None:
            batch = tuple(each[0] for each in batch)
        return batch if len(batch) > 1 else batch[0]

    def on_epoch_end(self) -> None:
        """A new order, if they are shuffled. It follows from the seed and the number of passes alone."""
        if self._seed is not None:
            self._passes += 1
            self._order = np.random.default_rng((self._seed, self._passes)).permutation(self.samples)

    def _targets(self, labels: Array) -> Array:
        if self.label_mode == "binary":
            return labels[:, np.newaxis].astype(np.float32)
        if self.label_mode == "categorical":
            assert self.class_names is not None
            return np.eye(len(self.class_names), dtype=np.float32)[labels]
        return labels


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
) -> Any:
    """The pictures of a folder as batches for `fit`, `evaluate` and `predict`.

    ::

        photos/cats/1.jpg
        photos/cats/old/2.jpg
        photos/dogs/3.png

    has the classes 0, "cats", and 1, "dogs". Files are BMP, GIF, JPEG and PNG, by their names. Files and
    orders are Keras's: with the same seed the same files are held back.

    Parameters
    ----------
    directory
        The folder.
    labels
        "inferred": from the names of its folders; a list of whole numbers, one for each file in the order of
        their paths; or None.
    label_mode
        "int": labels int32 ``[N]``; "binary": float32 ``[N, 1]``, of two classes; "categorical": one-hot
        float32 ``[N, classes]``; None: no labels.
    class_names
        Folders to take, in the order of the labels; None means all, by name.
    color_mode
        "grayscale", "rgb" or "rgba".
    batch_size
        Pictures of a batch; None gives single pictures without a batch axis.
    image_size
        ``(height, width)``, or one number for both.
    shuffle
        Whether files come in a random order, another one in each pass.
    seed
        Of the order; None means one of the sequence that `set_random_seed` starts.
    validation_split, subset
        Share of files that are held back, and which part to return: "training", "validation" or "both".
    interpolation
        "bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian" or "mitchellcubic", as in
        `tf.image.resize`.
    follow_links
        Whether to look into folders behind symbolic links; each is visited once.
    crop_to_aspect_ratio, pad_to_aspect_ratio
        Whether to cut the picture's middle out in the proportions of ``image_size``, or to put it in the
        middle of zeros, in place of stretching it.
    data_format
        "channels_last", which None means, or "channels_first".
    verbose
        Whether to print how many files and classes there are.

    Returns
    -------
    Batches ``(x, y)``, or ``x`` without labels, by number: x is float32 ``[N, H, W, C]`` with values 0 to
    255. With ``class_names``, ``file_paths`` and ``labels``. With ``subset="both"`` a list of two.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is wrong, or there are no pictures.
    OSError
        A folder cannot be read; or, when its batch is asked for, a file.
    FormatError
        When its batch is asked for: a file is no picture, is damaged, or is too large.
    ImportError
        Pillow is missing.

    Examples
    --------
    >>> from fastcnn import utils
    >>> train, held_back = utils.image_dataset_from_directory(  # doctest: +SKIP
    ...     "photos", image_size=(64, 64), validation_split=0.2, subset="both", seed=0
    ... )
    >>> model.fit(train, validation_data=held_back, epochs=5)  # doctest: +SKIP
    """
    pillow()  # to say now that it is missing
    mode = _label_mode(labels, label_mode)
    look = _look(
        color_mode, image_size, interpolation, (crop_to_aspect_ratio, pad_to_aspect_ratio), data_format
    )
    size = None if batch_size is None else integer(batch_size, f"{_WHERE}: batch_size", least=1)
    share = _share(validation_split, subset, shuffle=flag(shuffle, f"{_WHERE}: shuffle"), seed=seed)
    number = _random.next_seed() % 2**32 if seed is None else integer(seed, f"{_WHERE}: seed", least=0)

    files = listed_files(os.fspath(directory), labels if mode else None, class_names, follow_links)
    check_labels(files, mode)
    if verbose:
        of_classes = "" if files.class_names is None else f" belonging to {len(files.class_names)} classes"
        print(f"Found {len(files.paths)} files{of_classes}.")
    if shuffle:
        files = files.take(shuffled(len(files.paths), number))
    epochs = number if shuffle else None
    if share is None:
        return ImageDataset(files, mode, look, size, epochs)

    kept = len(files.paths) - int(share * len(files.paths))
    parts = {"training": range(kept), "validation": range(kept, len(files.paths))}
    wanted = {name: part for name, part in parts.items() if subset in (name, "both")}
    made = []
    for name, part in wanted.items():
        if not part:
            raise ArgumentError(
                f"{_WHERE}: validation_split: {share:g} of {len(files.paths)} files leaves none for {name}"
            )
        if verbose:
            print(f"Using {len(part)} files for {name}.")
        order = None if subset == "both" and name == "validation" else epochs
        made.append(ImageDataset(files.take(part), mode, look, size, order))
    return made if subset == "both" else made[0]


def _label_mode(labels: Any, label_mode: str | None) -> str | None:
    if isinstance(labels, str) and labels != "inferred":
        raise ArgumentError(f"{_WHERE}: labels: {labels!r} came, wanted 'inferred', None or a list")
    if labels is not None and not isinstance(labels, (str, list, tuple, np.ndarray)):
        raise DTypeError(f"{_WHERE}: labels: {type(labels).__name__} came, wanted 'inferred', None or a list")
    if labels is None or label_mode is None:
        return None
    modes = {name: name for name in ("int", "binary", "categorical")}
    return choose(label_mode, modes, f"{_WHERE}: label_mode")


def _look(
    color_mode: str, image_size: Any, interpolation: Any, fit: tuple[bool, bool], data_format: str | None
) -> Look:
    layouts = {"channels_last": False, "channels_first": True}
    cut = flag(fit[0], f"{_WHERE}: crop_to_aspect_ratio")
    padded = flag(fit[1], f"{_WHERE}: pad_to_aspect_ratio")
    if cut and padded:
        raise ArgumentError(
            f"{_WHERE}: crop_to_aspect_ratio and pad_to_aspect_ratio came, wanted one of them"
        )
    method = interpolation.lower() if isinstance(interpolation, str) else interpolation
    return Look(
        choose(color_mode, {name: name for name in CHANNELS}, f"{_WHERE}: color_mode"),
        pair(image_size, f"{_WHERE}: image_size", 1),
        choose(method, {name: name for name in INTERPOLATIONS}, f"{_WHERE}: interpolation"),
        cut,
        padded,
        choose(data_format or "channels_last", layouts, f"{_WHERE}: data_format"),
    )


def _share(validation_split: Any, subset: Any, shuffle: bool, seed: Any) -> float | None:
    if (validation_split is None) != (subset is None):
        raise ArgumentError(f"{_WHERE}: one of validation_split and subset came, wanted both or neither")
    if validation_split is None:
        return None
    share = real(validation_split, f"{_WHERE}: validation_split", least=0, below=1)
    choose(subset, {name: name for name in _SUBSETS}, f"{_WHERE}: subset")
    if not share:
        raise ArgumentError(f"{_WHERE}: validation_split: 0 came, wanted a share above it")
    if shuffle and seed is None:
        raise ArgumentError(
            f"{_WHERE}: seed: None came with validation_split and shuffle, wanted a number, so that the "
            "parts of two calls do not overlap"
        )
    return share
