"""Makes a model directory from CLIP's published archive; called by scripts/fetch-clip, whose --help describes it."""
import argparse
import dataclasses
import json
import pathlib
import re

import numpy as np
from safetensors import SafetensorError, safe_open

import convert_checkpoint
from fetching import checked, download, fail, file_sha256, say, write_json, write_whole
from torch_archive import ArchiveError

ROOT = pathlib.Path(__file__).resolve().parents[2]
MERGES = ROOT / "tests/parity/fixtures/tokenizer/bpe_simple_vocab_16e6.txt.gz"
MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
OTHER_BYTES = 4 << 30  # at most, of an archive whose size is not known

# For CLIP alone: no learnt contexts, no adapters, no text linear.
PLAIN = {
    "description": "CLIP ViT-L/14@336 alone, with fixed prompts.",
    "model": "sparc",
    "adapter": {"type": "none"},
    "fusion_dim": None,
    "prompt": {
        "type": "fixed",
        "class_names": ["object"],
        "states_normal": ["{}", "flawless {}", "perfect {}", "{} without defect"],
        "states_anomaly": ["damaged {}", "broken {}", "{} with flaw", "{} with defect"],
        "templates": ["a photo of a {}.", "a close-up photo of the {}.", "a cropped photo of the {}."],
    },
}


@dataclasses.dataclass(frozen=True)
class Source:
    """A published archive; `config` is its model's configuration."""
    url: str
    sha256: str
    size: int  # bytes
    config: pathlib.Path

    @property
    def file(self):
        return self.url.rsplit("/", 1)[1]


VIT_L_14_336 = Source(
    "https://openaipublic.azureedge.net/clip/models/"
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", 934_088_680,
    ROOT / "models/vit-l-14-336.json")


# The frozen part -----------------------------------------------------------------------------------

def origin_of(path):
    """SHA-256 of the archive that a file of tensors was made of; None if it says none or is not there."""
    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("archive_sha256")
    except (OSError, SafetensorError):
        return None


def converted(path, config, merges=None):
    """(frozen, learnt) of a checkpoint."""
    say(f"converting {path}")
    try:
        frozen, learnt, unexpected = convert_checkpoint.convert(path, config, merges)
    except (ArchiveError, OSError, ValueError, KeyError) as error:
        fail(f"{path}: {error}")
    if unexpected:
        say("left out: " + ", ".join(unexpected[:20]) + (" and more" if len(unexpected) > 20 else ""))
    return frozen, learnt


def at_hand(path, name):
    path = path / name if path.is_dir() else path
    if not path.is_file():
        fail(f"{path} is missing")
    return path


def write_frozen(folder, source, path, config):
    """weights.safetensors out of the archive, which is at `path` or downloaded."""
    if origin_of(folder / "weights.safetensors") == source.sha256:
        say(f"{folder / 'weights.safetensors'} is there already")
        return
    if (folder / "learned.safetensors").exists():
        fail(f"{folder} has a learnt part, which is over other weights: give another --out")
    if path:
        frozen, _ = converted(checked(at_hand(path, source.file), source.sha256), config)
        convert_checkpoint.save(folder, "weights.safetensors", frozen, {"archive_sha256": source.sha256})
        return
    # Named for its digest: what is left of another archive is not gone on with.
    part = folder / f"{source.sha256[:16]}.part"
    say(f"downloading {source.url}")
    download(source.url, part, source.sha256, source.size)
    frozen, _ = converted(part, config)
    convert_checkpoint.save(folder, "weights.safetensors", frozen, {"archive_sha256": source.sha256})
    part.unlink()


# The learnt part -----------------------------------------------------------------------------------

def write_learnt(folder, checkpoint, config):
    """learned.safetensors out of a SOWA checkpoint over the weights that are there."""
    digest = file_sha256(checkpoint)
    if origin_of(folder / "learned.safetensors") == digest:
        say(f"{folder / 'learned.safetensors'} is there already")
        return
    frozen, learnt = converted(checkpoint, config, MERGES)
    if not learnt:
        fail(f"{checkpoint}: holds nothing learnt")
    with safe_open(folder / "weights.safetensors", framework="numpy") as ours:
        other = [name for name in set(frozen) & set(ours.keys())
                 if not np.array_equal(ours.get_tensor(name), frozen[name])]
    if other:
        fail(f"{checkpoint}: was learnt over other weights than these: {', '.join(sorted(other)[:10])}")
    convert_checkpoint.save(folder, "learned.safetensors", learnt, {"archive_sha256": digest})


# The directory -------------------------------------------------------------------------------------

def write_readme(folder, source, published):
    what = ("OpenAI's CLIP ViT-L/14@336, whose repository is under the MIT licence" if published
            else "a CLIP of the sizes of ViT-L/14@336")
    (folder / "README.md").write_text(f"""# {folder.resolve().name}

The frozen part (weights.safetensors) is {what}, converted from the archive
with sha256 {source.sha256}
of {source.url.split("?")[0]}. Made by scripts/fetch-clip.
""", encoding="utf-8")


def state(folder, plain):
    if plain:
        return "ready: CLIP alone, nothing learnt"
    if (folder / "learned.safetensors").exists():
        return "ready"
    return ("ready for hfwa-train. To serve or measure it, what is learnt is missing: train it, add it with --learned, "
            "or make a directory of CLIP alone with --plain")


def arguments_of(argv):
    parser = argparse.ArgumentParser(prog="scripts/fetch-clip")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--plain", action="store_true")
    kind.add_argument("--learned", type=pathlib.Path)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--from", dest="path", type=pathlib.Path)
    where.add_argument("--url")
    parser.add_argument("--sha256")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "models/clip-vit-l-14-336")
    arguments = parser.parse_args(argv)
    if arguments.sha256 and not arguments.url:
        parser.error("--sha256 is of the archive at --url")
    if arguments.sha256 and not re.fullmatch("[0-9a-f]{64}", arguments.sha256):
        parser.error("--sha256: 64 digits 0 to f")
    return arguments


def make(arguments, source):
    folder = arguments.out
    if arguments.url:
        source = dataclasses.replace(source, url=arguments.url)
    if arguments.sha256:
        source = dataclasses.replace(source, sha256=arguments.sha256, size=OTHER_BYTES)
    if arguments.plain and (folder / "learned.safetensors").exists():
        fail(f"{folder} has a learnt part: give another --out")
    if arguments.learned:
        at_hand(arguments.learned, "")
    canonical = json.loads(source.config.read_text(encoding="utf-8"))
    config = {**canonical, "name": folder.resolve().name, **(PLAIN if arguments.plain else {})}
    folder.mkdir(parents=True, exist_ok=True)
    write_frozen(folder, source, arguments.path, canonical)
    merges = checked(MERGES, MERGES_SHA256).read_bytes()
    write_whole(folder / MERGES.name, lambda path: path.write_bytes(merges))
    if arguments.learned:
        write_learnt(folder, arguments.learned, config)
    write_readme(folder, source, published=arguments.sha256 is None)
    write_json(folder / "config.json", config)  # last: with it the directory is whole
    say(f"{folder} is {state(folder, arguments.plain)}")


def main(argv=None, source=VIT_L_14_336):
    arguments = arguments_of(argv)
    try:
        make(arguments, source)
    except (OSError, SafetensorError) as error:  # such as a full disk
        fail(error)
    except KeyboardInterrupt:
        fail("interrupted; run it again to go on")


if __name__ == "__main__":
    main()
