# SPDX-License-Identifier: Apache-2.0
"""What ``--dataset`` may name: a data set of the package, a folder of pictures, IDX files, arrays in a .npz.

All become images [N, H, W, C] with whole numbers as labels, in a training and a test part. Data without a
test part are put in an order that is the same each time, and their last sixth is the test part.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastcnn._arguments import Array
from fastcnn.cli import options as opt
from fastcnn.cli import recipe
from fastcnn.cli.options import Failure
from fastcnn.datasets import cifar10, cifar100, fashion_mnist, idx, mnist, npz
from fastcnn.errors import FormatError, ShapeError
from fastcnn.utils import to_categorical
from fastcnn.utils.folders import ImageDataset, Look, image_dataset_from_directory

NAMED: dict[str, tuple[Callable[[], Any], Sequence[str] | None]] = {
    "mnist": (mnist.load_data, None),
    "fashion_mnist": (fashion_mnist.load_data, fashion_mnist.CLASSES),
    "cifar10": (cifar10.load_data, cifar10.CLASSES),
    "cifar100": (cifar100.load_data, None),
}

_IN_MEMORY = 1 << 30  # bytes of float32; larger folders are read anew in each epoch
_TEST_FOLDERS = ("test", "val", "valid", "validation")
_MNIST_FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
_ARRAYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
_ALONE = (("x", "y"), ("images", "labels"))

Shape = tuple[int, ...]


class Samples(NamedTuple):
    """Images and the numbers of their classes."""

    x: Array | ImageDataset
    y: Array

    def part(self, begin: int, end: int) -> Samples:
        """Some of them."""
        inside = range(*slice(begin, end).indices(len(self.y)))
        x = self.x.take(inside) if isinstance(self.x, ImageDataset) else self.x[begin:end]
        return Samples(x, self.y[begin:end])

    def fed(self, batch_size: int, one_hot: int | None = None) -> tuple[Any, Any, int | None]:
        """x, y and batch_size, as ``fit`` takes them; labels as they are, or one-hot rows of this length."""
        if isinstance(self.x, ImageDataset):
            if one_hot not in (None, len(self.x.class_names or ())):
                raise Failure(f"the model tells {one_hot} classes apart, there are {self.x.class_names}")
            self.x.batch_size, self.x.label_mode = batch_size, "categorical" if one_hot else "int"
            return self.x, None, None
        return self.x, to_categorical(self.y, one_hot) if one_hot else self.y, batch_size


class Dataset(NamedTuple):
    """Images for training and for testing."""

    name: str
    train: Samples
    test: Samples
    class_names: list[str]
    shape: Shape  # of one image

    @property
    def scale(self) -> float:
        """What pixels are multiplied by, to lie from 0 to 1: floats that do so already stay."""
        x = self.train.x
        if isinstance(x, ImageDataset) or x.dtype.kind != "f" or x.max(initial=0) > 1:
            return 1 / 255
        return 1.0

    def shaped(self, shape: Shape) -> Dataset:
        """Images in the shape that a model wants: of another rank, at most."""
        if math.prod(shape) != math.prod(self.shape):
            raise ShapeError(f"{self.name} has images of shape {self.shape}, the model wants {shape}")
        train, test = (
            each if isinstance(each.x, ImageDataset) else Samples(each.x.reshape(-1, *shape), each.y)
            for each in (self.train, self.test)
        )
        return self._replace(train=train, test=test, shape=shape)

    def limited(self, count: int | None) -> Dataset:
        """The first images alone, of each part."""
        if count is None:
            return self
        return self._replace(train=self.train.part(0, count), test=self.test.part(0, count))


def add_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """``--dataset`` and what belongs to it."""
    add = parser.add_argument
    add(
        "--dataset",
        type=opt.one_of(NAMED),
        metavar="DATA",
        default=default,
        help=f"{', '.join(NAMED)}; a folder with a folder of pictures for each class, in train/ and test/ if "
        "there are such; a folder with MNIST's four files, or an IDX file of images; or a .npz file with "
        "x_train, y_train, x_test and y_test, or x and y"
        + (f" (default: {default})" if default else " (default: what the model was trained on, else mnist)"),
    )
    add("--labels", metavar="FILE", help="the IDX file of labels, if its name does not follow from --dataset")


class Wanted(NamedTuple):
    """What a model wants of pictures, as far as it is known."""

    shape: Shape | None
    size: tuple[int, int] = (32, 32)  # if the shape is not known
    class_names: list[str] | None = None  # folders, in the order of labels


def load(options: argparse.Namespace, wanted: Wanted) -> Dataset:
    """What ``--dataset`` names, in the shape that a model wants."""
    found = _load(options.dataset, options.labels, wanted)
    return found if wanted.shape is None else found.shaped(wanted.shape)


def _load(name: str, labels: str | None, wanted: Wanted) -> Dataset:
    if name in NAMED:
        load_data, names = NAMED[name]
        train, test = load_data()
        return _dataset(name, train, test, names)
    path = Path(name)
    if path.is_dir():
        if _idx_file(path, _MNIST_FILES[0]):
            parts = [_pair(_idx_file(path, part) or path / part, None) for part in _MNIST_FILES]
            return _dataset(name, parts[0], parts[1], None)
        if labels:
            raise Failure(f"--labels: came with a folder of pictures, {name}, whose folders are the labels")
        return _pictures(path, wanted)
    with path.open("rb") as file:
        head = file.read(2)
    if head == b"PK":
        return _arrays(name, npz.load(path))
    return _dataset(name, _pair(path, labels), None, None)


def image_size(text: str) -> tuple[int, int]:
    """``N`` or ``HxW``, for argparse."""
    try:
        height, width = (
            int(each) for each in (text.lower().split("x") if "x" in text.lower() else (text, text))
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, wanted N or HEIGHTxWIDTH") from None
    if not (0 < height <= 1 << 14 and 0 < width <= 1 << 14):
        raise argparse.ArgumentTypeError(f"{text}, wanted sizes from 1 to {1 << 14}")
    return height, width


def look_for(shape: Shape) -> Look:
    """How pictures are read for a model's input [H, W, C], [H, W], or [H * W] of a square."""
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side * side == shape[0]:
        shape = (side, side)
    height, width, channels = (*shape, 1)[:3] if len(shape) in (2, 3) else (0, 0, 0)
    modes = {1: "grayscale", 3: "rgb", 4: "rgba"}
    if channels not in modes:
        raise Failure(f"the model's input {shape} is no picture; give it arrays (.npy, .npz or IDX)")
    return Look(modes[channels], (height, width), upright=True)


