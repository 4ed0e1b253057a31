# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures as batches: files, labels, parts, orders, and folders that hold something else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn
from fastcnn import ArgumentError, DTypeError, FormatError, Sequential, layers, utils

image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pictures of one colour each: its number, which the file is named after."""
    root = tmp_path_factory.mktemp("photos")
    names = [
        "b/0.png",
        "b/1.PNG",
        "a/2.bmp",
        "a/deep/3.png",
        "a/4.gif",
        "a/5.png",
        ".hidden/6.png",
        "a/7.txt",
    ]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            image.fromarray(np.full((4, 6, 3), number(name), np.uint8)).save(file, "PNG")
    return root


def number(path: str) -> int:
    return int(Path(path).stem)


def load(root: Path, *arguments: Any, **options: Any) -> Any:
    return utils.image_dataset_from_directory(
        root, *arguments, **{"verbose": False, "image_size": 3} | options
    )


def seen(found: Any) -> tuple[list[int], list[int]]:
    """The number of each picture, and its label."""
    x, y = (np.concatenate(each) for each in zip(*found, strict=True))
    return x[:, 0, 0, 0].astype(int).tolist(), y.tolist()


def test_classes_and_order(photos: Path) -> None:
    found = load(photos, shuffle=False, batch_size=4)
    assert found.class_names == ["a", "b"]
    assert list(map(number, found.file_paths)) == [2, 4, 5, 3, 0, 1]
    assert seen(found) == ([2, 4, 5, 3, 0, 1], [0, 0, 0, 0, 1, 1])
    assert [each[0].shape for each in found] == [(4, 3, 3, 3), (2, 3, 3, 3)]
    assert found[0][0].dtype == np.float32
    assert found[0][1].dtype == np.int32
    found.on_epoch_end()
    assert seen(found)[0] == [2, 4, 5, 3, 0, 1]
    assert seen(load(photos, class_names=["b", "a"], shuffle=False)) == (
        [0, 1, 2, 4, 5, 3],
        [0, 0, 1, 1, 1, 1],
    )
    assert seen(load(photos, class_names=["b"], shuffle=False))[0] == [0, 1]


def test_shuffling(photos: Path) -> None:
    found, again, other = (load(photos, seed=seed, batch_size=2) for seed in (1, 1, 2))
    first = seen(found)
    assert first[0] == list(map(number, found.file_paths)) != list(map(number, other.file_paths))
    assert [int(each < 2) for each in first[0]] == first[1]
    found.on_epoch_end()
    second = seen(found)
    assert second[0] != first[0]
    assert [int(each < 2) for each in second[0]] == second[1]
    again.on_epoch_end()
    assert seen(again) == second
    utils.set_random_seed(3)
    paths = load(photos).file_paths
    utils.set_random_seed(3)
    assert load(photos).file_paths == paths


def test_parts(photos: Path) -> None:
    train, held_back = load(photos, validation_split=0.4, subset="both", seed=5)
    assert (train.samples, held_back.samples) == (4, 2)
    assert {*train.file_paths, *held_back.file_paths} == set(load(photos).file_paths)
    for part, one in (("training", train), ("validation", held_back)):
        alone = load(photos, validation_split=0.4, subset=part, seed=5)
        assert alone.file_paths == one.file_paths
    order = seen(held_back)
    held_back.on_epoch_end()
    assert seen(held_back) == order


def test_label_modes(photos: Path) -> None:
    binary = load(photos, label_mode="binary", shuffle=False)[0][1]
    assert (binary.dtype, binary.tolist()) == (np.float32, [[0], [0], [0], [0], [1], [1]])
    assert load(photos, label_mode="categorical", shuffle=False)[0][1].tolist()[3:5] == [[1, 0], [0, 1]]
    alone = load(photos, label_mode=None, shuffle=False)
    assert alone[0].shape == (7, 3, 3, 3)  # nothing is inferred: see below
    assert alone.class_names is None
    # Without inference, all that lies below counts, hidden folders too: by folder, then by name.
    assert list(map(number, load(photos, None, shuffle=False).file_paths)) == [6, 2, 4, 5, 3, 0, 1]
    given = load(photos, [9, 2, 4, 5, 3, 0, 1], shuffle=False)
    assert given.class_names == ["0", "1", "2", "3", "4", "5", "9"]
    assert given[0][1].tolist() == [9, 2, 4, 5, 3, 0, 1]


def test_shapes(photos: Path) -> None:
    assert load(photos, color_mode="grayscale")[0][0].shape == (6, 3, 3, 1)
    assert load(photos, color_mode="rgba")[0][0].shape == (6, 3, 3, 4)
    assert load(photos, image_size=(2, 5))[0][0].shape == (6, 2, 5, 3)
    assert load(photos, image_size=(2, 5), data_format="channels_first")[0][0].shape == (6, 3, 2, 5)
    x, y = load(photos, batch_size=None)[0]
    assert (x.shape, y.shape) == ((3, 3, 3), ())
    padded = load(photos, pad_to_aspect_ratio=True, shuffle=False, image_size=6)[0][0][0]
    assert (padded[0].max(), padded[1].min()) == (0, 2)
    assert load(photos, crop_to_aspect_ratio=True, interpolation="Area")[0][0].max() == 5


def test_any_number_of_threads(photos: Path, keep_threads: Iterator[None]) -> None:
    batches = []
    for threads in (1, 3):
        fastcnn.set_num_threads(threads)
        batches.append(load(photos, shuffle=False, image_size=(7, 5))[0][0])
    np.testing.assert_array_equal(*batches)


def test_fit_evaluate_predict(photos: Path) -> None:
    train, held_back = load(photos, validation_split=0.4, subset="both", seed=5, batch_size=2)
    model = Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=held_back, epochs=2, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert model.predict(held_back, verbose=0).shape == (2, 2)
    assert len(model.evaluate(held_back, verbose=0)) == 2


def test_what_is_printed(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(photos, verbose=True, validation_split=0.4, subset="both", seed=0)
    assert capsys.readouterr().out.splitlines() == [
        "Found 6 files belonging to 2 classes.",
        "Using 4 files for training.",
        "Using 2 files for validation.",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "guessed"}, "'guessed'"),
        ({"labels": [1]}, "1 came for the 7"),
        ({"labels": [1, 2, 3, 4, 5, 6, -7]}, "labels: -7"),
        ({"labels": [1, 2, 3, 4, 5, 6, 7], "label_mode": "categorical"}, "wanted 0 to 6"),
        ({"labels": None, "class_names": ["a"]}, "class_names"),
        ({"label_mode": "one-hot"}, "label_mode"),
        ({"label_mode": "binary", "class_names": ["a"]}, "for 1 classes"),
        ({"class_names": ["c"]}, "no folder 'c'"),
        ({"class_names": ["a", "a"]}, "twice"),
        ({"color_mode": "cmyk"}, "color_mode"),
        ({"batch_size": 0}, "batch_size"),
        ({"image_size": (0, 1)}, "image_size"),
        ({"interpolation": "cubic"}, "interpolation"),
        ({"data_format": "last"}, "data_format"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "one of them"),
        ({"seed": -1}, "seed"),
        ({"validation_split": 0.1}, "wanted both"),
        ({"subset": "both"}, "wanted both"),
        ({"validation_split": 1.5, "subset": "both", "seed": 1}, "validation_split"),
        ({"validation_split": 0.0, "subset": "both", "seed": 1}, "validation_split"),
        ({"validation_split": 0.5, "subset": "test", "seed": 1}, "subset"),
        ({"validation_split": 0.5, "subset": "both"}, "seed"),
        ({"validation_split": 0.1, "subset": "both", "seed": 1}, "none for validation"),
    ],
)
def test_wrong_arguments(photos: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        load(photos, **options)


@pytest.mark.parametrize(
    "options",
    [{"labels": 3}, {"shuffle": 1}, {"follow_links": None}, {"image_size": "big"}, {"class_names": "a"}],
)
def test_wrong_types(photos: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DTypeError, match=next(iter(options))):
        load(photos, **options)


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        load(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        load(tmp_path / "file")
    for folder in ("", "empty"):
        (tmp_path / folder).mkdir(exist_ok=True)
        with pytest.raises(ArgumentError, match="a folder for each class"):
            load(tmp_path)
    with pytest.raises(ArgumentError, match="no pictures"):
        load(tmp_path, None)


def test_links(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.link(photos / "b" / "0.png", tmp_path / "a" / "0.png")
    (tmp_path / "a" / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to(".", target_is_directory=True)
    (tmp_path / "a" / "other").symlink_to(photos / "a", target_is_directory=True)
    assert list(map(number, load(tmp_path, shuffle=False).file_paths)) == [0]
    assert list(map(number, load(tmp_path, shuffle=False, follow_links=True).file_paths)) == [0, 2, 4, 5, 3]


def test_a_bad_file_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.png").write_bytes(b"no picture")
    os.link(photos / "b" / "0.png", tmp_path / "a" / "0.png")
    model = Sequential([layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(FormatError, match=r"a/bad.png: not a picture"):
        model.fit(load(tmp_path), verbose=0)
    (tmp_path / "a" / "bad.png").unlink()
    (tmp_path / "a" / "gone.png").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"gone.png"):
        model.fit(load(tmp_path), verbose=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(PermissionError, match="closed"):
        load(tmp_path)


def test_without_pillow(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install fastcnn\[image\]"):
        load(photos)
