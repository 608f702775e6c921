#!/usr/bin/env python3
"""What models/default/recipe/renderer promises. Repeat one: renderer_test.py RendererTest.test_x"""

import hashlib
import pathlib
import subprocess
import sys
import tempfile
import unittest
import warnings

import numpy as np
from PIL import Image

RECIPE = pathlib.Path(__file__).resolve().parents[2] / "models/default/recipe"
sys.path.insert(0, str(RECIPE))
from renderer import Product, data_set, defects, objects, scenes  # noqa: E402
from renderer.base import SURFACES  # noqa: E402

SMALL = 112
warnings.simplefilter("error")  # a NaN or an overflow in a picture is a bug


def digest(seeds):
    """Of good and defective pictures, masks and captions."""
    total = hashlib.sha256()
    for seed in seeds:
        product = Product(seed)
        picture, mask, defect = product.defective(3, SMALL)
        text = product.caption(np.random.default_rng(seed), defect)
        for part in (product.good(1, SMALL), picture, mask):
            total.update(part.tobytes())
        total.update(f"{defect} {text} {product.group}".encode())
    return total.hexdigest()


class RendererTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Two pieces each of a few hundred products, small: what several tests look at."""
        cls.made = []
        for seed in range(300):
            product = Product(seed)
            for index in (0, 1):
                cls.made.append((product, product.good(index, SMALL), *product.defective(index, SMALL)))

    def test_pictures_are_the_same_in_another_process(self):
        seeds = (0, 5, 11, 23, 42)
        code = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); " \
               f"import renderer_test; print(renderer_test.digest({seeds}))"
        other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        self.assertEqual(other.stdout.strip(), digest(seeds))

    def test_the_order_of_calls_does_not_matter(self):
        for seed in range(8):
            first, second = Product(seed), Product(seed)
            wanted = first.good(0, SMALL)
            second.defective(4, SMALL)
            second.good(2, 2 * SMALL)
            self.assertTrue((second.good(0, SMALL) == wanted).all(), seed)

    def test_pieces_and_products_differ(self):
        self.assertFalse((Product(1).good(0, SMALL) == Product(1).good(1, SMALL)).all())
        self.assertFalse((Product(1).good(0, SMALL) == Product(2).good(0, SMALL)).all())

    def test_shapes_and_types_fit_for_every_side(self):
        for side in (SMALL, 336):
            picture, mask, _ = Product(3).defective(0, side)
            for image in (picture, Product(3).good(0, side)):
                self.assertEqual((image.shape, image.dtype), ((side, side, 3), np.uint8))
            self.assertEqual((mask.shape, mask.dtype), ((side, side), np.bool_))

    def test_the_mask_is_where_the_picture_changes(self):
        for product, good, picture, mask, defect in self.made:
            where = f"Product({product.seed}): {defect}"
            self.assertTrue((picture[~mask] == good[~mask]).all(), where)
            change = np.abs(picture.astype(int) - good).max(axis=2)
            self.assertGreater(change[mask].mean(), 5, where)
            self.assertAlmostEqual(change[mask].mean() / 255, defect.contrast, 5, where)

    def test_masks_are_small_unless_the_whole_texture_is_wrong(self):
        whole = 0
        for product, _, _, mask, defect in self.made:
            where = f"Product({product.seed}): {defect}"
            if defects.KINDS[defect.kind].everywhere:
                whole += 1
                self.assertTrue(mask.all(), where)
                self.assertEqual(defect.place, "everywhere", where)
            else:
                self.assertTrue(0 < mask.mean() < 0.6, where)
        self.assertTrue(0.05 < whole / len(self.made) < 0.17, f"{whole} of {len(self.made)} are global")

    def test_a_texture_drifts_the_more_the_stronger(self):
        apart, products = [], [product for product in map(Product, range(40)) if product.textured]
        self.assertGreater(len(products), 10)
        for product in products:
            good = product.good(2, SMALL).astype(float)
            drifts = [product.drifted(2, strength, SMALL) for strength in (-0.2, 1.0)]
            self.assertTrue((drifts[0] == Product(product.seed).drifted(2, -0.2, SMALL)).all(), product.seed)
            apart.append([np.abs(drift - good).mean() for drift in drifts])
            self.assertTrue((product.good(2, SMALL) == good).all(), product.seed)
        weak, strong = np.mean(apart, axis=0)
        self.assertGreater(weak, 0.5)
        self.assertGreater(strong, weak * 1.1)

    def test_the_place_is_where_the_mask_lies(self):
        for product, _, _, mask, defect in self.made:
            y = np.nonzero(mask)[0].mean() / SMALL
            if defect.place in ("top", "upper left", "upper right"):
                self.assertLess(y, 1 / 3, product.seed)
            if defect.place in ("bottom", "lower left", "lower right"):
                self.assertGreaterEqual(y, 2 / 3, product.seed)

    def test_all_bases_and_kinds_come_up(self):
        kinds = {defect.kind for *_, defect in self.made}
        names = {Product(seed).name for seed in range(1500)}
        self.assertGreaterEqual(len(kinds), len(defects.KINDS) - 2, set(defects.KINDS) - kinds)
        wanted = set(SURFACES) | set(objects.OBJECTS) | set(scenes.ROWS) | {"print", "circuit board", "joint"}
        self.assertEqual(names, wanted)

    def test_about_two_fifths_are_grey(self):
        grey = np.mean([np.ptp(good.astype(int), axis=2).max() == 0 for _, good, *_ in self.made])
        self.assertTrue(0.3 < grey < 0.55, grey)

    def test_captions_say_the_kind_and_the_state(self):
        rng = np.random.default_rng(0)
        bad, named = 0, 0
        for product, _, _, _, defect in self.made:
            text, good = product.caption(rng, defect), product.caption(rng)
            self.assertEqual((text, good), (text.lower(), good.lower()))
            named += any(word in text for word in defects.KINDS[defect.kind].words)
            bad += any(word in text for word in ("damage", "defect", "broken", "flaw", "fault"))
            self.assertFalse({"damaged", "broken", "defective", "faulty", "scratch", "hole"} & set(good.split()), good)
            self.assertNotIn("with defect", good)
        self.assertGreater(named, 0.4 * len(self.made))
        self.assertGreater(bad, 0.6 * len(self.made))

    def test_every_kind_can_be_said(self):
        for name, kind in defects.KINDS.items():
            product = next((p for p, *_, d in self.made if d.kind == name), None)
            if product is None:
                continue
            defect = next(d for *_, d in self.made if d.kind == name)
            texts = {product.caption(np.random.default_rng(k), defect) for k in range(60)}
            self.assertTrue(any(word in text for text in texts for word in kind.words), name)
            self.assertGreater(len(texts), 20, name)

    def test_a_data_set_goes_on_where_it_was_stopped(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertTrue(data_set.write_product(root, 7, 1, 2, 64))
            (folder,) = pathlib.Path(root).iterdir()
            masks = sorted(folder.glob("ground_truth/*/*_mask.png"))
            self.assertEqual(len(masks), 2)
            for path in masks:
                with Image.open(path) as mask, \
                        Image.open(folder / "test" / path.parent.name / path.name.replace("_mask", "")) as picture:
                    self.assertEqual(picture.size, mask.size)
                    self.assertEqual(set(np.unique(np.asarray(mask))) | {0}, {0, 255})
            self.assertEqual(len(list(folder.glob("train/good/*.png"))), data_set.REFERENCES)
            self.assertEqual(len(list(folder.glob("test/good/*.png"))), 1)
            before = masks[0].stat().st_mtime_ns
            self.assertFalse(data_set.write_product(root, 7, 1, 2, 64), "a whole class is left alone")
            self.assertEqual(masks[0].stat().st_mtime_ns, before)
            # A class that was cut off while it was written is no class yet, and is written anew.
            folder.rename(folder.with_name(f".{folder.name}.part"))
            self.assertTrue(data_set.write_product(root, 7, 1, 2, 64))
            self.assertEqual([p.name for p in pathlib.Path(root).iterdir()], [folder.name])


if __name__ == "__main__":
    unittest.main()
