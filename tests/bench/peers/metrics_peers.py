#!/usr/bin/env python3
"""Pixel metrics over the same maps by several programs, each in a process of its own; see metrics --help."""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = ("scikit-learn", "scikit-image", "anomalib")


def load(folder, count, side):
    import numpy as np
    maps = np.fromfile(folder / "maps.f32", np.float32, count * side * side).reshape(count, side, side)
    masks = np.fromfile(folder / "masks.u8", np.uint8, count * side * side).reshape(count, side, side) > 0
    return maps, masks


# Each returns its metrics and says how long they took; reading the files does not count.


def by_scikit_learn(maps, masks):
    """AUROC, AP and F1-max."""
    import numpy as np
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
    scores, labels = maps.ravel(), masks.ravel()
    precision, recall, _ = precision_recall_curve(labels, scores)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return {"auroc": roc_auc_score(labels, scores), "ap": average_precision_score(labels, scores),
            "f1_max": f1.max()}


def by_scikit_image(maps, masks):
    """AUPRO at 200 thresholds over labelled regions, FPR averaged over images: what the paper reports."""
    import numpy as np
    from skimage.measure import label, regionprops
    regions = [(i, tuple(region.coords.T)) for i, mask in enumerate(masks) if mask.any()
               for region in regionprops(label(mask, connectivity=2))]
    low, high = float(maps.min()), float(maps.max())
    step = (high - low) / 200
    normal = (~masks).sum(axis=(1, 2))
    points = []
    for threshold in np.arange(low, high, step):
        above = maps > threshold
        overlap = np.mean([above[i][place].mean() for i, place in regions])
        alarms = (above & ~masks).sum(axis=(1, 2))
        points.append((np.mean(alarms[normal > 0] / normal[normal > 0]), overlap))
    kept = sorted(p for p in points if p[0] < 0.3)
    rates = np.array([p[0] for p in kept])
    rates = (rates - rates.min()) / (rates.max() - rates.min())
    return {"aupro_reference": np.trapezoid([p[1] for p in kept], rates)}


def by_anomalib(maps, masks):
    """AUROC, F1-max and exact AUPRO."""
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.auroc import _AUROC
    from anomalib.metrics.f1_score import _F1Max
    maps, masks = torch.from_numpy(maps), torch.from_numpy(masks).long()
    result = {}
    for name, metric in (("auroc", _AUROC()), ("f1_max", _F1Max()), ("aupro_exact", _AUPRO())):
        metric.update(maps, masks)
        result[name] = float(metric.compute())
    return result


def run_peer(options):
    functions = {"scikit-learn": by_scikit_learn, "scikit-image": by_scikit_image, "anomalib": by_anomalib}
    function = functions[options.peer]
    small = load(options.folder, 4, options.side)
    function(*small)  # what is loaded and compiled once
    maps, masks = load(options.folder, options.maps, options.side)
    start = time.perf_counter()
    result = {name: float(value) for name, value in function(maps, masks).items()}
    result["seconds"] = time.perf_counter() - start
    result["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def machine():
    name = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def measure(name, command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"left out: {name}: {(done.stderr.strip().splitlines() or [f'ended by {done.returncode}'])[-1]}",
              file=sys.stderr)
        return None
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", type=pathlib.Path, required=True)
    parser.add_argument("--maps", type=int, default=500)
    parser.add_argument("--side", type=int, default=336)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--peer", choices=PEERS)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    if options.peer:
        return run_peer(options)
    if options.smoke:
        options.maps, options.side, options.rounds = 8, 56, 1
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hfwa-metrics-"))
    try:
        compare(options, folder)
    finally:
        shutil.rmtree(folder)


def compare(options, folder):
    size = ["--maps", str(options.maps), "--side", str(options.side), "--folder", str(folder)]
    subprocess.run([options.bench, *size, "--make"], check=True)
    commands = {name: [sys.executable, __file__, "--bench", options.bench, *size, "--peer", name] for name in PEERS}
    commands["hfwa (all of them)"] = [options.bench, *size]
    runs = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            result = measure(name, command)
            if result:
                runs[name].append(result)
    print(f"{machine()}; {options.maps} maps of {options.side} x {options.side}, median of {options.rounds} rounds")
    metrics = ("auroc", "ap", "f1_max", "aupro_reference", "aupro_exact")
    print(f"{'seconds':>9} {'MiB':>7}" + "".join(f" {m:>15}" for m in metrics))
    for name, results in runs.items():
        if not results:
            continue
        seconds = statistics.median(r["seconds"] for r in results)
        memory = max(r["memory_mib"] for r in results)
        cells = "".join(f" {results[0][m]:15.8f}" if m in results[0] else f" {'-':>15}" for m in metrics)
        print(f"{seconds:9.2f} {memory:7.0f}{cells}  {name}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "maps": options.maps, "side": options.side,
                                            "runs": runs}, indent=1))
    ours = runs["hfwa (all of them)"]
    if not ours:
        sys.exit("no figures of hfwa")
    for name, results in runs.items():
        for metric in metrics:
            if results and metric in results[0] and abs(results[0][metric] - ours[0][metric]) > 1e-4:
                sys.exit(f"{name} disagrees on {metric}")


if __name__ == "__main__":
    main()
