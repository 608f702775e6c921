"""Bad input is the caller's error, named by field, within limits of time and memory, and no neighbour notices."""

import contextlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import grpc
import numpy as np

import images
from harness import (BIN, EXIT_CONFIGURATION, EXIT_DATA, MODEL, SANITIZED, SLOWNESS, Failure, Server, ServerDied,
                     ServerTestCase, TestCase, main, rpc_errors)

SECONDS_MAX = 1.0 * SLOWNESS
GROWTH_MAX = 256 << 20


def promtool(text):
    """What Prometheus' own parser says of a page of metrics."""
    tool = pathlib.Path(os.environ.get("HFWA_CACHE", "/nonexistent")) / "promtool"
    if not tool.exists():
        raise unittest.SkipTest(f"no {tool}; run scripts/setup test")
    return subprocess.run([tool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=60)


class Neighbour:
    """Judges a good image on a second connection all the while; every answer must be the same to the bit."""

    def __init__(self, server, product):
        self.client = server.client()
        self.product = product
        self.score = self.client.detect(product, images.good(1)).score
        self.answers = 0
        self.errors = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                score = self.client.detect(self.product, images.good(1)).score
                assert score.hex() == self.score.hex(), f"{score.hex()} after {self.score.hex()}"
                self.answers += 1
            except BaseException as error:
                self.errors.append(error)
            time.sleep(0.01)

    def stop(self):
        self._stop.set()
        self._thread.join()


class Worst:
    """The largest of some figures and what it belongs to, for the reader of the log."""

    def __init__(self):
        self.value, self.of = 0.0, "nothing"

    def add(self, value, of):
        if value > self.value:
            self.value, self.of = value, of


class BadInput(ServerTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.worst_time, cls.worst_growth = Worst(), Worst()
        cls.client.create("part")
        cls.client.add("part", images.good_parts(2))
        cls.neighbour = Neighbour(cls.server, "part")
        cls.addClassCleanup(cls.neighbour.stop)

    def setUp(self):
        self.answers_before = self.neighbour.answers
        self.rss_before = self.server.rss()
        self.server.reset_peak_rss()

    def tearDown(self):
        """What holds after each kind of bad input."""
        self.assertTrue(self.server.alive(), self.server.log_text()[-2000:])
        self.assertEqual(self.neighbour.errors, [])
        self.assert_same_bits(self.client.detect("part", images.good(1)).score, self.neighbour.score)
        if not SANITIZED:
            growth = self.server.peak_rss() - self.rss_before
            self.worst_growth.add(growth, self.id().rpartition(".")[2])
            self.assertLessEqual(growth, GROWTH_MAX, f"{growth >> 20} MiB")
        deadline = time.monotonic() + 10 * SLOWNESS
        while self.neighbour.answers == self.answers_before:
            self.assertLess(time.monotonic(), deadline, "the neighbour gets no answers")
            time.sleep(0.01)
        self.server.log_records()  # each line is an object of JSON

    @classmethod
    def tearDownClass(cls):
        print(f"slowest: {cls.worst_time.value:.2f} s ({cls.worst_time.of}); largest growth: "
              f"{int(cls.worst_growth.value) >> 20} MiB ({cls.worst_growth.of})", flush=True)
        text = cls.server.metrics_text()
        checked = promtool(text)
        # promtool also advises on names (exit 3); a page that does not parse ends with 1.
        assert checked.returncode in (0, 3), checked.stderr.decode()

    @contextlib.contextmanager
    def quick(self, what=""):
        """The body, which is one request, takes no longer than any bad request may."""
        start = time.monotonic()
        yield
        took = time.monotonic() - start
        self.worst_time.add(took, f"{self.id().rpartition('.')[2]} {what}".strip())
        self.assertLess(took, SECONDS_MAX, what)

    def refused(self, code, call, *arguments, reason=None, field=None, what="", **fields):
        with self.quick(what):
            return self.fails(code, call, *arguments, reason=reason, field=field, **fields)

    def refused_image(self, data, field="image.content", what=""):
        """Detect and AddReferences refuse it alike."""
        self.refused("INVALID_ARGUMENT", self.client.detect, "part", data, field=field, what=what)
        item = data if isinstance(data, bytes) else {"image": data}
        with self.quick(what):
            result = self.client.add("part", [item]).results[0]
        self.check_failure(Failure.of_status(result.error), "INVALID_ARGUMENT", field="item." + field)

    def judged_or_refused(self, data, what):
        """Any answer in time will do but an error that is not the caller's."""
        with self.quick(what):
            try:
                self.client.detect("part", data)
            except Failure as failure:
                self.check_failure(failure, "INVALID_ARGUMENT", field="image.content")

    # Encoded images ------------------------------------------------------------------------------

    def test_no_image(self):
        self.refused("INVALID_ARGUMENT", self.client.Detect, product="products/part", field="image")
        self.refused("INVALID_ARGUMENT", self.client.Detect, product="products/part", image={}, field="image")
        self.refused_image(b"")

    def test_wrong_magic(self):
        for data in (b"GIF89a" + b"\0" * 100, b"%PDF-1.7\n", b"\0", b"\x89PNG", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP",
                     b"\xff\xd8", b"\xff" * 1000, bytes(range(256)) * 10):
            with self.subTest(data[:8]):
                self.refused_image(data)

    def test_truncated(self):
        pixels = images.part(1)
        for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
            data = images.encode(pixels, kind)
            for part in (0.02, 0.3, 0.7):
                cut = data[:max(4, int(len(data) * part))]
                with self.subTest(kind, part=part):
                    self.judged_or_refused(cut, kind)

    def test_bits_flipped(self):
        """Any answer will do but a crash, a hang or an error that is not the caller's."""
        random = np.random.default_rng(7)
        for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
            data = bytearray(images.encode(images.part(1), kind))
            for n in range(12):
                broken = bytearray(data)
                for at in random.integers(0, min(len(data), 200), 3):
                    broken[at] ^= 1 << int(random.integers(0, 8))
                self.judged_or_refused(bytes(broken), f"{kind} {n}")

    def test_sizes_beyond_the_limit(self):
        for name, data in {
                "PNG 20000 x 20000": images.png(20000, 20000, b""),
                "PNG 2^31": images.png(2**31 - 1, 2**31 - 1, b""),
                "PNG too wide": images.png_of_zeros(16385, 8),
                "PNG no width": images.png(0, 8, b""),
                "PNG 41 megapixels": images.png_of_zeros(6500, 6400),
                "JPEG 65500": images.jpeg_of_empty_scans(65500, 65500, 1),
                "TIFF 100000": images.tiff_of_size(100000, 100000),
                "TIFF strip of 2 GB": images.tiff_of_size(64, 64, strip_bytes=2**31 - 1),
                "BMP 60000": images.bmp_of_size(60000, 60000),
                "BMP upside down": images.bmp_of_size(60000, -60000),
                "BMP least integer": images.bmp_of_size(-2**31, -2**31)}.items():
            with self.subTest(name):
                self.refused_image(data, what=name)

    def test_bombs(self):
        for name, data in {
                "PNG 16000 x 16000 of zeros": images.png_of_zeros(16000, 16000),
                "JPEG 16000 x 16000, 500 scans": images.jpeg_of_empty_scans(16000, 16000, 500),
                "JPEG 4096 x 4096, 1000 scans": images.jpeg_of_empty_scans(4096, 4096, 1000),
                "JPEG 6000 x 6000, 65 scans": images.jpeg_of_empty_scans(6000, 6000, 65)}.items():
            with self.subTest(name):
                self.refused_image(data, what=name)

    def test_costly_files_within_the_limits_stay_within_time_and_memory(self):
        for name, data in {
                "PNG of 39 megapixels": images.png_of_zeros(6200, 6300),
                "20 texts of 100 MB": images.png_with_text_bombs(),
                "TIFF whose directory is its own next": images.tiff_of_size(64, 64, 4096, loop=True)}.items():
            with self.subTest(name):
                self.judged_or_refused(data, name)

    def test_a_file_beyond_the_limit(self):
        for extra in (1, 60 << 10):
            self.refused("INVALID_ARGUMENT", self.client.detect, "part", b"\x89PNG" * (8 << 20) + b"x" * extra,
                         field="image.content")

    def test_a_message_beyond_the_limit(self):
        for size in ((32 << 20) + (65 << 10), 48 << 20):
            with self.quick(f"{size} bytes"), self.assertRaises(Failure) as caught:
                self.client.detect("part", b"\0" * size)
            self.assertEqual(caught.exception.code.name, "RESOURCE_EXHAUSTED")  # gRPC's own word for it

    # Raw pixels ----------------------------------------------------------------------------------

    def test_raw_pixels(self):
        good = {"width": 8, "height": 4, "format": "RGB8", "data": b"\0" * 96}
        for change, field in (({"width": 0}, "width"), ({"height": 0}, "height"), ({"width": -1}, "width"),
                              ({"height": -2**31}, "height"), ({"stride": 23}, "stride"), ({"stride": -1}, "stride"),
                              ({"stride": 2**62}, "stride"), ({"data": b""}, "data"), ({"data": b"\0" * 95}, "data"),
                              ({"format": 0}, "format"), ({"format": 99}, "format"), ({"width": 16385}, "width"),
                              ({"width": 2**31 - 1, "height": 2**31 - 1}, "width"),
                              ({"format": "BAYER_RG8", "width": 7}, "width"),
                              ({"format": "BAYER_GB8", "height": 3}, "height")):
            with self.subTest(change):
                self.refused_image({"raw": {**good, **change}}, field=f"image.raw.{field}")
        self.client.detect("part", {"raw": good})

    def test_raw_pixels_of_more_than_40_megapixels(self):
        raw = {"width": 8000, "height": 5001, "format": "GRAY8", "data": b"\0" * 1000}
        with self.assertRaises(Failure) as caught:
            self.client.detect("part", {"raw": raw})
        self.check_failure(caught.exception, "INVALID_ARGUMENT")
        self.assertTrue(caught.exception.fields[0].startswith("image.raw."), caught.exception)

    # Names and texts -----------------------------------------------------------------------------

    HOSTILE_IDS = ("../x", "a/b", "a\0b", "a" * 64, "a" * 10000, "\u202eabc", "%2e%2e", "CON", "A", "1a", "-a", "a_b",
                   "a b", "a;DROP TABLE products", "$(reboot)", "`id`", "a'--", "a\"", "a\n", "é", ".", "..",
                   "*", "a?", "products")

    def test_hostile_ids(self):
        c = self.client
        for text in self.HOSTILE_IDS:
            with self.subTest(text[:40]):
                if text != "products":
                    self.refused("INVALID_ARGUMENT", c.CreateProduct, product_id=text, product={}, field="product_id")
                    name = f"products/{text}"
                    self.refused("INVALID_ARGUMENT", c.GetProduct, name=name, field="name")
                    self.refused("INVALID_ARGUMENT", c.DeleteProduct, name=name, field="name")
                    self.refused("INVALID_ARGUMENT", c.UpdateProduct, product={"name": name}, field="product.name")
                    self.refused("INVALID_ARGUMENT", c.ListReferences, parent=name, field="parent")
                    self.refused("INVALID_ARGUMENT", c.detect, text, images.good(1), field="product")
                    self.refused("INVALID_ARGUMENT", c.add, text, images.good_parts(1), field="config.parent")
                reference = f"products/part/references/{text}"
                self.refused("INVALID_ARGUMENT", c.GetReference, name=reference, field="name")
                self.refused("INVALID_ARGUMENT", c.DeleteReference, name=reference, field="name")
        for name in ("", "products", "products/", "part", "/products/part", "products/part/", "products//part",
                     "models/part", "Products/part", "products/part/references/r" + "0" * 32):
            with self.subTest(name):
                self.refused("INVALID_ARGUMENT", c.GetProduct, name=name, field="name")
        self.refused("INVALID_ARGUMENT", c.CreateProduct, product_id="a", field="product")

    def test_unknown_products(self):
        c = self.client
        name = "products/nobody"
        for call, fields in ((c.GetProduct, {"name": name}), (c.DeleteProduct, {"name": name}),
                             (c.UpdateProduct, {"product": {"name": name, "display_name": "x"}}),
                             (c.ListReferences, {"parent": name}),
                             (c.Detect, {"product": name, "image": {"content": images.good(1)}})):
            failure = self.refused("NOT_FOUND", call, reason="PRODUCT_NOT_FOUND", **fields)
            self.assertEqual(failure.details["ResourceInfo"].resource_name, name)
        self.refused("NOT_FOUND", c.add, "nobody", images.good_parts(1), reason="PRODUCT_NOT_FOUND")
        for name in ("products/nobody/references/r" + "0" * 32, "products/part/references/r" + "0" * 32):
            self.refused("NOT_FOUND", c.GetReference, name=name, reason="REFERENCE_NOT_FOUND")

    HOSTILE_LABELS = ({"k": "line\nbreak"}, {"k": "\x1b[31mred"}, {"k": "a\0b"}, {"a\tb": "v"}, {"": "v"},
                      {"k" * 64: "v"}, {"k": "v" * 256}, {"k": "é" * 128}, {"k": "\x7f"}, {"k": "\x85"},
                      {f"k{i}": "v" for i in range(33)})

    def test_hostile_labels(self):
        c = self.client
        for labels in self.HOSTILE_LABELS:
            with self.subTest(str(labels)[:40]):
                failure = self.refused("INVALID_ARGUMENT", c.detect, "part", images.good(1), labels=labels)
                self.assertTrue(failure.fields[0].startswith("labels"), failure)
                failure = self.refused("INVALID_ARGUMENT", c.CreateProduct, product={"labels": labels})
                self.assertTrue(failure.fields[0].startswith("product.labels"), failure)

    def test_ugly_but_legal_labels_come_back_and_stay_on_their_line(self):
        labels = {"</script>": "<b>", 'a"b': 'x"},"level":"error","msg":"forged', "{}": "\\", "prom": 'a",b="c"} 1',
                  "k" * 63: "v" * 255, "separator": "a\u2028b\u2029c", "rtl": "\u202e", "emoji": "🔩"}
        reply = self.client.detect("part", images.good(1), labels=labels, metadata=[("x-request-id", "ugly-labels")])
        self.assertEqual(dict(reply.labels), labels)
        lines = [r for r in self.server.log_records() if r.get("request_id") == "ugly-labels"]
        self.assertEqual(len(lines), 1)
        self.assertEqual(lines[0]["labels"], labels)
        self.assertNotIn("forged", self.server.metrics_text())

    def test_texts(self):
        c = self.client
        for field, value in (("display_name", "x" * 256), ("display_name", "a\nb"), ("class_name", "x" * 64),
                             ("class_name", "a\0b"), ("threshold", 1.5), ("threshold", -0.1),
                             ("threshold", float("nan")), ("threshold", float("inf"))):
            with self.subTest(field, value=str(value)[:10]):
                self.refused("INVALID_ARGUMENT", c.CreateProduct, product={field: value}, field=f"product.{field}")
                self.refused("INVALID_ARGUMENT", c.UpdateProduct, product={"name": "products/part", field: value},
                             update_mask={"paths": [field]}, field=f"product.{field}")
        name = self.product()
        result = c.add(name, [(images.good(1), "x" * 256)]).results[0]
        self.check_failure(Failure.of_status(result.error), "INVALID_ARGUMENT", field="item.source_name")
        # A source name is never a path.
        self.assertEqual(c.add(name, [(images.good(3), "../../../tmp/x")]).results[0].reference.source_name,
                         "../../../tmp/x")

    def test_text_that_is_not_utf8_and_bytes_that_are_no_message(self):
        name = b"products/\xff\xfe"
        for method, message in (("GetProduct", b"\x0a" + bytes([len(name)]) + name),
                                ("Detect", b"\x0a" + bytes([len(name)]) + name),
                                ("GetProduct", b"\x0a\x7fshort"), ("Detect", b"\xff" * 100),
                                ("CreateProduct", b"\x0a\x04\x1a\x02\xff\xff"), ("UpdateProduct", b"\x08"),
                                ("ListProducts", b"\x0a")):
            with self.subTest(method, message=message[:12]):
                def call(method=method, message=message):
                    with rpc_errors():
                        return self.client.raw(method)(message, timeout=10)
                self.refused("INVALID_ARGUMENT", call)

    def test_unknown_enums_and_methods(self):
        c = self.client
        self.refused("INVALID_ARGUMENT", c.detect, "part", images.good(1), outputs={"map": True, "map_format": 77},
                     field="outputs.map_format")
        self.refused("INVALID_ARGUMENT", c.detect, "part", images.good(1), outputs={"map": True, "map_size": -1},
                     field="outputs.map_size")
        self.refused("INVALID_ARGUMENT", c.GetReference, name="products/part/references/r" + "0" * 32, view=9,
                     field="view")
        with self.assertRaises(grpc.RpcError) as caught:
            c.channel.unary_unary("/hfwa.v1.ProductService/Nothing")(b"", timeout=10)
        self.assertEqual(caught.exception.code().name, "UNIMPLEMENTED")

    def test_hostile_metadata(self):
        c = self.client
        call, message = c.stub("GetProduct")
        request = message(name="products/part")
        for value in ("x" * 129, "a b", "../..", "$(id)", '"}', ""):
            _, info = call.with_call(request, timeout=10, metadata=[("x-request-id", value)])
            self.assertRegex(dict(info.initial_metadata())["x-request-id"], r"^[A-Za-z0-9._:-]{1,128}$")
        for value in ("00-" + "z" * 32, "x" * 500, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
            call(request, timeout=10, metadata=[("traceparent", value)])
        with self.assertRaises(grpc.RpcError) as caught:
            call(request, timeout=10, metadata=[("x-big", "x" * 20000)])
        self.assertEqual(caught.exception.code().name, "RESOURCE_EXHAUSTED")
        # Far beyond the limit gRPC ends the connection; others keep theirs.
        own = self.server.client()
        call, message = own.stub("GetProduct")
        with self.assertRaises(grpc.RpcError) as caught:
            call(message(name="products/part"), timeout=10, metadata=[("x-big", "x" * 64000)])
        self.assertIn(caught.exception.code().name, ("RESOURCE_EXHAUSTED", "UNAVAILABLE"))

    def test_no_file_is_made_outside_objects_by_hostile_names(self):
        names = {str(p.relative_to(self.server.folder)) for p in self.server.folder.rglob("*") if p.is_file()}
        for name in names:
            self.assertRegex(name, r"^(server\.log|data/(hfwa\.db(-wal|-shm)?|[a-z.]*lock[a-z.]*|version|"
                                   r"objects/[0-9a-f]{2}/[0-9a-f]{62}|cache/[0-9a-f/]+))$")

    def test_half_a_request_and_noise_on_the_port(self):
        """Bytes that are no HTTP/2, and connections that say nothing, end or wait; nobody else is held up."""
        import socket
        host, port = self.server.address.rsplit(":", 1)
        open_sockets = []
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64, b""):
            s = socket.create_connection((host, int(port)), timeout=5)
            s.sendall(data)
            open_sockets.append(s)
        host, port = self.server.metrics_address.rsplit(":", 1)
        for data in (b"NONSENSE\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"):
            s = socket.create_connection((host, int(port)), timeout=5)
            s.sendall(data)
            self.assertNotIn(b"root:", s.recv(4096))
            open_sockets.append(s)
        self.refused("NOT_FOUND", self.server.client().GetProduct, name="products/nobody")
        for s in open_sockets:
            s.close()


class BadModels(TestCase):
    """A model that is damaged or contradicts itself ends the server with one clear sentence, never a crash."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hfwa-test-model-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.model = self.folder / "model"
        shutil.copytree(MODEL, self.model)

    def refused(self, names, codes=(EXIT_CONFIGURATION, EXIT_DATA)):
        """The start fails within seconds; its message names the file or field."""
        start = time.monotonic()
        with self.assertRaises(ServerDied) as caught:
            server = Server(model=self.model, folder=self.folder)
            self.addCleanup(server.close)
        self.assertLess(time.monotonic() - start, 10 * SLOWNESS)
        died = caught.exception
        self.assertIn(died.code, codes, died)
        last = json.loads(died.log.strip().splitlines()[-1])
        self.assertEqual(last["level"], "error")
        for name in names:
            self.assertIn(name, last["error"])
        (self.folder / "server.log").unlink()

    def weight_files(self):
        return sorted(self.model.glob("*.safetensors"))

    def test_the_copy_itself_starts(self):
        with Server(model=self.model, folder=self.folder) as server:
            self.assertEqual(server.client().health_status(), "SERVING")

    def test_no_model(self):
        shutil.rmtree(self.model)
        self.refused(["config.json"])
        self.model.mkdir()
        self.refused(["config.json"])

    def test_missing_files(self):
        for path in sorted(self.model.iterdir()):
            if not path.is_file() or path.suffix not in (".safetensors", ".json", ".txt", ".gz"):
                continue
            with self.subTest(path.name):
                away = self.folder / "away"
                path.rename(away)
                self.refused(["merges" if path.name.startswith(("merges", "bpe")) else path.name])
                away.rename(path)

    def test_files_cut_short(self):
        for path in self.weight_files():
            data = path.read_bytes()
            header = struct.unpack("<Q", data[:8])[0]
            for size in (0, 4, 8, 8 + header // 2, 8 + header, len(data) // 2, len(data) - 1):
                with self.subTest(path.name, size=size):
                    path.write_bytes(data[:size])
                    self.refused([path.name])
            path.write_bytes(data)

    def test_a_header_that_lies(self):
        path = self.weight_files()[0]
        data = path.read_bytes()
        for name, header in (("too long", struct.pack("<Q", 2**63 - 1) + data[8:]),
                             ("negative", b"\xff" * 8 + data[8:]),
                             ("no JSON", data[:8] + b"x" * 100 + data[108:]),
                             ("deep", struct.pack("<Q", 100000) + b"[" * 100000)):
            with self.subTest(name):
                path.write_bytes(header)
                self.refused([path.name])

    def test_a_weight_that_is_not_finite(self):
        for path in self.weight_files():
            data = path.read_bytes()
            length = struct.unpack("<Q", data[:8])[0]
            header = json.loads(data[8:8 + length])
            name, entry = next((n, e) for n, e in header.items() if n != "__metadata__" and e["dtype"] == "F32")
            at = 8 + length + entry["data_offsets"][0]
            for value in (float("nan"), float("inf")):
                with self.subTest(path.name, value=value):
                    path.write_bytes(data[:at] + struct.pack("<f", value) + data[at + 4:])
                    self.refused([name])
            path.write_bytes(data)

    def test_a_configuration_that_contradicts_the_tensors(self):
        path = self.model / "config.json"
        config = json.loads(path.read_text())
        for change in (lambda c: c["vision"].update(width=2 * c["vision"]["width"]),
                       lambda c: c["vision"].update(layers=c["vision"]["layers"] + 1),
                       lambda c: c.update(embed_dim=c["embed_dim"] * 2),
                       lambda c: c["vision"].update(patch_size=c["vision"]["patch_size"] * 2,
                                                    image_size=c["vision"]["image_size"] * 2),
                       lambda c: c.update(taps=[10**6]),
                       lambda c: c["vision"].update(width=10**9),
                       lambda c: c["vision"].update(image_size=-1),
                       lambda c: c.update(no_such_key=1),
                       lambda c: c.update(taps="all")):
            changed = json.loads(json.dumps(config))
            change(changed)
            with self.subTest(str(set(map(str, changed.items())) - set(map(str, config.items())))[:100]):
                path.write_text(json.dumps(changed))
                self.refused([])
        for text in ("", "{", "[]", "null", "[" * 100000, '{"vision": 1}'):
            with self.subTest(text[:10]):
                path.write_text(text)
                self.refused(["config.json"])


if __name__ == "__main__":
    main()
