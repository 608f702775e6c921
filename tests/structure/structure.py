#!/usr/bin/env python3
"""Checks how the repository is cut: include directions, link edges, READMEs, file sizes, words.

structure.py [--root FOLDER]   prints each violation as FILE:LINE: text; exits 1 when there is one.
Standard library only. The rules are the tables below; change them together with the rooms.
"""
import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

# Room -> rooms it may include besides itself. A file belongs to the longest room that starts its path.
BASE = {"core/base"}
MODEL_ROW = {"core/kernels", "core/model", "core/image"}
ENGINE_ROW = {"core/batching", "core/scoring", "core/bank", "core/store"}
CORE = BASE | MODEL_ROW | ENGINE_ROW | {"core/engine"}
ROOMS = {
    "core/base": set(),
    "core/image": BASE,
    "core/kernels": BASE,
    "core/model": BASE | {"core/kernels"},
    "core/bank": BASE | MODEL_ROW,
    "core/scoring": BASE | MODEL_ROW,
    "core/store": BASE | MODEL_ROW,
    "core/batching": BASE,
    "core/engine": CORE,
    "server": CORE | {"proto"},
    "lab": CORE,
    "client": BASE | {"proto"},
    "tests": CORE | {"server", "lab", "client", "proto"},
}

TORCH = r"(ATen|c10|torch|caffe2)/"
TORCH_ROOMS = ("core/kernels", "core/model", "core/bank", "core/scoring", "core/engine", "lab", "tests")
# (pattern of the header, rooms that may include it, what to say)
THIRD_PARTY = [
    (r"torch/torch\.h$", (), "costs 16 s a file: include ATen headers"),
    (r"absl/log/", (), "this Abseil release has none"),
    (TORCH, TORCH_ROOMS, "tensors stay in the model's rooms"),
    (r"opencv2/", ("core/image", "tests"), "OpenCV stays in core/image"),
    (r"(jpeglib|jerror|png|tiffio|webp/\w+|turbojpeg)\.h$", ("core/image", "client", "tests"),
     "codecs stay in core/image; the client draws overlays with its own"),
    (r"sqlite3\.h$", ("core/store", "tests"), "SQLite stays in core/store"),
    (r"(grpc|grpcpp|grpc\+\+)/", ("server", "client", "tests"), "core knows no gRPC"),
    (r"google/protobuf/", ("server", "client", "tests"), "core knows no messages"),
    (r"prometheus/", ("server", "tests"), "metrics stay in server"),
    (r"(hfwa|google|grpc)/.*\.pb\.h$", ("server", "client", "tests"), "only server and client speak the contract"),
]
# The same for targets in CMake.
LINKS = [
    (r"(torch_cpu|c10)$", TORCH_ROOMS),
    (r"opencv_\w+$", ("core/image", "tests")),
    (r"SQLite::SQLite3$", ("core/store", "tests")),
    (r"(gRPC::|protobuf::|hfwa_proto$)", ("server", "client", "tests", "proto")),
    (r"prometheus-cpp::", ("server", "tests")),
]

CODE = (".h", ".cc", ".cpp", ".hpp", ".cu", ".cuh")
LINES_MAX = 800
README_LINES_MAX = 10
FILE_BYTES_MAX = 8 << 20
# Character classes keep this file from matching itself.
WORDS = [
    (r"(?<![\w.$}])/wor[k]/", "a path of one machine"),
    (r"(?<![\w.$}])/(hom[e]|roo[t])/\w", "a path of one machine"),
    (r"\b(extra-)?index-ur[l]\b", "a package index: the user's configuration decides it"),
    (r"https?://[\w.-]*(artifactor[y]|nexu[s]|\.interna[l]|\.corp\b)", "a private host"),
]
WORDS_EXEMPT = ("LICENSE",)


def files_of(root):
    """What git would commit: tracked or not ignored. Without git, everything but build folders."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, stdout=subprocess.PIPE).stdout
        names = {name.decode() for name in listed.split(b"\0") if name}
        return sorted(name for name in names if (root / name).is_file())
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", "out", ".git", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(found)


def room_of(name):
    best = None
    for room in list(ROOMS) + ["proto"]:
        if name.startswith(room + "/") and (best is None or len(room) > len(best)):
            best = room
    return best


def strip_comments(text):
    """Blanks comments but keeps the lines; good enough for #include lines."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"^\s*//.*$", "", text, flags=re.M)


