# SPDX-License-Identifier: Apache-2.0
"""Flips, translations, rotations, zooms, crops, resizings: exact where pixels move whole, within the bound of
four products elsewhere; the gradient is the transpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from augment_calls import DRAW, SEED, STEP, nodes, result_shape, run, run_bwd

import fastcnn
from fastcnn import _native
from fastcnn.errors import ArgumentError, DTypeError, ShapeError
from fastcnn.testing import reference as ref
from fastcnn.testing.cases.augment import AFFINE, FILLS, AugmentCase, flip, sized, warp
from fastcnn.testing.compare import SUBNORMAL, assert_exact, assert_same_bits, assert_within, gamma
from fastcnn.testing.fill import integers, reals

TAPS = 7  # roundings of a weight, three sums of products, and one to spare


def magnitude(case: AugmentCase, x: np.ndarray) -> np.ndarray:
    node = {**case.node, "fill_value": abs(case.node.get("fill_value", 0.0))}
    return ref.affine(np.abs(x), node, DRAW)


@pytest.mark.parametrize("case", AFFINE, ids=str)
def test_forward(case: AugmentCase, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    bound = gamma(TAPS) * magnitude(case, x) + SUBNORMAL
    assert_within(run(case.node, x), ref.affine(x, case.node, DRAW), bound, str(case))


@pytest.mark.parametrize("case", AFFINE, ids=str)
def test_backward(case: AugmentCase, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    dy = reals(rng, result_shape(case.node, case.shape))
    wanted = ref.affine_bwd(dy, case.shape, case.node, DRAW)
    size = ref.affine_bwd(np.abs(dy), case.shape, case.node, DRAW)
    # A pixel may be shown by every pixel of y.
    terms = 4 * dy.shape[1] * dy.shape[2]
    assert_within(run_bwd(case.node, dy, x), wanted, gamma(terms + 4) * size + SUBNORMAL, str(case))


@pytest.mark.parametrize("case", AFFINE, ids=str)
def test_adjoint_in_whole_numbers(case: AugmentCase, rng: np.random.Generator) -> None:
    """<A x, dy> = <x, A' dy>, exact where the nearest pixels are taken; else the same to rounding."""
    if case.node.get("interpolation") == "bilinear" and case.node["kind"] != "flip":
        case = case._replace(node={**case.node, "interpolation": "nearest"})
    if case.node["kind"] in ("crop", "resize"):
        return
    node = {**case.node, "fill_value": 0.0}
    x, dy = integers(rng, case.shape), integers(rng, result_shape(node, case.shape))
    left = (run(node, x).astype(np.float64) * dy).sum()
    right = (x * run_bwd(node, dy, x).astype(np.float64)).sum()
    assert left == right


