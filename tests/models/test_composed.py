# SPDX-License-Identifier: Apache-2.0
"""Layers and models of the user's own, graphs from an inner tensor on, arithmetic on symbolic tensors."""

from __future__ import annotations

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, Input, Model, Sequential, ShapeError, layers, models

RNG = np.random.default_rng(3)
X = RNG.standard_normal((40, 8, 8, 3)).astype(np.float32)
Y = np.arange(40) % 5


class Residual(layers.Layer):
    """Two convolutions beside a shortcut."""

    def __init__(self, filters: int, rate: float = 0.0, **common: Any) -> None:
        super().__init__(**common)
        self.convs = [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        self.drop = layers.Dropout(rate)

    def call(self, x: Any, training: Any = None) -> Any:
        y = x
        for conv in self.convs:
            y = conv(y)
        return x + self.drop(y, training=training)


class Net(Model):
    """Blocks in a list, `training` handed on."""

    def __init__(self, classes: int = 5, rate: float = 0.0) -> None:
        super().__init__()
        self.head = layers.Dense(classes, activation="softmax")  # assigned first, used last
        self.stem = layers.Conv2D(4, 3, padding="same")
        self.blocks = [Residual(4, rate) for _ in range(2)]
        self.pool = layers.GlobalAveragePooling2D()

    def call(self, inputs: Any, training: Any = False) -> Any:
        x = self.stem(inputs)
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.pool(x))


def by_hand() -> Model:
    """The same network as a graph."""
    inputs = Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(2):
        y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
        y = layers.Conv2D(4, 3, padding="same", activation="relu")(y)
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(5, activation="softmax")(x))


def compiled(model: Any) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_a_model_of_ones_own_is_the_graph_that_it_calls() -> None:
    mine, graph = compiled(Net()), compiled(by_hand())
    mine.build((None, 8, 8, 3))
    head, rest = mine.get_weights()[:2], mine.get_weights()[2:]
    graph.set_weights([*rest, *head])  # Keras counts weights by attributes, and a graph's from its input on
    assert np.array_equal(mine.predict(X, verbose=0), graph.predict(X, verbose=0))
    for model in (mine, graph):
        model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert mine.history.history == graph.history.history
    for one, other in zip([*rest, *head], graph.get_weights(), strict=True):
        assert one.shape == other.shape
    assert np.array_equal(mine.predict(X, verbose=0), graph.predict(X, verbose=0))


def test_it_is_built_by_fit_or_by_a_call() -> None:
    model = compiled(Net())
    assert not model.built
    assert [type(layer).__name__ for layer in model.layers] == [
        *("Dense", "Conv2D", "Residual", "Residual", "GlobalAveragePooling2D")
    ]
    model.fit(X, Y, verbose=0)
    assert model.input_shape == (None, 8, 8, 3)
    assert model.output_shape == (None, 5)
    assert model.name == "net" or model.name.startswith("net_")
    assert model.count_params() == by_hand().count_params()
    called = Net()
    assert called(X[:2]).shape == (2, 5)
    assert called.built


def test_training_reaches_the_layers_that_it_is_passed_to() -> None:
    plain, dropping = Net(rate=0.0), Net(rate=0.9)
    for model in (plain, dropping):
        compiled(model).build((None, 8, 8, 3))
    dropping.set_weights(plain.get_weights())
    assert np.array_equal(plain.predict(X, verbose=0), dropping.predict(X, verbose=0))
    assert plain.train_on_batch(X, Y)[0] != dropping.train_on_batch(X, Y)[0]


def test_files_hold_it_as_a_model_of_its_layers(tmp_path: pathlib.Path) -> None:
    model = compiled(Net())
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "net.safetensors")
    loaded: Any = fastcnn.load_model(tmp_path / "net.safetensors")
    assert type(loaded) is Model
    assert np.array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    results = [each.fit(X, Y, shuffle=False, verbose=0).history for each in (model, loaded)]
    assert results[0] == results[1]
    again: Any = models.model_from_json(model.to_json())
    assert again.output_shape == (None, 5)
    model.save_weights(tmp_path / "weights.safetensors")
    other = Net()
    other.build((None, 8, 8, 3))
    other.load_weights(tmp_path / "weights.safetensors")
    assert np.array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(copied: Any) -> None:
    model = compiled(Net())
    assert not copied(model).built
    model.fit(X, Y, verbose=0)
    twin = copied(model)
    assert type(twin) is Net
    assert np.array_equal(twin.predict(X, verbose=0), model.predict(X, verbose=0))
    assert np.array_equal(twin.blocks[1].get_weights()[2], model.blocks[1].get_weights()[2])
    stack = Sequential([Input((8, 8, 3)), layers.Conv2D(4, 3), Residual(4), layers.Flatten()])
    assert np.array_equal(copied(stack).predict(X, verbose=0), stack.predict(X, verbose=0))


