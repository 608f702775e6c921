"""Learns a small text tower and the image projection by contrast on rendered pictures and their captions.

The vision tower is frozen: its class token after the final norm is all that is seen of a picture. Captions that mean
the same (a product's group and the kind of defect) are no negatives of each other.
"""
import argparse
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

import bpe
import words
from checkpoint import Checkpoint

WIDTH, LAYERS, HEADS, CONTEXT = 192, 4, 3, 64
PLACEHOLDER = "x"  # stands before learnt prompts, so the tower must know it there


class Block(nn.Module):
    """Names and arithmetic of a CLIP block; GELU as in the vision tower."""

    def __init__(self, width, heads, layers):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        nn.init.normal_(self.attn.in_proj_weight, std=width ** -0.5)
        for inner in (self.attn.out_proj, self.mlp["c_proj"]):
            nn.init.normal_(inner.weight, std=(2 * width * layers) ** -0.5)
        nn.init.normal_(self.mlp["c_fc"].weight, std=(2 * width) ** -0.5)

    def forward(self, x, mask):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask, is_causal=True)[0]
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class TextTower(nn.Module):
    def __init__(self, vocabulary, embed):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.01)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList([Block(WIDTH, HEADS, LAYERS) for _ in range(LAYERS)])})
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, embed) * WIDTH ** -0.5)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, ids):
        """[R, C] ids, zeros behind the end of text, which is the largest id: [R, E], not normalised."""
        end = ids.argmax(1)
        length = int(end.max()) + 1
        x = self.token_embedding(ids[:, :length]) + self.positional_embedding[:length]
        mask = torch.full((length, length), float("-inf"), device=x.device).triu(1)
        for block in self.transformer["resblocks"]:
            x = block(x, mask)
        return self.ln_final(x[torch.arange(len(x), device=x.device), end]) @ self.text_projection


def grouped_loss(images, texts, groups, scale):
    """Both directions of the contrast, with everything of one group an equal share of the answer."""
    logits = scale * images @ texts.T
    same = (groups[:, None] == groups[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="holds class_tokens.npy and captions.jsonl")
    parser.add_argument("--merges", type=int, default=1280)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-steps", type=int, default=200)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def resume(state, learnt, project, scale, rng):
    """Brings everything to where `state` was kept, and returns the step to go on from; 0 without a state."""
    if state is None:
        return 0
    for name, part in learnt.items():
        part.load_state_dict(state[name])
    project.data.copy_(state["project"])
    scale.data.copy_(state["scale"])
    rng.bit_generator.state = json.loads(state["rng"])
    return state["step"]


def main():
    a = parse()
    torch.manual_seed(a.seed)
    rng = np.random.default_rng([a.seed, 3])
    tokens = torch.from_numpy(np.load(a.work / "class_tokens.npy")).float()
    rows = [json.loads(line) for line in (a.work / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    captions, names = [row[0] for row in rows], [row[1] for row in rows]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    groups = torch.tensor([numbers[name] for name in names])
    merges = a.work / "merges.txt"
    merges.write_text(bpe.learn(captions + words.WORDS, a.merges), encoding="utf-8")
    vocabulary = 512 + a.merges + 2
    encoder = bpe.SimpleBpe(merges, vocabulary)
    print(f"{len(captions)} captions, {len(set(captions))} different, {len(numbers)} groups", flush=True)
    held = torch.zeros(len(captions), dtype=torch.bool)
    held[-min(2400, len(captions) // 10):] = True
    plain = torch.tensor([encoder.encode(text, CONTEXT) for text in captions]).to(a.device)
    prefixed = torch.tensor([encoder.encode(" ".join([PLACEHOLDER] * int(rng.integers(1, 17)) + [text]), CONTEXT)
                             for text in captions]).to(a.device)
    groups, tokens = groups.to(a.device), tokens.to(a.device)
    tower = TextTower(vocabulary, tokens.shape[1]).to(a.device)
    project = nn.Parameter(torch.eye(tokens.shape[1], device=a.device))
    scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), device=a.device, dtype=torch.float32))
    parameters = [*tower.parameters(), project, scale]
    optimizer = torch.optim.AdamW(parameters, lr=a.rate, betas=(0.9, 0.98), weight_decay=0.05)
    train = torch.nonzero(~held).flatten()
    learnt = {"tower": tower, "optimizer": optimizer}
    checkpoint = Checkpoint(a.work / "text-checkpoint.pt")
    first = resume(checkpoint.load(a.device), learnt, project, scale, rng)
    started, sums = time.time(), []
    for step in range(first, a.steps):
        for group in optimizer.param_groups:
            group["lr"] = a.rate * min(1, (step + 1) / 200) * 0.5 * (1 + float(np.cos(np.pi * step / a.steps)))
        chosen = train[torch.from_numpy(rng.integers(0, len(train), min(a.batch, len(train))))]
        ids = prefixed[chosen] if step % 2 else plain[chosen]
        images = F.normalize(tokens[chosen] @ project, dim=-1)
        texts = F.normalize(tower(ids), dim=-1)
        loss = grouped_loss(images, texts, groups[chosen], scale.clamp(max=np.log(100)).exp())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        sums.append(loss.detach())
        if (step + 1) % 200 == 0 or step + 1 == a.steps:
            print(f"step {step + 1}/{a.steps} loss {torch.stack(sums).mean().item():.4f} "
                  f"{(step + 1 - first) / (time.time() - started):.2f} steps/s", flush=True)
            sums = []
        if (step + 1) % a.checkpoint_steps == 0 or step + 1 == a.steps:
            checkpoint.save({"step": step + 1, "project": project.data, "scale": scale.data,
                             "rng": json.dumps(rng.bit_generator.state),
                             **{name: part.state_dict() for name, part in learnt.items()}})
    print("held back:", json.dumps(check(tower, project, tokens[held], plain[held], groups[held], names, held, encoder)), flush=True)
    tensors = {name: tensor.half().contiguous() for name, tensor in tower.state_dict().items()}
    tensors["visual.proj"] = project.data.half().contiguous()
    save_file({name: tensor.cpu() for name, tensor in tensors.items()}, a.work / "text.safetensors")


@torch.no_grad()
def check(tower, project, tokens, ids, groups, names, held, encoder):
    """Share of held-back pictures whose nearest caption is of their group, and AUROC of `damaged` against `flawless`."""
    from projection import auroc
    images = F.normalize(tokens @ project, dim=-1)
    texts = F.normalize(tower(ids), dim=-1)
    nearest = (images @ texts.T).argmax(1)
    right = (groups[nearest] == groups).float().mean().item()
    pair = torch.tensor([encoder.encode(text, CONTEXT) for text in ("flawless object", "damaged object")]).to(tokens.device)
    pair = F.normalize(tower(pair), dim=-1)
    scores = images @ (pair[1] - pair[0])
    labels = torch.tensor([not name.endswith("| good") for name, out in zip(names, held) if out])
    return {"caption": right, "damaged": auroc(scores.cpu(), labels)}


if __name__ == "__main__":
    main()
