"""Compares all sets of four depths under whitenings of several powers, on the validation episodes.

Prints the best, and how the usual sets do. Nothing is learnt here but the moments of rendered tokens.
"""
import argparse
import itertools
import json
import pathlib

import torch

import episodes
import validation
from backbone import Backbone
from projection import Moments, Projection, distances, image_auroc, top_mean, whitening

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    tower = Backbone(a.backbone, a.device)
    blocks = list(range(tower.layers))
    look = lambda pictures: tower.tokens(torch.from_numpy(pictures), blocks)[0]
    pictures, _ = episodes.stored(a.work, 0, 96, a.workers)
    moments = Moments(len(blocks), tower.width, a.device)
    for picture in pictures:
        moments.add(look(picture[:4]))
    mean, covariance = moments.mean_and_covariance()
    maps_of = {p: Projection(*whitening(mean, covariance, p)).to(a.device) for p in POWERS}
    sets = list(itertools.combinations(blocks, 4))
    member = torch.zeros(len(sets), len(blocks), device=a.device)
    for row, chosen in enumerate(sets):
        member[row, list(chosen)] = 1
    sums = {}
    for kind, pictures, covers in validation.stored(a.work, a.workers):
        tokens = look(pictures).float()
        for power, projection in maps_of.items():
            with torch.no_grad():
                unit = projection(tokens)
                for shots in validation.SHOTS:
                    few = distances(unit[4:], unit[:shots])
                    summed = torch.einsum("mn,qnl->mql", member, few)
                    value = image_auroc(top_mean(summed), len(few) - len(covers))
                    sums.setdefault((kind, shots, power), []).append(value)
    means = {key: torch.stack(values).mean(0).cpu() * 100 for key, values in sums.items()}
    total = {p: sum(validation.SHARES[kind] * m / len(validation.SHOTS) for (kind, _, power), m in means.items()
                    if power == p) for p in POWERS}
    report = []
    for power in POWERS:
        order = total[power].argsort(descending=True)[:8].tolist()
        order += [sets.index(s) for s in ((2, 5, 8, 11), (0, 5, 8, 11), (5, 7, 9, 11))]
        for row in order:
            parts = {f"{k} K={s}": round(float(means[(k, s, power)][row]), 1) for k, s, p in means if p == power}
            report.append({"power": power, "taps": sets[row], "total": round(float(total[power][row]), 2), **parts})
            print(json.dumps(report[-1]), flush=True)
    (a.work / "taps.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
