"""Which steps make the default model, at what scale; called by the script make, whose --help describes it."""
import argparse
import dataclasses
import os
import pathlib
import shutil
import sys

from steps import Step, Work, fail, run_all, say

RECIPE = pathlib.Path(__file__).resolve().parent
DEFAULT, ROOT = RECIPE.parent, RECIPE.parents[2]
MODEL_FILES = ("additions.safetensors", "config.json", "learned.safetensors", "merges.txt")  # what is ours of a model
LEARNT_FILES = ("final.safetensors", "merges.txt", "text.safetensors")
SEEDS_APART = 1_000_000  # products of two runs; the renderer's own seeds reach to validation.RENDERED_FROM


@dataclasses.dataclass
class Scale:
    episodes: int  # rendered products, of twelve pictures each
    whitened: int  # of them, for the fixed maps
    steps: int  # of learning the projection
    every: int  # validation episodes that are used
    merges: int
    text_steps: int
    products: int  # that hfwa-train learns on
    pieces: int  # good ones of each, and defective ones


SCALES = {
    "tiny": Scale(episodes=8, whitened=8, steps=4, every=24, merges=512, text_steps=20, products=3, pieces=2),
    "cpu": Scale(episodes=1500, whitened=96, steps=1200, every=1, merges=1280, text_steps=1500, products=240, pieces=6),
    "full": Scale(episodes=5000, whitened=96, steps=4000, every=1, merges=1280, text_steps=3000, products=240, pieces=6),
}


def validation_file(every):
    return "validation.npz" if every == 1 else f"validation-{every}.npz"


def scripted(python, name, script, arguments, **others):
    return Step(name, [RECIPE / script, *arguments], before=python, **others)


def learning_steps(work, scale, seed, python):
    """From rendered products to all that assemble.py wants."""
    first = SEEDS_APART * seed
    place, tower = ["--work", work], ["--backbone", work / "backbone"]
    weights, held = work / "backbone" / "vit.safetensors", work / validation_file(scale.every)
    captions, final, chosen = work / "captions.jsonl", work / "final.safetensors", work / "chosen.safetensors"
    tokens = work / "class_tokens.npy"
    products = ["--first", first, "--episodes", scale.episodes]
    return [
        scripted(python, "episodes", "render_episodes.py", [*place, *products],
                 results=[captions, work / "pictures.u8", work / "covers.f32"], leftovers=[work / "rendered.json"]),
        scripted(python, "validation", "validation.py", [*place, "--every", scale.every], results=[held]),
        scripted(python, "projection", "learn_projection.py",
                 [*tower, *place, *products, "--name", "final", "--taps", "4,6,8,10", "--steps", scale.steps,
                  "--rate", "1e-3", "--power", "0.25", "--seed", seed, "--every", scale.every],
                 also=["--checkpoint-steps", 50], inputs=[weights, captions, held], results=[final],
                 leftovers=[work / "final-checkpoint.pt", work / "final.json"]),
        scripted(python, "levels", "choose_levels.py",
                 [*tower, *place, "--first", first, "--episodes", scale.whitened, "--every", scale.every,
                  "--seed", seed + 1],
                 inputs=[weights, captions, held, final], results=[chosen, work / "levels.json"]),
        scripted(python, "class-tokens", "class_tokens.py", [*tower, *place, *products],
                 inputs=[weights, captions], results=[tokens], leftovers=[work / "class_tokens.part"]),
        scripted(python, "text", "learn_text.py",
                 [*place, "--merges", scale.merges, "--steps", scale.text_steps, "--seed", seed],
                 also=["--checkpoint-steps", 50], inputs=[captions, tokens],
                 results=[work / "text.safetensors", work / "merges.txt"], leftovers=[work / "text-checkpoint.pt"]),
    ]


def learnt_steps(work):
    """The same results, of what the repository holds."""
    of = [DEFAULT / "additions.safetensors", DEFAULT / "config.json", *(RECIPE / "learnt" / name for name in LEARNT_FILES)]
    names = ("chosen.safetensors", "levels.json", *LEARNT_FILES)
    return [scripted(sys.executable, "learnt", "unpack.py", ["--work", work], inputs=of,
                     results=[work / name for name in names])]


def model_steps(work, scale, seed):
    """The model directory, and what hfwa-train adds to it."""
    start, data, model = work / "assembled", work / "data-set", work / "model"
    made = [start / name for name in ("additions.safetensors", "config.json", "merges.txt")]
    return [
        scripted(sys.executable, "assemble", "assemble.py",
                 ["--language", "--work", work, "--backbone", work / "backbone", "--out", start],
                 inputs=[work / name for name in ("chosen.safetensors", "levels.json", "text.safetensors", "merges.txt")],
                 results=[*made, start / "vit.safetensors"]),
        scripted(sys.executable, "data-set", "render.py",
                 ["data-set", data, "--good", scale.pieces, "--defective", scale.pieces,
                  "--seed", 20_000 + SEEDS_APART * seed, "--products", scale.products],
                 also=["--workers", len(os.sched_getaffinity(0))], results=[data]),
        Step("train", [ROOT / "build/release/bin/hfwa-train", "--data", data, "--model", start, "--out", model,
                       "--epochs", 1, "--precision", "bf16", "--schedule", "cosine", "--seed", 2025 + seed],
             also=["--resume"], inputs=[*made, start / "vit.safetensors", data],
             results=[model / name for name in (*MODEL_FILES, "MODEL_CARD.md")], leftovers=[model]),
    ]


def all_steps(work, scale, seed, python, from_learnt):
    tower = work / "backbone"
    fetch = Step("tower", [ROOT / "scripts/fetch-model", "dinov2-small", "--out", tower],
                 results=[tower / "config.json", tower / "vit.safetensors"])
    learning = learnt_steps(work) if from_learnt else learning_steps(work, scale, seed, python)
    return [fetch, *learning, *model_steps(work, scale, seed)]


def copy_model(model, to, names):
    to.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(model / name, to / name)
    say(f"{to} holds the model")


def parse():
    parser = argparse.ArgumentParser(prog="make", add_help=False)
    parser.add_argument("--python", default="python3")
    parser.add_argument("--scale", choices=sorted(SCALES), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--from-learnt", action="store_true")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--again")
    parser.add_argument("--dry-run", action="store_true")
    a = parser.parse_args()
    if not 0 <= a.seed < 400:
        fail("--seed: from 0 to 399")
    if a.install and a.scale == "tiny":
        fail("--install: a tiny model only shows that the recipe works")
    return a


def main():
    a = parse()
    work = Work(a.work or ROOT / "out" / f"recipe-{'learnt-' if a.from_learnt else ''}{a.scale}-{a.seed}")
    steps = all_steps(work.folder, SCALES[a.scale], a.seed, a.python, a.from_learnt)
    run_all(work, steps, a.dry_run, a.again)
    if a.dry_run:
        return
    model = work.folder / "model"
    say(f"{model} holds the model")
    if a.out:
        copy_model(model, a.out, (*MODEL_FILES, "MODEL_CARD.md", "vit.safetensors"))
    if a.install:
        copy_model(model, DEFAULT, MODEL_FILES)
        copy_model(work.folder, RECIPE / "learnt", LEARNT_FILES)


if __name__ == "__main__":
    main()
