# SPDX-License-Identifier: Apache-2.0
"""MNIST's published bytes come out, and no IDX file, however damaged, gives anything but a FormatError."""

from __future__ import annotations

import gzip
import hashlib
import pathlib
import struct
import tracemalloc

import numpy as np
import pytest

from fastcnn.datasets import idx, mnist
from fastcnn.errors import FormatError

TYPE_CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def header(*shape: int, code: int = 8) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def encode(array: np.ndarray) -> bytes:
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return header(*array.shape, code=TYPE_CODES[array.dtype.name]) + big_endian.tobytes()


SAMPLE = encode(np.arange(1, 25, dtype=np.uint8).reshape(2, 3, 4))


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "sample-idx3-ubyte"


def refused(path: pathlib.Path, data: bytes) -> FormatError:
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        idx.load(path)
    assert caught.value.path == str(path)
    return caught.value


def test_mnist_is_the_published_database() -> None:
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert (x_train.shape, y_train.shape) == ((60000, 28, 28), (60000,))
    assert (x_test.shape, y_test.shape) == ((10000, 28, 28), (10000,))
    published = {  # SHA-256 of the original, decompressed files
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db": x_train,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": y_train,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7": x_test,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": y_test,
    }
    for digest, array in published.items():
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert hashlib.sha256(encode(array)).hexdigest() == digest


@pytest.mark.parametrize("name", TYPE_CODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_reads_every_type(path: pathlib.Path, name: str, compress: type[bytes]) -> None:
    array = np.arange(6).reshape(2, 3).astype(name)
    path.write_bytes(compress(encode(array)))
    loaded = idx.load(path)
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_truncated_at_every_byte(path: pathlib.Path, compress: type[bytes]) -> None:
    data = compress(SAMPLE)
    for length in range(len(data)):
        assert refused(path, data[:length]).offset <= len(SAMPLE)


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"", 0, "magic"),
        (b"<!DOCTYPE html>", 0, "two zero bytes"),
        (b"\x08\x03\0\0" + SAMPLE[4:], 0, "0x08030000"),
        (b"\0\0\x0a\x03" + SAMPLE[4:], 2, "type code 0x0a"),
        (b"\0\0\x08\x00", 3, "rank 0"),
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255, 3, "rank 255"),
        (header(2, 3, 5) + SAMPLE[16:], 4, "wants 30 bytes, the file can hold 24"),
        (header(2, 3, 3) + SAMPLE[16:], 16 + 18, "bytes follow"),
        (SAMPLE + b"\0", len(SAMPLE), "bytes follow"),
        (header(2, 0, 4), 8, "dimension of 0"),
        (header(0, 2**31, 2**31), 4, "dimension of 0"),
        (header(2**31, 2**31) + SAMPLE, 4, "wants 4611686018427387904 bytes"),
        (header(*[2**32 - 1] * 8) + SAMPLE, 4, "can hold"),
        (header(2, 3, 4, code=14) + SAMPLE[16:], 4, "wants 192 bytes"),
    ],
)
def test_lying_header(path: pathlib.Path, data: bytes, offset: int, words: str) -> None:
    error = refused(path, data)
    assert words in error.reason
    assert error.offset == offset


def test_lying_header_in_gzip(path: pathlib.Path) -> None:
    short = refused(path, gzip.compress(header(2, 3, 5) + SAMPLE[16:]))
    assert (short.offset, short.reason) == (16 + 24, "the file ends after 24 of 30 bytes of data")
    assert "bytes follow" in refused(path, gzip.compress(header(2, 3, 3) + SAMPLE[16:])).reason
    assert "can hold" in refused(path, gzip.compress(header(2**31, 2**31) + SAMPLE)).reason


def test_gzip_damage(path: pathlib.Path) -> None:
    packed = gzip.compress(SAMPLE, mtime=0)
    assert "CRC" in refused(path, packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]).reason
    assert "length" in refused(path, packed[:-1] + bytes([packed[-1] ^ 1])).reason
    assert "gzip stream" in refused(path, packed + b"junk").reason
    assert "bytes follow" in refused(path, packed + packed).reason
    assert "gzip stream" in refused(path, packed[:2] + b"\x07" + packed[3:]).reason


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_single_bit_flips_never_escape(path: pathlib.Path, compress: type[bytes]) -> None:
    data = bytearray(compress(SAMPLE))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            loaded = idx.load(path)
        except FormatError:
            pass
        else:  # plain IDX has no checksum, and gzip leaves its own time stamp unprotected
            assert loaded.nbytes == 24
            assert compress is bytes or loaded.tobytes() == SAMPLE[16:]
        data[bit // 8] ^= 1 << bit % 8


def test_bomb_is_not_inflated(path: pathlib.Path) -> None:
    bomb = gzip.compress(header(4) + bytes(100_000_000))
    tracemalloc.start()
    assert "bytes follow" in refused(path, bomb).reason
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_pair_must_belong_together(tmp_path: pathlib.Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(SAMPLE)
    labels.write_bytes(encode(np.array([4, 2], np.uint8)))
    x, y = idx.load_pair(images, labels)
    assert (x.shape, y.tolist()) == ((2, 3, 4), [4, 2])

    labels.write_bytes(encode(np.array([4, 2, 1], np.uint8)))
    with pytest.raises(FormatError, match="3 labels for the 2 images") as caught:
        idx.load_pair(images, labels)
    assert (caught.value.path, caught.value.offset) == (str(labels), 4)
    with pytest.raises(FormatError, match="labels of rank 3"):
        idx.load_pair(images, images)


def test_missing_file_is_an_os_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        idx.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        idx.load(tmp_path)
