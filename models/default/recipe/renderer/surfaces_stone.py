"""Surfaces of cells, stones and pores."""

import numpy as np
from PIL import Image, ImageDraw

from . import fields
from .base import Surface, surface
from .fields import F
from .seeds import log_uniform


def _warped(view, rng, count, warp):
    x, y = view.surface
    x, y = x * F(count), y * F(count)
    if warp:
        x, y = x + F(0.012 * warp * count) * fields.soft(rng, view.n, 6), y + F(0.012 * warp * count) * fields.soft(rng, view.n, 6)
    return x, y


@surface
class Leather(Surface):
    kinds = ("crease",)
    name, words = "leather", ("leather", "artificial leather", "leather cover", "grained hide")
    alterable = ("count", "contrast", "crease")
    weight = 1.3

    def draw(self, rng):
        self.count, self.crease = log_uniform(rng, 14, 70), rng.uniform(0.08, 0.35)
        self.jitter, self.warp, self.bump = rng.uniform(0.6, 1.0), rng.uniform(0, 0.8), rng.uniform(0.2, 0.8)
        self.uneven, self.fine = rng.uniform(0, 0.2), rng.uniform(0, 0.12)

    def paint(self, view):
        rng, n = view.rng("leather"), view.n
        cells = fields.Cells(rng, *_warped(view, rng, min(self.count, n / 4), self.warp), self.jitter)
        dome = fields.smooth(0.0, self.crease + 0.1, cells.border)
        tone = F(0.25) + F(0.5) * dome + F(self.uneven) * fields.octaves(rng, n, 3, 3)
        tone = tone + F(self.fine) * rng.standard_normal((n, n), dtype=F)
        return self.tone(tone), dome * F(self.bump * 0.3 / self.count)


@surface
class Crackle(Surface):
    name, words = "crackle", ("crackle glaze", "cracked glaze", "craquelure surface", "veined stone")
    alterable = ("count", "contrast", "width")
    weight = 0.7

    def draw(self, rng):
        self.count, self.width, self.warp = log_uniform(rng, 4, 20), rng.uniform(0.02, 0.1), rng.uniform(0.2, 1.2)
        self.uneven, self.cell = rng.uniform(0.05, 0.25), rng.uniform(0, 0.3)

    def paint(self, view):
        rng = view.rng("crackle")
        cells = fields.Cells(rng, *_warped(view, rng, self.count, self.warp), 1.0)
        line = fields.smooth(0.0, max(self.width, 1.6 * self.count / view.n), cells.border)
        tone = F(0.1) + F(0.5) * line + F(self.cell) * (cells.of_cell() - F(0.5))
        return self.tone(tone + F(self.uneven) * fields.octaves(rng, view.n, 4, 4)), line * F(0.1 / self.count)


@surface
class Tiles(Surface):
    name, words = "tiles", ("tiled surface", "tiles", "brick wall", "paving", "ceramic tiles")
    alterable = ("count", "angle", "contrast", "joint")

    def draw(self, rng):
        self.count, self.ratio = log_uniform(rng, 2.5, 14), rng.choice([1.0, 1.0, 2.0, 3.0])
        self.angle = rng.normal(0, 0.02) if rng.random() < 0.7 else np.pi / 4
        self.joint, self.bond = rng.uniform(0.02, 0.12), rng.choice([0.0, 0.0, 0.5, 0.33])
        self.uneven, self.noise, self.ragged = rng.uniform(0, 0.3), rng.uniform(0.02, 0.2), rng.uniform(0, 0.05)
        self.dark_joint = rng.random() < 0.6

    def paint(self, view):
        rng, n = view.rng("tiles"), view.n
        x, y = fields.turn(*view.surface, self.angle)
        b = y * F(self.count)
        j = np.floor(b)
        a = x * F(self.count / self.ratio) + j * F(self.bond)
        i = np.floor(a)
        edge = np.minimum((F(0.5) - np.abs(a - i - F(0.5))) * F(self.ratio), F(0.5) - np.abs(b - j - F(0.5)))
        if self.ragged:
            edge = edge + F(self.ragged) * fields.octaves(rng, n, 30, 2)
        face = fields.smooth(self.joint * 0.5, self.joint * 0.5 + max(0.03, 1.5 * self.count / n), edge)
        table = rng.random(4096, dtype=F)
        lift = table[(i.astype(np.int32) * 61 + j.astype(np.int32) * 7919) & 4095] - F(0.5)
        field = F(0.6 if self.dark_joint else 0.35) + F(self.uneven) * lift
        field = field + F(self.noise) * fields.spectral(rng, n, 0.9, 2, 100)
        tone = field * face + F(0.12 if self.dark_joint else 0.85) * (1 - face)
        return self.tone(tone), face * F(0.12 / self.count)


