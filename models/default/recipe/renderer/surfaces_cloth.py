"""Surfaces of threads."""

import numpy as np
from PIL import Image, ImageDraw

from . import fields
from .base import Surface, surface
from .fields import F
from .seeds import log_uniform

_TABLE = 512


class Weave(Surface):
    """Warp and weft; subclasses say which lies above."""

    kinds = ("missing thread", "thread pull", "frayed area", "loose thread", "crease")
    alterable = ("count", "angle", "contrast", "irregular", "ratio")

    def draw(self, rng):
        self.count, self.ratio = log_uniform(rng, 9, 60), rng.uniform(0.75, 1.3)
        self.angle = rng.normal(0, 0.03) if rng.random() < 0.6 else rng.uniform(0, np.pi)
        self.irregular, self.wave = rng.uniform(0, 0.5) ** 1.5, rng.uniform(0, 0.012) * self.count
        self.two_tone = rng.uniform(0.1, 0.9) if rng.random() < 0.5 else 0.0
        self.gap, self.bump = rng.uniform(0.0, 0.35), rng.uniform(0.15, 0.6)
        self.fuzz = rng.uniform(0, 0.25)

    def _lay(self, view):
        rng, n = view.rng("weave"), view.n
        count = min(self.count, n / 3.2)
        x, y = fields.turn(*view.surface, self.angle)
        a, b = x * F(count), y * F(min(count * self.ratio, n / 3.2))
        if self.wave:
            a = a + F(self.wave) * fields.soft(rng, n, 5)
            b = b + F(self.wave) * fields.soft(rng, n, 5)
        return rng, count, a, b, y

    def threads(self, view):
        _, _, a, _, along = self._lay(view)
        return a, along

    def paint(self, view):
        rng, count, a, b, along = self._lay(view)
        n = view.n
        tables = rng.standard_normal((4, _TABLE), dtype=F)
        i, j = np.floor(a).astype(np.int32), np.floor(b).astype(np.int32)
        fa, fb = a - i - F(0.5), b - j - F(0.5)
        over, gone = self.over(i, j), self.absent(i, along)
        i, j = i & (_TABLE - 1), j & (_TABLE - 1)
        uneven = F(0.35 * self.irregular)
        fa = fa + uneven * F(0.6) * tables[0][i]
        fb = fb + uneven * F(0.6) * tables[1][j]
        wide_a, wide_b = np.exp(uneven * tables[2][i]), np.exp(uneven * tables[3][j])
        narrow = F(1.0 + self.gap)
        ra, rb = 4 * (fa * narrow / wide_a) ** 2, 4 * (fb * narrow / wide_b) ** 2
        warp = np.clip(1 - ra, 0, 1) * np.clip(1 - F(1.4) * fb * fb, 0, 1)
        weft = np.clip(1 - rb, 0, 1) * np.clip(1 - F(1.4) * fa * fa, 0, 1)
        if gone is not None:  # only the weft is left
            over, warp = over & ~gone, np.where(gone, 0, warp)
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


@surface
class Satin(Weave):
    name, words = "satin", ("satin weave", "satin fabric", "silky fabric")

    def draw(self, rng):
        super().draw(rng)
        self.run, self.move = [(5, 2), (7, 3), (8, 3)][int(rng.integers(3))]

    def over(self, i, j):
        return (i - self.move * j) % self.run != 0


