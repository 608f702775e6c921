"""Signed distances to outlines, negative inside, in widths of the picture; and the parts made of them."""

import dataclasses

import numpy as np

from .fields import F


def circle(radius):
    return lambda x, y: np.hypot(x, y) - F(radius)


def ellipse(rx, ry):
    """Near enough for shapes that are not very flat."""
    small = F(min(rx, ry))
    return lambda x, y: (np.hypot(x / F(rx), y / F(ry)) - 1) * small


def box(hx, hy, corner=0.0):
    """Half sides and the corners' radius."""
    corner = min(corner, hx, hy)

    def distance(x, y):
        qx, qy = np.abs(x) - F(hx - corner), np.abs(y) - F(hy - corner)
        return np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - F(corner)
    return distance


def capsule(half, radius):
    return lambda x, y: np.hypot(np.maximum(np.abs(x) - F(half), 0), y) - F(radius)


def polygon(sides, radius, corner=0.0):
    """Regular; `radius` to the sides."""
    step = 2 * np.pi / sides

    def distance(x, y):
        angle = np.mod(np.arctan2(y, x), F(step)) - F(step / 2)
        reach = np.hypot(x, y)
        flat = reach * np.cos(angle) - F(radius)
        return flat if not corner else np.maximum(flat, reach - F(radius * (1 / np.cos(step / 2) - corner)))
    return distance


def gear(teeth, outer, depth, steep=4.0):
    def distance(x, y):
        wave = np.tanh(F(steep) * np.sin(np.arctan2(y, x) * teeth)) * F(0.5)
        return np.hypot(x, y) - F(outer - depth / 2) - F(depth) * wave
    return distance


def wavy(rng, radius, uneven, flat=1.0):
    """An uneven round: nuts, biscuits, stones."""
    orders = np.arange(2, 8)
    size, phase = rng.normal(0, uneven, 6) / orders, rng.uniform(0, 2 * np.pi, 6)

    def distance(x, y):
        y = y / F(flat)
        angle = np.arctan2(y, x)
        edge = sum(F(a) * np.cos(angle * int(k) + F(p)) for a, k, p in zip(size, orders, phase))
        return np.hypot(x, y) - F(radius) * (1 + edge)
    return distance


def star(points, outer, inner):
    def distance(x, y):
        step = F(2 * np.pi / points)
        angle = np.abs(np.mod(np.arctan2(y, x), step) - step / 2) / (step / 2)
        return np.hypot(x, y) - (F(outer) + F(inner - outer) * (1 - angle))
    return distance


def without(shape, *others):
    def distance(x, y):
        d = shape(x, y)
        for other in others:
            d = np.maximum(d, -other(x, y))
        return d
    return distance


def union(*shapes):
    def distance(x, y):
        d = shapes[0](x, y)
        for other in shapes[1:]:
            d = np.minimum(d, other(x, y))
        return d
    return distance


def at(shape, cx, cy, angle=0.0):
    c, s = F(np.cos(angle)), F(np.sin(angle))

    def distance(x, y):
        x, y = x - F(cx), y - F(cy)
        return shape(x * c + y * s, y * c - x * s)
    return distance


@dataclasses.dataclass
class Part:
    """One layer of an object: `shape` around (cx, cy), within `reach` of it."""
    shape: object
    palette: object
    reach: float
    cx: float = 0.0
    cy: float = 0.0
    angle: float = 0.0
    surface: object = None      # None: one plain tone
    tone: float = 0.5
    rise: float = 0.0           # how high it stands above what lies below
    bevel: float = 0.01         # width of the rounded rim; as wide as the part: a ball
    loose: bool = False         # may be missing or out of place
    inner: bool = False         # a cut or a print: does not widen the figure
    word: str = "part"
