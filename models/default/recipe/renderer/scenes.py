"""A scene turns a view into a look: a surface that fills the picture, an object on a background, rows of
objects, a print or a circuit board. `look(view, edit)` draws it changed where `edit` says:
{"surface": other surface}, {"without": part} or {"moved": (part, (dx, dy, angle))}."""

import copy
import dataclasses

import numpy as np

from . import artwork, fields, shapes
from .base import SURFACES
from .colours import any_palette, grey
from .fields import F
from .objects import FOOD, METAL, OBJECTS, PLASTIC, Kit
from .seeds import log_uniform, pick
from .view import Look, Pose, View

CALM = ("sheet", "smooth plastic", "paint", "mottled", "grain", "paper", "sintered plate", "brushed metal")


def draw_surface(rng, names=None):
    names = sorted(names or SURFACES)
    return SURFACES[pick(rng, names, [SURFACES[n].weight for n in names])](rng)


def draw_palette(rng, surface, channels):
    wants = {key: rng.uniform(*span) for key, span in surface.palette.items()}
    return any_palette(rng, channels, wants.get("contrast"), wants.get("level"))


class Scene:
    """What all scenes say of themselves."""
    kinds = ()          # defects that belong to it, beside the ones that fit all
    parts = ()          # numbers of the parts that may be missing or out of place
    textured = False    # one texture all over: may be altered as a whole
    figured = False     # an object with an outline before a background
    free = False        # pieces lie turned any way


class SurfaceScene(Scene):
    """One surface all over the picture."""
    textured = True

    def __init__(self, rng, channels, name=None):
        self.surface = draw_surface(rng, [name] if name else None)
        self.palette = draw_palette(rng, self.surface, channels)
        self.name, self.words, self.kinds = self.surface.name, self.surface.words, self.surface.kinds
        self.colour_word = self.palette.word
        self.free = rng.random() < 0.1

    def look(self, view, edit=None):
        tone, height = self._of_piece(view, edit).paint(view)
        return Look(self.palette(tone), height)

    def threads(self, view):
        return self._of_piece(view).threads(view)

    def _of_piece(self, view, edit=None):
        surface = (edit or {}).get("surface", self.surface)
        return surface.another(view.rng("unlike"), view.unlike) if view.unlike else surface

    def altered(self, rng, strength):
        return {"surface": self.surface.altered(rng, strength, not self.free)}

    def with_gap(self, row, start, end):
        other = copy.copy(self.surface)
        other.left_out = (row, start, end)
        return {"surface": other}


class JointScene(Scene):
    """Two or three surfaces beside each other: a joint, a seam, a weld."""

    def __init__(self, rng, channels, name=None):
        self.name = "joint"
        count = int(rng.integers(2, 4))
        self.surfaces = [draw_surface(rng) for _ in range(count)]
        if rng.random() < 0.4:  # a seam in one material
            self.surfaces = self.surfaces[:1] * count
        self.palettes = [draw_palette(rng, s, channels) for s in self.surfaces]
        first, last = self.surfaces[0].words[0], self.surfaces[-1].words[0]
        self.words = (f"joint of {first} and {last}", f"{first} beside {last}", f"edge between {first} and {last}") \
            if first != last else (f"seam in {first}", f"{first} with a seam", f"joint in {first}")
        self.colour_word = self.palettes[0].word
        self.kinds = ("crease",) if all("crease" in s.kinds for s in self.surfaces) else ()
        self.edges = np.sort(rng.uniform(-0.35, 0.35, count - 1))
        self.angle = pick(rng, (0.0, np.pi / 2, rng.uniform(0, np.pi))) + rng.normal(0, 0.02)
        self.bend, self.ragged = rng.normal(0, 0.25) * (rng.random() < 0.4), rng.uniform(0, 0.02) ** 1.5
        self.line, self.depth = log_uniform(rng, 0.004, 0.04), rng.normal(0, 0.02)
        self.dark = rng.choice([0.0, rng.uniform(0.2, 0.9)])
        # A weld or stitches along it.
        self.beat = log_uniform(rng, 15, 60) if rng.random() < 0.4 else 0.0

    def look(self, view, edit=None):
        n = view.n
        x, y = fields.turn(*view.xy, self.angle)
        x = x + F(self.bend) * y * y
        if self.ragged > 2e-4:
            x = x + F(self.ragged) * fields.octaves(view.rng("joint"), n, 12, 3)
        colour, height = None, np.zeros((n, n), F)
        for k, (surface, palette) in enumerate(zip(self.surfaces, self.palettes)):
            tone, relief = surface.paint(view)
            beyond = F(1) if k == 0 else _solid(F(self.edges[k - 1]) - x, n)
            paint = palette(tone)
            colour = paint if k == 0 else colour + (paint - colour) * beyond[..., None]
            height = height * (1 - beyond) + (beyond * relief if relief is not None else 0) + F(self.depth) * beyond
        for edge in self.edges:
            bead = _round(np.abs(x - F(edge)) - F(self.line), self.line)
            if self.beat:
                bead = bead * (F(0.65) + F(0.35) * np.cos((y + np.abs(x - F(edge)) * F(0.5)) * F(2 * np.pi * self.beat)))
            height = height + F(self.line * 0.6) * bead
            colour = colour * (1 - F(self.dark) * bead)[..., None]
        return Look(colour, height)


