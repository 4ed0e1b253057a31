# SPDX-License-Identifier: Apache-2.0
"""`fit` and its kin on batches that come one by one, and by counts: steps, frequencies, batch methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, Input, Model, Sequential, ShapeError, layers, metrics, utils
from fastcnn.callbacks import Callback
from fastcnn.optimizers import SGD, Adam

X = np.random.default_rng(0).standard_normal((50, 4))
Y = (X[:, 0] > 0).astype(np.int64)


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


def classifier(**settings: Any) -> Sequential:
    utils.set_random_seed(1)
    model = Sequential([layers.Dense(6, "relu"), layers.Dropout(0.2), layers.Dense(2, "softmax")])
    arguments = {"optimizer": Adam(0.02), "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**{**arguments, **settings})
    return model


def batches(size: int = 16) -> Iterator[tuple[Any, Any]]:
    for begin in range(0, len(X), size):
        yield X[begin : begin + size], Y[begin : begin + size]


class Loader:
    """Iterated anew each epoch, like those of other libraries; knows its length or does not."""

    def __init__(self, known: bool) -> None:
        if known:
            self.num_batches = 4

    def __iter__(self) -> Iterator[Any]:
        return batches()


class Numbered(utils.PyDataset):
    """Asked for its batches by number."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.ends = 0

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.asked.append(index)
        return X[index * 16 : index * 16 + 16], Y[index * 16 : index * 16 + 16]

    def on_epoch_end(self) -> None:
        self.ends += 1


def equal(left: Sequential, right: Sequential) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.get_weights(), right.get_weights(), strict=True))


@pytest.mark.parametrize("kind", ["known", "unknown", "numbered", "generators"])
def test_batches_are_arrays_in_parts(kind: str) -> None:
    """The same bits as one array, batch by batch in its order; logs too."""
    arrays = classifier()
    wanted = arrays.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0).history
    model = classifier()
    if kind == "generators":
        endless = (batch for _ in range(9) for batch in batches())
        history = model.fit(endless, epochs=3, steps_per_epoch=4, verbose=0).history
    else:
        data = {"known": Loader(True), "unknown": Loader(False), "numbered": Numbered()}[kind]
        history = model.fit(data, epochs=3, shuffle=False, verbose=0).history
    assert history == wanted
    assert equal(model, arrays)
    logs = model.evaluate(Loader(True), verbose=0)
    assert logs == model.evaluate(X, Y, batch_size=16, verbose=0)
    np.testing.assert_array_equal(
        model.predict(Loader(False), verbose=0), model.predict(X, batch_size=16, verbose=0)
    )


