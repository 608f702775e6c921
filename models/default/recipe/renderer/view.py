"""What a base is drawn through: a piece's pose and random numbers, and what it gives back."""

import dataclasses
import functools

import numpy as np

from . import fields
from .fields import F
from .seeds import generator


@dataclasses.dataclass(frozen=True)
class Pose:
    """Shift in widths of the picture, turn in radians, magnification."""
    dx: float = 0.0
    dy: float = 0.0
    angle: float = 0.0
    zoom: float = 1.0


class View:
    """One piece of a product on a grid of n x n pixels."""

    def __init__(self, seed, index, n, pose, channels, unlike=0.0):
        """`unlike`: how much textures of the product's pieces differ, about 0..1."""
        self.seed, self.index, self.n, self.pose, self.channels = seed, index, n, pose, channels
        self.unlike = unlike

    def rng(self, purpose):
        """Differs from piece to piece."""
        return generator(self.seed, "piece " + purpose, self.index)

    def fixed(self, purpose):
        """The same for all pieces of the product."""
        return generator(self.seed, "product " + purpose)

    @functools.cached_property
    def xy(self):
        """Coordinates fixed to the object: -0.5 to 0.5 over the picture where the pose is neutral."""
        x, y = fields.grid(self.n)
        x, y = fields.turn(x - F(self.pose.dx), y - F(self.pose.dy), self.pose.angle)
        return x / F(self.pose.zoom), y / F(self.pose.zoom)

    @functools.cached_property
    def surface(self):
        """Coordinates on an endless surface of which each piece shows another part."""
        x, y = self.xy
        shift = self.rng("part of the surface").uniform(0.0, 8.0, 2)
        return x + F(shift[0]), y + F(shift[1])


@dataclasses.dataclass
class Look:
    """A scene before light: colour [n, n, c] in 0..1; height [n, n] in widths of the picture; figure
    [n, n] in 0..1 where the object is (None: everywhere); backing, the colour behind it."""
    colour: np.ndarray
    height: np.ndarray | None = None
    figure: np.ndarray | None = None
    backing: np.ndarray | None = None

    def copy(self):
        return Look(self.colour.copy(), None if self.height is None else self.height.copy(),
                    None if self.figure is None else self.figure.copy(), self.backing)
