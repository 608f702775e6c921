"""Flat drawings made of elements that can be left out or moved: prints and circuit boards.

Coordinates are widths of the picture around its centre; the drawing reaches beyond the picture, so that
pieces may be shifted and turned."""

import dataclasses
import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fields import F
from .seeds import log_uniform, pick

REACH = 0.68        # the drawing's half side
_FONTS = {}


def _font(size):
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


@dataclasses.dataclass
class Element:
    """Shapes in the order of drawing: ("polygon", points), ("line", points, width), ("disc", x, y, r) or
    ("text", string, x, y, size, angle), each followed by colour and height 0..255 (None: leaves it)."""
    shapes: list
    x: float
    y: float
    word: str
    loose: bool = True


def _moved(points, element, move):
    points = np.asarray(points, dtype=np.float64)
    if move is None:
        return points
    dx, dy, angle = move
    c, s = np.cos(angle), np.sin(angle)
    around = points - (element.x, element.y)
    return around @ np.array([[c, s], [-s, c]]) + (element.x + dx, element.y + dy)


def render(elements, n, without=None, moved=None):
    """RGBA and height images of the drawing; `moved` is (number, (dx, dy, angle))."""
    m = 2 * int(n * REACH * 2)
    scale = m / (2 * REACH)
    colour, height = Image.new("RGBA", (m, m)), Image.new("L", (m, m))
    draw, lift = ImageDraw.Draw(colour), ImageDraw.Draw(height)
    for number, element in enumerate(elements):
        if number == without:
            continue
        move = moved[1] if moved and moved[0] == number else None
        for shape in element.shapes:
            *what, paint, rise = shape
            if what[0] == "text":
                _text(colour, element, what, paint, scale, m, move)
                continue
            points = [what[1:3]] if what[0] == "disc" else what[1]
            p = [tuple(q) for q in (_moved(points, element, move) * scale + m / 2).tolist()]
            for target, ink in ((draw, (*paint, 255)), (lift, rise)):
                if ink is None:
                    continue
                if what[0] == "polygon":
                    target.polygon(p, fill=ink)
                elif what[0] == "line":
                    target.line(p, fill=ink, width=max(1, round(what[2] * scale)), joint="curve")
                else:
                    r = what[3] * scale
                    target.ellipse((p[0][0] - r, p[0][1] - r, p[0][0] + r, p[0][1] + r), fill=ink)
    return colour.reduce(2), height.reduce(2)


def _text(image, element, what, paint, scale, m, move):
    _, words, x, y, size, angle = what
    font = _font(max(5, round(size * scale)))
    left, top, right, bottom = font.getbbox(words)
    patch = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(patch).text((2 - left, 2 - top), words, fill=255, font=font)
    turn = angle + (move[2] if move else 0.0)
    if turn:
        patch = patch.rotate(-np.degrees(turn), expand=True, resample=Image.BILINEAR)
    (px, py), = _moved([(x, y)], element, move) * scale + m / 2
    image.paste((*paint, 255), (round(px - patch.width / 2), round(py - patch.height / 2)), patch)


def place(image, pose, n, how=Image.BILINEAR):
    """The drawing under a pose, [n, n, ...] 0..1."""
    m = image.width
    c, s = np.cos(pose.angle), np.sin(pose.angle)
    unit = m / (2 * REACH) / pose.zoom
    step = unit / n
    ox = (-0.5 + 0.5 / n - pose.dx) * unit
    oy = (-0.5 + 0.5 / n - pose.dy) * unit
    data = (c * step, s * step, c * ox + s * oy + m / 2, -s * step, c * step, c * oy - s * ox + m / 2)
    return np.asarray(image.transform((n, n), Image.AFFINE, data, resample=how), dtype=F) / F(255.0)


def _rectangle(x, y, hx, hy):
    return [(x - hx, y - hy), (x + hx, y - hy), (x + hx, y + hy), (x - hx, y + hy)]


def word(rng):
    letters = pick(rng, (string.ascii_uppercase, string.ascii_lowercase, string.digits, string.ascii_uppercase + string.digits))
    return "".join(pick(rng, letters) for _ in range(int(rng.integers(1, 9))))


def label(rng, inks):
    """A printed label: words in lines, bars, frames, signs."""
    elements = []
    kinds = pick(rng, (("line",), ("line", "bars", "sign"), ("big", "line"), ("sign",), ("big", "bars"), ("line", "big", "sign")))
    y = -0.6
    while y < 0.6:
        kind, ink = pick(rng, kinds), pick(rng, inks)
        if kind == "line":
            size = log_uniform(rng, 0.03, 0.07)
            x = -0.62
            while x < 0.6:
                text = word(rng)
                width = size * 0.55 * len(text)
                elements.append(Element([("text", text, x + width / 2, y, size, 0.0, ink, None)], x + width / 2, y, "word"))
                x += width + size * 0.6
            y += size * rng.uniform(1.2, 1.8)
        elif kind == "big":
            size = rng.uniform(0.1, 0.28)
            x = rng.uniform(-0.3, 0.3)
            elements.append(Element([("text", word(rng)[:5], x, y + size / 2, size, 0.0, ink, None)], x, y + size / 2, "lettering"))
            y += size * 1.3
        elif kind == "bars":
            hy, x0, bars = rng.uniform(0.05, 0.12), rng.uniform(-0.4, 0.1), []
            x = x0
            while x < x0 + 0.4:
                w = rng.choice([0.006, 0.012, 0.018])
                bars.append(("polygon", _rectangle(x + w / 2, y + hy, w / 2, hy), ink, None))
                x += w + rng.choice([0.006, 0.012, 0.018])
            elements.append(Element(bars, x0 + 0.2, y + hy, "bar code"))
            y += 2 * hy + 0.05
        else:
            r = rng.uniform(0.06, 0.16)
            x = rng.uniform(-0.4, 0.4)
            elements.append(sign(rng, x, y + r, r, inks))
            y += 2 * r + 0.03
    return elements


