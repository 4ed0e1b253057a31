# SPDX-License-Identifier: Apache-2.0
"""compile, fit, evaluate, predict: Keras's surface over `Runner`. Models inherit it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fastcnn import losses, optimizers
from fastcnn._arguments import Array, flag, integer
from fastcnn._data import Data, Feed, arrays, pair_up, split, with_class_weights
from fastcnn._progress import Progress
from fastcnn._runner import Runner, Score
from fastcnn._settings import Settings, objectives
from fastcnn.callbacks import Callback, CallbackList, History
from fastcnn.errors import ArgumentError

Callbacks: TypeAlias = Iterable[Callback] | Callback | None


class Trainer(Runner):
    """A model that can be trained.

    Attributes
    ----------
    history
        What the last `fit` returned, or would have: it is readable after an interruption.
    stop_training
        Set it to True in a callback to end `fit`.
    """

    # Settings

    def compile(
        self,
        optimizer: str | optimizers.Optimizer,
        loss: Any = None,
        metrics: Any = None,
        *,
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        device: str = "auto",
        precision: str = "float32",
        math: str = "default",
    ) -> None:
        """Say how to train. Optimizer state starts anew.

        Parameters
        ----------
        optimizer
            A name such as "sgd" or "adam", or an object of `fastcnn.optimizers`.
        loss
            "sparse_categorical_crossentropy", "binary_crossentropy", "mean_squared_error" ("mse"), any other
            name or object of `fastcnn.losses`. A model with several outputs takes a list in their order, a
            dict by their names, or one for all; None leaves an output without a loss. The same holds for
            metrics and weights.
        metrics
            None, or a list of one of "accuracy" ("acc"; its kind follows from the targets),
            "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy", or an object of
            `fastcnn.metrics`.
        loss_weights
            What each output's loss counts in the sum that is trained; None means 1.
        device
            "auto" or "cpu".
        precision
            "float32".
        math
            How 3x3 convolutions may be computed; `fastcnn.ops.conv2d` says what that costs in accuracy.
            "default": by Winograd's F(2,3), and in `predict` and `evaluate` by F(4,3). "strict": directly.
            "fast": by F(4,3) in training too.

        Raises
        ------
        ArgumentError
            A name is unknown; the message says the nearest.
        DeviceError
            The device cannot be used; the message says what is missing.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(10, activation="softmax", input_shape=(784,))])
        >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> model.metrics_names
        ['loss', 'accuracy']
        """
        measures = objectives(self.output_names, loss, metrics, loss_weights)
        if all(each.loss is None for each in measures):
            raise ArgumentError("compile: loss: None came, wanted a loss for at least one output")
        settings = Settings(optimizers.get(optimizer), measures, device, precision, math)
        if self.built:
            settings.apply(self._bind())
        else:
            settings.check()
        self._settings = settings

    @property
    def optimizer(self) -> optimizers.Optimizer:
        """The optimizer; its ``learning_rate`` may be assigned."""
        return self._compiled("optimizer").optimizer

    @property
    def loss(self) -> losses.Loss | dict[str, losses.Loss | None] | None:
        """The loss; of several outputs a dict by their names."""
        measures = self._compiled("loss").objectives
        return measures[0].loss if len(measures) == 1 else {each.output: each.loss for each in measures}

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns, in its order."""
        return self._compiled("metrics_names").names

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was told, as plain values; None before."""
        return None if self._settings is None else self._settings.get_config()

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as `get_compile_config` says."""
        self.compile(**config)

    # Training

    def fit(
        self,
        x: Feed,
        y: Feed,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callbacks = None,
        validation_split: float = 0.0,
        validation_data: tuple[Feed, Feed] | tuple[Feed, Feed, Feed] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Feed | None = None,
        *,
        initial_epoch: int = 0,
    ) -> History:
        """Train for a number of epochs.

        Each epoch runs over all samples once, in a new random order that follows from the model's seed and
        the number of orders drawn before: training twice for one epoch is training once for two, and a saved
        model goes on where it was. Ctrl-C ends it within half a second with the weights at a finished step.

        Parameters
        ----------
        x
            Samples, any real dtype (cast to float32 as they are read, never scaled), ``[N, ...]``; a missing
            last axis of 1 is added. A model without an `Input` takes its shape from here.
        y
            Labels ``[N]`` or ``[N, 1]`` for a sparse loss; else of the predictions' shape.
        batch_size
            Samples a step; the last batch may be short. None means 32.
        epochs
            The number of the last epoch: with ``initial_epoch=2`` and ``epochs=5`` three are run.
        verbose
            0: silent; 1 or "auto": the progress line, live on a terminal and one line an epoch elsewhere;
            2: one line an epoch without a bar.
        callbacks
            A list of `fastcnn.callbacks.Callback`.
        validation_split
            Share of the samples, the last ones before any shuffling, that is evaluated and not trained on; in
            [0, 1).
        validation_data
            ``(x, y)`` or ``(x, y, sample_weight)`` to evaluate after each epoch; takes the place of
            ``validation_split``.
        shuffle
            Whether to draw an order, or go through the samples as they stand.
        class_weight
            ``{class: weight}``: what samples of a class weigh in training, 1 where it is not named. The class
            is the label, or where the largest target stands.
        sample_weight
            What each sample weighs in the loss, ``[N]``, or each of its rows, ``[N, ...]``. An array for all
            outputs, a list in their order or a dict by their names.
        initial_epoch
            The number of the first epoch, for those who go on.

        Returns
        -------
        History
            ``history.history["loss"]`` and the like hold one number an epoch, means over its samples.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The model is not compiled, or data or arguments do not fit; nothing has changed.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn import Sequential, layers, optimizers, utils
        >>> utils.set_random_seed(1)
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = Sequential([layers.Dense(1)])
        >>> model.compile(optimizers.SGD(0.1), "mse")
        >>> history = model.fit(x, 2 * x + 1, epochs=60, verbose=0)
        >>> history.history["loss"][-1] < 0.01
        True
        """
        settings = self._compiled("fit")
        first = integer(initial_epoch, "fit: initial_epoch", least=0)
        epochs = integer(epochs, "fit: epochs", least=0)
        shuffle = flag(shuffle, "fit: shuffle")
        calls = CallbackList(callbacks)
        progress = Progress(verbose, "fit")
        data = pair_up(x, y, self._ports, "fit", sample_weight)
        train_data, held_out = split(data, validation_split, validation_data, self._ports)
        train_data = with_class_weights(train_data, class_weight, settings.sparse, "fit")
        with self._binding():
            train = self._session("train", "fit", train_data, batch_size)
            test = self._session("evaluate", "fit: validation", held_out, batch_size) if held_out else None

        self._start(calls, {"verbose": verbose, "epochs": epochs, "steps": train.batches})
        self.history = History()
        self.stop_training = False
        logs: dict[str, float] = {}
        calls.call("on_train_begin")
        with contextlib.closing(progress):
            for epoch in range(first, epochs):
                calls.call("on_epoch_begin", epoch)
                progress.header(epoch, epochs)
                progress.begin(train.batches)
                order = self._next_order(train_data.samples) if shuffle else None
                logs = self._run(train, "train", calls, progress.update, order)
                if test:
                    calls.call("on_test_begin")
                    results = self._run(test, "evaluate", calls)
                    calls.call("on_test_end", results)
                    logs |= {f"val_{key}": value for key, value in results.items()}
                progress.end(logs)
                calls.call("on_epoch_end", epoch, logs)
                self.history.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        if epochs > first:
            self._bind().native.finalize()
        calls.call("on_train_end", logs)
        return self.history

    def train_on_batch(
        self,
        x: Feed,
        y: Feed,
        sample_weight: Feed | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Score:
        """One step on one batch.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in `fit`; all samples form the batch.

        Returns
        -------
        The batch's loss before the step, or ``[loss, metric]`` if a metric was compiled.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            As in `fit`.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse")
        >>> model.train_on_batch([[1.0]], [[3.0]])
        9.0
        """
        where = "train_on_batch"
        settings = self._compiled(where)
        data = pair_up(x, y, self._ports, where, sample_weight)
        data = with_class_weights(data, class_weight, settings.sparse, where)
        return self._score(self._on_batch("train", where, data))

    # Inference

    def evaluate(
        self,
        x: Feed,
        y: Feed,
        batch_size: int | None = 32,
        verbose: int | str = "auto",
        sample_weight: Feed | None = None,
        *,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> Score | dict[str, float]:
        """Loss and metric over all samples, without training.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks
            As in `fit`.
        return_dict
            Whether to return ``{"loss": ..., "accuracy": ...}``.

        Returns
        -------
        The mean loss, or ``[loss, metric]`` if a metric was compiled (`metrics_names` says which).

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            As in `fit`.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse")
        >>> model.evaluate([[1.0], [2.0]], [[1.0], [3.0]], verbose=0)
        5.0
        """
        self._compiled("evaluate")
        calls = CallbackList(callbacks)
        progress = Progress(verbose, "evaluate")
        with self._binding():
            data = pair_up(x, y, self._ports, "evaluate", sample_weight)
            session = self._session("evaluate", "evaluate", data, batch_size)
        logs = self._run_all(session, "evaluate", calls, progress)
        return logs if return_dict else self._score(logs)

    def test_on_batch(self, x: Feed, y: Feed, sample_weight: Feed | None = None) -> Score:
        """`evaluate` on one batch, in one native call.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse")
        >>> model.test_on_batch([[1.0], [2.0]], [[1.0], [3.0]])
        5.0
        """
        where = "test_on_batch"
        self._compiled(where)
        return self._score(
            self._on_batch("evaluate", where, pair_up(x, y, self._ports, where, sample_weight))
        )

    def predict(
        self,
        x: Feed,
        batch_size: int | None = 32,
        verbose: int | str = "auto",
        *,
        callbacks: Callbacks = None,
    ) -> Any:
        """The model's outputs. Any number of threads may call this on one model.

        Parameters
        ----------
        x, batch_size, verbose, callbacks
            As in `fit`.

        Returns
        -------
        Float32 ``[N, ...]``; of several outputs a list.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The samples do not fit; nothing has changed.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.predict([[1, 2], [3, 4]], verbose=0).tolist()
        [[3.0], [7.0]]
        """
        calls = CallbackList(callbacks)
        progress = Progress(verbose, "predict")
        data = Data(arrays(x, self.input_names, "predict: x"))
        with self._binding():
            out = self._room_for_predictions(data)
            session = self._session("predict", "predict", data, batch_size, out)
        self._run_all(session, "predict", calls, progress)
        return out[0] if len(out) == 1 else list(out)

    def predict_on_batch(self, x: Feed) -> Any:
        """`predict` on one batch, in one native call.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> Sequential([layers.ReLU(input_shape=(1,))]).predict_on_batch([[-1], [4]]).tolist()
        [[0.0], [4.0]]
        """
        data = Data(arrays(x, self.input_names, "predict_on_batch: x"))
        with self._binding():
            out = self._room_for_predictions(data)
            session = self._session("predict", "predict_on_batch", data, max(1, data.samples), out)
        session.run(None, 0, math.inf)
        return out[0] if len(out) == 1 else list(out)

    def _room_for_predictions(self, data: Data) -> tuple[Array, ...]:
        shapes = self._bind(data.x[0].shape[1:]).output_shapes
        return tuple(np.empty((data.samples, *shape), np.float32) for shape in shapes)