def test_numbered_batches_are_shuffled() -> None:
    data = Numbered()
    model = classifier()
    model.fit(data, epochs=3, verbose=0)
    orders = [data.asked[i : i + 4] for i in (0, 4, 8)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert data.ends == 3
    again = Numbered()
    classifier().fit(again, epochs=3, verbose=0)
    assert again.asked == data.asked


def test_hooks_and_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    class Steps(Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            seen.append(self.params["steps"])

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)

    seen: list[Any] = []
    model = classifier()
    model.fit(batches(), verbose=2, callbacks=[Steps()])
    assert seen == [None, 0, 1, 2, 3]
    assert capsys.readouterr().out.startswith("Epoch 1/1\n4/4 - 0s - ")
    model.fit(Loader(True), verbose=0, callbacks=[Steps()])
    assert seen[5] == 4


def test_weights_come_with_batches() -> None:
    weights = np.linspace(0, 2, 50)
    wanted = classifier()
    wanted.fit(X, Y, batch_size=50, sample_weight=weights, shuffle=False, verbose=0)
    model = classifier()
    model.fit([(X, Y, weights)].__iter__(), verbose=0)
    assert equal(model, wanted)
    by_class, parts = classifier(), classifier()
    by_class.fit(X, Y, batch_size=16, class_weight={1: 3.0}, shuffle=False, verbose=0)
    parts.fit(Loader(True), class_weight={1: 3.0}, verbose=0)
    assert equal(by_class, parts)


def test_several_inputs_in_batches() -> None:
    left, right = Input((4,), name="left"), Input((4,), name="right")
    model = Model([left, right], layers.Dense(1)(layers.Concatenate()([left, right])))
    model.compile("sgd", "mse")
    model.fit(iter([((X, X), Y), ({"left": X, "right": X}, Y)]), verbose=0)
    assert model.get_state()["step"] == 2
    assert model.predict(iter([((X, X),)]), verbose=0).shape == (50, 1)


# Counts


@pytest.mark.filterwarnings("error")
def test_an_epoch_of_so_many_steps() -> None:
    """Epochs of two batches are halves of one order."""
    whole = classifier()
    whole.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    halves = classifier()
    history = halves.fit(X, Y, batch_size=16, epochs=4, steps_per_epoch=2, verbose=0)
    assert len(history.epoch) == 4
    assert equal(whole, halves)


def test_data_that_runs_out() -> None:
    model = classifier()
    with pytest.warns(UserWarning, match="the data ran out within an epoch"):
        model.fit(batches(), epochs=1, steps_per_epoch=9, verbose=0)
    assert model.get_state()["step"] == 4
    with pytest.warns(UserWarning, match="ran out"):
        model.fit(X, Y, batch_size=16, steps_per_epoch=5, verbose=0)
    assert model.get_state()["step"] == 8


def test_data_without_a_batch() -> None:
    model = classifier()
    calls: list[tuple[str, Callable[[], object]]] = [
        ("fit: x", lambda: model.fit(iter([]), verbose=0)),
        ("fit: x", lambda: model.fit(iter([]), steps_per_epoch=2, verbose=0)),
        ("fit: validation_data: x", lambda: model.fit(X, Y, validation_data=iter([]), verbose=0)),
        ("evaluate: x", lambda: model.evaluate(iter([]), verbose=0)),
        ("predict: x", lambda: model.predict(iter([]), verbose=0)),
    ]
    for where, call in calls:
        with pytest.raises(ArgumentError, match=f"^{where}: the data holds no batch"):
            call()
    left = model.get_state()["step"]
    with pytest.raises(ArgumentError, match=r"^fit: x: the generator was read to its end before"):
        model.fit(batches(), epochs=2, verbose=0)
    assert model.get_state()["step"] == left + 4


def test_steps_of_evaluations_and_predictions() -> None:
    model = classifier()
    model.build((None, 4))
    assert model.evaluate(X, Y, batch_size=16, steps=2, verbose=0) == model.evaluate(
        X[:32], Y[:32], batch_size=16, verbose=0
    )
    assert model.predict(X, batch_size=16, steps=2, verbose=0).shape == (32, 2)
    assert model.predict(Loader(True), steps=3, verbose=0).shape == (48, 2)
    assert model.evaluate(Loader(True), steps=2, verbose=0) == model.evaluate(
        X[:32], Y[:32], batch_size=16, verbose=0
    )


@pytest.mark.parametrize(("frequency", "epochs"), [(1, [0, 1, 2, 3]), (2, [1, 3]), ([1, 4], [0, 3])])
def test_validation_freq(frequency: Any, epochs: list[int]) -> None:
    ran: list[int] = []

    class Look(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_test_begin(self, logs: Any = None) -> None:
            ran.append(self.epoch)

    history = classifier().fit(
        X, Y, epochs=4, validation_data=(X, Y), validation_freq=frequency, verbose=0, callbacks=[Look()]
    )
    assert ran == epochs
    assert len(history.history["val_loss"]) == len(epochs)
    assert len(history.history["loss"]) == 4


def test_validation_steps_and_batches() -> None:
    model = classifier()
    history = model.fit(
        X, Y, validation_data=(X, Y), validation_steps=2, validation_batch_size=8, verbose=0
    ).history
    assert history["val_loss"] == [
        model.evaluate(X[:16], Y[:16], batch_size=8, verbose=0, return_dict=True)["loss"]
    ]
    history = model.fit(X, Y, validation_data=Loader(True), epochs=2, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert (
        history["val_accuracy"][-1]
        == model.evaluate(X, Y, batch_size=16, verbose=0, return_dict=True)["accuracy"]
    )
    weights = np.linspace(0, 1, 50)
    history = model.fit(X, Y, validation_data=(X, Y, weights), verbose=0).history
    assert history["val_loss"] == [model.evaluate(X, Y, sample_weight=weights, verbose=0)[0]]


# One batch


def test_batch_methods_tell_of_their_batch_alone() -> None:
    mae = metrics.MeanAbsoluteError(name="mae")
    model = Sequential([layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(SGD(0.0), "mse", metrics=[mae])
    assert model.train_on_batch([[1.0]], [[2.0]]) == [4.0, 2.0]
    assert model.train_on_batch([[1.0]], [[4.0]], return_dict=True) == {"loss": 16.0, "mae": 4.0}
    assert model.test_on_batch([[1.0], [1.0]], [[0.0], [3.0]]) == [4.5, 1.5]
    assert mae.result() == 1.5
    model.reset_metrics()
    assert mae.result() == 0
    model.compile(SGD(0.0), "mse")
    assert model.test_on_batch([[1.0]], [[1.0]], return_dict=True) == {"loss": 1.0}


# A loss of one's own


def absolute(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    difference = y_pred - y_true.reshape(y_pred.shape)
    return np.abs(difference).mean(), np.sign(difference) / difference.size


def test_a_loss_of_one_s_own_is_the_loss() -> None:
    """The same weights as with the loss of the package, whose formula it has."""
    weights = []
    for loss in ("mae", absolute):
        utils.set_random_seed(1)
        model = Sequential([layers.Dense(8, "tanh"), layers.Dense(1)])
        model.compile(SGD(0.5), loss, metrics=["mse"])
        history = model.fit(X, X[:, 0], batch_size=8, epochs=3, validation_split=0.2, verbose=0).history
        weights.append((model.get_weights(), history))
    for a, b in zip(weights[0][0], weights[1][0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for key, values in weights[0][1].items():
        np.testing.assert_allclose(values, weights[1][1][key], rtol=1e-5)


def test_a_loss_of_one_s_own_of_one_of_two_outputs() -> None:
    x = Input((4,))
    model = Model(x, [layers.Dense(1, name="a")(x), layers.Dense(2, "softmax", name="b")(x)])
    model.compile(
        "sgd", {"a": absolute, "b": "sparse_categorical_crossentropy"}, {"a": 3.0, "b": 1.0}, {"b": "acc"}
    )
    logs = model.evaluate(X, [X[:, 0], Y], verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(3 * logs["a_loss"] + logs["b_loss"])
    assert logs["a_loss"] == pytest.approx(
        np.abs(model.predict(X, verbose=0)[0][:, 0] - X[:, 0]).mean(), rel=1e-5
    )
    model.fit(X, [X[:, 0], Y], epochs=2, verbose=0)


def test_what_a_loss_of_one_s_own_may_not() -> None:
    model = Sequential([layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", absolute)
    before = model.get_weights()
    with pytest.raises(ArgumentError, match="sample_weight"):
        model.fit(X, X[:, 0], sample_weight=np.ones(50), verbose=0)
    with pytest.raises(ShapeError, match="3 targets came for 50 samples"):
        model.fit(X, X[:3, 0], verbose=0)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda t, p: 1.0, DTypeError, "wanted a pair"),
        (lambda t, p: (np.ones(2), p), ShapeError, "wanted one number"),
        (lambda t, p: (1.0, p[:1]), ShapeError, "the gradient has shape"),
        (lambda t, p: 1 / 0, ZeroDivisionError, "division"),
        (lambda t, p: model.predict(X), ArgumentError, "in use"),
    ]
    for loss, error, message in wrong:
        model.compile("sgd", loss)
        with pytest.raises(error, match=message):
            model.fit(X, X[:, 0], verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.compile("sgd", absolute)
    model.fit(X, X[:, 0], verbose=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.fit(batches(), Y), ArgumentError, "fit: y: came together with data in batches"),
        (lambda m: m.fit(batches(), validation_split=0.1), ArgumentError, "validation_split: came together"),
        (lambda m: m.evaluate(batches(), sample_weight=Y), ArgumentError, "evaluate: sample_weight: came"),
        (lambda m: m.fit(iter([X])), ArgumentError, "a batch without targets"),
        (lambda m: m.fit(iter([(X, Y, Y, Y)])), ArgumentError, "a batch of 4 came"),
        (lambda m: m.fit(X, Y, steps_per_epoch=0), ArgumentError, "fit: steps_per_epoch: 0 came"),
        (lambda m: m.fit(X, Y, validation_freq=0), ArgumentError, "fit: validation_freq: 0 came"),
        (lambda m: m.fit(X, Y, validation_freq="often"), DTypeError, "fit: validation_freq"),
        (lambda m: m.fit(X, Y, validation_data=X), ArgumentError, "fit: validation_data: wanted a pair"),
        (lambda m: m.predict(X, steps=-1), ArgumentError, "predict: steps"),
        (lambda m: m.compile("sgd", "mse", ["accuracy"]), DTypeError, "loss_weights"),
    ],
)
def test_bad_calls(call: Any, error: type[Exception], message: str) -> None:
    model = classifier()
    with pytest.raises(error, match=message):
        call(model)
    assert not model.built
