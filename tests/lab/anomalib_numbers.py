#!/usr/bin/env python3
"""Prints what anomalib says of the made-up maps of anomalib_test.cc, as the initialisers that the test holds.

Run it by the interpreter of `tests/bench/peers/metrics --python`, which has anomalib."""
import numpy as np
import torch
from anomalib import __version__
from anomalib.metrics.aupro import _AUPRO
from anomalib.metrics.auroc import _AUROC
from anomalib.metrics.f1_score import _F1Max
from torchmetrics.classification import BinaryAveragePrecision

WIDTH, HEIGHT, MAPS = 48, 40, 8


def make(levels, seed):
    """The same integers as in the test: a linear congruential generator, its upper bits."""
    state = seed

    def draw(n):
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return (state >> 8) % n

    maps = np.zeros((MAPS, HEIGHT, WIDTH), np.float32)
    masks = np.zeros((MAPS, HEIGHT, WIDTH), np.int64)
    for i in range(MAPS):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                maps[i, y, x] = draw(levels) / levels
        for _ in range(i % 4):
            x0, y0, side = draw(WIDTH - 8), draw(HEIGHT - 8), 2 + draw(6)
            maps[i, y0:y0 + side, x0:x0 + side] += 0.5
            masks[i, y0:y0 + side, x0:x0 + side] = 1
    return torch.from_numpy(maps), torch.from_numpy(masks)


def value(metric, maps, masks):
    metric.update(maps, masks)
    return float(metric.compute())


def main():
    print(f"// anomalib {__version__}, torch {torch.__version__}")
    for levels, seed in ((4096, 1), (16, 2), (65536, 3)):
        maps, masks = make(levels, seed)
        numbers = [value(metric, maps, masks) for metric in (_AUROC(), BinaryAveragePrecision(), _F1Max(), _AUPRO())]
        print(f"{{{levels}, {seed}, " + ", ".join(f"{n:.8f}" for n in numbers) + "},")


if __name__ == "__main__":
    main()
