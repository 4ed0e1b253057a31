# SPDX-License-Identifier: Apache-2.0
"""Maximum, mean, sum and norm of windows that slide over sequences, images and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from fastcnn._arguments import Pair, flag, padding_nd, real, sizes
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Layer, Node

if TYPE_CHECKING:
    from typing_extensions import Unpack

Sizes: TypeAlias = int | tuple[int, ...]
Padding: TypeAlias = str | int | tuple[int, ...] | tuple[Pair, ...]


class _Pooling(Layer):
    """``_axes`` spatial axes; ``_op`` is the native operator."""

    _fields: ClassVar[tuple[str, ...]] = ("pool_size", "strides", "padding", "data_format", "ceil_mode")
    _axes: ClassVar[int] = 2
    _op: ClassVar[str]

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: str | None = None,
        *,
        ceil_mode: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.pool_size = self._sizes(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else self._sizes(strides, "strides")
        self.padding = padding_nd(padding, self._where("padding"), self._axes)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))
        self.ceil_mode = flag(ceil_mode, self._where("ceil_mode"))

    def _sizes(self, value: Sizes, argument: str) -> tuple[int, ...]:
        return sizes(value, self._where(argument), self._axes, least=1)

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        window = {name: getattr(self, name) for name in self._fields if name != "data_format"}
        return _axes.laid_out(self.data_format, [{"op": self._op, "axes": self._axes, **window}])


class _MaxPooling(_Pooling):
    _fields = (*_Pooling._fields, "dilation_rate")

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: str | None = None,
        *,
        dilation_rate: Sizes = 1,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)
        self.dilation_rate = self._sizes(dilation_rate, "dilation_rate")


class _AveragePooling(_Pooling):
    _fields = (*_Pooling._fields, "count_include_pad")

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: str | None = None,
        *,
        count_include_pad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)
        self.count_include_pad = flag(count_include_pad, self._where("count_include_pad"))


class MaxPooling1D(_MaxPooling):
    """Largest value of each window, ``[N, L, C]`` to ``[N, P, C]``.

    Parameters and errors are those of `MaxPooling2D`, with one size where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.MaxPooling1D(input_shape=(2, 1))])
    >>> model.predict(np.arange(2).reshape(1, 2, 1), verbose=0).item()
    1.0
    """

    _axes = 1
    _op = "max_pool2d"


class MaxPooling2D(_MaxPooling):
    """Largest value of each window, ``[N, H, W, C]`` to ``[N, P, Q, C]``; formula: `fastcnn.ops.max_pool2d`.

    Parameters
    ----------
    pool_size
        Height and width of the window; a number or a pair.
    strides
        Pixels between windows; None means ``pool_size``.
    padding
        "valid", "same", ``p``, ``(h, w)`` or ``((top, bottom), (left, right))``, each side smaller than the
        window.
    data_format
        "channels_last", which None means, or "channels_first".
    dilation_rate
        Pixels between the taps of a window.
    ceil_mode
        Add a last, clipped window where the strides leave pixels over.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        An argument lies outside its domain or does not fit the input; raised when the input's shape is known.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.MaxPooling2D(3, 2, "same", input_shape=(28, 28, 8))]).output_shape
    (None, 14, 14, 8)
    """

    _op = "max_pool2d"


class MaxPooling3D(_MaxPooling):
    """Largest value of each window, ``[N, D, H, W, C]`` to ``[N, O, P, Q, C]``.

    Parameters and errors are those of `MaxPooling2D`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.MaxPooling3D(input_shape=(2, 2, 2, 1))])
    >>> model.predict(np.arange(8).reshape(1, 2, 2, 2, 1), verbose=0).item()
    7.0
    """

    _axes = 3
    _op = "max_pool3d"


class AveragePooling1D(_AveragePooling):
    """Mean of each window, ``[N, L, C]`` to ``[N, P, C]``.

    Parameters and errors are those of `AveragePooling2D`, with one size where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.AveragePooling1D(input_shape=(2, 1))])
    >>> model.predict(np.arange(2).reshape(1, 2, 1), verbose=0).item()
    0.5
    """

    _axes = 1
    _op = "average_pool2d"


class AveragePooling2D(_AveragePooling):
    """Mean of each window over its pixels inside the image.

    With ``count_include_pad`` the sum is divided by the window's pixels in the padded image instead. The
    other parameters and errors are those of `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.AveragePooling2D(input_shape=(2, 2, 1))])
    >>> model.predict(np.arange(4).reshape(1, 2, 2, 1), verbose=0).item()
    1.5
    """

    _op = "average_pool2d"


class AveragePooling3D(_AveragePooling):
    """Mean of each window, ``[N, D, H, W, C]`` to ``[N, O, P, Q, C]``.

    Parameters and errors are those of `AveragePooling2D`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.AveragePooling3D(input_shape=(2, 2, 2, 1))])
    >>> model.predict(np.arange(8).reshape(1, 2, 2, 2, 1), verbose=0).item()
    3.5
    """

    _axes = 3
    _op = "average_pool3d"


class SumPooling1D(_Pooling):
    """Sum of each window, ``[N, L, C]`` to ``[N, P, C]``.

    Parameters and errors are those of `SumPooling2D`, with one size where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.SumPooling1D(input_shape=(2, 1))])
    >>> model.predict(np.arange(2).reshape(1, 2, 1), verbose=0).item()
    1.0
    """

    _axes = 1
    _op = "sum_pool2d"


class SumPooling2D(_Pooling):
    """Sum of each window. Parameters and errors are those of `MaxPooling2D`, without a dilation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.SumPooling2D(input_shape=(2, 2, 1))])
    >>> model.predict(np.arange(4).reshape(1, 2, 2, 1), verbose=0).item()
    6.0
    """

    _op = "sum_pool2d"


class SumPooling3D(_Pooling):
    """Sum of each window, ``[N, D, H, W, C]`` to ``[N, O, P, Q, C]``.

    Parameters and errors are those of `SumPooling2D`, with three sizes where that takes two.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.SumPooling3D(input_shape=(2, 2, 2, 1))])
    >>> model.predict(np.arange(8).reshape(1, 2, 2, 2, 1), verbose=0).item()
    28.0
    """

    _axes = 3
    _op = "sum_pool3d"


class LPPooling2D(_Pooling):
    """Norm ``(sum |x|^p)^(1/p)`` of each window; formula and gradient: `fastcnn.ops.lp_pool2d`.

    Parameters
    ----------
    p
        A number from 1 to 1e6.
    pool_size, strides, padding, data_format, ceil_mode
        As in `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.LPPooling2D(2, input_shape=(2, 2, 1))])
    >>> model.predict(np.array([3, -4, 0, 0]).reshape(1, 2, 2, 1), verbose=0).item()
    5.0
    """

    _fields = ("p", *_Pooling._fields)
    _op = "lp_pool2d"

    def __init__(
        self,
        p: float,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)
        self.p = real(p, self._where("p"), least=1.0)


class MaxUnpooling2D(Layer):
    """The way back of a `MaxPooling2D`: each value to where the maximum of its window stood, 0 elsewhere.

    M. D. Zeiler et al., "Adaptive deconvolutional networks", 2011. Called on two inputs: what is spread, and
    the output of the `MaxPooling2D` whose places it goes to; the output has the shape of that layer's input.
    Formula: `fastcnn.ops.max_unpool2d`.

    Parameters
    ----------
    data_format
        "channels_last", which None means, or "channels_first".

    Raises
    ------
    ArgumentError, ShapeError
        The second input is not what a `MaxPooling2D` makes, its windows overlap, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Input, Model, layers
    >>> x = Input((2, 2, 1))
    >>> pooled = layers.MaxPooling2D()(x)
    >>> model = Model(x, layers.MaxUnpooling2D()([pooled, pooled]))
    >>> model.predict(np.arange(4).reshape(1, 2, 2, 1), verbose=0).ravel()
    array([0., 0., 0., 3.], dtype=float32)
    """

    _fields = ("data_format",)

    def __init__(self, data_format: str | None = None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))

    def nodes(self) -> list[Node]:
        """One operator, and its layout."""
        if self.data_format == "channels_last":
            return [{"op": "max_unpool2d"}]
        to_end = [{"op": "permute", "to_end": [1], "reads": [each]} for each in (0, 1)]
        return [*to_end, {"op": "max_unpool2d", "reads": [-2, -1]}, {"op": "permute", "from_end": [1]}]
