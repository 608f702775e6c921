#!/usr/bin/env python3
"""scripts/fetch-clip against a server on this machine, with a small archive in place of OpenAI's."""
import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import fetch_clip  # noqa: E402
import fetching  # noqa: E402

FORMATS = ROOT / "tests/parity/fixtures/formats"
ARCHIVE = (FORMATS / "torchscript.pt").read_bytes()
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


class Hub(http.server.ThreadingHTTPServer):
    """Answers each request by the next of `answers`, functions of the handler; `asked` are the Range headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.headers.get("Range"))
            self.server.answers.pop(0)(self)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.answers, self.asked = [], []


def send(handler, status, body, headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


def serve(body=ARCHIVE, cut=None):
    """`body` as a server with Range gives it; `cut` bytes of each answer, then the connection ends."""
    def answer(handler):
        asked = handler.headers.get("Range")
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and first >= len(body):
            send(handler, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        headers = {"Content-Length": str(len(body) - first)}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        send(handler, 206 if asked else 200, body[first:][:cut], headers)
    return answer


def plain(status=200, body=ARCHIVE, **headers):
    """An answer that looks at no Range."""
    return lambda handler: send(handler, status, body, {name.replace("_", "-"): v for name, v in headers.items()})


class FetchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "clip"
        self.hub = Hub()
        thread = threading.Thread(target=self.hub.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.url = f"http://127.0.0.1:{self.hub.server_port}/clip/torchscript.pt"
        self.source = fetch_clip.Source(self.url, DIGEST, len(ARCHIVE), FORMATS / "config.json")
        self.waits = []
        sleep = mock.patch("fetching.time.sleep", self.waits.append)
        sleep.start()
        self.addCleanup(sleep.stop)

    def fetch(self, *flags, answers=(), source=None):
        """What a run printed. Every answer must have been asked for."""
        self.hub.answers, self.hub.asked = list(answers), []
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            fetch_clip.main([*map(str, flags), "--out", str(self.out)], source or self.source)
        self.assertEqual(self.hub.answers, [])
        return out.getvalue()

    def refuse(self, pattern, *flags, answers=(), source=None):
        with self.assertRaisesRegex(SystemExit, pattern):
            self.fetch(*flags, answers=answers, source=source)
        self.assertEqual(self.hub.answers, [])
        self.assertFalse((self.out / "config.json").exists())

    def left(self):
        return sorted(path.name for path in self.out.iterdir())

    def expect_whole(self, *more):
        expected = load_file(FORMATS / "expected_openai.safetensors")
        ours = load_file(self.out / "weights.safetensors")
        self.assertEqual(sorted(ours), sorted(expected))
        for name, values in expected.items():
            np.testing.assert_array_equal(ours[name], values.astype(np.float32), err_msg=name)
        self.assertEqual(self.left(), sorted(["README.md", "bpe_simple_vocab_16e6.txt.gz", "config.json",
                                              "weights.safetensors", *more]))


class Downloads(FetchTest):
    def test_a_download_makes_a_whole_directory(self):
        text = self.fetch(answers=[serve()])
        self.assertIn("ready for hfwa-train", text)
        self.expect_whole()
        config = json.loads((FORMATS / "config.json").read_text())
        self.assertEqual(json.loads((self.out / "config.json").read_text()), {**config, "name": "clip"})
        self.assertIn(DIGEST, (self.out / "README.md").read_text())

    def test_a_second_run_asks_the_server_for_nothing(self):
        self.fetch(answers=[serve()])
        before = (self.out / "weights.safetensors").stat().st_mtime_ns
        self.assertIn("is there already", self.fetch())
        self.assertEqual((self.out / "weights.safetensors").stat().st_mtime_ns, before)

    def test_another_archive_is_fetched_anew(self):
        self.fetch(answers=[serve()])
        other = (FORMATS / "state_dict.pt").read_bytes()
        self.fetch("--url", self.url, "--sha256", hashlib.sha256(other).hexdigest(), answers=[serve(other)])
        self.expect_whole()

    def test_a_cut_connection_is_resumed(self):
        self.fetch(answers=[serve(cut=1000), serve(cut=500), serve()])
        self.assertEqual(self.hub.asked, [None, "bytes=1000-", "bytes=1500-"])
        self.expect_whole()

    def test_tries_are_counted_without_progress_alone(self):
        self.fetch(answers=[*[serve(cut=100)] * (2 * fetching.TRIES), serve()])
        self.assertEqual(set(self.waits), {1})
        self.expect_whole()

    def test_the_next_run_goes_on_when_one_gave_up(self):
        stuck = [serve(cut=0)] * fetching.TRIES
        self.refuse("run it again to go on", answers=[serve(cut=1000), *stuck[1:]])
        self.assertEqual(self.waits, [1, 2, 4, 8])
        self.assertEqual(self.left(), [DIGEST[:16] + ".part"])
        self.fetch(answers=[serve()])
        self.assertEqual(self.hub.asked, ["bytes=1000-"])
        self.expect_whole()

    def test_a_server_without_range_is_read_from_the_start(self):
        self.fetch(answers=[serve(cut=1000), plain(Content_Length=str(len(ARCHIVE)))])
        self.assertEqual(self.hub.asked, [None, "bytes=1000-"])
        self.expect_whole()

    def test_a_file_of_unknown_length_is_read_to_its_end(self):
        self.fetch(answers=[plain()])
        self.expect_whole()

    def test_a_whole_part_is_used_when_nothing_lies_behind_it(self):
        self.out.mkdir()
        (self.out / (DIGEST[:16] + ".part")).write_bytes(ARCHIVE)
        self.fetch(answers=[serve()])
        self.expect_whole()

    def test_errors_that_may_pass_are_tried_again(self):
        self.fetch(answers=[plain(503, b""), plain(429, b""), serve()])
        self.expect_whole()


class Refusals(FetchTest):
    def test_a_wrong_digest_leaves_nothing(self):
        wrong = ARCHIVE[:-1] + bytes([ARCHIVE[-1] ^ 1])
        self.refuse("not the file that is wanted", answers=[serve(wrong)])
        self.assertEqual(self.left(), [])

    def test_a_part_of_another_file_leaves_nothing(self):
        self.out.mkdir()
        (self.out / (DIGEST[:16] + ".part")).write_bytes(b"x" * 1000)
        self.refuse("not the file that is wanted", answers=[serve()])
        self.assertEqual(self.left(), [])

    def test_too_large_a_file_leaves_nothing(self):
        small = dataclasses.replace(self.source, size=len(ARCHIVE) - 1)
        for answers in ([serve()], [serve(cut=1000)], [plain()]):
            self.refuse("more than", answers=answers, source=small)
            self.assertEqual(self.left(), [])

    def test_an_endless_answer_is_left(self):
        ended = threading.Event()

        def endless(handler):
            with contextlib.suppress(ConnectionError):
                send(handler, 200, b"", {})
                while True:
                    handler.wfile.write(bytes(1 << 16))
            ended.set()

        self.refuse("more than", answers=[endless])
        self.assertTrue(ended.wait(60))
        self.assertEqual(self.left(), [])

    def test_what_is_not_there_is_not_tried_again(self):
        for status in (404, 403, 410, 416):
            self.refuse(str(status), answers=[plain(status, b"")])
            self.assertEqual(self.left(), [])

    def test_another_range_than_asked_for_is_refused(self):
        for value in ("bytes 999-1000/2000", "bytes 1000-1001", "x", "bytes 1000-1001/" + "9" * 99):
            self.refuse("another part", answers=[serve(cut=1000), plain(206, b"x", Content_Range=value)])
            (self.out / (DIGEST[:16] + ".part")).unlink()

    def test_addresses_without_encryption_are_refused(self):
        for url in ("http://example.com/a.pt", "file:///etc/passwd", "ftp://localhost/a.pt", "https:///a.pt", "a.pt",
                    "https://[x/a.pt", "https://example.com/a b"):
            self.refuse("https://", "--url", url)

    def test_redirects_are_followed_but_not_to_such_an_address(self):
        self.refuse("https://", answers=[plain(302, b"", Location="http://example.com/a.pt")])
        self.refuse("not allowed", answers=[plain(302, b"", Location="file:///etc/passwd")])
        self.fetch(answers=[plain(302, b"", Location=self.url + "/other"), serve()])
        self.expect_whole()

    def test_a_digest_needs_an_address(self):
        for flags in (("--sha256", "0" * 64), ("--url", self.url, "--sha256", "zz"), ("--url", self.url, "--from", "x"),
                      ("--plain", "--learned", "x")):
            with contextlib.redirect_stderr(io.StringIO()):
                self.refuse("2", *flags)

    def test_what_is_no_clip_is_refused(self):
        for data, pattern in ((b"no zip", "not a checkpoint"), ((FORMATS / "lightning.ckpt").read_bytes()[:5000], "checkpoint")):
            flags = ("--url", self.url, "--sha256", hashlib.sha256(data).hexdigest())
            self.refuse(pattern, *flags, answers=[serve(data)])


class AtHand(FetchTest):
    def test_a_file_or_its_folder_needs_no_server(self):
        for path in (FORMATS / "torchscript.pt", FORMATS):
            self.fetch("--from", path)
            self.expect_whole()
            (self.out / "weights.safetensors").unlink()

    def test_another_file_is_refused(self):
        self.refuse("not the file that is wanted", "--from", FORMATS / "state_dict.pt")
        self.refuse("is missing", "--from", self.folder)
        self.assertEqual(self.left(), [])


class Learnt(FetchTest):
    def test_a_learnt_part_is_added_later(self):
        self.fetch("--from", FORMATS)
        self.assertIn("is ready\n", self.fetch("--learned", FORMATS / "lightning.ckpt"))
        self.expect_whole("learned.safetensors")
        expected = load_file(FORMATS / "expected_learned.safetensors")
        ours = load_file(self.out / "learned.safetensors")
        self.assertEqual(sorted(ours), sorted(expected))
        for name, values in expected.items():
            np.testing.assert_array_equal(ours[name], values.astype(np.float32), err_msg=name)
        again = self.fetch("--learned", FORMATS / "lightning.ckpt")
        self.assertIn("learned.safetensors is there already", again)

    def test_one_over_other_weights_is_refused(self):
        self.fetch("--from", FORMATS)
        (self.out / "config.json").unlink()
        weights = load_file(self.out / "weights.safetensors")
        weights["visual.proj"][0, 0] += 1
        save_file(weights, self.out / "weights.safetensors", metadata={"archive_sha256": DIGEST})
        self.refuse("other weights than these: visual.proj$", "--learned", FORMATS / "lightning.ckpt")
        self.assertNotIn("learned.safetensors", self.left())

    def test_a_checkpoint_without_one_is_refused(self):
        self.refuse("nothing learnt", "--from", FORMATS, "--learned", FORMATS / "state_dict.pt")
        self.refuse("is missing", "--from", FORMATS, "--learned", self.folder / "none")

    def test_weights_do_not_change_below_a_learnt_part(self):
        self.fetch("--from", FORMATS, "--learned", FORMATS / "lightning.ckpt")
        (self.out / "config.json").unlink()
        self.refuse("over other weights", "--url", self.url, "--sha256", "0" * 64)
        self.refuse("has a learnt part", "--plain")
        self.fetch()
        self.expect_whole("learned.safetensors")

    def test_a_plain_one_has_nothing_to_learn(self):
        self.assertIn("CLIP alone", self.fetch("--plain", "--from", FORMATS))
        self.expect_whole()
        config = json.loads((self.out / "config.json").read_text())
        self.assertEqual((config["adapter"], config["fusion_dim"], config["prompt"]["type"], config["vision"]["width"]),
                         ({"type": "none"}, None, "fixed", 64))


class Folder(FetchTest):
    def test_a_folder_that_cannot_be_written_is_named(self):
        self.out.write_text("a file")
        self.refuse("clip", "--from", FORMATS)

    def test_an_interrupted_run_says_that_it_can_go_on(self):
        with mock.patch("fetching.file_sha256", side_effect=KeyboardInterrupt):
            self.refuse("go on", answers=[serve()])
        self.assertEqual(self.left(), [DIGEST[:16] + ".part"])


class Command(unittest.TestCase):
    def test_the_archive_is_the_one_whose_address_names_its_digest(self):
        source = fetch_clip.VIT_L_14_336
        self.assertEqual(source.url.split("/")[-2:], [source.sha256, "ViT-L-14-336px.pt"])

    def test_help_needs_nothing(self):
        done = subprocess.run([ROOT / "scripts/fetch-clip", "--help"], capture_output=True, text=True, check=True)
        self.assertIn("--learned", done.stdout)


if __name__ == "__main__":
    unittest.main(buffer=True)
