# SPDX-License-Identifier: Apache-2.0
"""Model files: a loaded model goes on to the same bits, and a lying file gives a FormatError."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from fastcnn import Input, Model, Sequential, _native, layers, load_model
from fastcnn.errors import ArgumentError, FormatError, OutOfMemoryError
from fastcnn.io import read_safetensors, write_safetensors


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.safetensors"


def small_model(*, compiled: bool = True) -> Sequential:
    model = Sequential(
        [
            layers.Conv2D(4, 3, padding="same", activation="relu", input_shape=(6, 6, 1)),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def small_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((50, 6, 6, 1), np.float32), rng.integers(0, 3, 50)


def equal_states(a: Sequential, b: Sequential) -> bool:
    left, right = a.get_state(), b.get_state()
    return left.keys() == right.keys() and all(left[key].tobytes() == right[key].tobytes() for key in left)


def test_an_assigned_learning_rate_is_saved(path: pathlib.Path) -> None:
    model = small_model()
    model.fit(*small_data(), verbose=0)
    model.optimizer.learning_rate = 0.5
    model.save(path)
    assert load_model(path).optimizer.learning_rate == 0.5


@pytest.mark.skipif(_native.bfloat16(), reason="a processor that has bfloat16")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_precision_that_is_not_here_becomes_float32(path: pathlib.Path, device: str) -> None:
    model = small_model()
    assert model._settings is not None
    model._settings = model._settings._replace(device=device, precision="bfloat16")
    model.save(path)
    with pytest.warns(UserWarning, match=r"compiled for the CPU in float32: .*is '(bfloat16|cuda)'"):
        loaded = load_model(path)
    config = loaded.get_compile_config()
    assert config is not None
    assert (config["device"], config["precision"]) == ("cpu", "float32")


def test_a_missing_folder_is_named_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "missing" / "model.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        small_model().save(path)
    assert str(caught.value).endswith(f"'{path}'")


def edited(path: pathlib.Path, tensors: dict[str, Any] | None = None, **metadata: str | None) -> FormatError:
    """What `load_model` says to the model at ``path`` with changes; None takes something away."""
    old_tensors, old_metadata = read_safetensors(path)
    new = {key: value for key, value in {**old_tensors, **(tensors or {})}.items() if value is not None}
    entries = {**old_metadata, **{f"fastcnn.{key}": value for key, value in metadata.items()}}
    other = path.with_name("edited.safetensors")
    write_safetensors(other, new, {key: value for key, value in entries.items() if value is not None})
    with pytest.raises(FormatError) as caught:
        load_model(other)
    assert caught.value.path == str(other)
    return caught.value


@pytest.fixture
def saved(path: pathlib.Path) -> pathlib.Path:
    model = small_model()
    model.fit(*small_data(), batch_size=8, verbose=0)
    model.save(path)
    return path


def test_a_loaded_model_is_the_saved_one(path: pathlib.Path) -> None:
    x, y = small_data()
    model = small_model()
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    model.save(path)
    loaded = load_model(path)
    assert loaded.get_config() == model.get_config()
    assert loaded.get_compile_config() == model.get_compile_config()
    assert equal_states(loaded, model)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_a_resumed_run_equals_the_uninterrupted_one(path: pathlib.Path) -> None:
    model = small_model()
    for _ in range(2):
        model.fit(*small_data(), batch_size=8, verbose=0)
        model.save(path)
        resumed = load_model(path)
        expected = model.fit(*small_data(), batch_size=8, epochs=2, verbose=0).history
        assert resumed.fit(*small_data(), batch_size=8, epochs=2, verbose=0).history == expected
        assert equal_states(resumed, model)


def test_a_model_that_is_not_compiled(path: pathlib.Path) -> None:
    model = small_model(compiled=False)
    model.save(path)
    loaded = load_model(path)
    assert loaded.get_compile_config() is None
    assert equal_states(loaded, model)


def test_a_model_without_shapes_cannot_be_saved(path: pathlib.Path) -> None:
    with pytest.raises(ArgumentError, match="shape"):
        Sequential([layers.Dense(3)]).save(path)
    assert not path.exists()


def test_a_model_saved_over_itself(saved: pathlib.Path) -> None:
    before = saved.read_bytes()
    load_model(saved).save(saved)
    assert saved.read_bytes() == before


def test_files_that_are_no_models(saved: pathlib.Path) -> None:
    assert "not a fastcnn model" in edited(saved, model=None).reason
    assert "model format '2', this build reads 1" in edited(saved, model="2").reason
    assert "model format 'x'" in edited(saved, model="x").reason
    assert "fastcnn.architecture: not JSON" in edited(saved, architecture=None).reason
    assert "fastcnn.training: not JSON" in edited(saved, training="{").reason
    assert "recursion" in edited(saved, architecture="[" * 100_000).reason
    assert "twice" in edited(saved, training='{"loss":1,"loss":1}').reason


@pytest.mark.parametrize(
    "text", ["null", "[]", "{}", "1", '"x"', '{"name":"x","layers":[1],"build_input_shape":null}']
)
def test_architectures_that_are_none(saved: pathlib.Path, text: str) -> None:
    assert "not a model of this build" in edited(saved, architecture=text).reason


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"Dense"', '"os.system"'),
        ('"Dense"', '"Sequential"'),
        ('"units": 3', '"units": -3'),
        ('"units": 3', '"units": 3.5'),
        ('"units": 3', '"units": [3]'),
        ('"units": 3', '"nonsense": 3'),
        ('"rate": 0.5', '"rate": 2.0'),
        ('"relu"', '"eval"'),
        ("[null, 6, 6, 1]", "[null, 6, 6]"),
        ("[null, 6, 6, 1]", "[null, 0, 6, 1]"),
        ("[null, 6, 6, 1]", "6"),
    ],
)
def test_lying_architecture(saved: pathlib.Path, old: str, new: str) -> None:
    text = read_safetensors(saved)[1]["fastcnn.architecture"]
    assert old in text
    assert "not a model of this build" in edited(saved, architecture=text.replace(old, new)).reason


@pytest.mark.parametrize(
    ("old", "new"),
    [('"Adam"', '"os.system"'), ('"learning_rate": ', '"learning_rate": -'), ('"auto"', '"tpu"')],
)
def test_lying_training(saved: pathlib.Path, old: str, new: str) -> None:
    text = read_safetensors(saved)[1]["fastcnn.training"]
    assert old in text
    assert "not a model of this build" in edited(saved, training=text.replace(old, new)).reason


def test_tensors_of_another_model(saved: pathlib.Path) -> None:
    tensors = read_safetensors(saved)[0]
    name = next(each for each in tensors if tensors[each].ndim == 4)
    assert f"tensor {name!r} is missing" in edited(saved, {name: None}).reason
    assert "tensor 'extra' is not the model's" in edited(saved, {"extra": np.ones(1)}).reason
    assert (
        f"tensor {name!r} is float32 (3, 3, 1, 5)"
        in edited(saved, {name: np.ones((3, 3, 1, 5), "f4")}).reason
    )
    assert f"tensor {name!r} is float64" in edited(saved, {name: tensors[name].astype("f8")}).reason
    many = edited(saved, {str(number): np.ones(1) for number in range(100)}).reason
    assert "and 95 more" in many
    assert len(many) < 600


LARGE = 2**31 - 1  # units of a layer: more memory than there is


def test_an_architecture_asks_for_more_than_the_file_holds(saved: pathlib.Path) -> None:
    text = read_safetensors(saved)[1]["fastcnn.architecture"]
    reason = edited(saved, architecture=text.replace('"units": 3', f'"units": {LARGE}')).reason
    assert f"/kernel' is float32 (36, 3), wanted float32 (36, {LARGE})" in reason


def model_with_a_head_that_nothing_reads() -> Model:
    """Of a model within it: the head's weights are not in the file."""
    x = Input((6,))
    features = layers.Dense(5, name="features")(x)
    base = Model(x, [features, layers.Dense(7, name="head")(features)], name="base")
    x = Input((6,))
    return Model(x, layers.Dense(2)(base(x)[0]))