@surface
class Basket(Weave):
    name, words = "basket weave", ("basket weave", "woven strap", "coarse woven mat")

    def draw(self, rng):
        super().draw(rng)
        self.block = int(rng.integers(2, 4))

    def over(self, i, j):
        return ((i // self.block + j // self.block) & 1) == 0


@surface
class WireMesh(Plain):
    name, words = "wire mesh", ("wire mesh", "metal mesh", "woven screen", "filter mesh")
    kinds = ("missing thread", "thread pull")
    palette = {"contrast": (0.5, 0.9), "level": (0.4, 0.55)}

    def draw(self, rng):
        super().draw(rng)
        self.count, self.gap, self.fuzz = log_uniform(rng, 6, 36), rng.uniform(0.6, 2.2), 0.0
        self.two_tone, self.irregular = 0.0, self.irregular * 0.5
        self.wave = rng.uniform(0, 0.008) * self.count


@surface
class Carbon(Twill):
    name, words = "carbon fibre", ("carbon fibre sheet", "composite laminate", "fibre composite")
    palette = {"contrast": (0.3, 0.6), "level": (0.2, 0.4)}
    weight = 0.5

    def draw(self, rng):
        super().draw(rng)
        self.count, self.run, self.rest, self.gap = log_uniform(rng, 6, 20), 4, 2, 0.0
        self.two_tone, self.irregular, self.bump = rng.uniform(0.4, 0.9), self.irregular * 0.4, 0.1
        self.wave = 0.0


@surface
class Knit(Surface):
    name, words = "knit", ("knitted fabric", "knit", "jersey fabric", "wool knit")
    kinds = ("missing thread", "thread pull", "frayed area", "loose thread", "crease")
    alterable = ("count", "angle", "contrast", "irregular", "slant")

    def draw(self, rng):
        self.count, self.ratio, self.slant = log_uniform(rng, 8, 40), rng.uniform(1.0, 1.6), rng.uniform(0.6, 1.4)
        self.angle, self.irregular = rng.normal(0, 0.05), rng.uniform(0, 0.5)
        self.fuzz, self.bump, self.wave = rng.uniform(0.05, 0.35), rng.uniform(0.2, 0.6), rng.uniform(0, 0.01) * self.count

    def _lay(self, view):
        rng, n = view.rng("knit"), view.n
        count = min(self.count, n / 5)
        x, y = fields.turn(*view.surface, self.angle)
        return rng, n, count, x * F(count) + F(self.wave) * fields.soft(rng, n, 5), y

    def threads(self, view):
        *_, a, along = self._lay(view)
        return a, along

    def paint(self, view):
        rng, n, count, a, y = self._lay(view)
        rows = min(count * self.ratio, n / 6)
        b = y * F(rows) + F(self.wave) * fields.soft(rng, n, 5)
        tables = rng.standard_normal((2, _TABLE), dtype=F)
        i = np.floor(a).astype(np.int32)
        side = np.abs(a - i - F(0.5)) * 2
        v = b + F(self.slant) * side + F(0.15 * self.irregular) * tables[0][i & (_TABLE - 1)]
        j = np.floor(v).astype(np.int32)
        across = (v - j) * 2 - 1
        leg = np.sqrt(np.clip(1 - across * across, 0, 1)) * np.sqrt(np.clip(1 - (side * 2 - 1) ** 4, 0, 1))
        gone = self.absent(i, y)
        if gone is not None:  # a ladder
            rung = np.clip(1 - (np.mod(b, 1) * 2 - 1) ** 2 * 3, 0, 1)
            leg = np.where(gone, rung * F(0.6), leg)
        tone = F(0.1) + F(0.8) * leg + F(0.12 * self.irregular) * tables[1][j & (_TABLE - 1)]
        if n / rows > 12:  # else finer than the pixels
            tone = tone + np.sin((v * 3 + side * 4) * F(2 * np.pi)) * leg * F(0.05)
        tone = tone + F(self.fuzz * 0.35) * rng.standard_normal((n, n), dtype=F)
        return self.tone(tone), leg * F(self.bump * 0.5 / count)


@surface
class Felt(Surface):
    """Fibres that lie on each other in all directions."""
    name, words = "felt", ("felt", "fibre mat", "non-woven fabric", "fleece", "carpet")
    kinds = ("frayed area", "loose thread", "crease")
    alterable = ("count", "angle", "contrast", "length")

    def draw(self, rng):
        self.count, self.length = log_uniform(rng, 700, 3500), log_uniform(rng, 0.04, 0.3)
        self.angle, self.spread = rng.uniform(0, np.pi), rng.uniform(0.2, 3.0)
        self.width, self.bump = rng.uniform(0.5, 1.6), rng.uniform(0.1, 0.5)

    def paint(self, view):
        rng, n, count = view.rng("felt"), view.n, int(min(self.count, 4000))
        image = Image.new("L", (2 * n, 2 * n), 70)
        draw = ImageDraw.Draw(image)
        at = rng.uniform(-0.1, 1.1, (count, 2))
        angles = self.angle + view.pose.angle + rng.normal(0, self.spread, count)
        bends = angles + rng.normal(0, 0.5, count)
        lengths = self.length * np.exp(rng.normal(0, 0.3, count))
        widths = np.maximum(1, np.round(self.width * n / 120 * np.exp(rng.normal(0, 0.3, count)))).astype(int)
        first = at + np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None] / 2
        second = first + np.stack([np.cos(bends), np.sin(bends)], 1) * lengths[:, None] / 2
        points = (np.concatenate([at, first, second], axis=1) * 2 * n).tolist()
        greys = rng.integers(20, 250, count).tolist()
        for p, grey, width in zip(points, greys, widths.tolist()):
            draw.line(p, fill=grey, width=width)
        tone = np.asarray(image.reduce(2), dtype=F) / F(255.0)
        return self.tone(tone), fields.with_slope(tone, self.bump)


@surface
class Stripes(Surface):
    name, words = "stripes", ("striped surface", "ribbed surface", "grooved profile", "corrugated sheet")
    kinds = ("missing row",)
    alterable = ("count", "angle", "contrast", "irregular")

    def draw(self, rng):
        self.count, self.angle = log_uniform(rng, 4, 50), rng.uniform(0, np.pi)
        self.irregular, self.noise, self.bump = rng.uniform(0, 0.4), rng.uniform(0.02, 0.4), rng.uniform(0, 0.7)
        steps = np.sort(rng.random(5))
        levels = rng.random(5) if rng.random() < 0.5 else np.array([0.2, 0.8, 0.8, 0.2, 0.2])
        self.profile = fields.blur(np.repeat(np.interp(np.linspace(0, 1, 64, endpoint=False), steps, levels, period=1)
                                             .astype(F)[None], 3, axis=0), rng.uniform(0.4, 6))[1]

    def _lay(self, view):
        rng, n = view.rng("stripes"), view.n
        x, y = fields.turn(*view.surface, self.angle)
        return rng, n, x * F(min(self.count, n / 4)) + F(0.008 * self.irregular * self.count) * fields.soft(rng, n, 4), y

    def threads(self, view):
        *_, a, along = self._lay(view)
        return a, along

    def paint(self, view):
        rng, n, a, along = self._lay(view)
        i = np.floor(a).astype(np.int32)
        lift = rng.standard_normal(_TABLE, dtype=F)[i & (_TABLE - 1)]
        field = self.profile[((a - i) * 64).astype(np.int32) & 63]
        gone = self.absent(i, along)
        if gone is not None:
            field = np.where(gone, F(self.profile.min()), field)
        tone = field + F(0.2 * self.irregular) * lift + F(self.noise * 0.3) * fields.spectral(rng, n, 0.6, 3, 110)
        return self.tone(tone), field * F(self.bump * 0.4 / self.count)
