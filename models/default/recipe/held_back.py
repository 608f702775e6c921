"""Held-back pictures: sample photographs of scikit-image with defects drawn by other code than the renderer's.

What is chosen (depths, powers, steps) is chosen on these and on rendered seeds that nothing was learnt from, never
on the sets that the model is judged by. They are looked at only: nothing of them is shipped.
"""
import copy
import pathlib

import numpy as np
from PIL import Image, ImageFilter

from episodes import REFERENCES, coverage

# Surfaces: any part of the picture is a piece. Objects: the whole picture, nearly still.
SURFACES = ["brick.png", "grass.png", "gravel.png", "ihc.png", "hubble_deep_field.jpg", "moon.png", "cell.png",
            "chessboard_GRAY.png", "page.png", "text.png"]
OBJECTS = ["astronaut.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png", "color.png",
           "horse.png", "logo.png", "motorcycle_left.png", "phantom.png", "retina.jpg", "rocket.jpg",
           "microaneurysms.png"]
NAMES = SURFACES + OBJECTS


def folder():
    import skimage
    return pathlib.Path(skimage.__file__).parent / "data"


class Photo:
    """A product made of one photograph."""

    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        self.picture = Image.open(folder() / name).convert("RGB")
        rng = np.random.default_rng([seed, NAMES.index(name)])
        self.surface = name in SURFACES
        short = min(self.picture.size)
        self.zoom = rng.uniform(0.35, 0.8) if self.surface else rng.uniform(0.75, 0.92)
        self.crop = max(64, int(short * self.zoom))
        self.start = [rng.uniform(0.2, 0.8) for _ in range(2)]
        self.shift, self.turn, self.light = rng.uniform(0, 0.02), rng.uniform(0, 3), rng.uniform(0.02, 0.25)

    def good(self, index, side=336):
        rng = np.random.default_rng([self.seed, 1, index])
        room = [size - self.crop for size in self.picture.size]
        at = [rng.uniform(0, 1) if self.surface else np.clip(s + rng.normal(0, self.shift), 0, 1)
              for s in self.start]
        left, top = (int(r * a) for r, a in zip(room, at))
        turned = self.picture.rotate(rng.normal(0, self.turn), Image.Resampling.BICUBIC,
                                     center=(left + self.crop / 2, top + self.crop / 2))
        piece = turned.crop((left, top, left + self.crop, top + self.crop)).resize((side, side), Image.Resampling.BICUBIC)
        x = np.asarray(piece, np.float32)
        ramp = np.linspace(-1, 1, side)[:, None] * rng.normal() + np.linspace(-1, 1, side)[None] * rng.normal()
        x = x * (1 + self.light * (rng.normal() + 0.5 * ramp[..., None]))
        x = x + rng.normal(0, 2, x.shape)
        return np.clip(x, 0, 255).astype(np.uint8)

    def defective(self, index, side=336):
        rng = np.random.default_rng([self.seed, 2, index])
        x = self.good(index, side).astype(np.float32)
        kind = ["line", "spot", "patch", "blur", "shade", "warp"][rng.integers(6)]
        soft = soft_mask(rng, side, kind)[..., None]
        contrast = rng.uniform(6, 45) * rng.choice([-1, 1])
        if kind in ("line", "spot", "shade"):
            tint = np.ones(3) if rng.random() < 0.6 else rng.uniform(0.3, 1.2, 3)
            y = x + (contrast * (0.5 if kind == "shade" else 1)) * tint
        elif kind == "patch":
            other = Photo(NAMES[rng.integers(len(NAMES))], int(rng.integers(1 << 30)))
            y = other.good(0, side).astype(np.float32)
        elif kind == "blur":
            y = np.asarray(Image.fromarray(x.astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(1, 4))), np.float32)
        else:
            rows, columns = np.mgrid[:side, :side]
            d = rng.uniform(4, 14) * soft[..., 0]
            y = x[np.clip(rows + d, 0, side - 1).astype(int), np.clip(columns - d, 0, side - 1).astype(int)]
        out = np.clip(x + soft * (y - x), 0, 255).astype(np.uint8)
        changed = np.abs(out.astype(int) - x.astype(int)).max(-1) > 3
        return out, changed, kind


    def drifted(self, index, side=336):
        """A piece whose whole surface is another: its scale, direction, contrast or sharpness has drifted."""
        rng = np.random.default_rng([self.seed, 9, index])
        kind = ["scale", "turn", "stretch", "contrast", "blur", "sharpen"][rng.integers(6)]
        factor = rng.uniform(1.06, 1.25) ** rng.choice([-1, 1])
        other = copy.copy(self)
        width, height = self.picture.size
        if kind == "scale":
            other.crop = int(max(60, self.crop * factor))
        elif kind == "stretch":
            size = (int(width * factor), height) if rng.random() < 0.5 else (width, int(height * factor))
            other.picture = self.picture.resize(size, Image.Resampling.BICUBIC)
        elif kind == "turn":
            turned = self.picture.rotate(rng.uniform(8, 25) * rng.choice([-1, 1]), Image.Resampling.BICUBIC)
            other.picture = turned.crop((int(0.12 * width), int(0.12 * height), int(0.88 * width), int(0.88 * height)))
        other.crop = min(other.crop, min(other.picture.size) - 1)
        x = other.good(index, side)
        if kind == "contrast":
            mean = x.mean(dtype=np.float32)
            x = np.clip(mean + (x - mean) * factor, 0, 255).astype(np.uint8)
        elif kind == "blur":
            x = np.asarray(Image.fromarray(x).filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.6))))
        elif kind == "sharpen":
            x = np.asarray(Image.fromarray(x).filter(ImageFilter.UnsharpMask(2, int(rng.uniform(40, 120)), 0)))
        return x


