# SPDX-License-Identifier: Apache-2.0
"""Metrics: by hand, batch by batch, with weights, and in `fit` and `evaluate`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastcnn import (
    ArgumentError,
    DTypeError,
    Input,
    Model,
    Sequential,
    ShapeError,
    layers,
    losses,
    metrics,
    utils,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    utils.clear_session()
    utils.set_random_seed(1)


def problem(rng: np.random.Generator, count: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions in quarters, so that thresholds meet them."""
    scores = rng.integers(0, 5, (count, 4)).astype(np.float32) / 4
    if kind == "sparse":
        return rng.integers(0, 4, count), scores
    if kind == "one-hot":
        return np.eye(4)[rng.integers(0, 4, count)], scores
    if kind == "binary":
        return rng.integers(0, 2, (count, 1)), scores[:, :1]
    if kind == "classes":
        return rng.integers(0, 4, count), rng.integers(0, 4, count)
    return rng.integers(0, 2, (count, 4)), scores


CASES: list[tuple[str, metrics.Metric]] = [
    ("classes", metrics.Accuracy()),
    ("binary", metrics.BinaryAccuracy(threshold=0.25)),
    ("labels", metrics.BinaryAccuracy()),
    ("one-hot", metrics.CategoricalAccuracy()),
    ("sparse", metrics.SparseCategoricalAccuracy()),
    ("one-hot", metrics.TopKCategoricalAccuracy(k=2)),
    ("sparse", metrics.SparseTopKCategoricalAccuracy(k=3)),
    ("labels", metrics.TruePositives(thresholds=[0.2, 0.5])),
    ("labels", metrics.FalsePositives()),
    ("labels", metrics.TrueNegatives()),
    ("labels", metrics.FalseNegatives()),
    ("labels", metrics.Precision()),
    ("labels", metrics.Precision(thresholds=[0.25, 0.75], class_id=1)),
    ("one-hot", metrics.Precision(top_k=2)),
    ("labels", metrics.Recall(class_id=3)),
    ("one-hot", metrics.Recall(top_k=1, class_id=2)),
    ("labels", metrics.F1Score()),
    ("labels", metrics.F1Score(average="weighted", threshold=0.5)),
    ("one-hot", metrics.FBetaScore(average="micro", beta=0.5)),
    ("labels", metrics.AUC()),
    ("labels", metrics.AUC(curve="PR")),
    ("labels", metrics.AUC(curve="PR", summation_method="majoring", num_thresholds=9)),
    ("labels", metrics.AUC(multi_label=True, label_weights=[1, 2, 3, 4])),
    ("classes", metrics.MeanIoU(4)),
    ("classes", metrics.IoU(4, [0, 2], ignore_class=1)),
    ("one-hot", metrics.OneHotIoU(4, [1])),
    ("one-hot", metrics.OneHotMeanIoU(4)),
    ("labels", metrics.BinaryIoU()),
    ("sparse", metrics.ConfusionMatrix(4)),
    ("labels", metrics.MeanSquaredError()),
    ("labels", metrics.RootMeanSquaredError()),
    ("labels", metrics.MeanAbsoluteError()),
    ("labels", metrics.CosineSimilarity()),
    ("labels", metrics.LogCoshError()),
    ("labels", metrics.R2Score()),
    ("labels", metrics.R2Score(class_aggregation="variance_weighted_average", num_regressors=2)),
    ("one-hot", metrics.CategoricalCrossentropy()),
    ("binary", metrics.BinaryCrossentropy()),
    ("sparse", metrics.SparseCategoricalCrossentropy(from_logits=True)),
]
IDS = [f"{metric.name}-{i}" for i, (_, metric) in enumerate(CASES)]


@pytest.mark.parametrize(("kind", "metric"), CASES, ids=IDS)
def test_batches_make_no_difference(kind: str, metric: metrics.Metric, rng: np.random.Generator) -> None:
    true, predicted = problem(rng, 50, kind)
    metric.reset_state()
    whole = metric(true, predicted)
    metric.reset_state()
    for part in (slice(0, 20), slice(20, 21), slice(21, 50)):
        metric.update_state(true[part], predicted[part])
    np.testing.assert_allclose(metric.result(), whole, rtol=1e-6)
    state = metric.get_state()
    metric.reset_state()
    metric.update_state(true[:20], predicted[:20])
    metric.set_state(state)
    np.testing.assert_array_equal(metric.result(), metric.result())
    np.testing.assert_allclose(metric.result(), whole, rtol=1e-6)
    metric.reset_state()
    assert np.all(np.nan_to_num(metric.result()) == 0)


