"""Surfaces of threads."""

import numpy as np

from . import fields
from .base import Surface, density, surface
from .fields import F

_TABLE = 512


class Weave(Surface):
    """Warp and weft; subclasses say which lies above."""

    kinds = ("missing thread", "thread pull", "frayed area", "loose thread")
    alterable = ("count", "angle", "contrast", "irregular", "ratio")

    def draw(self, rng):
        self.count, self.ratio = density(rng, 9, 60), rng.uniform(0.75, 1.3)
        self.angle = rng.normal(0, 0.03) if rng.random() < 0.6 else rng.uniform(0, np.pi)
        self.irregular, self.wave = rng.uniform(0, 0.5) ** 1.5, rng.uniform(0, 0.35)
        self.two_tone = rng.uniform(0.1, 0.9) if rng.random() < 0.5 else 0.0
        self.gap, self.bump = rng.uniform(0.0, 0.35), rng.uniform(0.15, 0.6)
        self.fuzz = rng.uniform(0, 0.25)
        self.grain = (self.angle, 1.0 / self.count)

    def paint(self, view):
        rng, n = view.rng("weave"), view.n
        count = min(self.count, n / 3.2)
        x, y = fields.turn(*view.surface, self.angle)
        a, b = x * F(count), y * F(min(count * self.ratio, n / 3.2))
        if self.wave:
            a = a + F(self.wave) * fields.soft(rng, n, 5)
            b = b + F(self.wave) * fields.soft(rng, n, 5)
        tables = rng.standard_normal((4, _TABLE), dtype=F)
        i, j = np.floor(a).astype(np.int32), np.floor(b).astype(np.int32)
        fa, fb = a - i - F(0.5), b - j - F(0.5)
        over = self.over(i, j)
        i, j = i & (_TABLE - 1), j & (_TABLE - 1)
        uneven = F(0.35 * self.irregular)
        fa = fa + uneven * F(0.6) * tables[0][i]
        fb = fb + uneven * F(0.6) * tables[1][j]
        wide_a, wide_b = np.exp(uneven * tables[2][i]), np.exp(uneven * tables[3][j])
        narrow = F(1.0 + self.gap)
        ra, rb = 4 * (fa * narrow / wide_a) ** 2, 4 * (fb * narrow / wide_b) ** 2
        warp = np.clip(1 - ra, 0, 1) * (1 - F(0.35) * 4 * fb * fb)
        weft = np.clip(1 - rb, 0, 1) * (1 - F(0.35) * 4 * fa * fa)
        top = np.where(over, warp, weft)
        below = np.where(over, weft, warp) * F(0.55)
        height = np.maximum(np.sqrt(top), np.sqrt(below))
        shift = F(0.12 * self.irregular) * np.where(over, tables[2][i], tables[3][j])
        tone = F(0.12) + F(0.72) * height + shift + np.where(over, F(-0.3), F(0.3)) * F(self.two_tone)
        if self.fuzz:
            tone = tone + F(self.fuzz * 0.4) * rng.standard_normal((n, n), dtype=F)
        return self.tone(tone), height * F(self.bump * 0.5 / count)

    def over(self, i, j):
        raise NotImplementedError


@surface
class Plain(Weave):
    name, words = "plain weave", ("plain weave", "woven fabric", "canvas", "woven cloth")

    def over(self, i, j):
        return ((i + j) & 1) == 0


@surface
class Twill(Weave):
    name, words = "twill", ("twill weave", "denim", "twill fabric", "diagonal weave")

    def draw(self, rng):
        super().draw(rng)
        self.run, self.rest = int(rng.integers(3, 6)), int(rng.integers(1, 3))

    def over(self, i, j):
        return (i + j) % self.run >= self.rest
