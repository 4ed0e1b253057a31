# SPDX-License-Identifier: Apache-2.0
"""Pictures of a training run, drawn by matplotlib (extra ``plot``), imported only inside the functions.

Each function returns a ``matplotlib.figure.Figure`` that belongs to no window and no global state, so it
works without a display, in threads and in notebooks; ``path`` saves it too (PNG, PDF or SVG, by the ending).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastcnn.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Path = str | os.PathLike[str]

_TRAINING, _VALIDATION = "#2b6cb0", "#dd6b20"  # told apart by colour-blind readers, and in grey
_TICKS = [0, 0.001, 0.01, 0.1, 0.5, 1]  # of the colour bar
_ANNOTATED = 32  # classes; beyond it the numbers would not be legible


def learning_curves(history: Any, path: Path | None = None) -> Figure:
    """Draw each metric over the epochs, training and validation in one panel.

    Parameters
    ----------
    history
        What ``fit`` returned, or its dictionary: name -> one value per epoch. "val_x" joins the panel of "x".
    path
        File to save the picture to.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        There is no metric with at least one epoch.
    ShapeError
        A metric is not a list of numbers.
    ImportError
        matplotlib is missing.

    Examples
    --------
    >>> from fastcnn import visualize
    >>> figure = visualize.learning_curves({"loss": [0.3, 0.1], "val_loss": [0.2, 0.15]})
    >>> figure.axes[0].get_title()
    'loss'
    """
    curves = _curves(getattr(history, "history", history))
    panels = [name for name in curves if not (name.startswith("val_") and name[4:] in curves)]
    figure = _figure(4.8 * len(panels), 3.6)

    from matplotlib.ticker import MaxNLocator

    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for label, key, colour in (("training", name, _TRAINING), ("validation", f"val_{name}", _VALIDATION)):
            if key in curves:
                epochs = np.arange(1, len(curves[key]) + 1)
                axes.plot(
                    epochs, curves[key], color=colour, label=label, marker="o", markersize=4, linewidth=2
                )
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.set_xlim(0.75, len(curves[name]) + 0.25)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="best", frameon=False)  # said, lest a slow machine warn
    return _saved(figure, path)


def confusion_matrix(
    matrix: npt.ArrayLike,
    path: Path | None = None,
    class_names: Sequence[str] | None = None,
    normalize: bool = False,
) -> Figure:
    """Draw a confusion matrix as an annotated heat map: rows are true classes, columns predicted ones.

    A cell's colour is its share of the row on a cube-root scale, on which a few errors in a thousand still
    show; its number is the count, or the share in percent with ``normalize``.

    Parameters
    ----------
    matrix
        Non-negative counts [K, K], from `fastcnn.math.confusion_matrix`.
    path
        File to save the picture to.
    class_names
        K names; by default 0 to K - 1.
    normalize
        Annotate with percent of the row in place of counts.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        The matrix is not square, or there are not K names.
    DTypeError
        The matrix does not hold real numbers.
    ArgumentError
        A count is negative or not finite.
    ImportError
        matplotlib is missing.

    Examples
    --------
    >>> from fastcnn import visualize
    >>> figure = visualize.confusion_matrix([[9, 1], [0, 10]], class_names=["cat", "dog"])
    >>> figure.axes[0].get_ylabel()
    'true class'
    """
    counts = _counts(matrix)
    classes = len(counts)
    names = [str(number) for number in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ShapeError(f"visualize.confusion_matrix: {len(names)} class_names for {classes} classes")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.5 * min(max(classes, 4), _ANNOTATED)
    figure = _figure(side + 0.6, side)

    from matplotlib.colors import PowerNorm

    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(1 / 3, vmin=0, vmax=1))
    right, total = np.trace(counts), counts.sum()
    axes.set_title(f"{right} of {total} right ({100 * right / max(total, 1):.2f} %)")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if classes <= _ANNOTATED:
        rotation = 45 if max(map(len, names)) > 4 else 0
        axes.set_xticks(range(classes), names, rotation=rotation, ha="right" if rotation else "center")
        axes.set_yticks(range(classes), names)
        _annotate(axes, 100 * shares if normalize else counts, np.cbrt(shares))
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=axes, shrink=0.8, format=lambda share, _: f"{100 * share:g} %", ticks=_TICKS
    )
    bar.set_label("share of the true class" + (" (numbers in percent)" if normalize else ""))
    bar.outline.set_visible(False)
    return _saved(figure, path)


def feature_maps(maps: npt.ArrayLike, path: Path | None = None, title: str | None = None) -> Figure:
    """Draw the channels of one image at one layer, side by side in grey, each from its least to its largest.

    Parameters
    ----------
    maps
        Real numbers [H, W, C].
    path
        File to save the picture to.
    title
        Stands above it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, DTypeError
        It is something else.
    ImportError
        matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import visualize
    >>> figure = visualize.feature_maps(np.zeros((6, 8, 5)), title="conv2d")
    >>> figure.axes[0].get_title()
    'conv2d'
    """
    channels = np.asarray(maps)
    if channels.ndim != 3 or not channels.size:
        raise ShapeError(f"visualize.feature_maps: maps of shape {channels.shape}, wanted [H, W, C]")
    if channels.dtype.kind not in "biuf":
        raise DTypeError(f"visualize.feature_maps: maps of dtype {channels.dtype}, wanted real numbers")
    values = np.nan_to_num(channels.astype(np.float64), nan=0, posinf=0, neginf=0)
    height, width, count = values.shape
    least = values.min(axis=(0, 1))
    shades = (values - least) / np.maximum(values.max(axis=(0, 1)) - least, np.finfo(np.float64).tiny)
    columns = max(1, round(np.sqrt(count * height / width)))
    rows = -(-count // columns)
    gap = max(1, width // 16)
    mosaic = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap))
    for channel in range(count):
        row, column = divmod(channel, columns)
        top, left = row * (height + gap), column * (width + gap)
        mosaic[top : top + height, left : left + width] = shades[..., channel]
    side = 8 / max(mosaic.shape)
    figure = _figure(max(2.0, side * mosaic.shape[1]), max(2.0, side * mosaic.shape[0] + 0.4))
    axes = figure.subplots()
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title)
    return _saved(figure, path)


def _annotate(axes: Any, values: npt.NDArray[Any], darkness: npt.NDArray[Any]) -> None:
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if darkness[row, column] > 0.6 else "#1a202c" if value else "#a0aec0"
        text = f"{value:.1f}" if value % 1 else f"{value:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)


def _curves(history: Any) -> dict[str, list[float]]:
    if not isinstance(history, Mapping):
        raise DTypeError(
            f"learning_curves: history is a {type(history).__name__}, wanted a History or a dict"
        )
    curves = {}
    for name, values in history.items():
        try:
            curves[str(name)] = [float(value) for value in values]
        except (TypeError, ValueError):
            raise ShapeError(f"learning_curves: {name!r} is not one number per epoch") from None
    if not any(curves.values()):
        raise ArgumentError("learning_curves: the history has no epoch")
    return curves


def _counts(matrix: npt.ArrayLike) -> npt.NDArray[Any]:
    counts: npt.NDArray[Any] = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(f"visualize.confusion_matrix: matrix of shape {counts.shape}, wanted [K, K]")
    if counts.dtype.kind not in "iuf":
        raise DTypeError(f"visualize.confusion_matrix: matrix of dtype {counts.dtype}, wanted real numbers")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ArgumentError("visualize.confusion_matrix: the matrix has a negative or non-finite count")
    return counts


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install fastcnn[plot]") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _saved(figure: Figure, path: Path | None) -> Figure:
    if path is not None:
        figure.savefig(path)
    return figure
