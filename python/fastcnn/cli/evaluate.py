# SPDX-License-Identifier: Apache-2.0
"""``fastcnn evaluate``: loss, accuracy and confusion matrix of a saved model on MNIST's test images."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from fastcnn.cli import images
from fastcnn.cli import options as opt
from fastcnn.cli.report import json_text, matrix_text
from fastcnn.datasets import mnist
from fastcnn.math import confusion_matrix
from fastcnn.models.base import BaseModel


def add_command(commands: Any) -> None:
    """Describe the command to argparse."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "evaluate",
        help="test a saved model on MNIST",
        description="Print a saved model's loss, accuracy and confusion matrix on MNIST's test images.",
    )
    opt.add_model(parser)
    opt.add_limit(parser, "test images")
    opt.add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Load, test, report."""
    model = images.load_model(options.model)
    x, y = (array[: options.limit] for array in mnist.load_data()[1])
    result = test(model, images.reshape(x, model, "MNIST"), y)
    print(json_text(result.metrics()) if options.json else result.text())
    return 0


class Result(NamedTuple):
    """How a model does on the test images."""

    loss: float
    matrix: npt.NDArray[np.int64]

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
            "confusion_matrix": self.matrix.tolist(),
        }

    def text(self) -> str:
        """For people."""
        return f"test accuracy {self.accuracy:.4f}, test loss {self.loss:.4f}\n\n{matrix_text(self.matrix)}"


def test(model: BaseModel, x: images.Array, y: images.Array) -> Result:
    """Loss and confusion matrix of a compiled classifier of digits."""
    outputs = model.predict(x, verbose=0)
    if outputs.ndim != 2 or outputs.shape[1] != 10:
        raise opt.Failure(
            f"the model gives {outputs.shape[1:]} for an image, wanted (10,): one value a digit"
        )
    scores = cast("dict[str, float]", model.evaluate(x, y, verbose=0, return_dict=True))
    return Result(scores["loss"], confusion_matrix(y, outputs.argmax(axis=1), num_classes=10))
