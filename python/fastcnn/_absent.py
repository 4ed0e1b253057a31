# SPDX-License-Identifier: Apache-2.0
"""Names of Keras that are not here, and what to do instead: the end of a package's ``__getattr__``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

_SEQUENCES = "recurrent layers, attention and text are left out: the package is for convolutional networks"
_FIELDS = "it is left out: a model holds plain float32 arrays, which get_weights and set_weights copy"
_STORED = "pretrained networks are left out: build one of layers, and set_weights or load_weights"

_FLOAT = "say compile(precision=...)"
_INSIDE = "it is left out: it is of Keras's inside"
_OTHERS = "models of other frameworks are left out"
_TABLES = "tables are left out: the package is for images"
_AUGMENTING = (
    "it is left out; there are flips, shifts, turns, zooms, crops, contrast, brightness, erasing, mixing"
)
_LATER = "it is left out; there are the usual ones"
_IDENTICAL = "load_model finds losses and metrics of your own by name alone, see fastcnn.saving"

_INSTEAD: dict[str, dict[str, str]] = {
    "": {
        "applications": _STORED,
        "mixed_precision": _FLOAT,
        "dtype_policies": _FLOAT,
        "DTypePolicy": _FLOAT,
        "FloatDTypePolicy": _FLOAT,
        "Variable": _FIELDS,
        "Function": "wanted Model(inputs, outputs)",
        "distribution": "it is left out: a model trains on one device",
        "device": "say compile(device=...)",
        "distillation": "write a loss (value, gradient) for it",
        "export": "models are saved by model.save",
        "quantizers": "it is left out: weights are float32",
        "Quantizer": "it is left out: weights are float32",
        "random": "wanted numpy.random; layers and models draw from utils.set_random_seed",
        "visualization": "wanted fastcnn.visualize",
        "wrappers": "it is left out; scikit-learn takes any class with fit and predict",
        "InputSpec": "layers look at their input's shape themselves",
        **dict.fromkeys(
            (
                *("Operation", "RematScope", "StatelessScope", "SymbolicScope", "legacy", "name_scope"),
                *("remat", "src", "tree"),
            ),
            _INSIDE,
        ),
    },
    "activations": {"glu": _SEQUENCES, "sparsemax": _LATER},
    "backend": {
        "set_epsilon": "it is 1e-7 always",
        **dict.fromkeys(("get_uid", "is_float_dtype", "is_int_dtype", "result_type"), "wanted numpy's"),
        "standardize_dtype": "wanted numpy.dtype(...).name",
    },
    "callbacks": {
        "CallbackList": "give fit a list",
        "TensorBoard": "CSVLogger and JSONLogger write the logs into files",
        "RemoteMonitor": "CSVLogger and JSONLogger write the logs into files",
        "OrbaxCheckpoint": "ModelCheckpoint writes safetensors",
    },
    "config": {
        "set_dtype_policy": _FLOAT,
        "set_epsilon": "it is 1e-7 always",
        "set_backend": "there is one",
        "enable_unsafe_deserialization": "files hold no code",
        **dict.fromkeys(
            (
                *("disable_flash_attention", "enable_flash_attention", "is_flash_attention_enabled"),
                *("is_nnx_enabled", "max_epochs", "max_steps_per_epoch"),
                *("set_max_epochs", "set_max_steps_per_epoch"),
            ),
            _INSIDE,
        ),
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"),
            "say verbose=2 for lines without a bar",
        ),
        **dict.fromkeys(
            (
                *("disable_traceback_filtering", "enable_traceback_filtering"),
                "is_traceback_filtering_enabled",
            ),
            "tracebacks are complete",
        ),
    },
    "datasets": {
        **dict.fromkeys(("imdb", "reuters"), _SEQUENCES),
        **dict.fromkeys(("boston_housing", "california_housing"), _TABLES),
    },
    "initializers": dict.fromkeys(("STFT", "STFTInitializer", "stft"), _SEQUENCES),
    "layers": {
        **dict.fromkeys(
            (
                *("AdditiveAttention", "Attention", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D"),
                *("ConvLSTM3D", "Embedding", "GRU", "GRUCell", "GroupQueryAttention", "LSTM", "LSTMCell"),
                *("MelSpectrogram", "MultiHeadAttention", "RNN", "SimpleRNN", "SimpleRNNCell"),
                *("StackedRNNCells", "Masking", "TextVectorization", "TimeDistributed", "StringLookup"),
                *("STFTSpectrogram", "ReversibleEmbedding"),
            ),
            _SEQUENCES,
        ),
        **dict.fromkeys(
            (
                *("AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization"),
                *("MaxNumBoundingBoxes", "Pipeline", "RandAugment", "RandomColorDegeneration"),
                *("RandomColorJitter", "RandomElasticTransform", "RandomGaussianBlur", "RandomGrayscale"),
                *("RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization"),
                *("RandomSaturation", "RandomSharpness", "RandomShear", "Solarization"),
            ),
            _AUGMENTING,
        ),
        **dict.fromkeys(
            ("CategoryEncoding", "Discretization", "HashedCrossing", "Hashing", "IntegerLookup"), _TABLES
        ),
        **dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), _OTHERS),
        **dict.fromkeys(("Dot", "dot", "EinsumDense"), "it is left out; there are Multiply and Dense"),
        "InputSpec": "layers look at their input's shape themselves",
        "Wrapper": "write a class of Layer whose call is written with layers",
        "SpectralNormalization": "use a kernel_constraint",
        "ActivityRegularization": "only weights can be regularized: kernel_regularizer and its like",
        "ThresholdedReLU": "wanted ReLU(threshold=...)",
        **dict.fromkeys(("RandomHeight", "RandomWidth"), "wanted RandomZoom, with one factor for each side"),
    },
    "losses": dict.fromkeys(
        (
            *("CTC", "CategoricalGeneralizedCrossEntropy", "Circle", "ctc", "circle"),
            "categorical_generalized_cross_entropy",
        ),
        "it is left out; a function (y_true, y_pred) that returns value and gradient is a loss",
    ),
    "metrics": dict.fromkeys(
        (
            *("ConcordanceCorrelation", "PearsonCorrelation", "concordance_correlation"),
            *("pearson_correlation", "PrecisionAtRecall", "RecallAtPrecision"),
            *("SensitivityAtSpecificity", "SpecificityAtSensitivity"),
        ),
        "it is left out; a function (y_true, y_pred) is a metric",
    ),
    "optimizers": {
        **dict.fromkeys(("Adafactor", "Lamb", "ScheduleFreeAdamW", "legacy"), _LATER),
        "LossScaleOptimizer": "training is in float32, or scales by itself",
        **dict.fromkeys(("MultiOptimizer", "OptimizerMap"), "layers take learning_rate_multiplier"),
    },
    "preprocessing.image": {
        "smart_resize": "load_img(target_size=..., keep_aspect_ratio=True), or Resizing",
        "ImageDataGenerator": "utils.image_dataset_from_directory reads folders, and layers such as "
        "RandomFlip, RandomRotation and Rescaling take the place of its arguments",
    },
    "regularizers": dict.fromkeys(("OrthogonalRegularizer", "orthogonal_regularizer"), _LATER),
    "saving": dict.fromkeys(("KerasFileEditor", "get_registered_name", "get_registered_object"), _IDENTICAL),
    "utils": {
        "get_file": "files are not downloaded; fastcnn.datasets says which file to put where",
        "FeatureSpace": _TABLES,
        "pad_sequences": _SEQUENCES,
        "model_to_dot": "plot_model draws without another program",
        **dict.fromkeys(
            ("audio_dataset_from_directory", "text_dataset_from_directory", "timeseries_dataset_from_array"),
            _SEQUENCES,
        ),
        **dict.fromkeys(("Config", "bounding_boxes", "legacy"), _INSIDE),
        **dict.fromkeys(("get_registered_name", "get_registered_object"), _IDENTICAL),
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"),
            "say verbose=2 for lines without a bar",
        ),
        "standardize_dtype": "wanted numpy.dtype(...).name",
    },
}


def absent(package: str, name: str) -> AttributeError:
    """The error for a name that a module of the package has not."""
    said = f"module {package!r} has no attribute {name!r}"
    instead = _INSTEAD.get(package.removeprefix("fastcnn").removeprefix("."), {}).get(name)
    if instead is None and package == "fastcnn.ops":
        instead = "ops holds the kernels and some of NumPy; use numpy for the rest"
    if instead is None:
        import difflib  # only now, as it costs milliseconds

        module = sys.modules[package]
        near = difflib.get_close_matches(name, getattr(module, "__all__", dir(module)), 1)
        instead = f"did you mean {near[0]!r}?" if near and not name.startswith("_") else None
    return AttributeError(said if instead is None else f"{said}: {instead}")


def absences(package: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that has nothing else to do in it."""

    def find(name: str) -> Any:
        raise absent(package, name)

    return find


