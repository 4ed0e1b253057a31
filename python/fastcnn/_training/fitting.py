# SPDX-License-Identifier: Apache-2.0
"""fit and train_on_batch, over `Runner`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from fastcnn._arguments import Array, flag, integer
from fastcnn._training import feeding
from fastcnn._training.data import Data, Feed, pair_up, split, with_class_weights
from fastcnn._training.feeding import ArrayFeed
from fastcnn._training.runner import Place, Runner, Score, at_most, steps_of
from fastcnn._training.streams import due, is_stream, no_arguments
from fastcnn._training.tally import Logs, in_order
from fastcnn.callbacks.base import Callback, CallbackList, History
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn.models.base import BaseModel

Callbacks: TypeAlias = Iterable[Callback] | Callback | None


class Fitter(Runner):
    """A model that can be fitted.

    Attributes
    ----------
    history
        What the last `fit` returned, or would have: it is readable after an interruption.
    stop_training
        Set it to True in a callback to end `fit`.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callbacks = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Feed | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Train for a number of epochs.

        Each epoch runs over all samples once, in a new random order that follows from the model's seed and
        the number of orders drawn before: training twice for one epoch is training once for two, and a saved
        model goes on where it was. Ctrl-C ends it within half a second with the weights at a finished step.

        Parameters
        ----------
        x
            Samples, any real dtype (cast to float32 as they are read, never scaled), ``[N, ...]``; a missing
            last axis of 1 is added. A model without an `Input` takes its shape from here. Or batches ``(x,
            y)`` or ``(x, y, sample_weight)``: a generator, a loader that is iterated anew each epoch, or an
            object with ``__getitem__`` and ``__len__`` such as `utils.PyDataset`.
        y
            Labels ``[N]`` or ``[N, 1]`` for a sparse loss; else of the predictions' shape. None if x is
            batches.
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
            ``(x, y)`` or ``(x, y, sample_weight)`` to evaluate after each epoch, or batches of these; takes
            the place of ``validation_split``.
        shuffle
            Whether to draw an order, or go through the samples as they stand. Of batches those are arranged
            that can be asked for by number.
        class_weight
            ``{class: weight}``: what samples of a class weigh in training, 1 where it is not named. The class
            is the label, or where the largest target stands.
        sample_weight
            What each sample weighs in the loss, ``[N]``, or each of its rows, ``[N, ...]``. An array for all
            outputs, a list in their order or a dict by their names.
        initial_epoch
            The number of the first epoch, for those who go on.
        steps_per_epoch
            Batches that make an epoch; the next epoch goes on with those left. None means all.
        validation_steps, validation_batch_size
            Batches of a validation, and their samples; None means all, and ``batch_size``.
        validation_freq
            Validate after every so many epochs, or after those of a list, counted from 1.

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
        self._compiled("fit")
        first = integer(initial_epoch, "fit: initial_epoch", least=0)
        epochs = integer(epochs, "fit: epochs", least=0)
        shuffle = flag(shuffle, "fit: shuffle")
        due(validation_freq, 0, "fit: validation_freq")
        calls = CallbackList(callbacks, verbose, "fit", history=True)
        steps = steps_of(steps_per_epoch, "fit: steps_per_epoch")
        held_out = validation_data
        with self._binding():
            if is_stream(x):
                no_arguments(
                    "fit", y=y, sample_weight=sample_weight, validation_split=validation_split or None
                )
                train: feeding.Feed = self._stream_feed("train", "fit", x, steps, shuffle, class_weight)
            else:
                data = pair_up(x, y, self._ports, "fit", sample_weight)
                data, part = split(data, validation_split, validation_data is not None)
                held_out = validation_data if part is None else part
                data = with_class_weights(data, class_weight, self._compiled("fit").class_axis, "fit")
                piece = self._session("train", "fit", data, batch_size)
                train = ArrayFeed(self, piece, steps, shuffle)
            size = batch_size if validation_batch_size is None else validation_batch_size
            test = self._validation(held_out, size, steps_of(validation_steps, "fit: validation_steps"))
        return self._fit(train, test, calls, range(first, epochs), validation_freq)

    def _validation(self, data: Any, batch_size: int | None, steps: int | None) -> feeding.Feed | None:
        if data is None:
            return None
        where = f"fit: validation_{'split' if isinstance(data, Data) else 'data'}"
        if is_stream(data):
            return self._stream_feed("evaluate", where, data, steps)
        if not isinstance(data, Data):
            if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
                raise ArgumentError(
                    f"{where}: wanted a pair (x, y) or (x, y, sample_weight), or batches of them"
                )
            x, y, *weights = data
            data = pair_up(x, y, self._ports, where, *weights)
        piece = self._session("evaluate", where, data, batch_size)
        return ArrayFeed(self, at_most(piece, steps))

    def _fit(
        self,
        train: feeding.Feed,
        test: feeding.Feed | None,
        calls: CallbackList,
        epochs: range,
        validation_freq: int | Sequence[int],
    ) -> History:
        self.history = calls.history
        self.stop_training = False
        self._resume = self._place = None
        calls.start(
            cast("BaseModel", self), {"verbose": calls.verbose, "epochs": epochs.stop, "steps": train.total}
        )
        logs: Logs = {}
        with contextlib.closing(calls):
            calls.call("on_train_begin")
            place = self._resume
            if place is not None:  # set by a callback
                epochs = range(max(epochs.start, place.epoch), epochs.stop)
                train.resume(place)
            for epoch in epochs:
                calls.call("on_epoch_begin", epoch)
                logs = in_order(self._fit_epoch(train, calls, epoch, place))
                place = None
                if test is not None and due(validation_freq, epoch, "fit: validation_freq"):
                    calls.call("on_test_begin")
                    results = in_order(self._run_epoch(test, "evaluate", calls))
                    calls.call("on_test_end", results)
                    logs |= {f"val_{key}": value for key, value in results.items()}
                assert self._place is not None
                self._place.epoch, self._place.batch, self._place.sums = epoch + 1, 0, {}
                calls.call("on_epoch_end", epoch, dict(logs))  # what they add is for one another
                if self.stop_training:
                    break
            if len(epochs):
                self._bind().native.finalize()
                self._bind().changed()
            calls.call("on_train_end", logs)
        self._place = None
        return self.history

    def _fit_epoch(self, train: feeding.Feed, calls: CallbackList, epoch: int, resumed: Place | None) -> Logs:
        self._place = resumed or self._place or Place(epoch)
        self._place.epoch = epoch
        orders, steps = self._permutations, self._steps()
        try:
            return self._run_epoch(train, "train", calls, self._place)
        except BaseException:
            if self._steps() == steps:  # the next fit begins with the order that was drawn for no step
                self._permutations = orders
            raise

    def _steps(self) -> int:
        return self._bind().native.step if self.built else 0

    def train_on_batch(
        self,
        x: Feed,
        y: Feed,
        sample_weight: Feed | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Score | Logs:
        """One step on one batch.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in `fit`; all samples form the batch.
        return_dict
            Whether to return ``{"loss": ..., "accuracy": ...}``.

        Returns
        -------
        The batch's loss before the step, or ``[loss, metric, ...]`` if metrics were compiled.

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
        data = with_class_weights(data, class_weight, settings.class_axis, where)
        logs = self._on_batch("train", where, data)
        return logs if return_dict else self._score(logs)

    def gradients(
        self,
        x: Feed,
        y: Feed,
        sample_weight: Feed | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> list[Array]:
        """The gradient of one batch's loss, penalties included, for a training loop of your own.

        The forward pass is that of training. No weight changes but moving statistics. Each call draws other
        dropout masks, those of the steps that `fit` would take.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in `fit`; all samples form the batch.

        Returns
        -------
        One float32 array for each of `trainable_weights`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            As in `fit`.

        Examples
        --------
        >>> from fastcnn import Sequential, layers, optimizers
        >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
        >>> model.compile(loss="mse")
        >>> weights, sgd = model.trainable_weights, optimizers.SGD(0.25)
        >>> for _ in range(2):
        ...     sgd.apply(model.gradients([[1.0]], [[2.0]]), weights)
        ...     model.trainable_weights = weights
        >>> model.predict([[1.0]], verbose=0).item()
        2.0
        """
        where = "gradients"
        settings = self._compiled(where)
        data = pair_up(x, y, self._ports, where, sample_weight)
        data = with_class_weights(data, class_weight, settings.class_axis, where)
        with self._binding():
            piece = self._session(where, where, data, max(1, data.samples))
        network = self._bind()
        native, step = network.native, network.native.step
        native.step = step + self._gradient_calls
        try:
            self._slice(piece, 0, math.inf, 1, False)
        finally:
            native.step = step
            network.changed()
        self._gradient_calls += 1
        found = native.get_gradients()
        return [found[network.parameters[index].number] for index in network.trained()]

    def reset_metrics(self) -> None:
        """Begin the sums of all metrics anew. Whatever runs batches begins so, too.

        Examples
        --------
        >>> from fastcnn import Sequential, layers, metrics
        >>> error = metrics.MeanAbsoluteError()
        >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse", metrics=[error])
        >>> model.test_on_batch([[1.0]], [[3.0]]), error.result()
        ([9.0, 3.0], 3.0)
        >>> model.reset_metrics()
        >>> error.result()
        0.0
        """
        if self._tally is not None:
            self._tally.reset()