def _pictures(path: Path, wanted: Wanted) -> Dataset:
    look = Look("rgb", wanted.size) if wanted.shape is None else look_for(wanted.shape)
    tests = [path / name for name in _TEST_FOLDERS if (path / name).is_dir()]
    split = (path / "train").is_dir() and bool(tests)

    def read(folder: Path, **more: Any) -> Any:
        made = image_dataset_from_directory(
            folder,
            color_mode=look.color_mode,
            image_size=look.size,
            seed=0,
            verbose=False,
            batch_size=32,
            **more,
        )
        for part in made if isinstance(made, (list, tuple)) else (made,):
            part.look = part.look._replace(upright=True)
        return made

    if split:
        train = read(path / "train", class_names=wanted.class_names)
        test = read(tests[0], class_names=train.class_names, shuffle=False)
    else:
        train, test = read(
            path, class_names=wanted.class_names, validation_split=1 / recipe.TEST, subset="both"
        )
    images = Samples(train, train.labels), Samples(test, test.labels)
    count = train.samples + test.samples
    if count * math.prod(train.look.shape) * 4 <= _IN_MEMORY:
        images = _gathered(images[0]), _gathered(images[1])
    return Dataset(str(path), *images, train.class_names, train.look.shape)


def _gathered(samples: Samples) -> Samples:
    """All pictures, decoded once."""
    assert isinstance(samples.x, ImageDataset)
    return Samples(np.concatenate([x for x, _ in samples.x]), samples.y)


def _arrays(name: str, arrays: dict[str, Array]) -> Dataset:
    for keys in _ARRAYS:
        if set(keys[:2]) <= set(arrays):
            test = (arrays[keys[2]], arrays[keys[3]]) if set(keys[2:]) <= set(arrays) else None
            return _dataset(name, (arrays[keys[0]], arrays[keys[1]]), test, None)
    for x, y in _ALONE:
        if {x, y} <= set(arrays):
            return _dataset(name, (arrays[x], arrays[y]), None, None)
    raise Failure(
        f"{name}: it holds {', '.join(sorted(arrays)) or 'nothing'}, wanted x_train, y_train, x_test "
        "and y_test, or x and y"
    )


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((folder / each for each in (name, f"{name}.gz") if (folder / each).is_file()), None)


def _pair(images: Path, labels: str | os.PathLike[str] | None) -> tuple[Array, Array]:
    if labels is None:
        name = images.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
        found = _idx_file(images.parent, name.removesuffix(".gz"))
        if found is None or found.name == images.name:
            raise Failure(f"--labels: the labels of {images} are wanted: an IDX file of its own")
        labels = found
    return idx.load_pair(images, labels)


def _dataset(
    name: str, train: tuple[Array, Array], test: tuple[Array, Array] | None, names: Sequence[str] | None
) -> Dataset:
    """Arrays as images and labels; what is wrong with them is told of their file."""
    x, y = _checked(name, *train)
    if name not in NAMED:
        order = np.random.default_rng(0).permutation(len(y))
        x, y = x[order], y[order]
    if test is None:
        kept = len(y) - len(y) // recipe.TEST
        if kept == len(y):
            raise Failure(
                f"{name}: {kept} images, wanted {recipe.TEST} or more: one in so many is for testing"
            )
        x, x_test, y, y_test = x[:kept], x[kept:], y[:kept], y[kept:]
    else:
        x_test, y_test = _checked(name, *test)
    if x.shape[1:] != x_test.shape[1:]:
        raise FormatError(
            name, None, f"training images of shape {x.shape[1:]}, test images of shape {x_test.shape[1:]}"
        )
    classes = 1 + int(max(y.max(), y_test.max()))
    return Dataset(
        name, Samples(x, y), Samples(x_test, y_test), list(names or map(str, range(classes))), x.shape[1:]
    )


def _checked(name: str, x: Array, y: Array) -> tuple[Array, Array]:
    """Images [N, H, W, C], or [N, features], and labels [N]."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim not in (2, 3, 4) or y.ndim != 1 or len(x) != len(y) or not x.size:
        raise FormatError(
            name,
            None,
            f"images of shape {x.shape} and labels of shape {y.shape}, wanted [N, H, W, C] and [N]",
        )
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "biuf":
        raise FormatError(name, None, f"images of {x.dtype} and labels of {y.dtype}, wanted numbers")
    if not ((y == np.floor(y)) & (y >= 0) & (y < 1 << 20)).all():
        raise FormatError(name, None, "a label is no whole number from 0 on")
    return x[..., np.newaxis] if x.ndim == 3 else x, y.astype(np.int64)