def test_a_layer_of_ones_own_in_a_stack_and_in_a_graph() -> None:
    late = Sequential([layers.Conv2D(4, 3), Residual(4, name="block"), layers.Flatten()])
    late.build((None, 8, 8, 3))
    block = late.get_layer("block")
    assert isinstance(block, Residual)
    assert [each.shape for each in block.get_weights()] == [(3, 3, 4, 4), (4,)] * 2
    assert block.count_params() == 2 * (9 * 16 + 4)
    weights = [each + 1 for each in block.get_weights()]
    block.set_weights(weights)
    assert all(np.array_equal(*pair) for pair in zip(late.get_weights()[2:], weights, strict=True))
    before = block.get_weights()
    for wrong in (weights[:1], [*weights[:3], np.zeros(3)], [*weights[:3], np.full(4, "a")]):
        with pytest.raises((ArgumentError, ShapeError, DTypeError), match="block"):
            block.set_weights(wrong)
    assert all(np.array_equal(*pair) for pair in zip(block.get_weights(), before, strict=True))
    inputs = Input((8, 8, 4))
    graph = Model(inputs, Residual(4)(Residual(4)(inputs)))
    assert [type(layer).__name__ for layer in graph.layers] == ["InputLayer", "Residual", "Residual"]
    assert graph.output_shape == (None, 8, 8, 4)


def test_a_frozen_block_keeps_its_weights() -> None:
    model = compiled(Net())
    model.blocks[0].trainable = False
    model.fit(X, Y, verbose=0)
    frozen = model.blocks[0].get_weights()
    model.fit(X, Y, epochs=2, verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(model.blocks[0].get_weights(), frozen, strict=True))
    assert len(model.trainable_weights) == len(model.get_weights()) - 4
    assert not model.blocks[0].trainable_weights
    assert len(model.blocks[0].non_trainable_weights) == 4


def test_a_layer_that_makes_its_layers_in_build() -> None:
    class Half(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.conv = layers.Conv2D(input_shape[-1] // 2, 1)

        def call(self, inputs: Any) -> Any:
            return self.conv(inputs)

    assert Half().compute_output_shape((None, 4, 4, 8)) == (None, 4, 4, 4)


def test_several_inputs_and_outputs() -> None:
    class Cross(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.add, self.multiply = layers.Add(), layers.Multiply()

        def call(self, a: Any, b: Any) -> Any:
            return self.add([a, b]), self.multiply([a, b])

    class Two(Model):
        def __init__(self) -> None:
            super().__init__()
            self.cross, self.left, self.right = Cross(), layers.Dense(2), layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            total, product = self.cross(inputs[0], inputs[1])
            return [self.left(total), self.right(product)]

    model = Two()
    model.build([(None, 6), (None, 6)])
    a, b = (RNG.standard_normal((10, 6)).astype(np.float32) for _ in range(2))
    left, right = model.predict([a, b], verbose=0)
    assert (left.shape, right.shape) == ((10, 2), (10, 3))
    model.compile("sgd", ["mse", "mse"])
    assert np.isfinite(model.train_on_batch([a, b], [left, right])[0])
    sums = Model(model.inputs, model.cross(*model.inputs))
    got = sums.predict([a, b], verbose=0)
    assert np.array_equal(got[0], a + b)
    assert np.array_equal(got[1], a * b)


def test_arithmetic_makes_layers() -> None:
    a, b = Input((4,)), Input((4,))
    x, y = (RNG.integers(-8, 9, (6, 4)).astype(np.float32) for _ in range(2))
    cases: list[tuple[Any, Any]] = [
        (a + b, x + y), (a - b, x - y), (a * b, x * y), (a + b + 1, x + y + 1), (2.0 * a - b, 2 * x - y),
        (1 - a * b, 1 - x * y), (a / 4 + b, x / 4 + y), (-a + b, -x + y), (a - 0.5 + b, x - 0.5 + y),
    ]  # fmt: skip
    for made, wanted in cases:
        assert np.array_equal(Model([a, b], made).predict([x, y], verbose=0), wanted)


def test_a_model_may_begin_at_an_inner_tensor() -> None:
    model = compiled(by_hand())
    with pytest.raises(ArgumentError, match="is missing: the outputs depend on it"):
        Model(model.layers[3].output, model.output)  # a shortcut passes it by
    middle = model.layers[4].output  # the first sum
    front, back = Model(model.input, middle), Model(middle, model.output)
    assert type(back.layers[0]).__name__ == "InputLayer"
    assert back.input_shape == (None, 8, 8, 4)
    assert front.count_params() + back.count_params() == model.count_params()
    for _ in range(2):
        inner = front.predict(X, verbose=0)
        assert np.array_equal(back.predict(inner, verbose=0), model.predict(X, verbose=0))
        model.fit(X, Y, verbose=0)  # all three share the weights


def test_called_for_prediction_batch_norm_keeps_its_statistics() -> None:
    """As in fine-tuning: the base trains, its moving statistics do not."""
    base = Sequential(
        [Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Dropout(0.5)]
    )
    inputs = Input((8, 8, 3))
    x = base(inputs, training=False)
    model = compiled(Model(inputs, layers.Dense(5, activation="softmax")(layers.Flatten()(x))))
    before = base.get_weights()
    loss = model.train_on_batch(X, Y)[0]
    after = base.get_weights()
    assert not np.array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])
    assert np.array_equal(before[4], after[4])
    assert np.array_equal(before[5], after[5])
    again = Model.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    clone = models.clone_model(model)
    assert [call[2:] for call in clone.get_config()["calls"]] == [[], [False], [], []]
    base.set_weights(before)
    fresh = compiled(Model(inputs, layers.Dense(5, activation="softmax")(layers.Flatten()(base(inputs)))))
    assert fresh.train_on_batch(X, Y)[0] != loss
    assert not np.array_equal(base.get_weights()[4], before[4])


def test_an_image_that_is_not_augmented() -> None:
    inputs = Input((8, 8, 3))
    steps = [layers.RandomFlip(), layers.RandomRotation(0.3), layers.RandomErasing(1.0), layers.MixUp()]
    x = inputs
    for layer in steps:
        x = layer(x, training=False)
    model = Model(inputs, layers.Conv2D(3, 1, use_bias=False)(x))
    model.set_weights([np.eye(3, dtype=np.float32)[None, None]])
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, X) == 0.0


