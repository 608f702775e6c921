"""A scene turns a view into a look: a surface that fills the picture, or an object on a background."""

import numpy as np

from . import fields
from .base import SURFACES
from .colours import any_palette
from .fields import F
from .seeds import pick
from .view import Look


def draw_surface(rng, names=None):
    names = sorted(names or SURFACES)
    return SURFACES[pick(rng, names, [SURFACES[n].weight for n in names])](rng)


def draw_palette(rng, surface, channels):
    wants = {key: rng.uniform(*span) for key, span in surface.palette.items()}
    return any_palette(rng, channels, wants.get("contrast"), wants.get("level"))


class SurfaceScene:
    """One surface all over the picture."""

    steady = False

    def __init__(self, rng, channels):
        self.surface = draw_surface(rng)
        self.palette = draw_palette(rng, self.surface, channels)
        self.name, self.words, self.kinds = self.surface.name, self.surface.words, self.surface.kinds
        self.colour_word, self.grain, self.parts = self.palette.word, self.surface.grain, 0

    def look(self, view, edit=None):
        surface = (edit or {}).get("surface", self.surface)
        tone, height = surface.paint(view)
        return Look(self.palette(tone), height)

    def altered(self, rng, strength):
        return {"surface": self.surface.altered(rng, strength)}


def draw(rng, channels):
    return SurfaceScene(rng, channels)
