"""Chooses the demo's images: K good references, and test images of which half are defective.

    demo_images.py FOLDER OUT --references 4 --tests 60

FOLDER is the textile package's (nominal, local, global), or MVTec's layout (train/good, test/KIND), or has a
folder "good" and any others. OUT gets references/ and tests/ with links named KIND-NAME, so that a client can
send whole folders. No image is both.
"""

import argparse
import itertools
import pathlib
import shutil
import sys

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def images(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())


def pools(root):
    """The reference pool, and the test pools by kind; "good" is one of them."""
    kinds = {p.name: p for p in sorted(root.iterdir()) if p.is_dir()}
    if {"nominal", "local", "global"} <= set(kinds):
        nominal = images(kinds["nominal"])
        return nominal[:60], {"good": nominal[500:600], "local": images(kinds["local"])[:100],
                              "global": images(kinds["global"])[:100]}
    if (root / "train" / "good").is_dir() and (root / "test").is_dir():
        tests = {p.name: images(p) for p in sorted((root / "test").iterdir()) if p.is_dir()}
        return images(root / "train" / "good"), tests
    if "good" in kinds and len(kinds) > 1:
        good = images(kinds["good"])
        tests = {name: images(p) for name, p in kinds.items() if name != "good"}
        return good[: len(good) // 2], {"good": good[len(good) // 2:], **tests}
    sys.exit(f"{root}: expected the folders train/good and test/KIND, or good and others")


def spread(pool, count):
    """`count` images evenly over the pool."""
    count = min(count, len(pool))
    return [pool[i * len(pool) // count] for i in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--references", type=int, default=4)
    parser.add_argument("--tests", type=int, default=60)
    args = parser.parse_args()

    references, tests = pools(args.folder.resolve())
    if len(references) < args.references or not tests.get("good"):
        sys.exit(f"{args.folder}: fewer than {args.references} good images to register, or none to judge")
    defects = {kind: pool for kind, pool in tests.items() if kind != "good" and pool}
    half = args.tests // 2
    chosen = [("good", p) for p in spread(tests["good"], half)]
    # Every kind in turn, so that each is there as often as the others.
    queues = [[(kind, p) for p in spread(pool, half)] for kind, pool in defects.items()]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    chosen += list(itertools.islice((entry for entry in rounds if entry), half))

    shutil.rmtree(args.out, ignore_errors=True)
    for name in ("references", "tests"):
        (args.out / name).mkdir(parents=True)
    for path in spread(references, args.references):
        (args.out / "references" / f"good-{path.name}").symlink_to(path)
    for kind, path in chosen:
        (args.out / "tests" / f"{kind}-{path.name}").symlink_to(path)
    print(f"{args.references} references, {len(chosen)} test images: "
          + ", ".join(f"{sum(k == kind for k, _ in chosen)} {kind}" for kind in ["good", *defects]))


if __name__ == "__main__":
    main()
