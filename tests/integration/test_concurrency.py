"""Registering never blocks detecting, a bank is a value, and neighbours in a batch do not matter."""

import collections
import random
import threading
import time

import images
from harness import SLOWNESS, Failure, Server, ServerTestCase, TestCase, main, number_of


class RegisteringWhileDetecting(ServerTestCase):
    SECONDS = 4

    def test_each_reply_is_of_exactly_one_revision(self):
        c = self.client
        c.create("part")
        c.add("part", images.good_parts(1))
        acknowledged = {1: 1}  # revision: number of references; written by this thread alone
        newest = [1]
        scores = collections.defaultdict(set)  # (image, revision): every (score, map_max, threshold)
        errors = []
        lock = threading.Lock()
        stop = threading.Event()
        counts = collections.Counter()

        def detect(n):
            client = self.server.client()
            r = random.Random(n)
            try:
                while not stop.is_set():
                    image = r.randrange(100, 104)
                    known = newest[0]
                    reply = client.detect("part", images.good(image))
                    revision = number_of(reply.product_revision)
                    assert revision >= known, f"revision {revision} after {known} was acknowledged"
                    assert client.enum("DetectResponse.Method", reply.method) == "FEW_SHOT"
                    with lock:
                        scores[image, revision].add((reply.score.hex(), reply.raw.map_max.hex(),
                                                     reply.threshold.hex()))
                        counts["detects"] += 1
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=detect, args=(n,)) for n in range(3)]
        for t in threads:
            t.start()
        r = random.Random(5)
        sizes = {1: [images.good(1)]}  # revision: the pictures it holds
        pictures = [images.good(1)]
        deadline = time.monotonic() + self.SECONDS * SLOWNESS
        seed = 2
        try:
            while time.monotonic() < deadline and not errors:
                if len(pictures) > 1 and r.random() < 0.4:
                    gone = pictures.pop(r.randrange(len(pictures)))
                    name = next(x.name for x in c.list_references("part")
                                if c.GetReference(name=x.name, view="FULL").content == gone)
                    c.DeleteReference(name=name)
                    revision = newest[0] + 1
                    self.assertEqual(number_of(c.GetProduct(name="products/part").revision), revision)
                else:
                    new = [images.good(seed + i) for i in range(r.randint(1, 2))]
                    seed += len(new)
                    reply = c.add("part", new)
                    revision = number_of(reply.product.revision)
                    self.assertEqual(revision, newest[0] + 1)
                    pictures += new
                sizes[revision] = list(pictures)
                newest[0] = revision
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(errors, [])
        self.assertGreater(newest[0], 4)
        self.assertGreater(counts["detects"], 20)
        for (image, revision), values in scores.items():
            self.assertIn(revision, sizes)
            self.assertEqual(len(values), 1, f"image {image}, revision {revision}: {values}")
        # The same references registered at rest, at once, give the same bits.
        seen = sorted({revision for _, revision in scores})
        for revision in [seen[0], seen[len(seen) // 2], seen[-1]]:
            c.create(f"again-{revision}")
            c.add(f"again-{revision}", sizes[revision])
            for image in range(100, 104):
                for score, map_max, threshold in scores.get((image, revision), ()):
                    reply = c.detect(f"again-{revision}", images.good(image))
                    self.assertEqual((reply.score.hex(), reply.raw.map_max.hex(), reply.threshold.hex()),
                                     (score, map_max, threshold))
        print(f"{counts['detects']} detects over {newest[0]} revisions", flush=True)

    def test_a_product_deleted_and_made_again_is_another(self):
        c = self.client
        stop = threading.Event()
        errors = []
        by_uid = collections.defaultdict(set)

        def detect():
            client = self.server.client()
            while not stop.is_set():
                try:
                    reply = client.detect("phoenix", images.good(100))
                except Failure as failure:
                    if failure.code.name != "NOT_FOUND":
                        errors.append(failure)
                        return
                    continue
                by_uid[number_of(reply.product_revision)].add(reply.score.hex())

        threads = [threading.Thread(target=detect) for _ in range(2)]
        for t in threads:
            t.start()
        for n in range(5):
            c.create("phoenix")
            c.add("phoenix", [images.good(200 + n)])
            score = c.detect("phoenix", images.good(100)).score
            c.create(f"twin-{n}")
            c.add(f"twin-{n}", [images.good(200 + n)])
            self.assert_same_bits(c.detect(f"twin-{n}", images.good(100)).score, score)
            c.DeleteProduct(name="products/phoenix")
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        self.assertLessEqual(set(by_uid), {0, 1})
        self.assertEqual(len(by_uid.get(0, {None})), 1)


class Batches(ServerTestCase):
    flags = ("--max-batch", "8")

    def test_the_same_bits_alone_and_in_batches(self):
        c = self.client
        for n, product in enumerate(("one", "two", "three")):
            c.create(product)
            c.add(product, images.good_parts(n, first=1 + 10 * n))
        sizes = [(96, 72), (33, 200), (300, 40), (64, 64)]
        outputs = {"map": True, "map_format": "FLOAT32", "map_size": "GRID", "regions": True}
        jobs = []
        for i in range(16):
            width, height = sizes[i % 4]
            picture = images.encode(images.part(i, defect=i % 3 == 0, width=width, height=height))
            for product in ("one", "two", "three"):
                jobs.append({"product": f"products/{product}", "image": {"content": picture}, "outputs": outputs})
        alone = [c.Detect(**job) for job in jobs]
        random.Random(3).shuffle(order := list(range(len(jobs))) * 4)
        replies = c.detect_stream((f"{n}-{i}", jobs[i]) for n, i in enumerate(order))
        self.assertEqual(len(replies), len(order))
        for reply in replies:
            self.assertEqual(reply.WhichOneof("result"), "response", reply)
            expected = alone[int(reply.id.partition("-")[2])]
            got = reply.response
            self.assert_same_bits(got.score, expected.score)
            self.assertEqual(got.raw, expected.raw)
            self.assertEqual(got.map, expected.map)
            self.assertEqual(list(got.regions), list(expected.regions))
        largest = max(r.response.batch_size for r in replies)
        self.assertGreater(largest, 1, "no batch held more than one image; nothing was tested")
        self.assertLessEqual(largest, 8)
        print(f"{len(replies)} replies, largest batch {largest}", flush=True)


class Overload(TestCase):
    def test_what_does_not_fit_is_refused_with_a_time_to_come_back(self):
        with Server("--queue-images", "2", "--max-batch", "1", "--threads", "1") as server:
            c = server.client()
            c.create("part")
            c.add("part", images.good_parts(1))
            score = c.detect("part", images.good(9)).score
            call, message = c.stub("Detect")
            request = message(product="products/part", image={"content": images.good(9)},
                              outputs={"map": True, "map_size": "MODEL", "level_maps": True})
            pending = [call.future(request, timeout=30 * SLOWNESS) for _ in range(60)]
            fine = refused = 0
            for future in pending:
                error = future.exception()
                if error is None:
                    self.assert_same_bits(future.result().score, score)
                    fine += 1
                    continue
                failure = Failure.of_rpc(error)
                self.check_failure(failure, "RESOURCE_EXHAUSTED", reason="QUEUE_FULL")
                self.assertGreater(failure.details["RetryInfo"].retry_delay.ToNanoseconds(), 0)
                refused += 1
            self.assertGreater(fine, 0)
            self.assertGreater(refused, 0)
            self.assertEqual(server.metric_sum("hfwa_requests_total", code="RESOURCE_EXHAUSTED"), refused)
            self.assertEqual(server.metric_sum("hfwa_refusals_total", reason="QUEUE_FULL"), refused)
            # Nothing is left behind.
            self.assert_same_bits(c.detect("part", images.good(9)).score, score)

    def test_deadlines_under_load_are_kept_or_refused(self):
        with Server("--threads", "1") as server:
            c = server.client()
            c.create("part")
            c.add("part", images.good_parts(1))
            call, message = c.stub("Detect")
            request = message(product="products/part", image={"content": images.good(9)})
            start = time.monotonic()
            pending = [call.future(request, timeout=0.05 * (1 + i % 4)) for i in range(50)]
            codes = collections.Counter()
            for future in pending:
                error = future.exception()
                codes["OK" if error is None else error.code().name] += 1
            self.assertLess(time.monotonic() - start, 5 * SLOWNESS)
            self.assertLessEqual(set(codes), {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
            self.assertTrue(0 <= c.detect("part", images.good(9)).score <= 1)


if __name__ == "__main__":
    main()
