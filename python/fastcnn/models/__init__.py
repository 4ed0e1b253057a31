# SPDX-License-Identifier: Apache-2.0
"""Networks: a stack of layers, or a graph of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastcnn.errors import ArgumentError
from fastcnn.models.base import BaseModel, from_description
from fastcnn.models.base import unbuilt as unbuilt
from fastcnn.models.functional import Model
from fastcnn.models.sequential import Sequential

if TYPE_CHECKING:
    from fastcnn.io import load_model, save_model
    from fastcnn.models.cloning import clone_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


def from_config(config: Mapping[str, Any]) -> BaseModel:
    """The model that ``get_config`` described."""
    graph = isinstance(config, Mapping) and "calls" in config
    return Model.from_config(config) if graph else Sequential.from_config(config)


def model_from_json(json_string: str, custom_objects: object = None) -> BaseModel:
    """The model whose ``to_json`` this is, with new weights; ``custom_objects`` has no effect.

    Raises
    ------
    ArgumentError
        It is no such text.
    """
    import json  # only now, as it is slow

    where = "model_from_json"
    try:
        described = json.loads(json_string)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{where}: json_string: {error}") from None
    model = from_description(described, where)
    if not isinstance(model, BaseModel):
        raise ArgumentError(f"{where}: json_string: a {type(model).__name__} came, wanted a model")
    return model


def __getattr__(name: str) -> Any:
    if name in ("load_model", "save_model"):  # late, since files are a slow import
        from fastcnn import io

        return getattr(io, name)
    if name == "clone_model":
        from fastcnn.models.cloning import clone_model

        return clone_model
    from fastcnn._absent import absent

    raise absent(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
