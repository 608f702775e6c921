"""Objects made of parts. Each builder takes a `Kit` and returns its parts, the bottom one first."""

import numpy as np

from . import shapes
from .base import SURFACES
from .colours import any_palette, grey
from .seeds import log_uniform, pick
from .shapes import Part

OBJECTS = {}

METAL = ("brushed metal", "turned metal", "milled metal", "sintered plate", "paint", "oxidised metal", "smooth plastic", "rough")
PLASTIC = ("smooth plastic", "paint", "sheet", "grain")
FOOD = ("mottled", "grain", "concrete", "foam", "leather", "rough", "felt")


class Kit:
    """What builders draw from."""

    def __init__(self, rng, channels):
        self.rng, self.channels = rng, channels

    def surface(self, names, contrast=0.5):
        surface = SURFACES[pick(self.rng, names)](self.rng)
        surface.contrast = contrast * self.rng.uniform(0.4, 1.4)
        if hasattr(surface, "bump"):
            surface.bump *= 0.5
        if hasattr(surface, "cx"):
            surface.cx = surface.cy = 0.0
        return surface

    def palette(self, contrast=None, level=None):
        return any_palette(self.rng, self.channels, contrast, level)

    def metal(self):
        make = grey if self.rng.random() < 0.7 else any_palette
        return make(self.rng, self.channels, self.rng.uniform(0.2, 0.5), self.rng.uniform(0.35, 0.75))

    def dark(self):
        return grey(self.rng, self.channels, 0.08, self.rng.uniform(0.05, 0.2))


def built(name, *words, weight=1.0, kinds=()):
    def register(function):
        OBJECTS[name] = (function, words, weight, kinds)
        return function
    return register


@built("ring", "metal ring", "washer", "gasket", "seal ring")
def ring(kit):
    rng = kit.rng
    outer = rng.uniform(0.28, 0.46)
    inner = outer * rng.uniform(0.3, 0.8)
    bevel = (outer - inner) / 2 if rng.random() < 0.3 else rng.uniform(0.005, 0.05)
    return [Part(shapes.without(shapes.circle(outer), shapes.circle(inner)), kit.metal(), outer,
                 surface=kit.surface(METAL), rise=rng.uniform(0.01, 0.04), bevel=bevel)]


@built("nut", "hexagon nut", "metal nut", "threaded nut")
def nut(kit):
    rng = kit.rng
    radius = rng.uniform(0.25, 0.4)
    bore = radius * rng.uniform(0.4, 0.65)
    parts = [Part(shapes.without(shapes.polygon(rng.choice([6, 6, 6, 4, 8]), radius, 0.06), shapes.circle(bore)),
                  kit.metal(), radius * 1.3, surface=kit.surface(METAL), rise=0.03, bevel=rng.uniform(0.01, 0.04))]
    for k in range(int(rng.integers(1, 4))):
        r = bore * (1 - 0.06 * k)
        parts.append(Part(shapes.without(shapes.circle(r), shapes.circle(r * 0.95)), kit.dark(), r, tone=0.2 + 0.3 * k,
                          rise=-0.01, bevel=0.01))
    return parts


@built("gear", "gear", "gear wheel", "cog wheel", "toothed wheel", weight=1.2)
def gear(kit):
    rng = kit.rng
    outer = rng.uniform(0.3, 0.45)
    bore = shapes.circle(outer * rng.uniform(0.12, 0.35))
    cuts = [bore]
    if rng.random() < 0.5:
        count, r = int(rng.integers(3, 8)), outer * 0.6
        cuts += [shapes.at(shapes.circle(outer * rng.uniform(0.08, 0.13)), r * np.cos(a), r * np.sin(a))
                 for a in 2 * np.pi * np.arange(count) / count]
    teeth = int(rng.integers(8, 48))
    parts = [Part(shapes.without(shapes.gear(teeth, outer, outer * min(0.2, 2.5 / teeth), rng.uniform(1, 5)), *cuts),
                  kit.metal(), outer * 1.05, surface=kit.surface(METAL), rise=0.03, bevel=rng.uniform(0.005, 0.02))]
    if rng.random() < 0.5:
        hub = outer * rng.uniform(0.4, 0.75)
        parts.append(Part(shapes.without(shapes.circle(hub), shapes.circle(hub * 0.85), bore), parts[0].palette, hub,
                          surface=parts[0].surface, rise=rng.choice([-0.02, 0.02]), bevel=0.01, inner=True))
    return parts


