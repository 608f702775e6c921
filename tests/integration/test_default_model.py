"""The default model as an operator meets it: rendered products that it was not learnt on, four references each, real RPCs.

A failure prints the seeds; models/default/recipe/render.py contact-sheet shows the products.
"""

import io
import pathlib
import sys

import numpy as np
from PIL import Image

from harness import SLOWNESS, Server, TestCase, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "models" / "default"
sys.path.insert(0, str(ROOT / "models" / "default" / "recipe"))
from renderer import Product  # noqa: E402

FIRST_SEED, PRODUCTS, PARTS = 2_000_000_000, 8, 4  # far from all that anything was learnt or chosen on


def png(picture):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def map_of(reply):
    return np.frombuffer(reply.map.data, "<f4").reshape(reply.map.height, reply.map.width)


class DefaultModelTest(TestCase):
    def test_it_finds_defects_of_products_it_never_saw(self):
        right, pairs, hits, seen = 0.0, 0, 0, 0
        report = []
        with Server(model=DEFAULT) as server:
            client = server.client()
            for seed in range(FIRST_SEED, FIRST_SEED + PRODUCTS):
                product, name = Product(seed), f"p{seed}"
                client.CreateProduct(product_id=name, product={})
                client.add(name, [png(product.good(i)) for i in range(4)], timeout=120 * SLOWNESS)
                good, bad = [], []
                for i in range(4, 4 + PARTS):
                    good.append(client.detect(name, png(product.good(i)), timeout=60 * SLOWNESS).score)
                    picture, mask, defect = product.defective(i)
                    reply = client.detect(name, png(picture), timeout=60 * SLOWNESS, outputs={"map": True, "map_format": "FLOAT32", "map_size": "IMAGE"})
                    bad.append(reply.score)
                    if not mask.all():
                        seen += 1
                        row, column = np.unravel_index(map_of(reply).argmax(), mask.shape)
                        near = mask[max(0, row - 28):row + 29, max(0, column - 28):column + 29]
                        hits += bool(near.any())
                    report.append(f"{seed} {product.name}: {defect.kind} {reply.score:.3f}, good {good[-1]:.3f}")
                right += sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
                pairs += len(bad) * len(good)
        auroc, found = right / pairs, hits / seen
        print(f"default model: AUROC within products {auroc:.3f}, highest value within two patches of the defect {found:.2f}")
        self.assertGreater(auroc, 0.85, "\n".join(report))
        self.assertGreater(found, 0.75, "\n".join(report))


if __name__ == "__main__":
    main()
