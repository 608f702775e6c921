"""The contract of proto/hfwa/v1, as a client that only has reflection sees it."""

import hashlib
import io
import json
import math
import queue
import re
import threading
import time
import uuid

import grpc
import numpy as np
from PIL import Image

import images
from harness import CALL_LIMIT, Failure, ServerTestCase, SLOWNESS, main, number_of

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Products(ServerTestCase):
    def test_a_product_is_created_read_and_deleted(self):
        c = self.client
        made = c.CreateProduct(product_id="bolt-m8", product={
            "display_name": "Bolt M8 – zinc", "class_name": "metal_nut", "labels": {"line": "3"}})
        self.assertEqual(made.name, "products/bolt-m8")
        self.assertRegex(made.uid, UUID)
        self.assertEqual(made.display_name, "Bolt M8 – zinc")
        self.assertEqual(made.class_name, "metal_nut")
        self.assertEqual(dict(made.labels), {"line": "3"})
        self.assertFalse(made.HasField("threshold"))
        self.assertFalse(made.HasField("effective_threshold"))
        self.assertEqual(c.enum("Product.CalibrationState", made.calibration_state), "UNCALIBRATED")
        self.assertEqual(made.reference_count, 0)
        self.assertEqual(made.revision, "products/bolt-m8/revisions/0")
        self.assertLess(abs(made.create_time.seconds - time.time()), 60)
        self.assertEqual(made.create_time, made.update_time)
        self.assertTrue(made.etag)
        self.assertEqual(c.GetProduct(name="products/bolt-m8"), made)

        self.fails("ALREADY_EXISTS", c.CreateProduct, product_id="bolt-m8", product={},
                   reason="PRODUCT_EXISTS")
        c.DeleteProduct(name="products/bolt-m8")
        gone = self.fails("NOT_FOUND", c.GetProduct, name="products/bolt-m8", reason="PRODUCT_NOT_FOUND")
        self.assertEqual(gone.details["ResourceInfo"].resource_name, "products/bolt-m8")
        self.assertEqual(gone.details["ResourceInfo"].resource_type, "hfwa.dev/Product")
        again = c.CreateProduct(product_id="bolt-m8", product={})
        self.assertNotEqual(again.uid, made.uid)

    def test_the_server_makes_an_id_and_defaults(self):
        made = self.client.CreateProduct(product={})
        self.assertRegex(made.name, r"^products/[a-z][a-z0-9-]{0,62}$")
        self.assertEqual(made.class_name, "object")

    def test_a_coreset_is_another_revision_of_the_bank(self):
        c = self.client
        name = self.product(references=3)
        full = f"products/{name}"
        self.assertFalse(c.GetProduct(name=full).HasField("coreset_ratio"))
        whole = c.detect(name, images.bad(9))
        got = c.UpdateProduct(product={"name": full, "coreset_ratio": 0.25})
        self.assertEqual((got.coreset_ratio, number_of(got.revision)), (0.25, 2))
        self.assertEqual(c.enum("Product.CalibrationState", got.calibration_state), "PROVISIONAL")
        part = c.detect(name, images.bad(9))
        self.assertEqual(number_of(part.product_revision), 2)
        self.assertEqual(part.threshold, got.effective_threshold)
        self.assertGreater(part.raw.map_max, whole.raw.map_max)
        # It holds for references to come, too, and goes back.
        c.add(name, [images.good(50)])
        self.assertEqual(c.GetProduct(name=full).coreset_ratio, 0.25)
        got = c.UpdateProduct(product={"name": full}, update_mask={"paths": ["coreset_ratio"]})
        self.assertFalse(got.HasField("coreset_ratio"))
        self.assertEqual(number_of(got.revision), 4)
        for wrong in (0, -0.5, 1.5, float("nan")):
            self.fails("INVALID_ARGUMENT", c.UpdateProduct, product={"name": full, "coreset_ratio": wrong},
                       field="product.coreset_ratio")

    def test_a_method_is_chosen_at_creation_or_later(self):
        c = self.client
        method = lambda product: c.enum("Product.Method", product.method)  # noqa: E731
        name = self.product(method=2)  # ANOMALY_DINO
        full = f"products/{name}"
        self.assertEqual(method(c.GetProduct(name=full)), "ANOMALY_DINO")
        self.fails("FAILED_PRECONDITION", c.detect, name, images.good(1), reason="NO_REFERENCES")
        c.add(name, images.good_parts(3))
        got = c.GetProduct(name=full)
        self.assertEqual(c.enum("Product.CalibrationState", got.calibration_state), "PROVISIONAL")
        reply = c.detect(name, images.bad(9), outputs={"map": True, "regions": True})
        self.assertEqual(c.enum("DetectResponse.Method", reply.method), "ANOMALY_DINO")
        self.assertFalse(reply.raw.HasField("text_probability"))
        self.assertGreater(reply.raw.top_patches, 0)
        self.assertEqual(reply.threshold, got.effective_threshold)
        self.assertGreater(reply.score, c.detect(name, images.good(1)).score)
        listed = {product.name: method(product) for product in c.ListProducts(page_size=1000).products}
        self.assertEqual(listed[full], "ANOMALY_DINO")

        # Another method is another revision, and the bank of the same references.
        got = c.UpdateProduct(product={"name": full}, update_mask={"paths": ["method"]})
        self.assertEqual((method(got), number_of(got.revision), got.reference_count), ("HFWA", 2, 3))
        plain = c.detect(name, images.bad(9))
        self.assertEqual(c.enum("DetectResponse.Method", plain.method), "FEW_SHOT")
        self.assertFalse(plain.raw.HasField("top_patches"))
        got = c.UpdateProduct(product={"name": full, "method": 1})
        self.assertEqual(number_of(got.revision), 2)
        c.UpdateProduct(product={"name": full, "method": 2})
        again = c.detect(name, images.bad(9))
        self.assertEqual(number_of(again.product_revision), 3)
        self.assertEqual((again.score, again.raw), (reply.score, reply.raw))
        self.fails("INVALID_ARGUMENT", c.UpdateProduct, product={"name": full, "method": 3},
                   field="product.method")
        self.fails("INVALID_ARGUMENT", c.CreateProduct, product={"method": -1}, field="product.method")

    def test_update_masks(self):
        c = self.client
        name = self.product(display_name="before", class_name="nut", labels={"a": "1"}, threshold=0.25)
        full = f"products/{name}"
        # No mask: what is set in the product.
        got = c.UpdateProduct(product={"name": full, "display_name": "after"})
        self.assertEqual((got.display_name, got.class_name, dict(got.labels), got.threshold),
                         ("after", "nut", {"a": "1"}, 0.25))
        # A mask: those and no others, though the product holds more.
        got = c.UpdateProduct(product={"name": full, "display_name": "no", "labels": {"b": "2"}},
                              update_mask={"paths": ["labels"]})
        self.assertEqual((got.display_name, dict(got.labels)), ("after", {"b": "2"}))
        # A named field that is unset is cleared.
        got = c.UpdateProduct(product={"name": full}, update_mask={"paths": ["threshold"]})
        self.assertFalse(got.HasField("threshold"))
        self.assertEqual(c.enum("Product.CalibrationState", got.calibration_state), "UNCALIBRATED")
        # All.
        got = c.UpdateProduct(product={"name": full, "threshold": 0.5}, update_mask={"paths": ["*"]})
        self.assertEqual((got.display_name, got.class_name, dict(got.labels), got.threshold),
                         ("", "object", {}, 0.5))
        self.assertEqual(c.enum("Product.CalibrationState", got.calibration_state), "MANUAL")
        self.assertEqual(got.effective_threshold, 0.5)
        self.assertEqual(c.GetProduct(name=full), got)
        for path in ("uid", "name", "revision", "no_such_field", "labels.a", ""):
            self.fails("INVALID_ARGUMENT", c.UpdateProduct, product={"name": full},
                       update_mask={"paths": [path]}, field="update_mask")
        self.assertEqual(c.GetProduct(name=full), got)

    def test_an_old_etag_is_aborted(self):
        c = self.client
        name = self.product()
        first = c.GetProduct(name=f"products/{name}")
        second = c.UpdateProduct(product={"name": first.name, "display_name": "x", "etag": first.etag})
        self.assertNotEqual(second.etag, first.etag)
        self.fails("ABORTED", c.UpdateProduct, reason="ETAG_MISMATCH",
                   product={"name": first.name, "display_name": "y", "etag": first.etag})
        self.fails("ABORTED", c.DeleteProduct, name=first.name, etag=first.etag, reason="ETAG_MISMATCH")
        self.assertEqual(c.GetProduct(name=first.name).display_name, "x")
        c.DeleteProduct(name=first.name, etag=second.etag)
        self.fails("NOT_FOUND", c.GetProduct, name=first.name)

    def test_adding_references_changes_the_etag(self):
        c = self.client
        name = self.product()
        before = c.GetProduct(name=f"products/{name}").etag
        c.add(name, images.good_parts(1))
        self.assertNotEqual(c.GetProduct(name=f"products/{name}").etag, before)

    def test_a_request_id_repeats_the_first_reply(self):
        c = self.client
        first_id, second_id, third_id = (str(uuid.uuid4()) for _ in range(3))
        made = c.CreateProduct(product_id="replayed", product={"labels": {"a": "1", "b": "2"}},
                               request_id=first_id)
        self.assertEqual(c.CreateProduct(product_id="replayed", product={"labels": {"b": "2", "a": "1"}},
                                         request_id=first_id.upper()), made)
        self.fails("INVALID_ARGUMENT", c.CreateProduct, product_id="replayed-2", product={},
                   request_id=first_id, field="request_id", reason="REQUEST_ID_REUSED")
        changed = c.UpdateProduct(product={"name": made.name, "display_name": "x", "etag": made.etag},
                                  request_id=second_id)
        self.assertEqual(c.UpdateProduct(product={"name": made.name, "display_name": "x", "etag": made.etag},
                                         request_id=second_id).etag, changed.etag)
        c.DeleteProduct(name=made.name, request_id=third_id)
        c.DeleteProduct(name=made.name, request_id=third_id)
        self.fails("NOT_FOUND", c.DeleteProduct, name=made.name)
        self.fails("INVALID_ARGUMENT", c.CreateProduct, product={}, request_id="not a uuid",
                   field="request_id")

    def test_pages(self):
        c = self.client
        for i in range(7):
            c.create(f"page-{i}")
        found, token, pages = [], "", 0
        while True:
            page = c.ListProducts(page_size=3, page_token=token)
            self.assertLessEqual(len(page.products), 3)
            found += [p.name for p in page.products]
            pages += 1
            token = page.next_page_token
            if not token:
                break
            # A product that comes behind the page's start moves nothing.
            c.create(f"aaa-{pages}")
        mine = [n for n in found if n.startswith("products/page-")]
        self.assertEqual(mine, [f"products/page-{i}" for i in range(7)])
        self.assertEqual(found, sorted(found))
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual(c.ListProducts(page_size=100000).next_page_token, "")
        self.fails("INVALID_ARGUMENT", c.ListProducts, page_size=-1, field="page_size")
        for token in ("x", "AAAA", c.ListProducts(page_size=1).next_page_token[:-2]):
            self.fails("INVALID_ARGUMENT", c.ListProducts, page_token=token, field="page_token",
                       reason="PAGE_TOKEN_INVALID")
        # A token of another list.
        self.fails("INVALID_ARGUMENT", c.ListReferences, parent="products/page-0",
                   page_token=c.ListProducts(page_size=1).next_page_token, field="page_token")