@built("screw head", "screw head", "bolt head", "rivet", "fastener", weight=1.2)
def screw_head(kit):
    rng = kit.rng
    radius = rng.uniform(0.25, 0.42)
    metal, surface = kit.metal(), kit.surface(METAL)
    parts = [Part(shapes.circle(radius), metal, radius, surface=surface, rise=0.05, bevel=rng.uniform(0.01, 0.15))]
    size = radius * rng.uniform(0.4, 0.75)
    slot = shapes.box(size, size * rng.uniform(0.12, 0.25), 0.005)
    cut = {"slot": slot, "cross": shapes.union(slot, shapes.at(slot, 0, 0, np.pi / 2)),
           "socket": shapes.polygon(6, size * 0.7), "star": shapes.star(6, size, size * 0.65)}
    shape = cut[pick(rng, sorted(cut))]
    parts.append(Part(shapes.at(shape, 0, 0, rng.uniform(0, np.pi)), kit.dark(), size * 1.1, surface=kit.surface(METAL, 0.2),
                      rise=-0.03, bevel=0.012, inner=True))
    return parts


@built("bolt", "bolt", "screw", "threaded bolt", "machine screw", weight=1.2)
def bolt(kit):
    rng = kit.rng
    length, width = rng.uniform(0.35, 0.44), rng.uniform(0.05, 0.1)
    metal, head = kit.metal(), rng.uniform(0.08, 0.13)
    surface, pitch = kit.surface(METAL), width * rng.uniform(0.25, 0.5)
    threads = [shapes.at(shapes.box(pitch * 0.22, width * 1.02), -length + head * 2 + pitch * (k + 1), 0, 0.12)
               for k in range(int(min(40, (2 * length - 2.5 * head) / pitch)))]
    start = int(len(threads) * rng.choice([0, 0, 0.3]))
    parts = [Part(shapes.at(shapes.box(length - head, width, 0.01), head, 0), metal, length * 1.05, surface=surface,
                  rise=0.06, bevel=width)]
    parts.append(Part(shapes.at(shapes.box(head, width * rng.uniform(1.5, 2.2), 0.02), -length + head, 0), metal, length * 1.3,
                      surface=surface, rise=0.05, bevel=0.05))
    if threads:
        parts.append(Part(shapes.union(*threads[start:]), kit.dark(), length * 1.05, tone=0.6, rise=-0.01, bevel=0.008,
                          inner=True))
    return parts


@built("bottle top", "bottle from above", "jar lid", "can lid", "bottle cap", "container lid")
def bottle_top(kit):
    rng = kit.rng
    outer = rng.uniform(0.36, 0.47)
    names = pick(rng, (METAL, PLASTIC))
    parts = [Part(shapes.circle(outer), kit.palette(0.3), outer, surface=kit.surface(names), rise=0.03, bevel=0.03)]
    r = outer
    while r > 0.08 and len(parts) < 7:
        r *= rng.uniform(0.6, 0.93)
        parts.append(Part(shapes.circle(r), kit.palette(0.3) if rng.random() < 0.4 else parts[-1].palette, r,
                          surface=kit.surface(names), rise=rng.choice([-0.03, 0.03]), bevel=rng.uniform(0.005, 0.03),
                          inner=True, tone=rng.uniform(0.2, 0.8)))
    if rng.random() < 0.3:
        parts.append(Part(shapes.capsule(outer * 0.25, outer * 0.12), kit.metal(), outer * 0.4, 0.0, outer * 0.15, 1.57,
                          surface=kit.surface(METAL), rise=0.02, loose=True, inner=True, word="tab"))
    return parts


