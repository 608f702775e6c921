"""The hfwa command and the example program against the real server."""

import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image

import images
from harness import BIN, SLOWNESS, ServerTestCase, main, server_environment


class Command(ServerTestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hfwa-test-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_hfwa(self, *arguments, code=0, **options):
        ended = subprocess.run([BIN / "hfwa", *map(str, arguments)], capture_output=True, text=True,
                               timeout=60 * SLOWNESS, cwd=self.folder,
                               env=server_environment({"HFWA_SERVER": self.server.address}), **options)
        self.assertEqual(ended.returncode, code, f"{arguments}\n{ended.stdout}\n{ended.stderr}")
        return ended

    def json_lines(self, *arguments, code=0):
        return [json.loads(line) for line in self.run_hfwa("--json", *arguments, code=code).stdout.splitlines()]

    def write(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def test_from_the_first_product_to_heatmaps(self):
        c = self.client
        self.assertEqual(self.run_hfwa("health").stdout.strip(), "SERVING")
        self.assertIn(c.GetModel(name="models/current").digest, self.run_hfwa("model", "show").stdout)

        made, = self.json_lines("product", "create", "bolt", "--display-name", "Bolt M8", "--label", "line=3")
        self.assertEqual((made["name"], made["display_name"], made["labels"]),
                         ("products/bolt", "Bolt M8", {"line": "3"}))
        self.run_hfwa("product", "create", "bolt", code=2)
        for i in range(1, 5):
            self.write(f"good/{i}.png", images.good(i))
        self.write("good/notes.txt", b"not a picture")
        added = self.json_lines("reference", "add", "bolt", "good/")
        self.assertEqual([a["outcome"] for a in added], ["ADDED"] * 4)
        again = self.json_lines("reference", "add", "bolt", "good/1.png")
        self.assertEqual([a["outcome"] for a in again], ["DUPLICATE"])
        self.write("broken.png", b"\x89PNG broken")
        refused = self.json_lines("reference", "add", "bolt", "broken.png", code=2)
        self.assertEqual(refused[0]["outcome"], "REFUSED")

        listed = self.json_lines("reference", "list", "bolt")
        self.assertEqual(sorted(pathlib.Path(r["source_name"]).name for r in listed), [f"{i}.png" for i in range(1, 5)])
        reference = listed[0]["name"].rpartition("/")[2]
        self.run_hfwa("reference", "get", "bolt", reference, "--out", "back.png")
        self.assertIn((self.folder / "back.png").read_bytes(), [images.good(i) for i in range(1, 5)])
        self.run_hfwa("reference", "get", "bolt", reference, "--thumbnail", "--out", "small.jpg")
        self.assertEqual(Image.open(io.BytesIO((self.folder / "small.jpg").read_bytes())).format, "JPEG")
        self.run_hfwa("reference", "delete", "bolt", reference)
        self.assertEqual(len(c.list_references("bolt")), 3)

        self.write("parts/a.png", images.good(20))
        self.write("parts/b.jpg", images.encode(images.part(21, defect=True), "JPEG", quality=95))
        rows = self.json_lines("detect", "bolt", "parts/", "--out", "maps")
        self.assertEqual([pathlib.Path(r["file"]).name for r in rows], ["a.png", "b.jpg"])
        for row in rows:
            reply = c.detect("bolt", (self.folder / row["file"]).read_bytes())
            self.assertEqual(row["score"], reply.score)
            self.assertEqual(row["verdict"], c.enum("DetectResponse.Verdict", reply.verdict))
            self.assertEqual(row["product_revision"], reply.product_revision)
            self.assertEqual(row["model_digest"], reply.model_digest)
            for kind in ("heatmap", "overlay"):
                picture = Image.open(io.BytesIO((self.folder / row[kind]).read_bytes()))
                self.assertEqual((picture.format, picture.size), ("PNG", (96, 72)))
                self.assertGreater(np.asarray(picture).std(), 0)
        table = self.run_hfwa("detect", "bolt", "parts/a.png").stdout
        self.assertIn("VERDICT", table)
        self.assertIn("1 file judged", table)

        updated, = self.json_lines("product", "update", "bolt", "--threshold", "0")
        self.assertEqual(updated["calibration_state"], "MANUAL")
        rows = self.json_lines("detect", "bolt", "parts/a.png", "--exit-code", code=1)
        self.assertEqual(rows[0]["verdict"], "ANOMALOUS")
        self.json_lines("product", "update", "bolt", "--auto-threshold")
        updated, = self.json_lines("product", "update", "bolt", "--method", "anomaly-dino")
        self.assertEqual(updated["method"], "ANOMALY_DINO")
        row, = self.json_lines("detect", "bolt", "parts/a.png")
        self.assertEqual(row["method"], "ANOMALY_DINO")
        self.assertGreater(row["top_patches"], 0)
        self.json_lines("product", "update", "bolt", "--method", "hfwa")
        rows = self.json_lines("detect", "bolt", "parts/a.png", "broken.png", code=2)
        self.assertEqual([("error" in r) for r in rows], [False, True])
        self.assertEqual(rows[1]["error"]["reason"], "IMAGE_INVALID")

        self.run_hfwa("product", "delete", "bolt", code=64)
        self.run_hfwa("product", "delete", "bolt", "--yes")
        self.assertEqual([p["name"] for p in self.json_lines("product", "list") if p["name"] == "products/bolt"], [])
        self.run_hfwa("detect", "bolt", "parts/a.png", code=2)

    def test_a_folder_is_watched(self):
        self.client.create("watched")
        self.client.add("watched", images.good_parts(2))
        inbox = self.folder / "inbox"
        inbox.mkdir()
        watch = subprocess.Popen(
            [BIN / "hfwa", "watch", "watched", inbox, "--json", "--existing", "--server", self.server.address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=server_environment())
        self.addCleanup(watch.kill)
        # A file that is there before the watch begins, or comes after: either way it is judged once.
        for i in range(5):
            self.write(f"inbox/.{i}.tmp", images.good(30 + i)).rename(inbox / f"{i}.png")
            row = json.loads(watch.stdout.readline())
            self.assertEqual(pathlib.Path(row["file"]).name, f"{i}.png")
            self.assertEqual(row["score"], self.client.detect("watched", images.good(30 + i)).score)
        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=20 * SLOWNESS)
        self.assertIn(watch.returncode, (0, 130), err)
        self.assertEqual(out, "")
        self.assertIn("5 files judged", err)

    def test_ctrl_c_ends_a_long_run(self):
        self.client.create("long")
        self.client.add("long", images.good_parts(1))
        for i in range(400):
            self.write(f"many/{i:03}.png", images.good(1))
        run = subprocess.Popen([BIN / "hfwa", "detect", "long", "many/", "--server", self.server.address], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
                               env=server_environment())
        self.addCleanup(run.kill)
        for _ in range(3):
            run.stdout.readline()
        told = time.monotonic()
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20 * SLOWNESS)
        self.assertEqual(run.returncode, 130, err)
        self.assertLess(time.monotonic() - told, 3 * SLOWNESS)
        self.assertLess(out.count("\n"), 400)
        self.assertEqual(self.client.health_status(), "SERVING")

    def bench(self, *arguments, code=0):
        """A short run; returns the report, whose sums hold."""
        report, = self.json_lines("bench", *arguments, code=code)
        self.assertEqual(report["intended"], report["sent"] + report["not_sent"])
        self.assertEqual(report["sent"], report["ok"] + report["failed"] + report["interrupted"])
        self.assertEqual(report["failed"], sum(f["count"] for f in report["failures"]))
        self.assertEqual(report["ok"], sum(report["batch_sizes"].values()))
        self.assertLessEqual(report["ok_in_time"], report["ok"])
        replies = sum(second["ok"] for second in report["seconds"])
        self.assertAlmostEqual(report["throughput_per_s"] * report["measured_s"], replies, places=3)
        self.assertLessEqual(report["goodput_per_s"], report["throughput_per_s"])
        self.assertGreater(report["ok"], 0)
        latency, service = report["latency_ms"], report["service_latency_ms"]
        for name in ("p50", "p90", "p95", "p99", "p99_9", "max"):
            self.assertGreaterEqual(latency[name], service[name])
        self.assertGreaterEqual(service["mean"], report["stages_ms"]["total"]["mean"])
        self.assertEqual(report["valid"], report["invalid"] == [])
        self.assertEqual(report["model_digest"], self.client.GetModel(name="models/current").digest)
        return report

    def test_bench_in_an_open_loop(self):
        for i in range(3):
            self.write(f"parts/{i}.png", images.good(i))
        products = [self.product(f"-{i}", references=1) for i in range(2)]
        before = self.server.metric_sum("hfwa_requests_total", method="Detect")
        report = self.bench(",".join(products), "parts/", "--rate", "20", "--warmup", "0", "--duration", "2", "--cold",
                            "--heatmap", "png", "--seed", "5", "--p99-target", "10", "--plot", "report.html")
        self.assertTrue(report["valid"], report)
        self.assertEqual(report["load"]["pictures"], 3)
        self.assertEqual([c["product"] for c in report["cold"]], products)
        self.assertEqual(self.server.metric_sum("hfwa_requests_total", method="Detect") - before, report["sent"] + 2)
        self.assertTrue(report["p99_within_target"])
        self.assertGreater(report["stages_ms"]["render"]["mean"], 0)
        # 40 on average, and always the same for this seed.
        self.assertEqual(report["sent"], 48)
        page = (self.folder / "report.html").read_text()
        self.assertEqual(page.count("<svg"), 4)
        for word in ("http:", "https:", "src=", "href=", "url(", "@import", "<script"):
            self.assertNotIn(word, page)

    def test_bench_in_a_closed_loop(self):
        product = self.product(references=1)
        for kind in ("jpeg", "png", "raw"):
            report = self.bench(product, "--synthetic", "96x72,64x64", "--synthetic-format", kind, "--concurrency", "2",
                                "--warmup", "0.3", "--duration", "1")
            self.assertTrue(report["valid"], report)
            self.assertEqual(report["generator"]["most_outstanding"], 2)
            self.assertEqual((report["failed"], report["not_sent"]), (0, 0))
            self.assertEqual(report["load"]["pictures"], 8)
            # Two are always there, so the latencies fill the time, and a little more: the last end after it.
            self.assertGreater(report["ok"] * report["latency_ms"]["mean"], 2 * 700)
            self.assertLess(report["ok"] * report["latency_ms"]["mean"], 2 * 1500)

    def test_bench_says_when_it_could_not_send(self):
        report = self.bench(self.product(references=1), "--synthetic", "1024x768", "--rate", "400", "--warmup", "0",
                            "--duration", "2", "--max-outstanding", "1", code=2)
        self.assertGreater(report["not_sent"], 0)
        self.assertEqual(report["generator"]["most_outstanding"], 1)
        self.assertIn("not sent", report["invalid"][0])

    def test_bench_reports_when_interrupted(self):
        run = subprocess.Popen([BIN / "hfwa", "bench", self.product(references=1), "--synthetic", "96x72", "--warmup", "0",
                                "--concurrency", "1", "--duration", "1h", "--server", self.server.address], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=server_environment())
        self.addCleanup(run.kill)
        enough = self.server.metric_sum("hfwa_requests_total", method="Detect") + 5
        deadline = time.monotonic() + 20 * SLOWNESS
        while self.server.metric_sum("hfwa_requests_total", method="Detect") < enough and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20 * SLOWNESS)
        self.assertEqual(run.returncode, 130, err)
        self.assertIn("OK replies/s", out)
        self.assertIn("note: interrupted", out)

    def test_no_server(self):
        ended = subprocess.run([BIN / "hfwa", "--server", "127.0.0.1:1", "--deadline", "2", "health"], text=True,
                               capture_output=True, timeout=30 * SLOWNESS, env=server_environment())
        self.assertEqual(ended.returncode, 69, ended.stderr)
        self.assertIn("127.0.0.1:1", ended.stderr)

    def test_wrong_usage(self):
        for arguments in (["detect"], ["nonsense"], ["product", "create", "x", "--threshold", "2"], ["--deadline", "x",
                          "health"]):
            self.run_hfwa(*arguments, code=64)
        self.run_hfwa("--help")
        self.run_hfwa("detect", "nobody", self.write("x.png", images.good(1)), code=2)

    def test_hostile_file_names_stay_on_their_line(self):
        self.client.create("names")
        self.write("n/\x1b[31mred\n.png", images.good(1))
        (self.folder / os.fsdecode(b"n/\xff.png")).write_bytes(images.good(2))
        out = self.run_hfwa("detect", "names", "n/").stdout
        self.assertNotIn("\x1b", out)
        rows = self.json_lines("detect", "names", "n/")
        self.assertEqual(len(rows), 2)
        self.json_lines("reference", "add", "names", "n/")

    def test_the_example_program(self):
        good = [self.write(f"{i}.png", images.good(i)) for i in range(1, 4)]
        part = self.write("part.png", images.bad(9))
        ended = subprocess.run([BIN / "hfwa_example_judge", self.server.address, "example", part, *good],
                               capture_output=True, text=True, timeout=60 * SLOWNESS, env=server_environment())
        self.assertEqual(ended.returncode, 0, ended.stderr)
        score, verdict = ended.stdout.split()
        reply = self.client.detect("example", images.bad(9))
        self.assertAlmostEqual(float(score), reply.score, places=4)
        self.assertEqual(verdict, self.client.enum("DetectResponse.Verdict", reply.verdict))


if __name__ == "__main__":
    main()
