"""CLIP's tokenizer for ASCII text, enough to compare a checkpoint's prompt ids with the configured texts."""
import gzip
import pathlib
import re

VOCABULARY = 49408
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")


def merge_pair(symbols, pair):
    """The symbols with each occurrence of the pair as one, from left to right."""
    merged, at = [], 0
    while at < len(symbols):
        if tuple(symbols[at:at + 2]) == pair:
            merged.append("".join(pair))
            at += 2
        else:
            merged.append(symbols[at])
            at += 1
    return merged


class SimpleBpe:
    """`path`: the merge list, plain or gzip."""

    def __init__(self, path, vocabulary=VOCABULARY):
        self.vocabulary = vocabulary
        data = pathlib.Path(path).read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
        merges = [tuple(line.split()) for line in text.split("\n")[1:vocabulary - 2 - 512 + 1]]
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
        symbols += [symbol + "</w>" for symbol in symbols]
        self.ids = {symbol: number for number, symbol in enumerate(symbols + ["".join(pair) for pair in merges])}
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}

    def encode(self, text, length):
        """One row: start, ids, end, zeros."""
        if not text.isascii():
            raise ValueError(f"only ASCII prompts can be compared: {text!r}")
        ids = [self.vocabulary - 2]
        for piece in PIECES.findall(" ".join(text.split()).lower()):
            ids += [self.ids[symbol] for symbol in self.merge(piece)]
        ids.append(self.vocabulary - 1)
        if len(ids) > length:
            raise ValueError(f"{text!r} has more than {length} tokens")
        return ids + [0] * (length - len(ids))

    def merge(self, piece):
        word = [*piece[:-1], piece[-1] + "</w>"]
        while len(word) > 1:
            best = min(zip(word, word[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            word = merge_pair(word, best)
        return word
