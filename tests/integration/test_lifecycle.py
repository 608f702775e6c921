"""Start, health, draining, restart: what an orchestrator sees of the server."""

import json
import queue
import shutil
import signal
import subprocess
import threading
import time

import grpc
from grpc_health.v1 import health_pb2

import images
from harness import (BIN, CALL_LIMIT, EXIT_CONFIGURATION, EXIT_DATA, EXIT_LOCKED, EXIT_USAGE, SLOWNESS, Failure,
                     Server, ServerDied, TestCase, main, server_environment)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READINESS = ("", "hfwa.v1", "hfwa.v1.ProductService", "hfwa.v1.DetectionService", "hfwa.v1.ModelService")


class HealthWatch:
    """Follows Health.Watch and remembers when each status came."""

    def __init__(self, client, service=""):
        self.seen = []
        self.changed = threading.Condition()
        self._call = client.health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=300)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for reply in self._call:
                with self.changed:
                    self.seen.append((reply.status, time.monotonic()))
                    self.changed.notify_all()
        except grpc.RpcError:
            pass

    def wait(self, status, timeout=10 * SLOWNESS):
        with self.changed:
            if not self.changed.wait_for(lambda: any(s == status for s, _ in self.seen), timeout):
                raise AssertionError(f"no status {status} in {timeout} s; seen {self.seen}")
            return next(at for s, at in self.seen if s == status)


