"""What a surface is, and the list of them all."""

import copy

import numpy as np

from .fields import F

SURFACES = {}


def surface(cls):
    """Registers a surface under its name."""
    SURFACES[cls.name] = cls
    return cls


class Surface:
    """A texture without end. `draw` takes everything of one product from `rng`; `paint` gives tone
    [n, n] in 0..1 and height [n, n] (or None) of one piece."""

    name = ""
    words = ()            # how captions call it
    shapes = ()           # what captions say is on it
    kinds = ()            # defects that belong to it, beside the ones that fit all
    alterable = ("count", "angle", "contrast")      # "count": features a picture
    weight = 1.0          # how often it is drawn
    palette = {}          # contrast and level its palette wants
    contrast = 1.0
    left_out = None       # (row, from, to): a thread or row left out, along it from and to; a defect

    def __init__(self, rng):
        self.draw(rng)

    def draw(self, rng):
        raise NotImplementedError

    def paint(self, view):
        raise NotImplementedError

    def threads(self, view):
        """For surfaces of threads or rows: the coordinate across them, in threads, and along them, in widths of
        the picture, as `paint` lays them. Else None."""
        return None

    def absent(self, row, along):
        """True where the gap is, of integer rows and positions along them."""
        return None if self.left_out is None else (row == self.left_out[0]) & (along > self.left_out[1]) & (along < self.left_out[2])

    def another(self, rng, amount):
        """The surface of another good piece: a little denser, flatter, ... than the product's own."""
        other = copy.copy(self)
        for name, spread in (("count", 0.04), ("contrast", 0.12), ("irregular", 0.1), ("bump", 0.1)):
            factor = np.exp(np.clip(rng.normal(0, spread * amount), -0.3, 0.3))
            if hasattr(other, name):
                setattr(other, name, getattr(other, name) * factor)
        return other

    def altered(self, rng, strength, turned=True):
        """Another surface of the same kind: denser or coarser, turned (unless good pieces lie any way, too), flatter
        or harsher. What a global defect shows."""
        other = copy.copy(self)
        names = [a for a in self.alterable if hasattr(other, a) and (turned or a != "angle")]
        for name in rng.permutation(names)[: 1 + int(rng.random() < 0.4)]:
            value = getattr(other, name)
            step = 1.25 + strength
            if name == "angle":
                other.angle = value + rng.choice([-1, 1]) * rng.uniform(0.15, max(0.16, 0.3 + 1.2 * strength))
            elif name == "irregular":
                other.irregular = value + 0.2 + 0.5 * strength
            elif name == "contrast":
                other.contrast = value * (step * 1.4 if rng.random() < 0.5 else 1 / (step * 1.6))
            else:
                setattr(other, name, value * step if rng.random() < 0.5 else value / step)
        return other

    def tone(self, field):
        """A field around 0.5 with the surface's contrast."""
        return np.clip((field - F(0.5)) * F(self.contrast) + F(0.5), 0.0, 1.0)
