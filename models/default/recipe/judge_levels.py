"""Judges model directories by the validation episodes, as the service matches: their levels' maps of the tower's tokens, and
what levels count (level_weights, or product_levels: docs/scoring.md). Prints a row of the model card for each."""
import argparse
import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import validation
from backbone import Backbone
from projection import Projection, distances

WINDOWS = (1, 3, 8)  # core/bank/bank.h
APART = 2  # patches: nearer ones of the same picture are no stand-in for another


def window_means(maps, side):
    """[.., g, g] -> the same: the square around each patch, moved inwards at the edge."""
    grid = maps.shape[-1]
    means = F.avg_pool2d(maps.reshape(-1, 1, grid, grid), side, 1)
    before = (side - 1) // 2
    after = side - 1 - before
    return F.pad(means, (before, after, before, after), mode="replicate").view_as(maps)


def places(length):
    grid = round(length ** 0.5)
    index = torch.arange(length)
    return index // grid, index % grid


def near(length):
    """[L, L]: patches no more than APART from each other."""
    apart = [(place[:, None] - place[None]).abs() for place in places(length)]
    return torch.maximum(*apart) <= APART


def halves_ratio(unit):
    """Of one picture's unit tokens [n, L, E], over the first half of the levels: core/bank/product_levels.h."""
    ratios = []
    for tokens in unit[: max(1, len(unit) // 2)]:
        cosines = tokens @ tokens.T
        far = ~near(len(tokens)).to(cosines.device)
        median = lambda allowed: (1 - cosines.masked_fill(~allowed, -1).amax(1)).median().clamp_min(1e-4)
        sides = [place < round(len(tokens) ** 0.5) // 2 for place in places(len(tokens))]
        same = [(side[:, None] == side[None]).to(cosines.device) for side in sides]
        ratios.append(max((median(far & ~s) / median(far & s)).item() for s in same))
    return sum(ratios) / len(ratios)


def without_itself(unit):
    """Distances of each of the references [K, n, L, E] to the others, of a single one to its own distant patches: [K, n, L]."""
    if len(unit) > 1:
        return torch.cat([distances(unit[k:k + 1], torch.cat([unit[:k], unit[k + 1:]])) for k in range(len(unit))])
    cosines = unit[0] @ unit[0].transpose(1, 2)
    return 1 - cosines.masked_fill(near(unit.shape[2]).to(cosines.device), -1).amax(-1)[None]


class Levels:
    """What a model directory says of its levels."""

    def __init__(self, folder, device):
        self.folder = pathlib.Path(folder)
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        self.taps, width = config["taps"], config["vision"]["width"]
        self.weights = torch.tensor(config.get("level_weights", [1.0] * len(self.taps)), device=device)
        self.by_product = config.get("product_levels")
        if config["vision"].get("level_projections"):
            tensors = load_file(self.folder / "additions.safetensors")
            parts = [torch.stack([tensors[f"visual.level_projections.{i}.{part}"].float() for i in range(len(self.taps))])
                     for part in ("weight", "bias")]
        else:
            parts = [torch.eye(width).expand(len(self.taps), -1, -1), torch.zeros(len(self.taps), width)]
        self.projection = Projection(*parts).to(device)

    def map(self, unit, shots):
        """The summed maps [Q, L] of pieces after the four references, of which the first `shots` take part."""
        found = distances(unit[4:], unit[:shots])
        if self.by_product is None:
            return (found * self.weights[:, None]).sum(1)
        grid = (round(unit.shape[2] ** 0.5),) * 2
        found, usual = found.unflatten(-1, grid), without_itself(unit[:shots]).unflatten(-1, grid)
        ratio = sum(halves_ratio(picture) for picture in unit[:shots]) / shots
        first, last = self.by_product.get("texture_to", 1.1), self.by_product.get("object_from", 1.2)
        texture = min(1.0, max(0.0, (last - ratio) / (last - first)))
        total = 0
        for side, as_texture, as_object in zip(WINDOWS, self.by_product["texture"], self.by_product["object"]):
            for level in range(len(self.taps)):
                wanted = texture * as_texture[level] + (1 - texture) * as_object[level]
                if wanted == 0:
                    continue
                means = window_means(usual[:, level], side).flatten()
                spread = (means.quantile(0.99) - means.median()).clamp_min(1e-3)
                total = total + wanted / spread * window_means(found[:, level], side)
        return total.flatten(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="model directories on the same tower")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    tower = Backbone(a.backbone, a.device)
    models = [Levels(folder, a.device) for folder in a.models]
    blocks = sorted({tap for model in models for tap in model.taps})
    tallies = [validation.Tally() for _ in models]
    held = validation.stored(a.work, a.workers, a.every)
    for number, (kind, pictures, covers) in enumerate(held, 1):
        tokens = tower.tokens(torch.from_numpy(pictures), blocks)[0].float()
        covers = torch.from_numpy(covers).flatten(1).to(a.device)
        with torch.no_grad():
            for model, tally in zip(models, tallies):
                unit = model.projection(tokens[:, [blocks.index(tap) for tap in model.taps]])
                for shots in validation.SHOTS:
                    tally.add(kind, shots, *validation.judge(model.map(unit, shots), covers))
        print(f"{number}/{len(held)}", flush=True)
    kinds = [(kind, part) for part in ("image", "pixel") for kind in validation.SHARES
             if part == "image" or kind in ("photo", "rendered")]
    print("| | " + " | ".join(f"{kind}, {part}" for kind, part in kinds) + " | total |")
    for model, tally in zip(models, tallies):
        means = tally.means()
        cells = [" / ".join(f"{means[f'{kind} K={shots} {part}']:.1f}" for shots in validation.SHOTS) for kind, part in kinds]
        print(f"| {model.folder} | " + " | ".join(cells) + f" | {tally.total():.1f} |")


if __name__ == "__main__":
    main()
