# SPDX-License-Identifier: Apache-2.0
"""The safetensors format, read and written with NumPy alone.

Layout: the header's length (8 bytes, little-endian), the header (JSON: name -> dtype, shape, data_offsets,
and ``__metadata__``, string -> string), then the tensors in C order, little-endian, without a gap. Beyond the
format, our metadata holds ``format`` = "fastcnn", ``sha256:<name>`` for each tensor and ``sha256`` for the
header (taken with its own digits as zeros), so that a flipped bit anywhere is found. Called by ``io.model``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from io import BufferedReader
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fastcnn.errors import ArgumentError, DTypeError, FormatError
from fastcnn.io.atomic import atomic_write

Path: TypeAlias = str | os.PathLike[str]
Array: TypeAlias = npt.NDArray[Any]

_MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors format
_MAX_RANK = 32  # the smallest limit among the versions of NumPy
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
        "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
    }.items()
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_OTHERS = {b"PK\3\4": "a zip archive", b"\x89HDF\r\n": "an HDF5 file"}  # by their first bytes
_UNSEALED = "0" * 64


class _Entry(NamedTuple):
    """One tensor of a header; ``begin`` and ``end`` count from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def write_safetensors(
    path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays, with a SHA-256 of each, in one step: a reader sees the old file or the new one.

    Parameters
    ----------
    path
        The file. A symbolic link is followed; what stands there is replaced.
    tensors
        Arrays of any shape, strides and byte order: bool, integers, float16, float32 or float64.
    metadata
        Strings to keep beside them. The keys "format", "sha256" and "sha256:..." are taken by this writer.

    Raises
    ------
    DTypeError
        An array's type has no name in the format.
    ArgumentError
        A name or a metadata entry is not a string that can be stored, or a key is taken.
    OSError
        The file cannot be written; an older file of this name is as it was.

    Notes
    -----
    The format: https://huggingface.co/docs/safetensors. Larger items stand first, so every tensor is aligned.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from fastcnn import io
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
    >>> io.write_safetensors(path, {"w": np.eye(2, dtype=np.float32)}, {"author": "me"})
    >>> io.read_safetensors(path)
    ({'w': array([[1., 0.],
           [0., 1.]], dtype=float32)}, {'author': 'me'})
    """
    payload: list[memoryview] = []
    digests = _writable_metadata(metadata or {})
    table: dict[str, Any] = {"__metadata__": digests}
    position = 0
    arrays = [(name, np.asarray(array)) for name, array in tensors.items()]
    for name, array in sorted(arrays, key=lambda item: (-item[1].itemsize, str(item[0]))):
        dtype = array.dtype.newbyteorder("<")
        if not isinstance(name, str) or name == "__metadata__":
            raise ArgumentError(f"write_safetensors: tensor name {name!r}, wanted another string")
        if dtype not in _NAMES:
            wanted = ", ".join(str(known) for known in _NAMES)
            raise DTypeError(f"write_safetensors: tensor {name!r} is {array.dtype}, wanted one of {wanted}")
        raw = np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data
        span = (position, position + raw.nbytes)
        table[name] = {"dtype": _NAMES[dtype], "shape": array.shape, "data_offsets": span}
        digests[f"sha256:{name}"] = hashlib.sha256(raw).hexdigest()
        payload.append(raw)
        position += raw.nbytes

    header = _sealed(table)
    with atomic_write(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for raw in payload:
            file.write(raw)


def _writable_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentError(f"write_safetensors: metadata {key!r}: {value!r}, wanted strings")
        if _is_ours(key):
            raise ArgumentError(f"write_safetensors: the metadata key {key!r} is taken by the format")
    return {"format": "fastcnn", **metadata, "sha256": _UNSEALED}


def _sealed(table: Mapping[str, Any]) -> bytes:
    """The header's bytes with their own SHA-256 in place of the zeros."""
    try:
        header = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"write_safetensors: a name or metadata is not valid Unicode: {error}") from None
    header += b" " * (-len(header) % 8)
    if len(header) > _MAX_HEADER:
        raise ArgumentError(f"write_safetensors: a header of {len(header)} bytes, at most {_MAX_HEADER} fit")
    return _with_seal(header, _UNSEALED, hashlib.sha256(header).hexdigest())


def _with_seal(header: bytes, old: str, new: str) -> bytes:
    # Quotes within JSON strings are escaped, so this text stands only where the key itself does.
    return header.replace(f'"sha256":"{old}"'.encode(), f'"sha256":"{new}"'.encode(), 1)


def _is_ours(key: str) -> bool:
    return key in ("format", "sha256") or key.startswith("sha256:")