# But for the adjusted R2, which counts samples whatever their weight.
WEIGHABLE = [case for case in CASES if not getattr(case[1], "num_regressors", 0)]


@pytest.mark.parametrize(("kind", "metric"), WEIGHABLE)
def test_a_weight_is_so_many_samples(kind: str, metric: metrics.Metric, rng: np.random.Generator) -> None:
    true, predicted = problem(rng, 30, kind)
    weights = rng.integers(0, 4, 30)
    metric.reset_state()
    weighted = metric(true, predicted, weights)
    metric.reset_state()
    repeated = metric(true.repeat(weights, axis=0), predicted.repeat(weights, axis=0))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6)


@pytest.mark.parametrize(("kind", "metric"), CASES, ids=IDS)
def test_a_configuration_makes_the_same_metric(
    kind: str, metric: metrics.Metric, rng: np.random.Generator
) -> None:
    true, predicted = problem(rng, 30, kind)
    again = metrics.get(metrics.describe(metric))
    assert again is not None
    assert type(again) is type(metric)
    assert again.name == metric.name
    metric.reset_state()
    np.testing.assert_array_equal(again(true, predicted), metric(true, predicted))


def test_by_hand() -> None:
    true, predicted = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0.9, 0.6], [0.2, 0.7], [0.4, 0.5]])
    assert metrics.Precision()(true, predicted) == 2 / 3
    assert metrics.Recall()(true, predicted) == 2 / 3
    np.testing.assert_allclose(metrics.F1Score(threshold=0.55)(true, predicted), [2 / 3, 2 / 3])
    assert metrics.F1Score("micro", 0.55)(true, predicted) == pytest.approx(2 / 3)
    assert metrics.BinaryAccuracy()(true, predicted) == 4 / 6
    # Rank statistics: pairs of a positive and a negative in which the positive is above.
    scores = np.linspace(0.05, 0.95, 10)
    positives = np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 1])
    pairs = [(p > n) for p in scores[positives == 1] for n in scores[positives == 0]]
    assert metrics.AUC(num_thresholds=1001)(positives, scores) == pytest.approx(np.mean(pairs))
    assert metrics.MeanIoU(3)([0, 1, 2, 2], [0, 1, 1, 2]) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3, rel=1e-6)
    residual, total = 0.25 + 0.25, 2.0
    assert metrics.R2Score()([[1.0], [2.0], [3.0]], [[1.5], [2.0], [2.5]]) == 1 - residual / total


def test_r2_adjusted_by_its_regressors() -> None:
    true, predicted = np.arange(6.0)[:, np.newaxis], np.array([[0.0], [1.5], [2.0], [2.5], [4.5], [5.0]])
    plain = metrics.R2Score()(true, predicted)
    assert metrics.R2Score(num_regressors=2)(true, predicted) == pytest.approx(1 - (1 - plain) * 5 / 3)


def test_precision_and_recall_of_the_likeliest() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.4, 0.35, 0.25], [0.2, 0.3, 0.5]])
    true = np.eye(3)[[0, 1, 1, 2]]  # in place 1, 2, 2 and 1
    for k, right in ((1, 2), (2, 4)):
        assert metrics.Precision(top_k=k)(true, scores) == right / (4 * k)
        assert metrics.Recall(top_k=k)(true, scores) == right / 4
    assert metrics.Recall(top_k=1, class_id=1)(true, scores) == 0
    assert metrics.Precision(top_k=2, class_id=1)(true, scores) == 0.5


def test_top_k_ties_and_nan() -> None:
    scores = np.array([[0.5, 0.5, 0.5, 0.0], [np.nan, 1, 0, 0]])
    assert metrics.SparseTopKCategoricalAccuracy(k=1)([2, 0], scores) == 0.5
    assert metrics.SparseTopKCategoricalAccuracy(k=1)([3, 1], scores) == 0.5


def test_mean_and_sum() -> None:
    mean = metrics.Mean()
    assert mean([1, 3], sample_weight=[3, 1]) == 1.5
    assert metrics.Sum()([1, 3], sample_weight=[3, 1]) == 6


