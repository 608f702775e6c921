"""Palettes: tone 0..1 to colour, and the words for them."""

import colorsys

import numpy as np

from .fields import F
from .seeds import pick

HUES = [("red", 0.0), ("orange", 0.07), ("yellow", 0.14), ("green", 0.33), ("turquoise", 0.48), ("blue", 0.6),
        ("violet", 0.75), ("pink", 0.9)]
# What industry makes most of: name, hue, saturation.
MUTED = [("brown", 0.07, 0.5), ("beige", 0.1, 0.28), ("tan", 0.08, 0.4), ("cream", 0.13, 0.18), ("rust", 0.04, 0.6),
         ("olive", 0.18, 0.4), ("steel blue", 0.58, 0.22), ("bluish", 0.6, 0.12), ("warm grey", 0.09, 0.08)]


def shade_word(value):
    return "black" if value < 0.16 else "dark grey" if value < 0.36 else "grey" if value < 0.58 else \
        "light grey" if value < 0.8 else "white"


class Palette:
    """`table` [256, c]; `word` names the colour in a caption."""

    def __init__(self, table, word):
        self.table, self.word = table.astype(F), word

    def __call__(self, tone):
        return self.table[np.clip(tone * F(255.0), 0, 255).astype(np.uint8)]

    @property
    def middle(self):
        return self.table[128]


def _ramp(stops, channels):
    stops = np.asarray(stops, dtype=np.float64).reshape(len(stops), -1)
    at = np.linspace(0, 1, len(stops))
    tone = np.linspace(0, 1, 256)
    return np.stack([np.interp(tone, at, stops[:, k % stops.shape[1]]) for k in range(channels)], axis=1)


def grey(rng, channels, contrast=None, level=None):
    """Grey from dark to light around `level`, `contrast` wide."""
    level = rng.uniform(0.18, 0.78) if level is None else level
    contrast = rng.uniform(0.15, 0.7) if contrast is None else contrast
    low, high = max(0.02, level - contrast / 2), min(0.98, level + contrast / 2)
    if rng.random() < 0.25:
        low, high = high, low
    return Palette(_ramp([low, high], channels), shade_word((low + high) / 2))


def coloured(rng, channels, contrast=None, level=None):
    """Two to four colours that belong together: most of one hue, now and then of several."""
    if channels == 1:
        return grey(rng, channels, contrast, level)
    if rng.random() < 0.68:
        word, hue, saturation = pick(rng, MUTED)
    else:
        word, hue = pick(rng, HUES)
        saturation = rng.uniform(0.2, 0.6) if rng.random() < 0.7 else rng.uniform(0.6, 0.9)
    level = rng.uniform(0.3, 0.85) if level is None else level
    contrast = rng.uniform(0.15, 0.6) if contrast is None else contrast
    spread = rng.uniform(0.0, 0.03) if rng.random() < 0.85 else rng.uniform(0.03, 0.3)
    count = int(rng.integers(2, 5))
    values = np.linspace(level - contrast / 2, level + contrast / 2, count)
    if rng.random() < 0.3:
        rng.shuffle(values)
    stops = []
    for value in values:
        h = (hue + rng.uniform(-spread, spread)) % 1.0
        s = np.clip(saturation * rng.uniform(0.75, 1.25), 0, 1)
        stops.append(colorsys.hsv_to_rgb(h, s, float(np.clip(value, 0.04, 0.98))))
    if word not in ("cream", "beige") and level < 0.4:
        word = "dark " + word
    return Palette(_ramp(stops, channels), word)


def any_palette(rng, channels, contrast=None, level=None):
    """Grey or coloured, as the product's channels and chance will."""
    maker = grey if channels == 1 or rng.random() < 0.25 else coloured
    return maker(rng, channels, contrast, level)
