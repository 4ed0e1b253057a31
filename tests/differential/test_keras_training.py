# SPDX-License-Identifier: Apache-2.0
"""Metrics, weights of samples and classes, and callbacks beside Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_keras import (
    IMAGES,
    LABELS,
    ONE_HOT,
    RNG,
    ROWS,
    article,
    close,
    keras,
    pair,
)

import fastcnn

pytestmark = [pytest.mark.differential, pytest.mark.filterwarnings("ignore")]


METRICS: list[Callable[[Any], Any]] = [
    lambda k: k.metrics.Precision(),
    lambda k: k.metrics.Precision(thresholds=[0.1, 0.3], class_id=1),
    lambda k: k.metrics.Precision(top_k=2),
    lambda k: k.metrics.Recall(),
    lambda k: k.metrics.Recall(top_k=1, class_id=2),
    lambda k: k.metrics.TruePositives(thresholds=0.25),
    lambda k: k.metrics.FalseNegatives(),
    lambda k: k.metrics.AUC(),
    lambda k: k.metrics.AUC(curve="PR"),
    lambda k: k.metrics.AUC(num_thresholds=7, summation_method="minoring"),
    lambda k: k.metrics.AUC(multi_label=True, label_weights=[1.0, 2.0, 3.0, 4.0, 5.0]),
    lambda k: k.metrics.F1Score(average="macro"),
    lambda k: k.metrics.F1Score(),
    lambda k: k.metrics.FBetaScore(average="weighted", beta=2.0, threshold=0.2),
    lambda k: k.metrics.FBetaScore(average="micro", beta=0.5),
    lambda k: k.metrics.CategoricalAccuracy(),
    lambda k: k.metrics.BinaryAccuracy(threshold=0.2),
    lambda k: k.metrics.TopKCategoricalAccuracy(k=3),
    lambda k: k.metrics.MeanSquaredError(),
    lambda k: k.metrics.RootMeanSquaredError(),
    lambda k: k.metrics.MeanAbsoluteError(),
    lambda k: k.metrics.MeanSquaredLogarithmicError(),
    lambda k: k.metrics.CosineSimilarity(),
    lambda k: k.metrics.LogCoshError(),
    lambda k: k.metrics.KLDivergence(),
    lambda k: k.metrics.Poisson(),
    lambda k: k.metrics.CategoricalCrossentropy(label_smoothing=0.1),
    lambda k: k.metrics.BinaryCrossentropy(),
    lambda k: k.metrics.Hinge(),
    lambda k: k.metrics.CategoricalHinge(),
    lambda k: k.metrics.R2Score(),
    lambda k: k.metrics.OneHotIoU(num_classes=5, target_class_ids=[0, 3]),
    lambda k: k.metrics.OneHotMeanIoU(num_classes=5),
    lambda k: k.metrics.BinaryIoU(threshold=0.2),
]


@pytest.mark.parametrize("number", range(len(METRICS)))
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics(number: int, weighted: bool) -> None:
    rng = np.random.default_rng(number)
    scores = rng.random((60, 5)).astype(np.float32)
    scores /= scores.sum(axis=1, keepdims=True)
    targets = np.eye(5, dtype=np.float32)[rng.integers(0, 5, 60)]
    weights = rng.random(60).astype(np.float32) if weighted else None
    kind = type(METRICS[number](fastcnn)).__name__
    if weighted and "IoU" in kind:  # Keras makes these weights whole numbers, and wants one for each element
        weights = rng.integers(0, 4, (60, 5) if kind == "BinaryIoU" else 60).astype(np.float32)
    results = []
    for k in (keras, fastcnn):
        metric = METRICS[number](k)
        for part in (slice(0, 25), slice(25, 60)):
            metric.update_state(targets[part], scores[part], None if weights is None else weights[part])
        results.append(np.asarray(metric.result()))
    close(results[1], results[0], 1e-5)


def test_metric_names_and_logs_of_batches() -> None:
    for k in (keras, fastcnn):
        k.utils.clear_session()
    names, logs = [], []
    for k in (keras, fastcnn):
        model = k.Sequential(
            [k.Input((7,)), k.layers.Dense(5, activation="softmax", kernel_initializer="ones")]
        )
        model.compile(
            "sgd",
            "categorical_crossentropy",
            metrics=["acc", "mse", k.metrics.Precision(), k.metrics.Precision(), k.metrics.AUC()],
        )
        history = model.fit(ROWS, ONE_HOT, batch_size=16, shuffle=False, verbose=0).history
        names.append(sorted(history))
        model.reset_metrics()
        logs.append(
            [
                model.train_on_batch(ROWS[:8], ONE_HOT[:8], return_dict=True),
                model.train_on_batch(ROWS[8:16], ONE_HOT[8:16], return_dict=True),
                model.test_on_batch(ROWS[16:], ONE_HOT[16:], return_dict=True),
                model.evaluate(ROWS, ONE_HOT, verbose=0, return_dict=True),
            ]
        )
    assert names[0] == names[1]
    for theirs, ours in zip(*logs, strict=True):
        for key, value in theirs.items():
            close(ours[key], value, 1e-4)


def test_weights_of_samples_and_classes() -> None:
    weights = RNG.random(48).astype(np.float32)
    for arguments in ({"sample_weight": weights}, {"class_weight": {0: 2.0, 3: 0.25}}):
        theirs, ours = pair(article)
        histories = []
        for model in (theirs, ours):
            model.compile(
                "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"]
            )
            histories.append(
                model.fit(
                    IMAGES, LABELS, batch_size=16, epochs=2, shuffle=False, verbose=0, **arguments
                ).history
            )
        assert set(histories[0]) == set(histories[1])
        for key, values in histories[0].items():
            close(histories[1][key], values, 1e-4)


def journal_of(k: Any, seen: list[Any]) -> Any:
    """A callback that writes down every call, with its numbers and the keys of its logs."""

    def note(hook: str) -> Callable[..., None]:
        def call(self: Any, *arguments: Any, **options: Any) -> None:
            numbers = [each for each in arguments if isinstance(each, int)]
            logs = options.get("logs", arguments[-1] if arguments else None)
            # Keras's logs of predictions hold the outputs.
            keys = sorted(logs) if isinstance(logs, dict) and "predict" not in hook else []
            seen.append((hook, numbers, keys))

        return call

    moments = ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
    hooks = [f"on_{moment}_{end}" for moment in moments for end in ("begin", "end")]
    return type("Journal", (k.callbacks.Callback,), {hook: note(hook) for hook in hooks})()


def callbacks_of(k: Any, seen: list[Any], folder: Any) -> list[Any]:
    return [
        journal_of(k, seen),
        k.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_delta=0.01),
        k.callbacks.EarlyStopping(monitor="val_accuracy", patience=2, restore_best_weights=True),
        k.callbacks.CSVLogger(str(folder / f"{k.__name__}.csv")),
    ]


def test_callbacks(tmp_path: Any) -> None:
    theirs, ours = pair(article)
    histories: list[Any] = []
    journals: list[list[Any]] = [[], []]
    for k, model, seen in ((keras, theirs, journals[0]), (fastcnn, ours, journals[1])):
        model.compile(k.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(
            model.fit(
                IMAGES, LABELS, batch_size=16, epochs=8, shuffle=False, verbose=0, validation_split=0.25,
                callbacks=callbacks_of(k, seen, tmp_path),
            )
        )  # fmt: skip
    for k, model, seen in ((keras, theirs, journals[0]), (fastcnn, ours, journals[1])):
        model.evaluate(IMAGES, LABELS, batch_size=16, verbose=0, callbacks=[journal_of(k, seen)])
        model.predict(IMAGES, batch_size=16, verbose=0, callbacks=[journal_of(k, seen)])
    assert journals[0] == journals[1]
    assert histories[0].epoch == histories[1].epoch
    for key, values in histories[0].history.items():
        close(histories[1].history[key], values, 1e-4)
    for got, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(got, wanted, 1e-4)
    first, second = ((tmp_path / f"{name}.csv").read_text().split("\n") for name in ("keras", "fastcnn"))
    assert first[0] == second[0]
    assert [line.split(",")[0] for line in first] == [line.split(",")[0] for line in second]
