# SPDX-License-Identifier: Apache-2.0
"""Random networks of 5 to 15 layers: branches, merges, shared layers, several inputs and outputs.

A network follows from its number alone, so the number of a failing test is its reproducer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

Node = dict[str, Any]
Shape = tuple[int, ...]


class RandomGraph(NamedTuple):
    """Native nodes, and which of them are outputs."""

    nodes: list[Node]
    outputs: list[int]


def random_graph(number: int, exact: bool) -> RandomGraph:
    """The network of this number.

    Parameters
    ----------
    number
        Its seed.
    exact
        Only operators that keep small whole numbers whole, or halve and quarter them.
    """
    return _Grower(random.Random(f"{number} {exact}"), exact).grow()


class _Grower:
    def __init__(self, dice: random.Random, exact: bool) -> None:
        self.dice, self.exact = dice, exact
        self.nodes: list[Node] = []
        self.shapes: list[Shape] = []  # of one sample
        self.unread: list[int] = []

    def grow(self) -> RandomGraph:
        size = self.dice.choice((4, 6, 8))
        for _ in range(self.dice.choice((1, 1, 2))):
            self._add({"op": "input", "shape": (size, size, self.dice.choice((1, 2, 3, 4)))}, [], None)
        self._convolution(0)
        for _ in range(self.dice.randint(4, 14)):
            self._grow_once()
        heads = [i for i in self.unread if self.nodes[i]["op"] != "input"]
        for i in [i for i in self.unread if self.nodes[i]["op"] == "input"]:  # no input stays unread
            heads.append(self._dense(i))
        # Some heads end in a few numbers, others as they are; one value in the middle may be an output too.
        outputs = [self._dense(i) if self.dice.random() < 0.5 else i for i in heads]
        middle = self.dice.randrange(len(self.nodes))
        if self.dice.random() < 0.3 and middle not in outputs and self.nodes[middle]["op"] != "input":
            outputs.append(middle)
        return RandomGraph(self.nodes, outputs[:16])

    def _grow_once(self) -> None:
        # A value that nothing reads yet, or now and then any value: a branch.
        few = len(self.unread) > 4
        branch = self.dice.random() < 0.3 and not few
        u = self.dice.randrange(len(self.nodes)) if branch else self.dice.choice(self.unread)
        if (few or self.dice.random() < 0.35) and self._merge(u):
            return
        if self.dice.random() < 0.12 and self._call_again(u):
            return
        kinds = self._kinds(self.shapes[u])
        self.dice.choice(kinds)(u)

    def _kinds(self, shape: Shape) -> list[Callable[[int], int]]:
        if len(shape) != 3:
            return [self._dense, self._dense, self._activation]
        kinds: list[Callable[[int], int]] = [self._move, self._dense]
        kinds += [self._convolution] * 4
        kinds += [self._relative] * 2
        kinds += [self._activation] * 3
        kinds += [] if self.exact else [self._norm] * 2
        if min(shape[:2]) >= 2:
            kinds += [self._pool] * 2
        kinds += [self._unpool] * 3 if self._poolings(shape) else []
        return kinds

    def _add(self, node: Node, inputs: list[int], shape: Shape | None) -> int:
        i = len(self.nodes)
        self.nodes.append({"name": f"{node['op']}_{i}", "inputs": inputs, **node})
        self.shapes.append(tuple(node["shape"]) if shape is None else shape)
        for u in inputs:
            if u in self.unread:
                self.unread.remove(u)
        self.unread.append(i)
        return i

    def _dense(self, u: int) -> int:
        units = self.dice.choice((1, 2, 3, 5))
        shape = (*self.shapes[u][:-1], units)
        node = {
            "op": "dense",
            "units": units,
            "use_bias": self.dice.random() < 0.7,
            "fan": self.shapes[u][-1],
        }
        return self._add(node, [u], shape)

    def _convolution(self, u: int) -> int:
        h, w, c = self.shapes[u]
        size, stride = self.dice.choice((1, 2, 3)), self.dice.choice((1, 1, 1, 2))
        groups = self.dice.choice((1, 1, 1, c))
        filters = self.dice.choice((1, 2, 3, 4)) * (groups if groups > 1 else 1)
        same = min(h, w) < size or self.dice.random() < 0.7
        node: Node = {
            "op": "conv2d",
            "filters": filters,
            "kernel_size": (size, size),
            "strides": (stride, stride),
            "padding": "same" if same else "valid",
            "dilation_rate": (1, 1),
            "groups": groups,
            "use_bias": self.dice.random() < 0.7,
            "fan": size * size * c // groups,
        }
        p, q = (-(-n // stride) if same else (n - size) // stride + 1 for n in (h, w))
        return self._add(node, [u], (p, q, filters))

    def _relative(self, u: int) -> int:
        """A depthwise or a transposed convolution."""
        h, w, c = self.shapes[u]
        node: Node = {
            "op": self.dice.choice(("depthwise_conv2d", "conv2d_transpose")),
            "kernel_size": (2, 2),
            "strides": (1, 1),
            "padding": "same",
            "dilation_rate": (1, 1),
            "use_bias": self.dice.random() < 0.7,
        }
        if node["op"] == "depthwise_conv2d":
            times = self.dice.choice((1, 2))
            return self._add({**node, "depth_multiplier": times, "fan": 4}, [u], (h, w, c * times))
        stride, filters = self.dice.choice((1, 2)) if max(h, w) < 6 else 1, self.dice.choice((1, 2, 3))
        node |= {"filters": filters, "groups": 1, "strides": (stride, stride), "fan": 4 * c}
        return self._add(node, [u], (h * stride, w * stride, filters))

    def _norm(self, u: int) -> int:
        c = self.shapes[u][-1]
        kind = self.dice.choice(
            ("batch_norm", "batch_norm", "group_norm", "layer_norm", "rms_norm", "unit_norm")
        )
        unit = kind == "unit_norm"
        node: Node = {"op": kind, "epsilon": 0.25, "scale": not unit and self.dice.random() < 0.7}
        node["center"] = kind not in ("rms_norm", "unit_norm") and self.dice.random() < 0.7
        if kind == "batch_norm":
            node["momentum"] = 0.9
        elif kind == "group_norm":
            node["groups"] = self.dice.choice((1, c, -1))
        else:
            node["axis"] = [-1]
        return self._add({**node, "fan": self.shapes[u][0] * self.shapes[u][1] * c}, [u], self.shapes[u])

    def _activation(self, u: int) -> int:
        smooth = () if self.exact else ("sigmoid", "tanh", "softmax", "gelu_tanh", "silu", "softplus")
        return self._add({"op": self.dice.choice(("relu", "relu", *smooth))}, [u], self.shapes[u])

    def _pool(self, u: int) -> int:
        h, w, c = self.shapes[u]
        node: Node = {
            "op": self.dice.choice(("max_pool2d", "average_pool2d", "sum_pool2d")),
            "pool_size": (2, 2),
            "strides": self.dice.choice(((2, 2), (1, 1))),
            "padding": "valid",
            "ceil_mode": False,
        }
        p, q = ((n - 2) // node["strides"][0] + 1 for n in (h, w))
        return self._add(node, [u], (p, q, c))

    def _poolings(self, shape: Shape) -> list[int]:
        """Those that an unpooling of this shape can undo."""
        apart = {"strides": (2, 2), "op": "max_pool2d"}
        return [
            i for i, node in enumerate(self.nodes)
            if self.shapes[i] == shape and apart.items() <= node.items()
        ]  # fmt: skip

    def _unpool(self, u: int) -> int:
        pool = self.dice.choice(self._poolings(self.shapes[u]))
        return self._add({"op": "max_unpool2d"}, [u, pool], self.shapes[self.nodes[pool]["inputs"][0]])

    def _move(self, u: int) -> int:
        h, w, c = self.shapes[u]
        kind = self.dice.choice(("zero_padding", "cropping", "upsampling", "permute", "reshape", "rescaling"))
        if kind == "zero_padding":
            return self._add({"op": kind, "padding": [1, 0, 0, 1]}, [u], (h + 1, w + 1, c))
        if kind == "cropping" and min(h, w) > 2:
            return self._add({"op": kind, "cropping": [0, 1, 1, 0]}, [u], (h - 1, w - 1, c))
        if kind == "upsampling" and max(h, w) < 6:
            bilinear = not self.exact and self.dice.random() < 0.5
            node = {"op": kind, "size": [2, 2], "interpolation": "bilinear" if bilinear else "nearest"}
            return self._add(node, [u], (2 * h, 2 * w, c))
        if kind == "permute":
            return self._add({"op": kind, "dims": [2, 1, 3]}, [u], (w, h, c))
        if kind == "reshape":
            return self._add({"op": kind, "target_shape": [h * w, -1]}, [u], (h * w, c))
        return self._add({"op": "rescaling", "scale": 2.0, "offset": -1.0}, [u], self.shapes[u])

    def _merge(self, u: int) -> bool:
        """Join u with values of its shape, or along the last axis with values of its other sizes."""
        shape = self.shapes[u]
        alike = [i for i in range(len(self.nodes)) if self.shapes[i] == shape and i != u]
        if alike and self.dice.random() < 0.7:
            kind = self.dice.choice(("add", "add", "subtract", "multiply", "maximum", "minimum", "average"))
            count = 1 if kind in ("subtract", "average") else self.dice.choice((1, 1, 2))
            others = [self.dice.choice(alike) for _ in range(count)]
            self._add({"op": kind}, [u, *others], shape)
            return True
        beside = [i for i in range(len(self.nodes)) if self.shapes[i][:-1] == shape[:-1] and i != u]
        if not beside:
            return False
        others = [self.dice.choice(beside) for _ in range(self.dice.choice((1, 1, 2)))]
        depth = sum(self.shapes[i][-1] for i in (u, *others))
        self._add({"op": "concatenate", "axis": -1}, [u, *others], (*shape[:-1], depth))
        return True

    def _call_again(self, u: int) -> bool:
        """A layer with weights that fits u, once more."""
        for node in self.nodes:
            if node["op"] not in ("conv2d", "dense") or "call" in node:
                continue
            first = self.shapes[node["inputs"][0]]
            if len(first) != len(self.shapes[u]) or first[-1] != self.shapes[u][-1]:
                continue
            if node["op"] == "conv2d" and first != self.shapes[u]:
                continue
            calls = sum(each["name"] == node["name"] for each in self.nodes)
            units = self.shapes[self.nodes.index(node)][-1]
            shape = (*self.shapes[u][:-1], units)
            if node["op"] == "conv2d":
                shape = self.shapes[self.nodes.index(node)]
            again = {key: value for key, value in node.items() if key != "inputs"}
            self._add({**again, "call": calls}, [u], shape)
            return True
        return False