class References(ServerTestCase):
    def test_references_are_added_listed_read_and_deleted(self):
        c = self.client
        name = self.product()
        files = [(images.good(1), "one.png"), (images.encode(images.part(2), "JPEG"), "two.jpg"),
                 (images.encode(images.part(3), "BMP"), "three.bmp"),
                 (images.encode(images.part(4), "TIFF"), "four.tif"),
                 (images.encode(images.part(5, width=600, height=400), "WEBP", lossless=True), "fünf.webp")]
        reply = c.add(name, files)
        self.assertEqual([(r.index, c.enum("AddReferencesResponse.Result.Outcome", r.outcome))
                          for r in reply.results], [(i, "ADDED") for i in range(5)])
        self.assertEqual(reply.product.reference_count, 5)
        self.assertEqual(number_of(reply.product.revision), 1)
        self.assertEqual(c.enum("Product.CalibrationState", reply.product.calibration_state), "PROVISIONAL")
        self.assertTrue(reply.product.HasField("effective_threshold"))
        types = ["image/png", "image/jpeg", "image/bmp", "image/tiff", "image/webp"]
        listed = c.list_references(name, page_size=2)
        self.assertEqual([r.reference for r in reply.results], listed)
        for reference, (data, source), media_type in zip(listed, files, types):
            digest = hashlib.sha256(data).hexdigest()
            self.assertEqual(reference.name, f"products/{name}/references/r{digest[:32]}")
            self.assertEqual(reference.sha256, digest)
            self.assertEqual(reference.size_bytes, len(data))
            self.assertEqual(reference.media_type, media_type)
            self.assertEqual(reference.source_name, source)
            self.assertEqual(reference.content, b"")
            self.assertEqual(c.GetReference(name=reference.name), reference)
            full = c.GetReference(name=reference.name, view="FULL")
            self.assertEqual(full.content, data)
            small = c.GetReference(name=reference.name, view="THUMBNAIL").content
            picture = Image.open(io.BytesIO(small))
            self.assertEqual(picture.format, "JPEG")
            self.assertLessEqual(max(picture.size), 256)
            self.assertLessEqual(abs(picture.size[0] * reference.height / reference.width - picture.size[1]), 1)
        self.assertEqual((listed[4].width, listed[4].height), (600, 400))

        c.DeleteReference(name=listed[1].name)
        self.fails("NOT_FOUND", c.GetReference, name=listed[1].name, reason="REFERENCE_NOT_FOUND")
        self.fails("NOT_FOUND", c.DeleteReference, name=listed[1].name)
        self.assertEqual([r.name for r in c.list_references(name)],
                         [r.name for i, r in enumerate(listed) if i != 1])
        product = c.GetProduct(name=f"products/{name}")
        self.assertEqual((product.reference_count, number_of(product.revision)), (4, 2))
        self.assertEqual(number_of(c.detect(name, images.good(9)).product_revision), 2)

    def test_raw_pixels_are_kept_as_png(self):
        c = self.client
        name = self.product()
        pixels = images.part(1)
        height, width = pixels.shape[:2]
        reply = c.add(name, [{"image": {"raw": {"width": width, "height": height, "format": "BGR8",
                                                "data": pixels[:, :, ::-1].tobytes()}}}])
        reference = reply.results[0].reference
        self.assertEqual(reference.media_type, "image/png")
        kept = c.GetReference(name=reference.name, view="FULL").content
        self.assertEqual(hashlib.sha256(kept).hexdigest(), reference.sha256)
        np.testing.assert_array_equal(images.decode(kept), pixels)

    def test_the_same_bytes_are_one_reference(self):
        c = self.client
        name = self.product()
        first = c.add(name, [images.good(1), images.good(2), images.good(1)])
        outcomes = [c.enum("AddReferencesResponse.Result.Outcome", r.outcome) for r in first.results]
        self.assertEqual(outcomes, ["ADDED", "ADDED", "DUPLICATE"])
        self.assertEqual(first.results[0].reference, first.results[2].reference)
        self.assertEqual((first.product.reference_count, number_of(first.product.revision)), (2, 1))
        again = c.add(name, [images.good(2)])
        self.assertEqual(again.results[0].reference, first.results[1].reference)
        self.assertEqual((again.product.reference_count, number_of(again.product.revision)), (2, 1))
        # Another product has its own.
        other = self.product("-other")
        self.assertEqual(c.add(other, [images.good(1)]).product.reference_count, 1)
        c.DeleteProduct(name=f"products/{name}")
        kept = c.list_references(other)[0]
        self.assertEqual(c.GetReference(name=kept.name, view="FULL").content, images.good(1))

    def test_one_refused_image_does_not_undo_the_others(self):
        c = self.client
        name = self.product()
        reply = c.add(name, [images.good(1), b"no picture", (images.good(2), "a\nb"), images.good(3), b"",
                             {"source_name": "nothing"}])
        outcomes = [c.enum("AddReferencesResponse.Result.Outcome", r.outcome) for r in reply.results]
        self.assertEqual(outcomes, ["ADDED", "REFUSED", "REFUSED", "ADDED", "REFUSED", "REFUSED"])
        self.assertEqual([r.index for r in reply.results], list(range(6)))
        for index, field in ((1, "item.image.content"), (2, "item.source_name"), (4, "item.image.content"),
                             (5, "item.image")):
            self.check_failure(Failure.of_status(reply.results[index].error), "INVALID_ARGUMENT", field=field)
        self.assertEqual(reply.product.reference_count, 2)
        self.assertEqual(len(c.list_references(name)), 2)

    def test_all_refused_makes_no_revision(self):
        c = self.client
        name = self.product(references=1)
        before = c.GetProduct(name=f"products/{name}")
        reply = c.add(name, [b"no picture"])
        self.assertEqual(number_of(reply.product.revision), 1)
        self.assertEqual(c.GetProduct(name=f"products/{name}"), before)

    def test_a_request_id_repeats_the_first_reply(self):
        c = self.client
        name = self.product()
        parts = images.good_parts(2) + [b"no picture"]
        request_id = str(uuid.uuid4())
        first = c.add(name, parts, request_id=request_id)
        self.assertEqual(c.add(name, parts, request_id=request_id).results[:2], first.results[:2])
        self.assertEqual(number_of(c.GetProduct(name=f"products/{name}").revision), 1)
        self.fails("INVALID_ARGUMENT", c.add, name, images.good_parts(3), request_id=request_id,
                   field="request_id", reason="REQUEST_ID_REUSED")
        self.assertEqual(len(c.list_references(name)), 2)

    def test_the_stream_has_its_order(self):
        c = self.client
        name = self.product()
        call, message = c.stub("AddReferences")
        config = message(config={"parent": f"products/{name}"})
        item = message(item={"image": {"content": images.good(1)}})
        for messages in ([], [item], [item, config], [config, item, config], [message()], [config, message()]):
            with self.assertRaises(grpc.RpcError) as caught:
                call(iter(messages), timeout=CALL_LIMIT)
            self.check_failure(Failure.of_rpc(caught.exception), "INVALID_ARGUMENT", reason="STREAM_ORDER")
        self.assertEqual(c.list_references(name), [])
        self.assertEqual(c.add(name, []).results[:], [])
        self.fails("NOT_FOUND", c.add, "no-such-product", images.good_parts(1), reason="PRODUCT_NOT_FOUND")

    def test_a_stream_given_up_leaves_nothing(self):
        c = self.client
        name = self.product()
        call, message = c.stub("AddReferences")
        feed = queue.Queue()
        feed.put(message(config={"parent": f"products/{name}"}))
        for data, _ in images.good_parts(3):
            feed.put(message(item={"image": {"content": data}}))
        objects = set(self.server.object_files())
        pending = call.future(iter(feed.get, None), timeout=CALL_LIMIT)
        self._until(lambda: set(self.server.object_files()) - objects)
        pending.cancel()
        feed.put(None)
        self._until(lambda: set(self.server.object_files()) <= objects)
        self.assertEqual(c.list_references(name), [])

    def _until(self, condition):
        deadline = time.monotonic() + 10 * SLOWNESS
        while not condition():
            self.assertLess(time.monotonic(), deadline, "did not come about")
            time.sleep(0.01)


