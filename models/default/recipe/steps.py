"""Runs steps one after another, each once: what make's interruptions, other arguments and lost files mean for it.

A step's stamp (WORK/stamps/NAME.json) holds its arguments and the digests of its inputs and results. A step is skipped
where all of them still are as the stamp says. One that was interrupted goes on, by its own means; one with other
arguments or inputs, or whose results are not what it made, starts anew: its files in WORK are removed first. So a change
runs a step and those later ones that see a difference. Code is no input: change it, and say --again STEP.
"""
import contextlib
import dataclasses
import fcntl
import json
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from fetching import fail, file_sha256, say, sha256, write_json  # noqa: E402

HASHED = 1 << 30  # bytes; of larger files, all of them rendered, the size must do


@dataclasses.dataclass
class Step:
    name: str
    command: list  # what decides the result: program and arguments
    inputs: list = dataclasses.field(default_factory=list)  # files or folders
    results: list = dataclasses.field(default_factory=list)  # files or folders in WORK
    leftovers: list = dataclasses.field(default_factory=list)  # what it goes on from, besides its results; in WORK
    also: list = dataclasses.field(default_factory=list)  # arguments that change no result, such as --workers
    before: str = ""  # interpreter in front of the command


def digest(path):
    """Of what a file holds, or of which files of what sizes a folder; None where there is nothing."""
    if path.is_dir():
        files = sorted((str(p.relative_to(path)), p.stat().st_size) for p in path.rglob("*") if p.is_file())
        return sha256(json.dumps(files).encode())
    if not path.is_file():
        return None
    size = path.stat().st_size
    return f"{size} bytes" if size > HASHED else file_sha256(path)


class Work:
    """The folder of intermediate results."""

    def __init__(self, folder):
        self.folder = folder.resolve()

    def stamp_path(self, step):
        return self.folder / "stamps" / f"{step.name}.json"

    def stamp(self, step):
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self.stamp_path(step).read_text(encoding="utf-8"))
        return None

    def name(self, path):
        """An argument or path as it is called wherever WORK and the checkout lie."""
        return str(path).replace(str(self.folder), "WORK").replace(str(ROOT), "ROOT")

    def wanted(self, step):
        return {"arguments": [self.name(part) for part in step.command],
                "inputs": {self.name(path): digest(path) for path in step.inputs}}

    def results(self, step):
        return {self.name(path): digest(path) for path in step.results}

    def state(self, step):
        """done | interrupted | new"""
        stamp = self.stamp(step)
        if stamp is None or {key: stamp.get(key) for key in ("arguments", "inputs")} != self.wanted(step):
            return "new"
        if "results" not in stamp:
            return "interrupted"
        return "done" if stamp["results"] == self.results(step) else "new"

    def clear(self, step):
        self.stamp_path(step).unlink(missing_ok=True)
        for path in step.results + step.leftovers:
            if self.folder not in path.parents:
                fail(f"{path}: a step's results lie in {self.folder}")
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def run(self, step):
        if self.state(step) == "new":
            self.clear(step)
        missing = [str(path) for path in step.inputs if not path.exists()]
        if missing:
            fail(f"{step.name}: {', '.join(missing)} is missing")
        stamp = self.wanted(step)
        self.stamp_path(step).parent.mkdir(parents=True, exist_ok=True)
        write_json(self.stamp_path(step), stamp)
        started = time.monotonic()
        code = subprocess.run(command_line(step), check=False).returncode
        if code != 0:
            fail(f"{step.name} failed ({code}); the same command goes on from there")
        stamp["results"] = self.results(step)
        lacking = [name for name, value in stamp["results"].items() if value is None]
        if lacking:
            fail(f"{step.name} ended well, but {', '.join(lacking)} is not there")
        write_json(self.stamp_path(step), {**stamp, "seconds": round(time.monotonic() - started)})


def command_line(step):
    return [str(part) for part in ([step.before] if step.before else []) + step.command + step.also]


def plan(work, steps):
    """The state of each step, where what an earlier one will make anew counts as another input."""
    states, remade = {}, set()
    for step in steps:
        state = work.state(step)
        if state == "done" and remade.intersection(step.inputs):
            state = "new"
        if state != "done":
            remade.update(step.results)
        states[step.name] = state
    return states


@contextlib.contextmanager
def locked(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(f"another run works in {folder}")
        yield


def run_all(work, steps, dry_run=False, again=None):
    names = [step.name for step in steps]
    if again and again not in names:
        fail(f"--again {again}: the steps are {', '.join(names)}")
    if dry_run:
        for number, (name, state) in enumerate(plan(work, steps).items(), 1):
            state = "new" if name == again else state
            print(f"[{number}/{len(steps)}] {name}: {state}\n    {shlex.join(command_line(steps[number - 1]))}")
        return
    with locked(work.folder):
        for number, step in enumerate(steps, 1):
            if step.name == again:
                work.clear(step)
            state = work.state(step)
            say(f"[{number}/{len(steps)}] {step.name}: "
                + {"done": "done already", "interrupted": "goes on", "new": "starts"}[state])
            if state != "done":
                work.run(step)
                say(f"[{number}/{len(steps)}] {step.name}: done in {work.stamp(step)['seconds']} s")
