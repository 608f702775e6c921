"""Defects that are areas: stains, holes, dents, blur, foreign matter, wrong light."""

import numpy as np

from . import fields
from .base import SURFACES
from .colours import any_palette
from .defects import Change, is_cloth, is_solid, kind, mix, own, strokes
from .fields import F
from .seeds import log_uniform, pick


@kind("stain", "discolouration", "dirty spot", "dark stain", "oil spot", "spot", weight=1.3)
def stain(site):
    rng = site.rng
    alpha = site.blob()
    shown = np.clip(alpha * F(0.5) + F(1.8) * alpha * (1 - alpha), 0, 1) if rng.random() < 0.3 else alpha  # a dried rim
    look = site.look
    target = site.other_tone()
    if rng.random() < 0.6:  # it soaks in: the texture stays
        shown = shown * F(rng.uniform(0.6, 1.0))
        look.colour = np.clip(look.colour + (target - site.local()) * shown[..., None], 0, 1)
    else:
        look.colour = mix(look.colour, target, shown * F(rng.uniform(0.6, 0.95)))
    return Change(look, alpha)


@kind("colour error", "colour defect", "wrong colour", "fading", "discoloured area", small=0.05)
def colour_error(site):
    alpha = site.blob()
    look, rng = site.look, site.rng
    channels = look.colour.shape[2]
    gain = np.exp(rng.normal(0, 0.25 + 0.5 * site.strength, channels))
    look.colour = np.clip(look.colour * (1 + (gain.astype(F) - 1) * alpha[..., None]), 0, 1)
    return Change(look, alpha)


@kind("hole", "pit", "blowhole", "cavity", "puncture", weight=1.3, small=0.02, large=0.16)
def hole(site):
    rng = site.rng
    inner = site.blob(ragged=rng.uniform(0, 0.4), edge=rng.uniform(0.1, 0.4))
    rim = np.clip(fields.blur(inner, max(0.8, site.size * site.n * 0.08)) * 1.8, 0, 1) * (1 - inner)
    look = site.look
    look.colour = np.clip(look.colour + (rim * F(rng.uniform(-0.12, 0.25)))[..., None], 0, 1)
    target = site.other_tone(dark=rng.random() < 0.88, more=0.1)
    look.colour = mix(look.colour, target * F(rng.uniform(0.5, 1.0)), inner)
    if look.height is not None:
        look.height = look.height * (1 - inner)
    site.lift(-inner * F(site.size * rng.uniform(0.05, 0.3)))
    return Change(look, np.maximum(inner, rim * F(0.6)))


@kind("pores", "porosity", "pinholes", "pitting", "pits", fits=is_solid, small=0.05)
def pores(site):
    rng, count = site.rng, int(site.rng.integers(3, 25))
    spots = np.asarray((site.x0, site.y0)) + rng.normal(0, site.size / 3.2, (count, 2))
    widths = site.pixels(2.8) * np.exp(rng.normal(0.3, 0.5, count))
    lines = [(np.stack([s, s + rng.normal(0, 0.004, 2)]), [w], [rng.uniform(0.6, 1)]) for s, w in zip(spots, widths)]
    alpha = site.on_figure(fields.blur(strokes(site.n, lines), 0.5))
    look = site.look
    look.colour = mix(look.colour, site.other_tone(dark=rng.random() < 0.85, more=0.25), alpha)
    site.lift(-alpha * F(1.0 / site.n))
    return Change(look, alpha)


@kind("dent", "dimple", "depression", "bump", "bulge", fits=is_solid, weight=1.2, small=0.04)
def dent(site):
    rng = site.rng
    alpha = site.blob(ragged=rng.uniform(0, 0.25), edge=rng.uniform(0.6, 0.98))
    depth = site.size * (0.1 + 0.5 * site.strength) * (-1 if rng.random() < 0.65 else 1)
    site.lift(alpha * F(depth))
    look = site.look
    look.colour = np.clip(look.colour * (1 + F(np.sign(depth) * 0.12) * alpha)[..., None], 0, 1)
    return Change(look, alpha)