def check_includes(root, names):
    known = set(names)
    for name in names:
        room = room_of(name)
        if not name.endswith(CODE) or room is None or room == "proto":
            continue
        text = strip_comments((root / name).read_text(errors="replace"))
        if name.endswith((".h", ".hpp", ".cuh")) and "#pragma once" not in text:
            yield name, 1, "header without #pragma once"
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            quote, header = match.groups()
            yield from ((name, number, f'"{header}": {why}')
                        for why in forbidden(room, header, quote == '"', known))


def forbidden(room, header, quoted, known):
    for pattern, allowed, why in THIRD_PARTY:
        if re.match(pattern, header):
            if room not in allowed:
                yield f"{room} may not include it ({why})"
            return
    if not quoted:
        if room_of(header) is not None and header in known:
            yield "a header of ours, to be included in quotes"
        return
    if header.startswith("absl/"):
        return
    target = room_of(header)
    if target is None or header not in known:
        yield "not a file by its path from the root"
    elif target != room and target not in ROOMS[room]:
        yield f"{room} may not include {target} (includes go down only)"


def check_links(root, names):
    owner = {}
    calls = []
    for name in names:
        if not name.endswith("CMakeLists.txt") or room_of(name) is None:
            continue
        room = room_of(name)
        text = re.sub(r"#.*$", "", (root / name).read_text(), flags=re.M)
        # Every hfwa_library, hfwa_program, hfwa_test; and target_link_libraries.
        for match in re.finditer(
                r"\b(hfwa_(?:library|program|test)|target_link_libraries)\s*\(\s*(\S+)([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
            command, target, rest = match.groups()
            words = rest.split()
            if command != "target_link_libraries":
                owner.setdefault(target, room)
                words = words[words.index("DEPS") + 1:] if "DEPS" in words else []
            calls.append((name, text.count("\n", 0, match.start()) + 1, room, target, words))
    owner["hfwa_proto"] = "proto"
    for name, number, room, target, words in calls:
        for word in words:
            for pattern, allowed in LINKS:
                if re.match(pattern, word) and room not in allowed:
                    yield name, number, f"{target} ({room}) may not link {word}"
            other = owner.get(word)
            if other and other not in (room, "proto") and room != "proto" and other not in ROOMS[room]:
                yield name, number, f"{target} ({room}) may not link {word} of {other}"


def readme_folder(name):
    """The folder whose README.md must speak for this file, or None."""
    parts = name.split("/")
    if len(parts) == 1 or parts[0].startswith("."):
        return None
    if parts[0] == "core" and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] in ("models", "docs", "cmake", "proto"):
        return None if parts[0] in ("models", "docs", "cmake") else "proto"
    return parts[0]


def check_readmes(root, names):
    needed = {folder: name for name in names
              if name.endswith(CODE + (".py", ".yaml", ".proto", ".sh")) or "/" in name and "." not in name.split("/")[-1]
              for folder in [readme_folder(name)] if folder}
    known = set(names)
    for folder, why in sorted(needed.items()):
        if f"{folder}/README.md" not in known:
            yield f"{folder}/README.md", 1, f"missing: says what lives here and what may not (for {why})"
    for name in names:
        if not name.endswith("/README.md") or name.startswith("models/"):
            continue
        lines = [l for l in (root / name).read_text().splitlines() if l.strip()]
        if len(lines) > README_LINES_MAX:
            yield name, 1, f"{len(lines)} lines that are not blank; a room's README has at most {README_LINES_MAX}"
        folder = name[:-len("README.md")]
        if len(lines) < 2 and any(n.startswith(folder) and n.endswith(".cc") for n in names):
            yield name, 1, "only a title: say what lives here and what may not"


def check_files(root, names):
    for name in names:
        path = root / name
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            yield name, 1, f"{size} bytes; at most {FILE_BYTES_MAX} belong into git"
            continue
        data = path.read_bytes()
        if b"\0" in data[:8192] or name in WORDS_EXEMPT:
            continue
        lines = data.decode(errors="replace").splitlines()
        if name.endswith(CODE) and len(lines) > LINES_MAX:
            yield name, 1, f"{len(lines)} lines; split it (a question at 500, the end at {LINES_MAX})"
        for number, line in enumerate(lines, 1):
            for pattern, why in WORDS:
                if re.search(pattern, line):
                    yield name, number, f"{why}: {line.strip()[:80]}"


CHECKS = [check_includes, check_links, check_readmes, check_files]


def violations(root):
    names = files_of(root)
    return [v for check in CHECKS for v in check(root, names)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    root = parser.parse_args().root
    found = violations(root)
    for name, number, text in found:
        print(f"{name}:{number}: {text}")
    if found:
        print(f"structure: {len(found)} violations; repeat with tests/structure/structure.py", file=sys.stderr)
        return 1
    print(f"structure: {len(files_of(root))} files, no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
