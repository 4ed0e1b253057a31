# SPDX-License-Identifier: Apache-2.0
"""What all optimizers share: settings, the learning rate, and updates of plain arrays.

In a model an optimizer is its settings alone; slots and step counter live there, natively. On plain arrays it
keeps them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, TypeVar

import numpy as np

from fastcnn import _native
from fastcnn._absent import unexpected
from fastcnn._arguments import Array, flag, integer, listed, real
from fastcnn._config import Configurable, serialize
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.optimizers.schedules import LearningRateSchedule
from fastcnn.optimizers.schedules import get as get_schedule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

O = TypeVar("O", bound="Optimizer")  # noqa: E741

_WORTH_ASKING = 1 << 18  # bytes that take longer to copy than to compare with many variables


class Common(TypedDict, total=False):
    """The keyword arguments that every optimizer takes; `Optimizer` says what they do."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Optimizer(Configurable):
    """Base of all optimizers. An update takes gradients ``g`` to new weights ``w`` in this order.

    1. With ``gradient_accumulation_steps`` only every so many steps make an update, with the mean of their
       gradients.
    2. One of the three clips: ``clipvalue`` each element to ``[-clipvalue, clipvalue]``, ``clipnorm`` each
       variable's gradient to at most this Euclidean norm, ``global_clipnorm`` all of them together.
    3. ``w -= learning_rate * weight_decay * w``, apart from the gradient.
    4. The optimizer's own formula.
    5. With ``use_ema`` an average follows: ``average = ema_momentum * average + (1 - ema_momentum) * w``,
       the first one being ``w``. Every ``ema_overwrite_frequency`` updates ``w = average``; `fit` ends so
       too.

    Parameters
    ----------
    learning_rate
        0 or more, or a schedule of `optimizers.schedules`.
    weight_decay
        None, or 0 or more.
    clipnorm, clipvalue, global_clipnorm
        None, or above 0; at most one of them.
    use_ema, ema_momentum, ema_overwrite_frequency
        The average of the weights; the momentum in [0, 1], the frequency None or 1 or more.
    loss_scale_factor
        What the gradients given to `apply` are divided by. `fit` computes in float32 and needs none.
    gradient_accumulation_steps
        None, or 1 or more.
    name
        The class's name in lower case if None.

    Raises
    ------
    ArgumentError, DTypeError
        An argument is not of its domain.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "name", "learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema",
        "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
    )  # fmt: skip
    _kind: ClassVar[str]  # of the native formula

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        weight_decay: float | None = None,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: object,
    ) -> None:
        for argument in unknown:
            raise unexpected(type(self).__name__, argument, self._fields)
        self.name = type(self).__name__.lower() if name is None else str(name)
        self._rate: float | LearningRateSchedule = 0.0
        self.learning_rate = learning_rate  # type: ignore[assignment]
        self.weight_decay = self._optional(weight_decay, "weight_decay")
        self.clipnorm = self._optional(clipnorm, "clipnorm")
        self.clipvalue = self._optional(clipvalue, "clipvalue")
        self.global_clipnorm = self._optional(global_clipnorm, "global_clipnorm")
        self.use_ema = flag(use_ema, self._where("use_ema"))
        self.ema_momentum = real(ema_momentum, self._where("ema_momentum"), least=0)
        self.ema_overwrite_frequency = self._count(ema_overwrite_frequency, "ema_overwrite_frequency")
        self.loss_scale_factor = self._optional(loss_scale_factor, "loss_scale_factor")
        self.gradient_accumulation_steps = self._count(
            gradient_accumulation_steps, "gradient_accumulation_steps"
        )
        if sum(value is not None for value in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ArgumentError(
                f"{type(self).__name__}: several of clipnorm, clipvalue and global_clipnorm came, wanted one"
            )
        if self.ema_momentum > 1:
            raise ArgumentError(f"{self._where('ema_momentum')}: {ema_momentum} came, wanted 0 to 1")
        self._excluded: list[str] = []  # from weight decay
        self._steps = 0
        self._variables: list[Array] = []
        self._apart = True  # each of them owns its memory
        self._names: list[str] = []
        self._slots: list[list[Array]] = []

    def _where(self, argument: str) -> str:
        return f"{type(self).__name__}: {argument}"

    def _optional(self, value: object, argument: str) -> float | None:
        return None if value is None else real(value, self._where(argument), least=0)

    def _count(self, value: object, argument: str) -> int | None:
        return None if value is None else integer(value, self._where(argument), least=1)

    def _share(self, value: object, argument: str) -> float:
        return real(value, self._where(argument), least=0, below=1)

    def _positive(self, value: object, argument: str) -> float:
        number = real(value, self._where(argument), least=0)
        if number == 0:
            raise ArgumentError(f"{self._where(argument)}: 0 came, wanted a number above 0")
        return number

    # The learning rate

    @property
    def learning_rate(self) -> float:
        """Step size, 0 or more; of a schedule that of the next step. The next batch uses what is assigned.

        Assigning a number where a schedule was given raises `DTypeError`, as in Keras.
        """
        return self._rate if isinstance(self._rate, float) else float(self._rate(self._steps))

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if isinstance(value, (LearningRateSchedule, Mapping)):
            self._rate = get_schedule(value)
            return
        number = real(value, self._where("learning_rate"), least=0)
        if isinstance(self._rate, LearningRateSchedule):
            raise DTypeError(
                f"{self._where('learning_rate')}: {number} came, but the rate follows a schedule, wanted "
                "another schedule"
            )
        self._rate = number

    @property
    def schedule(self) -> LearningRateSchedule | None:
        """The schedule that the learning rate follows, if it does."""
        return self._rate if isinstance(self._rate, LearningRateSchedule) else None

    @property
    def iterations(self) -> int:
        """Updates made so far, in the model that used it last or by `apply`."""
        return self._steps // (self.gradient_accumulation_steps or 1)

    def follow(self, steps: int, learning_rate: float | None = None) -> None:
        """Be told a model's steps, from where a schedule goes on, and the rate of its state."""
        self._steps = steps
        if learning_rate is not None and isinstance(self._rate, float):
            self._rate = learning_rate

    def rates(self, count: int) -> Array | None:
        """Of the next steps; None without a schedule."""
        return None if isinstance(self._rate, float) else self._rate.rates(self._steps, count)

    # Settings

    def exclude_from_weight_decay(
        self, var_list: Iterable[str] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of the weight decay. Call it before `compile`.

        Parameters
        ----------
        var_list
            Full names, as in ``["conv2d/kernel"]``.
        var_names
            Regular expressions; a variable is left out if one occurs in its full name. ``["bias"]`` leaves
            out all biases.

        Examples
        --------
        >>> from fastcnn import optimizers
        >>> adamw = optimizers.AdamW()
        >>> adamw.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        """
        where = f"{type(self).__name__}: exclude_from_weight_decay"
        exact = [] if var_list is None else listed(var_list, f"{where}: var_list", "names")
        patterns = [] if var_names is None else listed(var_names, f"{where}: var_names", "names")
        for each in (*exact, *patterns):
            if not isinstance(each, str):
                raise DTypeError(f"{where}: {each!r} came, wanted a string")
        self._excluded = [*(f"^{re.escape(each)}$" for each in exact), *patterns]
        try:
            re.compile("|".join(self._excluded))
        except re.error as error:
            raise ArgumentError(f"{where}: var_names: {error}") from None

    def _decays(self, name: str) -> bool:
        return not (self._excluded and any(re.search(pattern, name) for pattern in self._excluded))

    def _matrix(self, name: str, shape: Sequence[int]) -> tuple[int, int] | None:
        """The sides of the matrix that a variable is to Muon; None if it is none."""
        return None

    def native(self, parameters: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The description that the native module reads, for a model with these parameters."""
        config = {**self.get_config(), "name": self._kind, "learning_rate": self.learning_rate}
        found = list(parameters)
        config["no_decay"] = [i for i, each in enumerate(found) if not self._decays(each["name"])]
        sides = [self._matrix(each["name"], each["shape"]) for each in found]
        matrices = [(i, *side) for i, side in enumerate(sides) if side is not None]
        return {**config, "matrices": matrices} if matrices else config

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values, and what was excluded from weight decay."""
        config = {
            field: serialize(self._rate)
            if field == "learning_rate" and isinstance(self._rate, LearningRateSchedule)
            else value
            for field, value in super().get_config().items()
        }
        return {**config, "excluded": list(self._excluded)} if self._excluded else config

    @classmethod
    def from_config(cls: type[O], config: Mapping[str, Any]) -> O:
        """Make an optimizer from what `get_config` gave."""
        arguments = dict(config)
        excluded = arguments.pop("excluded", None)
        made = super().from_config(arguments)
        if excluded is not None:
            made.exclude_from_weight_decay(var_names=excluded)
        return made

    # Plain arrays

    def build(self, variables: Iterable[Array], names: Iterable[str] | None = None) -> None:
        """Begin anew with these arrays, which `apply` will change in place.

        Parameters
        ----------
        variables
            Float32, C-contiguous, writable.
        names
            As the rules of weight decay and of Muon read them.
        """
        arrays = [self._proven(each, f"variable {i}") for i, each in enumerate(variables)]
        known = [""] * len(arrays) if names is None else [str(each) for each in names]
        if len(known) != len(arrays):
            raise ArgumentError(f"{type(self).__name__}: {len(arrays)} variables and {len(known)} names came")
        values = _native.optimizer_slots(self.native())
        self._slots = [[np.full(each.shape, value, np.float32) for value in values] for each in arrays]
        self._variables, self._names, self._steps = arrays, known, 0
        self._apart = all(each.flags.owndata for each in arrays)

    def apply(self, grads: Iterable[ArrayLike], trainable_variables: Iterable[Array] | None = None) -> None:
        """One step on arrays of your own, in place.

        Parameters
        ----------
        grads
            One for each variable, of its shape.
        trainable_variables
            The arrays given to `build`, which is called if it was not; None: those.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            Something does not fit; nothing has changed.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn import optimizers
        >>> weights = np.array([1.0, 2.0], np.float32)
        >>> sgd = optimizers.SGD(0.5)
        >>> sgd.apply([np.array([2.0, 2.0])], [weights])
        >>> weights
        array([0., 1.], dtype=float32)
        """
        if trainable_variables is not None:
            given = list(trainable_variables)
            if not self._variables:
                self.build(given)
            if [id(each) for each in given] != [id(each) for each in self._variables]:
                raise ArgumentError(
                    f"{type(self).__name__}: other variables came than apply() began with; a model gives "
                    "copies: weights = model.trainable_weights once, then in each step apply(gradients, "
                    "weights) and model.trainable_weights = weights"
                )
        variables = {id(each) for each in self._variables}
        gradients = [self._gradient(each, variables) for each in grads]
        shapes = [each.shape for each in gradients]
        wanted = [each.shape for each in self._variables]
        if shapes != wanted or not wanted:
            raise ShapeError(f"{type(self).__name__}: gradients of shapes {shapes} came, wanted {wanted}")
        if self.loss_scale_factor:
            gradients = [each / np.float32(self.loss_scale_factor) for each in gradients]
        self._update(gradients)
        self._steps += 1

    def _gradient(self, value: ArrayLike, variables: set[int]) -> Array:
        """The array itself, if it is only read and lies apart from the variables, whose ids these are.

        Else a copy. Two arrays that own their memory share none, unless they are one; of others that are
        small a copy costs less than the question.
        """
        given = np.asarray(value, np.float32, order="C")
        changes = self.clipnorm or (self.gradient_accumulation_steps or 1) > 1
        if not changes and self._apart and given.flags.owndata and id(given) not in variables:
            return given
        if changes or given.nbytes < _WORTH_ASKING:
            return given.copy()
        shared = any(np.may_share_memory(given, each) for each in self._variables)
        return given.copy() if shared else given

    def _update(self, gradients: list[Array]) -> None:
        rate = self.learning_rate  # may raise, of a schedule of one's own
        steps = self.gradient_accumulation_steps or 1
        if steps > 1:
            for gradient, slots in zip(gradients, self._slots, strict=True):
                _native.accumulate(gradient, slots[-1], steps, self._steps)
        if (self._steps + 1) % steps:
            return
        for gradient in gradients if self.clipnorm else ():
            _native.clip_norm(gradient, self.clipnorm)
        if self.global_clipnorm:
            flat = np.concatenate([each.ravel() for each in gradients])
            _native.clip_norm(flat, self.global_clipnorm)
            ends = np.cumsum([each.size for each in gradients])[:-1]
            gradients = [
                part.reshape(each.shape) for part, each in zip(np.split(flat, ends), gradients, strict=True)
            ]
        variables = [
            (variable, gradient, slots, self._decays(name), self._matrix(name, variable.shape))
            for variable, gradient, slots, name in zip(
                self._variables, gradients, self._slots, self._names, strict=True
            )
        ]
        _native.optimizer_step(self.native(), variables, self._steps, rate)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[ArrayLike, Array]]) -> None:
        """`apply` on pairs of a gradient and its variable."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def finalize_variable_values(self, var_list: Iterable[Array]) -> None:
        """With ``use_ema`` the variables given to `build` become their averages."""
        given = list(var_list)
        if [id(each) for each in given] != [id(each) for each in self._variables]:
            raise ArgumentError(f"{type(self).__name__}: other variables came than build() was given")
        average = -2 if (self.gradient_accumulation_steps or 1) > 1 else -1
        for variable, slots in zip(given, self._slots, strict=True):
            if self.use_ema and self.iterations:
                variable[...] = slots[average]

    def _proven(self, value: object, what: str) -> Array:
        good = isinstance(value, np.ndarray) and value.dtype == np.float32
        if not (good and value.flags.c_contiguous and value.flags.writeable and value.size):  # type: ignore[attr-defined]
            raise DTypeError(
                f"{type(self).__name__}: {what} is no writable, C-contiguous float32 array with elements"
            )
        return value  # type: ignore[return-value]