class LimitsOfMethods(ServerTestCase):
    flags = ("--max-references", "16")

    def test_turned_references_count_by_their_pictures(self):
        c = self.client
        name = self.product(references=3)
        full = f"products/{name}"
        refused = self.fails("FAILED_PRECONDITION", c.UpdateProduct, product={"name": full, "method": 2},
                             reason="TOO_MANY_REFERENCES")
        self.assertIn("at most 2", str(refused))
        self.assertEqual(c.enum("Product.Method", c.GetProduct(name=full).method), "HFWA")
        c.DeleteReference(name=c.list_references(name)[0].name)
        self.assertEqual(c.UpdateProduct(product={"name": full, "method": 2}).reference_count, 2)


class Limits(ServerTestCase):
    flags = ("--max-references", "4")

    def test_a_product_holds_so_many_references(self):
        c = self.client
        name = self.product(references=3)
        reply = failure = None
        try:
            reply = c.add(name, [images.good(4), images.good(5)])
        except Failure as error:
            failure = error
        if reply is not None:
            failure = Failure.of_status(reply.results[-1].error)
        self.check_failure(failure, "FAILED_PRECONDITION", reason="TOO_MANY_REFERENCES")
        self.assertLessEqual(len(c.list_references(name)), 4)
        # What is there already does not count twice.
        self.assertLessEqual(c.add(name, [images.good(1)]).product.reference_count, 4)


