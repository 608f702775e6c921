"""Clients that are silent, slow, or never read: what they hold is bounded, and the others don't notice.

The hostile ones speak HTTP/2 by hand, since no library stops in the middle of a message. HFWA_SLOW_CLIENTS is how
many there are, HFWA_SLOW_SECONDS how long they stay.
"""

import os
import queue
import resource
import select
import socket
import struct
import threading
import time

import images
from harness import SANITIZED, SLOWNESS, Failure, Server, ServerTestCase, TestCase, grpc, main

COUNT = int(os.environ.get("HFWA_SLOW_CLIENTS", "300"))
SECONDS = float(os.environ.get("HFWA_SLOW_SECONDS", "8"))
IDLE = 2.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name, value):
    """A literal without indexing and without Huffman (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Raw:
    """A connection that begins a Detect of a large image and sends what it is told to."""

    SIZE = 30_000_000  # what the message's length says

    def __init__(self, address, receive_window=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        settings = b"" if receive_window is None else struct.pack(">HI", 4, receive_window)
        headers = b"".join(header(*pair) for pair in (
            (":method", "POST"), (":scheme", "http"), (":path", "/hfwa.v1.DetectionService/Detect"),
            (":authority", address), ("content-type", "application/grpc"), ("te", "trailers")))
        self.socket.sendall(PREFACE + frame(4, 0, 0, settings) + frame(4, 1, 0, b"") + frame(1, 4, 1, headers))

    def begin(self, sent):
        """The message's head and so many bytes of it."""
        data = b"\0" + struct.pack(">I", self.SIZE) + b"\x12" + b"\x80" * min(sent, 60_000)
        self.socket.settimeout(10)
        for at in range(0, len(data), 16_000):
            self.socket.sendall(frame(0, 0, 1, data[at:at + 16_000]))

    def dribble(self):
        """One byte; False if the server has hung up."""
        try:
            self.socket.sendall(frame(0, 0, 1, b"\x80"))
            return self.open()
        except OSError:
            return False

    def open(self):
        """Whether the server still holds the connection. What it sent is thrown away."""
        try:
            while select.select([self.socket], [], [], 0)[0]:
                if not self.socket.recv(1 << 16):
                    return False
            return True
        except OSError:
            return False

    def close(self):
        self.socket.close()


class Silent(ServerTestCase):
    """Callers whose gRPC is alive and who do nothing."""

    flags = ("--idle-timeout", f"{IDLE:g}s")

    def check_idle(self, error, start):
        failure = Failure.of_rpc(error)
        self.check_failure(failure, "ABORTED", reason="IDLE")
        took = time.monotonic() - start
        self.assertGreaterEqual(took, IDLE * 0.9)
        self.assertLessEqual(took, 2 * IDLE * SLOWNESS)

    def test_silent_uploads_give_their_places_back(self):
        c = self.client
        name = self.product(references=1)
        revision = c.GetProduct(name=f"products/{name}").revision
        call, message = c.stub("AddReferences")
        for first in ([], [message(config={"parent": f"products/{name}"})],
                      [message(config={"parent": f"products/{name}"}),
                       message(item={"image": {"content": images.good(5)}})]):
            feeds = [queue.SimpleQueue() for _ in range(16)]
            start = time.monotonic()
            pending = []
            for feed in feeds:
                for each in first:
                    feed.put(each)
                pending.append(call.future(iter(feed.get, None), timeout=60 * SLOWNESS))
            for future in pending:
                error = future.exception()
                self.assertIsNotNone(error)
                if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:  # one of the last round is ending yet
                    self.check_idle(error, start)
            for feed in feeds:
                feed.put(None)
        # Nothing of them was registered, and the places are free.
        self.assertEqual(c.GetProduct(name=f"products/{name}").revision, revision)
        self.assertEqual(c.add(name, [images.good(6)]).product.reference_count, 2)

    def test_an_upload_with_pauses_goes_on(self):
        c = self.client
        name = self.product()
        call, message = c.stub("AddReferences")

        def slowly():
            yield message(config={"parent": f"products/{name}"})
            for i in range(4):
                time.sleep(0.6 * IDLE)
                yield message(item={"image": {"content": images.good(i)}})

        self.assertEqual(call(slowly(), timeout=60 * SLOWNESS).product.reference_count, 4)

    def test_a_silent_detect_stream_ends_and_a_busy_one_does_not(self):
        c = self.client
        name = self.product(references=1)
        call, message = c.stub("DetectStream")
        feed = queue.SimpleQueue()
        replies = call(iter(feed.get, None), timeout=60 * SLOWNESS)
        for i in range(3):
            feed.put(message(id=str(i), request={"product": f"products/{name}",
                                                 "image": {"content": images.good(9)}}))
            self.assertEqual(next(replies).WhichOneof("result"), "response")
            time.sleep(0.6 * IDLE)
        start = time.monotonic() - 0.6 * IDLE
        with self.assertRaises(grpc.RpcError) as caught:
            next(replies)
        self.check_idle(caught.exception, start)
        feed.put(None)