@built("bottle", "bottle", "flask", "spray bottle", "vial", kinds=("misprint",))
def bottle(kit):
    rng = kit.rng
    width, tall = rng.uniform(0.12, 0.22), rng.uniform(0.22, 0.3)
    neck, body = width * rng.uniform(0.3, 0.6), kit.palette(0.4)
    shape = shapes.union(shapes.at(shapes.box(width, tall, width * rng.uniform(0.2, 0.8)), 0, 0.12),
                         shapes.at(shapes.box(neck, 0.14, 0.01), 0, -0.22))
    cap = shapes.box(neck * rng.uniform(1.1, 1.4), rng.uniform(0.03, 0.06), 0.01)
    return [Part(shape, body, 0.5, surface=kit.surface(PLASTIC, 0.3), rise=0.08, bevel=width * 0.9),
            Part(cap, kit.palette(0.3), 0.2, 0, -0.37, surface=kit.surface(PLASTIC, 0.3), rise=0.03, bevel=0.03, loose=True,
                 word="cap"),
            Part(shapes.box(width * 0.95, tall * rng.uniform(0.3, 0.6), 0.005), kit.palette(0.3), 0.35, 0, 0.14,
                 surface=kit.surface(("paper", "smooth plastic", "stripes", "tiles")), bevel=0.002, loose=True, inner=True,
                 word="label")]


@built("capsule", "capsule", "medicine capsule", "soft capsule")
def capsule(kit):
    rng = kit.rng
    half, radius = rng.uniform(0.16, 0.26), rng.uniform(0.09, 0.16)
    shape, second = shapes.capsule(half, radius), kit.palette(0.25)
    angle = rng.uniform(0, np.pi)
    return [Part(shape, kit.palette(0.25), half + radius, angle=angle, surface=kit.surface(PLASTIC, 0.3), rise=radius * 0.8,
                 bevel=radius),
            Part(lambda x, y: np.maximum(shape(x, y), -x), second, half + radius, angle=angle,
                 surface=kit.surface(PLASTIC, 0.3), rise=0.006, bevel=0.01, inner=True)]


@built("tablet", "tablet", "pill", "pressed pellet", "coin", "disc")
def tablet(kit):
    rng = kit.rng
    radius = rng.uniform(0.25, 0.42)
    outline = pick(rng, (shapes.circle(radius), shapes.ellipse(radius, radius * 0.65),
                         shapes.box(radius * 0.9, radius * 0.6, radius * 0.4)))
    palette = kit.palette(0.3)
    parts = [Part(outline, palette, radius * 1.1, surface=kit.surface(FOOD + PLASTIC, 0.4), rise=0.06,
                  bevel=rng.uniform(0.02, 0.15))]
    if rng.random() < 0.6:
        parts.append(Part(shapes.box(radius, 0.008), palette, radius, angle=rng.uniform(0, np.pi), tone=0.15, rise=-0.015,
                          bevel=0.01, inner=True))
    if rng.random() < 0.6:
        mark = pick(rng, (shapes.star(5, radius * 0.3, radius * 0.14), shapes.polygon(3, radius * 0.15),
                          shapes.without(shapes.circle(radius * 0.25), shapes.circle(radius * 0.18))))
        parts.append(Part(mark, palette, radius * 0.45, 0, radius * 0.3, tone=rng.uniform(0.1, 0.9), rise=-0.01, bevel=0.008,
                          inner=True, loose=True, word="mark"))
    return parts


@built("plate", "plate", "machined plate", "cover plate", "bracket", "panel", weight=1.5)
def plate(kit):
    rng = kit.rng
    hx, hy = rng.uniform(0.28, 0.45, 2)
    corner = rng.uniform(0, 0.1)
    holes = []
    if rng.random() < 0.7:
        r, inset = rng.uniform(0.02, 0.05), rng.uniform(0.07, 0.1)
        holes = [shapes.at(shapes.circle(r), sx * (hx - inset), sy * (hy - inset)) for sx in (-1, 1) for sy in (-1, 1)]
    if rng.random() < 0.4:
        holes.append(pick(rng, (shapes.circle(0.1), shapes.box(0.12, 0.07, 0.02), shapes.capsule(0.1, 0.04))))
    outline = shapes.box(hx, hy, corner)
    names = sorted(SURFACES) if rng.random() < 0.5 else METAL
    parts = [Part(shapes.without(outline, *holes) if holes else outline, kit.palette(), 0.65,
                  surface=kit.surface(names, 0.9), rise=0.02, bevel=rng.uniform(0.004, 0.02))]
    for _ in range(int(rng.integers(0, 4))):
        size = rng.uniform(0.03, 0.09)
        parts.append(Part(pick(rng, (shapes.circle(size), shapes.box(size, size * 0.6, 0.01), shapes.polygon(6, size))),
                          kit.palette(), size * 1.5, *rng.uniform(-0.2, 0.2, 2), rng.uniform(0, np.pi),
                          surface=kit.surface(METAL + PLASTIC), rise=0.02, bevel=0.01, loose=True))
    return parts


