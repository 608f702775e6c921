"""Starts the real hfwa-server and speaks to it as a stranger would: through server reflection.

No generated code is used, so what these tests know of the contract is what a server tells.
"""

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # noqa: E402
from google.protobuf import descriptor_pool, message_factory  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflection  # noqa: E402

BIN = pathlib.Path(os.environ["HFWA_TEST_BIN"])
MODEL = pathlib.Path(os.environ["HFWA_TEST_MODEL"])
SANITIZED = os.environ.get("HFWA_TEST_SANITIZE", "") != ""
# Limits of time are stretched where a sanitizer slows everything.
SLOWNESS = 10 if SANITIZED else 1
START_LIMIT = 30 * SLOWNESS
CALL_LIMIT = 30 * SLOWNESS

# What docs/configuration.md lists.
EXIT_USAGE, EXIT_DATA, EXIT_LOCKED, EXIT_CONFIGURATION = 64, 65, 75, 78

SERVICES = ("ProductService", "DetectionService", "ModelService")
READY = re.compile(r"hfwa-server ready grpc=(\S+) metrics=(\S+)\n")


def server_environment(extra=None):
    """The test's environment without what would configure a server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HFWA_")}
    return {**kept, **(extra or {})}


class ServerDied(Exception):
    def __init__(self, code, log):
        super().__init__(f"hfwa-server ended with {code} before it was ready; its log ends:\n{log[-3000:]}")
        self.code = code
        self.log = log


class Server:
    """A server process on a data directory that outlives it. Start it from the main thread."""

    def __init__(self, *flags, folder=None, model=MODEL, environment=None, start=True):
        self.owns_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="hfwa-test-"))
        self.data = self.folder / "data"
        self.log_path = self.folder / "server.log"
        self.model = model
        self.flags = list(flags)
        self.environment = environment
        self.process = None
        self._clients = []
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def command(self):
        settings = {"--listen": "127.0.0.1:0", "--metrics-listen": "127.0.0.1:0", "--model": str(self.model),
                    "--data": str(self.data), "--drain-grace": "200ms"}
        settings.update(zip(self.flags[::2], self.flags[1::2]))
        return [str(BIN / "hfwa-server"), *(word for pair in settings.items() for word in pair)]

    def launch(self):
        """Starts the process and returns at once."""
        log = open(self.log_path, "ab")
        # A server must not outlive a test that was killed.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.command()], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, env=server_environment(self.environment))
        log.close()

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self):
        out = self.process.stdout
        deadline = time.monotonic() + START_LIMIT
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([out], [], [], max(0, deadline - time.monotonic()))[0]:
                self.kill()
                raise AssertionError(f"not ready in {START_LIMIT} s; log:\n{self.log_text()}")
            got = os.read(out.fileno(), 4096)
            if not got:
                raise ServerDied(self.wait(), self.log_text())
            text += got
        match = READY.fullmatch(text.decode())
        assert match, f"first line of stdout is {text!r}"
        self.address, self.metrics_address = match.groups()

    def client(self):
        made = Client(self.address)
        self._clients.append(made)
        return made

    def send(self, signal_number):
        self.process.send_signal(signal_number)

    def wait(self, timeout=60):
        code = self.process.wait(timeout)
        self._drop_clients()
        return code

    def kill(self):
        """As power loss looks to the process: no handler runs."""
        self.process.kill()
        return self.wait()

    def terminate(self):
        self.send(signal.SIGTERM)
        return self.wait()

    def restart(self):
        code = self.terminate()
        assert code == 0, f"ended with {code}; log:\n{self.log_text()[-4000:]}"
        return self.start()

    def alive(self):
        return self.process.poll() is None

    def _drop_clients(self):
        while self._clients:
            self._clients.pop().close()
        self.process.stdout.close()

    def close(self):
        if self.process is not None:
            if self.alive():
                self.process.kill()
            self.wait()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # What it tells -------------------------------------------------------------------------------

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_records(self):
        """Every line of the log as an object; a line that is no JSON object fails."""
        records = []
        for line in self.log_path.read_bytes().split(b"\n"):
            if not line:
                continue
            record = json.loads(line.decode("utf-8"))
            assert isinstance(record, dict) and record["msg"] and record["level"], line
            records.append(record)
        return records

    def metrics_text(self):
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=10) as reply:
            return reply.read().decode()

    def metrics(self):
        """{'name{label="x"}': value}; labels in the order in which the server writes them."""
        values = {}
        for line in self.metrics_text().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def metric_sum(self, name, **labels):
        """Sum over the series of that name that carry the labels."""
        total = 0.0
        for series, value in self.metrics().items():
            base, _, rest = series.partition("{")
            if base == name and all(f'{k}="{v}"' in rest for k, v in labels.items()):
                total += value
        return total

    def _status_kib(self, field):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {field} in /proc/PID/status")

    def rss(self):
        return self._status_kib("VmRSS") * 1024

    def peak_rss(self):
        return self._status_kib("VmHWM") * 1024

    def reset_peak_rss(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def object_files(self):
        """SHA-256 that the name says, of every file below objects/."""
        folder = self.data / "objects"
        return {"".join(p.relative_to(folder).parts): p for p in folder.rglob("*") if p.is_file()}


class Failure(AssertionError):
    """An RPC's error with its google.rpc details."""

    def __init__(self, code, message, details):
        self.code, self.message = code, message
        self.details = {}
        for packed in details:
            name = packed.type_url.rpartition(".")[2]
            made = getattr(error_details_pb2, name)()
            packed.Unpack(made)
            self.details[name] = made
        info = self.details.get("ErrorInfo")
        self.reason = info.reason if info else None
        self.domain = info.domain if info else None
        bad = self.details.get("BadRequest")
        self.fields = [v.field for v in bad.field_violations] if bad else []
        super().__init__(f"{code.name} {self.reason} {self.fields}: {message}")

    @classmethod
    def of_rpc(cls, error):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                assert status.code == error.code().value[0], "status and details differ"
                return cls(error.code(), error.details(), status.details)
        return cls(error.code(), error.details() or "", ())

    @classmethod
    def of_status(cls, status):
        """Of a google.rpc.Status of the reflected pool."""
        code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
        plain = status_pb2.Status.FromString(status.SerializeToString())
        return cls(code, plain.message, plain.details)


