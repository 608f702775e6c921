"""Surfaces of metal and wood, and of patterns pressed or punched into sheets."""

import numpy as np

from . import fields
from .base import Surface, surface
from .fields import F
from .seeds import log_uniform


@surface
class Turned(Surface):
    """Brushed around a centre."""
    name, words = "turned metal", ("turned metal", "lathed surface", "machined face", "circular brushed metal")
    alterable = ("count", "contrast", "stretch")
    palette = {"contrast": (0.15, 0.5), "level": (0.3, 0.75)}

    def draw(self, rng):
        self.cx, self.cy = rng.normal(0, 0.4, 2)
        self.count, self.stretch = log_uniform(rng, 25, 110), log_uniform(rng, 50, 300)
        self.gloss, self.lobes, self.phase = rng.uniform(0, 0.25), int(rng.integers(1, 4)), rng.uniform(0, 6.28)

    def paint(self, view):
        rng, n = view.rng("turned"), view.n
        x, y = view.xy
        x, y = x - F(self.cx), y - F(self.cy)
        lines = fields.spectral(rng, n, 0.3, 3, self.count, np.pi / 2, self.stretch)
        angle = np.arctan2(y, x)
        field = fields.sample(lines, np.mod(np.hypot(x, y) * F(n), n - 1), (angle + F(np.pi)) * F((n - 1) / (2 * np.pi)))
        tone = fields.span(field, 2.8) + F(self.gloss) * np.cos(angle * self.lobes + F(self.phase))
        return self.tone(tone), None


@surface
class Wood(Surface):
    name, words = "wood", ("wood", "wooden board", "veneer", "timber", "plank")
    alterable = ("count", "angle", "contrast", "warp")
    palette = {"contrast": (0.15, 0.45), "level": (0.35, 0.75)}
    weight = 1.3

    def draw(self, rng):
        self.count, self.warp = log_uniform(rng, 4, 26), rng.uniform(0.2, 1.6)
        self.angle = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05)
        self.fibre, self.pores, self.sharp = rng.uniform(0.1, 0.35), rng.uniform(0, 0.4), rng.uniform(1, 4)
        self.knots = rng.random() < 0.25

    def paint(self, view):
        rng, n = view.rng("wood"), view.n
        x, y = fields.turn(*view.surface, self.angle)
        angle = self.angle + view.pose.angle
        rings = y * F(self.count) + F(self.warp) * fields.spectral(rng, n, 2.0, 1, 6, angle, 4)
        if self.knots and rng.random() < 0.5:
            gx, gy = fields.turn(*fields.grid(n), angle)
            d2 = ((gx - F(rng.uniform(-0.4, 0.4))) / 3) ** 2 + (gy - F(rng.uniform(-0.4, 0.4))) ** 2
            rings = rings + F(self.count * 0.25) * np.exp(-d2 / F(0.003))
        phase = rings - np.floor(rings)
        late = phase ** F(self.sharp) * fields.smooth(1.0, 0.85, phase)
        fibres = fields.spectral(rng, n, 0.4, 4, 130, angle, 25)
        tone = F(0.7) - F(0.5) * late + F(self.fibre * 0.5) * fibres
        if self.pores > 0.1:
            tone = tone - F(self.pores) * fields.smooth(1.8, 2.6, fields.spectral(rng, n, 0.2, 20, 130, angle, 10))
        return self.tone(tone), fields.with_slope(fibres, 0.08)


@surface
class Spangle(Surface):
    name, words = "galvanised sheet", ("galvanised sheet", "zinc coated steel", "crystalline metal", "etched metal")
    alterable = ("count", "contrast", "shades")
    palette = {"contrast": (0.1, 0.4), "level": (0.4, 0.7)}
    weight = 0.7

    def draw(self, rng):
        self.count, self.shades = log_uniform(rng, 4, 25), rng.uniform(0.3, 1.0)
        self.noise, self.warp = rng.uniform(0.02, 0.15), rng.uniform(0, 0.35)

    def paint(self, view):
        rng, n = view.rng("spangle"), view.n
        x, y = view.surface
        x, y = x * F(self.count), y * F(self.count)
        x, y = x + F(self.warp) * fields.octaves(rng, n, 6, 3), y + F(self.warp) * fields.octaves(rng, n, 6, 3)
        cells = fields.Cells(rng, x, y, 1.0)
        tone = F(0.5) + F(self.shades) * (cells.of_cell() - F(0.5))
        return self.tone(tone + F(self.noise) * fields.spectral(rng, n, 0.7, 4, 110)), None


@surface
class Rust(Surface):
    name, words = "oxidised metal", ("oxidised metal", "weathered steel", "patinated metal", "rolled steel", "forged part")
    alterable = ("count", "contrast", "cut")

    def draw(self, rng):
        self.count, self.cut = log_uniform(rng, 4, 16), rng.uniform(-0.5, 1.2)
        self.soft_cut, self.bump, self.fine = rng.uniform(0.3, 1.5), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5)

    def paint(self, view):
        rng, n = view.rng("rust"), view.n
        wide = fields.octaves(rng, n, round(self.count), 5, 0.65)
        fine = fields.spectral(rng, n, 0.5, 10, 120)
        patch = fields.smooth(self.cut, self.cut + self.soft_cut, wide)
        tone = F(0.3) + F(0.45) * patch + F(self.fine * 0.25) * fine * (F(0.4) + patch)
        return self.tone(tone), fields.with_slope(fine * patch, self.bump)


