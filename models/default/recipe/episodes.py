"""Episodes: a product's good references, good pieces and defective pieces, as one product is inspected.

An episode is what the projections learn from: what differs between good pieces must be ignored, what a defect
changes must not.
"""
import concurrent.futures
import json
import multiprocessing
import sys
import time

import numpy as np

REFERENCES, GOOD, DEFECTIVE = 4, 4, 4


SPARE = 500_000_000  # a product without a visible defect gives its place to the one of this seed and its own


def coverage(mask, grid):
    """Share of each patch that a mask covers: [S, S] bool -> [grid, grid] float32."""
    cell = mask.shape[0] // grid
    return mask.reshape(grid, cell, grid, cell).mean(axis=(1, 3), dtype=np.float32)


def render(seed, side=336, grid=24, good=GOOD, defective=DEFECTIVE):
    """One episode: pictures uint8 [REFERENCES + good + defective, S, S, 3], coverage [defective, grid, grid] and a
    [caption, group] for each picture."""
    try:
        return render_product(seed, side, grid, good, defective)
    except RuntimeError:
        return render(seed + SPARE, side, grid, good, defective)


def render_product(seed, side, grid, good, defective):
    from renderer import Product
    product = Product(seed)
    rng = np.random.default_rng([seed, 7])
    pictures = [product.good(i, side) for i in range(REFERENCES + good)]
    words = [[product.caption(rng), product.group + " | good"] for _ in pictures]
    covers = []
    for i in range(defective):
        picture, mask, defect = product.defective(REFERENCES + good + i, side)
        pictures.append(picture)
        covers.append(coverage(mask, grid))
        words.append([product.caption(rng, defect), f"{product.group} | {defect.kind}"])
    return np.stack(pictures), np.stack(covers), words


def render_drift(seed, side=336, grid=24, good=GOOD, defective=DEFECTIVE):
    """As `render`, of a product that is one texture: what is wrong with its defective pieces is that all of it has
    changed, by little or by much."""
    from renderer import Product
    product = Product(seed)
    while not product.textured:
        seed += SPARE
        product = Product(seed)
    rng = np.random.default_rng([seed, 11])
    strength = rng.uniform(-0.2, 0.25)
    first = REFERENCES + good
    pictures = [product.good(i, side) for i in range(first)]
    pictures += [product.drifted(first + i, strength, side) for i in range(defective)]
    return np.stack(pictures), np.ones((defective, grid, grid), np.float32), []


def _render(arguments):
    return render(*arguments)


def stored(folder, first, count, workers):
    """`count` episodes from seed `first` on: pictures uint8 [count, 12, S, S, 3] and coverage [count, 4, 24, 24], mapped
    from files in `folder`, and its captions.jsonl. Rendered where they are not there yet; stops and goes on anywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    size = REFERENCES + GOOD + DEFECTIVE
    state = folder / "rendered.json"
    settings = {"first": first, "side": 336}
    done = 0
    if state.exists():
        before = json.loads(state.read_text())
        if before["settings"] != settings:
            sys.exit(f"{folder} holds other episodes: {before['settings']}, not {settings}")
        done = before["done"]
    pictures = mapped(folder / "pictures.u8", np.uint8, (count, size, 336, 336, 3))
    covers = mapped(folder / "covers.f32", np.float32, (count, DEFECTIVE, 24, 24))
    if done >= count:
        return pictures, covers
    captions = folder / "captions.jsonl"
    kept = captions.read_text(encoding="utf-8").splitlines()[: done * size] if captions.exists() else []
    started = time.time()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool, \
            captions.open("w", encoding="utf-8") as lines:
        lines.writelines(line + "\n" for line in kept)
        for number, (picture, cover, words) in enumerate(pool.map(render, range(first + done, first + count), chunksize=2), done):
            pictures[number], covers[number] = picture, cover
            lines.writelines(json.dumps(row) + "\n" for row in words)
            if (number + 1) % 100 == 0 or number + 1 == count:
                lines.flush()
                state.write_text(json.dumps({"settings": settings, "done": number + 1}))
                rate = (number + 1 - done) / (time.time() - started)
                print(f"rendered {number + 1}/{count} products, {rate:.2f}/s, {(count - number - 1) / rate:.0f} s left", flush=True)
    return pictures, covers


def mapped(path, kind, shape):
    """The file as an array, grown where it is shorter: episodes can be added later."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    with path.open("ab") as file:
        if file.tell() < size:
            file.truncate(size)
    return np.memmap(path, kind, "r+", shape=shape)
