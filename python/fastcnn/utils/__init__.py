# SPDX-License-Identifier: Apache-2.0
"""Seeds, names, one-hot targets, parts of data sets, batches by number, pictures, drawings of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcnn._late import late, listing
from fastcnn.utils.arrays import normalize, split_dataset, to_categorical
from fastcnn.utils.seeds import clear_session, set_random_seed

if TYPE_CHECKING:
    from fastcnn.saving import (
        CustomObjectScope,
        custom_object_scope,
        deserialize_keras_object,
        get_custom_objects,
        register_keras_serializable,
        serialize_keras_object,
    )
    from fastcnn.utils.batches import PyDataset, Sequence
    from fastcnn.utils.folders import image_dataset_from_directory
    from fastcnn.utils.images import array_to_img, img_to_array, load_img, save_img
    from fastcnn.utils.plotting import plot_model
    from fastcnn.utils.scripts import (
        Progbar,
        get_source_inputs,
        is_keras_tensor,
        pack_x_y_sample_weight,
        unpack_x_y_sample_weight,
    )

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_keras_tensor",
    "load_img",
    "normalize",
    "pack_x_y_sample_weight",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

__dir__ = listing(__name__)
__getattr__ = late(
    __name__,
    {
        "fastcnn.saving": (
            "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
            "register_keras_serializable", "serialize_keras_object",
        ),
        "batches": ("PyDataset", "Sequence"),
        "folders": ("image_dataset_from_directory",),
        "images": ("array_to_img", "img_to_array", "load_img", "save_img"),
        "plotting": ("plot_model",),
        "scripts": (
            "Progbar", "get_source_inputs", "is_keras_tensor", "pack_x_y_sample_weight",
            "unpack_x_y_sample_weight",
        ),
    },
)  # fmt: skip