class Starting(TestCase):
    def test_health_and_reflection(self):
        with Server() as server:
            c = server.client()
            for name in READINESS + ("liveness",):
                self.assertEqual(c.health_status(name), "SERVING", name)
            with self.assertRaises(grpc.RpcError) as caught:
                c.health_status("no.such.Service")
            self.assertEqual(caught.exception.code().name, "NOT_FOUND")
            self.assertLessEqual({"hfwa.v1.ProductService", "hfwa.v1.DetectionService", "hfwa.v1.ModelService",
                                  "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}, c.services)
            self.assertEqual({m for m in c.methods},
                             {"CreateProduct", "GetProduct", "ListProducts", "UpdateProduct", "DeleteProduct",
                              "AddReferences", "ListReferences", "GetReference", "DeleteReference", "Detect",
                              "DetectStream", "GetModel"})
            # Port 0 took two free ports.
            ports = {server.address.rsplit(":", 1)[1], server.metrics_address.rsplit(":", 1)[1]}
            self.assertEqual(len(ports - {"0"}), 2)
            build = [k for k in server.metrics() if k.startswith("hfwa_build_info")]
            self.assertIn(c.GetModel(name="models/current").digest, build[0])
            ready = [r for r in server.log_records() if r["msg"] == "ready"]
            self.assertEqual(len(ready), 1)

    def test_without_reflection_and_metrics(self):
        server = Server("--reflection", "false", "--metrics-listen", "", start=False)
        with server:
            server.launch()
            line = server.process.stdout.readline().decode()
            self.assertRegex(line, r"^hfwa-server ready grpc=127\.0\.0\.1:\d+ metrics=off\n$")
            channel = grpc.insecure_channel(line.split("grpc=")[1].split()[0])
            with self.assertRaises(grpc.RpcError) as caught:
                channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
                    iter([b""]), timeout=10).next()
            self.assertEqual(caught.exception.code().name, "UNIMPLEMENTED")
            channel.close()

    def test_a_setting_that_is_unknown_or_wrong_is_an_error(self):
        def run(*flags, environment=None, seconds=10 * SLOWNESS):
            return subprocess.run([BIN / "hfwa-server", *flags], capture_output=True, text=True, timeout=seconds,
                                  env=server_environment(environment))

        server = Server(start=False)
        self.addCleanup(server.close)
        toml = server.folder / "hfwa.toml"
        cases = (
            (["--no-such-flag", "1"], {}, "", EXIT_USAGE, "no-such-flag"),
            (["positional"], {}, "", EXIT_USAGE, "positional"),
            ([], {"HFWA_NO_SUCH_SETTING": "1"}, "", EXIT_CONFIGURATION, "HFWA_NO_SUCH_SETTING"),
            ([], {}, "no-such-key = 1\n", EXIT_CONFIGURATION, "no-such-key"),
            ([], {}, "listen = \n", EXIT_CONFIGURATION, str(toml)),
            ([], {}, "max-batch = \"four\"\n", EXIT_CONFIGURATION, "max-batch"),
            ([], {}, "max-batch = 0\n", EXIT_CONFIGURATION, "max-batch"),
            (["--max-batch", "x"], {}, "", EXIT_CONFIGURATION, "max-batch"),
            (["--listen", "nonsense"], {}, "", EXIT_CONFIGURATION, "listen"),
            (["--precision", "fp8"], {}, "", EXIT_CONFIGURATION, "precision"),
            ([], {"HFWA_DRAIN_GRACE": "30s"}, "", EXIT_CONFIGURATION, "drain"),
            (["--config", "/no/such/file.toml"], {}, "", EXIT_CONFIGURATION, "/no/such/file.toml"),
        )
        for flags, environment, text, code, named in cases:
            with self.subTest(flags=flags, environment=environment, text=text):
                toml.write_text(text)
                used = flags + (["--config", str(toml)] if text else [])
                ended = run(*used, "--data", str(server.data), environment=environment)
                self.assertEqual(ended.returncode, code, ended.stderr)
                self.assertIn(named, ended.stderr)
                self.assertEqual(ended.stdout, "")
        self.assertFalse(server.data.exists(), "a wrong setting made the data directory")

    def test_flag_environment_and_file_in_this_order(self):
        server = Server(start=False)
        self.addCleanup(server.close)
        toml = server.folder / "hfwa.toml"
        toml.write_text("max-batch = 3\nqueue-images = 30\nthreads = 1\n")
        ended = subprocess.run(
            [BIN / "hfwa-server", "--config", toml, "--max-batch", "5", "config", "print"], capture_output=True,
            text=True, timeout=30 * SLOWNESS,
            env=server_environment({"HFWA_MAX_BATCH": "4", "HFWA_QUEUE_IMAGES": "40"}))
        self.assertEqual(ended.returncode, 0, ended.stderr)
        import tomllib
        settings = tomllib.loads(ended.stdout)
        self.assertEqual((settings["max-batch"], settings["queue-images"], settings["threads"]), (5, 40, 1))

    def test_a_second_server_on_the_data_directory_ends(self):
        with Server() as first:
            start = time.monotonic()
            with self.assertRaises(ServerDied) as caught:
                Server(folder=first.folder)
            self.assertEqual(caught.exception.code, EXIT_LOCKED)
            self.assertLess(time.monotonic() - start, 5 * SLOWNESS)
            last = json.loads(caught.exception.log.strip().splitlines()[-1])
            self.assertIn(str(first.process.pid), last["error"])
            self.assertEqual(first.client().health_status(), "SERVING")
            # A lock that a killed server left does not block.
            first.kill()
            first.start()
            self.assertEqual(first.client().health_status(), "SERVING")

    def test_a_taken_port_ends_the_start(self):
        with Server() as first:
            with self.assertRaises(ServerDied) as caught:
                Server("--listen", first.address)
            self.assertEqual(caught.exception.code, 73)


class Draining(TestCase):
    def test_sigterm_under_load_loses_no_admitted_call(self):
        with Server("--drain-grace", "1s") as server:
            c = server.client()
            c.create("part")
            c.add("part", images.good_parts(2))
            score = c.detect("part", images.good(3)).score
            watch = HealthWatch(c)
            watch.wait(SERVING)
            liveness = HealthWatch(c, "liveness")
            liveness.wait(SERVING)
            stop = threading.Event()
            answers, errors = [], []

            def load(client):
                while not stop.is_set():
                    try:
                        answers.append((time.monotonic(), client.detect("part", images.good(3)).score))
                    except Failure as failure:
                        errors.append((time.monotonic(), failure))
                        return

            threads = [threading.Thread(target=load, args=(server.client(),)) for _ in range(4)]
            for t in threads:
                t.start()
            while len(answers) < 8:
                time.sleep(0.01)
            told = time.monotonic()
            server.send(signal.SIGTERM)
            self.assertLess(watch.wait(NOT_SERVING) - told, 0.1 * SLOWNESS)
            code = server.wait()
            ended = time.monotonic()
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(code, 0, server.log_text()[-2000:])
            self.assertLess(ended - told, 10 * SLOWNESS)
            # During the grace calls are answered; after it they are refused, and none is lost halfway.
            self.assertTrue(all(s.hex() == score.hex() for _, s in answers))
            self.assertTrue(any(told + 0.2 < at for at, _ in answers), "no answer during the grace")
            for at, failure in errors:
                self.assertEqual(failure.code.name, "UNAVAILABLE", failure)
                self.assertGreater(at, told + 0.9, f"refused during the grace: {failure}")
                if failure.reason is not None:
                    self.assertEqual(failure.reason, "DRAINING")
                    self.assertIn("RetryInfo", failure.details)
            # What was admitted has a line in the log that says OK.
            detects = [r for r in server.log_records() if r.get("method") == "Detect"]
            self.assertEqual(sum(r["code"] == "OK" for r in detects), len(answers) + 1)
            self.assertLessEqual({r["code"] for r in detects}, {"OK", "UNAVAILABLE"})
            # The process lives, so a kubelet must not restart it meanwhile.
            self.assertEqual([s for s, _ in liveness.seen], [SERVING])

    def test_admitted_calls_are_answered_after_the_grace(self):
        """A stream with all its requests in flight gets every reply, though the grace is over."""
        with Server("--drain-grace", "0s") as server:
            c = server.client()
            c.create("part")
            call, message = c.stub("DetectStream")
            feed = queue.Queue()
            for i in range(24):
                feed.put(message(id=str(i), request={"product": "products/part",
                                                     "image": {"content": images.good(i)}}))
            replies = call(iter(feed.get, None), timeout=CALL_LIMIT)
            got = [next(replies)]
            server.send(signal.SIGTERM)
            status = None
            try:
                got.extend(replies)
            except grpc.RpcError as error:
                status = Failure.of_rpc(error)
            feed.put(None)
            if status is not None:
                self.assertEqual((status.code.name, status.reason), ("UNAVAILABLE", "DRAINING"))
            code = server.wait()
            self.assertEqual(code, 0, server.log_text()[-2000:])
            # As many replies as requests that the server says it took.
            taken = [r for r in server.log_records() if r.get("method") == "DetectStream"]
            self.assertEqual(len(got), len(taken))
            self.assertEqual(len({r.id for r in got}), len(got))
            for reply in got:
                if reply.WhichOneof("result") == "error":
                    self.assertEqual(Failure.of_status(reply.error).code.name, "UNAVAILABLE")

    def test_a_registration_under_way_is_finished_or_refused_whole(self):
        with Server("--drain-grace", "0s") as server:
            c = server.client()
            c.create("part")
            outcome = []

            def register():
                try:
                    outcome.append(c.add("part", images.good_parts(12)))
                except Failure as failure:
                    outcome.append(failure)

            thread = threading.Thread(target=register)
            thread.start()
            deadline = time.monotonic() + 10 * SLOWNESS
            while not server.object_files() and time.monotonic() < deadline:
                time.sleep(0.002)
            server.send(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.log_text()[-2000:])
            thread.join()
            server.start()
            kept = server.client().list_references("part")
            if isinstance(outcome[0], Failure):
                self.assertEqual(outcome[0].code.name, "UNAVAILABLE")
                self.assertIn(len(kept), (0, 12))
            else:
                self.assertEqual(len(kept), 12)

    def test_a_second_signal_ends_at_once(self):
        with Server("--drain-grace", "20s", "--drain-timeout", "30s") as server:
            c = server.client()
            watch = HealthWatch(c)
            watch.wait(SERVING)
            server.send(signal.SIGTERM)
            watch.wait(NOT_SERVING)
            told = time.monotonic()
            server.send(signal.SIGTERM)
            self.assertEqual(server.wait(), 128 + signal.SIGTERM)
            self.assertLess(time.monotonic() - told, 1 * SLOWNESS)

    def test_sigint_is_as_good_as_sigterm(self):
        with Server() as server:
            server.send(signal.SIGINT)
            self.assertEqual(server.wait(), 0)
            self.assertEqual(server.log_records()[-1]["msg"], "ended")

    def test_an_open_stream_does_not_hold_up_the_end(self):
        with Server() as server:
            c = server.client()
            call, _ = c.stub("DetectStream")
            feed = queue.Queue()
            replies = call(iter(feed.get, None), timeout=CALL_LIMIT)
            replies.initial_metadata()
            told = time.monotonic()
            server.send(signal.SIGTERM)
            with self.assertRaises(grpc.RpcError) as caught:
                next(replies)
            feed.put(None)
            failure = Failure.of_rpc(caught.exception)
            self.assertEqual((failure.code.name, failure.reason), ("UNAVAILABLE", "DRAINING"))
            self.assertEqual(server.wait(), 0)
            self.assertLess(time.monotonic() - told, 5 * SLOWNESS)


class Restarting(TestCase):
    def _encoded(self, server):
        return (server.metric_sum("hfwa_stage_duration_seconds_count", stage="encode"),
                server.metric_sum("hfwa_batch_size_count"))

    def _replies(self, client):
        return {p: client.detect(p, images.bad(77), outputs={"map": True, "regions": True, "map_format": "FLOAT32"})
                for p in ("one", "four", "none")}

    def _assert_same(self, before, after):
        for product, reply in before.items():
            now = after[product]
            for field in ("score", "verdict", "method", "calibration_state", "product_revision", "model_digest"):
                self.assertEqual(getattr(now, field), getattr(reply, field), (product, field))
            self.assert_same_message(now.raw, reply.raw)
            self.assert_same_message(now.map, reply.map)
            self.assert_same_messages(now.regions, reply.regions)
            self.assertEqual(now.HasField("threshold"), reply.HasField("threshold"))
            self.assert_same_bits(now.threshold, reply.threshold)

    def test_a_restart_brings_everything_back_without_encoding(self):
        with Server() as server:
            c = server.client()
            for product, count in (("one", 1), ("four", 4), ("none", 0)):
                c.create(product, labels={"k": product}, display_name=product)
                c.add(product, images.good_parts(count))
            c.UpdateProduct(product={"name": "products/none", "threshold": 0.5})
            before = self._replies(c)
            products = list(c.ListProducts().products)
            references = [c.list_references(p) for p in ("one", "four", "none")]

            server.restart()
            c = server.client()
            warm = self._encoded(server)
            self.assert_same_messages(c.ListProducts().products, products)
            for product, expected in zip(("one", "four", "none"), references):
                self.assert_same_messages(c.list_references(product), expected)
            self.assertEqual(self._encoded(server), warm)
            after = self._replies(c)
            self._assert_same(before, after)
            # Three detects, at most three batches: no reference was encoded.
            self.assertEqual(self._encoded(server)[1] - warm[1], 3)
            self.assertEqual(server.metric_sum("hfwa_batch_size_sum") - warm[1], 3)

            with self.subTest("the cache is gone"):
                self.assertEqual(server.terminate(), 0)
                shutil.rmtree(server.data / "cache")
                server.start()
                self._assert_same(before, self._replies(server.client()))

            with self.subTest("every cached file is damaged"):
                self.assertEqual(server.terminate(), 0)
                files = [p for p in (server.data / "cache").rglob("*") if p.is_file()]
                self.assertGreater(len(files), 4)
                for i, path in enumerate(files):
                    data = bytearray(path.read_bytes())
                    if i % 2:
                        data[len(data) * 3 // 4] ^= 1
                    else:
                        del data[len(data) // 2:]
                    path.write_bytes(data)
                server.start()
                self._assert_same(before, self._replies(server.client()))

            with self.subTest("the cache is gone while it runs"):
                shutil.rmtree(server.data / "cache")
                self._assert_same(before, self._replies(server.client()))
                c = server.client()
                c.add("none", images.good_parts(2))
                self.assertEqual(c.GetProduct(name="products/none").reference_count, 2)

    def test_a_damaged_image_is_named_and_healed_by_registering_it_again(self):
        with Server() as server:
            c = server.client()
            for n, product in enumerate(("bit", "gone", "other")):
                c.create(product)
                c.add(product, images.good_parts(2, first=1 + 10 * n))
            scores = {p: c.detect(p, images.good(77)).score for p in ("bit", "gone", "other")}
            victims = {p: c.list_references(p)[0] for p in ("bit", "gone")}
            self.assertEqual(server.terminate(), 0)
            files = server.object_files()
            flipped = bytearray(files[victims["bit"].sha256].read_bytes())
            flipped[len(flipped) // 2] ^= 1
            files[victims["bit"].sha256].write_bytes(flipped)
            files[victims["gone"].sha256].unlink()
            server.start()
            c = server.client()
            # The features are still there, and checked, so nothing is worse yet.
            for product, score in scores.items():
                self.assert_same_bits(c.detect(product, images.good(77)).score, score)
            self.assertEqual(server.terminate(), 0)
            shutil.rmtree(server.data / "cache")
            server.start()
            c = server.client()
            for n, product in enumerate(("bit", "gone")):
                name = victims[product].name
                for call in (lambda: c.detect(product, images.good(77)),
                             lambda: c.GetReference(name=name, view="FULL"),
                             lambda: c.GetReference(name=name, view="THUMBNAIL")):
                    failure = self.fails("DATA_LOSS", call, reason="DATA_DAMAGED")
                    self.assertIn(name.rpartition("/")[2], failure.message)
                    self.assertNotIn(str(server.folder), failure.message)
                c.add(product, [images.good(1 + 10 * n)])
                self.assertEqual(c.GetReference(name=name, view="FULL").content, images.good(1 + 10 * n))
            for product, score in scores.items():
                self.assert_same_bits(c.detect(product, images.good(77)).score, score)

    def test_a_damaged_database_ends_the_start_and_is_left_alone(self):
        with Server() as server:
            c = server.client()
            c.create("part")
            c.add("part", images.good_parts(2))
            self.assertEqual(server.terminate(), 0)
            path = server.data / "hfwa.db"
            whole = path.read_bytes()
            for name, data in (("no header", b"\0" * 100 + whole[100:]), ("cut", whole[:len(whole) // 2]),
                               ("empty", b""), ("noise", bytes(range(256)) * 64)):
                with self.subTest(name):
                    path.write_bytes(data)
                    with self.assertRaises(ServerDied) as caught:
                        server.start()
                    self.assertEqual(caught.exception.code, EXIT_DATA, caught.exception)
                    self.assertIn("hfwa.db", json.loads(caught.exception.log.strip().splitlines()[-1])["error"])
                    self.assertEqual(path.read_bytes(), data)
            path.write_bytes(whole)
            server.start()
            self.assertEqual(len(server.client().list_references("part")), 2)
            self.assertEqual(len(server.object_files()), 2)

    def test_request_ids_outlive_a_restart(self):
        request_id = "3f0c9c9e-7f57-4a53-9c52-0b1f6a3f8c11"
        with Server() as server:
            c = server.client()
            c.create("part")
            first = c.add("part", images.good_parts(2), request_id=request_id)
            server.restart()
            c = server.client()
            again = c.add("part", images.good_parts(2), request_id=request_id)
            self.assert_same_messages(again.results, first.results)
            self.assertEqual(c.GetProduct(name="products/part").revision, "products/part/revisions/1")


if __name__ == "__main__":
    main()
