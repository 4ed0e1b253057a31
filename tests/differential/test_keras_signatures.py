# SPDX-License-Identifier: Apache-2.0
"""Every public name that Keras has too: its arguments, their order and defaults, and its members.

What differs stands below with its reason; a line that no difference needs any more fails.
"""

from __future__ import annotations

import fnmatch
import inspect
import os
import re
import types
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

import fastcnn  # noqa: E402
from fastcnn import layers, optimizers  # noqa: E402
from fastcnn.layers.common import Common  # noqa: E402

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]

MODULES = (
    "", "activations", "backend", "callbacks", "config", "constraints", "datasets.cifar10",
    "datasets.cifar100", "datasets.fashion_mnist", "datasets.mnist", "initializers", "layers", "losses",
    "metrics", "models", "optimizers", "optimizers.schedules", "preprocessing.image", "regularizers",
    "saving", "utils",
)  # fmt: skip

DIFFERENCES: dict[str, str] = {
    "KerasTensor: *": "layers make them; nobody calls the class",
    "*.serialize: no *": "one function for all modules, whose only argument is given by position",
    "*.serialize_keras_object: no obj": "its only argument is given by position",
    "*.deserialize_keras_object: no safe_mode": "files hold no code",
    "initializers.*: no *put_axes": "the fans of a kernel follow from its layer",
    "layers.BatchNormalization: no renorm*": "batch renormalization is left out",
    "layers.Dense: no lora_*": "low-rank updates of language models are left out",
    "layers.Dense: no quantization_config": "weights are float32",
    "models.clone_model: no call_function": "a call of a layer is what the layer says",
    "models.clone_model: no recursive": "models within models are always cloned",
    "*save_model: no zipped": "a model is one file",
    "saving.save_weights: no max_shard_size": "weights are one file",
    "utils.image_dataset_from_directory: no format": "batches come as arrays, from a class of the package",
    "utils.plot_model: to_file=*": "the drawing is SVG, made without another program",
    "utils.split_dataset: no preferred_backend": "parts are arrays",
    "*.t*_on_batch: y=*": "a step has targets",
    "*.from_config: no custom_objects": "files hold classes of the package alone",
    "*.save: no zipped": "a model is one file",
    "*.save_weights: no max_shard_size": "weights are one file",
    "*.export: no *": "refused: models are saved by save",
    "*.add_weight: no *": "refused: layers of one's own are made of those that have weights",
    "Sequential.*: no rebuild": "a stack is built when it is needed",
}
"""By "name: difference", with the reason."""

MEMBERS: dict[str, str] = {
    "add_loss, add_metric, add_variable, add_weight, losses": "the message says what to do instead",
    "compute_loss*, compute_metrics, train_step, test_step, predict_step, make_*_function, symbolic_call":
        "a step is one native call",
    "stateless_*, jax_state_sync, *state_tree, *_build_config, build_from_config, *_own_variables, "
    "compute_output_spec, call, variables, add_optimizer_variables, add_variable_from_reference, assign*, "
    "set_weights, update_step, scale_loss, metrics_variables": "for other backends, and Keras's own classes",
    "quantiz*, get_quantization*, enable_lora, dtype_policy, input_dtype, convolution_op, "
    "rematerialized_call, variable_serialization_spec, convert_weight, dtype, path, input_spec, metrics, "
    "compute_mask, "
    "supports_masking": "float32 alone, no masks, and checks of shapes in the native module",
    "ragged*, reshape, row_splits_dtype, sparse, squeeze": "tensors are dense, and layers reshape them",
    "transform_*, get_*, in_cooldown, interpolate_pr_auc, thresholds, clone, batch_shape, num_batches, "
    "finalize_state, lr_adjust, transpose_last_axis, zeropower_via_newtonschulz5": "of the inside",
    "model, shape, max_queue_size, use_multiprocessing, workers, kernel": "attributes of the objects alone",
}  # fmt: skip
"""Members of classes that are not here, with the reason."""


