# SPDX-License-Identifier: Apache-2.0
"""Cases of augmentation: images, and the node that changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

FILLS = ("constant", "nearest", "reflect", "wrap")


class AugmentCase(NamedTuple):
    """Images [N, H, W, C] and a node."""

    shape: tuple[int, int, int, int]
    node: Mapping[str, Any]

    def __str__(self) -> str:
        said = [str(self.node.get(key)) for key in ("kind", "fill_mode", "interpolation") if key in self.node]
        return "-".join(["x".join(map(str, self.shape)), *said])


def warp(
    kind: str,
    fill_mode: str = "constant",
    interpolation: str = "bilinear",
    fill_value: float = -3.0,
    **drawn: Any,
) -> dict[str, Any]:
    """A translation, rotation or zoom."""
    shared = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": fill_value}
    bounds = {
        f"{name}_{end}": v
        for name, pair in drawn.items()
        for end, v in zip(("low", "high"), pair, strict=True)
    }
    return {"op": "affine", "kind": kind, **shared, **bounds}


def flip(horizontal: bool = True, vertical: bool = False) -> dict[str, Any]:
    """A mirror."""
    return {"op": "affine", "kind": "flip", "horizontal": horizontal, "vertical": vertical}


def sized(kind: str, height: int, width: int, **options: Any) -> dict[str, Any]:
    """A crop or a resizing."""
    common = {"interpolation": "bilinear", "crop_to_aspect_ratio": False, "center": False}
    return {"op": "affine", "kind": kind, "height": height, "width": width, **common, **options}


def adjust(
    kind: str, low: float, high: float, minimum: float = 0.0, maximum: float = 255.0
) -> dict[str, Any]:
    """Brightness or contrast."""
    limits = {"minimum": minimum, "maximum": maximum}
    return {"op": "adjust", "kind": kind, "factor_low": low, "factor_high": high, **limits}


def erase(
    *fill: float, chance: tuple[float, float] = (1.0, 1.0), scale: tuple[float, float] = (0.1, 0.9)
) -> dict[str, Any]:
    """Rectangles of a value, of one for each channel, or with none of noise."""
    return {
        "op": "erase",
        "factor_low": chance[0],
        "factor_high": chance[1],
        "scale_low": scale[0],
        "scale_high": scale[1],
        "minimum": -4.0,
        "maximum": 2.0,
        "fills": len(fill),
        **{f"fill_{i}": value for i, value in enumerate(fill)},
    }


def mixing(kind: str, low: float, high: float | None = None) -> dict[str, Any]:
    """Means ("up") or boxes ("cut") of pairs."""
    return {"op": "mix", "kind": kind, "alpha_low": low, "alpha_high": low if high is None else high}


# Images of one pixel, row or column too; channels on both sides of a vector.
_SHAPES = ((3, 7, 9, 1), (2, 6, 5, 3), (1, 1, 1, 2), (2, 1, 13, 8), (2, 11, 1, 17), (1, 9, 10, 40))

AFFINE: tuple[AugmentCase, ...] = (
    *(
        AugmentCase(shape, flip(*axes))
        for shape in _SHAPES
        for axes in ((True, False), (False, True), (True, True))
    ),
    *(
        AugmentCase(shape, warp(kind, fill, how, -3.0, **drawn))
        for shape in _SHAPES
        for fill in FILLS
        for how in ("nearest", "bilinear")
        for kind, drawn in (
            ("translation", {"height": (-1.0, 1.0), "width": (-0.6, 0.9)}),
            ("rotation", {"factor": (-1.0, 1.0)}),
            ("zoom", {"height": (-0.9, 1.0)}),
            ("zoom", {"height": (-0.5, -0.2), "width": (-1.0, 1.0)}),
        )
    ),
    *(AugmentCase((2, 6, 7, c), sized("crop", 5, 3)) for c in (1, 3, 16, 33)),
    *(
        AugmentCase((2, 6, 7, c), sized("crop", p, q))
        for c in (1, 5)
        for p, q in ((6, 7), (6, 5), (9, 4), (13, 20))
    ),
    *(
        AugmentCase((2, 6, 7, 3), sized("resize", p, q, **options))
        for p, q in ((3, 14), (13, 5), (6, 7), (1, 1), (4, 4))
        for options in (
            {},
            {"interpolation": "nearest"},
            {"crop_to_aspect_ratio": True},
            {"center": True},
        )
    ),
)  # fmt: skip

ADJUST: tuple[AugmentCase, ...] = tuple(
    AugmentCase(shape, adjust(kind, low, high, -2.0, 2.0))
    for shape in (*_SHAPES, (2, 33, 31, 3), (2, 20, 20, 5))
    for kind, low, high in (("brightness", -0.6, 0.7), ("contrast", 0.2, 1.9))
)

ERASE: tuple[AugmentCase, ...] = (
    *(AugmentCase(shape, erase(*fill)) for shape in _SHAPES for fill in ((), (1.5,))),
    AugmentCase((3, 8, 9, 3), erase(1.0, -2.0, 7.0)),
    AugmentCase((8, 8, 9, 3), erase(chance=(0.2, 0.8), scale=(0.02, 0.33))),
    AugmentCase((3, 8, 9, 3), erase(1.0, scale=(0.0, 0.0))),
    AugmentCase((3, 8, 9, 3), erase(1.0, scale=(1.0, 1.0))),
)

MIX: tuple[AugmentCase, ...] = tuple(
    AugmentCase(shape, node)
    for shape in (*_SHAPES, (16, 5, 4, 3), (33, 3, 3, 2), (300, 2, 2, 1))
    for node in (mixing("up", 0.2), mixing("up", 3.0), mixing("cut", 0.0, 1.0), mixing("cut", 0.4))
)
