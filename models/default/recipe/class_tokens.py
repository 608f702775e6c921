"""Class tokens of stored episodes: what the text tower learns from."""
import argparse
import pathlib

import numpy as np
import torch

import episodes
from backbone import Backbone


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    tower = Backbone(a.backbone, a.device)
    pictures, _ = episodes.stored(a.work, a.first, a.episodes, a.workers)
    rows = []
    for number, picture in enumerate(pictures):
        rows.append(tower.tokens(torch.from_numpy(picture), [tower.layers - 1])[1].half().cpu().numpy())
        if (number + 1) % 500 == 0:
            print(f"class tokens of {number + 1}/{a.episodes} products", flush=True)
    np.save(a.work / "class_tokens.npy", np.concatenate(rows))


if __name__ == "__main__":
    main()
