# SPDX-License-Identifier: Apache-2.0
"""Pictures as arrays and back, by Pillow (extra ``image``), imported only inside the functions.

A file is untrusted: Pillow's formats that run other programs are not asked, sizes are looked at before pixels
are decoded, and whatever a decoder raises becomes a `FormatError` that names the file.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fastcnn._arguments import Array, choose, flag, pair
from fastcnn.errors import ArgumentError, DTypeError, FormatError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = str | bytes | os.PathLike[str] | IO[bytes]

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not EPS, which runs Ghostscript
_LAYOUTS = {"channels_last": False, "channels_first": True}
_FILTERS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}


def load_img(
    path: Source,
    color_mode: str = "rgb",
    target_size: Any = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """Read a picture: BMP, GIF (its first frame), JPEG, PNG, PPM, TIFF or WebP.

    Parameters
    ----------
    path
        The file, or a binary stream.
    color_mode
        "grayscale", "rgb" or "rgba"; grey pictures of more than 8 bits stay what they are.
    target_size
        ``(height, width)`` to scale to; None keeps the picture's.
    interpolation
        Pillow's filter: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos".
    keep_aspect_ratio
        Whether to cut the picture's middle out, in the proportions of ``target_size``, before scaling.

    Returns
    -------
    PIL.Image.Image
        As it is stored: a camera's note on how it was held is left aside, as in Keras.

    Raises
    ------
    FormatError
        It is no picture, is damaged, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    OSError
        The file cannot be opened or read.
    ArgumentError, DTypeError
        Another argument is wrong.
    ImportError
        Pillow is missing.

    Examples
    --------
    >>> from fastcnn import utils
    >>> utils.load_img("cat.jpg", target_size=(224, 224)).size  # doctest: +SKIP
    (224, 224)
    """
    mode = choose(color_mode, MODES, "load_img: color_mode")
    method = choose(interpolation, {name: name for name in _FILTERS}, "load_img: interpolation")
    size = None if target_size is None else pair(target_size, "load_img: target_size", 1)
    crop = flag(keep_aspect_ratio, "load_img: keep_aspect_ratio")
    with opened(path) as picture:
        deep_grey = mode == "L" and picture.mode in ("I;16", "I")
        converted = picture if picture.mode == mode or deep_grey else picture.convert(mode)
        if size is None or (converted.height, converted.width) == size:
            return converted.copy()
        height, width = size
        box = None
        if crop:
            cut_height = min(converted.height, converted.width * height // width)
            cut_width = min(converted.width, converted.height * width // height)
            left, top = (converted.width - cut_width) // 2, (converted.height - cut_height) // 2
            box = (left, top, left + max(cut_width, 1), top + max(cut_height, 1))
        return converted.resize((width, height), getattr(pillow().Resampling, method.upper()), box)


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> Array:
    """A picture as an array.

    Parameters
    ----------
    img
        A ``PIL.Image.Image``, or what NumPy takes for an array of rank 2 or 3.
    data_format
        "channels_last", which None means, or "channels_first".
    dtype
        None means float32. Values stay what they are, 0 to 255 as a rule.

    Returns
    -------
    ``[H, W, C]`` or ``[C, H, W]``.

    Raises
    ------
    ShapeError
        The rank is another one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import utils
    >>> utils.img_to_array(np.zeros((2, 3), np.uint8)).shape
    (2, 3, 1)
    """
    first = _channels_first(data_format, "img_to_array")
    pixels: Array = np.asarray(img, dtype=np.float32 if dtype is None else dtype)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 3:
        raise ShapeError(f"img_to_array: img: shape {pixels.shape} came, wanted rank 2 or 3")
    return pixels.transpose(2, 0, 1) if first else pixels


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Image:
    """An array as a picture.

    Parameters
    ----------
    x
        ``[H, W, C]`` or ``[C, H, W]``, with 1, 3 or 4 channels.
    data_format
        "channels_last", which None means, or "channels_first".
    scale
        Whether the least value becomes 0 and the largest 255; else what lies outside of 0 to 255 is cut off,
        except that one channel with values above 255 becomes a picture of whole numbers.
    dtype
        In which to compute; None means float32.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ShapeError
        Rank or number of channels is another one.
    ArgumentError
        A value is not finite.
    ImportError
        Pillow is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import utils
    >>> utils.array_to_img(np.zeros((2, 3, 1))).size  # doctest: +SKIP
    (3, 2)
    """
    first = _channels_first(data_format, "array_to_img")
    pixels: Array = np.asarray(x, dtype=np.float32 if dtype is None else dtype)
    if pixels.ndim != 3 or not pixels.size:
        raise ShapeError(f"array_to_img: x: shape {pixels.shape} came, wanted a picture of rank 3")
    if first:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.shape[2] not in (1, 3, 4):
        raise ShapeError(f"array_to_img: x: {pixels.shape[2]} channels came, wanted 1, 3 or 4")
    if not np.isfinite(pixels).all():
        raise ArgumentError("array_to_img: x: a value that is not finite came")
    if flag(scale, "array_to_img: scale"):
        pixels = pixels - pixels.min()
        pixels = pixels / (pixels.max() or 1) * 255
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 2 and pixels.max() > 255:
        picture: Image = pillow().fromarray(np.clip(pixels, 0, 2**31 - 128).astype(np.int32))
    else:
        picture = pillow().fromarray(np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    return picture


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture.

    Parameters
    ----------
    path
        The file, or a binary stream; then ``file_format`` is needed.
    x, data_format, scale
        As in `array_to_img`.
    file_format
        "png", "jpeg" ...; None means what the file's name ends in.
    **kwargs
        For Pillow, such as ``quality``.

    Raises
    ------
    ArgumentError
        The format is unknown.
    OSError
        The file cannot be written.
    ShapeError, ImportError
        As in `array_to_img`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import utils
    >>> utils.save_img("grey.png", np.full((8, 8, 1), 128), scale=False)  # doctest: +SKIP
    """
    picture = array_to_img(x, data_format, scale)
    kind = file_format or (Path(path).suffix[1:] if isinstance(path, (str, os.PathLike)) else "")
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(kind.lower(), kind.lower())
    pillow().init()
    if kind.upper() not in pillow().SAVE:
        raise ArgumentError(f"save_img: format {kind!r}, wanted one that Pillow writes, such as 'png'")
    if kind == "jpeg" and picture.mode == "RGBA":
        warnings.warn("save_img: JPEG has no transparency, which is left out", UserWarning, stacklevel=2)
        picture = picture.convert("RGB")
    picture.save(path, format=kind, **kwargs)


