# SPDX-License-Identifier: Apache-2.0
"""Input, dense, dropout, flatten and rescaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _arguments
from fastcnn._arguments import integer, real
from fastcnn._graph.symbolic import SymbolicTensor
from fastcnn.errors import ArgumentError, DTypeError
from fastcnn.layers import _axes
from fastcnn.layers.base import Common, Idle, Layer, Node, WeightedLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InputLayer(Layer):
    """The shape of one sample. `Input` makes it.

    Parameters
    ----------
    shape
        Sizes without the batch: ``(28, 28, 1)``, ``(784,)``.
    batch_size
        None or a number, without effect: any number of samples may come.
    dtype
        None or the name of a real type, without effect: samples of any are cast as they are read.
    sparse, ragged, optional, input_tensor
        False or None: arrays are dense, and all inputs of a model come.
    batch_shape
        In place of ``shape``, with the batch: ``(None, 28, 28, 1)``.
    """

    _fields = ("shape",)

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Sequence[int | None] | None = None,
        input_tensor: None = None,
        optional: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        for argument, value in (("sparse", sparse), ("ragged", ragged), ("optional", optional)):
            if value:
                raise ArgumentError(f"{self._where(argument)}: {value!r} came, wanted False")
        if input_tensor is not None:
            raise ArgumentError(
                f"{self._where('tensor')}: {type(input_tensor).__name__} came, wanted None: a model may "
                "begin with what any layer gave"
            )
        if (shape is None) == (batch_shape is None):
            raise ArgumentError(f"{self._where('shape')}: wanted either shape or batch_shape")
        if batch_size is not None:
            integer(batch_size, self._where("batch_size"), least=1)
        try:
            real_type = dtype is None or np.can_cast(dtype, np.float64)
        except TypeError:
            real_type = False
        if not real_type:
            raise DTypeError(f"{self._where('dtype')}: {dtype!r} came, wanted the name of a real type")
        if batch_shape is not None:
            where = self._where("batch_shape")
            self.shape = _arguments.shape(_arguments.listed(batch_shape, where, "integers")[1:], where)
        else:
            self.shape = _arguments.shape(shape, self._where("shape"))

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "input", "shape": self.shape}]


def Input(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    tensor: None = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Open a model with the shape of one sample: first in a `Sequential`, or what layers are called on.

    Parameters
    ----------
    shape, batch_size, dtype, batch_shape
        Of one sample, all sizes known; see `layers.InputLayer`.
    sparse, ragged, tensor, optional
        False or None; see there.
    name
        The input's name.

    Raises
    ------
    DTypeError
        A size is not an integer.
    ShapeError
        A size is 0 or negative.

    Examples
    --------
    >>> from fastcnn import Input, Sequential, layers
    >>> Sequential([Input(shape=(28, 28, 1)), layers.Flatten()]).output_shape
    (None, 784)
    """
    made = InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name)
    return SymbolicTensor(made, ())


class Dense(WeightedLayer):
    """Fully connected: ``y[..., k] = activation(sum_c x[..., c] * kernel[c, k] + bias[k])``.

    Parameters
    ----------
    units
        Outputs ``K``.
    activation
        None, a function of `fastcnn.activations`, or its name: "relu", "gelu", "softmax".
    use_bias
        Whether to add ``bias``.
    kernel_initializer, bias_initializer
        What ``kernel [C, K]`` and ``bias [K]`` start from; a name or an object of `fastcnn.initializers`.

    Raises
    ------
    ArgumentError, DTypeError
        ``units`` is not a positive integer, or a name is unknown.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Dense(10, activation="sigmoid", input_shape=(784,))])
    >>> [weights.shape for weights in model.get_weights()]
    [(784, 10), (10,)]
    """

    _fields = ("units", *WeightedLayer._fields)

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.units = integer(units, self._where("units"), least=1)
        self._set_weighted(activation, use_bias, kernel_initializer, bias_initializer)

    def nodes(self) -> list[Node]:
        """The product, then the activation."""
        return [
            {"op": "dense", "units": self.units, "use_bias": self.use_bias},
            *self._activating(),
        ]


class Dropout(Layer):
    """In training, set a share of the elements to 0 and divide the others by ``1 - rate``; else do nothing.

    N. Srivastava et al., JMLR 15, 2014. The masks follow from the model's seed and its step alone: the same
    on every device and for any number of threads.

    Parameters
    ----------
    rate
        Share of elements to drop, in [0, 1).

    Raises
    ------
    ArgumentError
        ``rate`` lies outside [0, 1).

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Dropout(0.5, input_shape=(2,))]).predict([[1, 2]], verbose=0).tolist()
    [[1.0, 2.0]]
    """

    _fields = ("rate",)
    _idle = ("seed", "noise_shape")

    def __init__(self, rate: float, **common: Unpack[Idle]) -> None:
        super().__init__(**common)
        self.rate = real(rate, self._where("rate"), least=0, below=1)

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "dropout", "rate": self.rate}]


class Flatten(Layer):
    """Make one axis of all but the batch: ``[N, H, W, C]`` becomes ``[N, H * W * C]``; nothing is moved.

    Parameters
    ----------
    data_format
        "channels_last", which None means, or "channels_first": the channels, axis 1, are moved to the end
        first, so that the order is that of "channels_last".

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> Sequential([layers.Flatten(input_shape=(4, 4, 3))]).output_shape
    (None, 48)
    """

    _fields = ("data_format",)

    def __init__(self, data_format: str | None = None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.data_format = _axes.data_format(data_format, self._where("data_format"))

    def nodes(self) -> list[Node]:
        """One operator, and the layout of its input."""
        return _axes.laid_out(self.data_format, [{"op": "flatten"}])[:2]


class Rescaling(Layer):
    """``x * scale + offset``. As the first layer it is part of reading the batch and costs nothing.

    Parameters
    ----------
    scale, offset
        Finite numbers; ``Rescaling(1 / 255)`` brings 8-bit pixels to [0, 1].

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Rescaling(1 / 4, offset=-1, input_shape=(2,))])
    >>> model.predict([[0, 8]], verbose=0).tolist()
    [[-1.0, 1.0]]
    """

    _fields = ("scale", "offset")

    def __init__(
        self,
        scale: float,
        offset: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.scale = real(scale, self._where("scale"))
        self.offset = real(offset, self._where("offset"))

    def nodes(self) -> list[Node]:
        """One operator."""
        return [{"op": "rescaling", "scale": self.scale, "offset": self.offset}]