class Hostile(TestCase):
    """Connections of people who mean no good, or whose network is broken."""

    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * COUNT + 200
        if hard != resource.RLIM_INFINITY and hard < wanted:
            self.skipTest(f"at most {hard} open files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))

    def healthy(self, server, seconds):
        """Milliseconds of each of a healthy client's calls."""
        client = server.client()
        picture = images.good(9)
        took = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            client.detect("part", picture)
            took.append((time.monotonic() - start) * 1e3)
            time.sleep(0.01)
        return took

    def test_a_healthy_client_does_not_notice_them(self):
        with Server("--keepalive-time", "2s", "--keepalive-timeout", "1s", "--idle-timeout", f"{IDLE:g}s",
                    "--log-level", "warning") as server:
            client = server.client()
            client.create("part")
            client.add("part", images.good_parts(4))
            self.healthy(server, 1)
            alone = self.healthy(server, SECONDS)
            rss = server.rss()
            server.reset_peak_rss()
            thirds = [COUNT // 3] * 3
            stopped = [Raw(server.address) for _ in range(thirds[0])]
            for raw in stopped:
                raw.begin(60_000)
            dribbling = [Raw(server.address) for _ in range(thirds[1])]
            for raw in dribbling:
                raw.begin(1)
            never_read = [Raw(server.address, receive_window=0) for _ in range(thirds[2])]
            for raw in never_read:
                raw.begin(10)
            over = threading.Event()

            def dribble():
                while not over.wait(1):
                    for raw in dribbling:
                        raw.dribble()

            dribbler = threading.Thread(target=dribble, daemon=True)
            dribbler.start()
            beside = self.healthy(server, SECONDS)
            left = sum(raw.open() for raw in stopped)
            slow = sum(raw.open() for raw in dribbling)
            over.set()
            dribbler.join()
            peak = server.peak_rss()
            text = (f"{3 * (COUNT // 3)} hostile connections: of {len(stopped)} that stopped {left} are left, of "
                    f"{len(dribbling)} that dribble {slow}; healthy p50 {middle(alone):.2f} -> {middle(beside):.2f} ms, "
                    f"p99 {quantile(alone):.2f} -> {quantile(beside):.2f} ms; RSS {rss / 2**20:.0f} MiB, "
                    f"at most {peak / 2**20:.0f} MiB")
            print(text, flush=True)
            for raw in stopped + dribbling + never_read:
                raw.close()
            # Dead peers are found: they answer no ping.
            self.assertEqual(left, 0, text)
            self.assertEqual(server.alive(), True)
            if SANITIZED:
                return
            # What one may hold is its flow-control window.
            self.assertLess(peak - rss, 64 << 20, text)
            # The p99 of a few hundred calls on a busy machine is noise: the short form looks at the median.
            if SECONDS >= 60:
                self.assertLessEqual(quantile(beside), 1.2 * quantile(alone), text)
            self.assertLessEqual(middle(beside), 1.5 * middle(alone) + 2, text)

    def test_replies_that_nobody_takes_end_their_stream(self):
        with Server("--idle-timeout", f"{IDLE:g}s") as server:
            client = server.client()
            client.create("part")
            client.add("part", images.good_parts(1))
            call, message = client.stub("DetectStream")
            request = {"product": "products/part", "image": {"content": images.good(9)},
                       "outputs": {"map": True, "level_maps": True, "map_format": "FLOAT32", "map_size": "IMAGE"}}
            large = images.encode(images.part(1, width=900, height=700))
            request["image"] = {"content": large}
            stuck = [call((message(id=str(i), request=request) for i in range(32)), timeout=60 * SLOWNESS)
                     for _ in range(4)]  # and nobody reads
            deadline = time.monotonic() + 15 * SLOWNESS
            while server.metric_sum("hfwa_requests_total", method="DetectStream") < 4:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            time.sleep(3 * IDLE * SLOWNESS)
            self.assertTrue(0 <= client.detect("part", images.good(9)).score <= 1)
            # The streams are gone: what they had left unread is not there.
            for replies in stuck:
                with self.assertRaises(grpc.RpcError) as caught:
                    for _ in range(33):
                        next(replies)
                self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
            self.assertEqual(server.metrics()['hfwa_queue_images{lane="live"}'], 0)


def middle(values):
    return sorted(values)[len(values) // 2]


def quantile(values, share=0.99):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