@pytest.mark.parametrize(("units", "name"), [(5, "features"), (7, "head")])
def test_models_within_ask_for_more_than_the_file_holds(path: pathlib.Path, units: int, name: str) -> None:
    model_with_a_head_that_nothing_reads().save(path)
    tensors, metadata = read_safetensors(path)
    text = metadata["fastcnn.architecture"]
    assert text.count(f'"units": {units}') == 1
    large = text.replace(f'"units": {units}', f'"units": {LARGE}')
    if name == "features":
        assert (
            "tensor 'parameters/base/features/kernel' is float32 (6, 5)"
            in edited(path, architecture=large).reason
        )
        return
    write_safetensors(path, tensors, {**metadata, "fastcnn.architecture": large})
    loaded = load_model(path)  # the weights of a head that nothing reads are made when the model is used
    with pytest.raises(OutOfMemoryError):
        loaded.get_layer("base").count_params()


def test_models_within_are_built_with_their_weights(path: pathlib.Path) -> None:
    model = model_with_a_head_that_nothing_reads()
    model.save(path)
    loaded = load_model(path)
    for old, new in zip(*(each.get_layer("base").get_weights()[:2] for each in (model, loaded)), strict=True):
        np.testing.assert_array_equal(new, old)
    x = np.ones((3, 6), np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_model_file_truncated_or_damaged(saved: pathlib.Path) -> None:
    data = bytearray(saved.read_bytes())
    for position in range(0, len(data), 97):
        data[position] ^= 0x10
        saved.write_bytes(data)
        with pytest.raises(FormatError):
            load_model(saved)
        data[position] ^= 0x10
        saved.write_bytes(data[:position])
        with pytest.raises(FormatError):
            load_model(saved)