@pytest.mark.parametrize("case", AFFINE[::5], ids=str)
@pytest.mark.parametrize("side", ["begin", "end"])
def test_nothing_outside_is_touched(case: AugmentCase, side: Any, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    dy = reals(rng, result_shape(case.node, case.shape))
    assert_same_bits(run(case.node, x, side=side), run(case.node, x), "forward")
    assert_same_bits(run_bwd(case.node, dy, x, side), run_bwd(case.node, dy, x), "backward")


@pytest.mark.parametrize("channels", [1, 3, 4, 8, 9, 16, 40])
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("horizontal", [False, True])
def test_a_flip_is_a_flip(channels: int, vertical: bool, horizontal: bool, rng: np.random.Generator) -> None:
    x = integers(rng, (32, 5, 6, channels))
    y = run(flip(horizontal, vertical), x)
    axes = [axis for axis, flips in ((0, vertical), (1, horizontal)) if flips]
    mirrored = 0
    for got, image in zip(y, x, strict=True):
        other = np.flip(image, axes)
        mirrored += np.array_equal(got, other) and bool(axes)
        assert np.array_equal(got, image) or np.array_equal(got, other)
    assert 5 < mirrored < 27 if axes else mirrored == 0  # of 32, half of them on average


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize(("down", "right"), [(1, -2), (-3, 0), (0, 5), (4, 8), (0, 0)])
def test_whole_translations_move_pixels(
    fill: str, how: str, channels: int, down: int, right: int, rng: np.random.Generator
) -> None:
    x = integers(rng, (2, 4, 8, channels))
    node = warp("translation", fill, how, height=(down / 4,) * 2, width=(right / 8,) * 2)
    pad = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}[fill]
    more = {"constant_values": -3.0} if fill == "constant" else {}
    padded = np.pad(x, ((0, 0), (4, 4), (8, 8), (0, 0)), pad, **more)  # type: ignore[call-overload]
    wanted = padded[:, 4 - down : 8 - down, 8 - right : 16 - right]
    assert_exact(run(node, x), wanted, "moved")


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize("quarters", [-4, -3, -2, -1, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_quarter_turns_are_exact(how: str, quarters: int, channels: int, rng: np.random.Generator) -> None:
    x = integers(rng, (2, 7, 7, channels))
    node = warp("rotation", "constant", how, factor=(quarters / 4,) * 2)
    assert_exact(run(node, x), np.rot90(x, quarters, (1, 2)), "turned")
    assert_exact(run_bwd(node, x, x), np.rot90(x, -quarters, (1, 2)), "turned back")


def test_maps_follow_the_seed_the_step_and_the_image(rng: np.random.Generator) -> None:
    x = np.repeat(integers(rng, (1, 9, 9, 2)), 4, axis=0)
    node = warp("translation", "wrap", "nearest", height=(-1.0, 1.0), width=(-1.0, 1.0))
    described = nodes(node, x.shape[1:])
    a = _native.augment(described, x, 1, 0, True, None)
    assert len({image.tobytes() for image in a}) > 1
    assert_same_bits(_native.augment(described, x, 1, 0, True, None), a, "again")
    assert not np.array_equal(_native.augment(described, x, 2, 0, True, None), a)
    assert not np.array_equal(_native.augment(described, x, 1, 1, True, None), a)
    own = nodes({**node, "seed": 1}, x.shape[1:])
    assert_same_bits(_native.augment(own, x, 5, 0, True, None), a, "a seed of its own")
    # The first images of a longer batch are drawn alike.
    assert_same_bits(_native.augment(described, x[:2], 1, 0, True, None), a[:2], "a part")


def test_all_images_are_cropped_alike(rng: np.random.Generator) -> None:
    image = integers(rng, (1, 12, 13, 3))
    y = run(sized("crop", 4, 5), np.repeat(image, 8, axis=0))
    assert np.all(y == y[:1])


@pytest.mark.parametrize("case", AFFINE[::3], ids=str)
def test_without_training(case: AugmentCase, rng: np.random.Generator) -> None:
    x = reals(rng, case.shape)
    y = run(case.node, x, training=False)
    if case.node["kind"] not in ("crop", "resize"):
        assert_same_bits(y, x, "left alone")
        return
    wanted = ref.affine(x, case.node, DRAW, training=False)
    size = ref.affine(np.abs(x), case.node, DRAW, training=False)
    assert_within(y, wanted, gamma(TAPS) * size + SUBNORMAL, str(case))


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("kind", ["rotation", "flip", "crop"])
def test_same_bits_on_any_number_of_threads(kind: str, rng: np.random.Generator) -> None:
    x = reals(rng, (5, 90, 70, 9))
    node = {
        "rotation": warp("rotation", "reflect", factor=(-1.0, 1.0)),
        "flip": flip(True, True),
        "crop": sized("crop", 64, 60),
    }[kind]
    dy = reals(rng, result_shape(node, x.shape))
    results = []
    for threads in (1, 2, 3, 5):
        fastcnn.set_num_threads(threads)
        results.append((run(node, x), run_bwd(node, dy, x)))
    for y, dx in results[1:]:
        assert_same_bits(y, results[0][0], "forward")
        assert_same_bits(dx, results[0][1], "backward")


def test_far_beyond_the_border(rng: np.random.Generator) -> None:
    """Images of one pixel, which every fill mode but the constant repeats."""
    x = integers(rng, (3, 1, 1, 5))
    for fill in FILLS[1:]:
        node = warp("zoom", fill, height=(1.0, 1.0))
        assert_exact(
            run(node, np.repeat(x, 7, axis=2)), ref.affine(np.repeat(x, 7, axis=2), node, DRAW), fill
        )


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        warp("rotation", factor=(0.5, 0.4)),
        ArgumentError,
        r"factor_high is 0\.4, wanted a number in \[0\.5, 1\]",
    ),
    (warp("rotation", factor=(-2.0, 0.4)), ArgumentError, "factor_low is -2"),
    (warp("rotation", factor=(float("nan"), 0.4)), ArgumentError, "factor_low is nan"),
    (warp("rotation", fill_value=1e39, factor=(0.0, 0.4)), ArgumentError, "fill_value is 1e"),
    (warp("rotation", "edge", factor=(0.0, 0.4)), ArgumentError, "fill_mode"),
    (warp("rotation", "wrap", "cubic", factor=(0.0, 0.4)), ArgumentError, "interpolation"),
    (warp("shear", factor=(0.0, 0.4)), ArgumentError, "kind"),
    (warp("zoom"), ArgumentError, "'height_low' is missing"),
    ({**flip(), "horizontal": 1}, DTypeError, "horizontal"),
    ({**flip(), "seed": -1}, ArgumentError, "seed is -1, wanted 0 or more"),
    (sized("crop", 0, 3), ArgumentError, "height is 0"),
    (sized("resize", 3, 2**25), ArgumentError, "width is 33554432, wanted at most 16777216"),
]


@pytest.mark.parametrize(("node", "error", "message"), BAD)
def test_refused(node: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _native.augment(nodes(node, (3, 3, 1)), np.zeros((1, 3, 3, 1), np.float32), SEED, STEP, True, None)


def test_refused_arrays() -> None:
    described, x = nodes(flip(), (3, 3, 1)), np.zeros((1, 3, 3, 1), np.float32)
    with pytest.raises(ShapeError, match=r"wanted \[height, width, channels\]"):
        _native.augment(nodes(flip(), (3, 1)), x, SEED, STEP, True, None)
    with pytest.raises(ShapeError):
        _native.augment(described, x[:, :2], SEED, STEP, True, None)
    with pytest.raises(DTypeError):
        _native.augment(described, x.astype(np.float64), SEED, STEP, True, None)
    with pytest.raises(ArgumentError, match="seed is -1"):
        _native.augment(described, x, -1, STEP, True, None)
    with pytest.raises(ArgumentError, match="wanted an input and an augmentation"):
        _native.augment([*described, {"op": "relu", "name": "r", "inputs": [1]}], x, SEED, STEP, True, None)