@surface
class Terrazzo(Surface):
    """Dead leaves: chips that cover each other."""
    name, words = "terrazzo", ("terrazzo", "chipped stone", "composite stone", "pressed chips", "gravel")
    alterable = ("count", "contrast", "cover")

    def draw(self, rng):
        self.count, self.cover = log_uniform(rng, 6, 26), rng.uniform(0.4, 2.2)
        self.steps, self.noise, self.corners = int(rng.integers(3, 9)), rng.uniform(0.02, 0.12), int(rng.integers(4, 9))
        self.flat = rng.uniform(0.4, 1.0)

    def paint(self, view):
        rng, n = view.rng("terrazzo"), view.n
        chips = int(np.clip(self.cover * self.count ** 2, 20, 900))
        image = Image.new("L", (2 * n, 2 * n), 110)
        draw = ImageDraw.Draw(image)
        angles = np.sort(rng.uniform(0, 2 * np.pi, (chips, self.corners)), axis=1)
        radius = (0.7 / self.count) * np.exp(rng.normal(0, 0.5, (chips, 1))) * rng.uniform(0.75, 1.1, angles.shape)
        tilt = rng.uniform(0, 2 * np.pi, (chips, 1))
        px, py = radius * np.cos(angles), radius * np.sin(angles) * self.flat
        c, s = np.cos(tilt), np.sin(tilt)
        at = rng.uniform(-0.05, 1.05, (chips, 1, 2))
        points = ((np.stack([px * c - py * s, px * s + py * c], axis=2) + at) * (2 * n)).reshape(chips, -1).tolist()
        greys = (rng.integers(0, self.steps, chips) * (230 / (self.steps - 1)) + 12).astype(int).tolist()
        for p, grey in zip(points, greys):
            draw.polygon(p, fill=grey)
        tone = np.asarray(image.reduce(2), dtype=F) / F(255.0)
        return self.tone(tone + F(self.noise) * fields.spectral(rng, n, 0.6, 5, 100)), None


@surface
class Granite(Surface):
    name, words = "granite", ("granite", "speckled stone", "stone slab", "engineered stone")
    alterable = ("count", "contrast")

    def draw(self, rng):
        self.count, self.layers = log_uniform(rng, 12, 60), int(rng.integers(2, 4))
        self.steps, self.cuts = rng.uniform(-0.4, 0.4, 3), rng.uniform(0.2, 1.4, 3)

    def paint(self, view):
        rng, n = view.rng("granite"), view.n
        tone = F(0.5) + F(0.08) * fields.spectral(rng, n, 0.5, 3, 120)
        for k in range(self.layers):
            noise = fields.spectral(rng, n, 0.9, self.count * 0.3, self.count * (1 + k))
            tone = tone + F(self.steps[k]) * fields.smooth(self.cuts[k], self.cuts[k] + 0.35, noise)
        return self.tone(tone), None


