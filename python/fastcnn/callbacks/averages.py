# SPDX-License-Identifier: Apache-2.0
"""Evaluating with the averages of the weights that an optimizer keeps."""

from __future__ import annotations

from fastcnn import _native
from fastcnn._arguments import flag
from fastcnn.callbacks.base import Callback, Logs
from fastcnn.errors import ArgumentError


class SwapEMAWeights(Callback):
    """Use the optimizer's averages of the weights in evaluations, predictions and, if asked for, checkpoints.

    Weights and averages change places when an evaluation or a prediction begins, and again when it ends. The
    optimizer must have ``use_ema=True``.

    Parameters
    ----------
    swap_on_epoch
        Whether they also change places at the end of each epoch, until the next one begins, so that callbacks
        after this one save the averages.

    Examples
    --------
    >>> from fastcnn import Sequential, callbacks, layers, optimizers
    >>> model = Sequential([layers.Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    >>> history = model.fit([[1.0]], [[2.0]], epochs=2, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = flag(swap_on_epoch, "SwapEMAWeights: swap_on_epoch")
        self._inside = False  # the averages are in the model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Look whether there are averages."""
        self._check()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Training goes on with the weights."""
        if self._inside:
            self._swap()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Put the averages in, if that was asked for."""
        if not self.swap_on_epoch or self._inside:
            return
        self._swap()
        if epoch == self.params["epochs"] - 1:
            self._swap(both=True)  # fit ends by taking over the averages, and these stand in the model

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Put the averages in."""
        self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Put the weights back."""
        self._swap()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Put the averages in."""
        self._swap()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Put the weights back."""
        self._swap()

    def _check(self) -> None:
        if not self.model.optimizer.use_ema:
            raise ArgumentError("SwapEMAWeights: the optimizer keeps no averages; give it use_ema=True")

    def _swap(self, both: bool = False) -> None:
        self._check()
        optimizer, network = self.model.optimizer, self.model._bind()
        state = self.model.get_state()
        if not state["step"]:
            return  # no average has been taken
        slots = len(_native.optimizer_slots(optimizer.native()))
        slot = slots - 1 - ((optimizer.gradient_accumulation_steps or 1) > 1)
        for index in network.trained():
            name = network.parameters[index].name
            weights, average = f"parameters/{name}", f"optimizer/slot{slot}/{name}"
            if both:
                state[average] = state[weights]
            else:
                state[weights], state[average] = state[average], state[weights]
        self.model.set_state(state)
        self._inside = both or not self._inside