def module(root: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        root = getattr(root, part)
    return root


def shared(path: str) -> Iterator[tuple[str, Any, Any]]:
    """Names of the module in both libraries, and what they name."""
    theirs, ours = module(keras, path), module(fastcnn, path)
    for name in sorted({*dir(theirs)} & {*dir(ours)}):
        thing = getattr(theirs, name)
        if not name.startswith("_") and not isinstance(thing, types.ModuleType) and callable(thing):
            yield f"{path}.{name}".lstrip("."), thing, getattr(ours, name)


def parameters(thing: Any) -> list[inspect.Parameter]:
    function = thing.__init__ if inspect.isclass(thing) else thing
    found = inspect.signature(function).parameters.values()
    return [each for each in found if each.name not in ("self", "cls")]


def by_keyword(thing: Any) -> dict[str, Any]:
    """What ``**common`` takes beside the parameters that are written out."""
    if inspect.isclass(thing) and issubclass(thing, layers.Layer):
        weights = {
            f"{each}_{kind}" for each in thing._prefixes.values() for kind in ("regularizer", "constraint")
        }
        general = {each for each in Common.__annotations__ if not re.search("_(regul|constr)", each)}
        found = dict.fromkeys((*thing._idle, *weights, *general, "activity_regularizer"))
        return {**found, "trainable": True, "autocast": True}
    if (
        inspect.isclass(thing)
        and issubclass(thing, optimizers.Optimizer)
        and thing is not optimizers.Optimizer
    ):
        return {each.name: each.default for each in parameters(optimizers.Optimizer)}
    return {}


def plain(value: Any) -> Any:
    """A default, where a number stands for a tuple of it."""
    if isinstance(value, (tuple, list)):
        inner = [plain(each) for each in value]
        return inner[0] if inner and all(each == inner[0] for each in inner) else inner
    if isinstance(value, str):
        return value.lower()
    return value


def differences(theirs: Any, ours: Any) -> Iterator[str]:
    """What an argument of Keras's meets here, if it is not the same."""
    wanted = [each for each in parameters(theirs) if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    mine = parameters(ours)
    named = {each.name: each for each in mine if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    common = by_keyword(ours)
    places = [each.name for each in mine if each.kind == each.POSITIONAL_OR_KEYWORD]
    for index, each in enumerate(wanted):
        if each.name not in named and each.name not in common:
            yield f"no {each.name}"
            continue
        default = named[each.name].default if each.name in named else common[each.name]
        more = each.default is each.empty and index < len(places)  # what must come there may come here
        own = each.name == "name" and default is None  # the class's, which is Keras's: below
        if plain(default) != plain(each.default) and not more and not own:
            yield f"{each.name}={default!r}, Keras: {each.default!r}"
        if each.kind == each.POSITIONAL_OR_KEYWORD and index < len(places) and places[index] != each.name:
            yield f"{places[index]} stands where Keras has {each.name}"


def found(path: str) -> Iterator[str]:
    for name, theirs, ours in shared(path):
        yield from (f"{name}: {each}" for each in differences(theirs, ours))
        both = {*dir(theirs)} & {*dir(ours)} if not path and inspect.isclass(theirs) else ()
        for method in sorted(both):
            pair = getattr(theirs, method), getattr(ours, method)
            if not method.startswith("_") and all(inspect.isroutine(each) for each in pair):
                yield from (f"{name}.{method}: {each}" for each in differences(*pair))


def test_arguments() -> None:
    said = [each for path in MODULES for each in found(path)]
    unknown = [each for each in said if not any(fnmatch.fnmatch(each, key) for key in DIFFERENCES)]
    assert not unknown, "\n".join(unknown)
    idle = [key for key in DIFFERENCES if not any(fnmatch.fnmatch(each, key) for each in said)]
    assert not idle, idle


def test_members() -> None:
    patterns = [each for keys in MEMBERS for each in keys.replace(" ", "").split(",")]
    missing: dict[str, str] = {}
    for path in MODULES:
        for name, theirs, ours in shared(path):
            if inspect.isclass(theirs):
                lacking = {each for each in {*dir(theirs)} - {*dir(ours)} if not each.startswith("_")}
                missing |= dict.fromkeys(lacking, name)
    unknown = {
        each: name
        for each, name in missing.items()
        if not any(fnmatch.fnmatch(each, key) for key in patterns)
    }
    assert not unknown
    assert not [key for key in patterns if not any(fnmatch.fnmatch(each, key) for each in missing)]


def test_names_that_are_not_here_say_what_to_do() -> None:
    """Not by a guess: each has its line in `fastcnn._absent`."""
    for path in MODULES:
        theirs, ours = module(keras, path), module(fastcnn, path)
        for name in {*dir(theirs)} - {*dir(ours)}:
            if not name.startswith("_"):
                with pytest.raises(AttributeError, match=f"{name}': (?!did you mean)"):
                    getattr(ours, name)


UNNAMED = ("Loss", "Metric", "ConfusionMatrix", "MeanMetricWrapper")  # or with arguments that must come


def test_names_of_losses_and_metrics() -> None:
    for path in ("losses", "metrics"):
        for name, theirs, ours in shared(path):
            needed = [each for each in parameters(theirs) if each.default is each.empty]
            if inspect.isclass(theirs) and not needed and name.split(".")[1] not in UNNAMED:
                keras.utils.clear_session()
                fastcnn.utils.clear_session()
                assert ours().name == theirs().name