@built("kernel", "nut kernel", "bean", "seed", "pebble", "almond", "potato", weight=1.2)
def kernel(kit):
    rng = kit.rng
    radius = rng.uniform(0.25, 0.4)
    palette = kit.palette(0.5)
    parts = [Part(shapes.wavy(rng, radius, 0.06, rng.uniform(0.6, 1)), palette, radius * 1.3, surface=kit.surface(FOOD, 0.8),
                  rise=0.15, bevel=radius * 0.9)]
    if rng.random() < 0.4:
        parts.append(Part(shapes.wavy(rng, radius * 0.4, 0.1, 0.7), palette, radius * 0.6, -radius * 0.35, 0,
                          surface=kit.surface(FOOD, 0.8), tone=0.7, rise=0.01, bevel=0.05, inner=True))
    return parts


@built("biscuit", "biscuit", "cracker", "baked good", "wafer", weight=0.8)
def biscuit(kit):
    rng = kit.rng
    radius = rng.uniform(0.3, 0.43)
    outline = pick(rng, (shapes.wavy(rng, radius, 0.03), shapes.gear(24, radius, 0.02, 1.0), shapes.box(radius, radius, 0.04)))
    palette = kit.palette(0.45)
    parts = [Part(outline, palette, radius * 1.45, surface=kit.surface(FOOD, 0.9), rise=0.04, bevel=rng.uniform(0.02, 0.08))]
    for _ in range(int(rng.integers(0, 16))):
        r, a = radius * np.sqrt(rng.random()) * 0.8, rng.uniform(0, 2 * np.pi)
        size = rng.uniform(0.012, 0.05)
        parts.append(Part(shapes.wavy(rng, size, 0.15), kit.dark() if rng.random() < 0.6 else palette, size * 1.5,
                          r * np.cos(a), r * np.sin(a), tone=rng.uniform(0.1, 0.9), rise=rng.choice([-0.01, 0.015]),
                          bevel=size * 0.5, inner=True, loose=True, word="chip"))
    return parts


@built("connector", "connector", "electronic component", "transistor", "chip with pins", weight=1.3)
def connector(kit):
    rng = kit.rng
    hx, hy = rng.uniform(0.16, 0.3), rng.uniform(0.1, 0.2)
    pins, metal = int(rng.integers(2, 12)), kit.metal()
    rows = (1,) if rng.random() < 0.5 else (-1, 1)
    long, wide = rng.uniform(0.06, 0.14), hx / pins * rng.uniform(0.3, 0.6)
    parts = [Part(shapes.box(wide, long, 0.004), metal, long * 1.1, -hx + (k + 0.5) * 2 * hx / pins, side * (hy + long * 0.8),
                  surface=kit.surface(METAL, 0.3), rise=0.02, bevel=0.008, loose=True, word="pin")
             for side in rows for k in range(pins)]
    body = kit.palette(0.2, rng.uniform(0.1, 0.5))
    parts.append(Part(shapes.box(hx, hy, 0.01), body, 0.4, surface=kit.surface(PLASTIC, 0.6), rise=0.05, bevel=0.012))
    if rng.random() < 0.6:
        parts.append(Part(shapes.circle(0.015), body, 0.02, -hx * 0.8, hy * 0.6, tone=0.9, rise=-0.01, bevel=0.005, inner=True))
    for k in range(int(rng.integers(0, 3))):
        parts.append(Part(shapes.box(hx * rng.uniform(0.3, 0.7), 0.012), kit.palette(0.1, 0.8), hx, 0, -0.03 + 0.05 * k,
                          tone=0.7, bevel=0.002, inner=True, loose=True, word="mark"))
    return parts


