"""What a defect is and where it goes. The kinds are in defects_lines, defects_areas and defects_parts."""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from . import fields
from .fields import F
from .seeds import log_uniform
from .view import Look

KINDS = {}


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    apply: object           # Site -> Change
    fits: object            # scene -> bool
    weight: float
    small: float            # smallest and largest size, in widths of the picture
    large: float
    words: tuple            # how captions call it
    everywhere: bool = False
    slender: bool = False   # a line
    of_light: bool = False  # nothing but light


def kind(name, *words, fits=lambda scene: True, weight=1.0, small=0.04, large=0.42, everywhere=False,
         slender=False, of_light=False):
    def register(function):
        KINDS[name] = Kind(name, function, fits, weight, small, large, (name, *words), everywhere, slender, of_light)
        return function
    return register


def own(name):
    """Fits scenes that name this kind as theirs."""
    return lambda scene: name in scene.kinds


def is_cloth(scene):
    return "frayed area" in scene.kinds


def is_solid(scene):
    return not is_cloth(scene)


@dataclasses.dataclass
class Change:
    """A look with the defect; `alpha` [n, n] its support (None: found by comparing); `light` [n, n]
    multiplies the light; `part`: the word for the part it is about."""
    look: Look
    alpha: np.ndarray | None = None
    light: np.ndarray | None = None
    part: str = ""


class Site:
    """Where a defect goes, how large and how strong (0..1) it is; `look` may be changed in place."""

    def __init__(self, rng, scene, view, look, size, strength):
        self.rng, self.scene, self.view, self.n = rng, scene, view, view.n
        self.look, self.size, self.strength = look, size, strength
        self.move_to(*self._place())
        self.texture = float(look.colour[::3, ::3].mean(axis=2).std())

    def move_to(self, x, y):
        self.x0, self.y0 = float(x), float(y)
        gx, gy = fields.grid(self.n)
        self.x, self.y = gx - F(self.x0), gy - F(self.y0)

    def _place(self):
        """A point on the object, or anywhere."""
        for _ in range(40):
            x, y = self.rng.uniform(-0.45, 0.45, 2)
            figure = self.look.figure
            if figure is None or figure[int((y + 0.5) * self.n), int((x + 0.5) * self.n)] > 0.6:
                break
        return x, y

    def pixels(self, width):
        """A width in pixels of a picture of 336, in pixels here."""
        return width * self.n / 336

    def local(self):
        """Mean colour around the place."""
        r = max(2, int(min(self.size, 0.1) * self.n / 3))
        px, py = int((self.x0 + 0.5) * self.n), int((self.y0 + 0.5) * self.n)
        patch = self.look.colour[max(0, py - r): py + r + 1, max(0, px - r): px + r + 1]
        return patch.mean(axis=(0, 1))

    def other_tone(self, dark=None, more=0.0):
        """A colour that differs from the local one by the strength."""
        colour = self.local()
        mean = float(colour.mean())
        step = 0.06 + 0.5 * self.strength + 0.5 * self.texture + more
        if dark is None:
            dark = self.rng.random() < 0.6
        if mean < 0.12 or mean > 0.88:
            dark = mean > 0.5
        if dark:
            target = colour * F(max(0.06, (mean - step) / max(mean, 1e-3)))
        else:
            target = colour + F(min(step, 1.05 - mean))
        if colour.size == 3 and self.rng.random() < 0.35:
            target = target + self.rng.normal(0, 0.4 * step, 3)
        return np.clip(target, 0.01, 1.0).astype(F)

    def blob(self, size=None, ragged=None, edge=None, flat=None):
        """0..1: a spot with an uneven rim; `size` its width, `edge` the part of it that is soft."""
        rng = self.rng
        size = self.size if size is None else size
        ragged = rng.uniform(0.05, 0.6) if ragged is None else ragged
        edge = rng.uniform(0.05, 0.7) if edge is None else edge
        edge = min(0.98, max(edge, 2.5 / (size * self.n)))
        flat = log_uniform(rng, 0.25, 1.0) if flat is None else flat
        x, y = fields.turn(self.x, self.y, rng.uniform(0, np.pi))
        r = np.sqrt(x * x + (y / F(flat)) ** 2) * F(2.0 / size)
        cells = int(np.clip(2.5 / size, 3, self.n // 3))
        uneven = np.clip(fields.octaves(rng, self.n, cells, 3, 0.6), -1.4, 1.4)  # no islands far away
        r = r * (1 + F(min(ragged, 0.7) * 0.5) * uneven)
        return fields.smooth(1.0, 1.0 - edge, r)

    def lift(self, change):
        """Adds to the height, which may not be there yet."""
        height = self.look.height
        self.look.height = change if height is None else height + change

    def on_figure(self, alpha):
        """The part of `alpha` on the object."""
        return alpha if self.look.figure is None else alpha * self.look.figure


def mix(colour, target, alpha):
    return colour + (target - colour) * alpha[..., None]


def strokes(n, lines, over=3):
    """0..1 [n, n] from (points [k + 1, 2] in -0.5..0.5, widths [k] in pixels of n, levels [k]), drawn finer and
    reduced."""
    image = Image.new("L", (n * over, n * over))
    draw = ImageDraw.Draw(image)
    for points, widths, levels in lines:
        p = ((np.asarray(points) + 0.5) * (n * over)).tolist()
        for k in range(len(p) - 1):
            width, level = float(widths[k]) * over, float(levels[k])
            if width < 1.0:
                width, level = 1.0, level * width
            draw.line([tuple(p[k]), tuple(p[k + 1])], fill=int(255 * level), width=round(width))
    return np.asarray(image.reduce(over), dtype=F) / F(255.0)


def walk(rng, start, length, steps, angle, wiggle, bend=0.0):
    """A line that wanders, its middle at `start`: [steps + 1, 2]."""
    turns = angle + np.cumsum(rng.normal(0, wiggle, steps)) + bend * np.linspace(-0.5, 0.5, steps)
    move = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    path = np.vstack([[0.0, 0.0], np.cumsum(move, axis=0)])
    return path - path[len(path) // 2] + np.asarray(start)