class Detection(ServerTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client.create("part")
        cls.client.add("part", images.good_parts(4))
        cls.model = cls.client.GetModel(name="models/current")

    def test_the_model_tells_of_itself(self):
        model = self.model
        self.assertEqual(model.name, "models/current")
        self.assertRegex(model.digest, r"^[0-9a-f]{64}$")
        self.assertEqual(json.loads(model.config_json)["vision"]["image_size"], model.image_size)
        self.assertEqual((model.device, model.precision), ("cpu", "fp32"))
        self.assertTrue(model.has_language)
        self.assertGreaterEqual(len(model.class_names), 1)
        self.assertEqual(model.image_size % model.grid_size, 0)
        self.fails("NOT_FOUND", self.client.GetModel, name="models/other", reason="MODEL_NOT_FOUND")
        for name in ("models/", "products/current", "current"):
            self.fails("NOT_FOUND", self.client.GetModel, name=name, reason="MODEL_NOT_FOUND")
        self.fails("INVALID_ARGUMENT", self.client.GetModel, field="name")

    def test_a_reply_explains_itself(self):
        c = self.client
        labels = {"serial": "4711", "station": "Prüfstand 3", "empty": ""}
        reply = c.detect("part", images.good(20), labels=labels)
        self.assertTrue(0 <= reply.score <= 1)
        self.assertEqual(c.enum("DetectResponse.Method", reply.method), "FEW_SHOT")
        self.assertEqual(c.enum("Product.CalibrationState", reply.calibration_state), "PROVISIONAL")
        product = c.GetProduct(name="products/part")
        self.assertEqual(reply.threshold, product.effective_threshold)
        expected = "ANOMALOUS" if reply.score >= reply.threshold else "GOOD"
        self.assertEqual(c.enum("DetectResponse.Verdict", reply.verdict), expected)
        self.assertTrue(0 <= reply.raw.text_probability <= 1)
        self.assertTrue(math.isfinite(reply.raw.map_max))
        self.assertEqual(reply.product_revision, product.revision)
        self.assertEqual(reply.model_digest, self.model.digest)
        self.assertEqual(dict(reply.labels), labels)
        self.assertGreaterEqual(reply.batch_size, 1)
        self.assertEqual((reply.image_width, reply.image_height), (96, 72))
        self.assertFalse(reply.HasField("map"))
        self.assertEqual((len(reply.level_maps), len(reply.regions)), (0, 0))
        times = {name: getattr(reply.times, name).ToNanoseconds() for name in
                 ("decode", "preprocess", "queue", "encode", "match", "score", "render", "total")}
        for stage in ("decode", "preprocess", "encode", "match", "total"):
            self.assertGreater(times[stage], 0, stage)
        parts = sum(v for k, v in times.items() if k != "total")
        self.assertLessEqual(parts, times["total"] * 1.001)

    def test_a_reference_is_good_and_a_blot_is_worse(self):
        c = self.client
        for seed in range(1, 5):
            reply = c.detect("part", images.good(seed))
            self.assertEqual(c.enum("DetectResponse.Verdict", reply.verdict), "GOOD")
        reply = c.detect("part", images.good(30))
        worse = c.detect("part", images.bad(30))
        self.assertGreater(worse.raw.map_max, reply.raw.map_max)

    def test_zero_shot_says_so(self):
        c = self.client
        name = self.product()
        reply = c.detect(name, images.good(1))
        self.assertEqual(c.enum("DetectResponse.Method", reply.method), "ZERO_SHOT")
        self.assertEqual(c.enum("DetectResponse.Verdict", reply.verdict), "VERDICT_UNSPECIFIED")
        self.assertEqual(c.enum("Product.CalibrationState", reply.calibration_state), "UNCALIBRATED")
        self.assertFalse(reply.HasField("threshold"))
        self.assertEqual(number_of(reply.product_revision), 0)
        self.assertEqual(reply.score, reply.raw.text_probability)
        # The operator's threshold gives a verdict even without references.
        for threshold, verdict in ((reply.score / 2, "ANOMALOUS"), ((1 + reply.score) / 2, "GOOD")):
            c.UpdateProduct(product={"name": f"products/{name}", "threshold": threshold})
            reply = c.detect(name, images.good(1))
            self.assertEqual(c.enum("DetectResponse.Verdict", reply.verdict), verdict)
            self.assertEqual(c.enum("Product.CalibrationState", reply.calibration_state), "MANUAL")
            self.assertEqual(reply.threshold, threshold)

    def test_revisions_count_registrations(self):
        c = self.client
        name = self.product()
        for n in range(1, 4):
            c.add(name, [images.good(n)])
            reply = c.detect(name, images.good(50))
            self.assertEqual(reply.product_revision, f"products/{name}/revisions/{n}")
            self.assertEqual(c.enum("DetectResponse.Method", reply.method), "FEW_SHOT")
        for reference in c.list_references(name):
            c.DeleteReference(name=reference.name)
        reply = c.detect(name, images.good(50))
        self.assertEqual(number_of(reply.product_revision), 6)
        self.assertEqual(c.enum("DetectResponse.Method", reply.method), "ZERO_SHOT")

    def _map_values(self, anomaly_map):
        """(values or None, PNG or None) of a map, checked for shape."""
        c = self.client
        kind = c.enum("MapFormat", anomaly_map.format)
        if kind == "FLOAT32":
            self.assertEqual(len(anomaly_map.data), 4 * anomaly_map.width * anomaly_map.height)
            values = np.frombuffer(anomaly_map.data, "<f4").reshape(anomaly_map.height, anomaly_map.width)
            self.assertTrue(np.isfinite(values).all())
            return values
        picture = Image.open(io.BytesIO(anomaly_map.data))
        self.assertEqual(picture.format, "PNG")
        self.assertEqual(picture.size, (anomaly_map.width, anomaly_map.height))
        self.assertEqual(picture.mode[:1], {"PNG_COLOR": "R", "PNG_GRAY16": "I"}[kind])
        return np.asarray(picture)

    def test_priority_changes_when_a_picture_is_judged_and_nothing_else(self):
        c = self.client
        picture = images.encode(images.part(32, width=150, height=90))
        plain = c.detect("part", picture)
        for priority in ("PRIORITY_UNSPECIFIED", "LIVE", "BULK"):
            self.assert_same_bits(c.detect("part", picture, priority=priority).score, plain.score)
        self.fails("INVALID_ARGUMENT", c.detect, "part", picture, priority=3, field="priority")

    def test_maps_of_every_size_and_format(self):
        c = self.client
        picture = images.encode(images.part(31, defect=True, width=150, height=90))
        side = json.loads(self.model.config_json).get("map_size", self.model.image_size)
        sizes = {"GRID": (self.model.grid_size,) * 2, "MODEL": (side,) * 2, "IMAGE": (150, 90)}
        plain = c.detect("part", picture)
        levels = len(json.loads(self.model.config_json)["taps"])
        for size, shape in sizes.items():
            floats = None
            for kind in ("FLOAT32", "PNG_GRAY16", "PNG_COLOR"):
                with self.subTest(size=size, format=kind):
                    reply = c.detect("part", picture, outputs={
                        "map": True, "level_maps": True, "map_format": kind, "map_size": size})
                    self.assert_same_bits(reply.score, plain.score)
                    self.assertEqual((reply.map.width, reply.map.height), shape)
                    self.assertLess(reply.map.display_low, reply.map.display_high)
                    self.assertEqual(len(reply.level_maps), levels)
                    values = self._map_values(reply.map)
                    for level in reply.level_maps:
                        self.assertEqual((level.width, level.height), shape)
                        self._map_values(level)
                    if kind == "FLOAT32":
                        floats = values
                    elif kind == "PNG_GRAY16":
                        low, high = reply.map.display_low, reply.map.display_high
                        expected = np.clip((floats - low) / (high - low), 0, 1) * 65535
                        self.assertLessEqual(np.abs(values.astype(float) - expected).max(), 1.0)
            if size == "MODEL":
                self.assert_same_bits(np.float64(floats.max()), plain.raw.map_max)
        # The defaults.
        reply = c.detect("part", picture, outputs={"map": True})
        self.assertEqual((reply.map.width, reply.map.height), sizes["MODEL"])
        self.assertEqual(c.enum("MapFormat", reply.map.format), "PNG_COLOR")

    def test_regions_agree_with_the_map(self):
        c = self.client
        width, height = 150, 90
        picture = images.encode(images.part(31, defect=True, width=width, height=height))
        reply = c.detect("part", picture, outputs={
            "map": True, "regions": True, "map_format": "FLOAT32", "map_size": "MODEL"})
        self.assertGreater(len(reply.regions), 0)
        self.assertLessEqual(len(reply.regions), 64)
        values = self._map_values(reply.map)
        peaks = [r.peak for r in reply.regions]
        self.assertEqual(peaks, sorted(peaks, reverse=True))
        self.assert_same_bits(peaks[0], np.float64(values.max()))
        scale_x, scale_y = (width - 1) / (values.shape[1] - 1), (height - 1) / (values.shape[0] - 1)
        row, column = np.unravel_index(values.argmax(), values.shape)
        self.assertLessEqual(abs(reply.regions[0].peak_point.x - column * scale_x), 1)
        self.assertLessEqual(abs(reply.regions[0].peak_point.y - row * scale_y), 1)
        for region in reply.regions:
            self.assertGreaterEqual(min(region.x, region.y), 0)
            self.assertGreater(min(region.width, region.height), 0)
            self.assertLessEqual(region.x + region.width, width)
            self.assertLessEqual(region.y + region.height, height)
            self.assertGreater(region.area, 0)
            self.assertLessEqual(len(region.polygon), 128)
            for point in [*region.polygon, region.peak_point]:
                self.assertTrue(region.x <= point.x < region.x + region.width, region)
                self.assertTrue(region.y <= point.y < region.y + region.height, region)

    def test_the_same_pixels_score_the_same_however_they_come(self):
        c = self.client
        pixels = images.part(40, defect=True)
        height, width = pixels.shape[:2]
        score = c.detect("part", images.encode(pixels)).score
        alpha = np.full((height, width, 1), 7, np.uint8)
        padded = np.zeros((height, width * 3 + 11), np.uint8)
        padded[:, :width * 3] = pixels.reshape(height, -1)
        same = {
            "RGB8": {"format": "RGB8", "data": pixels.tobytes()},
            "BGR8": {"format": "BGR8", "data": pixels[:, :, ::-1].tobytes()},
            "RGBA8": {"format": "RGBA8", "data": np.concatenate([pixels, alpha], 2).tobytes()},
            "BGRA8": {"format": "BGRA8", "data": np.concatenate([pixels[:, :, ::-1], alpha], 2).tobytes()},
            "stride": {"format": "RGB8", "stride": width * 3 + 11, "data": padded.tobytes()},
            "last row short": {"format": "RGB8", "stride": width * 3 + 11, "data": padded.tobytes()[:-11]},
        }
        for name, raw in same.items():
            with self.subTest(name):
                reply = c.detect("part", {"raw": {"width": width, "height": height, **raw}})
                self.assert_same_bits(reply.score, score)
        for kind in ("BMP", "TIFF"):
            with self.subTest(kind):
                self.assert_same_bits(c.detect("part", images.encode(pixels, kind)).score, score)
        grey = pixels[:, :, 0]
        score = c.detect("part", images.encode(grey)).score
        for raw in ({"format": "GRAY8", "data": grey.tobytes()},
                    {"format": "GRAY16", "data": (grey.astype("<u2") * 256 + 200).tobytes()}):
            reply = c.detect("part", {"raw": {"width": width, "height": height, **raw}})
            self.assert_same_bits(reply.score, score)
        for mosaic in ("BAYER_RG8", "BAYER_BG8", "BAYER_GR8", "BAYER_GB8"):
            reply = c.detect("part", {"raw": {"width": width, "height": height, "format": mosaic,
                                              "data": grey.tobytes()}})
            self.assertTrue(0 <= reply.score <= 1)

    def test_exif_orientation_is_applied(self):
        c = self.client
        pixels = images.part(41, defect=True)
        turned = np.rot90(pixels)  # stored so that orientation 6 (turn right) shows `pixels`
        exif = Image.Exif()
        exif[0x0112] = 6
        data = images.encode(np.ascontiguousarray(turned), "PNG", exif=exif)
        reply = c.detect("part", data)
        self.assertEqual((reply.image_width, reply.image_height), (96, 72))
        self.assert_same_bits(reply.score, c.detect("part", images.encode(pixels)).score)

    def test_a_stream_answers_each_request_under_its_id(self):
        c = self.client
        scores = {f"n{i}": c.detect("part", images.good(60 + i)).score for i in range(8)}
        requests = [(f"n{i}", {"product": "products/part", "image": {"content": images.good(60 + i)},
                               "labels": {"n": str(i)}}) for i in range(8)]
        wrong = [("broken", {"product": "products/part", "image": {"content": b"no picture"}}),
                 ("unknown", {"product": "products/nobody", "image": {"content": images.good(1)}}),
                 ("badname", {"product": "nobody", "image": {"content": images.good(1)}}),
                 ("", {"product": "products/part"})]
        replies = c.detect_stream(requests[:4] + wrong + requests[4:])
        by_id = {r.id: r for r in replies}
        self.assertEqual(len(replies), 12)
        self.assertEqual(len(by_id), 12)
        for i in range(8):
            reply = by_id[f"n{i}"]
            self.assertEqual(reply.WhichOneof("result"), "response")
            self.assert_same_bits(reply.response.score, scores[f"n{i}"])
            self.assertEqual(dict(reply.response.labels), {"n": str(i)})
        for key, code, field in (("broken", "INVALID_ARGUMENT", "request.image.content"),
                                 ("unknown", "NOT_FOUND", None),
                                 ("badname", "INVALID_ARGUMENT", "request.product"),
                                 ("", "INVALID_ARGUMENT", "request.image")):
            self.assertEqual(by_id[key].WhichOneof("result"), "error")
            self.check_failure(Failure.of_status(by_id[key].error), code, field=field)

    def test_a_stream_without_requests_ends_well(self):
        self.assertEqual(self.client.detect_stream([]), [])

    def test_a_long_id_is_refused_and_the_stream_goes_on(self):
        c = self.client
        fields = {"product": "products/part", "image": {"content": images.good(1)}}
        replies = c.detect_stream([("x" * 129, fields), ("a\nb", fields), ("y" * 128, fields)])
        errors = [r for r in replies if r.WhichOneof("result") == "error"]
        self.assertEqual(len(errors), 2)
        for reply in errors:
            self.check_failure(Failure.of_status(reply.error), "INVALID_ARGUMENT", field="id")
        self.assertEqual([r.id for r in replies if r not in errors], ["y" * 128])

    def test_a_deadline_is_kept(self):
        c = self.client
        start = time.monotonic()
        with self.assertRaises(Failure) as caught:
            c.detect("part", images.good(1), timeout=0.0001)
        self.assertEqual(caught.exception.code.name, "DEADLINE_EXCEEDED")
        self.assertLess(time.monotonic() - start, 1 * SLOWNESS)
        call, message = c.stub("DetectStream")
        with self.assertRaises(grpc.RpcError) as caught:
            feed = queue.Queue()  # never ends
            for _ in call(iter(feed.get, None), timeout=0.3):
                pass
        self.assertEqual(caught.exception.code().name, "DEADLINE_EXCEEDED")
        feed.put(None)
        self.assertTrue(0 <= c.detect("part", images.good(1)).score <= 1)

    def test_cancelled_calls_end_and_harm_nobody(self):
        c = self.client
        call, message = c.stub("Detect")
        request = message(product="products/part", image={"content": images.good(1)})
        score = c.detect("part", images.good(1)).score
        pending = [call.future(request, timeout=CALL_LIMIT) for _ in range(24)]
        for future in pending[::2]:
            future.cancel()
        for future in pending[1::2]:
            self.assert_same_bits(future.result().score, score)
        # A call may have ended before it was cancelled, if the server was quicker than this program.
        self.assertTrue(any(future.cancelled() for future in pending[::2]))
        for future in pending[::2]:
            if not future.cancelled():
                self.assert_same_bits(future.result().score, score)
        stream, message = c.stub("DetectStream")
        feed = queue.Queue()
        for i in range(8):
            feed.put(message(id=str(i), request={"product": "products/part",
                                                 "image": {"content": images.good(1)}}))
        replies = stream(iter(feed.get, None), timeout=CALL_LIMIT)
        next(replies)
        replies.cancel()
        feed.put(None)
        self.assert_same_bits(c.detect("part", images.good(1)).score, score)
        deadline = time.monotonic() + 10 * SLOWNESS
        while self.server.metric_sum("hfwa_inflight_images") + self.server.metric_sum("hfwa_queue_images") > 0:
            self.assertLess(time.monotonic(), deadline, "work of cancelled calls stays")
            time.sleep(0.02)

    def test_a_request_id_of_the_caller_is_in_reply_and_log(self):
        c = self.client
        call, message = c.stub("Detect")
        request = message(product="products/part", image={"content": images.good(1)})
        _, info = call.with_call(request, timeout=CALL_LIMIT, metadata=[("x-request-id", "station-3.77")])
        self.assertEqual(dict(info.initial_metadata())["x-request-id"], "station-3.77")
        lines = [r for r in self.server.log_records() if r.get("request_id") == "station-3.77"]
        self.assertEqual(len(lines), 1)
        self.assertEqual((lines[0]["method"], lines[0]["code"]), ("Detect", "OK"))


class Threads(ServerTestCase):
    def test_many_products_at_once(self):
        """Clients on different products do not see each other."""
        errors = []

        def work(n):
            try:
                c = self.server.client()
                c.create(f"p{n}")
                c.add(f"p{n}", images.good_parts(2, first=10 * n))
                for i in range(3):
                    reply = c.detect(f"p{n}", images.good(10 * n + i))
                    assert reply.product_revision == f"products/p{n}/revisions/1", reply.product_revision
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        self.assertEqual(self.server.metrics()["hfwa_products"], 8)
        self.assertEqual(self.server.metrics()["hfwa_references"], 16)


if __name__ == "__main__":
    main()