def sign(rng, x, y, r, inks):
    """A logo: rings, discs, stars and letters on each other."""
    parts, ink = [], pick(rng, inks)
    corners = int(rng.integers(3, 9))
    turn = rng.uniform(0, np.pi)
    for k in range(int(rng.integers(1, 4))):
        size, ink = r * (1 - 0.3 * k), inks[(inks.index(ink) + 1) % len(inks)]
        if rng.random() < 0.5:
            parts.append(("disc", x, y, size, ink, None))
        else:
            a = turn + np.arange(2 * corners) * np.pi / corners
            reach = np.where(np.arange(2 * corners) % 2, size * rng.uniform(0.4, 1.0), size)
            parts.append(("polygon", np.stack([x + reach * np.cos(a), y + reach * np.sin(a)], 1), ink, None))
    if rng.random() < 0.5:
        ink = inks[(inks.index(ink) + 1) % len(inks)]
        parts.append(("text", word(rng)[:2], x, y, r * 0.8, 0.0, ink, None))
    return Element(parts, x, y, "logo")


def board(rng, copper, metal, body, silk):
    """A circuit board: traces, vias, pads, chips, small parts, lettering."""
    elements = []
    pitch = rng.uniform(0.018, 0.05)
    for _ in range(int(rng.integers(8, 40))):
        x, y = np.round(rng.uniform(-0.65, 0.65, 2) / pitch) * pitch
        points, heading = [(x, y)], int(rng.integers(8))
        for _ in range(int(rng.integers(2, 6))):
            reach = pitch * int(rng.integers(2, 12))
            a = heading * np.pi / 4
            points.append((points[-1][0] + reach * np.cos(a), points[-1][1] + reach * np.sin(a)))
            heading += int(rng.integers(-1, 2))
        width = pitch * rng.uniform(0.2, 0.45)
        shapes = [("line", points, width, copper, 40)]
        for px, py in (points[0], points[-1]):
            shapes += [("disc", px, py, pitch * 0.42, metal, 60), ("disc", px, py, pitch * 0.16, (10, 10, 10), 0)]
        elements.append(Element(shapes, *points[len(points) // 2], "trace", loose=rng.random() < 0.3))
    for _ in range(int(rng.integers(3, 22))):
        x, y = np.round(rng.uniform(-0.55, 0.55, 2) / pitch) * pitch
        elements.append(_chip(rng, x, y, metal, body, silk) if rng.random() < 0.25 else _small(rng, x, y, metal, body, silk))
    for _ in range(int(rng.integers(0, 6))):
        x, y = rng.uniform(-0.5, 0.5, 2)
        elements.append(Element([("text", word(rng)[:4], x, y, rng.uniform(0.03, 0.06), rng.choice([0, np.pi / 2]), silk, None)],
                                x, y, "lettering"))
    return elements


def _chip(rng, x, y, metal, body, silk):
    hx, hy = rng.uniform(0.05, 0.14), rng.uniform(0.04, 0.12)
    shapes, pins = [], int(rng.integers(3, 10))
    for k in range(pins):
        px = x - hx + (k + 0.5) * 2 * hx / pins
        for side in (-1, 1):
            shapes.append(("polygon", _rectangle(px, y + side * (hy + 0.012), hx / pins * 0.5, 0.016), metal, 90))
    shapes.append(("polygon", _rectangle(x, y, hx, hy), body, 200))
    shapes.append(("disc", x - hx * 0.75, y - hy * 0.7, 0.008, tuple(min(255, v + 50) for v in body), None))
    shapes.append(("text", word(rng)[:6], x, y, min(0.04, hy * 0.6), 0.0, silk, None))
    return Element(shapes, x, y, "chip")


def _small(rng, x, y, metal, body, silk):
    if rng.random() < 0.25:
        r = rng.uniform(0.02, 0.06)
        return Element([("disc", x, y, r, metal, 150), ("disc", x, y, r * 0.8, body, 220)], x, y, "capacitor")
    long, wide = rng.uniform(0.02, 0.04), rng.uniform(0.01, 0.018)
    upright = rng.random() < 0.5
    grey = int(rng.integers(30, 180))
    colour = body if rng.random() < 0.5 else (grey, int(grey * 0.8), int(grey * 0.6))
    shapes = []
    for offset, half, paint, rise in ((-long, wide * 0.6, metal, 100), (long, wide * 0.6, metal, 100), (0, long * 0.8, colour, 140)):
        hx, hy = (wide, half) if upright else (half, wide)
        shapes.append(("polygon", _rectangle(x + (0 if upright else offset), y + (offset if upright else 0), hx, hy), paint, rise))
    return Element(shapes, x, y, "resistor")
