# SPDX-License-Identifier: Apache-2.0
"""How a node of a native network is evaluated in float64, by operator: for `fastcnn.testing.graph`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastcnn.testing import reference

Real: TypeAlias = NDArray[np.float64]
Node: TypeAlias = Mapping[str, Any]


class Backward(NamedTuple):
    """Gradients of a node's inputs and of its parameters."""

    inputs: list[Real]
    parameters: list[Real]


class NodeReference(NamedTuple):
    """One operator: ``forward(node, inputs, parameters)``, ``backward(node, dy, inputs, parameters, y)``.

    `parameters` lists the roles of a node's parameters in the order of the layer's weights.
    """

    forward: Callable[[Node, list[Real], list[Real]], Any]
    backward: Callable[[Node, Real, list[Real], list[Real], Real], Backward]
    parameters: Callable[[Node], tuple[str, ...]] = lambda node: ()


def _kernel_and_bias(node: Node) -> tuple[str, ...]:
    return ("kernel", "bias") if node["use_bias"] else ("kernel",)


def _options(node: Node, *keys: str) -> dict[str, Any]:
    return {key: node[key] for key in keys}


def _convolution(op: str) -> NodeReference:
    """Of any kind and rank."""
    forward, dgrad, wgrad = (getattr(reference, f"{op}{end}") for end in ("", "_dgrad", "_wgrad"))
    keys = ["strides", "padding", "dilation_rate"]
    keys += [] if op.startswith("depthwise") else ["groups"]
    keys += ["output_padding"] if op.endswith("transpose") else []

    def options(node: Node) -> dict[str, Any]:
        return {key: node[key] for key in keys if key in node}

    def bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
        own = [wgrad(x[0], dy, node["kernel_size"], **options(node))]
        own += [reference.conv2d_bias_bwd(dy)] if node["use_bias"] else []
        return Backward([dgrad(dy, w[0], x[0].shape, **options(node))], own)

    def parameters(node: Node) -> tuple[str, ...]:
        kernel = node.get("kernel_role", "kernel")
        return (kernel, "bias") if node["use_bias"] else (kernel,)

    return NodeReference(lambda node, x, w: forward(x[0], *w, **options(node)), bwd, parameters)


def _dense(node: Node, x: list[Real], w: list[Real]) -> Real:
    y = reference.dense(x[0].reshape(-1, x[0].shape[-1]), w[0], w[1] if node["use_bias"] else None)
    return np.asarray(y).reshape(*x[0].shape[:-1], -1)


def _dense_bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
    dx, dw, db = reference.dense_bwd(dy.reshape(-1, dy.shape[-1]), x[0].reshape(-1, x[0].shape[-1]), w[0])
    return Backward([dx.reshape(x[0].shape)], [dw, db] if node["use_bias"] else [dw])


def unary(
    forward: Callable[..., Any], backward: Callable[..., Any], reads: str, *options: str
) -> NodeReference:
    """A node of one input and no parameters.

    Its backward function takes dy and the input (``reads="x"``), the output ("y"), the input's shape
    ("shape") or nothing (""), and the node's `options`, as its forward function does.
    """

    def bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
        read: dict[str, tuple[Any, ...]] = {"x": (x[0],), "y": (y,), "shape": (x[0].shape,), "": ()}
        return Backward([np.asarray(backward(dy, *read[reads], **_options(node, *options)))], [])

    return NodeReference(lambda node, x, w: forward(x[0], **_options(node, *options)), bwd)


def _activation(name: str) -> NodeReference:
    """An elementwise one; its parameters are attributes of the node."""
    forward, backward = reference.ELEMENTWISE[name], getattr(reference, f"{name}_bwd")
    options = [key for key in inspect.signature(forward).parameters if key not in ("x", "approximate")]
    if name == "gelu":
        forward, backward = partial(forward, approximate=False), partial(backward, approximate=False)
    return unary(forward, backward, "x" if reference.saves_x(backward) else "y", *options)