def soft_mask(rng, side, kind):
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    cy, cx = rng.uniform(0.15, 0.85, 2)
    turn = rng.uniform(0, np.pi)
    u = (columns - cx) * np.cos(turn) + (rows - cy) * np.sin(turn)
    v = -(columns - cx) * np.sin(turn) + (rows - cy) * np.cos(turn)
    if kind == "line":
        v = v + rng.uniform(-0.06, 0.06) * np.sin(u * rng.uniform(5, 30))
        width, length = rng.uniform(0.002, 0.008), rng.uniform(0.05, 0.25)
    elif kind == "shade":
        width, length = rng.uniform(0.1, 0.25, 2)
    else:
        width, length = rng.uniform(0.012, 0.06, 2)
    distance = (u / length) ** 2 + (v / width) ** 2
    return np.clip(1.5 - distance, 0, 1) if kind not in ("shade",) else np.exp(-distance)


def episode(index, side=336, grid=24, good=8, defective=8):
    """As episodes.render, of photograph `index` modulo their number."""
    photo = Photo(NAMES[index % len(NAMES)], index)
    pictures = [photo.good(i, side) for i in range(REFERENCES + good)]
    covers, kinds = [], []
    for i in range(defective):
        picture, mask, kind = photo.defective(REFERENCES + good + i, side)
        pictures.append(picture)
        covers.append(coverage(mask, grid))
        kinds.append(kind)
    return np.stack(pictures), np.stack(covers), kinds


def drift_episode(index, side=336, grid=24, good=6, defective=4):
    """Surfaces as they are against surfaces that have drifted as a whole."""
    name = SURFACES[index % len(SURFACES)]
    photo = Photo(name, 900 + 50 * (index // len(SURFACES)) + NAMES.index(name))
    pictures = [photo.good(i, side) for i in range(REFERENCES + good)]
    pictures += [photo.drifted(20 + i, side) for i in range(defective)]
    return np.stack(pictures), np.ones((defective, grid, grid), np.float32), ["drift"] * defective
