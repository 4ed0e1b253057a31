# SPDX-License-Identifier: Apache-2.0
"""Safetensors files: what is written comes back, and no damage, lie or interruption passes unnoticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np
import pytest

from fastcnn.errors import ArgumentError, DTypeError, FormatError
from fastcnn.io import read_safetensors, write_safetensors
from fastcnn.io.atomic import atomic_write

TYPES = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
SAMPLE = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(7, np.int64)}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "sample.safetensors"


def refused(path: pathlib.Path, data: bytes) -> FormatError:
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_safetensors(path)
    assert caught.value.path == str(path)
    assert caught.value.offset <= len(data) + 8
    return caught.value


def foreign(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file as another program might write it: no checksums."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize("code", TYPES)
def test_round_trip_of_every_type(path: pathlib.Path, code: str) -> None:
    tensors = {
        "matrix": np.arange(6).reshape(2, 3).astype(code),
        "scalar": np.array(1, code),
        "empty": np.zeros((3, 0, 2), code),
        "transposed": np.arange(6).reshape(2, 3).astype(code).T,
        "reversed": np.arange(6).astype(code)[::-1],
        "big-endian": np.arange(6).astype(np.dtype(code).newbyteorder(">")),
    }
    write_safetensors(path, tensors)
    loaded, metadata = read_safetensors(path)
    assert metadata == {}
    assert loaded.keys() == tensors.keys()
    for name, array in loaded.items():
        assert array.dtype == np.dtype(code)
        assert array.shape == tensors[name].shape
        assert array.flags.writeable
        np.testing.assert_array_equal(array, tensors[name])


def test_round_trip_of_metadata_and_names(path: pathlib.Path) -> None:
    tensors = {
        name: np.ones(1, np.float32) for name in ("", "a/b", 'quo"te\\', "größe", "日本", "sha256", "\n")
    }
    metadata = {"config": '{"a": [1, "sha256", {}]}', "sha": '"sha256":"' + "0" * 64 + '"', "": "", "é": "ü"}
    write_safetensors(path, tensors, metadata)
    loaded, kept = read_safetensors(path)
    assert loaded.keys() == tensors.keys()
    assert kept == metadata


def test_no_tensors_at_all(path: pathlib.Path) -> None:
    write_safetensors(path, {})
    assert read_safetensors(path) == ({}, {})


def test_tensors_are_aligned(path: pathlib.Path) -> None:
    write_safetensors(
        path, {"a": np.ones(3, np.uint8), "b": np.ones(5, np.float64), "c": np.ones(3, np.float32)}
    )
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    table = json.loads(raw[8 : 8 + length])
    for name, size in (("a", 1), ("b", 8), ("c", 4)):
        assert (8 + length + table[name]["data_offsets"][0]) % size == 0


@pytest.mark.parametrize(
    ("tensors", "metadata", "error"),
    [
        ({"x": np.ones(1, complex)}, {}, DTypeError),
        ({"x": np.array(["text"])}, {}, DTypeError),
        ({"x": np.array([object()])}, {}, DTypeError),
        ({3: np.ones(1)}, {}, ArgumentError),
        ({"__metadata__": np.ones(1)}, {}, ArgumentError),
        ({"\ud800": np.ones(1)}, {}, ArgumentError),
        ({}, {"a": 3}, ArgumentError),
        ({}, {3: "a"}, ArgumentError),
        ({}, {"sha256": "a"}, ArgumentError),
        ({}, {"format": "pt"}, ArgumentError),
    ],
)
def test_what_cannot_be_stored(
    path: pathlib.Path, tensors: Any, metadata: Any, error: type[Exception]
) -> None:
    path.write_bytes(b"old")
    with pytest.raises(error, match="write_safetensors: "):
        write_safetensors(path, tensors, metadata)
    assert path.read_bytes() == b"old"


def test_the_safetensors_package_reads_ours(path: pathlib.Path) -> None:
    package = pytest.importorskip("safetensors")
    numpy_api = pytest.importorskip("safetensors.numpy")
    tensors = {code: np.arange(4).reshape(2, 2).astype(code) for code in TYPES} | {
        "empty": np.zeros((0, 3), "f4")
    }
    write_safetensors(path, tensors, {"author": "me"})
    loaded = numpy_api.load_file(path)
    assert loaded.keys() == tensors.keys()
    for name, array in loaded.items():
        assert array.dtype == tensors[name].dtype
        np.testing.assert_array_equal(array, tensors[name])
    with package.safe_open(path, "numpy") as file:
        assert file.metadata()["author"] == "me"


def test_we_read_the_safetensors_package(path: pathlib.Path) -> None:
    numpy_api = pytest.importorskip("safetensors.numpy")
    tensors = {code: np.arange(4).reshape(2, 2).astype(code) for code in TYPES} | {
        "empty": np.zeros((0, 3), "f4")
    }
    numpy_api.save_file(tensors, path, {"format": "pt", "a": "b"})
    loaded, metadata = read_safetensors(path)
    assert metadata == {"format": "pt", "a": "b"}
    assert loaded.keys() == tensors.keys()
    for name, array in loaded.items():
        assert array.dtype == tensors[name].dtype
        np.testing.assert_array_equal(array, tensors[name])


def test_truncated_at_every_byte(path: pathlib.Path) -> None:
    write_safetensors(path, SAMPLE, {"note": "small"})
    data = path.read_bytes()
    for length in range(len(data)):
        refused(path, data[:length])
    refused(path, data + b"\0")


@pytest.mark.parametrize(
    "tensors", [SAMPLE, {}, {"blank": np.full(64, 0x20, np.uint8)}], ids=["two", "none", "blank"]
)
def test_every_flipped_bit_is_found(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> None:
    write_safetensors(path, tensors, {"note": "small"})
    data = bytearray(path.read_bytes())
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        refused(path, bytes(data))
        data[bit // 8] ^= 1 << bit % 8


def test_damage_names_the_tensor(path: pathlib.Path) -> None:
    write_safetensors(path, SAMPLE)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    error = refused(path, bytes(data))
    assert error.reason == "checksum mismatch in tensor 'dense/kernel'"
    assert error.offset == len(data) - 24


def test_a_changed_header_is_found(path: pathlib.Path) -> None:
    write_safetensors(path, SAMPLE, {"note": "small"})
    for old, new in (
        (b"small", b"smell"),
        (b"[2,3]", b"[3,2]"),
        (b"dense", b"sense"),
        (b'"step"', b'"stop"'),
    ):
        assert "checksum mismatch in the header" in refused(path, path.read_bytes().replace(old, new)).reason
        write_safetensors(path, SAMPLE, {"note": "small"})


@pytest.mark.parametrize("length", [0, 1, 3, 100_000_001, 2**31, 2**63, 2**64 - 1])
def test_lying_length(path: pathlib.Path, length: int) -> None:
    error = refused(path, foreign(b"{}", length=length))
    assert error.offset == 0
    assert f"header of {length} bytes" in error.reason


@pytest.mark.parametrize(
    ("data", "kind"), [(b"PK\3\4\x14\0\0\0config", "a zip archive"), (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file")]
)
def test_files_of_keras(path: pathlib.Path, data: bytes, kind: str) -> None:
    assert refused(path, data).reason.endswith(
        f"it is {kind}: files of Keras's are not read, but set_weights takes arrays"
    )


def test_a_header_beyond_the_limit(path: pathlib.Path) -> None:
    with open(path, "wb") as file:
        file.write((100_000_001).to_bytes(8, "little"))
        file.truncate(100_000_100)  # sparse: the file is that long, so the limit alone refuses it
    with pytest.raises(FormatError, match="wanted 2 to 100000000"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"\xff\xfe{}", "UTF-8"),
        (b"  ", "not JSON"),
        (b" {}", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"a":1}', "exactly dtype, shape"),
        (b'{"a"', "not JSON"),
        (b"{} x", "not JSON"),
        (b"[" * 100_000, "recursion"),
        (b'{"a":' * 100_000, "recursion"),
        (b'{"a":NaN}', "finite"),
        (b'{"a":-Infinity}', "finite"),
        (b'{"a":1e400}', "finite"),
        (b'{"__metadata__":{"a":"b","a":"c"}}', "twice"),
        (b'{"__metadata__":[]}', "object of strings"),
        (b'{"__metadata__":{"a":1}}', "object of strings"),
        (b'{"__metadata__":{"a":{}}}', "object of strings"),
    ],
    ids=range(16),
)
def test_lying_json(path: pathlib.Path, header: bytes, words: str) -> None:
    assert words in refused(path, foreign(header)).reason


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ([], "exactly dtype"),
        ({"dtype": "F32", "shape": [2]}, "exactly dtype"),
        (entry() | {"more": 1}, "exactly dtype"),
        (entry(dtype="BF16"), "dtype 'BF16'"),
        (entry(dtype="O"), "dtype 'O'"),
        (entry(dtype=[]), "dtype '[]'"),
        (entry(shape=2), "list of at most"),
        (entry(shape=[-2]), "list of at most"),
        (entry(shape=[2.0]), "list of at most"),
        (entry(shape=[True, 2]), "list of at most"),
        (entry(shape=["2"]), "list of at most"),
        (entry(shape=[10**30]), "list of at most"),
        (entry(shape=[1] * 1000), "list of at most"),
        (entry(shape=[2**62, 2**62, 0]), "beyond any memory"),
        (entry(shape=[2**32, 2**32]), "beyond any memory"),
        (entry(shape=[3]), "does not fill"),
        (entry(offsets=[0]), "pair of positions"),
        (entry(offsets=[0, 8, 8]), "pair of positions"),
        (entry(offsets=[-8, 0]), "pair of positions"),
        (entry(offsets=[8, 0]), "does not fill"),
        (entry(offsets=[0, 2**64]), "pair of positions"),
        (entry(offsets=[4, 12]), "leaves a hole"),
        (entry(shape=[4], offsets=[0, 16]), "8 bytes of tensors, the header declares 16"),
        (entry(shape=[1], offsets=[0, 4]), "8 bytes of tensors, the header declares 4"),
    ],
)
def test_lying_entry(path: pathlib.Path, info: Any, words: str) -> None:
    path.write_bytes(foreign({"x": entry()}, bytes(8)))
    read_safetensors(path)
    assert words in refused(path, foreign({"x": info}, bytes(8))).reason


def test_neighbours_must_touch(path: pathlib.Path) -> None:
    def pair(begin: int) -> bytes:
        return foreign({"b": entry(offsets=[begin, begin + 8]), "a": entry()}, bytes(begin + 8))

    path.write_bytes(pair(8))
    assert list(read_safetensors(path)[0]) == ["a", "b"]
    assert "overlaps" in refused(path, pair(4)).reason
    assert "overlaps" in refused(path, pair(0)).reason
    assert "hole" in refused(path, pair(12)).reason


def test_duplicate_tensor(path: pathlib.Path) -> None:
    one = json.dumps(entry())
    assert "twice" in refused(path, foreign(f'{{"a":{one},"a":{one}}}'.encode(), bytes(8))).reason


def test_bool_bytes(path: pathlib.Path) -> None:
    header = {"x": entry("BOOL", [2], [0, 2])}
    path.write_bytes(foreign(header, b"\0\1"))
    assert read_safetensors(path)[0]["x"].tolist() == [False, True]
    assert "BOOL" in refused(path, foreign(header, b"\0\2")).reason


def test_a_failing_write_leaves_the_old_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_safetensors(path, SAMPLE)
    old = path.read_bytes()

    for step in ("fsync", "replace"):

        def fail(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="No space") as caught:
                write_safetensors(path, {"x": np.ones(1)})
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(path)
        assert path.read_bytes() == old
        assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_block_leaves_the_old_file(path: pathlib.Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise error

    path.write_bytes(b"old")
    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_order_of_the_steps(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (steps.append(name), real(*args)))
    write_safetensors(path, SAMPLE)
    assert steps == [
        "fsync",
        "replace",
        "fsync",
    ]  # the file, then its name, then the folder that holds the name


def test_a_killed_writer_leaves_the_old_file(path: pathlib.Path) -> None:
    path.write_bytes(b"old")
    child = os.fork()
    if child == 0:
        with atomic_write(path) as file:
            file.write(b"new")
            file.flush()
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert path.read_bytes() == b"old"


def test_a_symbolic_link_is_followed(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path.name)
    write_safetensors(link, SAMPLE)
    assert link.is_symlink()
    assert path.is_file()


def test_only_regular_files_are_replaced(tmp_path: pathlib.Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_safetensors(tmp_path, SAMPLE)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="regular"):
        write_safetensors(fifo, SAMPLE)
    with pytest.raises(FileNotFoundError) as caught:
        write_safetensors(tmp_path / "none" / "x", SAMPLE)
    assert caught.value.filename == str(tmp_path / "none" / "x")


def test_the_umask_holds(path: pathlib.Path) -> None:
    old = os.umask(0o027)
    try:
        write_safetensors(path, SAMPLE)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


def test_same_input_gives_the_same_bytes(path: pathlib.Path) -> None:
    write_safetensors(path, SAMPLE, {"a": "b"})
    first = hashlib.sha256(path.read_bytes()).digest()
    write_safetensors(path, dict(reversed(SAMPLE.items())), {"a": "b"})
    assert hashlib.sha256(path.read_bytes()).digest() == first
