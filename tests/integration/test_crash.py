"""kill -9 at random instants while clients register: what was acknowledged is there, nothing is half there.

HFWA_CRASH_ROUNDS and HFWA_CRASH_SEED choose how often and which instants; a failure prints both.
"""

import hashlib
import os
import random
import threading
import time
import uuid

import images
from harness import SLOWNESS, Failure, Server, TestCase, main, number_of

ROUNDS = int(os.environ.get("HFWA_CRASH_ROUNDS", "25"))
SEED = int(os.environ.get("HFWA_CRASH_SEED", "20240703"))
CLIENTS = 3


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Expected:
    """What one client knows of one product: references by SHA-256, and the revision."""

    def __init__(self, exists=False, references=None, revision=0):
        self.exists = exists
        self.references = dict(references or {})
        self.revision = revision

    def key(self):
        return (self.exists, frozenset(self.references) if self.exists else frozenset(),
                self.revision if self.exists else 0)


class Operation:
    """A call whose outcome may stay unknown: the state after it is `after` or what it was before."""

    def __init__(self, product, after, run):
        self.product, self.after, self.run = product, after, run


class Worker(threading.Thread):
    """One client with products of its own, so that it alone decides what is expected of them."""

    def __init__(self, server, name, seed, states):
        super().__init__()
        self.client = server.client()
        self.label = name
        self.random = random.Random(seed)
        self.states = states  # product: Expected; as acknowledged
        self.unknown = None
        self.error = None
        self.acknowledged = 0

    def next_operation(self):
        r = self.random
        living = [p for p, s in self.states.items() if s.exists]
        request_id = str(uuid.UUID(int=r.getrandbits(128)))
        choice = r.random()
        if not living or choice < 0.15:
            product = f"{self.label}-{r.getrandbits(40):010x}"
            return Operation(product, Expected(True),
                             lambda c: c.CreateProduct(product_id=product, product={}, request_id=request_id))
        product = r.choice(living)
        state = self.states[product]
        if choice < 0.22 and len(living) > 2:
            return Operation(product, Expected(False),
                             lambda c: c.DeleteProduct(name=f"products/{product}", request_id=request_id))
        if choice < 0.4 and state.references:
            victim = r.choice(sorted(state.references))
            left = {k: v for k, v in state.references.items() if k != victim}
            name = f"products/{product}/references/r{victim[:32]}"
            return Operation(product, Expected(True, left, state.revision + 1),
                             lambda c: c.DeleteReference(name=name, request_id=request_id))
        pictures = [images.encode(images.part(r.getrandbits(32), width=40, height=30))
                    for _ in range(r.randint(1, 3))]
        after = Expected(True, {**state.references, **{sha256(p): p for p in pictures}}, state.revision + 1)
        return Operation(product, after, lambda c: c.add(product, pictures, request_id=request_id))

    def run(self):
        while True:
            operation = self.next_operation()
            try:
                operation.run(self.client)
            except Failure as failure:
                self.unknown = operation
                if failure.code.name not in ("UNAVAILABLE", "CANCELLED"):
                    self.error = failure
                return
            except BaseException as error:
                self.error = error
                return
            self.states[operation.product] = operation.after
            self.acknowledged += 1


