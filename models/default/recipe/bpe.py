"""Learns a merge list of the kind that core/model/tokenizer.h reads, and encodes by it."""
import collections
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts" / "lib"))
from simple_bpe import PIECES, SimpleBpe, merge_pair  # noqa: E402

__all__ = ["SimpleBpe", "learn"]


def learn(texts, count):
    """The merge list's contents: a heading and `count` pairs, the most frequent first, ties by spelling."""
    words = collections.Counter()
    for text in texts:
        words.update(PIECES.findall(" ".join(text.split()).lower()))
    split = {word: [*word[:-1], word[-1] + "</w>"] for word in words if len(word) > 1}
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, symbols in split.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += words[word]
        if not pairs:
            sys.exit(f"bpe: the texts give only {len(merges)} merges of {count}")
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, symbols in split.items():
            if best[0] in symbols:
                split[word] = merge_pair(symbols, best)
    return "\n".join(["# byte pairs of captions of rendered products"] + [" ".join(m) for m in merges]) + "\n"
