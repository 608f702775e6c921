"""Defects that are lines: scratches, cracks, cuts, hairs, creases, threads."""

import numpy as np

from . import fields
from .defects import Change, is_solid, kind, mix, own, strokes, walk
from .fields import F
from .seeds import log_uniform


@kind("scratch", "scratch mark", "scratches", "scrape", fits=is_solid, weight=1.5, small=0.07, large=0.7, slender=True)
def scratch(site):
    rng, n, steps = site.rng, site.n, 24
    angle, wiggle = rng.uniform(0, 2 * np.pi), rng.choice([0.0, 0.02, 0.07])
    bend = rng.normal(0, 0.6) if rng.random() < 0.4 else 0.0
    width = site.pixels(log_uniform(rng, 0.9, 4.0))
    count = 1 if rng.random() < 0.7 else int(rng.integers(2, 7))
    lines = []
    for k in range(count):
        start = np.asarray((site.x0, site.y0)) + (rng.normal(0, site.size * 0.12, 2) if k else 0)
        path = walk(rng, start, site.size * rng.uniform(0.7, 1.2), steps, angle + rng.normal(0, 0.06) * (k > 0), wiggle, bend)
        press = np.clip(np.sin(np.linspace(0.1, np.pi - 0.1, steps)) + rng.normal(0, 0.25, steps), 0.1, 1)
        lines.append((path, width * (0.5 + 0.6 * press), press))
    alpha = site.on_figure(strokes(n, lines))
    look, mode = site.look, rng.random()
    look.colour = mix(look.colour, site.other_tone(dark=mode < 0.4, more=0.15), alpha)
    if rng.random() < 0.5:  # a raised lip beside the groove
        lip = np.roll(alpha, (1, 1), axis=(0, 1)) * (1 - alpha)
        look.colour = mix(look.colour, site.other_tone(dark=mode >= 0.4), lip * F(0.6))
        alpha = np.maximum(alpha, lip)
    site.lift(-alpha * F(rng.uniform(0.2, 1.0) / n))
    return Change(look, alpha)


def _branches(rng, start, length, angle, width, depth):
    steps = max(5, int(14 * length / 0.15))
    path = walk(rng, (0, 0), length, min(steps, 40), angle, 0.28)
    path = path - path[0] + start
    count = len(path) - 1
    taper = np.linspace(1.0, 0.35, count)
    lines = [(path, width * taper, 0.65 + 0.35 * taper)]
    if depth:
        for k in range(1, count):
            if rng.random() < 1.6 / count:
                side = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
                lines += _branches(rng, path[k], length * rng.uniform(0.25, 0.6), angle + side, width * 0.7, depth - 1)
    return lines


@kind("crack", "hairline crack", "fracture", "cracks", fits=is_solid, weight=1.4, small=0.08, large=0.6, slender=True)
def crack(site):
    rng, n = site.rng, site.n
    angle = rng.uniform(0, 2 * np.pi)
    width = site.pixels(log_uniform(rng, 1.0, 4.5))
    lines = _branches(rng, (site.x0, site.y0), site.size, angle, width, int(rng.integers(0, 3)))
    if rng.random() < 0.5:
        lines += _branches(rng, (site.x0, site.y0), site.size * 0.6, angle + np.pi + rng.normal(0, 0.3), width, 1)
    alpha = site.on_figure(strokes(n, lines))
    look = site.look
    look.colour = mix(look.colour, site.other_tone(dark=rng.random() < 0.85, more=0.2), alpha * F(rng.uniform(0.7, 1.0)))
    site.lift(-alpha * F(rng.uniform(0.3, 1.5) / n))
    return Change(look, alpha)


@kind("cut", "slit", "tear", "gash", fits=own("crease"), weight=1.5, small=0.05, large=0.4, slender=True)
def cut(site):
    rng, steps = site.rng, 20
    path = walk(rng, (site.x0, site.y0), site.size, steps, rng.uniform(0, 2 * np.pi), rng.choice([0.02, 0.12]), rng.normal(0, 0.4))
    open_ = np.sin(np.linspace(0.1, np.pi - 0.1, steps)) * site.pixels(log_uniform(rng, 1.5, 10)) * min(1, site.size * 8)
    alpha = site.on_figure(strokes(site.n, [(path, open_, np.ones(steps))]))
    rim = np.clip(fields.blur(alpha, site.pixels(2.5)) * 2, 0, 1) * (1 - alpha)
    look = site.look
    look.colour = mix(look.colour, site.other_tone(dark=False), rim * F(0.5))
    look.colour = mix(look.colour, site.other_tone(dark=True, more=0.2), alpha)
    site.lift(rim * F(0.8 / site.n))
    return Change(look, np.maximum(alpha, rim))


@kind("hair", "fibre", "thread of dirt", "foreign fibre", "lint", small=0.06, large=0.45, slender=True)
def hair(site):
    rng, steps = site.rng, 40
    path = walk(rng, (site.x0, site.y0), site.size * 1.5, steps, rng.uniform(0, 2 * np.pi), 0.12, rng.normal(0, 2.5))
    width = site.pixels(log_uniform(rng, 0.9, 3.0))
    alpha = strokes(site.n, [(path, np.full(steps, width), np.full(steps, rng.uniform(0.75, 1.0)))])
    look, drop = site.look, int(rng.integers(0, 3))
    shadow = fields.blur(np.roll(alpha, (drop, drop), axis=(0, 1)), site.pixels(1.5)) * (1 - alpha)
    look.colour = look.colour * (1 - shadow * F(0.4))[..., None]
    look.colour = mix(look.colour, site.other_tone(more=0.15), alpha)
    return Change(look, np.maximum(alpha, shadow * F(0.5)))


