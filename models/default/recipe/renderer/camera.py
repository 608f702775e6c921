"""Light on a look, and the camera in front of it."""

import dataclasses
import io

import numpy as np
from PIL import Image, ImageFilter

from . import fields
from .fields import F
from .seeds import log_uniform, pick


@dataclasses.dataclass(frozen=True)
class Setting:
    """Light and camera for one piece."""
    azimuth: float      # where the light stands
    slant: float        # how much slopes show
    gloss: float        # strength of the highlight
    shine: int          # its sharpness, a power of two
    gradient: tuple     # brightness change over the picture, x and y
    vignette: float
    clouds: float       # unevenness of the light
    spot: tuple         # x, y, width, strength
    gain: float
    gamma: float
    tint: tuple
    focus: float        # blur in pixels at 336
    noise: float
    jpeg: int           # quality, 0: none


def draw(rng):
    """A product's own setting."""
    return Setting(
        azimuth=rng.uniform(0, 2 * np.pi), slant=log_uniform(rng, 0.25, 1.1),
        gloss=rng.uniform(0.1, 0.7) if rng.random() < 0.35 else 0.0, shine=pick(rng, (4, 8, 16, 32)),
        gradient=tuple(rng.normal(0, 0.22, 2) * (rng.random() < 0.6)),
        vignette=rng.uniform(0.1, 1.2) if rng.random() < 0.35 else 0.0,
        clouds=rng.uniform(0.03, 0.15) if rng.random() < 0.25 else 0.0,
        spot=(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.2, 0.6),
              rng.uniform(0.1, 0.6) if rng.random() < 0.2 else 0.0),
        gain=rng.uniform(0.8, 1.15), gamma=rng.uniform(0.85, 1.2), tint=tuple(rng.normal(0, 0.03, 3)),
        focus=rng.uniform(0.0, 0.7) if rng.random() < 0.7 else rng.uniform(0.7, 2.0),
        noise=log_uniform(rng, 0.004, 0.035), jpeg=int(rng.integers(55, 96)) if rng.random() < 0.4 else 0)


def adjectives(setting, channels):
    """What can be said of the photos."""
    true = {"bright": setting.gain > 1.05, "dark": setting.gain < 0.87, "blurry": setting.focus > 1.1,
            "black and white": channels == 1, "noisy": setting.noise > 0.02, "low resolution": setting.jpeg in range(1, 68)}
    return [word for word, holds in true.items() if holds]


def vary(setting, rng, amount):
    """The setting for one piece: the product's, changed by up to `amount` (0..1)."""
    a = amount
    return dataclasses.replace(
        setting,
        azimuth=setting.azimuth + rng.normal(0, 0.25 * a), slant=setting.slant * np.exp(rng.normal(0, 0.15 * a)),
        gradient=tuple(g + rng.normal(0, 0.22 * a) for g in setting.gradient),
        vignette=max(0.0, setting.vignette + rng.normal(0, 0.15 * a)),
        clouds=setting.clouds + abs(rng.normal(0, 0.06 * a)),
        spot=(setting.spot[0] + rng.normal(0, 0.15 * a), setting.spot[1] + rng.normal(0, 0.15 * a),
              setting.spot[2], setting.spot[3]),
        gain=setting.gain * np.exp(np.clip(rng.normal(0, 0.12 * a), -0.3, 0.25)), gamma=setting.gamma * np.exp(rng.normal(0, 0.06 * a)),
        tint=tuple(t + rng.normal(0, 0.015 * a) for t in setting.tint),
        focus=abs(setting.focus + rng.normal(0, 0.35 * a)), noise=setting.noise * np.exp(rng.normal(0, 0.2 * a)))


def _illumination(setting, n, rng):
    x, y = fields.grid(n)
    light = 1.0 + x * F(setting.gradient[0]) + y * F(setting.gradient[1])
    if setting.vignette:
        light = light - F(setting.vignette) * (x * x + y * y)
    if setting.clouds > 0.01:
        light = light + F(setting.clouds) * fields.soft(rng, n, 3)
    sx, sy, width, strength = setting.spot
    if strength:
        light = light + F(strength) * np.exp(-((x - F(sx)) ** 2 + (y - F(sy)) ** 2) / F(width * width))
    return light


_STEPS = 4096


def _response(setting):
    """The camera's curve over light 0..2. A shoulder instead of a hard clip: cameras burn out softly."""
    light = np.linspace(0.0, 2.0, _STEPS) * setting.gain
    light = np.where(light > 0.85, 0.85 + 0.15 * np.tanh((light - 0.85) / 0.25), light)
    return (light ** setting.gamma).astype(F)


def shoot(look, setting, side, rng_of, extra_light=None):
    """The picture [side, side, 3] in uint8; `rng_of(purpose)` gives the piece's generators."""
    n, channels = look.colour.shape[0], look.colour.shape[2]
    light = _illumination(setting, n, rng_of("illumination"))
    if extra_light is not None:
        light = light * extra_light
    shine = None
    if look.height is not None:
        sx, sy = fields.slopes(look.height)
        c, s = F(np.cos(setting.azimuth)), F(np.sin(setting.azimuth))
        lean = sx * c + sy * s
        light = light * np.clip(1.0 + F(setting.slant) * lean / np.sqrt(1.0 + sx * sx + sy * sy), 0.1, 2.2)
        if setting.gloss:
            bright = np.clip(1.0 - (sx - c * F(0.45)) ** 2 - (sy - s * F(0.45)) ** 2, 0.0, 1.0)
            for _ in range(int(np.log2(setting.shine))):
                bright = bright * bright
            shine = bright * F(setting.gloss)
    picture = look.colour * light[..., None]
    if shine is not None:
        picture = picture + shine[..., None]
    picture = _response(setting)[np.clip(picture * F(_STEPS / 2), 0, _STEPS - 1).astype(np.int16)]
    if channels == 3:
        picture = picture * (1.0 + np.asarray(setting.tint, dtype=F))
    noise = rng_of("noise").standard_normal(picture.shape, dtype=F)
    sigma = setting.focus * n / 336.0
    if sigma > 0.25:
        picture = fields.blur(picture, sigma) if sigma < 1.2 else _blur8(picture, sigma)
    picture = picture + noise * (F(setting.noise) * np.sqrt(np.clip(picture, 0.1, 1.0)))
    image = _to_image(picture)
    if setting.jpeg:
        store = io.BytesIO()
        image.save(store, "JPEG", quality=setting.jpeg)
        image = Image.open(store)
    if n != side:
        image = image.resize((side, side), Image.BICUBIC)
    return np.asarray(image.convert("RGB"))


def _to_image(picture):
    pixels = np.clip(picture * F(255.0) + F(0.5), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _blur8(picture, sigma):
    blurred = np.asarray(_to_image(picture).filter(ImageFilter.GaussianBlur(sigma)), dtype=F) / F(255.0)
    return blurred.reshape(picture.shape)
