# SPDX-License-Identifier: Apache-2.0
"""``fastcnn predict``: the likeliest classes of images, with a bar each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastcnn.cli import images
from fastcnn.cli import options as opt
from fastcnn.cli.plots import draw_features
from fastcnn.cli.report import bar, json_text
from fastcnn.datasets import mnist
from fastcnn.models.base import BaseModel

_TEST_IMAGES = 10_000


class _Source(NamedTuple):
    """Where one image comes from; ``label`` is its true class if that is known."""

    name: str
    label: int | None


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser = opt.add_parser(
        commands,
        "predict",
        "classify images with a saved model",
        "Print the likeliest classes of each image, and a bar for each.",
        "fastcnn predict runs/first cat.jpg dog.png\nfastcnn predict runs/first --index 0 --plots maps/",
    )
    opt.add_model(parser)
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="a picture (needs Pillow; scaled to the model's input), or arrays in a .npy or IDX file",
    )
    parser.add_argument(
        "--index",
        type=opt.whole(0, _TEST_IMAGES - 1),
        action="append",
        default=[],
        metavar="I",
        help="image I of MNIST's test set; may be repeated",
    )
    parser.add_argument(
        "--top", type=opt.whole(1), default=3, metavar="K", help="classes to print (default: %(default)s)"
    )
    parser.add_argument(
        "--invert", action="store_true", help="pictures are dark on light; MNIST is light on dark"
    )
    opt.add_plots(parser, "the feature maps of each layer for each image")
    opt.add_common(parser)
    parser.set_defaults(run=run, usage=parser.error)


def run(options: argparse.Namespace) -> int:
    """Load, predict, report."""
    if not options.images and not options.index:
        options.usage("give an IMAGE or --index I")
    model = images.load_model(options.model)
    sources: list[_Source] = []
    batches: list[images.Array] = []
    for path in options.images:
        batch = images.read(path, model, options.invert)
        names = [path] if len(batch) == 1 else [f"{path}[{number}]" for number in range(len(batch))]
        sources += [_Source(name, None) for name in names]
        batches.append(batch)
    if options.index:
        x, y = mnist.load_data()[1]
        sources += [_Source(f"MNIST test image {number}", int(y[number])) for number in options.index]
        batches.append(images.reshape(x[options.index], model, "MNIST"))

    rows = np.concatenate([_rows(model, batch) for batch in batches])
    class_names = images.noted_names(options.model, rows.shape[1]) or [*map(str, range(rows.shape[1]))]
    pictures = 0
    if options.plots:
        stems = iter(_stems([source.name for source in sources]))
        for batch in batches:
            pictures += draw_features(options.plots, model, batch, [next(stems) for _ in batch])
    width = max(6, *map(len, class_names))
    results = []
    for source, outputs in zip(sources, rows, strict=True):
        best = np.argsort(-outputs, kind="stable")[: options.top]
        classes = [
            {"class": int(each), "name": class_names[each], "probability": float(outputs[each])}
            for each in best
        ]
        results.append({"image": source.name, "label": source.label, "classes": classes})
        if not options.json:
            print(source.name + ("" if source.label is None else f" (a {source.label})"))
            for each in best:
                shown = f"{class_names[each]:>{width}} {100 * outputs[each]:6.2f} %"
                print(f"{shown} {bar(float(outputs[each]))}".rstrip())
    if options.json:
        print(json_text(results))
    elif pictures:
        print(f"written to {options.plots}: {pictures} picture{'s' * (pictures > 1)}")
    return 0


def _stems(names: list[str]) -> list[str]:
    """What files of pictures are named after: two images must not share them."""
    short = [Path(name).name for name in names]
    return [f"{number}-{name}" if short.count(name) > 1 else name for number, name in enumerate(short)]


def _rows(model: BaseModel, batch: images.Array) -> images.Array:
    outputs: images.Array = model.predict(batch, verbose=0)
    return outputs.reshape(len(batch), -1)