def test_names_are_keras_s() -> None:
    assert [metrics.Precision().name for _ in range(2)] == ["precision", "precision_1"]
    assert [metrics.AUC().name, metrics.MeanIoU(2).name] == ["auc", "mean_io_u"]
    assert [metrics.BinaryAccuracy().name for _ in range(2)] == ["binary_accuracy"] * 2
    assert [each.name for each in metrics.listed(["acc", "mse", "AUC"])] == ["acc", "mse", "AUC"]


# In models


def classifier(**settings: Any) -> Sequential:
    model = Sequential(
        [Input((5,)), layers.Dense(8, "tanh"), layers.Dropout(0.2), layers.Dense(3, "softmax")]
    )
    arguments = {"optimizer": "sgd", "loss": "categorical_crossentropy"}
    model.compile(**{**arguments, **settings})
    return model


def samples(rng: np.random.Generator, count: int = 75) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((count, 5)), np.eye(3)[rng.integers(0, 3, count)]


def test_several_metrics_of_an_evaluation(rng: np.random.Generator) -> None:
    def distance(y_true: Any, y_pred: Any) -> Any:
        assert y_pred.shape[0] in (16, 11)
        return np.abs(y_true - y_pred).max()

    wanted = [
        "accuracy",
        metrics.AUC(),
        metrics.F1Score("macro"),
        "mse",
        distance,
        metrics.ConfusionMatrix(3),
    ]
    model = classifier(metrics=wanted)
    assert model.metrics_names == [
        "loss",
        "accuracy",
        "auc",
        "f1_score",
        "mse",
        "distance",
        "confusion_matrix",
    ]
    x, y = samples(rng)
    logs: Any = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    predicted = model.predict(x, verbose=0)
    assert logs["accuracy"] == (predicted.argmax(1) == y.argmax(1)).mean()
    assert logs["auc"] == metrics.AUC()(y, predicted)
    assert logs["f1_score"] == metrics.F1Score("macro")(y, predicted)
    assert logs["mse"] == pytest.approx(np.mean((y - predicted) ** 2), rel=1e-5)
    parts = [np.abs(y[i : i + 16] - predicted[i : i + 16]).max() for i in range(0, 75, 16)]
    assert logs["distance"] == pytest.approx(np.mean(parts))
    assert logs["confusion_matrix"].sum() == 75
    assert list(model.evaluate(x, y, batch_size=16, verbose=0))[:2] == [logs["loss"], logs["accuracy"]]


def test_metrics_change_no_bit_of_the_training(rng: np.random.Generator) -> None:
    x, y = samples(rng)
    plain = classifier(metrics=["accuracy"])
    history = plain.fit(x, y, epochs=2, verbose=0).history
    utils.set_random_seed(1)
    watched = classifier(metrics=["accuracy", "categorical_accuracy", "auc"])
    other = watched.fit(x, y, epochs=2, verbose=0).history
    assert other["loss"] == history["loss"]
    assert other["accuracy"] == other["categorical_accuracy"] == history["accuracy"]
    assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True))


def test_metrics_read_the_predictions_of_training(rng: np.random.Generator) -> None:
    """Those before the step, with dropout, in the order of the epoch; with a learning rate of 0."""
    x, y = samples(rng, 64)
    seen: list[Any] = []

    def spy(y_true: Any, y_pred: Any) -> Any:
        seen.append((y_true.copy(), y_pred.copy()))
        return 0.0

    model = classifier(optimizer="sgd", metrics=[spy])
    model.optimizer.learning_rate = 0
    losses_seen = model.fit(x, y, batch_size=64, epochs=2, verbose=0).history["loss"]
    for loss, (true, predicted) in zip(losses_seen, seen, strict=True):
        assert loss == pytest.approx(-np.log((true * predicted).sum(axis=1)).mean(), rel=1e-5)
    assert not np.array_equal(seen[0][0], seen[1][0])  # another order
    assert np.array_equal(np.sort(seen[0][0].argmax(1)), np.sort(y.argmax(1)))


