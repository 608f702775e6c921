#!/usr/bin/env python3
"""The peers' backbones and hfwa's whole job, one after the other in each round; see run --help."""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# Configuration and merges.
FULL = ROOT / "models/vit-l-14-336.json", ROOT / "tests/parity/fixtures/tokenizer/bpe_simple_vocab_16e6.txt.gz"
SMALL = ROOT / "tests/data/seeded_model.json", ROOT / "tests/data/merges.txt"
# ViT-L/14@336 with adapters, projections and matching against four references.
GFLOP_AN_IMAGE = 410


def note(text):
    print(text, file=sys.stderr, flush=True)


def cpu_flags():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    return [f for f in ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx2") if f" {f}" in info]


def machine():
    name = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {' '.join(cpu_flags())}"


class Peer:
    """Something that encodes one picture at a time."""

    def __init__(self, name, encode):
        self.name, self.encode, self.rates = name, encode, []

    def run(self, seconds):
        self.encode()  # what is made once
        count, start = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - start < seconds:
            self.encode()
            count += 1
        self.rates.append(count / (time.perf_counter() - start))


# Peers -------------------------------------------------------------------------------------------


def clip_vision(torch, transformers, weights, config):
    """Hugging Face's vision tower with the seeded model's weights."""
    vision = config["vision"]
    tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(
        hidden_size=vision["width"], intermediate_size=4 * vision["width"], num_hidden_layers=vision["layers"],
        num_attention_heads=vision["heads"], image_size=vision["image_size"], patch_size=vision["patch_size"],
        hidden_act="quick_gelu", attn_implementation="sdpa"))
    state = {}

    def put(name, tensor):
        state[name] = tensor.to(torch.float32)

    put("embeddings.class_embedding", weights["visual.class_embedding"])
    put("embeddings.patch_embedding.weight", weights["visual.conv1.weight"])
    put("embeddings.position_embedding.weight", weights["visual.positional_embedding"])
    for ours, theirs in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        for part in ("weight", "bias"):
            put(f"{theirs}.{part}", weights[f"visual.{ours}.{part}"])
    width = vision["width"]
    for layer in range(vision["layers"]):
        ours, theirs = f"visual.transformer.resblocks.{layer}", f"encoder.layers.{layer}"
        for i, name in enumerate(("q_proj", "k_proj", "v_proj")):
            rows = slice(i * width, (i + 1) * width)
            put(f"{theirs}.self_attn.{name}.weight", weights[f"{ours}.attn.in_proj_weight"][rows])
            put(f"{theirs}.self_attn.{name}.bias", weights[f"{ours}.attn.in_proj_bias"][rows])
        for part in ("weight", "bias"):
            put(f"{theirs}.self_attn.out_proj.{part}", weights[f"{ours}.attn.out_proj.{part}"])
            put(f"{theirs}.layer_norm1.{part}", weights[f"{ours}.ln_1.{part}"])
            put(f"{theirs}.layer_norm2.{part}", weights[f"{ours}.ln_2.{part}"])
            put(f"{theirs}.mlp.fc1.{part}", weights[f"{ours}.mlp.c_fc.{part}"])
            put(f"{theirs}.mlp.fc2.{part}", weights[f"{ours}.mlp.c_proj.{part}"])
    prefix = "vision_model." if any(n.startswith("vision_model.") for n in tower.state_dict()) else ""
    missing, unexpected = tower.load_state_dict({prefix + n: t for n, t in state.items()}, strict=False)
    missing = [n for n in missing if not n.endswith("position_ids")]
    assert not missing and not unexpected, (missing[:3], unexpected[:3])
    return tower.eval()


