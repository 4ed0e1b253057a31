# SPDX-License-Identifier: Apache-2.0
"""A function as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastcnn.errors import ArgumentError, DTypeError
from fastcnn.layers.base import Common, Layer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Lambda(Layer):
    """What a function writes with layers, `fastcnn.activations` and ``+ - * /``; run once, as `call` is.

    Parameters
    ----------
    function
        Takes what the layer reads, a list if it is several; returns what layers give. NumPy's functions
        cannot be part of a model.
    output_shape, mask
        For Keras's sake: the shape follows from the function; None.
    arguments
        More arguments of the function, by name.

    Raises
    ------
    DTypeError
        ``function`` is none, or ``arguments`` is no dict.

    Examples
    --------
    >>> from fastcnn import Sequential, layers
    >>> model = Sequential([layers.Lambda(lambda x: x / 255 - 0.5, input_shape=(2,))])
    >>> model.predict([[0, 255]], verbose=0).tolist()
    [[-0.5, 0.5]]
    """

    _fields = ("function", "arguments")

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: None = None,
        arguments: Mapping[str, Any] | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if not callable(function):
            raise DTypeError(f"{self._where('function')}: {function!r} came, wanted a function")
        if arguments is not None and not isinstance(arguments, Mapping):
            raise DTypeError(f"{self._where('arguments')}: {arguments!r} came, wanted a dict")
        if mask is not None:
            raise ArgumentError(f"{self._where('mask')}: {mask!r} came, wanted None")
        self.function, self.arguments = function, dict(arguments or {})

    def call(self, inputs: Any) -> Any:
        """The function."""
        return self.function(inputs, **self.arguments)