@pytest.mark.parametrize(
    ("last", "loss", "labels"),
    [
        ("softmax", "categorical_crossentropy", "one-hot"),
        ("softmax", "sparse_categorical_crossentropy", "sparse"),
        ("sigmoid", "binary_crossentropy", "one-hot"),
        ("sigmoid", "mse", "one-hot"),
        ("relu", "mse", "one-hot"),
        (None, "mse", "one-hot"),
    ],
)
def test_what_is_seen_is_what_is_predicted(
    last: Any, loss: str, labels: str, rng: np.random.Generator
) -> None:
    """Also where the loss takes logits, and the last activation is fused or in place."""
    x, y = samples(rng)
    seen: list[Any] = []

    def spy(y_true: Any, y_pred: Any) -> Any:
        seen.append(y_pred.copy())
        return 0.0

    model = Sequential([Input((5,)), layers.Dense(3), layers.Activation(last or "linear")])
    model.compile("sgd", loss, metrics=[spy])
    targets = y if labels == "one-hot" else y.argmax(1)
    predicted = model.predict(x, batch_size=32, verbose=0)
    model.evaluate(x, targets, batch_size=32, verbose=0)
    assert np.concatenate(seen).tobytes() == predicted.tobytes()
    seen.clear()
    model.optimizer.learning_rate = 0
    model.fit(x, targets, batch_size=32, shuffle=False, verbose=0)
    np.testing.assert_allclose(np.concatenate(seen), predicted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["mae", "mse", "log_cosh_error", "poisson"])
def test_weights_of_targets_without_their_last_axis(name: str) -> None:
    """Labels [N] beside predictions [N, 1], as a model of one number gives them."""
    true, predicted = np.array([1.0, 0.0, 2.0]), np.array([[0.5], [0.25], [1.0]])
    weights = np.array([1.0, 0.0, 3.0])
    metric = metrics.get(name)
    each = [metrics.get(name)(true[[i], np.newaxis], predicted[[i]]) for i in range(3)]
    wanted = np.average(each, weights=weights)
    assert metric(true, predicted, sample_weight=weights) == pytest.approx(wanted, rel=1e-6)
    metric.reset_state()
    assert metric(true[:, np.newaxis], predicted[:, 0], weights) == pytest.approx(wanted, rel=1e-6)
    metric.reset_state()
    with pytest.raises(ShapeError, match=r"shape \(3,\) came, but the metric is one number for the batch"):
        metric(true, predicted[:, 0], weights)


def test_weights_reach_weighted_metrics_alone(rng: np.random.Generator) -> None:
    x, y = samples(rng)
    weights = rng.integers(0, 3, 75)
    model = classifier(metrics=["accuracy", "mae"], weighted_metrics=["accuracy", "mae"])
    assert model.metrics_names == ["loss", "accuracy", "mae", "weighted_accuracy", "weighted_mae"]
    logs: Any = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    predicted = model.predict(x, verbose=0)
    hits, distances = predicted.argmax(1) == y.argmax(1), np.abs(predicted - y).mean(1)
    assert logs["accuracy"] == hits.mean()
    assert logs["weighted_accuracy"] == pytest.approx((hits * weights).sum() / weights.sum())
    assert logs["mae"] == pytest.approx(distances.mean(), rel=1e-5)
    assert logs["weighted_mae"] == pytest.approx((distances * weights).sum() / weights.sum(), rel=1e-5)