def make_openvino_int8(core, read, pixels, check):
    """Quantized after training as its own tool does it, calibrated on noise: what matters here is the time."""
    import logging

    import nncf
    import numpy as np
    logging.getLogger("nncf").setLevel(logging.WARNING)
    noise = [np.random.default_rng(i).standard_normal(pixels.shape, np.float32) for i in range(4)]
    quantized = nncf.quantize(read, nncf.Dataset([pixels, *noise]), model_type=nncf.ModelType.TRANSFORMER, subset_size=5)
    compiled = core.compile_model(quantized, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    infer = lambda: next(iter(request.infer({0: pixels}).values()))
    check("OpenVINO int8", infer(), 0.5)
    return infer


def make_peers(model, config, folder):
    """Those that are installed."""
    try:
        import numpy as np
        import torch
        import transformers
        from safetensors.torch import load_file
    except ImportError as error:
        note(f"left out: {error}")
        return []
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_grad_enabled(False)
    side = config["vision"]["image_size"]
    pixels = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, side, side), np.float32))
    tower = clip_vision(torch, transformers, load_file(model / "weights.safetensors"), config)
    reference = tower(pixels).last_hidden_state.numpy()
    peers = [Peer("PyTorch fp32 (Hugging Face), stands for the authors' step", lambda: tower(pixels))]

    def check(name, got, tolerance):
        error = np.abs(got - reference).max() / np.abs(reference).max()
        note(f"{name}: largest difference to PyTorch fp32 {error:.1e} of the largest value")
        assert error < tolerance, name

    try:
        import onnxruntime
        path = folder / "vision.onnx"
        torch.onnx.export(tower, (pixels,), str(path), dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"])
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = len(os.sched_getaffinity(0))
        session = onnxruntime.InferenceSession(str(path), session_options, providers=["CPUExecutionProvider"])
        run = lambda: session.run(["y"], {"x": pixels.numpy()})[0]
        check("ONNX Runtime fp32", run(), 1e-3)
        peers.append(Peer("ONNX Runtime fp32", run))
        import openvino
        core = openvino.Core()
        read = core.read_model(str(path))
        for precision in ("f32", "bf16"):
            compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": precision,
                                                        "PERFORMANCE_HINT": "LATENCY"})
            request = compiled.create_infer_request()
            infer = lambda request=request: next(iter(request.infer({0: pixels.numpy()}).values()))
            check(f"OpenVINO {precision}", infer(), 1e-3 if precision == "f32" else 0.2)
            peers.append(Peer(f"OpenVINO {precision}", infer))
        if "avx512_vnni" in cpu_flags():
            peers.append(Peer("OpenVINO int8 (NNCF)", make_openvino_int8(core, read, pixels.numpy(), check)))
    except ImportError as error:
        note(f"left out: {error}")
    half = clip_vision(torch, transformers, load_file(model / "weights.safetensors"), config).to(torch.bfloat16)
    half_pixels = pixels.to(torch.bfloat16)
    check("PyTorch bf16", half(half_pixels).last_hidden_state.float().numpy(), 0.2)
    peers.append(Peer("PyTorch bf16 (Hugging Face)", lambda: half(half_pixels)))
    return peers


# hfwa --------------------------------------------------------------------------------------------


class Service:
    """A server on the model, with a product of four references."""

    def __init__(self, bin_folder, model, folder, precision):
        self.bin = bin_folder
        log = open(folder / f"server-{precision}.log", "wb")
        self.process = subprocess.Popen(
            [bin_folder / "hfwa-server", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--model", model,
             "--data", folder / f"data-{precision}", "--precision", precision], stdout=subprocess.PIPE, stderr=log,
            env={k: v for k, v in os.environ.items() if not k.startswith("HFWA_")})
        ready = self.process.stdout.readline().decode()
        found = re.search(r"grpc=(\S+)", ready)
        if not found:
            sys.exit(f"no server: {(folder / f'server-{precision}.log').read_text()[-2000:]}")
        self.address = found.group(1)
        self.name, self.precision = f"hfwa {precision}, whole job through gRPC", precision
        self.rates, self.stages = [], None
        self.call("product", "create", "part")
        references = folder / "references"
        if not references.exists():
            references.mkdir()
            make_pictures(references, 4)
        self.call("reference", "add", "part", references)

    def call(self, *arguments):
        return subprocess.run([self.bin / "hfwa", "--server", self.address, *arguments], check=True,
                              capture_output=True, text=True).stdout

    def run(self, seconds):
        out = self.call("bench", "part", "--synthetic", "640x480", "--concurrency", "2", "--warmup", "3s", "--duration",
                        f"{seconds}s", "--heatmap", "png", "--json")
        report = json.loads(out)
        assert report["failed"] == 0, report
        # Two calls at a time, always: their rate by their mean latency, which counts parts of calls too.
        self.rates.append(2e3 / report["latency_ms"]["mean"])

    def close(self):
        self.process.terminate()
        self.process.wait(30)


