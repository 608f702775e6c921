"""What choices are made on: photographs (held_back.py) and rendered products that nothing was learnt from."""
import argparse
import concurrent.futures
import multiprocessing
import pathlib

import numpy as np
import torch

import episodes
import held_back
from projection import auroc, distances, image_auroc, top_mean

PHOTOS = 2 * len(held_back.NAMES)
DRIFTS = 2 * len(held_back.SURFACES)
RENDERED_FROM, RENDERED = 1_000_000_000, 48
GLOBALS_FROM, GLOBALS = 1_100_000_000, 24
TEXTURES_FROM, TEXTURES = 1_200_000_000, 24
SHOTS = (1, 4)
# What a set counts where one number is needed: pictures of real things more than rendered ones.
SHARES = {"photo": 0.35, "drift": 0.15, "texture": 0.15, "rendered": 0.2, "global": 0.15}


def episode(index):
    """Kind of set, pictures [4 + good + defective, S, S, 3] and coverage of validation episode `index`."""
    if index < PHOTOS:
        return ("photo",) + held_back.episode(index)[:2]
    index -= PHOTOS
    if index < DRIFTS:
        return ("drift",) + held_back.drift_episode(index)[:2]
    index -= DRIFTS
    if index < RENDERED:
        return ("rendered",) + episodes.render(RENDERED_FROM + index, good=8, defective=8)[:2]
    index -= RENDERED
    if index < GLOBALS:
        return ("global",) + global_episode(GLOBALS_FROM + 1000 * index)
    return ("texture",) + episodes.render_drift(TEXTURES_FROM + index - GLOBALS, good=6)[:2]


COUNT = PHOTOS + DRIFTS + RENDERED + GLOBALS + TEXTURES


def global_episode(seed):
    """The first product from `seed` on of which two or three pieces in eight have changed as a whole."""
    from renderer import Product
    while True:
        product, changed = Product(seed), []
        for piece in range(12, 20):
            picture, mask, _ = product.defective(piece)
            if mask.all() and len(changed) < 3:
                changed.append(picture)
        if len(changed) >= 2:
            good = [product.good(piece) for piece in range(episodes.REFERENCES + 6)]
            return np.stack(good + changed), np.ones((len(changed), 24, 24), np.float32)
        seed += 1


def judge(maps, covers):
    """AUROC of images and of patches: maps [G + D, L] of good then defective pieces, covers [D, L]."""
    good = len(maps) - len(covers)
    image = image_auroc(top_mean(maps), good).item()
    truth = torch.cat([torch.zeros(good, covers.shape[1], device=maps.device), covers])
    keep = (truth <= 0) | (truth >= 0.3)
    pixel = auroc(maps[keep], truth[keep] >= 0.3)
    return image, pixel


class Tally:
    """Means over episodes, by set and shots."""

    def __init__(self):
        self.values = {}

    def add(self, kind, shots, image, pixel):
        for name, value in (("image", image), ("pixel", pixel)):
            if value is not None:
                self.values.setdefault((kind, shots, name), []).append(value)

    def means(self):
        return {f"{kind} K={shots} {name}": 100 * sum(v) / len(v) for (kind, shots, name), v in sorted(self.values.items())}

    def total(self):
        """One number to choose by: the image AUROCs, weighed by SHARES."""
        means = self.means()
        return sum(share * means[f"{kind} K={shots} image"] / len(SHOTS) for kind, share in SHARES.items() for shots in SHOTS)


def stored(folder, workers, every=1):
    """All validation episodes, or each `every`-th for a trial; made once."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("validation.npz" if every == 1 else f"validation-{every}.npz")
    if not path.exists():
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
            kinds, pictures, covers = zip(*pool.map(episode, range(0, COUNT, every)))
        part = path.with_suffix(".part.npz")
        np.savez(part, kinds=np.array(kinds), **{f"pictures{i}": p for i, p in enumerate(pictures)},
                 **{f"covers{i}": c for i, c in enumerate(covers)})
        part.replace(path)
    with np.load(path) as held:
        return [(kind, held[f"pictures{i}"], held[f"covers{i}"]) for i, kind in enumerate(held["kinds"].tolist())]


def evaluate(projections, tokens_of, device, held):
    """Tally of each of `projections` (name -> module) over the episodes `held`; `tokens_of(pictures)` looks."""
    tallies = {name: Tally() for name in projections}
    for kind, pictures, covers in held:
        tokens = tokens_of(torch.from_numpy(pictures)).float()
        covers = torch.from_numpy(covers).flatten(1).to(device)
        for name, projection in projections.items():
            with torch.no_grad():
                unit = projection(tokens)
                for shots in SHOTS:
                    maps = distances(unit[4:], unit[:shots]).sum(1)
                    tallies[name].add(kind, shots, *judge(maps, covers))
    return tallies


def main():
    parser = argparse.ArgumentParser(description="Renders the validation episodes.")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="each so many-th alone")
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    a = parser.parse_args()
    stored(a.work, a.workers, a.every)


if __name__ == "__main__":
    main()
