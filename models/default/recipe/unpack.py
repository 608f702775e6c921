"""The reverse of assemble.py, for models/default as the repository holds it: its levels, and recipe/learnt, in a work folder."""
import argparse
import json
import pathlib
import shutil

import numpy as np
from safetensors.numpy import load_file, save_file

from assemble import LEVEL_KEYS

RECIPE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    a = parser.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    config = json.loads((RECIPE.parent / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(RECIPE.parent / "additions.safetensors")
    save_file({part: np.stack([tensors[f"visual.level_projections.{level}.{part}"] for level in range(len(config["taps"]))])
               for part in ("weight", "bias")}, a.work / "chosen.safetensors")
    levels = {key: config[key] for key in LEVEL_KEYS if key in config}
    (a.work / "levels.json").write_text(json.dumps(levels, indent=1) + "\n", encoding="utf-8")
    for path in (RECIPE / "learnt").iterdir():
        shutil.copyfile(path, a.work / path.name)


if __name__ == "__main__":
    main()