_OLDER = {
    "alpha": "negative_slope",
    "batch_input_shape": "input_shape, without the batch",
    "border_mode": "padding",
    "decay": "learning_rate=optimizers.schedules.InverseTimeDecay(rate, 1, decay)",
    "dim_ordering": "data_format",
    "init": "kernel_initializer",
    "lr": "learning_rate",
    "subsample": "strides",
}
"""Arguments of Keras 2 and 1, and what to say now, beginning with the argument's name."""


def unexpected(kind: str, argument: str, known: Iterable[str]) -> TypeError:
    """The error for an argument that a layer or an optimizer has not."""
    said = f"{kind}() got an unexpected keyword argument {argument!r}"
    names, older = {*known}, _OLDER.get(argument, "")
    if re.split("[,=]", older)[0] in names:
        return TypeError(f"{said}: wanted {older}")
    import difflib  # only now, as it costs milliseconds

    near = difflib.get_close_matches(argument, sorted(names), 1)
    return TypeError(f"{said}: did you mean {near[0]!r}?" if near else said)


_MEMBERS = {
    "add_loss": "only weights can be regularized, by kernel_regularizer and its like",
    "add_metric": "wanted compile(metrics=...)",
    "add_weight": "make layers that have weights in __init__, and use them in call",
    "add_variable": "make layers that have weights in __init__, and use them in call",
    "dtype_policy": "say compile(precision=...)",
    **{f"{name}_generator": f"{name} takes generators" for name in ("evaluate", "fit", "predict")},
    "losses": "evaluate and fit report the loss, regularizers included",
    "make_train_function": "wanted gradients(x, y) and optimizer.apply: a step is one native call",
    "predict_classes": "wanted predict(x).argmax(axis=-1)",
    "predict_proba": "wanted predict(x)",
    "stateless_call": "wanted get_weights, set_weights and predict_on_batch",
}


def without(kind: str, name: str) -> AttributeError:
    """The error for a name that a layer or a model has not."""
    said = f"{kind!r} object has no attribute {name!r}"
    return AttributeError(f"{said}: {_MEMBERS[name]}" if name in _MEMBERS else said)