def _linear_merge(op: str, sign: float = 1.0) -> NodeReference:
    """A sum, difference or mean of all inputs, whose gradient reads none of them."""

    def forward(node: Node, x: list[Real], w: list[Real]) -> Real:
        y = x[0]
        for each in _aligned(x)[1:]:
            y = reference.add(_aligned([y, each])[0], sign * each)
        return y / (len(x) if op == "average" else 1)

    def backward(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
        share = dy / (len(x) if op == "average" else 1)
        summed = [reference.add_bwd(share, each.shape) for each in _aligned(x)]
        signed = [dx if k == 0 else sign * dx for k, dx in enumerate(summed)]
        return Backward([dx.reshape(each.shape) for dx, each in zip(signed, x, strict=True)], [])

    return NodeReference(forward, backward)


def _chained_merge(op: str, bwd: Callable[[Real, Real, Real, int], Real]) -> NodeReference:
    """``f(f(x_0, x_1), x_2)``, backward link by link: ``bwd(dy, x1, x2, index)``."""

    def results(x: list[Real]) -> list[Real]:
        values = [x[0]]
        for each in x[1:]:
            values.append(reference.OPERATORS[op].forward(values[-1], each))
        return values

    def backward(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
        aligned = _aligned(x)
        before, gradients = results(aligned), []
        for k in range(len(x) - 1, 0, -1):
            gradients.append(bwd(dy, before[k - 1], aligned[k], 1))
            dy = bwd(dy, before[k - 1], aligned[k], 0)
        gradients.append(dy)
        shaped = [dx.reshape(each.shape) for dx, each in zip(gradients[::-1], x, strict=True)]
        return Backward(shaped, [])

    return NodeReference(lambda node, x, w: results(_aligned(x))[-1], backward)


def _aligned(x: list[Real]) -> list[Real]:
    """With axes of 1 after that of the samples, up to the highest rank."""
    rank = max(each.ndim for each in x)
    return [each.reshape(len(each), *(1,) * (rank - each.ndim), *each.shape[1:]) for each in x]


def _multiply_bwd(dy: Real, x1: Real, x2: Real, index: int) -> Real:
    mine, other = (x1, x2)[index], (x2, x1)[index]
    return reference.multiply_bwd(dy, other, mine.shape)


def _concatenate_bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
    sizes = [each.shape[node["axis"]] for each in x]
    parts = [reference.concatenate_bwd(dy, sizes, k, node["axis"]) for k in range(len(x))]
    return Backward(parts, [])


def _sides(node: Node, key: str) -> Any:
    """Pairs out of the flat list of a native node; one pair alone for one axis."""
    flat = list(node[key])
    pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
    return pairs[0] if len(pairs) == 1 else pairs


def _move(forward: Callable[..., Any], backward: Callable[..., Any], key: str) -> NodeReference:
    return NodeReference(
        lambda node, x, w: forward(x[0], _sides(node, key)),
        lambda node, dy, x, w, y: Backward([backward(dy, _sides(node, key))], []),
    )


def _upsampling_options(node: Node) -> dict[str, Any]:
    return {"size": tuple(node["size"]), "interpolation": node["interpolation"]}


_SLIDING = ("pool_size", "strides", "padding", "ceil_mode", "dilation_rate", "count_include_pad")


def _pool(kind: str) -> NodeReference:
    """Max, average or sum pooling of any axes, whose windows slide, adapt or cover the image."""

    def of(node: Node) -> tuple[str, dict[str, Any]]:
        if node.get("global", False):
            return f"global_{kind}_pool", {"keepdims": node["keepdims"]}
        if "output_size" in node:
            return f"adaptive_{kind}_pool", {"output_size": tuple(n or None for n in node["output_size"])}
        return f"{kind}_pool2d", {key: node[key] for key in _SLIDING if key in node}

    def forward(node: Node, x: list[Real], w: list[Real]) -> Any:
        name, options = of(node)
        return getattr(reference, name)(x[0], **options)

    def bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
        name, options = of(node)
        dx = getattr(reference, f"{name}_bwd")(dy, x[0] if kind == "max" else x[0].shape, **options)
        return Backward([np.asarray(dx)], [])

    return NodeReference(forward, bwd)


def _places(node: Node) -> tuple[Any, Any]:
    """Where the maxima of the pooling stand that an unpooling undoes, and in what."""
    pool = node["pool"]  # which `fastcnn.testing.graph` names
    options = {key: pool[key] for key in _SLIDING if key in pool}
    return reference.max_pool2d_with_index(pool["x"], **options)[1], pool["x"].shape


def _unpool_bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
    return Backward([reference.max_unpool2d_bwd(dy, _places(node)[0]), np.zeros(x[1].shape)], [])


def _softmax(name: str) -> NodeReference:
    """Over the last axis, or so many of the last."""
    forward, backward = getattr(reference, name), getattr(reference, f"{name}_bwd")

    def axis(node: Node) -> dict[str, Any]:
        return {"axis": tuple(range(-node.get("axes", 1), 0))}

    return NodeReference(
        lambda node, x, w: forward(x[0], **axis(node)),
        lambda node, dy, x, w, y: Backward([backward(dy, y, **axis(node))], []),
    )


def _dims(node: Node, rank: int) -> tuple[int, ...]:
    """Of a permutation that may name axes that go to the end, or come back from there."""
    if "dims" in node:
        return tuple(node["dims"])
    moved = sorted(axis % rank for axis in node["to_end" if "to_end" in node else "from_end"])
    order = [axis for axis in range(rank) if axis not in moved] + moved
    return tuple(order[1:] if "to_end" in node else np.argsort(order)[1:])


def _lp_bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
    return Backward([reference.lp_pool2d_bwd(dy, x[0], y, **_options(node, *_SLIDING[:4], "p"))], [])


def _alpha_shape(node: Node, x: Real) -> tuple[int, ...]:
    shared = node["shared_axes"]
    return tuple(1 if axis in shared else size for axis, size in enumerate(x.shape) if axis)


def _prelu_bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
    own = reference.prelu_alpha_bwd(dy, x[0], _alpha_shape(node, x[0]))
    return Backward([reference.prelu_bwd(dy, x[0], w[0])], [own])


def _scale_and_center(node: Node) -> tuple[str, ...]:
    return tuple(role for role, key in (("gamma", "scale"), ("beta", "center")) if node[key])


def _affine(node: Node, w: list[Real]) -> dict[str, Real]:
    return dict(zip(_scale_and_center(node), w, strict=False))


def _norm(name: str, *keys: str) -> NodeReference:
    """One whose statistics are those of its input."""
    forward, backward = getattr(reference, name), getattr(reference, f"{name}_bwd")

    def bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
        gamma = {key: value for key, value in _affine(node, w).items() if key == "gamma"}
        result = backward(dy, x[0], **gamma, **_options(node, "epsilon", *keys))
        dx, *own = result if isinstance(result, tuple) else (result,)
        named = dict(zip(("gamma", "beta"), own, strict=False))
        return Backward([dx], [named[role] for role in _scale_and_center(node)])

    return NodeReference(
        lambda node, x, w: forward(x[0], **_affine(node, w), **_options(node, "epsilon", *keys)),
        bwd,
        _scale_and_center,
    )


def _batch_norm(node: Node, x: list[Real], w: list[Real]) -> Real:
    moving = {} if node["training"] else {"mean": w[-2], "variance": w[-1]}
    return reference.batch_norm(x[0], **_affine(node, w[:-2]), **moving, epsilon=node["epsilon"])


def _batch_norm_bwd(node: Node, dy: Real, x: list[Real], w: list[Real], y: Real) -> Backward:
    moving = {} if node["training"] else {"mean": w[-2], "variance": w[-1]}
    gamma = _affine(node, w[:-2]).get("gamma")
    dx, dgamma, dbeta = reference.batch_norm_bwd(dy, x[0], gamma, **moving, epsilon=node["epsilon"])
    own = [{"gamma": dgamma, "beta": dbeta}[role] for role in _scale_and_center(node)]
    return Backward([dx], [*own, np.zeros_like(w[-2]), np.zeros_like(w[-1])])


NODES: dict[str, NodeReference] = {
    **{f"conv{axes}d": _convolution(f"conv{axes}d") for axes in (1, 2, 3)},
    **{f"conv{axes}d_transpose": _convolution(f"conv{axes}d_transpose") for axes in (1, 2, 3)},
    **{f"depthwise_conv{axes}d": _convolution(f"depthwise_conv{axes}d") for axes in (1, 2)},
    "dense": NodeReference(_dense, _dense_bwd, _kernel_and_bias),
    **{f"{kind}_pool{axes}d": _pool(kind) for kind in ("max", "average", "sum") for axes in (2, 3)},
    "lp_pool2d": NodeReference(
        lambda node, x, w: reference.lp_pool2d(x[0], **_options(node, *_SLIDING[:4], "p")), _lp_bwd
    ),
    **{name: _activation(name) for name in reference.ELEMENTWISE},
    "softmax": _softmax("softmax"),
    "prelu": NodeReference(
        lambda node, x, w: reference.prelu(x[0], w[0]), _prelu_bwd, lambda node: ("alpha",)
    ),
    "batch_norm": NodeReference(
        _batch_norm,
        _batch_norm_bwd,
        lambda node: (*_scale_and_center(node), "moving_mean", "moving_variance"),
    ),
    "group_norm": _norm("group_norm", "groups"),
    "layer_norm": _norm("layer_norm", "axis"),
    "rms_norm": _norm("rms_norm", "axis"),
    "unit_norm": _norm("unit_norm", "axis"),
    "log_softmax": _softmax("log_softmax"),
    "flatten": unary(lambda x: x.reshape(len(x), -1), reference.flatten_bwd, "shape"),
    "reshape": NodeReference(
        lambda node, x, w: reference.reshape(x[0], node["target_shape"]),
        lambda node, dy, x, w, y: Backward([reference.reshape_bwd(dy, x[0].shape)], []),
    ),
    "identity": unary(reference.identity, reference.identity_bwd, ""),
    "permute": NodeReference(
        lambda node, x, w: reference.permute(x[0], _dims(node, x[0].ndim)),
        lambda node, dy, x, w, y: Backward([reference.permute_bwd(dy, _dims(node, dy.ndim))], []),
    ),
    "max_unpool2d": NodeReference(
        lambda node, x, w: reference.max_unpool2d(x[0], *_places(node)), _unpool_bwd
    ),
    "zero_padding": _move(reference.zero_padding, reference.zero_padding_bwd, "padding"),
    "cropping": _move(reference.cropping, reference.cropping_bwd, "cropping"),
    "upsampling": NodeReference(
        lambda node, x, w: reference.upsampling(x[0], **_upsampling_options(node)),
        lambda node, dy, x, w, y: Backward([reference.upsampling_bwd(dy, **_upsampling_options(node))], []),
    ),
    "repeat_vector": NodeReference(
        lambda node, x, w: reference.repeat_vector(x[0], node["n"]),
        lambda node, dy, x, w, y: Backward([reference.repeat_vector_bwd(dy)], []),
    ),
    "concatenate": NodeReference(lambda node, x, w: reference.concatenate(x, node["axis"]), _concatenate_bwd),
    "add": _linear_merge("add"),
    "subtract": _linear_merge("subtract", -1.0),
    "average": _linear_merge("average"),
    "multiply": _chained_merge("multiply", _multiply_bwd),
    "maximum": _chained_merge("maximum", reference.maximum_bwd),
    "minimum": _chained_merge("minimum", reference.minimum_bwd),
    "rescaling": NodeReference(
        lambda node, x, w: reference.rescaling(x[0], node["scale"], node["offset"]),
        lambda node, dy, x, w, y: Backward([reference.rescaling_bwd(dy, node["scale"])], []),
    ),
}
