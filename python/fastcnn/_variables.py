# SPDX-License-Identifier: Apache-2.0
"""The other names that Keras has for weights, of a layer's as of a model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcnn._arguments import Array


class Variables:
    """`get_weights` and its two parts by the names of variables."""

    if TYPE_CHECKING:

        def get_weights(self) -> list[Array]: ...
        @property
        def trainable_weights(self) -> list[Array]: ...
        @property
        def non_trainable_weights(self) -> list[Array]: ...

    @property
    def variables(self) -> list[Array]:
        """What `get_weights` returns."""
        return self.get_weights()

    @property
    def trainable_variables(self) -> list[Array]:
        """What `trainable_weights` returns."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Array]:
        """What `non_trainable_weights` returns."""
        return self.non_trainable_weights