@surface
class Milled(Surface):
    """Arcs of a cutter that moves along."""
    name, words = "milled metal", ("milled metal", "machined surface", "face milled part", "planed metal")
    alterable = ("count", "angle", "contrast")
    palette = {"contrast": (0.15, 0.5), "level": (0.35, 0.75)}
    weight = 0.8

    def draw(self, rng):
        self.count, self.radius = log_uniform(rng, 12, 60), log_uniform(rng, 0.3, 2.0)
        self.angle, self.irregular, self.noise = rng.uniform(0, np.pi), rng.uniform(0, 0.5), rng.uniform(0.05, 0.25)
        self.bump = rng.uniform(0.05, 0.4)

    def paint(self, view):
        rng, n = view.rng("milled"), view.n
        x, y = fields.turn(*view.surface, self.angle)
        band = np.mod(y, F(1.6 * self.radius)) - F(0.8 * self.radius)
        a = (x + np.sqrt(np.clip(F(self.radius ** 2) - band * band, 0, None))) * F(min(self.count, n / 4))
        i = np.floor(a).astype(np.int32)
        lift = rng.standard_normal(512, dtype=F)[i & 511]
        groove = np.abs((a - i) * 2 - 1)
        tone = F(0.3) + F(0.4) * groove + F(0.2 * self.irregular) * lift
        fine = fields.spectral(rng, n, 0.4, 5, 120)
        return self.tone(tone + F(self.noise * 0.5) * fine), groove * F(self.bump * 0.3 / self.count)


@surface
class Punched(Surface):
    name, words = "perforated sheet", ("perforated sheet", "punched metal", "speaker grille", "dotted pattern", "sieve")
    kinds = ("missing row",)
    alterable = ("count", "angle", "contrast", "hole")

    def draw(self, rng):
        self.count, self.hole = log_uniform(rng, 6, 34), rng.uniform(0.18, 0.4)
        self.angle = rng.choice([0, np.pi / 4, np.pi / 6]) + rng.normal(0, 0.02)
        self.staggered, self.square = rng.random() < 0.5, rng.random() < 0.2
        self.noise, self.jitter, self.dark = rng.uniform(0.02, 0.15), rng.uniform(0, 0.06), rng.random() < 0.75

    def threads(self, view):
        x, y = fields.turn(*view.surface, self.angle)
        return y * F(min(self.count, view.n / 6)), x

    def paint(self, view):
        rng, n = view.rng("punched"), view.n
        count = min(self.count, n / 6)
        x, y = fields.turn(*view.surface, self.angle)
        a, b = x * F(count), y * F(count)
        j = np.floor(b)
        if self.staggered:
            a = a + j * F(0.5)
        i = np.floor(a)
        at = (i.astype(np.int32) * 61 + j.astype(np.int32) * 7919) & 4095
        tables = rng.standard_normal((3, 4096), dtype=F)
        jitter = F(self.jitter)
        fx, fy = a - i - F(0.5) + jitter * tables[0][at], b - j - F(0.5) + jitter * tables[1][at]
        d = np.maximum(np.abs(fx), np.abs(fy)) if self.square else np.hypot(fx, fy)
        soft = max(0.05, 1.2 * count / n)
        hole = fields.smooth(self.hole + soft, self.hole - soft, d + jitter * F(0.5) * tables[2][at])
        gone = self.absent(j, (i + F(0.5) - (j * F(0.5) if self.staggered else 0)) / F(count))
        if gone is not None:
            hole = hole * ~gone
        field = F(0.68) + F(self.noise) * fields.spectral(rng, n, 0.7, 3, 100)
        tone = field * (1 - hole) + F(0.1) * hole
        return self.tone(tone if self.dark else 1 - tone), hole * F(-0.12 / count)


@surface
class Embossed(Surface):
    """A motif pressed again and again: diamond plate, dimples, studs."""
    name, words = "embossed sheet", ("embossed sheet", "tread plate", "textured plastic", "studded rubber mat")
    kinds = ("missing row",)
    alterable = ("count", "angle", "contrast", "long")

    def draw(self, rng):
        self.count, self.long = log_uniform(rng, 5, 26), rng.uniform(1.0, 3.5)
        self.angle, self.bump = rng.uniform(0, np.pi), rng.uniform(0.3, 0.9)
        self.noise, self.shine, self.inward = rng.uniform(0.03, 0.2), rng.uniform(0, 0.35), rng.random() < 0.3

    def threads(self, view):
        x, y = fields.turn(*view.surface, self.angle)
        return y * F(min(self.count, view.n / 6)), x

    def paint(self, view):
        rng, n = view.rng("embossed"), view.n
        count = min(self.count, n / 6)
        x, y = fields.turn(*view.surface, self.angle)
        a, b = x * F(count), y * F(count)
        i, j = np.floor(a).astype(np.int32), np.floor(b).astype(np.int32)
        fx, fy = (a - i - F(0.5)) * 2, (b - j - F(0.5)) * 2
        flip = ((i + j) & 1) == 0
        u, v = np.where(flip, fx, fy), np.where(flip, fy, fx)
        r = np.sqrt(u * u + (v * F(self.long)) ** 2)
        dome = fields.smooth(0.95, 0.35, r)
        gone = self.absent(j, (i + F(0.5)) / F(count))
        if gone is not None:
            dome = dome * ~gone
        tone = F(0.45) + F(self.shine) * dome + F(self.noise) * fields.spectral(rng, n, 0.6, 4, 110)
        return self.tone(tone), dome * F((-1 if self.inward else 1) * self.bump * 0.25 / count)
