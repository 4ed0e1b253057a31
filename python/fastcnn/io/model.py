# SPDX-License-Identifier: Apache-2.0
"""One file per model: safetensors with the model's state, the architecture as JSON in its metadata.

``get_config`` and ``get_compile_config`` describe a model from a closed registry of names; ``get_state`` has
the weights, optimizer slots, step counter and random-number position. A model's ``save`` and
``fastcnn.load_model`` call this.
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn.errors import DeviceError, FormatError
from fastcnn.io.safetensors import Array, Path, parse_json, read_safetensors, write_safetensors

if TYPE_CHECKING:
    from fastcnn.models.base import BaseModel

MODEL_VERSION = 1  # of what save_model writes; a file of a later version is refused
_WEIGHTS = "parameters/"  # begins the names of weights and moving statistics


def save_model(model: BaseModel, filepath: Path, overwrite: bool = True) -> None:
    """Write architecture, weights, optimizer state and random-number position of a model into one file.

    Parameters
    ----------
    model
        A built model.
    filepath
        The safetensors file, whatever its name ends in; an existing one is replaced in one step, once the new
        one is safely on the disk.
    overwrite
        Whether an existing one may be replaced.

    Raises
    ------
    OSError
        The file cannot be written, or exists and ``overwrite`` is False; an older file is as it was.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastcnn
    >>> from fastcnn import layers
    >>> model = fastcnn.Sequential([layers.Dense(2, input_shape=(3,))])
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> model.save(path)
    >>> fastcnn.load_model(path).count_params()
    8
    """
    _may_write(filepath, overwrite)
    metadata = {
        "fastcnn.model": str(MODEL_VERSION),
        "fastcnn.architecture": json.dumps(model.described()["config"], allow_nan=False),
        "fastcnn.training": json.dumps(model.get_compile_config(), allow_nan=False),
    }
    write_safetensors(filepath, model.get_state(), metadata)


def load_model(
    filepath: Path,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> BaseModel:
    """Read a model that ``save_model`` wrote: training goes on, to the bit, where it was.

    Parameters
    ----------
    filepath
        The safetensors file.
    custom_objects
        Losses and metrics of your own by name, if the model was compiled with such, beside those of
        `fastcnn.saving.register_keras_serializable`.
    compile
        Whether to compile the model, if the saved one was; else its optimizer's state is left out.
    safe_mode
        Without effect: files hold no code.

    Returns
    -------
    Sequential or Model
        Built, and compiled if the saved one was.

    Raises
    ------
    FormatError
        The file is damaged, is not a model, names a layer that is not in the package, holds tensors that do
        not fit its own architecture, or was written in a later format.
    OSError
        The file cannot be opened or read.

    Examples
    --------
    See `save_model`.
    """
    from fastcnn.models import from_config, unbuilt
    from fastcnn.saving import get_custom_objects

    path = filepath
    tensors, metadata = read_safetensors(path)
    version = metadata.get("fastcnn.model")
    if version is None:
        raise FormatError(path, 8, "not a fastcnn model: the metadata has no 'fastcnn.model'")
    if version != str(MODEL_VERSION):
        raise FormatError(path, 8, f"model format {version[:20]!r}, this build reads {MODEL_VERSION}")
    architecture, training = (
        parse_json(metadata.get(key, ""), path, 8, key)
        for key in ("fastcnn.architecture", "fastcnn.training")
    )
    try:
        with unbuilt():
            model = from_config(architecture)
        # Before any memory is claimed: an architecture may ask for no more than the file itself holds.
        weights = {name: value for name, value in tensors.items() if name.startswith(_WEIGHTS)}
        shapes = model.parameter_shapes().items()
        _check({_WEIGHTS + name: (shape, np.dtype(np.float32)) for name, shape in shapes}, weights)
        model._bind()
        if training is not None and compile:
            _compile(model, training, {**get_custom_objects(), **(custom_objects or {})})
        elif not compile:
            tensors = {name: value for name, value in tensors.items() if not name.startswith("optimizer/")}
        _check({name: (each.shape, each.dtype) for name, each in model.get_state().items()}, tensors)
        model.set_state(tensors)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise FormatError(path, 8, f"not a model of this build: {error}") from error
    return model


def _compile(model: BaseModel, training: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> None:
    """As it was compiled, but for the CPU in float32 if that device or precision is not to be had here."""
    try:
        model.compile_from_config(training, custom_objects)
    except DeviceError as error:
        warnings.warn(
            f"load_model: the model is compiled for the CPU in float32: {error}", UserWarning, stacklevel=4
        )
        model.compile_from_config({**training, "device": "cpu", "precision": "float32"}, custom_objects)


def save_weights(model: BaseModel, filepath: Path, overwrite: bool = True) -> None:
    """Write the weights of a model, and nothing else, into one file. See ``model.save_weights``."""
    _may_write(filepath, overwrite)
    tensors = {
        f"{each.number:04d}/{each.layer.name}/{each.role}": value
        for each, value in zip(model._bind().parameters, model.get_weights(), strict=True)
    }
    write_safetensors(filepath, tensors, {"fastcnn.weights": str(MODEL_VERSION)})


def load_weights(model: BaseModel, filepath: Path, skip_mismatch: bool = False) -> None:
    """Take over what ``save_weights`` wrote, or the weights of a file that ``save_model`` wrote."""
    path = filepath
    tensors, metadata = read_safetensors(path)
    parameters = model._bind().parameters
    if "fastcnn.weights" in metadata:  # in the order of the calls, which that of the layers need not be
        values = [tensors[name] for name in sorted(tensors)]
        if len(values) == len(parameters):
            stored = dict(zip(sorted(each.number for each in parameters), values, strict=True))
            values = [stored[each.number] for each in parameters]
    elif "fastcnn.model" in metadata:
        names = [_WEIGHTS + each.name for each in parameters]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise FormatError(path, 8, f"the file has no {missing[0][:80]!r}, which the model has")
        values = [tensors[name] for name in names]
    else:
        raise FormatError(path, 8, "no weights of a model: the metadata has neither weights nor a model")
    if skip_mismatch and len(values) == len(parameters):
        own = model.get_weights()
        values = [new if new.shape == old.shape else old for new, old in zip(values, own, strict=True)]
    try:
        model.set_weights(values)
    except ValueError as error:
        raise FormatError(path, 8, f"the weights do not fit the model: {error}") from error


def _may_write(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.exists(path):
        raise FileExistsError(errno.EEXIST, "the file exists, and overwrite is False", os.fspath(path))


def _check(wanted: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], found: Mapping[str, Array]) -> None:
    """Refuse tensors that are not exactly the model's; all is checked before anything is set."""
    problems = [f"tensor {name!r} is missing" for name in wanted if name not in found]
    problems += [f"tensor {name[:80]!r} is not the model's" for name in found if name not in wanted]
    problems += [
        f"tensor {name!r} is {found[name].dtype} {found[name].shape}, wanted {dtype} {shape}"
        for name, (shape, dtype) in wanted.items()
        if name in found and (found[name].shape, found[name].dtype) != (shape, dtype)
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError("; ".join(problems[:5]) + more)
