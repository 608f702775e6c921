"""Defects: each changes a look, where it says so."""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from . import fields
from .fields import F
from .seeds import log_uniform
from .view import Look

KINDS = {}
GLOBAL = "global change"


@dataclasses.dataclass
class Change:
    """A look with the defect; `alpha` [n, n] its support (None: found by comparing); `light` [n, n]
    multiplies the light; `everywhere`: the whole picture counts."""
    look: Look
    alpha: np.ndarray | None = None
    light: np.ndarray | None = None
    everywhere: bool = False


class Site:
    """Where a defect goes and how strong it is."""

    def __init__(self, rng, scene, view, look, size, strength):
        self.rng, self.scene, self.view, self.n = rng, scene, view, view.n
        self.look, self.size, self.strength = look, size, strength
        self.x0, self.y0 = self._place()
        x, y = fields.grid(view.n)
        self.x, self.y = x - F(self.x0), y - F(self.y0)
        self.texture = float(look.colour[..., 0].std())

    def _place(self):
        """A point on the object, or anywhere."""
        for _ in range(40):
            x, y = self.rng.uniform(-0.44, 0.44, 2)
            figure = self.look.figure
            if figure is None or figure[int((y + 0.5) * self.n), int((x + 0.5) * self.n)] > 0.6:
                break
        return float(x), float(y)

    def local(self):
        """Mean colour around the place."""
        r = max(2, int(self.size * self.n / 4))
        px, py = int((self.x0 + 0.5) * self.n), int((self.y0 + 0.5) * self.n)
        patch = self.look.colour[max(0, py - r): py + r + 1, max(0, px - r): px + r + 1]
        return patch.mean(axis=(0, 1))

    def other_tone(self, dark=None):
        """A colour that differs from the local one by the strength."""
        colour = self.local()
        mean = float(colour.mean())
        step = 0.05 + 0.55 * self.strength + 0.4 * self.texture
        if dark is None:
            dark = self.rng.random() < 0.62
        if dark and mean - step < 0.0 and mean < 0.3:
            dark = False
        elif not dark and mean + step > 1.0 and mean > 0.7:
            dark = True
        target = colour * F((mean - step) / mean if mean > step else 0.05) if dark else colour + F(step)
        if colour.size == 3 and self.rng.random() < 0.35:
            target = target + self.rng.normal(0, 0.5 * step, 3)
        return np.clip(target, 0.01, 1.0).astype(F)

    def blob(self, size=None, ragged=None, edge=None):
        """0..1: a spot with an uneven rim."""
        size = self.size if size is None else size
        ragged = self.rng.uniform(0.05, 0.5) if ragged is None else ragged
        edge = self.rng.uniform(0.05, 0.6) if edge is None else edge
        edge = max(edge, 1.5 / (size * self.n))
        x, y = fields.turn(self.x, self.y, self.rng.uniform(0, np.pi))
        flat = log_uniform(self.rng, 0.5, 1.0)
        r = np.sqrt(x * x + (y / F(flat)) ** 2) * F(2.0 / size)
        cells = int(np.clip(2.5 / size, 3, self.n // 3))
        r = r + F(ragged) * fields.octaves(self.rng, self.n, cells, 3)  * F(0.5)
        return fields.smooth(1.0, 1.0 - edge, r)


def kind(name, fits=lambda scene: True, weight=1.0):
    def register(function):
        KINDS[name] = (function, fits, weight)
        return function
    return register


def mix(colour, target, alpha):
    return colour + (target - colour) * alpha[..., None]


def strokes(n, lines, over=3):
    """0..1 [n, n] from (points [k, 2] in -0.5..0.5, widths in pixels of n, opacities) drawn finer and reduced."""
    image = Image.new("L", (n * over, n * over))
    draw = ImageDraw.Draw(image)
    for points, widths, levels in lines:
        p = (np.asarray(points) + 0.5) * n * over
        for k in range(len(p) - 1):
            width = max(1, round(widths[k] * over))
            draw.line([tuple(p[k]), tuple(p[k + 1])], fill=int(255 * levels[k]), width=width)
    return np.asarray(image.reduce(over), dtype=F) / F(255.0)


def walk(rng, start, length, steps, angle, wiggle):
    """A line that wanders: [steps + 1, 2]."""
    turns = angle + np.cumsum(rng.normal(0, wiggle, steps))
    move = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    path = np.vstack([[0.0, 0.0], np.cumsum(move, axis=0)])
    return path - path[len(path) // 2] + np.asarray(start)


@kind("scratch", weight=1.3)
def scratch(site):
    rng, n = site.rng, site.n
    steps = 24
    wiggle = rng.choice([0.0, 0.02, 0.08])
    angle = rng.uniform(0, 2 * np.pi)
    width = log_uniform(rng, 0.6, 2.6) * n / 240
    lines = []
    for k in range(1 + int(rng.random() < 0.25) * int(rng.integers(1, 5))):
        start = (site.x0, site.y0) if k == 0 else np.asarray((site.x0, site.y0)) + rng.normal(0, site.size * 0.15, 2)
        path = walk(rng, start, max(site.size, 0.05) * rng.uniform(0.8, 1.4), steps, angle + rng.normal(0, 0.05 * k), wiggle)
        press = np.clip(np.sin(np.linspace(0.15, np.pi - 0.15, steps)) + rng.normal(0, 0.2, steps), 0.15, 1)
        lines.append((path, width * (0.6 + 0.6 * press), press))
    alpha = strokes(n, lines)
    look = site.look
    look.colour = mix(look.colour, site.other_tone(), alpha)
    if look.height is not None:
        look.height = look.height - alpha * F(rng.uniform(0.2, 1.2) / n)
    return Change(look, alpha)


@kind("stain")
def stain(site):
    alpha = site.blob()
    if site.rng.random() < 0.4:  # a dried rim
        alpha = np.clip(alpha * F(0.55) + F(1.6) * alpha * (1 - alpha), 0, 1)
    look = site.look
    look.colour = mix(look.colour, site.other_tone(), alpha * F(site.rng.uniform(0.5, 0.95)))
    return Change(look, alpha)


@kind("hole")
def hole(site):
    site.size = max(0.012, site.size * 0.5)
    alpha = site.blob(ragged=site.rng.uniform(0, 0.3), edge=0.15)
    rim = site.blob(site.size * 1.35, ragged=0.1, edge=0.4)
    look = site.look
    bright = site.rng.uniform(-0.1, 0.25) * site.strength
    look.colour = np.clip(look.colour + rim[..., None] * F(bright), 0, 1)
    look.colour = mix(look.colour, site.other_tone(dark=True) * F(0.5), alpha)
    return Change(look, np.maximum(alpha, rim * F(0.3)))


@kind("blur")
def blurred(site):
    alpha = site.blob(max(site.size, 0.08), edge=0.5)
    look = site.look
    look.colour = look.colour + (fields.blur(look.colour, site.n * (0.008 + 0.02 * site.strength)) - look.colour) * alpha[..., None]
    if look.height is not None:
        look.height = look.height * (1 - alpha) + alpha * look.height.mean()
    return Change(look, alpha)


@kind("uneven brightness")
def uneven(site):
    alpha = site.blob(max(0.15, site.size * 1.5), ragged=0.2, edge=0.95)
    sign = -1 if site.rng.random() < 0.6 else 1
    light = 1.0 + F(sign * (0.08 + 0.4 * site.strength)) * alpha
    return Change(site.look, alpha, light=light)


@kind(GLOBAL)
def global_change(site):
    edit = site.scene.altered(site.rng, site.strength)
    return Change(site.scene.look(site.view, edit), everywhere=True)