def read_pixels(path: Source, color_mode: str, upright: bool = False) -> Array:
    """The pixels of a picture, uint8 ``[H, W, C]``; of 16 bits the upper 8.

    ``upright``: turned as the camera was held, by what it noted in the file.
    """
    with opened(path) as picture:
        if upright:
            picture = _turned(picture)
        if picture.mode.startswith("I"):
            deep = np.asarray(picture)
            picture = pillow().fromarray((np.clip(deep, 0, 65535) >> 8).astype(np.uint8))
        pixels = np.asarray(picture.convert(MODES[color_mode]))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _turned(picture: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


@contextlib.contextmanager
def opened(path: Source) -> Iterator[Image]:
    """A picture, decoded; what goes wrong with it in the block is told of the file."""
    image = pillow()
    name = getattr(path, "name", "a stream") if hasattr(path, "read") else os.fsdecode(_checked(path))
    try:
        with _stream(path) as stream, image.open(stream, formats=_FORMATS) as picture:
            pixels, most = picture.width * picture.height, image.MAX_IMAGE_PIXELS
            if most is not None and pixels > most:
                raise FormatError(
                    name,
                    None,
                    f"{picture.width} x {picture.height} pixels, wanted {most} at most: more would be set by "
                    "PIL.Image.MAX_IMAGE_PIXELS",
                )
            picture.load()
            yield picture
    except (FormatError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:  # the system's; the decoders' have none
            raise
        raise FormatError(name, None, f"not a picture that can be read: {error}") from error
    except Exception as error:  # decoders of hostile files raise all sorts
        raise FormatError(name, None, f"not a picture that can be read: {error}") from error


def pillow() -> Any:
    """``PIL.Image``."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install fastcnn[image]") from error
    return Image


@contextlib.contextmanager
def _stream(path: Any) -> Iterator[IO[bytes]]:
    if hasattr(path, "read"):
        yield path
        return
    # A pipe of this name must not be waited for.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FormatError(os.fsdecode(path), None, "not a regular file, wanted a picture")
        yield file


def _checked(path: Any) -> Any:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise DTypeError(f"load_img: path: {type(path).__name__} came, wanted a path or a binary stream")
    return path


def _channels_first(data_format: str | None, where: str) -> bool:
    return choose(data_format or "channels_last", _LAYOUTS, f"{where}: data_format")
