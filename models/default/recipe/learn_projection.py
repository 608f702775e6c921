"""Learns the level projections on rendered episodes, and says what they bring on held-back pictures."""
import argparse
import json
import pathlib
import time

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import episodes
import validation
from backbone import Backbone
from checkpoint import Checkpoint
from projection import Moments, Projection, distances, episode_loss, whitening


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True, help="directory that scripts/fetch-model dinov2-small wrote")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="where episodes and intermediate results lie")
    parser.add_argument("--name", default="projection", help="of the results, so that several can lie side by side")
    parser.add_argument("--taps", default="2,5,8,11")
    parser.add_argument("--episodes", type=int, default=4000, help="products to learn from")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=4, help="episodes a step")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--power", type=float, default=0.5, help="whitening that learning starts from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=torch.multiprocessing.cpu_count())
    parser.add_argument("--checkpoint-steps", type=int, default=250)
    parser.add_argument("--every", type=int, default=1, help="judge by each so many-th validation episode alone")
    return parser.parse_args()


def whitenings(pictures, look, levels, width, device):
    """power -> the projection that whitens good rendered tokens by it."""
    moments = Moments(levels, width, device)
    for index in range(min(96, len(pictures))):
        moments.add(look(torch.from_numpy(pictures[index][:episodes.REFERENCES + episodes.GOOD])))
    mean, covariance = moments.mean_and_covariance()
    return lambda p: Projection(*whitening(mean, covariance, p)).to(device)


def rate_at(step, steps, peak):
    warm = min(1.0, (step + 1) / 100)
    return peak * warm * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


def main():
    a = parse()
    a.work.mkdir(parents=True, exist_ok=True)
    taps = [int(t) for t in a.taps.split(",")]
    tower = Backbone(a.backbone, a.device)
    look = lambda pictures: tower.tokens(pictures, taps)[0]
    pictures, covers = episodes.stored(a.work, a.first, a.episodes, a.workers)
    make = whitenings(pictures, look, len(taps), tower.width, a.device)
    model = make(a.power)
    optimizer = torch.optim.AdamW(model.parameters(), lr=a.rate, betas=(0.9, 0.98), weight_decay=0)
    scale = torch.nn.Parameter(torch.tensor(1.0, device=a.device))
    offset = torch.nn.Parameter(torch.tensor(2.0, device=a.device))
    head = torch.optim.Adam([scale, offset], lr=1e-2)
    checkpoint = Checkpoint(a.work / f"{a.name}-checkpoint.pt")
    step = 0
    if state := checkpoint.load(a.device):
        step = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        head.load_state_dict(state["head"])
        scale.data.copy_(state["scale"])
        offset.data.copy_(state["offset"])
    started, first = time.time(), step
    sums = []
    while step < a.steps:
        rng = np.random.default_rng([a.seed, step])
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, a.steps, a.rate)
        chosen = np.sort(rng.choice(len(pictures), a.batch, replace=False))
        tokens = look(torch.from_numpy(pictures[chosen]).flatten(0, 1)).float().unflatten(0, (a.batch, -1))
        loss = 0
        for tokens_of_one, index in zip(tokens, chosen):
            shots = int(rng.choice([1, 2, 4]))
            unit = model(tokens_of_one)
            maps = distances(unit[episodes.REFERENCES:], unit[:shots]).sum(1)
            cover = torch.from_numpy(covers[index]).flatten(1).to(a.device)
            token_loss, image_loss = episode_loss(maps, cover, scale, offset)
            loss = loss + (token_loss + image_loss) / a.batch
        optimizer.zero_grad(set_to_none=True)
        head.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        head.step()
        sums.append(loss.detach())
        step += 1
        if step % 50 == 0:
            mean = torch.stack(sums).mean().item()
            sums = []
            pace = (step - first) / (time.time() - started)
            print(f"step {step}/{a.steps} loss {mean:.4f} scale {scale.item():.3f} offset {offset.item():.2f} "
                  f"{pace:.2f} steps/s", flush=True)
        if step % a.checkpoint_steps == 0 or step == a.steps:
            checkpoint.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                             "head": head.state_dict(), "scale": scale.data, "offset": offset.data})
    save_file({"weight": model.weight.data.cpu(), "bias": model.bias.data.cpu()}, a.work / f"{a.name}.safetensors")
    compared = {f"power {p}": make(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)}
    compared["learnt"] = model
    for share in (0.25, 0.5, 0.75):
        between = make(a.power)
        between.weight.data.lerp_(model.weight.data, share)
        between.bias.data.lerp_(model.bias.data, share)
        compared[f"learnt {share}"] = between
    tallies = validation.evaluate(compared, look, a.device, validation.stored(a.work, a.workers, a.every))
    report = {name: dict(tally.means(), total=tally.total()) for name, tally in tallies.items()}
    (a.work / f"{a.name}.json").write_text(json.dumps(report, indent=1))
    for name, means in report.items():
        print(f"{name:12}", " ".join(f"{key} {value:.1f}" for key, value in means.items()), flush=True)


if __name__ == "__main__":
    main()
