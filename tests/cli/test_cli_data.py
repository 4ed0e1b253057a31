# SPDX-License-Identifier: Apache-2.0
"""The command line on data and networks of one's own, options from a file, and pictures that it draws."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import call, fails

from fastcnn import Input, Model, Sequential, layers, utils
from fastcnn.cli import data, networks, predict

DENSE = """
[[layers]]
class_name = "Rescaling"
scale = 0.00392
[[layers]]
class_name = "Flatten"
[[layers]]
class_name = "Dense"
units = 3
activation = "softmax"
"""


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here."""
    if request.function is not test_plots:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    (tmp_path / "dense.toml").write_text(DENSE)
    return tmp_path / "dense.toml"


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    """Images whose class is the third that is bright."""
    rng = np.random.default_rng(0)
    y = np.arange(60) // 20
    x = rng.integers(0, 60, (60, 12, 12)).astype(np.uint8)
    for image, label in zip(x, y, strict=True):
        image[4 * label : 4 * label + 4] += 180
    return x, y.astype(np.uint8)


@pytest.fixture
def photos(tmp_path: Path, digits: tuple[Any, Any]) -> Path:
    image = pytest.importorskip("PIL.Image")
    root = tmp_path / "photos"
    for number, (pixels, label) in enumerate(zip(*digits, strict=True)):
        folder = root / ("top", "middle", "zero")[label]  # by name: middle, top, zero
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def test_pictures_are_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    """By the note that a camera leaves, in training and in prediction; load_img does not, as Keras."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    exif = image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(6):
            image.fromarray(pixels).save(tmp_path / name / f"{number}.png", exif=exif)
    turned = np.rot90(pixels, -1)
    path = str(tmp_path / "a" / "0.png")
    assert np.array_equal(data.look_for((16, 16, 1)).read(path)[..., 0], turned)
    found = data._pictures(tmp_path, data.Wanted(shape=(16, 16, 1)))
    assert all(np.array_equal(each[..., 0], turned) for each in (*found.train.x, *found.test.x))
    assert np.array_equal(np.asarray(utils.load_img(path, "grayscale")), pixels)


def idx_file(path: Path, array: Any) -> Path:
    path.write_bytes(
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )
    return path


def train(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> dict[str, Any]:
    common = ("train", "--epochs=30", "--batch-size=8", "--lr=0.05", f"--out={out}", "--name=run", "--json")
    metrics: dict[str, Any] = json.loads(call(capsys, *common, *arguments))
    assert metrics["test_images"] + metrics["training_images"] + metrics["validation_images"] == 60
    assert metrics["test_accuracy"] > 0.8
    return metrics


def test_folder_of_pictures(
    photos: Path,
    tmp_path: Path,
    dense: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ("--dataset", photos, "--model", dense, "--image-size", "6x9")
    metrics = train(capsys, tmp_path, *given)
    assert metrics["class_names"] == ["middle", "top", "zero"]
    assert metrics["dataset"] == str(photos)
    again = json.loads(call(capsys, "evaluate", tmp_path / "run", "--json"))
    assert again["test_loss"] == metrics["test_loss"]
    every = json.loads(call(capsys, "evaluate", tmp_path / "run", "--part=all", "--json"))
    assert every["test_images"] == 60
    assert "middle" in call(capsys, "evaluate", tmp_path / "run")
    result = json.loads(call(capsys, "predict", tmp_path / "run", photos / "top" / "0.png", "--json"))
    assert result[0]["classes"][0]["name"] == "top"
    assert (
        call(capsys, "predict", tmp_path / "run", photos / "zero" / "59.png").splitlines()[1].split()[0]
        == "zero"
    )
    monkeypatch.setattr(data, "_IN_MEMORY", 0)  # read anew in each epoch
    streamed = train(capsys, tmp_path, *given)
    assert streamed["confusion_matrix"] == metrics["confusion_matrix"]
    assert json.loads(call(capsys, "evaluate", tmp_path / "run", "--json"))["test_images"] == 10


def test_folders_of_parts(
    photos: Path, tmp_path: Path, dense: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("top", "middle", "zero"):
        for part, kept in (("train", lambda n: n % 4), ("val", lambda n: n % 4 == 0)):
            (photos / part / name).mkdir(parents=True)
            for path in (photos / name).glob("*.png"):
                if kept(int(path.stem)):
                    path.rename(photos / part / name / path.name)
        (photos / name).rmdir()
    metrics = train(capsys, tmp_path, "--dataset", photos, "--model", dense)
    assert metrics["test_images"] == 15
    (photos / "train" / "all").mkdir()  # would move the labels of the others
    assert (
        json.loads(call(capsys, "evaluate", tmp_path / "run", "--json"))["test_loss"] == metrics["test_loss"]
    )
    (photos / "train" / "all").rmdir()
    (photos / "val" / "top").rename(photos / "val" / "bottom")
    assert "no folder 'top'" in fails(capsys, "train", "--dataset", photos, "--out", tmp_path)
    (photos / "train" / "top").rename(photos / "train" / "bottom")
    assert "no folder 'top'" in fails(capsys, "evaluate", tmp_path / "run")


def test_idx_files(
    tmp_path: Path, digits: tuple[Any, Any], dense: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    images = idx_file(folder / "some-images-idx3-ubyte", digits[0])
    labels = idx_file(folder / "some-labels-idx1-ubyte", digits[1])
    metrics = train(capsys, tmp_path, "--dataset", images, "--model", dense)
    assert metrics["class_names"] == ["0", "1", "2"]
    labels.rename(folder / "truth")
    assert "--labels" in fails(capsys, "train", "--dataset", images, "--out", tmp_path)
    again = train(capsys, tmp_path, "--dataset", images, "--labels", folder / "truth", "--model", dense)
    assert again["test_loss"] == metrics["test_loss"]
    for part, chosen in (("train", slice(0, None, 2)), ("t10k", slice(1, None, 2))):
        idx_file(folder / f"{part}-images-idx3-ubyte", digits[0][chosen])
        idx_file(folder / f"{part}-labels-idx1-ubyte", digits[1][chosen])
    assert train(capsys, tmp_path, "--dataset", folder, "--model", dense)["test_images"] == 30


def test_npz_files(
    tmp_path: Path, digits: tuple[Any, Any], dense: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = digits
    np.savez(tmp_path / "whole.npz", x=x, y=y[:, np.newaxis])
    metrics = train(capsys, tmp_path, "--dataset", tmp_path / "whole.npz", "--model", dense)
    assert metrics["test_images"] == 10
    np.savez(
        tmp_path / "parts.npz", x_train=x[::2] / 255, y_train=y[::2], x_test=x[1::2] / 255, y_test=y[1::2]
    )
    metrics = train(capsys, tmp_path, "--dataset", tmp_path / "parts.npz", "--model=lenet", "--lr=0.003")
    assert metrics["test_images"] == 30  # and floats from 0 to 1 are not scaled once more


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": [1]}, "holds a, wanted"),
        ({"x": [1], "y": [1]}, "images of shape (1,)"),
        ({"x": np.zeros((9, 4, 4)), "y": np.zeros(8)}, "labels of shape (8,)"),
        ({"x": np.zeros((9, 4, 4)), "y": np.full(9, 0.5)}, "no whole number"),
        ({"x": np.zeros((9, 4, 4)), "y": np.full(9, np.nan)}, "no whole number"),
        ({"x": np.zeros((9, 4, 4)), "y": np.full(9, -1)}, "no whole number"),
        ({"x": np.zeros((9, 4, 4), "S1"), "y": np.zeros(9)}, "wanted numbers"),
        ({"x": np.zeros((3, 4, 4)), "y": np.zeros(3)}, "3 images, wanted 6"),
        (
            {
                "x_train": np.zeros((9, 4)),
                "y_train": np.zeros(9),
                "x_test": np.zeros((9, 5)),
                "y_test": np.zeros(9),
            },
            "test images of shape (5,)",
        ),
    ],
)
def test_wrong_arrays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    error = fails(capsys, "train", "--dataset", tmp_path / "data.npz", "--out", tmp_path / "runs")
    assert message in error
    assert "data.npz" in error
    assert not list((tmp_path / "runs").iterdir())


def test_wrong_data(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fault(path: Path, *more: object) -> str:
        return fails(capsys, "train", "--out", tmp_path / "runs", "--dataset", path, *more)

    (tmp_path / "text.npz").write_text("PK no zip")
    (tmp_path / "text.txt").write_text("no data")
    (tmp_path / "empty").mkdir()
    assert "No such file" in fault(tmp_path / "none")
    assert "text.npz" in fault(tmp_path / "text.npz")
    assert "text.txt" in fault(tmp_path / "text.txt", "--labels", tmp_path / "text.txt")
    assert "no pictures in" in fault(tmp_path / "empty")
    assert "whose folders are the labels" in fault(photos, "--labels", tmp_path / "text.txt")
    (photos / "top" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "bad.png: not a picture" in fault(photos)


def test_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert networks.resnet20((32, 32, 3), 10, 1 / 255).count_params() == 272_474 + 1_568  # moving statistics
    for build in networks.NETWORKS.values():
        assert build((32, 32, 3), 7, 1.0).output_shape == (None, 7)
    metrics = json.loads(
        call(capsys, "train", "--model=resnet20", "--limit=12", "--epochs=1", "--json", "--out", tmp_path)
    )
    assert metrics["training_images"] == 11


def test_models_from_files(
    tmp_path: Path, digits: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "data.npz", x=digits[0], y=digits[1])
    sequential = Sequential([Input((12, 12, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    entry = Input((144,))
    graph = Model(entry, layers.Dense(4, activation="softmax")(layers.Rescaling(1 / 255)(entry)))
    (tmp_path / "stack.json").write_text(json.dumps(sequential.get_config()))
    (tmp_path / "graph.json").write_text(json.dumps(graph.get_config()))
    (tmp_path / "list.json").write_text(
        json.dumps([{"class_name": "Flatten"}, {"class_name": "Dense", "config": {"units": 3}}])
    )
    sequential.save(tmp_path / "saved.safetensors")
    for name in ("stack.json", "graph.json", "list.json", "saved.safetensors"):
        metrics = json.loads(
            call(
                capsys, "train", "--dataset", tmp_path / "data.npz", "--model", tmp_path / name, "--epochs=1",
                "--out", tmp_path, "--name=again", "--json",
            )
        )  # fmt: skip
        assert metrics["training_images"] == 46
    given = ("--dataset", tmp_path / "data.npz", "--model", tmp_path / "list.json", "--epochs=1", "--json")
    losses = [
        json.loads(call(capsys, "train", *given, f"--seed={seed}", "--out", tmp_path))["test_loss"]
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
    # Training of a saved model goes on from its weights: a rate of nearly 0 leaves its accuracy as it is.
    given = ("--dataset", tmp_path / "data.npz", "--out", tmp_path, "--json")
    first = json.loads(call(capsys, "train", *given, "--model", tmp_path / "stack.json", "--name=a"))
    second = json.loads(
        call(capsys, "train", *given, "--model", tmp_path / "a", "--lr=1e-20", "--optimizer=sgd", "--name=b")
    )
    assert second["confusion_matrix"] == first["confusion_matrix"]
    assert second["test_loss"] == pytest.approx(first["test_loss"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 100_000, "a.json"),
        ("a.json", "3", "wanted layers, a list"),
        ("a.json", '{"layers": 3}', "layers: int came"),
        ("a.json", '{"layers": [], "more": 1}', "['layers', 'more']"),
        ("a.json", "[3]", "layer 0: 3 came"),
        ("a.json", '[{"class_name": "Dens"}]', "did you mean 'Dense'"),
        ("a.json", '[{"class_name": "Dense", "unit": 3}]', "unit"),
        ("a.json", '[{"class_name": "Dense", "units": 0}]', "units"),
        ("a.json", '[{"class_name": "Dense", "config": {"units": "x"}}]', "units"),
        ("a.json", '[{"class_name": "Dense", "units": 2}]', "3 classes"),
        ("a.json", '[{"class_name": "Conv2D", "filters": 2, "kernel_size": 13}]', "conv2d"),
        ("a.json", '{"calls": 3, "name": "x"}', "Model.from_config"),
        ("a.json", '{"build_input_shape": 3}', "Sequential.from_config"),
        ("a.toml", "[[layers]", "not TOML"),
        ("a.toml", "a = 1", "['a'] came"),
        ("a.safetensors", "text", "a.safetensors"),
    ],
)
def test_wrong_models(
    tmp_path: Path,
    digits: tuple[Any, Any],
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    message: str,
) -> None:
    np.savez(tmp_path / "data.npz", x=digits[0], y=digits[1])
    (tmp_path / name).write_text(text)
    error = fails(
        capsys,
        "train",
        "--dataset",
        tmp_path / "data.npz",
        "--model",
        tmp_path / name,
        "--out",
        tmp_path / "runs",
    )
    assert message in error
    (tmp_path / name).write_bytes(b"\xff\xfe")
    assert name in fails(capsys, "train", "--model", tmp_path / name, "--out", tmp_path / "runs")


def test_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    call(
        capsys, "train", "--limit=24", "--epochs=1", "--model=lenet", "--out", tmp_path, "--name=x", "--json"
    )
    plots = tmp_path / "plots"
    out = call(capsys, "evaluate", tmp_path / "x", "--limit=50", "--plots", plots)
    assert out.endswith(f"\nwritten to {plots}: confusion_matrix.png\n")
    out = call(capsys, "predict", tmp_path / "x", "--index=3", "--plots", plots)
    assert out.endswith(f"\nwritten to {plots}: 4 pictures\n")
    names = sorted(each.name for each in plots.iterdir())
    assert names[-1] == "confusion_matrix.png"
    assert len(names) == 5
    assert all(name.startswith("MNIST-test-image-3-") for name in names[:4])
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in plots.iterdir())
    Sequential([Input((784,)), layers.Dense(10)]).save(tmp_path / "flat.safetensors")
    assert "no layer with feature maps" in fails(
        capsys, "predict", tmp_path / "flat.safetensors", "--index=3", "--plots", plots
    )


def test_pictures_of_images_with_one_name() -> None:
    assert predict._stems(["a/1.png", "b/1.png", "c/2.png"]) == ["0-1.png", "1-1.png", "2.png"]


def test_models_of_other_losses_and_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential([Input((28, 28, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.save(tmp_path / "plain.safetensors")
    plain = json.loads(call(capsys, "evaluate", tmp_path / "plain.safetensors", "--limit=99", "--json"))
    model.compile("sgd", "categorical_crossentropy")
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "metrics.json").write_text('{"class_names": 3, "dataset": 4}')  # notes are untrusted, too
    assert (
        json.loads(call(capsys, "evaluate", tmp_path, "--limit=99", "--json"))["test_loss"]
        == plain["test_loss"]
    )
    (tmp_path / "metrics.json").write_text("[" * 100_000)
    call(capsys, "predict", tmp_path, "--index=0")
    small = Sequential([Input((28, 28, 1)), layers.Flatten(), layers.Dense(3)])
    small.save(tmp_path / "small.safetensors")
    assert "10 classes of mnist" in fails(capsys, "evaluate", tmp_path / "small.safetensors")
    shutil.rmtree(tmp_path)