class Crashes(TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.random = random.Random(SEED)
        self.states = [{} for _ in range(CLIENTS)]
        self.longest_start = 0.0

    def observed(self, client, product):
        try:
            found = client.GetProduct(name=f"products/{product}")
        except Failure as failure:
            self.assertEqual(failure.code.name, "NOT_FOUND", failure)
            return Expected(False), None
        references = client.list_references(product)
        self.assertEqual(found.reference_count, len(references))
        return Expected(True, {r.sha256: None for r in references}, number_of(found.revision)), references

    def check_product(self, client, product, states):
        """The product is in one of the states; returns which. Every reference's bytes are read."""
        got, references = self.observed(client, product)
        for state in states:
            if got.key() == state.key():
                break
        else:
            self.fail(f"{product} is {got.key()}, expected one of {[s.key() for s in states]}")
        for reference in references or ():
            content = client.GetReference(name=reference.name, view="FULL").content
            self.assertEqual(content, state.references[reference.sha256], reference.name)
        return state

    def check_everything(self, workers):
        client = self.server.client()
        living = set()
        for worker in workers:
            unknown = worker.unknown
            for product in sorted(set(worker.states) | ({unknown.product} if unknown else set())):
                before = worker.states.get(product, Expected(False))
                states = [before]
                if unknown and unknown.product == product:
                    states.append(unknown.after)
                    if self.random.random() < 0.5:
                        # The retry, under the same request id, has its effect once.
                        unknown.run(client)
                        states = [unknown.after]
                state = self.check_product(client, product, states)
                worker.states[product] = state
                if state.exists:
                    living.add(product)
                else:
                    del worker.states[product]
        listed = {p.name.partition("/")[2] for p in client.ListProducts(page_size=1000).products}
        self.assertEqual(listed, living)
        self.check_objects(client, {d for w in workers for s in w.states.values() for d in s.references})
        for product in self.random.sample(sorted(living), min(2, len(living))):
            reply = client.detect(product, images.good(1))
            self.assertTrue(0 <= reply.score <= 1)
            self.assertEqual(number_of(reply.product_revision),
                             next(w.states[product].revision for w in workers if product in w.states))

    def check_objects(self, client, expected):
        """No orphan after the start, nor a temporary file, and no object is missing."""
        deadline = time.monotonic() + 5 * SLOWNESS
        while set(self.server.object_files()) != expected:
            if time.monotonic() > deadline:
                found = set(self.server.object_files())
                self.fail(f"orphans: {sorted(found - expected)}; missing: {sorted(expected - found)}")
            time.sleep(0.02)

    def test_nothing_acknowledged_is_lost(self):
        acknowledged = unknown = 0
        for round_number in range(ROUNDS):
            hint = f"round {round_number}; HFWA_CRASH_SEED={SEED} HFWA_CRASH_ROUNDS={round_number + 1}"
            with self.subTest(hint):
                workers = [Worker(self.server, f"{'abc'[i]}{round_number}", self.random.getrandbits(64),
                                  self.states[i]) for i in range(CLIENTS)]
                moment = self.random.uniform(0.0, 0.5) * SLOWNESS
                for worker in workers:
                    worker.start()
                time.sleep(moment)  # the instant is what is tested
                self.server.kill()
                for worker in workers:
                    worker.join()
                    self.assertIsNone(worker.error)
                start = time.monotonic()
                self.server.start()
                self.longest_start = max(self.longest_start, time.monotonic() - start)
                self.check_everything(workers)
            acknowledged += sum(w.acknowledged for w in workers)
            unknown += sum(w.unknown is not None for w in workers)
            if not self._outcome_ok():
                self.fail(f"first failure in {hint}")
        print(f"{ROUNDS} kills: {acknowledged} calls acknowledged, {unknown} unknown, "
              f"longest start {self.longest_start:.2f} s", flush=True)
        self.assertGreater(acknowledged, ROUNDS)
        self.assertGreater(unknown, ROUNDS // 2)

    def _outcome_ok(self):
        return self._outcome.success

    def test_kill_while_draining_and_while_starting(self):
        client = self.server.client()
        client.create("part")
        client.add("part", images.good_parts(3))
        score = client.detect("part", images.good(9)).score
        self.server.process.terminate()
        time.sleep(self.random.uniform(0, 0.1))
        self.server.kill()
        for _ in range(4):
            self.server.launch()
            time.sleep(self.random.uniform(0, 0.7) * SLOWNESS)
            self.server.kill()
        self.server.start()
        client = self.server.client()
        self.assert_same_bits(client.detect("part", images.good(9)).score, score)
        self.check_objects(client, {sha256(data) for data, _ in images.good_parts(3)})


if __name__ == "__main__":
    main()
