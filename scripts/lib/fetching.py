"""What the scripts that make model directories share: messages, digests, whole files or none, downloads that go on.

A download is bounded in size, speaks HTTPS (plain HTTP to this machine alone, redirects included), goes on where a
cut connection left it, in this run or the next, and counts only when its SHA-256 is the expected one.
"""
import hashlib
import http.client
import json
import pathlib
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PROGRAM = pathlib.Path(sys.argv[0]).stem.replace("_", "-")
TIMEOUT_S = 60  # for a connection, and for each piece of an answer
TRIES = 5  # in a row without a byte of progress
PIECE = 1 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PASSING_ERRORS = (408, 425, 429)  # of 4xx; and all of 5xx


def fail(message):
    sys.exit(f"{PROGRAM}: {message}")


def say(message):
    print(f"{PROGRAM}: {message}", flush=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def checked(path, digest):
    """The path, if that is the file's SHA-256."""
    say(f"checking {path.name}")
    if file_sha256(path) != digest:
        fail(f"{path}: is not the file that is wanted (sha256 {digest})")
    return path


def write_whole(path, write):
    """`write(temporary)` makes the file; it has its name only once it is whole."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8"))


# Downloads -----------------------------------------------------------------------------------------

class Passing(Exception):
    """What may be gone at the next try."""


def check_url(url):
    try:
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https" or parts.scheme == "http" and parts.hostname in LOOPBACK
        fits = secure and parts.hostname and re.fullmatch(r"[!-~]+", url)
    except ValueError:
        fits = False
    if not fits:
        fail(f"{url}: must be an address that begins with https:// (http:// to this machine alone)")


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, message, headers, url):
        check_url(url)
        return super().redirect_request(request, answer, code, message, headers, url)


def opener(url):
    handlers = [CheckedRedirects()]
    if urllib.parse.urlsplit(url).hostname in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def start_of(answer, wanted):
    """(first byte, size of the whole file or None) of what an answer holds."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", answer.headers.get("Content-Range", ""))
        if not match or int(match[1]) != wanted:
            fail("the server answers with another part of the file than was asked for")
        return wanted, None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,15}", length) else None


def receive(url, part, limit):
    """One try: asks for what `part` lacks and appends it. Passing, if the answer ends before the file does."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "hfwa", **({"Range": f"bytes={have}-"} if have else {})})
    with opener(url).open(request, timeout=TIMEOUT_S) as answer:
        have, total = start_of(answer, have)
        if total is not None and total > limit:
            part.unlink(missing_ok=True)
            fail(f"{url}: has {total:,} bytes, more than the {limit:,} that are expected")
        said = time.monotonic()
        with open(part, "r+b" if have else "wb") as file:
            file.seek(have)
            while piece := answer.read1(PIECE):
                have += len(piece)
                if have > limit:
                    break
                file.write(piece)
                if time.monotonic() - said > 5:
                    said = time.monotonic()
                    say(f"{have / 1e6:,.0f}" + (f" of {total / 1e6:,.0f}" if total else "") + " MB")
    if have > limit:
        part.unlink()
        fail(f"{url}: has more than the {limit:,} bytes that are expected")
    if total is not None and have < total:
        raise Passing(f"the connection ended after {have:,} of {total:,} bytes")


def attempt(url, part, limit):
    """`receive`, with errors sorted into those that end the run and those that may pass."""
    try:
        receive(url, part, limit)
    except urllib.error.HTTPError as error:
        # Nothing lies behind what is there: whole, or another file's. The digest decides.
        if error.code == 416 and part.exists():
            return
        if error.code < 500 and error.code not in PASSING_ERRORS:
            fail(f"{url}: the server answers {error.code} {error.reason}")
        raise Passing(f"the server answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as error:
        raise Passing(getattr(error, "reason", None) or error) from None


def download(url, part, digest, limit):
    """Makes `part` the file of that digest, at most `limit` bytes. What a failed run has of it stays for the next
    one to go on from, unless it is not the file's."""
    check_url(url)
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.exists():
        say(f"going on after {part.stat().st_size / 1e6:,.0f} MB")
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            attempt(url, part, limit)
            break
        except Passing as error:
            after = part.stat().st_size if part.exists() else 0
            tries = 1 if after > before else tries + 1
            if tries == TRIES:
                fail(f"{url}: {error}; run it again to go on, or fetch the file elsewhere and give it with --from")
            say(f"{error}; trying again")
            time.sleep(2 ** (tries - 1))
    if file_sha256(part) != digest:
        part.unlink()
        fail(f"{url}: is not the file that is wanted (sha256 {digest})")
