# SPDX-License-Identifier: Apache-2.0
"""What scripts for Keras do beside models: layers called on arrays, functions as layers, own metrics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import (
    ArgumentError,
    DTypeError,
    Model,
    Sequential,
    ShapeError,
    activations,
    callbacks,
    layers,
    losses,
    metrics,
    ops,
    utils,
)
from fastcnn.ops.plain import FUNCTIONS

IMAGES = np.random.default_rng(3).random((4, 8, 8, 3), dtype=np.float32)


def test_a_layer_on_arrays_has_the_weights_that_it_has_in_models() -> None:
    conv = layers.Conv2D(2, 3)
    first = conv(IMAGES)
    kernel = conv.kernel
    inputs = fastcnn.Input((8, 8, 3))
    output = conv(inputs)
    assert conv.output is output  # not what the call on arrays made
    model = Model(inputs, output)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), first)
    model.compile("sgd", "mse")
    model.train_on_batch(IMAGES, np.ones_like(first))
    assert not np.array_equal(conv.kernel, kernel)
    np.testing.assert_array_equal(conv(IMAGES), model.predict(IMAGES, verbose=0))
    assert conv(IMAGES[:, :5]).shape == (4, 3, 6, 2)
    np.testing.assert_array_equal(layers.add([IMAGES, IMAGES]), IMAGES + IMAGES)
    assert copy.deepcopy(conv)(IMAGES).shape == first.shape


def test_in_training_a_layer_on_arrays_draws_and_follows() -> None:
    drop, norm = layers.Dropout(0.5), layers.BatchNormalization()
    np.testing.assert_array_equal(drop(IMAGES), IMAGES)
    dropped = drop(IMAGES, training=True)
    assert set(np.unique(dropped == 0)) == {False, True}
    np.testing.assert_array_equal(dropped[dropped != 0], 2 * IMAGES[dropped != 0])
    assert not np.array_equal(drop(IMAGES, training=True), dropped)
    norm(IMAGES)
    assert norm.moving_mean.tolist() == [0, 0, 0]
    norm(IMAGES, training=True)
    assert all(norm.moving_mean > 0)
    with pytest.raises(ArgumentError, match=r"Dropout 'drop.*training: 3 came with arrays"):
        drop(IMAGES, training=3)


def test_a_model_of_augmentation_draws_on_arrays() -> None:
    augment = Sequential([layers.RandomFlip("horizontal", seed=1), layers.Rescaling(2.0)])
    flipped = augment(IMAGES)
    assert flipped.shape == IMAGES.shape
    for image, plain in zip(flipped, 2 * IMAGES, strict=True):
        assert np.array_equal(image, plain) or np.array_equal(image, plain[:, ::-1])
    assert any(not np.array_equal(augment(IMAGES), flipped) for _ in range(20))
    np.testing.assert_array_equal(augment(IMAGES, training=False), 2 * IMAGES)
    np.testing.assert_array_equal(augment.predict(IMAGES, verbose=0), 2 * IMAGES)
    classifier = Sequential([augment, layers.Flatten(), layers.Dense(2)])
    np.testing.assert_array_equal(classifier(IMAGES), classifier.predict_on_batch(IMAGES))
    assert not np.array_equal(classifier(IMAGES, training=True), classifier(IMAGES))


def test_weights_are_attributes() -> None:
    conv = layers.SeparableConv2D(2, 3, use_bias=False)
    with pytest.raises(AttributeError, match="no weights yet"):
        _ = conv.bias
    assert not hasattr(layers.Dense(2), "kernel")
    conv(IMAGES)
    assert conv.depthwise_kernel.shape == (3, 3, 3, 1)
    assert conv.bias is None
    conv.depthwise_kernel = np.full((3, 3, 3, 1), 2)
    conv.bias = None
    assert (conv.get_weights()[0] == 2).all()
    for wrong, value in (("depthwise_kernel", np.ones(3)), ("pointwise_kernel", "x"), ("bias", np.ones(2))):
        with pytest.raises((ShapeError, DTypeError, ArgumentError), match=wrong):
            setattr(conv, wrong, value)
    assert (conv.depthwise_kernel == 2).all()
    with pytest.raises(AttributeError, match="no weights yet"):
        layers.Dense(2).kernel = np.ones((1, 2))
    norm = layers.BatchNormalization()
    norm(IMAGES)
    norm.moving_mean = [1, 2, 3]
    assert norm.get_weights()[2].tolist() == [1, 2, 3]
    with pytest.raises(AttributeError, match=r"add_loss.*only weights can be regularized"):
        conv.add_loss(1.0)
    with pytest.raises(AttributeError, match=r"add_metric.*compile"):
        Sequential().add_metric(1.0)


def test_a_function_as_a_layer() -> None:
    inputs = fastcnn.Input((4,))
    x = layers.Lambda(lambda a, by: a * by + 1, arguments={"by": 3}, name="thrice")(inputs)
    model = Model([[inputs]], activations.relu(x, max_value=6) ** 2)
    np.testing.assert_array_equal(model.predict(np.array([[-1, 0, 1, 2]]), verbose=0), [[0, 1, 16, 36]])
    clone = fastcnn.models.clone_model(model)
    np.testing.assert_array_equal(clone.predict(np.ones((1, 4)), verbose=0), [[16] * 4])
    for wrong in (lambda: layers.Lambda(3), lambda: layers.Lambda(abs, arguments=3)):
        with pytest.raises(DTypeError, match="Lambda"):
            wrong()
    with pytest.raises(ArgumentError, match="wanted 2, the only power"):
        _ = inputs**3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.exp(np.asarray(x)), "which NumPy wants; use layers, fastcnn.activations"),
        (lambda x: np.maximum(x, 0), "which numpy.maximum wants; use fastcnn.ops.maximum"),
        (lambda x: np.tanh(x), "which numpy.tanh wants; use fastcnn.ops.tanh"),
        (lambda x: np.log(x), "which numpy.log wants; use layers, fastcnn.activations"),
        (lambda x: ops.sqrt(x), "which numpy.sqrt wants; use layers, fastcnn.activations"),
        (lambda x: np.mean(x, axis=(1, 2)), "which numpy.mean wants; use fastcnn.ops.mean"),
        (lambda x: np.add(x, 1, out=np.ones(3)), "which numpy.add wants; use fastcnn.ops.add"),
        (lambda x: np.add.reduce(x), "which numpy.add wants"),
        (lambda x: x[..., 0], "no part of it can be taken; layers.Cropping2D"),
        (lambda x: x - np.ones(3), "ndarray came with - of .* layers.Normalization has one for each channel"),
        (lambda x: np.ones(3) * x, r"ndarray came with \* of .* layers.Normalization has one for each"),
        (lambda x: 1 / x, "came behind /, wanted a number"),
        (lambda x: np.float32(1) / x, "came behind /, wanted a number"),
        (lambda x: x / x, "came behind /, wanted a number"),
    ],
)
def test_numpy_on_what_layers_give(function: Callable[[Any], Any], message: str) -> None:
    inputs = fastcnn.Input((4, 4, 3))
    for call in (function, layers.Lambda(function)):
        with pytest.raises(DTypeError, match=message):
            call(inputs)


def test_numbers_of_numpy_before_a_tensor() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    inputs = fastcnn.Input((3,))
    for function in (
        lambda a: np.float32(2) * a - np.float64(1),
        lambda a: np.int64(3) - a + np.array(2.0),
        lambda a: np.subtract(np.multiply(np.array(0.5), a), 1),
        lambda a: np.add(a, a) / np.float32(4),
    ):
        np.testing.assert_array_equal(Model(inputs, function(inputs)).predict(x, verbose=0), function(x))
    for larger in (ops.maximum(0, inputs - 2), ops.maximum(inputs - 2, 0.0)):
        np.testing.assert_array_equal(Model(inputs, larger).predict(x, verbose=0), np.maximum(x - 2, 0))
    assert np.shape(inputs) == ops.shape(inputs) == (None, 3)
    assert np.ndim(inputs) == 2


def test_activations_of_what_layers_give() -> None:
    inputs = fastcnn.Input((5,))
    x = np.linspace(-3, 3, 5, dtype=np.float32)[np.newaxis]
    for name in {*activations.__all__} - {"get", "serialize", "deserialize", "threshold", "linear"}:
        function = getattr(activations, name)
        made = Model(inputs, function(inputs)).predict(x, verbose=0)
        np.testing.assert_allclose(made, function(x), rtol=1e-6, atol=1e-7)
        assert layers.Dense(1, activation=function).activation is function
    with pytest.raises(ArgumentError, match=r"celu: alpha: 2.0 came"):
        activations.celu(inputs, 2.0)
    assert (np.float32(2) * inputs).shape == (None, 5)


def test_activations_of_other_numbers() -> None:
    for given in (np.array([-1.0, 2.0]), np.array([-1, 2]), [-1, 2.0], (-1, 2)):
        assert activations.relu(given).tolist() == [0, 2]  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="relu: x"):
        activations.relu(np.array(["a"]))


def test_a_layer_says_its_activation_and_takes_another_until_it_is_built() -> None:
    layer = layers.Dense(2, activation="softmax", kernel_initializer="ones")
    assert layer.activation is activations.softmax
    layer.activation = None
    assert layer.activation is activations.linear
    assert layer.get_config()["activation"] == "linear"
    named = layers.Conv2D(2, 3, activation="gelu_tanh")
    assert named.activation([1.0]) == activations.gelu([1.0], True)  # type: ignore[arg-type]
    model = Sequential([fastcnn.Input((3,)), layer])
    assert model.predict(np.ones((1, 3)), verbose=0).tolist() == [[3, 3]]
    layer.activation = "linear"
    with pytest.raises(ArgumentError, match="activation: 'relu' came for 'linear' in a model that is built"):
        layer.activation = "relu"
    assert layer.activation is activations.linear


OPERATIONS: list[tuple[Callable[[Any, Any], Any], tuple[int, ...]]] = [
    (lambda k, x: k.add(x, k.square(x)), (2, 4, 6)),
    (lambda k, x: k.subtract(x, k.multiply(x, x)), (2, 4, 6)),
    (lambda k, x: k.maximum(x, k.negative(k.divide(x, 2))), (2, 4, 6)),
    (lambda k, x: k.concatenate([x, k.minimum(x, x)], axis=2), (2, 8, 6)),
    (lambda k, x: k.reshape(k.relu6(x), (-1, 8, 6)), (8, 6)),
    (lambda k, x: k.transpose(x, (0, 2, 3, 1)), (4, 6, 2)),
    (lambda k, x: k.squeeze(k.expand_dims(x, 1), axis=1), (2, 4, 6)),
    (lambda k, x: k.squeeze(k.mean(x, axis=(1, 2), keepdims=True), axis=(1, 2)), (6,)),
    (lambda k, x: k.max(x, axis=(2, 1)), (6,)),
    (lambda k, x: k.sum(k.relu(x), axis=(-2, -3)), (6,)),
]


@pytest.mark.parametrize(("function", "shape"), OPERATIONS)
def test_functions_of_what_layers_give(function: Callable[[Any, Any], Any], shape: tuple[int, ...]) -> None:
    """Models have them as layers that `layers` does not list, as in Keras, and files keep that."""
    inputs = fastcnn.Input((2, 4, 6))
    model = Model(inputs, function(ops, inputs))
    assert model.output_shape == (None, *shape)
    assert [type(each) for each in model.layers] == [layers.InputLayer]
    assert Model.from_config(model.get_config()).layers[1:] == []
    assert fastcnn.models.clone_model(model).layers[1:] == []
    x = np.random.default_rng(4).integers(-9, 10, (2, 2, 4, 6)).astype(np.float32)
    assert np.array_equal(model.predict(x, verbose=0), function(ops, x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: ops.mean(x), r"ops.mean of .*: axis: None came, wanted .* \[1, 2\]"),
        (lambda x: ops.max(x, axis=-1), "ops.max of .*: axis: -1 came"),
        (lambda x: ops.reshape(x, (4, 8)), "wanted -1 first, for the batch"),
        (lambda x: ops.transpose(x, (1, 0, 2, 3)), "wanted 0 first, for the batch"),
        (lambda x: ops.expand_dims(x, 0), "which is the batch's"),
        (lambda x: ops.squeeze(x, axis=1), "wanted axes of size 1"),
    ],
)
def test_functions_that_no_layer_stands_for(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        function(fastcnn.Input((2, 4, 6)))


def test_a_summary_of_some_layers() -> None:
    stack = [layers.Dense(3, name=name) for name in ("first", "second_a", "second_b", "last")]
    model = Sequential([fastcnn.Input((3,)), *stack])
    printed: list[str] = []
    model.summary(80, [0.4, 0.6, 0.8, 1.0], printed.append, layer_range=["second", "second"])
    (text,) = printed
    assert [name in text for name in ("first", "second_a", "second_b", "last")] == [False, True, True, False]
    assert "Total params: 48 " in text
    for wrong in (["second"], "second", ["third", "last"], [1, 2]):
        with pytest.raises((ArgumentError, DTypeError), match="summary: layer_range"):
            model.summary(layer_range=wrong)  # type: ignore[arg-type]


def test_a_metric_of_ones_own_counts_in_variables() -> None:
    class Hits(metrics.Metric):
        def __init__(self, name: str = "hits", **common: Any) -> None:
            super().__init__(name=name, **common)
            self.hits = self.add_weight(name="hits", initializer="zeros")
            self.by_class = self.add_variable(shape=(3,), initializer="ones")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            right = ops.equal(ops.argmax(y_pred, axis=-1), ops.cast(ops.ravel(y_true), "int64"))
            self.hits.assign_add(ops.sum(ops.cast(right, "float32")))
            self.by_class.assign_sub(ops.sum(ops.one_hot(ops.ravel(y_true), 3), axis=0))

        def result(self) -> Any:
            return self.hits / 2

    metric = Hits()
    assert metric([0, 2], [[0.9, 0.1, 0], [0.2, 0.7, 0.1]]) == 0.5
    assert metric.by_class.numpy().tolist() == [0, 1, 0]
    assert float(metric.hits) == 1
    state = metric.get_state()
    metric.reset_state()
    assert metric.by_class.value.tolist() == [1, 1, 1]
    metric.set_state(state)
    assert metric.result() == 0.5
    model = Sequential([layers.Dense(3, activation="softmax", input_shape=(4,))])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Hits()])
    rows, labels = np.random.default_rng(1).random((6, 4)), np.arange(6) % 3
    history = model.fit(rows, labels, batch_size=2, epochs=2, verbose=0).history
    hits = (model.predict(rows, verbose=0).argmax(axis=1) == labels).sum()
    assert len(history["hits"]) == 2
    assert model.evaluate(rows, labels, verbose=0, return_dict=True)["hits"] == hits / 2


def test_names_of_numpy_in_ops() -> None:
    assert [name for name in FUNCTIONS if not callable(getattr(ops, name))] == []
    assert ops.shape(IMAGES) == (4, 8, 8, 3)
    assert ops.mean([1, 2, 3]) == 2
    assert ops.convert_to_tensor([1.5]).dtype == np.float32
    assert ops.top_k([[1, 3, 3]], 2).indices.tolist() == [[1, 2]]
    assert ops.one_hot([1, -1], 2, axis=0).tolist() == [[0, 0], [1, 0]]
    assert ops.in_top_k([1], [[0.1, 0.2, 0.9]], 1).tolist() == [False]
    assert ops.relu(np.array([-1, 1], np.float32)).tolist() == [0, 1]  # kernels stay kernels


def test_a_loss_of_ones_own_is_a_class_too() -> None:
    class Squared(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            d = y_pred - y_true
            return np.mean(d**2), 2 * d / d.size

    model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    model.compile("sgd", Squared(name="squared"))
    assert model.train_on_batch([[1.0]], [[3.0]]) == 9.0
    assert losses.MeanSquaredError().call([[1, 2]], [[1, 4]]).tolist() == [2.0]


def test_terminating_by_an_error() -> None:
    model = Sequential([layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 0"):
        model.fit([[np.nan]], [[1.0]], verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


def test_arguments_in_keras_s_order() -> None:
    frozen = Sequential([layers.Dense(1, input_shape=(1,))], False, "stack")
    assert (frozen.name, frozen.trainable, frozen.layers[0].trainable) == ("stack", False, False)
    assert losses.Loss("own").name == "own"
    assert fastcnn.Input((3,), None, "uint8", False).shape == (None, 3)
    for wrong in ({"sparse": True}, {"ragged": True}, {"optional": True}, {"tensor": 3}):
        with pytest.raises(ArgumentError, match=f"{next(iter(wrong))}: "):
            fastcnn.Input((3,), **wrong)
    known = {activations: "relu", fastcnn.initializers: "zeros", fastcnn.optimizers: "adam", losses: "mse"}
    for module, name in known.items():
        assert module.deserialize(name, custom_objects={})


def test_metrics_with_classes_along_another_axis() -> None:
    rng = np.random.default_rng(5)
    scores = rng.random((6, 3, 4)).astype(np.float32)
    labels = rng.integers(0, 3, (6, 4))
    last = np.moveaxis(scores, 1, -1)
    for kind in (metrics.SparseCategoricalCrossentropy, metrics.CategoricalCrossentropy):
        sparse = kind is metrics.SparseCategoricalCrossentropy
        hot = np.moveaxis(np.eye(3)[labels], -1, 1)
        wanted = kind()(labels if sparse else np.eye(3)[labels], last)
        assert kind(axis=1)(labels if sparse else hot, scores) == pytest.approx(wanted)
    assert metrics.CosineSimilarity(axis=1)(scores, scores) == pytest.approx(1)
    some = metrics.SparseCategoricalCrossentropy(ignore_class=0)([0, 1], [[0.5, 0.5], [0.5, 0.5]])
    assert some == pytest.approx(np.log(2) / 2)
    sorted_ids = metrics.SparseTopKCategoricalAccuracy(k=2, from_sorted_ids=True)
    assert sorted_ids([3, 1], [[5, 3, 1], [0, 2, 1]]) == 0.5
    assert metrics.get(None) is None


def test_the_rest_of_what_scripts_call(capsys: pytest.CaptureFixture[str]) -> None:
    inputs = fastcnn.Input((3,), name="image")
    assert fastcnn.backend.is_keras_tensor(inputs)
    assert not utils.is_keras_tensor(np.ones(3))
    assert utils.get_source_inputs(layers.ReLU()(inputs))[0] is inputs
    assert utils.unpack_x_y_sample_weight(utils.pack_x_y_sample_weight(1, 2, 3)) == (1, 2, 3)
    assert utils.pack_x_y_sample_weight([1]) == ([1],)
    with pytest.raises(ArgumentError, match="4 parts came"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))
    line = utils.Progbar(4, verbose=2, stateful_metrics=["rate"])
    line.add(1, [("loss", 4.0), ("rate", 1.0)])
    line.add(3, [("loss", 0.0), ("rate", 5.0)])
    printed = capsys.readouterr().out
    assert printed.startswith("4/4 - ")
    assert printed.endswith("loss: 1.0000 - rate: 5.0000\n")
    line = utils.Progbar(2, verbose=2)
    line.update(1, [("loss", 1.0)], finalize=True)
    assert capsys.readouterr().out.endswith("loss: 1.0000\n")
    line.update(2, [("loss", 1.0)], finalize=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(ArgumentError, match="wanted one of them"):
        utils.Progbar(1, stateful_metrics=["a"], stateless_metrics=["b"])