@built("cable", "cable cross-section", "cable", "wire bundle", weight=0.8)
def cable(kit):
    rng = kit.rng
    outer, wires = rng.uniform(0.38, 0.46), int(rng.choice([1, 2, 3, 3, 4, 7]))
    parts = [Part(shapes.circle(outer), kit.palette(0.3), outer, surface=kit.surface(PLASTIC + FOOD, 0.5), rise=0.02, bevel=0.01)]
    r = outer * (0.8 if wires == 1 else 0.45 if wires == 2 else 0.42 if wires == 3 else 0.36 if wires == 4 else 0.3)
    spots = [(0, 0)] if wires in (1, 7) else []
    around = wires - len(spots)
    spots += [((outer - r) * 0.93 * np.cos(a), (outer - r) * 0.93 * np.sin(a))
              for a in 2 * np.pi * np.arange(around) / max(1, around) + 0.5]
    copper = kit.palette(0.6, 0.6)
    strands = SURFACES["perforated sheet"](rng)
    strands.count, strands.dark, strands.staggered, strands.jitter = rng.uniform(12, 30), False, True, 0.12
    for cx, cy in spots:
        parts.append(Part(shapes.circle(r * 0.95), kit.palette(0.25), r, cx, cy, surface=kit.surface(PLASTIC, 0.4), rise=0.01,
                          bevel=0.015, loose=True, word="wire"))
        parts.append(Part(shapes.circle(r * 0.6), copper, r, cx, cy, surface=strands, rise=-0.01, bevel=0.01, inner=True,
                          loose=True, word="strand"))
    return parts


@built("bearing", "ball bearing", "roller bearing", "bearing", weight=0.8)
def bearing(kit):
    rng = kit.rng
    outer, metal = rng.uniform(0.38, 0.46), kit.metal()
    surface = kit.surface(METAL, 0.4)
    bore, count = outer * rng.uniform(0.35, 0.5), int(rng.integers(7, 15))
    gap = outer * 0.83 - bore * 1.2
    middle, ball = bore * 1.2 + gap / 2, min(gap * 0.48, np.pi * outer * 0.6 / count * 0.9)
    parts = [Part(shapes.without(shapes.circle(outer), shapes.circle(bore)), metal, outer, surface=surface, rise=0.03, bevel=0.01),
             Part(shapes.without(shapes.circle(outer * 0.83), shapes.circle(bore * 1.2)), kit.dark(), outer, tone=0.4, rise=-0.02,
                  bevel=0.01, inner=True)]
    return parts + [Part(shapes.circle(ball), metal, ball, middle * np.cos(a), middle * np.sin(a), surface=surface, rise=ball * 0.8,
                         bevel=ball, loose=True, inner=True, word="ball")
                    for a in 2 * np.pi * np.arange(count) / count]


@built("stamped part", "stamped part", "sheet metal part", "metal bracket", "lever", weight=1.2)
def stamped(kit):
    rng = kit.rng
    arms = int(rng.integers(2, 5))
    width = rng.uniform(0.07, 0.13)
    pieces, holes = [shapes.circle(rng.uniform(0.12, 0.2))], [shapes.circle(rng.uniform(0.03, 0.08))]
    for k in range(arms):
        a, reach = 2 * np.pi * k / arms + rng.normal(0, 0.3), rng.uniform(0.22, 0.4)
        half = reach / 2
        pieces.append(shapes.at(shapes.capsule(half, width), half * np.cos(a), half * np.sin(a), a))
        if rng.random() < 0.7:
            holes.append(shapes.at(shapes.circle(width * rng.uniform(0.3, 0.6)), reach * np.cos(a), reach * np.sin(a)))
    return [Part(shapes.without(shapes.union(*pieces), *holes), kit.metal(), 0.55, surface=kit.surface(METAL, 0.8), rise=0.02,
                 bevel=rng.uniform(0.004, 0.02))]


@built("tile", "ceramic tile", "tile", "wafer", "magnet", "brake pad", "pressed block", weight=1.3)
def tile(kit):
    rng = kit.rng
    hx = rng.uniform(0.35, 0.47)
    hy = hx * log_uniform(rng, 0.5, 1.0)
    names = ("sintered plate", "concrete", "granite", "rough", "terrazzo", "crackle", "grain", "mottled", "smooth plastic")
    return [Part(shapes.box(hx, hy, rng.uniform(0, 0.05)), kit.palette(), 0.7, surface=kit.surface(names, 0.9), rise=0.02,
                 bevel=rng.uniform(0.004, 0.03))]
