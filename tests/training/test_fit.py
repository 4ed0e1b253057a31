# SPDX-License-Identifier: Apache-2.0
"""compile, fit, evaluate, train_on_batch: results, order, callbacks, interruption."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import (
    Input,
    Sequential,
    layers,
    losses,
    utils,
)
from fastcnn.callbacks import Callback
from fastcnn.optimizers import SGD, Adam

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    """Points in the plane with the number of their quadrant."""
    x = rng.uniform(-1, 1, (200, 2))
    return x, (x[:, 0] > 0) * 2 + (x[:, 1] > 0)


def classifier(**settings: Any) -> Sequential:
    model = Sequential(
        [Input((2,)), layers.Dense(16, "relu"), layers.Dropout(0.1), layers.Dense(4, "softmax")]
    )
    arguments = {"optimizer": Adam(0.02), "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**{**arguments, **settings})
    return model


def line(loss: str = "mse", **settings: Any) -> Sequential:
    """``y = w x + b`` from w = b = 0."""
    model = Sequential([layers.Dense(1, kernel_initializer="zeros")])
    model.compile(SGD(0.1), loss, **settings)
    return model


def equal(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


# What it computes


def test_it_learns(data: Data) -> None:
    model = classifier()
    history = model.fit(*data, epochs=30, verbose=0)
    assert history is model.history
    assert history.epoch == list(range(30))
    assert list(history.history) == ["accuracy", "loss"]
    loss, accuracy = model.evaluate(*data, verbose=0)
    assert accuracy > 0.95
    assert loss < history.history["loss"][0] / 3
    assert model.metrics_names == ["loss", "accuracy"]
    assert model.evaluate(*data, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}


def test_evaluate_equals_numpy(data: Data) -> None:
    model = classifier()
    x, y = data
    probabilities = model.predict(x, verbose=0).astype(np.float64)
    loss, accuracy = model.evaluate(x, y, batch_size=7, verbose=0)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(len(y)), y]).mean(), rel=1e-5)
    assert accuracy == (probabilities.argmax(axis=1) == y).mean()
    assert model.test_on_batch(x, y) == pytest.approx([loss, accuracy], rel=1e-5)


def test_one_step_of_gradient_descent() -> None:
    model = line()
    x, y = np.array([[1.0], [2.0]]), np.array([1.0, 4.0])
    assert model.train_on_batch(x, y) == 8.5  # the loss before the step
    # dw = mean(2 * (0 - y) * x) = -9, db = mean(2 * (0 - y)) = -5
    np.testing.assert_allclose([w.item() for w in model.get_weights()], [0.9, 0.5], rtol=1e-6)


def test_an_assigned_learning_rate_holds_from_the_next_batch() -> None:
    model = line()
    model.train_on_batch([[1.0]], [1.0])
    model.optimizer.learning_rate = 0
    weights = model.get_weights()
    model.train_on_batch([[1.0]], [1.0])
    model.fit([[1.0]], [1.0], verbose=0)
    assert equal(model.get_weights(), weights)

    class Decay(Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.optimizer.learning_rate = 0.1 if epoch == 2 else 0.0

    history = model.fit([[1.0]], [1.0], epochs=4, verbose=0, callbacks=[Decay()]).history["loss"]
    assert history[0] == history[1] == history[2] > history[3]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(200,), (200, 1)])
def test_labels_of_any_dtype(dtype: str, shape: tuple[int, ...], data: Data) -> None:
    x, y = data
    losses_seen = classifier().fit(x, y, verbose=0).history["loss"]
    utils.set_random_seed(1)
    again = classifier().fit(x, y.astype(dtype).reshape(shape), verbose=0).history["loss"]
    assert again == losses_seen


def test_one_hot_targets_are_the_same_problem(data: Data) -> None:
    x, y = data
    sparse = classifier().fit(x, y, verbose=0).history
    utils.set_random_seed(1)
    dense = classifier(loss="categorical_crossentropy").fit(x, utils.to_categorical(y, 4), verbose=0).history
    assert dense["accuracy"] == sparse["accuracy"]
    assert dense["loss"] == pytest.approx(sparse["loss"], rel=1e-5)


def test_logits_are_the_same_problem(data: Data) -> None:
    x, y = data
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model = Sequential([Input((2,)), layers.Dense(4)])
    model.compile("sgd", loss)
    probabilities = Sequential([Input((2,)), layers.Dense(4, activation="softmax")])
    probabilities.compile("sgd", "sparse_categorical_crossentropy")
    probabilities.set_weights(model.get_weights())
    assert model.evaluate(x, y, verbose=0) == pytest.approx(probabilities.evaluate(x, y, verbose=0), rel=1e-5)


def test_the_kind_of_accuracy_follows_from_the_targets() -> None:
    model = line(metrics=["accuracy"])
    model.build((None, 1))
    model.set_weights([[[1.0]], [0.0]])
    assert model.evaluate([[0.9], [0.2], [0.7]], [1, 0, 0], verbose=0)[1] == pytest.approx(2 / 3)


def test_lists_are_data() -> None:
    assert line().fit([[0], [1]], [0, 1], verbose=0).history["loss"] == [0.5]


# Order and seeds


def test_one_seed_one_history(data: Data) -> None:
    first, second = classifier(), classifier()
    assert first.fit(*data, epochs=3, verbose=0).history != second.fit(*data, epochs=3, verbose=0).history
    utils.set_random_seed(1)
    again = classifier()
    assert again.fit(*data, epochs=3, verbose=0).history == first.history.history
    assert equal(again.get_weights(), first.get_weights())


def test_epochs_one_by_one_are_the_same_run(data: Data) -> None:
    whole = classifier()
    whole.fit(*data, epochs=3, verbose=0)
    utils.set_random_seed(1)
    parts = classifier()
    for epoch in range(3):
        history = parts.fit(*data, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
        assert history.epoch == [epoch]
    assert equal(parts.get_weights(), whole.get_weights())


def test_every_epoch_has_its_own_order(data: Data) -> None:
    """With a learning rate of 0 only the order can show: in the loss of the first batch."""
    model = classifier(optimizer=SGD(0), metrics=None)
    seen: list[float] = []

    class First(Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            if batch == 0:
                seen.append(logs["loss"])

    model.fit(*data, epochs=3, verbose=0, callbacks=First())
    assert len(set(seen)) == 3


def test_without_shuffling_samples_come_as_they_stand(data: Data) -> None:
    x, _ = data
    model = line()
    model.fit(x[:, :1], x[:, 1], batch_size=150, shuffle=False, verbose=0)
    again = line()
    for part in (slice(0, 150), slice(150, 200)):
        again.train_on_batch(x[part, :1], x[part, 1])
    assert equal(model.get_weights(), again.get_weights())


# Validation


def test_validation_split_takes_the_last_samples_before_shuffling(data: Data) -> None:
    x, y = data
    split = classifier()
    history = split.fit(x, y, epochs=2, validation_split=0.25, verbose=0)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    utils.set_random_seed(1)
    given = classifier()
    given.fit(x[:150], y[:150], epochs=2, validation_data=(x[150:], y[150:]), verbose=0)
    assert given.history.history == history.history
    assert split.evaluate(x[150:], y[150:], verbose=0) == [
        history.history[key][-1] for key in ("val_loss", "val_accuracy")
    ]


def test_validation_does_not_train(data: Data) -> None:
    x, y = data
    plain = classifier().fit(x, y, verbose=0).history["loss"]
    utils.set_random_seed(1)
    assert classifier().fit(x, y, validation_data=(x, y), verbose=0).history["loss"] == plain


# Callbacks


class Journal(Callback):
    """Writes down every call."""

    def __init__(self, *hooks: str) -> None:
        self.calls: list[str] = []
        for hook in hooks:
            setattr(self, hook, self._note(hook))

    def _note(self, hook: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            numbers = [str(each) for each in arguments if isinstance(each, int)]
            self.calls.append(" ".join([hook.removeprefix("on_"), *numbers]))

        return note


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def test_hooks_are_called_in_keras_s_order(data: Data) -> None:
    x, y = (part[:5] for part in data)
    journal = Journal(*HOOKS)
    model = classifier()
    model.fit(x, y, batch_size=3, epochs=1, validation_data=(x, y), callbacks=[journal], verbose=0)
    batches = [f"{{0}}_batch_{moment} {batch}" for batch in (0, 1) for moment in ("begin", "end")]
    trained = [batch.format("train") for batch in batches]
    tested = ["test_begin", *(batch.format("test") for batch in batches), "test_end"]
    assert journal.calls == ["train_begin", "epoch_begin 0", *trained, *tested, "epoch_end 0", "train_end"]
    assert journal.params == {"verbose": 0, "epochs": 1, "steps": 2}
    assert journal.model is model

    journal.calls.clear()
    model.evaluate(x, y, batch_size=3, callbacks=[journal], verbose=0)
    assert journal.calls == tested
    journal.calls.clear()
    model.predict(x, batch_size=3, callbacks=[journal], verbose=0)
    assert journal.calls == ["predict_begin", *(batch.format("predict") for batch in batches), "predict_end"]


def test_hooks_of_batches_change_no_bit(data: Data) -> None:
    plain = classifier()
    plain.fit(*data, epochs=2, verbose=0)
    utils.set_random_seed(1)
    watched = classifier()
    watched.fit(*data, epochs=2, verbose=0, callbacks=[Journal("on_train_batch_end")])
    assert equal(watched.get_weights(), plain.get_weights())


def test_a_callback_may_stop_and_add_to_the_logs(data: Data) -> None:
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            logs["rate"] = self.model.optimizer.learning_rate
            self.model.stop_training = epoch == 1

    model = classifier()
    history = model.fit(*data, epochs=9, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0, 1]
    assert history.history["rate"] == [0.02, 0.02]
    assert model.fit(*data, epochs=1, verbose=0).epoch == [0]


def test_a_callback_may_stop_within_an_epoch(data: Data) -> None:
    class Stop(Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = batch == 2

    model = classifier()
    model.fit(*data, epochs=2, verbose=0, callbacks=[Stop()])
    assert model.get_state()["step"] == 3


# Interruption


def test_an_epoch_that_ends_before_its_first_step_draws_no_order(data: Data) -> None:
    class Fail(Callback):
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.epoch = epoch

        def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            if self.epoch == 1:
                raise KeyboardInterrupt

    def made() -> Sequential:
        utils.clear_session()
        utils.set_random_seed(1)
        return classifier()

    interrupted, whole = made(), made()
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(*data, epochs=2, verbose=0, callbacks=[Fail()])
    whole.fit(*data, epochs=1, verbose=0)
    for model in (interrupted, whole):
        model.fit(*data, epochs=1, verbose=0)
    wanted = whole.get_state()
    for key, value in interrupted.get_state().items():
        np.testing.assert_array_equal(value, wanted[key], key)


INTERRUPTED = """
    import json, os, signal, threading, time
    import numpy as np
    from fastcnn import Sequential, callbacks, layers, utils

    rng = np.random.default_rng(0)
    x, y = rng.random((4000, 16, 16, 1), np.float32), rng.integers(0, 10, 4000)

    def make():
        utils.clear_session()
        utils.set_random_seed(1)
        model = Sequential([
            layers.Conv2D(8, 3, activation="relu", input_shape=(16, 16, 1)), layers.Flatten(),
            layers.Dropout(0.3), layers.Dense(10, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    class Signal(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                threading.Timer(0.1, self.send).start()
        def send(self):
            self.sent = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)

    class Stop(callbacks.Callback):
        def __init__(self, steps):
            self.left = steps
        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            self.model.stop_training = self.left == 0

    model, sender = make(), Signal()
    try:
        model.fit(x, y, epochs=100000, verbose=0, callbacks=[sender])
        raise SystemExit("not interrupted")
    except KeyboardInterrupt:
        waited = time.monotonic() - sender.sent
    state = model.get_state()
    again = make()
    again.fit(x, y, epochs=100000, verbose=0, callbacks=[Stop(int(state["step"]))])
    same = all(np.array_equal(value, again.get_state()[key]) for key, value in state.items())
    model.fit(x[:64], y[:64], verbose=0)
    print(json.dumps({"waited": waited, "same": same, "epochs": model.history.epoch}))
    print(json.dumps(len(state)))
"""


def test_interruption_leaves_a_finished_step() -> None:
    """Ctrl-C is served within half a second, and the weights are those of a run that stopped at that step."""
    code = textwrap.dedent(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[0])
    assert result["same"]
    assert result["waited"] < 0.5
    assert result["epochs"] == [0]


def test_what_was_finished_stays_readable(data: Data) -> None:
    class Interrupt(Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    model = classifier()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, epochs=5, verbose=0, callbacks=[Interrupt()])
    assert model.history is not None
    assert model.history.epoch == [0, 1]
    assert len(model.history.history["loss"]) == 2


# Settings


def test_compile_from_its_configuration() -> None:
    model = classifier(optimizer=SGD(0.1, momentum=0.9, nesterov=True), math="strict", metrics=["acc"])
    config = json.loads(json.dumps(model.get_compile_config()))
    again = Sequential([layers.Dense(4, "softmax")])
    assert again.get_compile_config() is None
    again.compile_from_config(config)
    assert again.get_compile_config() == config
    assert again.metrics_names == ["loss", "acc"]


def test_no_epochs_are_no_error(data: Data) -> None:
    model = classifier()
    weights = model.get_weights()
    assert model.fit(*data, epochs=0, verbose=0).history == {}
    assert equal(model.get_weights(), weights)