@kind("erased area", "missing texture", "worn area", "missing area", "abrasion", small=0.04)
def erased(site):
    alpha = site.blob()
    look, rng = site.look, site.rng
    base = np.broadcast_to(site.local(), look.colour.shape) * F(np.exp(rng.normal(0, 0.15 + 0.2 * site.strength)))
    plain = base + F(0.03) * fields.spectral(rng, site.n, 0.6, 4, 100)[..., None]
    look.colour = np.clip(mix(look.colour, plain, alpha * F(0.6 + 0.4 * site.strength)), 0, 1)
    if look.height is not None:
        look.height = look.height + alpha * (look.height.mean() - look.height)
    return Change(look, alpha)


@kind("break", "chipped edge", "chip", "broken edge", "broken off piece", fits=is_solid, weight=1.2, small=0.03, large=0.4)
def chipped(site):
    """A piece of the edge is gone: of the object's, or of the picture's."""
    rng, look, n = site.rng, site.look, site.n
    if look.figure is not None:
        ys, xs = np.nonzero(np.abs(look.figure - F(0.5)) < 0.4)
        if len(ys):
            k = int(rng.integers(len(ys)))
            site.move_to((xs[k] + 0.5) / n - 0.5, (ys[k] + 0.5) / n - 0.5)
    else:
        along, side = rng.uniform(-0.45, 0.45), rng.choice([-0.5, 0.5])
        site.move_to(*((along, side) if rng.random() < 0.5 else (side, along)))
    bite = site.blob(ragged=rng.uniform(0.2, 0.7), edge=0.06)
    face = site.blob(site.size * 1.35, ragged=rng.uniform(0.3, 0.8), edge=0.12)
    solid = np.ones((n, n), F) if look.figure is None else look.figure
    rough = fields.spectral(rng, n, 1.0, 4, 80)
    tone = np.clip(site.local() * F(rng.uniform(0.6, 1.5)) + (rough * F(0.08))[..., None], 0, 1)
    look.colour = mix(look.colour, tone, face * solid * F(0.5 + 0.5 * site.strength))
    if look.backing is not None:
        behind = look.backing
    else:
        level = rng.uniform(0.02, 0.15) if rng.random() < 0.7 else rng.uniform(0.7, 0.95)
        behind = np.full_like(look.colour, level)
    look.colour = mix(look.colour, behind, bite * solid)
    site.lift(-face * solid * F(0.02) * (1 + F(0.3) * rough) - bite * F(0.01))
    return Change(look, np.maximum(face, bite) * solid)


@kind("smear", "smudge", "smeared area", "wiped spot", small=0.08)
def smear(site):
    rng, look, n = site.rng, site.look, site.n
    alpha = site.blob(flat=rng.uniform(0.3, 0.8))
    reach = n * (0.015 + 0.05 * site.strength)
    angle = rng.uniform(0, np.pi)
    total = np.zeros_like(look.colour)
    for t in np.linspace(-1, 1, 7):
        total += np.roll(look.colour, (round(reach * t * np.sin(angle)), round(reach * t * np.cos(angle))), axis=(0, 1))
    total = total / F(7)
    tint = F(np.exp(rng.normal(0, 0.1 + 0.15 * site.strength)))
    look.colour = np.clip(mix(look.colour, total * tint, alpha), 0, 1)
    if look.height is not None:
        look.height = look.height + alpha * F(0.8) * (look.height.mean() - look.height)
    return Change(look, alpha)


