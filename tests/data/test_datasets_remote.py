# SPDX-License-Identifier: Apache-2.0
"""Data sets that are downloaded: from files here in their place, and what is said when they cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import ArgumentError, FormatError
from fastcnn.datasets import cache, cifar10, cifar100, fashion_mnist, npz


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def remote(path: Path, name: str) -> cache.Remote:
    return cache.Remote(name, path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest())


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def record(labels: list[int], value: int) -> bytes:
    """An image of which each plane is its own number above ``value``."""
    planes = np.repeat(np.arange(3, dtype=np.uint8) + value, 1024)
    return bytes(labels) + planes.tobytes()


def test_a_file_is_downloaded_once_and_proven_each_time(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    wanted = remote(source, "deep/x")
    path = cache.fetch(wanted)
    assert path == folder / "deep" / "x"
    source.unlink()
    assert cache.fetch(wanted).read_bytes() == b"abc"
    path.write_bytes(b"abd")
    with pytest.raises(FormatError, match="remove the file to download it anew"):
        cache.fetch(wanted)


def test_what_is_said_without_a_network(tmp_path: Path, folder: Path) -> None:
    wanted = cache.Remote("x.gz", (tmp_path / "nothing").as_uri(), "0" * 64)
    with pytest.raises(OSError, match=r"x.gz is not in .*data and could not be downloaded.*put it there"):
        cache.fetch(wanted)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    with pytest.raises(OSError, match="what came has the SHA-256"):
        cache.fetch(cache.Remote("x.gz", other.as_uri(), "0" * 64))
    assert not [*folder.glob("*")]


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FASTCNN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "fastcnn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "fastcnn"


def test_cifar10(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    members = {
        f"cifar-10-batches-bin/{name}.bin": record([i], 10 * i) + record([9 - i], 100)
        for i, name in enumerate(names)
    }
    path = archive(tmp_path / "a.tar.gz", members)
    monkeypatch.setattr(cifar10, "_ARCHIVE", remote(path, "cifar-10-binary.tar.gz"))
    monkeypatch.setattr(cifar10, "_IMAGES", 2)
    (x, y), (x_test, y_test) = cifar10.load_data()
    assert (x.shape, y.shape, x.dtype) == ((10, 32, 32, 3), (10, 1), np.uint8)
    assert y[:, 0].tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert x[2].min(axis=(0, 1)).tolist() == x[2].max(axis=(0, 1)).tolist() == [10, 11, 12]
    assert (x_test[0, 3, 4].tolist(), y_test.tolist()) == ([50, 51, 52], [[5], [4]])
    monkeypatch.setattr(cifar10, "_IMAGES", 3)
    with pytest.raises(FormatError, match=r"data_batch_1.bin holds 6146 bytes, wanted 9219"):
        cifar10.load_data()


@pytest.mark.parametrize(("mode", "labels"), [("fine", [7, 9]), ("coarse", [6, 8])])
def test_cifar100(mode: str, labels: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    members = {
        f"cifar-100-binary/{part}.bin": record([6, 7], 1) + record([8, 9], 2) for part in ("train", "test")
    }
    path = archive(tmp_path / "a.tar.gz", members)
    monkeypatch.setattr(cifar100, "_ARCHIVE", remote(path, "cifar-100-binary.tar.gz"))
    monkeypatch.setattr(cifar100, "_IMAGES", {"train": 2, "test": 2})
    (_, y), (x_test, y_test) = cifar100.load_data(mode)
    assert y[:, 0].tolist() == y_test[:, 0].tolist() == labels
    assert x_test[1, 0, 0].tolist() == [2, 3, 4]
    with pytest.raises(ArgumentError, match="cifar100: label_mode"):
        cifar100.load_data("medium")


def test_archives_that_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"no archive", gzip.compress(b"no tar"), b""):
        path.write_bytes(data)
        monkeypatch.setattr(cifar10, "_ARCHIVE", remote(path, f"a{len(data)}"))
        with pytest.raises(FormatError, match="not the archive"):
            cifar10.load_data()
    monkeypatch.setattr(cifar10, "_ARCHIVE", remote(archive(path, {"other": b"x"}), "b"))
    with pytest.raises(FormatError, match="not the archive"):
        cifar10.load_data()


def test_fashion_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    (folder / "fashion-mnist").mkdir(parents=True)
    pins: dict[str, str] = {}
    for part, count in (("train", 3), ("t10k", 2)):
        images = bytes([0, 0, 8, 3]) + struct.pack(">III", count, 28, 28) + bytes(count * 784)
        labels = bytes([0, 0, 8, 1]) + struct.pack(">I", count) + bytes(range(count))
        for name, data in (
            (f"{part}-images-idx3-ubyte.gz", images),
            (f"{part}-labels-idx1-ubyte.gz", labels),
        ):
            path = folder / "fashion-mnist" / name
            path.write_bytes(gzip.compress(data))
            pins[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(FormatError, match="SHA-256"):
        fashion_mnist.load_data()
    monkeypatch.setattr(fashion_mnist, "_SHA256", pins)
    (x, y), (x_test, _) = fashion_mnist.load_data()
    assert (x.shape, y.tolist(), x_test.shape) == ((3, 28, 28), [0, 1, 2], (2, 28, 28))


def test_pins_are_hashes() -> None:
    for pin in (cifar10._ARCHIVE.sha256, cifar100._ARCHIVE.sha256, *fashion_mnist._SHA256.values()):
        assert len(pin) == 64
        int(pin, 16)


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(6).reshape(2, 3), y=np.ones(2))
    assert npz.load(path)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    objects: Any = np.array([{}, 3], object)
    np.savez(path, x=objects)
    with pytest.raises(FormatError, match=r"not a \.npz file of numbers"):
        npz.load(path)
    for data in (b"", b"PK\x03\x04 no zip", b"words"):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"not a \.npz file"):
            npz.load(path)
    np.save(tmp_path / "a.npy", np.ones(2))
    with pytest.raises(FormatError, match="a single array"):
        npz.load(tmp_path / "a.npy")
    with pytest.raises(FileNotFoundError):
        npz.load(tmp_path / "nothing.npz")


def test_what_an_npz_declares_is_bounded(tmp_path: Path) -> None:
    """By the memory there is, by what its own bytes can hold, and by the header of each array."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000)), y=np.arange(3))
    assert npz.load(path)["x"].shape == (1000, 1000)
    with pytest.raises(FormatError, match=r"declares 8000\d+ bytes of arrays, the limit is 8000000"):
        npz.load(path, max_bytes=8_000_000)
    whole = path.read_bytes()
    size, claimed = (struct.pack("<I", n) for n in (8_000_128, 0x7FFFFFFF))
    path.write_bytes(whole.replace(size, claimed))
    with pytest.raises(FormatError, match=r"declares 214\d+ bytes of arrays, its \d+ hold"):
        npz.load(path, max_bytes=1 << 40)
    for header in (b"(1000, 9000)", b"(1000, -100)", b"(1000, 100,)"):
        tampered = io.BytesIO()
        np.save(tampered, np.zeros((1000, 1000), np.uint8))
        entry = tampered.getvalue().replace(b"(1000, 1000)", header)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", entry)
        with pytest.raises(FormatError, match=r"not a \.npz file of numbers: .*(declares shape|parse)"):
            npz.load(path)
    for name, content in (("x.npy", b"no array"), ("readme", b"x")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(FormatError, match=r"not a \.npz file"):
            npz.load(path)
