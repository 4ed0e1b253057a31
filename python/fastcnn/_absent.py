# SPDX-License-Identifier: Apache-2.0
"""Names of Keras that are not here, and what to do instead: the end of a package's ``__getattr__``."""

from __future__ import annotations

import difflib
import sys

_SEQUENCES = "recurrent layers, attention and text are left out: the package is for convolutional networks"
_FIELDS = "it is left out: a model holds plain float32 arrays, which get_weights and set_weights copy"
_STORED = "pretrained networks are left out: build one of layers, and set_weights or load_weights"

_INSTEAD: dict[str, dict[str, str]] = {
    "": {
        "applications": _STORED,
        "mixed_precision": "say compile(precision=...)",
        "dtype_policies": "say compile(precision=...)",
        "DTypePolicy": "say compile(precision=...)",
        "Variable": _FIELDS,
        "Function": "wanted Model(inputs, outputs)",
        "distribution": "it is left out: a model trains on one device",
        "export": "models are saved by model.save",
        "quantizers": "it is left out: weights are float32",
        "random": "wanted numpy.random; layers and models draw from utils.set_random_seed",
        "tree": "it is left out",
    },
    "layers": {
        **dict.fromkeys(
            (
                *(
                    "AdditiveAttention",
                    "Attention",
                    "Bidirectional",
                    "ConvLSTM1D",
                    "ConvLSTM2D",
                    "ConvLSTM3D",
                ),
                *("Embedding", "GRU", "GRUCell", "GroupQueryAttention", "LSTM", "LSTMCell", "MelSpectrogram"),
                *("MultiHeadAttention", "RNN", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells", "Masking"),
                *("TextVectorization", "TimeDistributed", "StringLookup", "IntegerLookup", "STFTSpectrogram"),
            ),
            _SEQUENCES,
        ),
        "Normalization": "use Rescaling(1 / deviation, -mean / deviation), or BatchNormalization",
        "Wrapper": "write a class of Layer whose call is written with layers",
        "SpectralNormalization": "use a kernel_constraint",
        "ActivityRegularization": "only weights can be regularized: kernel_regularizer and its like",
    },
    "callbacks": {
        "TensorBoard": "CSVLogger and JSONLogger write the logs into files",
        "RemoteMonitor": "CSVLogger and JSONLogger write the logs into files",
        "OrbaxCheckpoint": "ModelCheckpoint writes safetensors",
    },
    "utils": {
        "get_file": "files are not downloaded; fastcnn.datasets says which file to put where",
        "register_keras_serializable": "files hold no classes: a layer of your own is saved as those in it",
        "custom_object_scope": "files hold no classes; load_model(custom_objects=...) takes losses, metrics",
        "FeatureSpace": "tables are left out: the package is for images",
        "pad_sequences": _SEQUENCES,
    },
}


def absent(package: str, name: str) -> AttributeError:
    """The error for a name that a module of the package has not."""
    said = f"module {package!r} has no attribute {name!r}"
    instead = _INSTEAD.get(package.removeprefix("fastcnn").removeprefix("."), {}).get(name)
    if instead is None and package == "fastcnn.ops":
        instead = "ops holds the kernels and some of NumPy; use numpy for the rest"
    if instead is None:
        near = difflib.get_close_matches(name, dir(sys.modules[package]), 1)
        instead = f"did you mean {near[0]!r}?" if near and not name.startswith("_") else None
    return AttributeError(said if instead is None else f"{said}: {instead}")


_MEMBERS = {
    "add_loss": "only weights can be regularized, by kernel_regularizer and its like",
    "add_metric": "wanted compile(metrics=...)",
    "add_weight": "make layers that have weights in __init__, and use them in call",
    "add_variable": "make layers that have weights in __init__, and use them in call",
    "dtype_policy": "say compile(precision=...)",
    "losses": "evaluate and fit report the loss, regularizers included",
    "make_train_function": "wanted gradients(x, y) and optimizer.apply: a step is one native call",
    "stateless_call": "wanted get_weights, set_weights and predict_on_batch",
}


def without(kind: str, name: str) -> AttributeError:
    """The error for a name that a layer or a model has not."""
    said = f"{kind!r} object has no attribute {name!r}"
    return AttributeError(f"{said}: {_MEMBERS[name]}" if name in _MEMBERS else said)