class Client:
    """Calls by name; requests are built from keywords: client.GetProduct(name="products/a").

    Errors are raised as Failure.
    """

    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])
        database = reflection.ProtoReflectionDescriptorDatabase(self.channel)
        self.services = set(database.get_services())
        self.pool = descriptor_pool.DescriptorPool(database)
        self.methods = {}
        for service in SERVICES:
            for method in self.pool.FindServiceByName(f"hfwa.v1.{service}").methods:
                self.methods[method.name] = method
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def close(self):
        self.channel.close()

    def type(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"hfwa.v1.{name}"))

    def enum(self, name, value):
        return self.pool.FindEnumTypeByName(f"hfwa.v1.{name}").values_by_number[value].name

    def stub(self, name):
        """The callable of a method, with the request's class."""
        method = self.methods[name]
        request = message_factory.GetMessageClass(method.input_type)
        reply = message_factory.GetMessageClass(method.output_type)
        kind = (("stream" if method.client_streaming else "unary") + "_" +
                ("stream" if method.server_streaming else "unary"))
        path = f"/{method.containing_service.full_name}/{name}"
        return getattr(self.channel, kind)(path, request.SerializeToString, reply.FromString), request

    def raw(self, name):
        """The callable of a unary method that takes and gives bytes."""
        return self.channel.unary_unary(
            f"/{self.methods[name].containing_service.full_name}/{name}", None, None)

    def __getattr__(self, name):
        if name.startswith("_") or name not in self.__dict__.get("methods", {}):
            raise AttributeError(name)
        call, request_type = self.stub(name)

        def run(timeout=CALL_LIMIT, metadata=None, **fields):
            with rpc_errors():
                return call(request_type(**fields), timeout=timeout, metadata=metadata)

        return run

    def add(self, product, images, request_id="", timeout=2 * CALL_LIMIT):
        """AddReferences. An image is bytes, (bytes, source_name) or a dict for Item."""
        call, message = self.stub("AddReferences")

        def messages():
            yield message(config={"parent": f"products/{product}", "request_id": request_id})
            for image in images:
                yield message(item=item_of(image))

        with rpc_errors():
            return call(messages(), timeout=timeout)

    def detect(self, product, image, timeout=CALL_LIMIT, **fields):
        image = {"content": image} if isinstance(image, bytes) else image
        return self.Detect(product=f"products/{product}", image=image, timeout=timeout, **fields)

    def detect_stream(self, requests, timeout=2 * CALL_LIMIT):
        """Pairs (id, DetectRequest fields) to {id: reply}; replies as they are on the wire."""
        call, message = self.stub("DetectStream")
        with rpc_errors():
            return [r for r in call((message(id=i, request=f) for i, f in requests), timeout=timeout)]

    def health_status(self, service=""):
        reply = self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)

    def create(self, product, **fields):
        return self.CreateProduct(product_id=product, product=fields)

    def list_references(self, product, page_size=1000):
        found, token = [], ""
        while True:
            page = self.ListReferences(parent=f"products/{product}", page_size=page_size, page_token=token)
            found.extend(page.references)
            token = page.next_page_token
            if not token:
                return found


