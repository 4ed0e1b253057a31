# SPDX-License-Identifier: Apache-2.0
"""The networks that ``fastcnn train`` knows, and those that files describe.

Its own take images [N, H, W, C] as they are; ``scale`` brings their pixels to 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fastcnn import Input, Model, Sequential, io, layers, models
from fastcnn.cli.config import read_toml
from fastcnn.cli.options import Failure
from fastcnn.errors import FormatError
from fastcnn.io.safetensors import parse_json
from fastcnn.models.base import BaseModel

Shape = tuple[int, ...]

_RESNET_STAGES, _RESNET_BLOCKS = (16, 32, 64), 3
_LARGEST = 1 << 24  # bytes of a description


def cnn(shape: Shape, classes: int, scale: float) -> Sequential:
    """Two 5x5 convolutions of 12 and 24 channels, each pooled, and one dense layer: the default."""
    return Sequential(
        [
            Input(shape),
            layers.Rescaling(scale),
            layers.Conv2D(12, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(24, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def lenet(shape: Shape, classes: int, scale: float) -> Sequential:
    """LeNet-5's layers (Y. LeCun et al., 1998) with ReLU and max-pooling."""
    return Sequential(
        [
            Input(shape),
            layers.Rescaling(scale),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def resnet20(shape: Shape, classes: int, scale: float) -> Model:
    """ResNet-20 for small images (K. He et al., 2015), 1x1 convolutions where a residual changes shape."""

    def joined(x: Any, filters: int, size: int, stride: int) -> Any:
        convolution = layers.Conv2D(
            filters, size, stride, "same", use_bias=False, kernel_initializer="he_normal"
        )
        return layers.BatchNormalization()(convolution(x))

    inputs = Input(shape)
    x = layers.ReLU()(joined(layers.Rescaling(scale)(inputs), _RESNET_STAGES[0], 3, 1))
    for stage, filters in enumerate(_RESNET_STAGES):
        for block in range(_RESNET_BLOCKS):
            stride = 2 if stage and not block else 1
            residual = x if stride == 1 else joined(x, filters, 1, stride)
            y = layers.ReLU()(joined(x, filters, 3, stride))
            x = layers.ReLU()(layers.Add()([joined(y, filters, 3, 1), residual]))
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(classes, activation="softmax")(x))


NETWORKS: dict[str, Callable[[Shape, int, float], BaseModel]] = {
    "cnn": cnn,
    "lenet": lenet,
    "resnet20": resnet20,
}


class Architecture(NamedTuple):
    """What ``--model`` names."""

    name: str
    shape: Shape | None  # of the images that it takes; None: of any
    build: Callable[[Shape, int, float], BaseModel]


def resolve(name: str) -> Architecture:
    """A network of the package, a saved model, or a list of layers in a JSON or TOML file."""
    if name in NETWORKS:
        return Architecture(name, None, NETWORKS[name])
    path = Path(name)
    if path.is_dir():
        path /= "model.safetensors"
    if not path.exists():
        raise Failure(f"--model: {name!r} is neither a file nor one of {', '.join(NETWORKS)}")
    if path.suffix.lower() in (".json", ".toml"):
        model = _described(path)
    else:
        model = io.load_model(path, compile=False)
    one_of_each(model, str(path))
    open_shape = isinstance(model, Sequential) and model.declared_shape is None

    def build(shape: Shape, classes: int, scale: float) -> BaseModel:
        if isinstance(model, Sequential) and open_shape:
            model.build((None, *shape))
        outputs = tuple(model.output_shape[1:])
        if len(outputs) != 1 or outputs[0] < classes:
            raise Failure(f"{path}: the model gives {outputs} for an image, the data have {classes} classes")
        return model

    stem = path.parent.name if path.name == "model.safetensors" else path.stem
    return Architecture(stem or "model", None if open_shape else tuple(model.input_shape[1:]), build)


def one_of_each(model: BaseModel, path: str) -> None:
    """Refuse a model with several inputs or outputs."""
    ends = len(model.input_names), len(model.output_names)
    if ends != (1, 1):
        raise Failure(f"{path}: the model has {ends[0]} inputs and {ends[1]} outputs, wanted one of each")


def _described(path: Path) -> BaseModel:
    """What ``get_config`` gave, or a list of layers with their arguments."""
    if path.stat().st_size > _LARGEST:
        raise FormatError(path, None, f"more than {_LARGEST} bytes, wanted a list of layers")
    if path.suffix.lower() == ".toml":
        description = read_toml(path)
    else:
        try:
            description = parse_json(path.read_text("utf-8"), path, 0, "list of layers")
        except UnicodeDecodeError as error:
            raise FormatError(path, error.start, "not UTF-8") from None
    try:
        if isinstance(description, Mapping) and {"calls", "build_input_shape"} & set(description):
            return models.from_config(description)
        stack = description if isinstance(description, list) else _only_layers(description)
        return Sequential([_layer(each, number) for number, each in enumerate(stack)])
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(path, None, str(error)) from error


def _only_layers(description: Any) -> list[Any]:
    if not isinstance(description, Mapping) or set(description) != {"layers"}:
        keys = (
            f"the keys {sorted(description)}"
            if isinstance(description, Mapping)
            else type(description).__name__
        )
        raise ValueError(f"{keys} came, wanted layers, a list")
    if not isinstance(description["layers"], list):
        raise ValueError(f"layers: {type(description['layers']).__name__} came, wanted a list")
    return description["layers"]


def _layer(description: Any, number: int) -> Any:
    """``{"class_name": "Dense", "units": 10}``; the arguments may stand in "config", too."""
    if not isinstance(description, Mapping) or "class_name" not in description:
        raise ValueError(f"layer {number}: {str(description)[:60]} came, wanted a table with a class_name")
    rest = {key: value for key, value in description.items() if key != "class_name"}
    config = rest["config"] if set(rest) == {"config"} else rest
    return models.base.from_description(
        {"class_name": description["class_name"], "config": config}, f"layer {number}"
    )