class Background:
    """What objects lie on: plain most of the time; it stays where it is when the object moves."""

    def __init__(self, rng, channels):
        if rng.random() < 0.7:
            self.surface = draw_surface(rng, CALM)
            level = pick(rng, (rng.uniform(0.03, 0.15), rng.uniform(0.2, 0.6), rng.uniform(0.75, 0.95)), (0.4, 0.2, 0.4))
            self.palette = (grey if rng.random() < 0.6 else any_palette)(rng, channels, rng.uniform(0.02, 0.12), level)
        else:
            self.surface = draw_surface(rng)
            self.palette = any_palette(rng, channels, rng.uniform(0.1, 0.35))
        self.shadow = rng.uniform(0.2, 0.7) if rng.random() < 0.65 else 0.0
        self.offset = rng.normal(0, 0.02, 2)
        self.soft = log_uniform(rng, 0.008, 0.05)

    def paint(self, view, figure):
        """Colour with the object's shadow, and height."""
        still = View(view.seed, view.index, view.n, Pose(), view.channels)
        tone, height = self.surface.paint(still)
        colour = self.palette(tone)
        if self.shadow:
            n, small = view.n, max(24, view.n // 3)
            shade = fields.blur(fields.resize(figure, small), self.soft * small)
            at = np.arange(small)
            rows, columns = (np.clip(at - round(o * small), 0, small - 1) for o in self.offset[::-1])
            shade = fields.resize(shade[rows][:, columns], n)
            colour = colour * (1 - F(self.shadow) * np.clip(shade, 0, 1))[..., None]
        return colour, np.zeros_like(tone) if height is None else height * F(0.3)


def _window(view, part):
    """Rows and columns the part can touch."""
    pose, n = view.pose, view.n
    c, s = np.cos(pose.angle), np.sin(pose.angle)
    x, y = pose.dx + pose.zoom * (part.cx * c - part.cy * s), pose.dy + pose.zoom * (part.cx * s + part.cy * c)
    reach = part.reach * pose.zoom * 1.05 + 3.0 / n
    low = lambda v: int(np.clip((v - reach + 0.5) * n, 0, n))        # noqa: E731
    high = lambda v: int(np.clip((v + reach + 0.5) * n + 1, 0, n))   # noqa: E731
    return slice(low(y), high(y)), slice(low(x), high(x))


def _solid(distance, pixels):
    return np.clip(F(0.5) - distance * F(pixels), 0, 1)


def _round(distance, bevel):
    t = np.clip(distance * F(-1.0 / bevel), 0, 1)
    return np.sqrt(t * (2 - t))


class ObjectScene(Scene):
    """One object on a background."""
    figured = True

    def __init__(self, rng, channels, name=None):
        names = sorted(OBJECTS)
        self.name = name or pick(rng, names, [OBJECTS[n][2] for n in names])
        builder, self.words, _, self.kinds = OBJECTS[self.name]
        self.layers = builder(Kit(rng, channels))
        self.background = Background(rng, channels)
        self.colour_word = max(self.layers, key=lambda p: p.reach * (not p.inner)).palette.word
        self.parts = [k for k, p in enumerate(self.layers) if p.loose]
        self.free = rng.random() < 0.35
        # Some are seen from near: only a part of the object is in the picture.
        near = rng.random() < 0.2
        self.zoom = rng.uniform(1.3, 2.2) if near else rng.uniform(0.75, 1.15)
        self.shift = rng.uniform(-0.3, 0.3, 2) * self.zoom if near else rng.normal(0, 0.02, 2)
        self.turned = rng.choice([0.0, rng.uniform(0, 2 * np.pi)])

    def word_of(self, part):
        return self.layers[part].word

    def look(self, view, edit=None):
        edit, n = edit or {}, view.n
        pose = view.pose
        view = View(view.seed, view.index, n, Pose(pose.dx + self.shift[0], pose.dy + self.shift[1], pose.angle + self.turned,
                                                   pose.zoom * self.zoom), view.channels)
        layers = list(self.layers)
        if "moved" in edit:
            k, (dx, dy, angle) = edit["moved"]
            part = layers[k]
            layers[k] = dataclasses.replace(part, cx=part.cx + dx, cy=part.cy + dy, angle=part.angle + angle)
        if "without" in edit:
            layers.pop(edit["without"])
        painted, drawn, figure = {}, [], np.zeros((n, n), F)
        for part in layers:
            at = _window(view, part)
            x, y = view.xy[0][at], view.xy[1][at]
            if not x.size:
                continue
            distance = part.shape(*fields.turn(x - F(part.cx), y - F(part.cy), part.angle))
            solid = _solid(distance, n * view.pose.zoom)
            drawn.append((part, at, distance, solid))
            if not part.inner:
                figure[at] = np.maximum(figure[at], solid)
        backing, ground = self.background.paint(view, figure)
        colour, height = backing.copy(), ground * (1 - figure)
        for part, at, distance, solid in drawn:
            if part.surface is None:
                paint = np.broadcast_to(part.palette(np.asarray([part.tone]))[0], (*solid.shape, view.channels))
            else:
                if id(part.surface) not in painted:
                    painted[id(part.surface)] = part.surface.paint(view)
                tone, relief = painted[id(part.surface)]
                paint = part.palette(tone[at])
                if relief is not None and not part.inner:
                    height[at] += relief[at] * solid
            if part.inner:
                solid = solid * figure[at]
            colour[at] += (paint - colour[at]) * solid[..., None]
            height[at] += F(part.rise) * _round(distance, part.bevel) * (solid > 0)
        return Look(colour, height, figure, backing)


ROWS = {"tablets": ("rows of tablets", "blister of pills", "pressed pellets in rows"),
        "beads": ("rows of beads", "rows of balls", "array of solder balls"),
        "bars": ("rows of pins", "connector pins", "rows of needles", "row of rods"),
        "blocks": ("rows of blocks", "keypad", "chocolate bar", "tray of parts"),
        "rings": ("rows of rings", "row of washers", "chain of rings"),
        "kernels": ("rows of kernels", "tray of seeds", "rows of biscuits")}


class RowsScene(Scene):
    """The same object again and again."""
    figured = True

    def __init__(self, rng, channels, name=None):
        self.name = name or pick(rng, sorted(ROWS))
        self.words = ROWS[self.name]
        self.count, ratio = log_uniform(rng, 2.5, 11), 1.0
        size = rng.uniform(0.3, 0.45) / self.count
        bevel = size
        if self.name == "bars":
            ratio = rng.uniform(0.25, 0.6)
            shape, bevel = shapes.box(size * 0.5, size / ratio, 0.2 * size), size * 0.5
        elif self.name == "blocks":
            shape, bevel = shapes.box(size, size * rng.uniform(0.6, 1), size * rng.uniform(0, 0.4)), size * rng.uniform(0.1, 0.4)
        elif self.name == "rings":
            inner = rng.uniform(0.4, 0.75)
            shape, bevel = shapes.without(shapes.circle(size), shapes.circle(size * inner)), size * (1 - inner) / 2
        elif self.name == "kernels":
            shape = shapes.wavy(rng, size, 0.06, rng.uniform(0.7, 1.0))
        elif self.name == "tablets":
            shape = pick(rng, (shapes.circle(size), shapes.capsule(size * 0.5, size * 0.5), shapes.ellipse(size, size * 0.6)))
            bevel = size * rng.uniform(0.15, 0.8)
        else:
            shape = shapes.circle(size)
        self.shape, self.bevel, self.ratio = shape, bevel, ratio
        self.rise = bevel * rng.uniform(0.4, 0.9)
        self.jitter = rng.uniform(0, 0.12) ** 1.5 / self.count
        self.spin = rng.choice([0.0, 0.05, 3.0], p=[0.5, 0.3, 0.2])
        self.angle = rng.normal(0, 0.02) if rng.random() < 0.7 else rng.uniform(0, np.pi)
        self.stagger = rng.random() < 0.3
        names = {"bars": METAL, "rings": METAL, "kernels": FOOD, "beads": METAL + PLASTIC}.get(self.name, PLASTIC + FOOD)
        self.surface, self.palette = Kit(rng, channels).surface(names), any_palette(rng, channels, rng.uniform(0.2, 0.5))
        self.lift, self.colour_word = rng.uniform(0, 0.12), self.palette.word
        self.background = Background(rng, channels)
        reach = int(max(1, self.count * 0.33))
        self.parts = [(i, j) for i in range(-reach, reach) for j in range(-int(reach * ratio), max(1, int(reach * ratio)))]

    def word_of(self, part):
        return self.name[:-1]

    def look(self, view, edit=None):
        edit, n = edit or {}, view.n
        x, y = fields.turn(*view.xy, self.angle)
        wide, tall = F(1 / self.count), F(1 / (self.count * self.ratio))
        j = np.floor(y / tall)
        offset = np.mod(j, 2) * F(0.5) if self.stagger else F(0)
        i = np.floor(x / wide + offset)
        fx, fy = x - (i - offset + F(0.5)) * wide, y - (j + F(0.5)) * tall
        cell = (i.astype(np.int32) * 61 + j.astype(np.int32) * 7919) & 4095
        tables = view.rng("rows").standard_normal((4, 4096), dtype=F)
        jitter = F(self.jitter)
        fx, fy = fx + jitter * tables[0][cell], fy + jitter * tables[1][cell]
        spin = F(self.spin) * tables[2][cell]
        if "moved" in edit:
            (pi, pj), (dx, dy, angle) = edit["moved"]
            here = (i == pi) & (j == pj)
            scale = 1.5 / self.count
            fx, fy = fx - F(dx * scale) * here, fy - F(dy * scale) * here
            spin = spin + F(angle) * here
        c, s = np.cos(spin), np.sin(spin)
        distance = self.shape(fx * c + fy * s, fy * c - fx * s)
        if "without" in edit:
            pi, pj = edit["without"]
            distance = np.where((i == pi) & (j == pj), F(1.0), distance)
        figure = _solid(distance, n * view.pose.zoom)
        backing, ground = self.background.paint(view, figure)
        tone, relief = self.surface.paint(view)
        paint = self.palette(np.clip(tone + F(self.lift) * tables[3][cell], 0, 1))
        height = ground * (1 - figure) + F(self.rise) * _round(distance, self.bevel)
        if relief is not None:
            height = height + relief * figure
        return Look(backing + (paint - backing) * figure[..., None], height, figure, backing)


def _ink(palette, tone):
    colour = (palette.table[int(tone * 255)] * 255).astype(int).tolist()
    return tuple(colour * 3 if len(colour) == 1 else colour)


class PrintScene(Scene):
    """Words and signs on paper, plastic or cloth, or a circuit board; the drawing is the same on all pieces."""

    def __init__(self, rng, channels, name=None):
        self.name = name or pick(rng, ("print", "circuit board"), (0.6, 0.4))
        if self.name == "print":
            self.words = ("printed label", "printed packaging", "print on a surface", "label with text", "printed sheet")
            self.kinds = ("misprint",)
            self.surface = draw_surface(rng, ("paper", "smooth plastic", "sheet", "plain weave", "brushed metal", "paint"))
            self.palette = any_palette(rng, channels, rng.uniform(0.05, 0.2))
            base = float(self.palette.middle.mean())
            inks = []
            for _ in range(int(rng.integers(1, 4))):
                level = rng.uniform(0.05, 0.3) if base > 0.45 else rng.uniform(0.7, 0.95)
                inks.append(_ink(any_palette(rng, channels, 0.1, level), 0.5))
            self.elements, self.rise = artwork.label(rng, inks), 0.0
        else:
            self.words = ("circuit board", "printed circuit board", "electronic board", "board with components")
            self.surface = draw_surface(rng, ("paint", "sheet", "smooth plastic"))
            self.palette = any_palette(rng, channels, rng.uniform(0.04, 0.15), rng.uniform(0.15, 0.55))
            shift = rng.choice([-0.12, 0.15])
            copper = tuple(int(np.clip(v + 255 * shift, 5, 250)) for v in _ink(self.palette, 0.5))
            metal = _ink(any_palette(rng, channels, 0.1, rng.uniform(0.6, 0.85)), 0.5)
            body = _ink(any_palette(rng, channels, 0.1, rng.uniform(0.08, 0.3)), 0.5)
            silk = _ink(grey(rng, channels, 0.1, 0.9), 0.5)
            self.elements, self.rise = artwork.board(rng, copper, metal, body, silk), rng.uniform(0.01, 0.03)
        self.colour_word = self.palette.word
        self.parts = [k for k, e in enumerate(self.elements) if e.loose and max(abs(e.x), abs(e.y)) < 0.42]
        self._drawn = {}

    def word_of(self, part):
        return self.elements[part].word

    def look(self, view, edit=None):
        n = view.n
        if edit:
            drawing = artwork.render(self.elements, n, **edit)
        else:
            if n not in self._drawn:
                self._drawn = {n: artwork.render(self.elements, n)}
            drawing = self._drawn[n]
        rgba, lift = artwork.place(drawing[0], view.pose, n), artwork.place(drawing[1], view.pose, n)
        tone, height = self.surface.paint(view)
        ink = rgba[..., :view.channels]
        cover = rgba[..., 3:]
        colour = self.palette(tone)
        colour = colour + (ink / np.maximum(cover, F(1e-3)) - colour) * cover
        if self.name == "print":
            colour = np.clip(colour * (1 + (tone[..., None] - F(0.5)) * F(0.15) * cover), 0, 1)
        height = np.zeros_like(tone) if height is None else (height - height.mean()) * (1 - F(0.6) * cover[..., 0])
        if self.rise:
            height = height + fields.blur(lift, 0.8) * F(self.rise)
        return Look(colour, height)


FAMILIES = {"surface": (SurfaceScene, 0.53), "object": (ObjectScene, 0.24), "rows": (RowsScene, 0.07),
            "print": (PrintScene, 0.09), "joint": (JointScene, 0.07)}


def draw(rng, channels):
    names = sorted(FAMILIES)
    return FAMILIES[pick(rng, names, [FAMILIES[n][1] for n in names])][0](rng, channels)
