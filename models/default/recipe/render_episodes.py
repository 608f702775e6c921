"""Renders the episodes that everything is learnt on; stops and goes on anywhere."""
import argparse
import pathlib

import torch

import episodes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="seed of the first product")
    parser.add_argument("--episodes", type=int, default=4500)
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    a = parser.parse_args()
    episodes.stored(a.work, a.first, a.episodes, a.workers)


if __name__ == "__main__":
    main()