def test_multi_label_accuracy(rng: np.random.Generator) -> None:
    """The native step counts binary accuracies of one output alone."""
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 2, (40, 3))
    model = Sequential([Input((5,)), layers.Dense(3, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["binary_accuracy"])
    value: Any = model.evaluate(x, y, verbose=0)
    assert value[1] == pytest.approx(((model.predict(x, verbose=0) > 0.5) == y).mean())


def test_metrics_of_several_outputs(rng: np.random.Generator) -> None:
    x = Input((5,))
    first, second = layers.Dense(3, "softmax", name="a")(x), layers.Dense(1, name="b")(x)
    model = Model(x, [first, second])
    model.compile(
        "sgd",
        {"a": "sparse_categorical_crossentropy", "b": "mse"},
        metrics={"a": ["accuracy", "sparse_top_k_categorical_accuracy"], "b": [metrics.MeanAbsoluteError()]},
    )
    names = [
        "loss",
        "a_loss",
        "b_loss",
        "a_accuracy",
        "a_sparse_top_k_categorical_accuracy",
        "b_mean_absolute_error",
    ]
    assert model.metrics_names == names
    data = rng.standard_normal((50, 5)), [rng.integers(0, 3, 50), rng.standard_normal(50)]
    history = model.fit(*data, epochs=2, verbose=0, validation_split=0.2).history
    assert list(history) == [*sorted(names), *(f"val_{name}" for name in sorted(names))]
    logs: Any = model.evaluate(*data, verbose=0, return_dict=True)
    predicted = model.predict(data[0], verbose=0)
    assert logs["b_mean_absolute_error"] == pytest.approx(
        np.abs(predicted[1][:, 0] - data[1][1]).mean(), rel=1e-5
    )


def test_pixels_are_rows(rng: np.random.Generator) -> None:
    """Segmentation: one label a pixel, more predictions than fit the room at once."""
    x, y = rng.standard_normal((9, 6, 6, 2)), rng.integers(0, 3, (9, 6, 6))
    model = Sequential([Input((6, 6, 2)), layers.Conv2D(3, 1, activation="softmax")])
    iou = metrics.MeanIoU(3, sparse_y_pred=False, name="iou")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", iou])
    logs: Any = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    predicted = model.predict(x, verbose=0).argmax(-1)
    assert logs["accuracy"] == (predicted == y).mean()
    assert logs["iou"] == metrics.MeanIoU(3)(y, predicted)


def test_metrics_of_a_file(tmp_path: Any, rng: np.random.Generator) -> None:
    import fastcnn

    def mine(y_true: Any, y_pred: Any) -> Any:
        return np.abs(y_true - y_pred)

    x, y = samples(rng)
    measures = ["accuracy", metrics.AUC(num_thresholds=20), mine]
    model = classifier(optimizer="adam", metrics=measures, weighted_metrics=["mse"])
    path = tmp_path / "m"
    model.save(path)
    with pytest.raises(fastcnn.FormatError, match="'mine' is not known here; pass custom_objects"):
        fastcnn.load_model(path)
    loaded = fastcnn.load_model(path, custom_objects={"mine": mine})
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    plain = fastcnn.load_model(path, compile=False)  # without the slots of its optimizer
    assert plain.get_compile_config() is None
    np.testing.assert_array_equal(plain.predict(x, verbose=0), model.predict(x, verbose=0))

    fastcnn.saving.register_keras_serializable(name="mine")(lambda true, given: np.abs(true - given))
    try:
        assert fastcnn.load_model(path).evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    finally:
        del fastcnn.saving.get_custom_objects()["mine"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.Precision(thresholds=[2.0]), ArgumentError, "thresholds"),
        (lambda: metrics.Precision(class_id=4)([[1, 0]], [[1, 0]]), ArgumentError, "4 came.*have 2 classes"),
        (lambda: metrics.F1Score()([1, 0], [1, 0]), ShapeError, r"wanted both of \[N, classes\]"),
        (lambda: metrics.F1Score("most"), ArgumentError, "average"),
        (lambda: metrics.AUC()([1], [1.5]), ArgumentError, r"outside of \[0, 1\]"),
        (lambda: metrics.AUC(label_weights=[1]), ArgumentError, "multi_label"),
        (lambda: metrics.MeanIoU(2)([2], [1]), ArgumentError, "class 2 came, wanted 0 to 1"),
        (lambda: metrics.MeanSquaredError()([[1, 2, 3]], [[1, 2]]), ShapeError, "mean_squared_error|shape"),
        (lambda: metrics.BinaryAccuracy()([1, 2, 3], [1, 2]), ShapeError, "y_true: shape"),
        (lambda: metrics.Mean()([1, 2], [1, 2, 3]), ShapeError, "sample_weight: shape"),
        (lambda: metrics.MeanMetricWrapper(3), DTypeError, "wanted a function"),
        (
            lambda: metrics.MeanMetricWrapper(lambda t, p: "x", "m")([1], [1]),
            DTypeError,
            "metric 'm': str came",
        ),
        (lambda: metrics.MeanMetricWrapper(lambda t, p: None, "m")([1], [1]), DTypeError, "NoneType came"),
        (lambda: metrics.get("accurcy"), ArgumentError, "did you mean 'accuracy'"),
        (lambda: metrics.AUC(name=3), DTypeError, "name"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_metric_that_raises_leaves_the_model_usable(rng: np.random.Generator) -> None:
    x, y = samples(rng)

    def broken(y_true: Any, y_pred: Any) -> Any:
        raise RuntimeError("mine")

    model = classifier(metrics=[broken])
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(x, y, verbose=0)
    model.compile("sgd", losses.CategoricalCrossentropy(), metrics=["accuracy"])
    model.fit(x, y, verbose=0)
