"""Registering never blocks detecting, a bank is a value, and neighbours in a batch do not matter."""

import collections
import queue
import random
import threading
import time
import uuid

import images
from harness import SLOWNESS, Failure, Server, ServerTestCase, TestCase, main, number_of


class RegisteringWhileDetecting(ServerTestCase):
    SECONDS = 4
    REVISIONS = 12

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
        start = time.monotonic()
        seed = 2
        try:
            while not errors and (newest[0] < self.REVISIONS or time.monotonic() < start + self.SECONDS):
                self.assertLess(time.monotonic(), start + 60 * SLOWNESS, f"only {newest[0]} revisions")
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
        self.assertGreater(counts["detects"], 2 * self.REVISIONS)
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


class Races(ServerTestCase):
    """Several clients do the same at the same instant."""

    CLIENTS = 6

    def at_once(self, work):
        """work(client, n) of every client; what it returned, or the Failure, by n."""
        barrier = threading.Barrier(self.CLIENTS)
        outcomes = [None] * self.CLIENTS

        def run(n):
            client = self.server.client()
            barrier.wait()
            try:
                outcomes[n] = work(client, n)
            except BaseException as error:
                outcomes[n] = error

        threads = [threading.Thread(target=run, args=(n,)) for n in range(self.CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Failure):
                raise outcome
        return outcomes

    def one_wins(self, outcomes, code):
        """One succeeded, the others failed with the code; returns the one's outcome."""
        won = [o for o in outcomes if not isinstance(o, Failure)]
        self.assertEqual(len(won), 1, outcomes)
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                self.check_failure(outcome, code)
        return won[0]

    def test_one_creates_the_product(self):
        for round_number in range(5):
            made = self.one_wins(self.at_once(lambda c, n: c.create(f"race-{round_number}", display_name=str(n))),
                                 "ALREADY_EXISTS")
            self.assert_same_message(self.client.GetProduct(name=made.name), made)

    def test_one_update_wins_by_its_etag(self):
        name = f"products/{self.product()}"
        for _ in range(5):
            etag = self.client.GetProduct(name=name).etag
            won = self.one_wins(self.at_once(lambda c, n: c.UpdateProduct(
                product={"name": name, "display_name": f"client {n}", "etag": etag})), "ABORTED")
            self.assertEqual(self.client.GetProduct(name=name).display_name, won.display_name)

    def test_registrations_add_up(self):
        name = self.product()
        replies = self.at_once(lambda c, n: c.add(name, images.good_parts(3, first=1 + 3 * n)))
        for reply in replies:
            self.assertNotIsInstance(reply, Failure)
        self.assertEqual(sorted(number_of(r.product.revision) for r in replies), list(range(1, 7)))
        self.assertEqual(sorted(r.product.reference_count for r in replies), list(range(3, 21, 3)))
        self.assertEqual(len(self.client.list_references(name)), 18)
        self.assertEqual(number_of(self.client.detect(name, images.good(50)).product_revision), 6)

    def test_the_same_image_from_many_is_added_once(self):
        name = self.product()
        replies = self.at_once(lambda c, n: c.add(name, [images.good(1)]))
        outcomes = collections.Counter(self.client.enum("AddReferencesResponse.Result.Outcome",
                                                        r.results[0].outcome) for r in replies)
        self.assertEqual(outcomes, {"ADDED": 1, "DUPLICATE": self.CLIENTS - 1})
        self.assertEqual(number_of(self.client.GetProduct(name=f"products/{name}").revision), 1)

    def test_a_request_id_has_its_effect_once(self):
        name = self.product()
        for round_number in range(3):
            request_id = str(uuid.uuid4())
            picture = [images.good(1 + round_number)]
            replies = self.at_once(lambda c, n: c.add(name, picture, request_id=request_id))
            for reply in replies:
                self.assertNotIsInstance(reply, Failure)
                self.assertEqual(reply.results[0].outcome, replies[0].results[0].outcome)
            self.assertEqual(self.client.enum("AddReferencesResponse.Result.Outcome",
                                              replies[0].results[0].outcome), "ADDED")
            product = self.client.GetProduct(name=f"products/{name}")
            self.assertEqual((product.reference_count, number_of(product.revision)), (round_number + 1,) * 2)

    def test_one_deletes_the_reference_and_one_the_product(self):
        name = self.product(references=2)
        reference = self.client.list_references(name)[0].name
        self.one_wins(self.at_once(lambda c, n: c.DeleteReference(name=reference)), "NOT_FOUND")
        self.assertEqual(number_of(self.client.GetProduct(name=f"products/{name}").revision), 2)
        self.one_wins(self.at_once(lambda c, n: c.DeleteProduct(name=f"products/{name}")), "NOT_FOUND")

    def test_a_product_deleted_under_its_registrations(self):
        """Each registration is either acknowledged before the end of the product or finds none; no file stays."""
        for _ in range(4):
            name = self.product(suffix=uuid.uuid4().hex[:8])
            outcomes = self.at_once(lambda c, n: c.DeleteProduct(name=f"products/{name}") if n == 0 else
                                    c.add(name, images.good_parts(2, first=1000 + 2 * n)))
            for outcome in outcomes:
                if isinstance(outcome, Failure):
                    self.check_failure(outcome, "NOT_FOUND")
            self.fails("NOT_FOUND", self.client.GetProduct, name=f"products/{name}")
        expected = {r.sha256 for p in self.client.ListProducts(page_size=1000).products
                    for r in self.client.list_references(p.name.partition("/")[2])}
        deadline = time.monotonic() + 10 * SLOWNESS
        while set(self.server.object_files()) != expected:
            self.assertLess(time.monotonic(), deadline, "objects of a deleted product stay")
            time.sleep(0.02)

    def test_silent_uploads_hold_up_nobody_for_ever(self):
        """As many registrations as there are places, all silent: the next is refused with a time to come back."""
        c = self.client
        name = self.product(references=1)
        call, message = c.stub("AddReferences")
        feeds, pending = [], []
        refusal = None
        while refusal is None and len(pending) < 64:
            feeds.append(queue.SimpleQueue())
            feeds[-1].put(message(config={"parent": f"products/{name}"}))
            pending.append(call.future(iter(feeds[-1].get, None), timeout=60 * SLOWNESS))
            try:
                c.add(name, [images.good(1)])
            except Failure as failure:
                refusal = failure
        self.check_failure(refusal, "RESOURCE_EXHAUSTED", reason="TOO_MANY_REGISTRATIONS")
        self.assertIn("RetryInfo", refusal.details)
        self.assertTrue(0 <= c.detect(name, images.good(9)).score <= 1)
        for future in pending:
            future.cancel()
        for feed in feeds:
            feed.put(None)
        deadline = time.monotonic() + 10 * SLOWNESS
        while True:
            try:
                c.add(name, [images.good(2)])
                break
            except Failure:
                self.assertLess(time.monotonic(), deadline, "places of cancelled registrations stay taken")
                time.sleep(0.02)


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
        # How large batches get is the scheduler's choice: a busy device may find that they do not pay.
        self.assertTrue(1 <= largest <= 8, largest)
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
