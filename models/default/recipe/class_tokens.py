"""Class tokens of stored episodes: what the text tower learns from. Stops and goes on anywhere."""
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
    size = pictures.shape[1] * tower.width * np.dtype(np.float16).itemsize  # of a product's tokens
    part = a.work / "class_tokens.part"
    with part.open("ab") as file:
        done = file.tell() // size
        file.truncate(done * size)
        for number in range(done, a.episodes):
            tokens = tower.tokens(torch.from_numpy(pictures[number]), [tower.layers - 1])[1]
            file.write(tokens.half().cpu().numpy().tobytes())
            if (number + 1) % 50 == 0 or number + 1 == a.episodes:
                file.flush()
                print(f"class tokens of {number + 1}/{a.episodes} products", flush=True)
    np.save(a.work / "class_tokens.npy", np.fromfile(part, np.float16).reshape(-1, tower.width))
    part.unlink()


if __name__ == "__main__":
    main()
