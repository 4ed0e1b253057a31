# SPDX-License-Identifier: Apache-2.0
"""compile, evaluate, predict: what models have besides `Fitter`. They inherit it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastcnn import losses, optimizers
from fastcnn._arguments import Array, match_rank
from fastcnn._training import feeding
from fastcnn._training.data import Data, Feed, Ports, arrays, pair_up
from fastcnn._training.feeding import ArrayFeed, StreamFeed
from fastcnn._training.fitting import Callbacks, Fitter
from fastcnn._training.runner import Score, at_most, steps_of
from fastcnn._training.settings import Settings, Told
from fastcnn._training.streams import Stream, is_stream, no_arguments
from fastcnn._training.tally import Logs, Piece, in_order
from fastcnn.callbacks.base import CallbackList
from fastcnn.errors import ArgumentError

if TYPE_CHECKING:
    from fastcnn.metrics import Metric
    from fastcnn.models.base import BaseModel


class Trainer(Fitter):
    """A model that can be compiled, trained, evaluated and asked."""

    # Settings

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "rmsprop",
        loss: Any = None,
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        *,
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
            name or object of `fastcnn.losses`; or a function of your own, see `losses.Custom`. A model with
            several outputs takes a list in their order, a dict by their names, or one for all; None leaves an
            output without a loss. The same holds for metrics and weights.
        loss_weights
            What each output's loss counts in the sum that is trained; None means 1.
        metrics
            A list of names such as "accuracy" (its kind follows from the targets), "mse" or "auc", of objects
            of `fastcnn.metrics`, and of functions ``(y_true, y_pred)`` of NumPy arrays.
        weighted_metrics
            The same; weights of samples and classes reach these alone.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Without effect, for Keras's sake.
        device
            "cpu"; "cuda": the GPU, which the weights move to; "auto": the GPU if there is one that works.
        precision
            "float32", or with "bfloat16" products of matrices round what they multiply to 7 bits: on tensor
            cores of a GPU, which "tf32" has round to 10 bits, and on a CPU with AMX or AVX512-BF16 where that
            is expected to be faster (of Intel's, AMX alone is; small networks that train with the batch in
            lanes gain nothing). Sums, and whatever is kept, are float32 all the same, as with Keras's
            "mixed_bfloat16". On a GPU activations and their gradients lie in memory as bfloat16, which
            halves it; weights, their gradients and predictions are float32 there too.
        math
            How convolutions of 2x2 to 7x7 filters may be computed; `fastcnn.ops.conv2d` says which, and what
            that costs in accuracy. "default": by Winograd's F(2,3), and in `predict` and `evaluate` by
            F(4,3). "strict": directly. "fast": by F(4,3) in training too. Small networks with the batch in
            lanes have 5x5 convolutions done by F(2,3) of three taps and F(2,2) of two, unless "strict".

        Raises
        ------
        ArgumentError
            A name is unknown; the message says the nearest.
        DeviceError
            The device cannot be used, or not with this precision; the message says what is missing.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(10, activation="softmax", input_shape=(784,))])
        >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> model.metrics_names
        ['loss', 'accuracy']
        """
        told = Told(loss, metrics, weighted_metrics, loss_weights)
        self._compile(optimizers.get(optimizer), told, device, precision, math)

    def _compile(
        self, optimizer: optimizers.Optimizer, told: Told, device: str, precision: str, math: str
    ) -> None:
        measures = told.objectives(self.output_names)
        if all(each.loss is None for each in measures):
            raise ArgumentError("compile: loss: None came, wanted a loss for at least one output")
        settings = Settings(optimizer, measures, device, precision, math)
        if self.built:
            settings.apply(self._bind())
        else:
            settings.check()
        self._settings, self._tally, self._gradient_calls = settings, None, 0

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
    def metrics(self) -> list[Metric]:
        """The metrics, in the order of `metrics_names`; none before `compile`."""
        return [] if self._settings is None else self._settings.all_metrics

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns, in its order."""
        return self._compiled("metrics_names").names

    def get_metrics_result(self) -> Logs:
        """Loss and metrics of the latest batches: of the epoch so far, of an evaluation, of a batch.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse")
        >>> model.test_on_batch([[1.0]], [[3.0]]), model.get_metrics_result()
        (9.0, {'loss': 9.0})
        """
        self._compiled("get_metrics_result")
        return {} if self._tally is None else self._tally.logs()

    @property
    def run_eagerly(self) -> bool:
        """Always False."""
        return False

    jit_compile = run_eagerly

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was told, as plain values; None before."""
        return None if self._settings is None else self._settings.get_config()

    def compile_from_config(
        self, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> None:
        """Compile as `get_compile_config` says; ``custom_objects`` holds functions of your own by name."""
        known = ("loss", "metrics", "weighted_metrics", "loss_weights")
        told = Told(**{key: config.get(key) for key in known}, functions=custom_objects)
        rest = {key: value for key, value in config.items() if key not in known}
        if set(rest) != {"optimizer", "device", "precision", "math"}:
            raise ArgumentError(
                f"compile_from_config: {sorted(config)} came, wanted what get_compile_config gave"
            )
        self._compile(optimizers.get(rest.pop("optimizer")), told, **rest)

    # Inference

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Feed | None = None,
        steps: int | None = None,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> Score | Logs:
        """Loss and metrics over all samples, without training.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks
            As in `fit`.
        steps
            Batches to run; None means all.
        return_dict
            Whether to return ``{"loss": ..., "accuracy": ...}``.

        Returns
        -------
        The mean loss, or ``[loss, metric, ...]`` if metrics were compiled (`metrics_names` says which).

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
        calls = CallbackList(callbacks, verbose, "evaluate")
        limit = steps_of(steps, "evaluate: steps")
        feed: feeding.Feed
        if is_stream(x):
            no_arguments("evaluate", y=y, sample_weight=sample_weight)
            feed = self._stream_feed("evaluate", "evaluate", x, limit)
        else:
            with self._binding():
                data = pair_up(x, y, self._ports, "evaluate", sample_weight)
                feed = ArrayFeed(
                    self, at_most(self._session("evaluate", "evaluate", data, batch_size), limit)
                )
        calls.start(cast("BaseModel", self), {"verbose": calls.verbose, "steps": feed.total})
        with contextlib.closing(calls):
            calls.call("on_test_begin")
            logs = in_order(self._run_epoch(feed, "evaluate", calls))
            calls.call("on_test_end", logs)
        return logs if return_dict else self._score(logs)

    def test_on_batch(
        self, x: Feed, y: Feed, sample_weight: Feed | None = None, return_dict: bool = False
    ) -> Score | Logs:
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
        logs = self._on_batch("evaluate", where, pair_up(x, y, self._ports, where, sample_weight))
        return logs if return_dict else self._score(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Callbacks = None,
    ) -> Any:
        """The model's outputs. Any number of threads may call this on one model.

        An array that is mapped from a file (``np.load(..., mmap_mode="r")``) is read batch by batch.

        Parameters
        ----------
        x, batch_size, verbose, callbacks
            As in `fit`; targets of batches are left out.
        steps
            Batches to run; None means all.

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
        calls = CallbackList(callbacks, verbose, "predict")
        limit = steps_of(steps, "predict: steps")
        if is_stream(x):
            return self._predict_stream(x, limit, calls)
        data = Data(arrays(x, self.input_names, "predict: x"))
        with self._binding():
            out = self._bind(data.x[0].shape[1:]).room_for_predictions(data.samples)
            piece = at_most(self._session("predict", "predict", data, batch_size, out), limit)
        self._run_all([piece], piece.end, calls)
        if piece.end * piece.batch_size < data.samples:
            out = tuple(each[: piece.end * piece.batch_size] for each in out)
        return out[0] if len(out) == 1 else list(out)

    def _predict_stream(self, x: Any, steps: int | None, calls: CallbackList) -> Any:
        parts: list[tuple[Array, ...]] = []

        def session(data: Data) -> Piece:
            with self._binding():
                parts.append(self._bind(data.x[0].shape[1:]).room_for_predictions(data.samples))
                return self._session("predict", "predict", data, max(1, data.samples), parts[-1])

        stream = Stream(x, Ports(tuple(self.input_names), ()), "predict", labelled=False)
        feed = StreamFeed(self, stream, session, steps)
        self._run_all(feed.epoch(), feed.total, calls)
        out = [np.concatenate(each) for each in zip(*parts, strict=True)]
        return out[0] if len(out) == 1 else out

    def predict_on_batch(self, x: Feed) -> Any:
        """`predict` on one batch, in one native call.

        Examples
        --------
        >>> from fastcnn import Sequential, layers
        >>> Sequential([layers.ReLU(input_shape=(1,))]).predict_on_batch([[-1], [4]]).tolist()
        [[0.0], [4.0]]
        """
        data = Data(arrays(x, self.input_names, "predict_on_batch: x"))
        if self.built:  # on a single image what is around the kernels counts
            out = self._predicted(data)
        else:
            with self._binding():
                out = self._predicted(data)
        return out[0] if len(out) == 1 else list(out)

    def _predicted(self, data: Data) -> tuple[Array, ...]:
        network = self._bind(data.x[0].shape[1:])
        out = network.room_for_predictions(data.samples)
        network.native.predict(tuple(map(match_rank, data.x, network.input_shapes)), out)
        return out
