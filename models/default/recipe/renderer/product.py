"""One product: good pieces without end, and the same pieces with one defect."""

import dataclasses

import numpy as np
from PIL import Image

from . import camera, captions, defects, fields, scenes
from .seeds import generator, log_uniform, pick
from .view import Pose, View

_FAST = (48, 50, 54, 60, 64, 72, 80, 90, 96, 100, 108, 120, 128, 144, 150, 160, 180, 192, 200, 216, 240, 256, 270,
         288, 300, 320, 324, 336, 360, 384, 400, 432, 448, 480, 512, 540, 576, 600, 640)
_VISIBLE = 5            # levels of 255 that count as a change
_ATTEMPTS = 80          # four of each kind drawn, ever stronger
_GLOBAL_SHARE = 0.2     # of the defects of scenes that are one texture: a tenth of all


@dataclasses.dataclass(frozen=True)
class Defect:
    """`size`: longer side of its box in widths of the picture; `contrast`: mean change inside its mask, 0..1;
    `part`: what is missing or misplaced, else empty."""
    kind: str
    place: str
    size: float
    contrast: float
    part: str = ""


class Product:
    """Everything is a function of `seed`, the piece's `index` and the side; the order of calls has no part in it."""

    def __init__(self, seed):
        self.seed = int(seed)
        rng = generator(self.seed, "product")
        self._channels = 1 if rng.random() < 0.4 else 3
        self._scale = rng.uniform(0.45, 1.0)
        self._scene = scenes.draw(generator(self.seed, "scene"), self._channels)
        self._setting = camera.draw(generator(self.seed, "camera"))
        # How much good pieces differ: nearly not, some, a lot; each nuisance by a factor of its own.
        level = pick(rng, (rng.uniform(0.02, 0.15), rng.uniform(0.15, 0.6), rng.uniform(0.6, 1.3)), (0.3, 0.4, 0.3))
        self._vary = {name: min(1.3, level * log_uniform(rng, 0.4, 2.0)) for name in ("light", "shift", "turn", "zoom", "texture")}
        if rng.random() < 0.3:
            self._vary["turn"] = 0.0
        self.name = self._scene.name
        self.group = f"{self._scene.colour_word} {self.name}"
        words = generator(self.seed, "words")
        self._thing = f"{self._scene.colour_word} {pick(words, self._scene.words)}" if words.random() < 0.75 \
            else pick(words, self._scene.words)
        self._adjectives = camera.adjectives(self._setting, self._channels)
        self._last = None

    def good(self, index, side=336):
        """Piece `index`, uint8 [side, side, 3]."""
        return self._piece(index, side)[-1].copy()

    def defective(self, index, side=336):
        """The same piece with a defect: picture, mask bool [side, side], Defect."""
        view, look, setting, good = self._piece(index, side)
        for attempt in range(_ATTEMPTS):
            found = self._try(view, look, setting, good, attempt)
            if found is not None:
                return found
        raise RuntimeError(f"product {self.seed}, piece {index}: no visible defect in {_ATTEMPTS} attempts")

    @property
    def textured(self):
        """Whether it is one texture all over, that can drift."""
        return self._scene.textured

    def drifted(self, index, strength, side=336):
        """The same piece, its whole texture changed; only where `textured`. `strength` from -0.2, hardly visible, to 1."""
        view, look, setting, _ = self._piece(index, side)
        rng = generator(self.seed, "drift", index)
        change = defects.KINDS["wrong texture"].apply(defects.Site(rng, self._scene, view, look.copy(), 1.0, strength))
        return camera.shoot(change.look, setting, side, view.rng, change.light)

    def caption(self, rng, defect=None):
        """One caption of the product, with `defect` or good."""
        return captions.caption(rng, self._thing, self._adjectives, defect)

    def _piece(self, index, side):
        """View, look, setting and picture of a piece; the last one is kept."""
        if self._last is None or self._last[0] != (index, side):
            n = min(_FAST, key=lambda m: abs(m - side * self._scale))
            setting, pose = self._nuisances(index)
            view = View(self.seed, index, n, pose, self._channels, self._vary["texture"])
            look = self._scene.look(view)
            self._last = (index, side), (view, look, setting, camera.shoot(look, setting, side, view.rng))
        return self._last[1]

    def _nuisances(self, index):
        rng, vary = generator(self.seed, "nuisance", index), self._vary
        shift, turn = rng.normal(0, 0.03 * vary["shift"], 2), rng.normal(0, 0.06 * vary["turn"])
        if self._scene.free:
            shift, turn = shift + rng.normal(0, 0.03, 2), rng.uniform(0, 2 * np.pi)
        zoom = np.exp(rng.normal(0, 0.03 * vary["zoom"]))
        return camera.vary(self._setting, rng, vary["light"]), Pose(*shift, turn, zoom)

    def _kind(self, rng):
        fitting = [k for _, k in sorted(defects.KINDS.items()) if k.fits(self._scene)]
        everywhere = [k for k in fitting if k.everywhere]
        if everywhere and rng.random() < _GLOBAL_SHARE:
            return everywhere[0]
        # Where good pieces are lit unevenly, uneven brightness is no defect.
        local = [k for k in fitting if not k.everywhere and (self._vary["light"] < 0.6 or not k.of_light)]
        return pick(rng, local, [k.weight for k in local])

    def _try(self, view, look, setting, good, attempt):
        kind = self._kind(generator(self.seed, "kind of defect", view.index, attempt // 4))
        rng = generator(self.seed, "defect", view.index, attempt)
        small = kind.small * (0.4 if rng.random() < 0.15 else 1.0)
        size, strength = log_uniform(rng, small, kind.large), rng.beta(1.2, 1.3)
        site = defects.Site(rng, self._scene, view, look.copy(), size, min(1.0, strength + 0.3 * (attempt % 4)))
        change = kind.apply(site)
        side = good.shape[0]
        bad = camera.shoot(change.look, setting, side, view.rng, change.light)
        difference = _difference(bad, good)
        if kind.everywhere:
            mask = np.ones((side, side), bool)
            if difference.mean() < max(_VISIBLE, 0.3 * min(40.0, float(good.std()))):
                return None
        else:
            mask = _mask(difference, change.alpha)
            if not _visible(mask, difference, good):
                return None
        picture = np.where(mask[..., None], bad, good)
        return picture, mask, _describe(kind, mask, difference, change.part)


def _difference(first, second):
    """Largest difference of the three colours, [side, side] int16."""
    apart = np.abs(first.astype(np.int16) - second)
    return np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])


