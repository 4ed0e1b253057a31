# SPDX-License-Identifier: Apache-2.0
"""Pictures as arrays and back, and files that are no pictures."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, DTypeError, FormatError, ShapeError, utils
from fastcnn.utils.resizing import INTERPOLATIONS, crop, pad, resize

image = pytest.importorskip("PIL.Image")

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 9, 3)).astype(np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image.fromarray(PIXELS).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_load_img(picture: Path) -> None:
    for source in (picture, str(picture), os.fsencode(picture), io.BytesIO(picture.read_bytes())):
        np.testing.assert_array_equal(utils.img_to_array(utils.load_img(source)), PIXELS)
    assert utils.load_img(picture, "grayscale").mode == "L"
    assert utils.load_img(picture, "rgba", (3, 4)).size == (4, 3)
    cut = utils.load_img(picture, target_size=(6, 3), keep_aspect_ratio=True)
    np.testing.assert_array_equal(np.asarray(cut), PIXELS[:, 3:6])


def test_deep_grey(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 256, 65535]], np.uint16)
    image.fromarray(grey).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(np.asarray(utils.load_img(tmp_path / "deep.png", "grayscale")), grey)
    (tmp_path / "class").mkdir()
    (tmp_path / "deep.png").rename(tmp_path / "class" / "deep.png")
    found = utils.image_dataset_from_directory(
        tmp_path, None, color_mode="grayscale", image_size=(1, 4), verbose=False
    )
    np.testing.assert_array_equal(found[0].ravel(), [0, 0, 1, 255])


def test_img_to_array() -> None:
    assert utils.img_to_array(PIXELS).dtype == np.float32
    assert utils.img_to_array(PIXELS, "channels_first", "uint8").shape == (3, 6, 9)
    assert utils.img_to_array(PIXELS[..., 0]).shape == (6, 9, 1)
    assert utils.img_to_array(PIXELS[..., 0], "channels_first").shape == (1, 6, 9)


def test_array_to_img(tmp_path: Path) -> None:
    assert np.asarray(utils.array_to_img(PIXELS / 255 - 3)).max() == 255
    np.testing.assert_array_equal(np.asarray(utils.array_to_img(PIXELS, scale=False)), PIXELS)
    first = utils.array_to_img(PIXELS.transpose(2, 0, 1), "channels_first", scale=False)
    np.testing.assert_array_equal(np.asarray(first), PIXELS)
    assert np.asarray(utils.array_to_img(np.full((1, 1, 1), 700), scale=False)) == 700
    assert np.asarray(utils.array_to_img(np.full((1, 1, 3), -7), scale=False)).max() == 0
    assert np.asarray(utils.array_to_img(np.full((1, 1, 1), 9.0))) == 0


def test_save_img(tmp_path: Path) -> None:
    utils.save_img(tmp_path / "a.png", PIXELS, scale=False)
    np.testing.assert_array_equal(np.asarray(image.open(tmp_path / "a.png")), PIXELS)
    stream = io.BytesIO()
    utils.save_img(stream, PIXELS, file_format="jpg", quality=50)
    assert stream.getvalue()[:2] == b"\xff\xd8"
    with pytest.warns(UserWarning, match="transparency"):
        utils.save_img(tmp_path / "a.jpg", np.zeros((2, 2, 4)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: utils.load_img(3), DTypeError, "path: int came"),
        (lambda: utils.load_img("none.png"), FileNotFoundError, "none.png"),
        (lambda: utils.load_img("none.png", "cmyk"), ArgumentError, "color_mode"),
        (lambda: utils.load_img("none.png", target_size=(0, 4)), ArgumentError, "target_size"),
        (lambda: utils.load_img("none.png", interpolation="cubic"), ArgumentError, "'bicubic'"),
        (lambda: utils.img_to_array(np.zeros(3)), ShapeError, r"\(3,\)"),
        (lambda: utils.img_to_array(PIXELS, "first"), ArgumentError, "data_format"),
        (lambda: utils.array_to_img(np.zeros((2, 2))), ShapeError, "rank 3"),
        (lambda: utils.array_to_img(np.zeros((0, 2, 3))), ShapeError, "rank 3"),
        (lambda: utils.array_to_img(np.zeros((2, 2, 2))), ShapeError, "2 channels"),
        (lambda: utils.array_to_img(np.full((2, 2, 1), np.nan)), ArgumentError, "not finite"),
        (lambda: utils.save_img(io.BytesIO(), PIXELS), ArgumentError, "format ''"),
        (lambda: utils.save_img("a.nonsense", PIXELS), ArgumentError, "'nonsense'"),
    ],
)
def test_wrong_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def png(width: int, height: int, *more: tuple[bytes, bytes]) -> bytes:
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)), *more, (b"IEND", b"")]
    sealed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


HOSTILE = {
    "empty.png": b"",
    "text.jpg": b"hello, world",
    "magic.png": b"\x89PNG\r\n\x1a\n",
    "bomb.png": png(60_000, 60_000, (b"IDAT", zlib.compress(b"\0" * 1000))),
    "large.png": png(10_000, 10_000, (b"IDAT", zlib.compress(b"\0" * 1000))),
    "nothing.png": png(0, 5, (b"IDAT", zlib.compress(b"\0"))),
    "short.png": png(4, 4, (b"IDAT", zlib.compress(b"\0" * 20))),
    "comment.png": png(1, 1, (b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 24)))),
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "cut.gif": b"GIF89a\x05\0\x05\0\x80\0\0",
    "odd.bmp": b"BM" + b"\xff" * 60,
}


@pytest.mark.filterwarnings("ignore")  # Pillow warns of bombs that are not yet errors
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    with pytest.raises(FormatError, match=name):
        utils.load_img(path)
    with pytest.raises(FormatError, match="a stream"):
        utils.load_img(io.BytesIO(HOSTILE[name]))


@pytest.mark.filterwarnings("ignore")
def test_cut_and_flipped_files_never_end_the_process(rng: np.random.Generator) -> None:
    for kind in ("png", "jpeg", "gif", "bmp", "tiff"):
        stream = io.BytesIO()
        utils.save_img(stream, PIXELS, file_format=kind)
        whole = stream.getvalue()
        for _ in range(40):
            damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
            with contextlib.suppress(FormatError):
                assert utils.load_img(io.BytesIO(damaged)).mode == "RGB"


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FormatError, match=r"pipe.png: not a regular file"):
        utils.load_img(tmp_path / "pipe.png")  # and does not wait for a writer
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        utils.load_img(tmp_path)
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(OSError, match=r"loop.png"):
        utils.load_img(tmp_path / "loop.png")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resizing_keeps_what_is_equal(interpolation: str) -> None:
    even = np.full((5, 8, 1), 7, np.uint8)
    for size in ((5, 8), (9, 3), (1, 1), (20, 31)):
        scaled = resize(even, size, interpolation)
        assert scaled.shape == (*size, 1)
        assert scaled.dtype == np.float32
        np.testing.assert_array_max_ulp(scaled, np.full_like(scaled, 7), 8)
    np.testing.assert_array_equal(resize(PIXELS, (6, 9), interpolation), PIXELS)


def test_resizing_by_hand() -> None:
    row = np.array([0, 8, 16, 24], np.uint8).reshape(1, 4, 1)
    wanted = {
        "nearest": [8, 24],
        "bilinear": [4, 20],
        "area": [4, 20],
    }
    for interpolation, values in wanted.items():
        np.testing.assert_array_equal(resize(row, (1, 2), interpolation).ravel(), values)
    np.testing.assert_array_equal(resize(row, (1, 3), "area").ravel(), [2, 12, 22])
    np.testing.assert_array_equal(resize(row, (1, 8), "bilinear").ravel(), [0, 2, 6, 10, 14, 18, 22, 24])


def test_proportions() -> None:
    np.testing.assert_array_equal(crop(PIXELS, (2, 1)), PIXELS[:, 3:6])
    np.testing.assert_array_equal(crop(PIXELS, (1, 9)), PIXELS[2:3])
    padded = pad(PIXELS, (2, 1))
    assert padded.shape == (18, 9, 3)
    np.testing.assert_array_equal(padded[6:12], PIXELS)
    assert not padded[:6].any()
