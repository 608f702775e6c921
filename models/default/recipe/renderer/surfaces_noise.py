"""Surfaces that are noise: clouds, grain, spectra, plates."""

import numpy as np

from . import fields
from .base import Surface, surface
from .fields import F
from .seeds import log_uniform


@surface
class Mottled(Surface):
    name, words = "mottled", ("mottled surface", "cloudy surface", "patchy coating")

    def draw(self, rng):
        self.count, self.depth = log_uniform(rng, 3, 14), int(rng.integers(2, 6))
        self.gain, self.bump = rng.uniform(0.4, 0.8), rng.uniform(0, 0.25)

    def paint(self, view):
        noise = fields.octaves(view.rng("mottle"), view.n, max(2, round(self.count)), self.depth, self.gain)
        return self.tone(fields.span(noise)), fields.with_slope(noise, self.bump)


@surface
class Grain(Surface):
    name, words = "grain", ("grainy surface", "sandpaper", "gritty surface", "fine grained surface")
    alterable = ("count", "contrast")

    def draw(self, rng):
        self.count, self.bump = log_uniform(rng, 25, 110), rng.uniform(0.1, 0.6)
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
        self.exponent, self.count = rng.uniform(0.6, 2.2), log_uniform(rng, 20, 130)
        self.angle, self.stretch = rng.uniform(0, np.pi), log_uniform(rng, 1, 8) if rng.random() < 0.5 else 1.0
        self.bump, self.low = rng.uniform(0, 0.5), log_uniform(rng, 1, 10)

    def paint(self, view):
        noise = fields.spectral(view.rng("spectrum"), view.n, self.exponent, self.low, self.count,
                                self.angle + view.pose.angle, self.stretch)
        return self.tone(fields.span(noise)), fields.with_slope(noise, self.bump)


@surface
class Brushed(Surface):
    name, words = "brushed metal", ("brushed metal", "ground steel", "brushed aluminium", "metal sheet")
    alterable = ("angle", "contrast", "stretch", "count")
    palette = {"contrast": (0.15, 0.5), "level": (0.3, 0.75)}

    def draw(self, rng):
        self.angle, self.stretch = rng.uniform(0, np.pi), log_uniform(rng, 12, 80)
        self.count, self.exponent = log_uniform(rng, 40, 140), rng.uniform(0.1, 0.8)
        self.bump = rng.uniform(0, 0.25)

    def paint(self, view):
        lines = fields.spectral(view.rng("brush"), view.n, self.exponent, 3, self.count,
                                self.angle + view.pose.angle, self.stretch)
        return self.tone(fields.span(lines, 2.8)), fields.with_slope(lines, self.bump)


@surface
class Plate(Surface):
    """Pressed or sintered plates: dark, dull, with grinding marks and blots."""
    name, words = "sintered plate", ("dark rough plate", "sintered plate", "dull ceramic plate", "pressed plate")
    alterable, weight = ("count", "contrast", "lines"), 1.6
    palette = {"contrast": (0.12, 0.45), "level": (0.2, 0.5)}

    def draw(self, rng):
        self.count, self.exponent = log_uniform(rng, 30, 120), rng.uniform(0.4, 1.1)
        self.angle, self.lines = rng.uniform(0, np.pi), rng.uniform(0.1, 1.0) if rng.random() < 0.6 else 0.0
        self.blots, self.bump = rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.35)
        self.pits = rng.uniform(0, 0.4)

    def paint(self, view):
        rng, n = view.rng("plate"), view.n
        fine = fields.spectral(rng, n, self.exponent, 2, self.count)
        field = fine + F(self.blots) * fields.octaves(rng, n, 3, 4)
        if self.lines:
            field = field + F(self.lines) * fields.spectral(rng, n, 0.3, 3, self.count, self.angle + view.pose.angle, 30)
        field = field - F(2.0 * self.pits) * fields.smooth(2.0, 2.8, -fine)
        return self.tone(fields.span(fields.unit(field), 3.0)), fields.with_slope(fine, self.bump)