@surface
class Concrete(Surface):
    name, words = "concrete", ("concrete", "plaster", "cement board", "screed", "plastered wall")
    alterable = ("count", "contrast", "pores")
    palette = {"contrast": (0.15, 0.45)}

    def draw(self, rng):
        self.count, self.pores, self.bump = log_uniform(rng, 40, 120), rng.uniform(0, 0.5), rng.uniform(0.05, 0.5)
        self.cells, self.angle = log_uniform(rng, 8, 30), rng.uniform(0, np.pi)
        self.trowel = rng.uniform(0.1, 0.8) if rng.random() < 0.5 else 0.0

    def paint(self, view):
        rng, n = view.rng("concrete"), view.n
        noise = fields.spectral(rng, n, 1.1, 1, self.count)
        if self.trowel:
            noise = fields.unit(noise + F(self.trowel) * fields.spectral(rng, n, 1.0, 2, 60, self.angle, 8))
        tone, height = fields.span(noise, 3.0), fields.with_slope(noise, self.bump)
        if self.pores > 0.1:
            cells = fields.Cells(rng, *_warped(view, rng, self.cells, 0), 1.0)
            size = F(self.pores * 0.5) * cells.of_cell() ** 3 + F(0.02)
            pore = fields.smooth(1.0, 0.6, cells.near / size) * (cells.of_cell(1) < 0.5)
            tone, height = tone * (1 - F(0.7) * pore), height - pore * F(0.02 / self.cells)
        return self.tone(tone), height


@surface
class Foam(Surface):
    name, words = "foam", ("foam", "sponge", "porous material", "open pored surface", "cork")
    alterable = ("count", "contrast", "open")

    def draw(self, rng):
        self.count, self.open = log_uniform(rng, 8, 45), rng.uniform(0.3, 0.75)
        self.jitter, self.bump, self.noise = rng.uniform(0.5, 1.0), rng.uniform(0.2, 0.8), rng.uniform(0.02, 0.15)

    def paint(self, view):
        rng, n = view.rng("foam"), view.n
        count = min(self.count, n / 5)
        cells = fields.Cells(rng, *_warped(view, rng, count, 0.3), self.jitter)
        size = F(self.open) * (F(0.4) + F(0.8) * cells.of_cell())
        pore = fields.smooth(1.1, 0.6, cells.near / size)
        tone = F(0.72) - F(0.55) * pore * (F(0.5) + F(0.5) * cells.of_cell(1))
        tone = tone + F(self.noise) * fields.spectral(rng, n, 0.5, 5, 110)
        return self.tone(tone), pore * F(-self.bump * 0.3 / count)


@surface
class Honeycomb(Surface):
    name, words = "honeycomb", ("honeycomb", "hexagonal grid", "honeycomb core", "hexagonal mesh")
    kinds = ("missing row",)
    alterable = ("count", "angle", "contrast", "wall")
    weight = 0.7

    def draw(self, rng):
        self.count, self.wall = log_uniform(rng, 5, 30), rng.uniform(0.06, 0.25)
        self.angle, self.uneven = rng.uniform(0, np.pi), rng.uniform(0, 0.3)
        self.bright_wall, self.wave = rng.random() < 0.6, rng.uniform(0, 0.01) * self.count

    def threads(self, view):
        x, y = fields.turn(*view.surface, self.angle)
        return y * F(min(self.count, view.n / 6) / np.sqrt(0.75)), x

    def paint(self, view):
        rng, n = view.rng("honeycomb"), view.n
        count = min(self.count, n / 6)
        x, y = fields.turn(*view.surface, self.angle)
        wave = F(self.wave)
        x, y = x * F(count) + wave * fields.soft(rng, n, 4), y * F(count) + wave * fields.soft(rng, n, 4)
        tall = F(np.sqrt(3))
        ax, ay = np.mod(x, 1) - F(0.5), np.mod(y, tall) - tall / 2
        bx, by = np.mod(x + F(0.5), 1) - F(0.5), np.mod(y + tall / 2, tall) - tall / 2
        first = ax * ax + ay * ay < bx * bx + by * by
        hx, hy = np.abs(np.where(first, ax, bx)), np.abs(np.where(first, ay, by))
        edge = F(0.5) - np.maximum(hx, hx * F(0.5) + hy * F(np.sqrt(0.75)))
        cell = fields.smooth(self.wall * 0.5, self.wall * 0.5 + max(0.05, 1.5 * count / n), edge)
        row = np.where(first, 2 * np.floor(y / tall), 2 * np.floor(y / tall + F(0.5)) - 1)
        gone = self.absent(row, x / F(count))
        if gone is not None:  # filled
            cell = cell * ~gone
        tone = F(0.2) + F(0.6) * (1 - cell if self.bright_wall else cell)
        tone = tone + F(self.uneven * 0.4) * fields.octaves(rng, n, 6, 3)
        return self.tone(tone), (1 - cell) * F(0.15 / count)