class Branching(Model):
    def call(self, inputs: Any, training: Any = False) -> Any:
        return layers.Dense(3)(inputs) if training else layers.Dense(2)(inputs)


class Numbers(Model):
    def call(self, inputs: Any) -> Any:
        return 3.0


class Stepping(Model):
    def call(self, inputs: Any) -> Any:
        return layers.Dense(3)(inputs)

    def train_step(self, data: Any) -> Any:
        return {}


class Adversarial(Model):
    """Without a call, as such classes often are."""

    def __init__(self, generator: Model) -> None:
        super().__init__()
        self.generator = generator

    def train_step(self, data: Any) -> Any:
        return {}


class Doubled(layers.Dense):
    def call(self, inputs: Any) -> Any:
        return super().call(inputs) * 2


class Weighing(layers.Layer):
    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(3,), name="w")

    def call(self, inputs: Any) -> Any:
        return inputs


class SteppingStack(Sequential):
    def compute_loss(self, **given: Any) -> Any:
        return 0.0


X0 = Input((4,))


def built(kind: type[Model]) -> None:
    model = kind()
    model.build((None, 4))


def test_layers_that_call_makes_are_listed_if_they_have_weights() -> None:
    class Making(Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = layers.Dense(3, name="first")
            self.unused = layers.Dense(3, name="unused")

        def call(self, inputs: Any) -> Any:
            return layers.Dense(2, name="made")(layers.ReLU(name="idle")(self.first(inputs)))

    model = Making()
    assert [each.name for each in model.layers] == ["first", "unused"]
    model.build((None, 4))
    assert [each.name for each in model.layers] == ["first", "unused", "made"]
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: built(Branching), ArgumentError, "does something else in prediction than to leave out dropout"),
    (lambda: built(Numbers), DTypeError, "call returned float, wanted what layers give"),
    (lambda: built(Stepping), ArgumentError, "train_step: a step is one native call, wanted a loop"),
    (lambda: Stepping(X0, layers.Dense(1)(X0)), ArgumentError, "train_step: a step is one native"),
    (lambda: Adversarial(Net()), ArgumentError, "train_step: a step is one native call, wanted a loop"),
    (lambda: SteppingStack([layers.Dense(2)]), ArgumentError, "compute_loss: a step is one native call"),
    (lambda: Doubled(2)(Input((3,))), ArgumentError, "a class that does more has one as an attribute"),
    (lambda: Weighing()(Input((3,))), ArgumentError, "add_weight: a layer of your own has the weights of"),
    (lambda: Model(), ArgumentError, "inputs: none came"),
    (lambda: layers.Layer()(Input((3,))), ArgumentError, "the class has no call"),
    (lambda: Residual(3).get_config() and Sequential([Residual(3)]).get_config(), ArgumentError, "not been"),
    (lambda: Net().predict_on_batch(X[..., 0]), ShapeError, "conv2d"),
    (lambda: Net().inputs, ArgumentError, "inputs: the input's shape is not known"),
    (lambda: Residual(3)(Input((8, 8, 4))), ShapeError, "add"),
    (lambda: Input((3,)) + "a", DTypeError, "str came with + of a symbolic tensor"),
    (lambda: Input((3,)) / 0, ArgumentError, "wanted a number other than 0"),
    (lambda: layers.Dropout(0.5)(Input((3,)), training=True), ArgumentError, "where fit says so"),
    (lambda: layers.Dense(2)(Input((3,)), mask=1), ArgumentError, "mask: 1 came"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("+", r"\+")):
        make()
