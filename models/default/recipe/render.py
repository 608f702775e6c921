#!/usr/bin/env python3
"""Looks at the renderer, and writes data sets with it.

    render.py contact-sheet sheet.html --seeds 0:20
    render.py data-set DIR --products 500 --good 8 --defective 8 --workers 8
    render.py bench
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from renderer import Product, data_set, sheet  # noqa: E402


def seeds(text):
    first, last = (int(part) for part in text.split(":"))
    return range(first, last)


def bench(side, products):
    """Pictures a second of one core's time, over a mix of products."""
    start, good = time.process_time(), 0.0
    pieces = 4
    for seed in range(products):
        begin = time.process_time()
        product = Product(seed)
        for index in range(pieces):
            product.good(index, side)
        good += time.process_time() - begin
        for index in range(pieces):
            product.defective(index + pieces, side)
    total = time.process_time() - start
    count = products * pieces
    print(f"side {side}: good {count / good:.1f}/s, defective {count / (total - good):.1f}/s, "
          f"both in turn {2 * count / total:.1f}/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("contact-sheet", help="good | defective | mask, with captions")
    command.add_argument("out", help="an .html or .png file")
    command.add_argument("--seeds", type=seeds, default=range(12), metavar="A:B")
    command.add_argument("--pieces", type=int, default=2, help="of each product")
    command.add_argument("--side", type=int, default=224)
    command = commands.add_parser("data-set", help="MVTec's folders, for hfwa-train; goes on where it was stopped")
    command.add_argument("folder")
    command.add_argument("--products", type=int, default=100)
    command.add_argument("--good", type=int, default=8, help="test pictures of a product without a defect")
    command.add_argument("--defective", type=int, default=8)
    command.add_argument("--seed", type=int, default=0, help="the first product's")
    command.add_argument("--side", type=int, default=336)
    command.add_argument("--workers", type=int, default=1, help="processes")
    command = commands.add_parser("bench", help="pictures a second on one core")
    command.add_argument("--side", type=int, default=336)
    command.add_argument("--products", type=int, default=100)
    args = parser.parse_args()
    if args.command == "contact-sheet":
        sheet.write(args.out, args.seeds, args.pieces, args.side)
    elif args.command == "data-set":
        data_set.write(args.folder, args.products, args.good, args.defective, args.seed, args.side, args.workers)
    else:
        bench(args.side, args.products)


if __name__ == "__main__":
    main()