@kind("blurred area", "blurred patch", "melted area", "soft spot", weight=0.6, small=0.1)
def blurred(site):
    alpha = site.blob(edge=0.5)
    look, sigma = site.look, site.n * (0.008 + 0.02 * site.strength)
    small = max(32, site.n // 3)
    channels = [fields.resize(fields.blur(fields.resize(look.colour[..., c], small, 4), sigma / 3), site.n)
                for c in range(look.colour.shape[2])]
    look.colour = mix(look.colour, np.stack(channels, axis=2), alpha)
    if look.height is not None:
        look.height = look.height + alpha * F(0.85) * (look.height.mean() - look.height)
    return Change(look, alpha)


@kind("contamination", "dirt", "foreign particle", "debris", "glue residue", "blob", weight=1.3)
def contamination(site):
    """Something lies on it: one blob or crumbs, with a shadow."""
    rng, look, n = site.rng, site.look, site.n
    if rng.random() < 0.6:
        alpha = site.blob(edge=rng.uniform(0.05, 0.3))
    else:
        count = int(rng.integers(2, 14))
        spots = np.asarray((site.x0, site.y0)) + rng.normal(0, site.size / 3.5, (count, 2))
        lines = [(np.stack([s, s + rng.normal(0, 0.012, 2)]), [w], [1.0])
                 for s, w in zip(spots, site.pixels(4) * np.exp(rng.normal(0, 0.5, count)))]
        alpha = fields.blur(strokes(n, lines), 0.6)
    shadow = fields.blur(np.roll(alpha, (2, 2), axis=(0, 1)), 1.5) * (1 - alpha) * F(rng.uniform(0, 0.5))
    palette = any_palette(rng, look.colour.shape[2], 0.3)
    grainy = palette(np.clip(F(0.5) + F(0.2) * fields.spectral(rng, n, 0.8, 5, 90), 0, 1))
    target = site.other_tone(more=0.1)
    colour = np.clip(target + (grainy - palette.middle) * F(0.6), 0, 1)
    look.colour = mix(look.colour * (1 - shadow)[..., None], colour, alpha)
    site.lift(alpha * F(min(site.size, 0.05) * rng.uniform(0.1, 0.4)))
    return Change(look, np.maximum(alpha, shadow))


@kind("corrosion", "rust", "burn", "mould", "oxidation", fits=is_solid, small=0.06)
def corrosion(site):
    rng, look = site.rng, site.look
    zone = site.blob(edge=0.9)
    noise = fields.octaves(rng, site.n, 14, 4, 0.7)
    alpha = site.on_figure(fields.smooth(0.15, 0.55, zone * F(0.9) + noise * F(0.22) * (zone > 0)) * (zone > 0.02))
    shades = F(0.6) + F(0.4) * fields.span(fields.spectral(rng, site.n, 0.7, 8, 100))
    target = site.other_tone(dark=rng.random() < 0.75, more=0.05)
    if look.colour.shape[2] == 3 and rng.random() < 0.5:
        target = target * np.array([1.15, 0.8, 0.55], F)
    look.colour = np.clip(mix(look.colour, target * shades[..., None], alpha * F(0.85)), 0, 1)
    return Change(look, alpha)


@kind("foreign texture", "foreign material", "foreign patch", "wrong material", weight=1.2, small=0.04)
def foreign(site):
    rng, look = site.rng, site.look
    alpha = site.blob(edge=rng.uniform(0.05, 0.5))
    if site.scene.textured and rng.random() < 0.35:  # the own texture, but denser, turned or flatter
        other = site.scene.look(site.view, site.scene.altered(rng, site.strength))
        look.colour = mix(look.colour, other.colour, alpha)
        if other.height is not None:
            look.height = look.height + alpha * (other.height - look.height)
        return Change(look, alpha)
    surface = SURFACES[pick(rng, sorted(SURFACES))](rng)
    tone, relief = surface.paint(site.view)
    channels = look.colour.shape[2]
    if rng.random() < 0.5:  # in the product's own colour: only the texture differs
        patch = site.local() + (tone - tone.mean())[..., None] * F(0.3 + 0.8 * site.strength)
    else:
        patch = any_palette(rng, channels)(tone)
    look.colour = np.clip(mix(look.colour, patch, alpha), 0, 1)
    if relief is not None and look.height is not None:
        look.height = look.height + alpha * (relief - look.height)
    return Change(look, alpha)


@kind("rough area", "roughness", "coarse area", "scuffed area", fits=is_solid, small=0.06)
def rough(site):
    rng, look, n = site.rng, site.look, site.n
    alpha = site.blob(edge=rng.uniform(0.3, 0.9))
    noise = fields.spectral(rng, n, rng.uniform(0.2, 1.0), 12, rng.uniform(50, 140))
    look.colour = np.clip(look.colour + (noise * alpha * F(0.04 + 0.16 * site.strength))[..., None], 0, 1)
    site.lift(fields.with_slope(noise, 0.2 + 0.5 * site.strength) * alpha)
    return Change(look, alpha)


@kind("frayed area", "fraying", "fuzzy area", "pilling", fits=is_cloth, weight=3.0, small=0.06)
def frayed(site):
    rng, n, count = site.rng, site.n, int(site.rng.integers(15, 70))
    at = np.asarray((site.x0, site.y0)) + rng.normal(0, site.size / 3.5, (count, 2))
    lines = []
    for start in at:
        path = start + np.cumsum(rng.normal(0, 0.004 + 0.02 * site.size, (5, 2)), axis=0)
        lines.append((path, np.full(4, site.pixels(rng.uniform(0.8, 2.0))), np.full(4, rng.uniform(0.4, 1))))
    alpha = strokes(n, lines)
    zone = np.clip(fields.blur(alpha, site.pixels(6)) * 2.5, 0, 1)
    look = site.look
    look.colour = mix(look.colour, np.broadcast_to(site.local(), look.colour.shape), zone * F(0.5 * site.strength))
    look.colour = mix(look.colour, site.other_tone(dark=rng.random() < 0.3), alpha)
    return Change(look, np.maximum(alpha, zone))


@kind("distortion", "deformation", "warped area", "bent area", weight=1.2, small=0.08, large=0.4)
def distortion(site):
    rng, n, look = site.rng, site.n, site.look
    alpha = site.blob(ragged=0.1, edge=0.98)
    reach, angle, kind_ = site.size * (0.06 + 0.25 * site.strength), rng.uniform(0, 2 * np.pi), rng.integers(3)
    if kind_ == 0:      # pushed aside
        dx, dy = alpha * F(reach * np.cos(angle)), alpha * F(reach * np.sin(angle))
    elif kind_ == 1:    # drawn together or apart
        sign = F(rng.choice([-1, 1]) * 2 * reach / site.size)
        dx, dy = site.x * alpha * sign, site.y * alpha * sign
    else:               # turned
        sign = F(rng.choice([-1, 1]) * 3 * reach / site.size)
        dx, dy = site.y * alpha * sign, -site.x * alpha * sign
    gx, gy = fields.grid(n)
    px, py = (gx + F(0.5) + dx) * F(n) - F(0.5), (gy + F(0.5) + dy) * F(n) - F(0.5)
    look.colour = fields.sample(look.colour, px, py)
    if look.height is not None:
        look.height = fields.sample(look.height, px, py)
    return Change(look, np.clip(alpha * 2, 0, 1))


@kind("uneven brightness", "dark area", "bright area", "uneven area", "shading", weight=1.2, small=0.15, large=0.7,
      of_light=True)
def uneven(site):
    alpha = site.blob(ragged=0.2, edge=0.98)
    sign = -1 if site.rng.random() < 0.6 else 1
    return Change(site.look, alpha, light=1.0 + F(sign * (0.12 + 0.4 * site.strength)) * alpha)


@kind("misprint", "smudged print", "double print", "print error", fits=own("misprint"), weight=6.0, small=0.08, large=0.5)
def misprint(site):
    rng, look, n = site.rng, site.look, site.n
    alpha = site.blob(edge=0.3)
    reach = n * rng.uniform(0.008, 0.03)
    angle = rng.uniform(0, 2 * np.pi)
    ghost = np.roll(look.colour, (round(reach * np.sin(angle)), round(reach * np.cos(angle))), axis=(0, 1))
    if rng.random() < 0.6:
        dark = look.colour.mean(axis=2, keepdims=True) < ghost.mean(axis=2, keepdims=True)
        ghost = look.colour * F(0.5) + F(0.5) * np.where(dark, look.colour, ghost)
    look.colour = mix(look.colour, ghost, alpha)
    return Change(look, alpha)
