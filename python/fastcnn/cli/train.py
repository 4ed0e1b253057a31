# SPDX-License-Identifier: Apache-2.0
"""``fastcnn train``: train a network, test it, and leave everything in runs/NAME/.

Some of the training images are held back for the validation curves; the test images are used once, at the
end.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from pathlib import Path
from typing import Any

from fastcnn import utils, visualize
from fastcnn.cli import data, evaluate, info, recipe
from fastcnn.cli import options as opt
from fastcnn.cli.networks import NETWORKS, Architecture, resolve
from fastcnn.cli.plots import draw_matrix
from fastcnn.cli.report import json_text, write_json


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser = opt.add_parser(
        commands,
        "train",
        "train a network",
        "Train, test, and write the model, its history, its metrics and two pictures to OUT/NAME/.",
        "fastcnn train\n"
        "fastcnn train --model resnet20 --dataset cifar10 --epochs 30\n"
        "fastcnn train --dataset photos/ --image-size 64 --config run.toml",
    )
    add = parser.add_argument
    add(
        "--model",
        type=opt.one_of(NETWORKS),
        metavar="MODEL",
        default=recipe.NETWORK,
        help=f"{', '.join(NETWORKS)}; a saved model, whose training goes on from its weights; or a list of "
        "layers in a JSON or TOML file (default: %(default)s)",
    )
    data.add_options(parser, "mnist")
    add(
        "--image-size",
        type=data.image_size,
        default=data.image_size("32"),
        metavar="SIZE",
        help="N or HxW, to which pictures of a folder are scaled for a model that takes any (default: 32)",
    )
    add(
        "--epochs",
        type=opt.whole(1),
        default=recipe.EPOCHS,
        help="passes over the training images (default: %(default)s)",
    )
    add(
        "--batch-size",
        type=opt.whole(1),
        default=recipe.BATCH_SIZE,
        help="images in one step (default: %(default)s)",
    )
    add(
        "--optimizer",
        choices=tuple(recipe.OPTIMIZERS),
        default=recipe.OPTIMIZER,
        metavar="NAME",
        help=f"{', '.join(recipe.OPTIMIZERS)} (default: %(default)s; sgd has momentum)",
    )
    rates = ", ".join(f"{recipe.learning_rate(name, None)} for {name}" for name in ("adam", "sgd"))
    add(
        "--lr",
        type=opt.rate,
        metavar="RATE",
        help=f"the highest, after three tenths of the steps (default: {rates})",
    )
    add(
        "--seed",
        type=opt.whole(0, 2**32 - 1),
        default=0,
        help="of weights, order and dropout (default: %(default)s)",
    )
    opt.add_device(parser)
    add("--out", type=Path, default=Path("runs"), help="folder of all runs (default: %(default)s)")
    add(
        "--name", type=_name, help="folder of this run, written over if it exists (default: network and time)"
    )
    opt.add_limit(parser, "training images and the first N test images")
    opt.add_common(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the run's folder, so that one that cannot be written costs no training; then train."""
    utils.set_random_seed(options.seed)  # a model from a file draws its own seed when it is read
    architecture = resolve(options.model)
    folder = options.out / (options.name or time.strftime(f"{architecture.name}-%Y%m%d-%H%M%S"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _train(options, architecture, folder)
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()  # it stays if anything is in it
        raise


def _train(options: argparse.Namespace, architecture: Architecture, folder: Path) -> int:
    found = data.load(options, data.Wanted(architecture.shape, options.image_size)).limited(options.limit)
    count = len(found.train.y)
    trained = count - count // recipe.VALIDATION
    training, validation = found.train.part(0, trained), found.train.part(trained, count)
    model = architecture.build(found.shape, len(found.class_names), found.scale)
    rate = recipe.learning_rate(options.optimizer, options.lr)
    model.compile(
        recipe.optimizer(
            options.optimizer, recipe.schedule(rate, options.epochs, trained, options.batch_size)
        ),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        device=options.device,
    )

    # With --json stdout is for the document alone.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        model.summary()
        start = time.perf_counter()
        x, y, batch_size = training.fed(options.batch_size)
        history = model.fit(
            x,
            y,
            batch_size=batch_size,
            epochs=options.epochs,
            validation_data=_validation(validation, options.batch_size),
        ).history
        seconds = time.perf_counter() - start
    result = evaluate.test(model, [found.test], found)

    metrics = {
        **result.metrics(),
        "seconds": seconds,
        "images_per_second": options.epochs * trained / seconds,
        "network": options.model,
        "dataset": found.name if found.name in data.NAMED else str(Path(found.name).resolve()),
        "parameters": model.count_params(),
        "optimizer": options.optimizer,
        "learning_rate": rate,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "training_images": trained,
        "validation_images": len(validation.y),
        "version": info.version(),
        **{key: value for key, value in info.host().items() if key in ("isa", "threads")},
    }
    model.save(folder / "model.safetensors")
    write_json(folder / "history.json", history)
    write_json(folder / "metrics.json", metrics)
    pictures = _draw(folder, history, result)
    if options.json:
        print(json_text(metrics | {"folder": str(folder)}))
    else:
        print(f"\n{seconds:.1f} s of training, {result.text()}\n")
        print(f"written to {folder}: model.safetensors history.json metrics.json {pictures}")
    if not math.isfinite(result.loss):
        raise opt.Failure(f"the training diverged (test loss {result.loss}): try a smaller --lr")
    return 0


def _validation(samples: data.Samples, batch_size: int) -> Any:
    if not len(samples.y):
        return None
    x, y, _ = samples.fed(batch_size)
    return x if y is None else (x, y)


def _draw(folder: Path, history: dict[str, Any], result: evaluate.Result) -> str:
    """Both pictures; their names for the last line, or why there are none."""
    try:
        visualize.learning_curves(history, folder / "learning_curves.png")
        draw_matrix(folder, result.matrix, result.class_names)
    except ImportError as error:
        return f"(no pictures: {error})"
    return "learning_curves.png confusion_matrix.png"


def _name(text: str) -> str:
    if text in ("", ".", "..") or "/" in text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r}, wanted the name of one folder")
    return text