def item_of(image):
    if isinstance(image, bytes):
        return {"image": {"content": image}}
    if isinstance(image, tuple):
        return {"image": {"content": image[0]}, "source_name": image[1]}
    return image


@contextlib.contextmanager
def rpc_errors():
    try:
        yield
    except grpc.RpcError as error:
        raise Failure.of_rpc(error) from error


def number_of(revision):
    """Of products/{product}/revisions/{n}."""
    return int(revision.rpartition("/")[2])


class TestCase(unittest.TestCase):
    maxDiff = 4000

    def fails(self, code, call, *arguments, reason=None, field=None, **fields):
        """The call fails with the code, or one of several; returns the Failure."""
        try:
            reply = call(*arguments, **fields)
        except Failure as failure:
            self.check_failure(failure, code, reason=reason, field=field)
            return failure
        self.fail(f"OK instead of {code}: {str(reply)[:300]}")

    def check_failure(self, failure, code, reason=None, field=None):
        self.assertIn(failure.code.name, [code] if isinstance(code, str) else code, failure)
        self.assertEqual(failure.domain, "hfwa.dev", failure)
        if reason is not None:
            self.assertEqual(failure.reason, reason, failure)
        if field is not None:
            self.assertIn(field, failure.fields, failure)
        if code == "INVALID_ARGUMENT":
            self.assertTrue(failure.message)

    def assert_same_bits(self, a, b):
        self.assertEqual(float(a).hex(), float(b).hex())

    def assert_same_message(self, a, b):
        """Equal, also where they come from two clients, whose classes differ."""
        if a.SerializeToString(deterministic=True) != b.SerializeToString(deterministic=True):
            self.fail(f"{a}\nis not\n{b}")

    def assert_same_messages(self, a, b):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assert_same_message(x, y)


class ServerTestCase(TestCase):
    """One server for all tests of the class."""

    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags)
        cls.addClassCleanup(cls.server.close)
        cls.client = cls.server.client()

    def product(self, suffix="", references=0, **fields):
        """A product named after the test, with so many references."""
        name = re.sub(r"[^a-z0-9]+", "-", self.id().rpartition(".")[2].lower())[:50].strip("-") + suffix
        self.client.create(name, **fields)
        if references:
            from images import good_parts
            self.client.add(name, good_parts(references))
        return name


def main():
    unittest.main(verbosity=2)
