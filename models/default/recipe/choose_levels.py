"""Chooses four levels, each with a map of its own (learnt, or whitening of some power) and a weight.

Coordinate ascent on the validation episodes (validation.py), from several starts; the sets that the model is judged by
play no part in it. Writes chosen.safetensors and levels.json, which assemble.py takes.
"""
import argparse
import json
import pathlib
import random

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import episodes
import validation
from backbone import Backbone
from projection import Moments, distances, image_auroc, top_mean, whitening

POWERS = (0.0, 0.5, 1.0)
WEIGHTS = (0, 0.25, 0.5, 1, 2, 3)
LEVEL_SUM = 0.46  # what distances of good tokens add up to, about that of the plain tower's taps


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--projection", default="final", help="name given to learn_projection.py")
    parser.add_argument("--taps", default="4,6,8,10", help="blocks that it was learnt on")
    parser.add_argument("--first", type=int, default=0, help="seed of the first rendered product")
    parser.add_argument("--episodes", type=int, default=96, help="products that the whitenings are made of")
    parser.add_argument("--every", type=int, default=1, help="choose on each so many-th validation episode alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def candidates(a, tower, blocks):
    """(block, name) -> weight [E, W], bias [E]."""
    pictures, _ = episodes.stored(a.work, a.first, a.episodes, a.workers)
    moments = Moments(len(blocks), tower.width, a.device)
    for picture in pictures:
        moments.add(tower.tokens(torch.from_numpy(picture[:episodes.REFERENCES]), blocks)[0])
    mean, covariance = moments.mean_and_covariance()
    maps = {}
    for power in POWERS:
        for block, weight, bias in zip(blocks, *whitening(mean, covariance, power)):
            maps[block, f"white {power}"] = weight, bias
    learnt = load_file(a.work / f"{a.projection}.safetensors", device=a.device)
    for block, weight, bias in zip(map(int, a.taps.split(",")), learnt["weight"], learnt["bias"]):
        maps[block, "learnt"] = weight, bias
    return maps


def all_distances(a, tower, blocks, maps):
    """For each validation episode its kind, how many good pieces, and {(shots, block, name): [Q, L]}."""
    held, stored = [], validation.stored(a.work, a.workers, a.every)
    for kind, pictures, covers in stored:
        tokens = tower.tokens(torch.from_numpy(pictures), blocks)[0].float()
        of = {}
        for (block, name), (weight, bias) in maps.items():
            unit = F.normalize(tokens[:, blocks.index(block)] @ weight.T + bias, dim=-1)[:, None]
            for shots in validation.SHOTS:
                of[shots, block, name] = distances(unit[4:], unit[:shots])[:, 0].cpu()
        held.append((kind, len(pictures) - 4 - len(covers), of))
        print(f"distances of {len(held)}/{len(stored)} episodes", flush=True)
    return held


class Judge:
    def __init__(self, held, maps):
        self.held = held
        # Good pieces' mean distance: weights are in units of it, or a level's map could not be exchanged.
        self.mean = {key: sum(of[(4,) + key][:good].mean().item() for _, good, of in held) / len(held) for key in maps}

    def score(self, levels):
        tally = validation.Tally()
        for kind, good, of in self.held:
            for shots in validation.SHOTS:
                summed = sum(w / self.mean[b, name] * of[shots, b, name] for b, name, w in levels)
                tally.add(kind, shots, image_auroc(top_mean(summed), good).item(), None)
        return tally.total(), tally.means()

    def climb(self, levels, names, rng):
        best, improved = self.score(levels)[0], True
        while improved:
            improved = False
            for place in range(len(levels)):
                others = {level[0] for i, level in enumerate(levels) if i != place}
                tried = [(b, name, w) for b, name in rng.sample(names, 10) for w in (0.5, 1, 2)]
                tried += [levels[place][:2] + (w,) for w in WEIGHTS]
                for level in tried:
                    if level[0] in others:
                        continue
                    changed = levels[:place] + [level] + levels[place + 1:]
                    value = self.score(changed)[0]
                    if value > best + 0.02:
                        best, levels, improved = value, changed, True
        return best, levels


def main():
    a = parse()
    tower = Backbone(a.backbone, a.device)
    blocks = list(range(tower.layers))
    maps = candidates(a, tower, blocks)
    judge = Judge(all_distances(a, tower, blocks, maps), maps)
    names, rng = sorted(maps), random.Random(a.seed)
    learnt = [key + (1,) for key in names if key[1] == "learnt"]
    starts = [learnt, [(b, "white 0.5", 1) for b in (2, 5, 8, 11)], [(3, "white 1.0", 1)] + learnt[:3],
              [(b, "white 0.0", 1) for b in (3, 5, 7, 9)]]
    best, levels = max((judge.climb(start, names, rng) for start in starts), key=lambda found: found[0])
    levels = sorted(level for level in levels if level[2] > 0)
    report = {"chosen": levels, "total": best, "means": judge.score(levels)[1]}
    plain = [(b, "white 0.0", judge.mean[b, "white 0.0"]) for b in (2, 5, 8, 11)]
    report["plain tower, depths 3, 6, 9, 12"] = judge.score(plain)[1]
    scale = LEVEL_SUM / sum(w for _, _, w in levels)
    report["taps"] = [b for b, _, _ in levels]
    report["level_weights"] = [round(scale * w / judge.mean[b, name], 3) for b, name, w in levels]
    (a.work / "levels.json").write_text(json.dumps(report, indent=1) + "\n")
    save_file({"weight": torch.stack([maps[b, name][0] for b, name, _ in levels]).cpu(),
               "bias": torch.stack([maps[b, name][1] for b, name, _ in levels]).cpu()}, a.work / "chosen.safetensors")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
