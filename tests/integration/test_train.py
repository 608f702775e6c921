"""hfwa-train killed with SIGKILL at random instants and resumed ends in the bits of a run that was left alone,
hfwa-server serves what it wrote, and hfwa-eval compares it with other models.

HFWA_TRAIN_KILLS and HFWA_TRAIN_SEED choose how often and which instants; a failure prints both.
"""

import csv
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import time

import images
from harness import BIN, MODEL, SLOWNESS, Server, TestCase, main

KILLS = int(os.environ.get("HFWA_TRAIN_KILLS", "6"))
SEED = int(os.environ.get("HFWA_TRAIN_SEED", "20240703"))
LIMIT = 60 * SLOWNESS


class TrainTest(TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hfwa-train-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = MODEL
        data = self.folder / "data"
        for kind, make in (("good", images.good), ("blot", images.bad)):
            (data / kind).mkdir(parents=True)
            for i in range(24):
                (data / kind / f"{i}.png").write_bytes(make(i))

    def use_model_for_fixed_prompts(self):
        """One whose text tower has room for them."""
        config = json.loads((MODEL / "config.json").read_text())
        config["text"]["context_length"] = 77
        (self.folder / "config.json").write_text(json.dumps(config))
        self.model = self.folder / "clip"
        subprocess.run([str(BIN / "hfwa-make-seeded-model"), str(self.folder / "config.json"), str(MODEL / "merges.txt"),
                        "3", str(self.model)], check=True, capture_output=True, timeout=LIMIT)

    def command(self, out, *flags):
        return [str(BIN / "hfwa-train"), "--model", str(self.model), "--data", str(self.folder / "data"), "--out", str(out),
                "--epochs", "12", "--batch", "4", "--checkpoint-steps", "2", "--threads", "1", *flags]

    def train(self, out, *flags):
        done = subprocess.run(self.command(out, *flags), capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def killed(self, out, seconds, *flags):
        """Starts or resumes a run and kills it after that time; True if it had ended by itself."""
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.command(out, "--resume", *flags)],
                                   stderr=subprocess.PIPE, text=True)
        try:
            _, log = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
        self.assertEqual(process.returncode, 0, log)
        return True

    def check_killed_and_resumed(self, learnt, *flags):
        """The folder of a run with these flags that was left alone; one that was not has its bits."""
        whole, broken = self.folder / "whole", self.folder / "broken"
        start = time.monotonic()
        self.train(whole, *flags)
        seconds = time.monotonic() - start
        chance = random.Random(SEED)
        amid = 0
        for _ in range(KILLS):
            # The instant is what is tested: from before the first checkpoint to near the end.
            if self.killed(broken, chance.uniform(0.2, 0.8) * seconds, *flags):
                break
            amid += (broken / "training/checkpoint.safetensors").exists()
        hint = f"HFWA_TRAIN_KILLS={KILLS} HFWA_TRAIN_SEED={SEED}"
        self.assertGreater(amid, 0, f"no kill came between the first checkpoint and the end: {hint}")
        self.train(broken, "--resume", *flags)
        for name in (learnt, "training/last.safetensors", "training/steps.csv"):
            self.assertEqual((whole / name).read_bytes(), (broken / name).read_bytes(), f"{name}: {hint}")
        return whole

    def test_a_killed_and_resumed_run_equals_one_left_alone(self):
        self.check_killed_and_resumed("learned.safetensors")

    def test_so_does_inctrl_and_its_model_is_evaluated_and_served(self):
        self.use_model_for_fixed_prompts()
        model = self.check_killed_and_resumed("inctrl.safetensors", "--method", "inctrl")
        table = self.folder / "table.csv"
        command = [str(BIN / "hfwa-eval"), "run", "--model", str(model), "--data", str(self.folder / "data"), "--method",
                   "inctrl,promptad", "--shots", "1,2", "--seeds", "1", "--csv", str(table)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [row for row in csv.DictReader(table.read_text().splitlines()) if row["subset"] == "all"]
        self.assertEqual({(row["method"], row["shots"]) for row in rows},
                         {(method, shots) for method in ("inctrl", "promptad") for shots in "12"})
        for row in rows:
            if row["method"] == "inctrl":
                # It learnt from these pictures.
                self.assertGreater(float(row["image_auroc"]), 0.9, row)
        with Server(model=self.model) as before, Server(model=model) as after:
            digests = [s.client().GetModel(name="models/current").digest for s in (before, after)]
            self.assertEqual(*digests)

    def test_a_server_serves_what_was_trained(self):
        out = self.folder / "model"
        log = self.train(out)
        digest = re.search(r"digest (\w+)", log)[1]
        with Server(model=out) as server:
            client = server.client()
            self.assertTrue(client.GetModel(name="models/current").digest.startswith(digest))
            client.CreateProduct(product_id="bolt", product={"class_name": "bolt"})
            # Without references what was learnt is all that judges.
            good, bad = (client.detect("bolt", make(1)).raw for make in (images.good, images.bad))
            self.assertNotEqual(good, bad)

    def test_trained_variants_stand_side_by_side(self):
        linear, page, numbers = self.folder / "linear", self.folder / "compare.html", self.folder / "compare.json"
        self.train(linear, "--adapter", "linear")
        done = subprocess.run(
            [str(BIN / "hfwa-eval"), "--threads", "1", "compare", "--data", f"blots={self.folder / 'data'}",
             "--model", str(MODEL), "--method", "hfwa,patchcore", "--entry", f"April-GAN=april-gan@{linear}",
             "--entry", f"Linear=hfwa@{linear}", "--shots", "0,1", "--seeds", "2", "--html", str(page),
             "--json", str(numbers)], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = json.loads(numbers.read_text())["rows"]
        self.assertEqual([(row["entry"], row["shots"]) for row in rows],
                         [("hfwa", 0), ("hfwa", 1), ("patchcore", 1), ("April-GAN", 0), ("April-GAN", 1),
                          ("Linear", 0), ("Linear", 1)])
        by_name = {(row["entry"], row["shots"]): row["metrics"]["image_auroc"] for row in rows}
        # The same weights and, without references, the same image score.
        self.assertEqual(by_name["April-GAN", 0], by_name["Linear", 0])
        self.assertIn("not compared: patchcore, blots, no references", done.stdout)
        self.assertIn("Time an image takes", page.read_text())


if __name__ == "__main__":
    main()
