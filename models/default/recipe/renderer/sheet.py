"""A contact sheet to look at: good | defective | mask, with captions, as one HTML file or one PNG."""

import base64
import html
import io
import pathlib

import numpy as np
from PIL import Image

from .product import Product
from .seeds import generator


def rows(seeds, pieces, side):
    """For each seed: its pictures side by side, and lines of text."""
    for seed in seeds:
        product = Product(seed)
        pictures, lines = [], []
        for index in range(pieces):
            picture, mask, defect = product.defective(index, side)
            shown = np.repeat(np.where(mask, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)
            pictures += [product.good(index, side), picture, shown]
            rng = generator(seed, "sheet", index)
            lines.append(f"{defect.kind}, {defect.place}, size {defect.size:.2f}, contrast {defect.contrast:.2f}: "
                         f"{product.caption(rng)} | {product.caption(rng, defect)}")
        yield f"{seed}: {product.group}", np.concatenate(pictures, axis=1), lines


def write(path, seeds, pieces, side):
    path = pathlib.Path(path)
    if path.suffix == ".png":
        Image.fromarray(np.concatenate([strip for _, strip, _ in rows(seeds, pieces, side)], axis=0)).save(path)
        return
    parts = ["<!doctype html><meta charset=utf-8><title>Contact sheet</title>",
             "<style>body{font:13px sans-serif;background:#222;color:#ddd}img{width:100%}p{margin:2px}</style>"]
    for title, strip, lines in rows(seeds, pieces, side):
        store = io.BytesIO()
        Image.fromarray(strip).save(store, "JPEG", quality=88)
        data = base64.b64encode(store.getvalue()).decode()
        parts.append(f"<h3>{html.escape(title)}</h3><img src=data:image/jpeg;base64,{data}>"
                     + "".join(f"<p>{html.escape(line)}</p>" for line in lines))
    path.write_text("\n".join(parts), encoding="utf-8")
