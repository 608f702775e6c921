#!/usr/bin/env python3
"""What models/default/recipe/make promises: each step once, on from where it was cut, anew where something changed."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPE = ROOT / "models/default/recipe"
sys.path.insert(0, str(RECIPE))
import make  # noqa: E402
from steps import Step, Work, plan, run_all  # noqa: E402

# Appends to RESULT what SOURCE holds and WORD, and to LOG that it ran; fails once where a file says so.
PROGRAM = """
import pathlib, sys
log, result, word, *sources = sys.argv[1:]
with open(log, "a") as file: file.write(word + " ")
with open(result, "a") as file: file.write("".join(open(source).read() for source in sources) + word)
trip = pathlib.Path(log).with_name("trip")
if trip.exists() and trip.read_text() == word:
    trip.unlink()
    sys.exit(3)
"""


class StepsTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name).resolve()
        self.work = Work(self.folder / "work")
        (self.folder / "program.py").write_text(PROGRAM)
        (self.folder / "source").write_text("s")

    def steps(self, words="abc"):
        """A chain from the source on: each takes what the one before it gave."""
        out, source = [], self.folder / "source"
        for place, word in enumerate(words):
            result = self.work.folder / f"result{place}"
            out.append(Step(f"step{place}", [self.folder / "program.py", self.folder / "log", result, word, source],
                            inputs=[source], results=[result], before=sys.executable))
            source = result
        return out

    def ran(self, words="abc", **options):
        """Which steps a run ran, by their words."""
        (self.folder / "log").write_text("")
        run_all(self.work, self.steps(words), **options)
        return (self.folder / "log").read_text().replace(" ", "")

    def last(self):
        return (self.work.folder / "result2").read_text()

    def test_a_step_that_is_done_is_skipped(self):
        self.assertEqual(self.ran(), "abc")
        self.assertEqual(self.ran(), "")
        self.assertEqual(self.last(), "sabc")

    def test_another_argument_runs_that_step_and_later_ones_on_clean_ground(self):
        self.ran()
        self.assertEqual(self.ran("axc"), "xc")
        self.assertEqual(self.last(), "saxc")

    def test_another_input_runs_what_sees_it(self):
        self.ran()
        (self.folder / "source").write_text("t")
        self.assertEqual(self.ran(), "abc")
        self.assertEqual(self.last(), "tabc")

    def test_a_step_that_failed_goes_on_with_what_it_left(self):
        (self.folder / "trip").write_text("b")
        with self.assertRaisesRegex(SystemExit, "step1 failed.*3"):
            self.ran()
        self.assertEqual(plan(self.work, self.steps()), {"step0": "done", "step1": "interrupted", "step2": "new"})
        self.assertEqual(self.ran(), "bc")
        self.assertEqual(self.last(), "sabsabc")

    def test_a_step_that_failed_starts_anew_with_other_arguments(self):
        (self.folder / "trip").write_text("b")
        with self.assertRaises(SystemExit):
            self.ran()
        self.assertEqual(self.ran("axc"), "xc")
        self.assertEqual(self.last(), "saxc")

    def test_a_lost_or_changed_result_is_made_again(self):
        for spoil in (pathlib.Path.unlink, lambda path: path.write_text("other")):
            self.ran()
            spoil(self.work.folder / "result1")
            self.assertEqual(self.ran(), "b", "later steps see the same input as before")

    def test_again_runs_a_step_that_is_done(self):
        self.ran()
        self.assertEqual(self.ran(again="step1"), "b")
        with self.assertRaisesRegex(SystemExit, "the steps are step0, step1, step2"):
            self.ran(again="step9")

    def test_a_step_without_its_result_is_a_failure(self):
        steps = self.steps()
        steps[0].results.append(self.work.folder / "never")
        with self.assertRaisesRegex(SystemExit, "never is not there"):
            run_all(self.work, steps)

    def test_a_missing_input_is_named(self):
        (self.folder / "source").unlink()
        with self.assertRaisesRegex(SystemExit, "source is missing"):
            self.ran()

    def test_nothing_outside_the_work_folder_is_removed(self):
        steps = self.steps()
        steps[0].leftovers.append(self.folder / "source")
        with self.assertRaisesRegex(SystemExit, "results lie in"):
            run_all(self.work, steps)
        self.assertTrue((self.folder / "source").exists())

    def test_two_runs_in_one_folder_are_refused(self):
        nested = self.steps()
        nested[0].command = ["-c", f"import sys; sys.path.insert(0, {str(RECIPE)!r}); import pathlib, steps\n"
                             f"steps.run_all(steps.Work(pathlib.Path({str(self.work.folder)!r})), [])"]
        with self.assertRaisesRegex(SystemExit, "step0 failed"):
            run_all(self.work, nested)

    def test_a_moved_work_folder_is_still_done(self):
        self.ran()
        moved = self.folder / "moved"
        self.work.folder.rename(moved)
        self.work = Work(moved)
        self.assertEqual(self.ran(), "")


class MakeTest(unittest.TestCase):
    def steps(self, seed=0, from_learnt=False, scale="tiny"):
        return make.all_steps(pathlib.Path("/work"), make.SCALES[scale], seed, "python", from_learnt)

    def test_every_input_is_made_before_or_lies_in_the_repository(self):
        for from_learnt in (False, True):
            made = set()
            for step in self.steps(from_learnt=from_learnt):
                for path in step.inputs:
                    self.assertTrue(path in made or ROOT in path.parents and path.is_file(), f"{step.name}: {path}")
                made.update(step.results)
                self.assertTrue(ROOT not in pathlib.Path(step.command[0]).parents or "build" in step.command[0].parts
                                or step.command[0].is_file(), step.command[0])

    def test_the_seed_reaches_all_that_draws(self):
        changed = {a.name for a, b in zip(self.steps(0), self.steps(1)) if a.command != b.command}
        self.assertEqual(changed, {"episodes", "projection", "levels", "class-tokens", "text", "data-set", "train"})

    def test_dry_run_names_the_steps_and_writes_nothing(self):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch) / "work"
            done = subprocess.run([sys.executable, RECIPE / "make.py", "--dry-run", "--scale", "tiny", "--work", work],
                                  check=True, capture_output=True, text=True)
            self.assertRegex(done.stdout, r"(?s)^\[1/10\] tower: new\n.*\[10/10\] train: new\n")
            self.assertFalse(work.exists())

    def test_what_the_repository_holds_can_be_assembled_again(self):
        """Levels and maps come back as they are, with the text tower beside them."""
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            for script, arguments in (("unpack.py", []), ("assemble.py", ["--language", "--out", work / "out"])):
                subprocess.run([sys.executable, RECIPE / script, "--work", work, *arguments], check=True)
            ours, again = (json.loads((folder / "config.json").read_text()) for folder in (make.DEFAULT, work / "out"))
            for key in ("taps", "level_weights", "product_levels"):
                self.assertEqual(ours.get(key), again.get(key))
            tensors = load_file(work / "out" / "additions.safetensors")
            for name, tensor in load_file(make.DEFAULT / "additions.safetensors").items():
                self.assertTrue((tensors[name] == tensor).all(), name)
            self.assertEqual(len(tensors["token_embedding.weight"]), again["text"]["vocab_size"])
            merges = (work / "out" / "merges.txt").read_text().splitlines()
            self.assertEqual(512 + len(merges) - 1 + 2, again["text"]["vocab_size"])


if __name__ == "__main__":
    unittest.main()
