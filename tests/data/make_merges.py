#!/usr/bin/env python3
"""Writes tests/data/merges.txt: a small byte-pair merge list learnt from the product's prompt texts."""
import argparse
import collections
import pathlib
import re

SCENES = """a photo of the {}.|a bright photo of the {}.|a dark photo of the {}.|a close-up photo of the {}.|
a black and white photo of the {}.|a blurry photo of the {}.|a photo of the small {}.|a photo of the large {}.|
there is a {} in the scene.|this is one {} in the scene.|a low resolution photo of a {}.|a cropped photo of my {}.|
a jpeg corrupted photo of a {}.|a good photo of the cool {}.|a bad photo of a {}.""".replace("\n", "").split("|")
STATES = """{}|flawless {}|perfect {}|unblemished {}|{} without flaw|{} without defect|{} without damage|damaged {}|
broken {}|{} with flaw|{} with defect|{} with damage""".replace("\n", "").split("|")
CLASSES = """object tile screw wood zipper cable pill capsule hazelnut leather bottle cashew grid transistor candle
carpet toothbrush metal_nut""".split()


def words():
    """Each word of the prompts as a tuple of symbols, with how often it occurs."""
    counts = collections.Counter()
    for scene in SCENES:
        for state in STATES:
            for name in CLASSES:
                text = scene.replace("{}", state.replace("{}", name))
                for word in re.findall(r"[a-z]+|[^\sa-z]+", text.lower()):
                    counts[tuple(word[:-1]) + (word[-1] + "</w>",)] += 1
    return counts


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def learn(count):
    table, merges = words(), []
    for _ in range(count):
        pairs = collections.Counter()
        for word, times in table.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        table = {merged(word, best): times for word, times in table.items()}
    return merges


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=128, help="merges to learn (128)")
    lines = ["#version: 1"] + [" ".join(pair) for pair in learn(parser.parse_args().count)]
    pathlib.Path(__file__).with_name("merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