def _mask(difference, alpha):
    """Where the change can be seen: pixels that differ, gaps closed, within the defect's support."""
    mask = fields.shrunk(fields.grown(difference > _VISIBLE, 2), 2)
    if alpha is None:
        return fields.grown(fields.shrunk(mask, 1), 1)
    support = fields.resize(alpha, difference.shape[0], Image.BILINEAR)
    return (mask | (support > 0.5)) & (support > 0.04)


def _visible(mask, difference, good):
    """Whether an eye would find it: the change stands out of the texture around, the more the smaller it is."""
    share = mask.mean()
    if not 6e-5 < share < 0.55:
        return False
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    wide = max(8, mask.shape[0] // 12)
    around = good[max(0, rows[0] - wide): rows[-1] + wide, max(0, columns[0] - wide): columns[-1] + wide, 1]
    needed = 0.45 + 0.9 * np.exp(-np.sqrt(share) / 0.04)
    return float(difference[mask].mean()) > max(1.6 * _VISIBLE, needed * min(25.0, float(around.std())))


def _describe(kind, mask, difference, part):
    if kind.everywhere:
        return Defect(kind.name, "everywhere", 1.0, float(difference.mean()) / 255)
    side = mask.shape[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    size = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    ys, xs = np.nonzero(mask)
    row, column = int(3 * ys.mean() / side), int(3 * xs.mean() / side)
    names = (("upper left", "top", "upper right"), ("left", "centre", "right"), ("lower left", "bottom", "lower right"))
    return Defect(kind.name, names[row][column], float(size) / side, float(difference[mask].mean()) / 255,
                  part)
