# SPDX-License-Identifier: Apache-2.0
"""``fastcnn evaluate``: loss, accuracy and confusion matrix of a saved model on test images."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from fastcnn import losses
from fastcnn.cli import data, images, recipe
from fastcnn.cli import options as opt
from fastcnn.cli.plots import draw_matrix
from fastcnn.cli.report import json_text, matrix_text
from fastcnn.math import confusion_matrix
from fastcnn.models.base import BaseModel


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser = opt.add_parser(
        commands,
        "evaluate",
        "test a saved model",
        "Print a saved model's loss, accuracy and confusion matrix.",
        "fastcnn evaluate runs/first\nfastcnn evaluate runs/first --dataset photos/ --part all --json",
    )
    opt.add_model(parser)
    data.add_options(parser, None)
    parser.add_argument(
        "--part",
        choices=("test", "train", "all"),
        default="test",
        help="which images; of data without test images a sixth, always the same, is for testing (default: "
        "%(default)s)",
    )
    opt.add_limit(parser, "images")
    opt.add_plots(parser, "the confusion matrix")
    opt.add_common(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Load, test, report."""
    model = images.load_model(options.model)
    wanted = data.Wanted(
        images.input_shape(model), class_names=images.noted_names(options.model, model.output_shape[-1])
    )
    if options.dataset is None:
        noted = images.notes(options.model).get("dataset")
        options.dataset = noted if isinstance(noted, str) else "mnist"
    found = data.load(options, wanted)
    parts = {"test": (found.test,), "train": (found.train,), "all": (found.train, found.test)}
    result = test(model, [each.part(0, options.limit) for each in parts[options.part]], found)
    if options.plots:
        draw_matrix(options.plots, result.matrix, result.class_names)
    if options.json:
        print(json_text({"dataset": found.name, **result.metrics()}))
        return 0
    print(result.text())
    if options.plots:
        print(f"\nwritten to {options.plots}: confusion_matrix.png")
    return 0


class Result(NamedTuple):
    """How a model does on the test images."""

    loss: float
    matrix: npt.NDArray[np.int64]
    class_names: list[str]

    @property
    def accuracy(self) -> float:
        """Share of the diagonal."""
        return float(np.trace(self.matrix) / self.matrix.sum())

    def metrics(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "test_accuracy": self.accuracy,
            "test_loss": self.loss,
            "test_images": int(self.matrix.sum()),
            "class_names": self.class_names,
            "confusion_matrix": self.matrix.tolist(),
        }

    def text(self) -> str:
        """For people."""
        scores = f"test accuracy {self.accuracy:.4f}, test loss {self.loss:.4f}"
        return f"{scores}\n\n{matrix_text(self.matrix, self.class_names)}"


def test(model: BaseModel, parts: list[data.Samples], found: data.Dataset) -> Result:
    """Loss and confusion matrix of a classifier over parts of a data set."""
    classes = model.output_shape[-1]
    if len(model.output_shape) != 2 or classes < len(found.class_names):
        raise opt.Failure(
            f"the model gives {model.output_shape[1:]} for an image, wanted a value for each of the "
            f"{len(found.class_names)} classes of {found.name}"
        )
    if model.get_compile_config() is None:
        model.compile("sgd", "sparse_categorical_crossentropy")
    one_hot = None if isinstance(model.loss, losses.SparseCategoricalCrossentropy) else classes
    total, count, matrix = 0.0, 0, np.zeros((classes, classes), np.int64)
    for part in parts:
        x, y, batch_size = part.fed(recipe.BATCH_SIZE, one_hot)
        outputs = model.predict(x, batch_size, verbose=0)
        scores = cast("dict[str, float]", model.evaluate(x, y, batch_size, verbose=0, return_dict=True))
        matrix += confusion_matrix(part.y, outputs.argmax(axis=1), num_classes=classes)
        total, count = total + scores["loss"] * len(part.y), count + len(part.y)
    names = found.class_names + [str(number) for number in range(len(found.class_names), classes)]
    return Result(total / count, matrix, names)
