"""Surfaces that are noise: clouds, grain, spectra, plates."""

import numpy as np

from . import fields
from .base import Surface, density, surface
from .fields import F
from .seeds import log_uniform


@surface
class Mottled(Surface):
    name, words = "mottled", ("mottled surface", "cloudy surface", "patchy coating")

    def draw(self, rng):
        self.count, self.depth = density(rng, 3, 14), int(rng.integers(2, 6))
        self.gain, self.bump = rng.uniform(0.4, 0.8), rng.uniform(0, 0.25)

    def paint(self, view):
        noise = fields.octaves(view.rng("mottle"), view.n, max(2, round(self.count)), self.depth, self.gain)
        return self.tone(fields.span(noise)), fields.with_slope(noise, self.bump)


@surface
class Grain(Surface):
    name, words = "grain", ("grainy surface", "sandpaper", "gritty surface", "fine grained surface")
    alterable = ("count", "contrast")

    def draw(self, rng):
        self.count, self.bump = density(rng, 25, 110), rng.uniform(0.1, 0.6)
        self.wide = rng.uniform(0, 0.5)

    def paint(self, view):
        fine = fields.spectral(view.rng("grain"), view.n, 0.3, self.count * 0.5, self.count)
        wide = fields.octaves(view.rng("wide"), view.n, 4, 3)
        return self.tone(fields.span(fine + F(self.wide) * wide)), fields.with_slope(fine, self.bump)


@surface
class Spectrum(Surface):
    name, words = "rough", ("rough surface", "coarse surface", "raw material", "cast surface")
    alterable = ("count", "angle", "contrast", "exponent")
    weight = 1.5

    def draw(self, rng):
        self.exponent, self.count = rng.uniform(0.6, 2.2), density(rng, 20, 130)
        self.angle, self.stretch = rng.uniform(0, np.pi), log_uniform(rng, 1, 8) if rng.random() < 0.5 else 1.0
        self.bump, self.low = rng.uniform(0, 0.5), log_uniform(rng, 1, 10)

    def paint(self, view):
        noise = fields.spectral(view.rng("spectrum"), view.n, self.exponent, self.low, self.count,
                                self.angle - view.pose.angle, self.stretch)
        return self.tone(fields.span(noise)), fields.with_slope(noise, self.bump)


@surface
class Brushed(Surface):
    name, words = "brushed metal", ("brushed metal", "ground steel", "brushed aluminium", "metal sheet")
    alterable = ("angle", "contrast", "stretch", "count")
    palette = {"contrast": (0.15, 0.5), "level": (0.3, 0.75)}

    def draw(self, rng):
        self.angle, self.stretch = rng.uniform(0, np.pi), log_uniform(rng, 12, 80)
        self.count, self.exponent = density(rng, 40, 140), rng.uniform(0.1, 0.8)
        self.bump = rng.uniform(0, 0.25)

    def paint(self, view):
        lines = fields.spectral(view.rng("brush"), view.n, self.exponent, 3, self.count,
                                self.angle - view.pose.angle, self.stretch)
        return self.tone(fields.span(lines, 2.8)), fields.with_slope(lines, self.bump)