def make_pictures(folder, count):
    """Noise of another seed each, as binary BMP files: no library is needed."""
    import random
    import struct
    width, height = 320, 240
    for i in range(count):
        pixels = random.Random(i).randbytes(3 * width * height)
        header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(pixels), 0, 0, 54, 40, width, height, 1, 24, 0,
                             len(pixels), 2835, 2835, 0, 0)
        (folder / f"{i}.bmp").write_bytes(header + pixels)


def matrix_rate(bin_folder):
    """GFLOP/s of bf16 products at these shapes, from hfwa_model_bench."""
    program = bin_folder.parent / "bench/hfwa_model_bench"
    if not program.exists():
        return None
    run = subprocess.run([program, "--rates"], capture_output=True, text=True)
    found = re.search(r"bf16 matrix rate ([\d.]+)", run.stderr)
    return float(found.group(1)) if found else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds = 1, 1
    bin_folder = options.bin.resolve()
    config_path, merges = SMALL if options.smoke else FULL
    config = json.loads(config_path.read_text())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hfwa-peers-"))
    try:
        model = folder / "model"
        note(f"writing {config.get('name', 'the small model')} with seeded weights")
        subprocess.run([bin_folder / "hfwa-make-seeded-model", config_path, merges, "7", model], check=True)
        contenders = make_peers(model, config, folder)
        precisions = ("fp32", "int8", "auto") if "avx512_vnni" in cpu_flags() else ("fp32", "auto")
        contenders += [Service(bin_folder, model, folder, precision) for precision in precisions]
        try:
            for i in range(options.rounds):
                for contender in contenders:
                    contender.run(options.seconds)
                    note(f"round {i + 1}: {contender.rates[-1]:6.3f} images/s  {contender.name}")
        finally:
            for contender in contenders:
                if isinstance(contender, Service):
                    contender.close()
        report(contenders, options)
    finally:
        shutil.rmtree(folder)


def report(contenders, options):
    print(f"{machine()}; median of {options.rounds} rounds of {options.seconds} s, interleaved")
    medians = {c.name: statistics.median(c.rates) for c in contenders}
    columns = [c for c in contenders if isinstance(c, Service) and c.precision != "fp32"]
    ours = medians[contenders[-1].name]
    print(f"{'images/s':>9}  {'spread':>13}" + "".join(f"  {c.precision + ' is':>9}" for c in columns))
    rows, rate_now = [], matrix_rate(options.bin.resolve())
    for contender in contenders:
        rate = medians[contender.name]
        ratios = {c.precision: medians[c.name] / rate for c in columns}
        rows.append({"name": contender.name, "rates": contender.rates, "median": rate, "ratios": ratios})
        print(f"{rate:9.3f}  {min(contender.rates):6.3f}-{max(contender.rates):6.3f}" +
              "".join(f"  {ratio:8.2f}x" for ratio in ratios.values()) + f"  {contender.name}")
    if rate_now and not options.smoke:
        print(f"bf16 matrix rate {rate_now:.0f} GFLOP/s; at {GFLOP_AN_IMAGE} GFLOP an image hfwa reaches "
              f"{ours * GFLOP_AN_IMAGE / rate_now:.0%} of it")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "matrix_gflops": rate_now, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