@kind("crease", "fold", "wrinkle", "crease line", fits=own("crease"), weight=2.0, small=0.12, large=0.8, slender=True)
def crease(site):
    rng, steps = site.rng, 24
    path = walk(rng, (site.x0, site.y0), site.size, steps, rng.uniform(0, 2 * np.pi), 0.04, rng.normal(0, 0.3))
    press = np.sin(np.linspace(0.15, np.pi - 0.15, steps))
    line = strokes(site.n, [(path, np.full(steps, site.pixels(3.0)), press)])
    wide = site.pixels(log_uniform(rng, 1.5, 7))
    ridge = fields.blur(line, wide)
    ridge = ridge / F(ridge.max() + 1e-6)
    site.lift(ridge * F(rng.choice([-1, 1]) * wide / site.n * (0.5 + 2.0 * site.strength)))
    look = site.look
    look.colour = look.colour * (1 + F(rng.choice([-1, 1]) * (0.05 + 0.3 * site.strength)) * ridge ** 3)[..., None]
    look.colour = np.clip(look.colour, 0, 1)
    return Change(look, np.clip(ridge * F(1.4), 0, 1))


def _threads(site):
    """Coordinates from the middle of the thread or row at the place: across it in threads, along it in halves of
    the size; and the across coordinate's slopes, in threads a picture."""
    across, along = site.scene.threads(site.view)
    px, py = int((site.x0 + 0.5) * site.n), int((site.y0 + 0.5) * site.n)
    off = across - (np.floor(across[py, px]) + F(0.5))
    return off, np.abs(along - along[py, px]) * F(2 / max(site.size, 0.08)), fields.slopes(across)


def _band(off, way, slopes, thick):
    """0..1 along a thread."""
    half = max(thick / 2, 0.75 * _density(slopes) / off.shape[0])
    return fields.smooth(half * 1.25, half * 0.75, np.abs(off)) * fields.smooth(1.0, 0.9, way)


def _density(slopes):
    middle = slopes[0].shape[0] // 2
    return float(np.hypot(slopes[0][middle, middle], slopes[1][middle, middle])) + 1e-3


def _missing(site):
    across, along = site.scene.threads(site.view)
    px, py = int((site.x0 + 0.5) * site.n), int((site.y0 + 0.5) * site.n)
    row, here, half = int(np.floor(across[py, px])), float(along[py, px]), max(site.size, 0.06) / 2
    off, way, slopes = _threads(site)
    return Change(site.scene.look(site.view, site.scene.with_gap(row, here - half, here + half)),
                  _band(off, way * F(0.85), slopes, 1.2))


@kind("missing thread", "missing yarn", "broken thread", fits=own("missing thread"), weight=3.0, small=0.08, large=1.2,
      slender=True)
def missing_thread(site):
    return _missing(site)


@kind("missing row", "missing line", "gap in the pattern", fits=own("missing row"), weight=4.0, small=0.08, large=1.0,
      slender=True)
def missing_row(site):
    return _missing(site)


@kind("thread pull", "pulled thread", "snag", "thread error", fits=own("thread pull"), weight=3.0, small=0.08, large=0.6, slender=True)
def thread_pull(site):
    off, way, (sx, sy) = _threads(site)
    dense = _density((sx, sy))
    # Towards higher threads: along the slope of the coordinate across.
    push = F(site.rng.choice([-1, 1]) * (0.5 + 1.8 * site.strength) / dense) * np.exp(-(off / 2) ** 2) * \
        (1 - np.clip(way, 0, 1) ** 2)
    gx, gy = fields.grid(site.n)
    px = (gx + F(0.5) - push * sx / F(dense)) * F(site.n) - F(0.5)
    py = (gy + F(0.5) - push * sy / F(dense)) * F(site.n) - F(0.5)
    look = site.look
    look.colour = fields.sample(look.colour, px, py)
    if look.height is not None:
        look.height = fields.sample(look.height, px, py)
    tight = _band(off, way, (sx, sy), 1.0)
    look.colour = mix(look.colour, site.other_tone(), tight * F(0.3 + 0.4 * site.strength))
    return Change(look, np.maximum(tight, np.clip(np.abs(push) * F(1.2 * dense), 0, 1)))


@kind("loose thread", "loose yarn", "hanging thread", fits=own("loose thread"), weight=2.0, small=0.06, large=0.4, slender=True)
def loose_thread(site):
    rng, steps = site.rng, 30
    path = walk(rng, (site.x0, site.y0), site.size * 1.6, steps, rng.uniform(0, 2 * np.pi), 0.25, rng.normal(0, 3))
    threads = site.scene.threads(site.view)
    wide = site.pixels(2.0) if threads is None else 0.6 * site.n / _density(fields.slopes(threads[0]))
    width = np.clip(wide, site.pixels(1.2), site.pixels(7))
    line = [(path, np.full(steps, width), np.ones(steps))]
    alpha = strokes(site.n, line)
    shadow = fields.blur(np.roll(alpha, (2, 1), axis=(0, 1)), site.pixels(2)) * (1 - alpha)
    look = site.look
    look.colour = look.colour * (1 - shadow * F(0.5))[..., None]
    target = site.local() * F(rng.uniform(0.85, 1.35)) if rng.random() < 0.6 else site.other_tone(more=0.1)
    look.colour = mix(look.colour, np.clip(target, 0, 1), alpha)
    site.lift(fields.blur(alpha, 0.8) * F(0.8 * width / site.n))
    return Change(look, np.maximum(alpha, shadow * F(0.6)))