def read_safetensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Read a safetensors file of any writer; checksums are verified if fastcnn wrote it.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tensors : dict of numpy.ndarray
        New, writable arrays in the order of the file.
    metadata : dict of str
        Without the entries that `write_safetensors` adds.

    Raises
    ------
    FormatError
        The file is truncated, a checksum fails, the header is not what the format prescribes, or a tensor has
        a type that NumPy lacks (BF16, F8).
    OSError
        The file cannot be opened or read.

    Examples
    --------
    See `write_safetensors`.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        most = min(_MAX_HEADER, max(size - 8, 0))
        if len(prefix) < 8 or not 2 <= length <= most:
            said = f"no safetensors file: a header of {length} bytes, wanted 2 to {most}"
            kind = next((kind for start, kind in _OTHERS.items() if prefix.startswith(start)), None)
            hint = (
                f"; it is {kind}: files of Keras's are not read, but set_weights takes arrays" if kind else ""
            )
            raise FormatError(path, 0, said + hint)
        header = file.read(length)
        metadata, entries = _parse_header(header, path)
        digests = _digests(header, metadata, entries, path)
        held, declared = size - 8 - length, entries[-1].end if entries else 0
        if held != declared:
            raise FormatError(path, 8 + length, f"{held} bytes of tensors, the header declares {declared}")
        tensors = {entry.name: _read_tensor(file, entry, digests, path) for entry in entries}
    if digests is not None:
        metadata = {key: value for key, value in metadata.items() if not _is_ours(key)}
    return tensors, metadata


def _parse_header(header: bytes, path: Path) -> tuple[dict[str, str], list[_Entry]]:
    """Metadata and tensors, the latter in file order and known to lie side by side from 0 on."""
    try:
        text = header.decode()
    except UnicodeDecodeError as error:
        raise FormatError(path, 8 + error.start, "the header is not UTF-8") from None
    table = parse_json(text, path, 8, "header")
    if not text.startswith("{") or not isinstance(table, dict):
        raise FormatError(path, 8, "the header is not a JSON object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(path, 8, "__metadata__ is not an object of strings")
    entries = [_parse_entry(name, info, path) for name, info in table.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    position = 0
    for entry in entries:
        if entry.begin != position:
            what = "overlaps the tensor" if entry.begin < position else "leaves a hole"
            reason = f"tensor {entry.name[:80]!r} begins at {entry.begin} and {what} before it"
            raise FormatError(path, 8 + len(header) + entry.begin, reason)
        position = entry.end
    return metadata, entries


def _parse_entry(name: str, info: Any, path: Path) -> _Entry:
    def refuse(reason: str) -> FormatError:
        return FormatError(path, 8, f"tensor {name[:80]!r}: {reason}")

    if not isinstance(info, dict) or info.keys() != {"dtype", "shape", "data_offsets"}:
        raise refuse("wanted exactly dtype, shape and data_offsets")
    code, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise refuse(f"dtype {str(code)[:20]!r}, wanted one of {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or len(shape) > _MAX_RANK:
        raise refuse(f"the shape is not a list of at most {_MAX_RANK} sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise refuse("data_offsets is not a pair of positions")
    dtype = _DTYPES[code]
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        raise refuse(f"shape {shape} is beyond any memory")
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise refuse(f"{code} of shape {shape} does not fill bytes {offsets[0]} to {offsets[1]}")
    return _Entry(name, dtype, tuple(shape), *offsets)


def _are_sizes(value: Any) -> bool:
    # type(), since a JSON true is an int to isinstance
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= sys.maxsize for item in value)


def _digests(
    header: bytes, metadata: Mapping[str, str], entries: list[_Entry], path: Path
) -> dict[str, str] | None:
    """The tensors' checksums, once that of the header holds; None for another writer's file.

    Any one of our marks makes the file ours, so that a flipped bit in one cannot switch the checks off.
    """
    if metadata.get("format") != "fastcnn" and not any(_is_ours(key) for key in metadata if key != "format"):
        return None
    seal = metadata.get("sha256", "")
    plain = _with_seal(header, seal, _UNSEALED) if re.fullmatch("[0-9a-f]{64}", seal) else b""
    if hashlib.sha256(plain).hexdigest() != seal:
        raise FormatError(path, 8, "checksum mismatch in the header")
    return {entry.name: metadata.get(f"sha256:{entry.name}", "") for entry in entries}


def _read_tensor(file: BufferedReader, entry: _Entry, digests: Mapping[str, str] | None, path: Path) -> Array:
    start = file.tell()
    array = np.empty(entry.shape, entry.dtype)
    raw = array.reshape(-1).view(np.uint8)
    label = f"tensor {entry.name[:80]!r}"
    if file.readinto(raw.data) != raw.size:
        raise FormatError(path, start, f"the file ends within {label}")
    if digests is not None and hashlib.sha256(raw.data).hexdigest() != digests[entry.name]:
        raise FormatError(path, start, f"checksum mismatch in {label}")
    if entry.dtype == np.bool_ and raw.size and raw.max() > 1:
        raise FormatError(path, start, f"{label} is BOOL and holds other bytes than 0 and 1")
    return array


def parse_json(text: str, path: Path, offset: int, what: str) -> Any:
    """JSON without the latitude of ``json.loads``: no duplicate keys, no NaN, no infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key appears twice")
        return table

    def finite(token: str) -> float:
        number = float(token)
        if not math.isfinite(number):
            raise ValueError(f"{token[:20]} is not a finite number")
        return number

    try:
        return json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
    except json.JSONDecodeError as error:
        position = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        raise FormatError(path, offset + position, f"{what}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(path, offset, f"{what}: {error}") from None
