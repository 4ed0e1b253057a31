# SPDX-License-Identifier: Apache-2.0
"""Training on a GPU: the losses of the CPU, the same bits however the steps are started."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import (
    CLASSES,
    NETWORKS,
    SIDE,
    counts,
    data,
    is_emulated,
    lenet,
    nobody_touches_the_memory,
    residual,
    since,
)

import fastcnn
from fastcnn import callbacks, layers, optimizers
from fastcnn.testing.compare import assert_same_bits
from fastcnn.testing.optimizing import OPTIMIZERS

__all__ = ["nobody_touches_the_memory"]

BATCH, STEPS = 4, 20
TERMS = SIDE * SIDE  # of the longest sums, each of which rounds
UNIT = 2.0**-8  # of a rounding to bfloat16
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LENET_KERNELS = 24  # of a step


def losses_of(model: Any, device: str, optimizer: Any, precision: str = "float32") -> np.ndarray:
    """Those of each step."""
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        device=device,
        precision=precision,
    )
    x, y = data(BATCH * STEPS)
    seen: list[float] = []
    watch = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    model.fit(x, y, BATCH, 1, verbose=0, callbacks=[watch], shuffle=False)
    means = np.array(seen) * np.arange(1, len(seen) + 1)  # logs are means so far
    return np.diff(means, prepend=0)


def made(name: str) -> optimizers.Optimizer:
    kind, options = OPTIMIZERS[name]
    return kind(**{"learning_rate": 0.01, **options})


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("network", NETWORKS)
def test_losses_are_the_cpus(network: str, name: str) -> None:
    """As near as to those of weights that begin one rounding apart, times the terms of a sum."""
    make = NETWORKS[network]
    here, there = (losses_of(make(), device, made(name)) for device in ("cpu", "cuda"))
    near = [losses_of(nudged(make(), seed), "cpu", made(name)) for seed in range(4)]
    apart = np.maximum(np.abs(near - here).max(axis=0), np.finfo(np.float32).eps)
    assert len(there) == STEPS
    np.testing.assert_array_less(np.abs(there - here), TERMS * np.maximum.accumulate(apart))


@pytest.mark.parametrize("network", NETWORKS)
def test_losses_in_bfloat16_are_nearly_the_cpus(network: str) -> None:
    """As near as to those of weights that begin such a rounding apart, times the layers, which round."""

    def moved(seed: int) -> Any:
        model, rng = NETWORKS[network](), np.random.default_rng(seed)
        ways = [rng.choice(np.float32([-UNIT, UNIT]), each.shape) for each in model.get_weights()]
        model.set_weights([w + way * np.abs(w) for w, way in zip(model.get_weights(), ways, strict=True)])
        return model

    model = NETWORKS[network]()
    here = losses_of(NETWORKS[network](), "cpu", made("sgd"))
    there = losses_of(model, "cuda", made("sgd"), "bfloat16")
    near = [losses_of(moved(seed), "cpu", made("sgd")) for seed in range(4)]
    apart = np.maximum.accumulate(np.abs(near - here).max(axis=0))
    np.testing.assert_array_less(np.abs(there - here), len(model.layers) * apart)
    assert not np.array_equal(here, there)
    assert there[-5:].mean() < there[:5].mean()


def nudged(model: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    ways = [rng.choice(np.float32([-np.inf, np.inf]), each.shape) for each in model.get_weights()]
    model.set_weights(list(map(np.nextafter, model.get_weights(), ways)))
    return model


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_list_graph_and_repeats_have_the_same_bits(
    network: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulated GPU runs what a graph does not order in another order each time."""

    def run(graphs: str, branches: str = "1") -> list[np.ndarray]:
        monkeypatch.setenv("FASTCNN_CUDA_GRAPHS", graphs)
        monkeypatch.setenv("FASTCNN_CUDA_BRANCHES", branches)
        model = NETWORKS[network]()
        model.compile("adam", "sparse_categorical_crossentropy", device="cuda", precision=precision)
        x, y = data(BATCH * STEPS + 3)
        model.fit(x, y, BATCH, 2, verbose=0)
        return model.get_weights()

    before = counts()
    first = run("1")
    if is_emulated():
        counted = since(before)
        assert counted["graphs"] >= 3
        assert counted["captures"] >= 2  # of several batches, of one
        assert counted["forks"] > 0
    before = counts()
    in_line = run("1", "0")
    assert not is_emulated() or since(before)["forks"] == 0
    for other in (run("0"), in_line, *(run("1") for _ in range(3))):
        for got, wanted in zip(other, first, strict=True):
            assert_same_bits(got, wanted, "weights")