@surface
class Paint(Surface):
    name, words = "paint", ("painted surface", "lacquered panel", "coated sheet", "varnished surface")
    alterable = ("count", "bump")
    palette = {"contrast": (0.04, 0.15)}

    def draw(self, rng):
        self.count, self.bump = log_uniform(rng, 8, 70), rng.uniform(0.05, 0.4)
        self.flakes = rng.uniform(0.2, 1.0) if rng.random() < 0.3 else 0.0

    def paint(self, view):
        rng, n = view.rng("paint"), view.n
        peel = fields.spectral(rng, n, 0.2, self.count * 0.5, self.count)
        field = fields.octaves(rng, n, 2, 3) * F(0.7)
        if self.flakes:
            field = field + F(self.flakes) * rng.standard_normal((n, n), dtype=F)
        return self.tone(fields.span(field)), fields.with_slope(peel, self.bump)


@surface
class Smooth(Surface):
    name, words = "smooth plastic", ("smooth plastic surface", "moulded plastic part", "glossy housing", "smooth panel",
                                     "enamel surface", "glazed ceramic")
    alterable = ("contrast", "bump")
    palette = {"contrast": (0.05, 0.3)}
    weight = 1.2

    def draw(self, rng):
        self.bump, self.angle = rng.uniform(0, 0.3), rng.uniform(0, 2 * np.pi)
        self.fine, self.waves = rng.uniform(0, 0.3), int(rng.integers(2, 6))

    def paint(self, view):
        rng, n = view.rng("smooth"), view.n
        x, _ = fields.turn(*view.xy, self.angle)
        waves = fields.soft(rng, n, self.waves)
        field = x * F(2.0) + waves * F(0.4)
        if self.fine > 0.05:
            field = field + F(self.fine) * fields.spectral(rng, n, 0.2, 10, 90)
        return self.tone(fields.span(field)), fields.with_slope(waves, self.bump)


@surface
class Paper(Surface):
    kinds = ("crease",)
    name, words = "paper", ("sheet of paper", "cardboard", "fibre board", "packaging board")
    alterable = ("count", "contrast", "angle")
    palette = {"contrast": (0.08, 0.3), "level": (0.4, 0.85)}

    def draw(self, rng):
        self.count, self.stretch = log_uniform(rng, 30, 110), log_uniform(rng, 1.5, 6)
        self.angle, self.bump, self.corrugated = rng.uniform(0, np.pi), rng.uniform(0.02, 0.25), rng.random() < 0.3
        self.flutes, self.specks = log_uniform(rng, 8, 25), rng.uniform(0, 0.8)

    def paint(self, view):
        rng, n = view.rng("paper"), view.n
        angle = self.angle + view.pose.angle
        fibres = fields.spectral(rng, n, 0.5, 4, self.count, angle, self.stretch)
        field = fibres + F(0.4) * fields.octaves(rng, n, 3, 3)
        if self.corrugated:
            _, y = fields.turn(*view.surface, self.angle)
            field = field + F(0.7) * np.sin(y * F(2 * np.pi * self.flutes))
        if self.specks > 0.2:
            field = field - F(4 * self.specks) * fields.smooth(2.6, 3.4, fields.spectral(rng, n, 0.3, 10, 90))
        return self.tone(fields.span(field, 3.0)), fields.with_slope(fibres, self.bump)


@surface
class Gradient(Surface):
    kinds = ("crease",)
    name, words = "sheet", ("plain sheet", "film", "foil", "plain panel", "rubber sheet", "glass plate")
    alterable = ("contrast",)
    palette = {"contrast": (0.03, 0.12)}

    def draw(self, rng):
        self.count, self.folds = log_uniform(rng, 2, 6), rng.uniform(0.02, 0.2)

    def paint(self, view):
        rng, n = view.rng("sheet"), view.n
        field = fields.spectral(rng, n, 1.6, 1, 60)
        return self.tone(fields.span(field)), fields.with_slope(fields.soft(rng, n, round(self.count)), self.folds)
