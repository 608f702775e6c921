"""Writes products as a data set in MVTec's folders: CLASS/train/good, CLASS/test/good, CLASS/test/KIND with masks in
CLASS/ground_truth/KIND. hfwa-train learns from the test pictures; those in train/good serve as references."""

import csv
import multiprocessing
import os
import pathlib
import shutil
import sys

import numpy as np
from PIL import Image

from .product import Product
from .seeds import generator

REFERENCES = 4


def folder_name(product):
    return f"{product.name.replace(' ', '_')}-{product.seed:07d}"


def write_product(root, seed, good, defective, side):
    """One class; whole or not there at all. Returns whether it had to be written."""
    product = Product(seed)
    target = pathlib.Path(root) / folder_name(product)
    if target.is_dir():
        return False
    part = pathlib.Path(root) / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    captions = []

    def save(picture, name):
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, compress_level=1)

    def describe(name, index, defect=None):
        captions.append((name, product.caption(generator(seed, "caption", index), defect)))

    for index in range(REFERENCES):
        save(product.good(index, side), f"train/good/{index:03d}.png")
    for index in range(REFERENCES, REFERENCES + good):
        name = f"test/good/{index:03d}.png"
        save(product.good(index, side), name)
        describe(name, index)
    # Pieces of their own, so that no defective picture has a good twin to be told by.
    for index in range(REFERENCES + good, REFERENCES + good + defective):
        picture, mask, defect = product.defective(index, side)
        kind = defect.kind.replace(" ", "_")
        save(picture, f"test/{kind}/{index:03d}.png")
        save(np.where(mask, np.uint8(255), np.uint8(0)), f"ground_truth/{kind}/{index:03d}_mask.png")
        describe(f"test/{kind}/{index:03d}.png", index, defect)
    with open(part / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *captions])
    os.replace(part, target)
    return True


def _job(arguments):
    return write_product(*arguments)


def write(root, products, good, defective, seed, side, workers):
    """`products` classes from `seed` on; what is whole is left alone. Shows its progress on stderr."""
    pathlib.Path(root).mkdir(parents=True, exist_ok=True)
    jobs = [(root, seed + k, good, defective, side) for k in range(products)]
    written = 0
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, new in enumerate(pool.imap_unordered(_job, jobs, chunksize=4), 1):
            written += new
            if done % 10 == 0 or done == products:
                print(f"\r{done}/{products} products, {written} new", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return written