@pytest.mark.skipif(not is_emulated(), reason="a GPU does not count its kernels")
def test_a_step_takes_few_kernels() -> None:
    """Of LeNet-5: what is fused and what is not. With those of a whole epoch that belong to no step."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from harness.library_fastcnn import _layer
        from harness.networks import NETWORKS
    finally:
        sys.path.remove(str(BENCHMARKS))
    network = NETWORKS["lenet5"]
    model = fastcnn.Sequential([fastcnn.Input(network.input_shape), *map(_layer, network.layers)])
    model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
    x = np.zeros((2 * STEPS, *network.input_shape), np.float32)
    y = np.zeros(len(x), np.int64)
    model.fit(x, y, 2, 1, verbose=0)
    before = counts()
    model.fit(x, y, 2, 1, verbose=0)
    assert since(before)["kernels"] == STEPS * LENET_KERNELS


def test_several_batches_of_a_call_are_those_of_calls_of_one() -> None:
    x, y = data(30)
    weights = []
    for one_by_one in (False, True):
        model = lenet()
        model.compile("nadam", "sparse_categorical_crossentropy", device="cuda")
        watch = [callbacks.LambdaCallback(on_train_batch_end=lambda *_: None)] if one_by_one else []
        model.fit(x, y, BATCH, 2, verbose=0, callbacks=watch)
        weights.append(model.get_weights())
    for got, wanted in zip(*weights, strict=True):
        assert_same_bits(got, wanted, "weights")


@pytest.mark.parametrize("network", NETWORKS)
def test_evaluation_and_predictions_are_the_cpus(network: str) -> None:
    model = NETWORKS[network]()
    x, y = data(21)
    answers = []
    for device in ("cpu", "cuda", "auto"):
        model.compile(
            "sgd",
            "sparse_categorical_crossentropy",
            metrics=["accuracy", "sparse_top_k_categorical_accuracy"],
            device=device,
        )
        answers.append(([*model.evaluate(x, y, 8, verbose=0)], model.predict(x, 8, verbose=0)))
    for scores, predictions in answers[1:]:
        np.testing.assert_allclose(scores, answers[0][0], rtol=1e-5)
        np.testing.assert_allclose(predictions, answers[0][1], rtol=1e-4, atol=1e-6)
    assert_same_bits(answers[1][1], answers[2][1], "auto is the GPU")
    assert_same_bits(model.predict_on_batch(x[:8]), answers[1][1][:8], "a batch of its own")


def test_weights_move_with_compile(tmp_path: Any) -> None:
    model = residual()
    weights = model.get_weights()
    model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
    for got, wanted in zip(model.get_weights(), weights, strict=True):
        assert_same_bits(got, wanted, "moved to the GPU")
    fresh = [weight + 1 for weight in weights]
    model.set_weights(fresh)
    model.save(tmp_path / "model.safetensors")
    model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
    for got, wanted in zip(model.get_weights(), fresh, strict=True):
        assert_same_bits(got, wanted, "moved back")
    read = fastcnn.load_model(tmp_path / "model.safetensors")
    for got, wanted in zip(read.get_weights(), fresh, strict=True):
        assert_same_bits(got, wanted, "read")


def test_training_goes_on_from_a_file(tmp_path: Any) -> None:
    x, y = data(24)

    def fresh() -> fastcnn.Sequential:
        model = lenet()
        model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
        return model

    whole, first = fresh(), fresh()
    whole.fit(x, y, 5, 2, verbose=0)
    first.fit(x, y, 5, 1, verbose=0)
    first.save(tmp_path / "model.safetensors")
    second = fastcnn.load_model(tmp_path / "model.safetensors")
    second.fit(x, y, 5, 1, verbose=0)
    for got, wanted in zip(second.get_weights(), whole.get_weights(), strict=True):
        assert_same_bits(got, wanted, "resumed")


def test_dropout_has_the_masks_of_the_cpu() -> None:
    """The gradient of a bias behind a dropout is 0 where the mask is."""
    masks = []
    for device in ("cpu", "cuda"):
        fastcnn.utils.set_random_seed(9)
        model = fastcnn.Sequential(
            [fastcnn.Input((7,)), layers.Dense(65, use_bias=True), layers.Dropout(0.5)]
        )
        model.compile("sgd", "mse", device=device)
        for _ in range(3):  # the masks of later steps
            model.train_on_batch(np.ones((1, 7)), np.full((1, 65), 100))
        masks.append(model.get_weights()[1] == 0)
    assert 0 < masks[0].sum() < masks[0].size
    assert np.array_equal(*masks)


def test_gradients_and_batches_of_ones_own() -> None:
    x, y = data(6)
    found = []
    for device in ("cpu", "cuda"):
        model = lenet(0)
        model.compile(optimizers.SGD(0.5), "sparse_categorical_crossentropy", device=device)
        gradients = model.gradients(x, y)
        found.append([*gradients, np.array(model.train_on_batch(x, y)), *model.get_weights()])
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-5)


def test_a_loss_of_ones_own_and_metrics_that_read_predictions() -> None:
    def squares(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.mean((y_pred - y_true) ** 2)), 2 * (y_pred - y_true) / y_pred.size

    x, labels = data(19)
    y = np.eye(CLASSES, dtype=np.float32)[labels]
    runs = []
    for device, loss in (("cpu", squares), ("cuda", squares), ("cuda", "mse")):
        model = lenet()
        model.compile(optimizers.SGD(0.5), loss, metrics=["mae", "auc"], device=device)
        history = model.fit(x, y, BATCH, 2, verbose=0).history
        runs.append([np.array(history[key]) for key in ("loss", "mae", "auc")])
    for run in runs[1:]:
        for got, wanted in zip(run, runs[0], strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-3)


def test_what_weighs_and_what_is_added() -> None:
    x, labels = data(18)
    runs = []
    for device in ("cpu", "cuda"):
        fastcnn.utils.set_random_seed(1)
        model = fastcnn.Sequential(
            [
                fastcnn.Input((SIDE, SIDE, 1)),
                layers.Rescaling(1 / 255),
                layers.RandomTranslation(0.2, 0.2),
                layers.RandomContrast(0.3),
                layers.RandomErasing(),
                layers.Conv2D(3, 3, kernel_regularizer="l2", kernel_constraint="max_norm", activation="relu"),
                layers.GlobalMaxPooling2D(),
                layers.Dense(CLASSES, activation="softmax", kernel_regularizer="l1"),
            ]
        )
        loss = fastcnn.losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.2, 0.3, 0.4])
        rates = optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
        model.compile(optimizers.SGD(rates, clipnorm=1.0, use_ema=True), loss, device=device)
        history = model.fit(
            x,
            np.eye(CLASSES)[labels],
            BATCH,
            3,
            verbose=0,
            sample_weight=np.linspace(0.5, 2, 18),
            validation_split=0.25,
        ).history
        runs.append([np.array(history["loss"]), np.array(history["val_loss"]), *model.get_weights()])
    for here, there in zip(*runs, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "view", [lambda a: a[::2], lambda a: a[::-1], lambda a: a.astype(np.float64), np.asfortranarray]
)
def test_arrays_of_any_layout(view: Any) -> None:
    x, y = data(32)
    x, y = view(x), view(y)
    weights = []
    for given in ((x, y), (np.ascontiguousarray(x), np.ascontiguousarray(y))):
        model = lenet()
        model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
        model.fit(*given, 5, verbose=0)
        weights.append(model.get_weights())
    for got, wanted in zip(*weights, strict=True):
        assert_same_bits(got, wanted, "weights")


def test_precision_is_the_gpus() -> None:
    x, y = data(8)
    model = lenet(0)
    weights = []
    for precision in ("float32", "tf32", "bfloat16"):
        model = lenet(0)
        model.compile("sgd", "sparse_categorical_crossentropy", device="cuda", precision=precision)
        model.fit(x, y, 4, verbose=0)
        weights.append(model.get_weights())
    for got, wanted in zip(*weights[:2], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2**-9 * np.abs(wanted).max())
    for got, wanted in zip(*weights[::2], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2**-6 * np.abs(wanted).max())
    with pytest.raises(fastcnn.ArgumentError, match="wanted 'float32' or 'bfloat16'"):
        model.compile("sgd", "mse", device="cpu", precision="tf32")
    with pytest.raises(fastcnn.ArgumentError, match="wanted 'float32', 'tf32' or 'bfloat16'"):
        model.compile("sgd", "mse", device="cuda", precision="float16")


def test_threads_predict_at_once() -> None:
    model = residual()
    model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
    x, _ = data(12)
    wanted = model.predict(x, 5, verbose=0)
    with ThreadPoolExecutor(3) as threads:
        for got in threads.map(lambda _: model.predict(x, 5, verbose=0), range(6)):
            assert_same_bits(got, wanted, "at once")


def test_a_description_names_the_kernels() -> None:
    model = lenet()
    model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
    model.fit(*data(8), 4, verbose=0)
    text = model._bind().native.describe("train", 4)
    assert "conv2d_fprop_narrow" in text
    assert "on the GPU" in text
