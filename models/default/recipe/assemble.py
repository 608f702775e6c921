"""Puts the learnt parts together as a model directory: config.json, additions.safetensors and, with a language side,
merges.txt.

With a language side hfwa-train starts from this directory and learns adapters, prompts and text linear.
"""
import argparse
import json
import os
import pathlib
import shutil

import numpy as np
from safetensors.numpy import load_file, save_file


# Of config.json: what comes from levels.json, and back to it (unpack.py).
LEVEL_KEYS = ("taps", "level_weights", "product_levels")


def text_config(text):
    """Sizes of the text tower, from its tensors."""
    vocabulary, width = text["token_embedding.weight"].shape
    layers = len({name.split(".")[2] for name in text if name.startswith("transformer.resblocks.")})
    return {"width": width, "layers": layers, "heads": width // 64, "vocab_size": vocabulary,
            "context_length": len(text["positional_embedding"])}


def config(levels, embed, text):
    settings = {
        "name": "default",
        "embed_dim": embed,
        "vision": {"width": 384, "layers": 12, "heads": 6, "patch_size": 14, "image_size": 336, "pre_norm_layer": False,
                   "quick_gelu": False, "layer_norm_eps": 1e-6, "projection": bool(text), "level_projections": True},
        **{key: levels[key] for key in LEVEL_KEYS if key in levels},
        "map_size": 336,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    if text:
        settings["text"] = text_config(text)
        settings["adapter"] = {"type": "fwa", "window": 12, "heads": 3}
    return settings


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True,
                        help="holds chosen.safetensors, levels.json and, for language, text.safetensors and merges.txt")
    parser.add_argument("--language", action="store_true", help="with text tower and image projection")
    parser.add_argument("--backbone", type=pathlib.Path, help="its tower is linked into the directory")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    text = load_file(a.work / "text.safetensors") if a.language else {}
    tensors = dict(text)
    projection = load_file(a.work / "chosen.safetensors")
    for level, (weight, bias) in enumerate(zip(projection["weight"], projection["bias"])):
        tensors[f"visual.level_projections.{level}.weight"] = weight.astype(np.float16)
        tensors[f"visual.level_projections.{level}.bias"] = bias.astype(np.float16)
    save_file(tensors, a.out / "additions.safetensors")
    levels = json.loads((a.work / "levels.json").read_text(encoding="utf-8"))
    settings = config(levels, projection["weight"].shape[1], text)
    (a.out / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if a.language:
        shutil.copy(a.work / "merges.txt", a.out / "merges.txt")
    tower = a.out / "vit.safetensors"
    if a.backbone and not tower.exists():
        os.link(a.backbone / "vit.safetensors", tower)


if __name__ == "__main__":
    main()
