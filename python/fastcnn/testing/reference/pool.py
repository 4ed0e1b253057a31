# SPDX-License-Identifier: Apache-2.0
"""Max, average, sum and Lp pooling and their gradients; x [N, ..., C] of one to three axes.

Padding takes no part: a maximum never sees it and an average divides by the number of real elements in the
window (so for "same" padding, as in Keras), unless `count_include_pad` counts the padding too. The gradient
of a maximum goes to the first greatest element in row-major order of the window; a NaN counts as greater than
every number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcnn.testing.reference.windows import SlidingPool, Windows

Real = NDArray[np.float64]
Shape = tuple[int, ...]


def _real(x: ArrayLike) -> Real:
    return np.asarray(x, np.float64)


def _sliding(shape: Shape, pool_size: Any, strides: Any, padding: Any, **options: Any) -> Windows:
    return Windows.sliding(shape, SlidingPool(pool_size, strides, padding, **options))


def _max_bwd(windows: Windows, dy: ArrayLike, x: ArrayLike) -> Real:
    """Add each dy to the element of x that its window chose."""
    image, gradient = _real(x), _real(dy)
    dx = np.zeros((image.shape[0], int(np.prod(image.shape[1:-1])), image.shape[-1]))
    n, c = np.ix_(range(image.shape[0]), range(image.shape[-1]))
    index = windows.choose(image)
    for position, _ in windows:
        at: Any = (slice(None), *position)
        np.add.at(dx, (n, index[at], c), gradient[at])
    return dx.reshape(image.shape)


def _average(windows: Windows, x: ArrayLike) -> Real:
    y = windows.reduce(_real(x), lambda window: window.sum(axis=1))
    return np.asarray(y / windows.divisors()[..., None])


def _average_bwd(windows: Windows, dy: ArrayLike) -> Real:
    return windows.spread(_real(dy) / windows.divisors()[..., None])


def max_pool2d(
    x: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid", *, dilation_rate: Any = 1,
    ceil_mode: bool = False,
) -> Real:  # fmt: skip
    """Greatest element of each window; NaN if there is one."""
    image = _real(x)
    windows = _sliding(
        image.shape, pool_size, strides, padding, dilation_rate=dilation_rate, ceil_mode=ceil_mode
    )
    return windows.reduce(image, lambda window: window.max(axis=1))


def max_pool2d_bwd(
    dy: ArrayLike, x: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid", *,
    dilation_rate: Any = 1, ceil_mode: bool = False,
) -> Real:  # fmt: skip
    """Add each dy to the element of x that its window chose."""
    windows = _sliding(
        np.shape(x), pool_size, strides, padding, dilation_rate=dilation_rate, ceil_mode=ceil_mode
    )
    return _max_bwd(windows, dy, x)


def average_pool2d(
    x: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid", *, ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Real:  # fmt: skip
    """Mean of the real elements of each window; with `count_include_pad` of the zeros around them too."""
    options = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return _average(_sliding(np.shape(x), pool_size, strides, padding, **options), x)


def average_pool2d_bwd(
    dy: ArrayLike, input_shape: Shape, pool_size: Any, strides: Any = None, padding: Any = "valid", *,
    ceil_mode: bool = False, count_include_pad: bool = False,
) -> Real:  # fmt: skip
    """Share each dy equally among the elements of its window."""
    options = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return _average_bwd(_sliding(input_shape, pool_size, strides, padding, **options), dy)


def sum_pool2d(
    x: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid", *, ceil_mode: bool = False
) -> Real:
    """Sum of the elements of each window."""
    windows = _sliding(np.shape(x), pool_size, strides, padding, ceil_mode=ceil_mode)
    return windows.reduce(_real(x), lambda window: window.sum(axis=1))


def sum_pool2d_bwd(
    dy: ArrayLike, input_shape: Shape, pool_size: Any, strides: Any = None, padding: Any = "valid", *,
    ceil_mode: bool = False,
) -> Real:  # fmt: skip
    """Give each dy to every element of its window."""
    return _sliding(input_shape, pool_size, strides, padding, ceil_mode=ceil_mode).spread(_real(dy))


# Nothing above depends on the number of axes.
max_pool1d = max_pool3d = max_pool2d
max_pool1d_bwd = max_pool3d_bwd = max_pool2d_bwd
average_pool1d = average_pool3d = average_pool2d
average_pool1d_bwd = average_pool3d_bwd = average_pool2d_bwd
sum_pool1d = sum_pool3d = sum_pool2d
sum_pool1d_bwd = sum_pool3d_bwd = sum_pool2d_bwd


def adaptive_max_pool(x: ArrayLike, output_size: Any) -> Real:
    """Greatest element of each of as many windows as the output has elements."""
    windows = Windows.adaptive(np.shape(x), output_size)
    return windows.reduce(_real(x), lambda window: window.max(axis=1))


def adaptive_max_pool_bwd(dy: ArrayLike, x: ArrayLike, output_size: Any) -> Real:
    """Add each dy to the element of x that its window chose."""
    return _max_bwd(Windows.adaptive(np.shape(x), output_size), dy, x)


def adaptive_average_pool(x: ArrayLike, output_size: Any) -> Real:
    """Mean of each of as many windows as the output has elements."""
    return _average(Windows.adaptive(np.shape(x), output_size), x)


def adaptive_average_pool_bwd(dy: ArrayLike, input_shape: Shape, output_size: Any) -> Real:
    """Share each dy equally among the elements of its window."""
    return _average_bwd(Windows.adaptive(input_shape, output_size), dy)


def _image_axes(rank: int) -> tuple[int, ...]:
    return tuple(range(1, rank - 1))


def _kept(dy: ArrayLike, rank: int, keepdims: bool) -> Real:
    """[N, C] as [N, 1, ..., C]."""
    return _real(dy) if keepdims else np.expand_dims(_real(dy), _image_axes(rank))


def global_max_pool(x: ArrayLike, *, keepdims: bool = False) -> Real:
    """Greatest element of each channel of each image."""
    image = _real(x)
    return np.asarray(image.max(axis=_image_axes(image.ndim), keepdims=keepdims))


def global_max_pool_bwd(dy: ArrayLike, x: ArrayLike, *, keepdims: bool = False) -> Real:
    """Add each dy to the first greatest element of its channel."""
    return adaptive_max_pool_bwd(_kept(dy, np.ndim(x), keepdims), x, 1)


def global_average_pool(x: ArrayLike, *, keepdims: bool = False) -> Real:
    """Mean of each channel of each image."""
    image = _real(x)
    return np.asarray(image.mean(axis=_image_axes(image.ndim), keepdims=keepdims))


def global_average_pool_bwd(dy: ArrayLike, input_shape: Shape, *, keepdims: bool = False) -> Real:
    """Share each dy equally among the elements of its channel."""
    gradient = _kept(dy, len(input_shape), keepdims) / np.prod(input_shape[1:-1])
    return np.broadcast_to(gradient, input_shape)


def global_sum_pool(x: ArrayLike, *, keepdims: bool = False) -> Real:
    """Sum of each channel of each image."""
    image = _real(x)
    return np.asarray(image.sum(axis=_image_axes(image.ndim), keepdims=keepdims))


def global_sum_pool_bwd(dy: ArrayLike, input_shape: Shape, *, keepdims: bool = False) -> Real:
    """Give each dy to every element of its channel."""
    return np.broadcast_to(_kept(dy, len(input_shape), keepdims), input_shape)


def lp_pool2d(
    x: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid", *, p: float = 2.0,
    ceil_mode: bool = False,
) -> Real:  # fmt: skip
    """Norm of each window: ``(sum |x|^p)^(1/p)``."""
    windows = _sliding(np.shape(x), pool_size, strides, padding, ceil_mode=ceil_mode)
    return windows.reduce(_real(x), lambda window: (np.abs(window) ** p).sum(axis=1) ** (1.0 / p))


def lp_pool2d_bwd(
    dy: ArrayLike, x: ArrayLike, y: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid",
    *, p: float = 2.0, ceil_mode: bool = False,
) -> Real:  # fmt: skip
    """Add ``dy sign(x) (|x| / y)^(p-1)`` of each window to its elements; nothing where y is 0."""
    image, norm = _real(x), _real(y)
    windows = _sliding(image.shape, pool_size, strides, padding, ceil_mode=ceil_mode)
    scaled = np.where(norm == 0.0, 0.0, _real(dy) / np.where(norm == 0.0, 1.0, norm) ** (p - 1.0))
    return np.asarray(np.sign(image) * np.abs(image) ** (p - 1.0) * windows.spread(scaled))


def max_pool2d_with_index(
    x: ArrayLike, pool_size: Any, strides: Any = None, padding: Any = "valid", *, dilation_rate: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Real, NDArray[np.int64]]:  # fmt: skip
    """Greatest element of each window and its place in the image or the volume, ``h * W + w``."""
    options = {"dilation_rate": dilation_rate, "ceil_mode": ceil_mode}
    windows = _sliding(np.shape(x), pool_size, strides, padding, **options)
    return max_pool2d(x, pool_size, strides, padding, **options), windows.choose(_real(x))


def max_pool2d_with_index_bwd(
    dy: ArrayLike, index: ArrayLike, input_shape: Shape, pool_size: Any, strides: Any = None,
    padding: Any = "valid", *, dilation_rate: Any = 1, ceil_mode: bool = False,
) -> Real:  # fmt: skip
    """Add each dy where `index` says, whatever the windows."""
    count, channels = input_shape[0], input_shape[-1]
    n, _, c = np.ogrid[:count, :1, :channels]
    dx = np.zeros((count, int(np.prod(input_shape[1:-1])), channels))
    np.add.at(dx, (n, np.reshape(index, (count, -1, channels)), c), _real(dy).reshape(count, -1, channels))
    return dx.reshape(input_shape)


max_pool3d_with_index, max_pool3d_with_index_bwd = max_pool2d_with_index, max_pool2d_with_index_bwd


def max_unpool2d(x: ArrayLike, index: ArrayLike, output_shape: Shape) -> Real:
    """Put each x where `index` says; of several for one place the last stays."""
    values, places = _real(x), np.asarray(index)
    n, h, w, c = output_shape
    y = np.zeros((n, h * w, c))
    for i in np.ndindex(values.shape):
        y[i[0], places[i], i[3]] = values[i]
    return y.reshape(output_shape)


def max_unpool2d_bwd(dy: ArrayLike, index: ArrayLike) -> Real:
    """Fetch each dx from where `index` says."""
    gradient, places = _real(dy), np.asarray(index)
    flat = gradient.reshape(gradient.shape[0], -1, gradient.shape[3])
    n, c = np.ogrid[: places.shape[0], : places.shape[3]]
    return np.asarray(flat[n[:, None, None], places, c[None, None]])
