"""The frozen DINOv2-S/14 tower in PyTorch, from the vit.safetensors that scripts/fetch-model writes.

It computes what core/model/vision_tower.cc computes; the recipe needs it only to learn on its tokens.
"""
import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


class Backbone:
    """Tokens of any blocks, and the normalised class token of the last; no gradients."""

    def __init__(self, folder, device="cpu", dtype=torch.bfloat16):
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        vision = config["vision"]
        self.width, self.layers, self.heads = vision["width"], vision["layers"], vision["heads"]
        self.patch, self.side, self.eps = vision["patch_size"], vision["image_size"], vision["layer_norm_eps"]
        self.device, self.dtype = device, dtype
        self.mean = torch.tensor(config["mean"], device=device).view(3, 1, 1)
        self.std = torch.tensor(config["std"], device=device).view(3, 1, 1)
        raw = load_file(folder / "vit.safetensors")
        self.w = {name: tensor.to(device, torch.float32) for name, tensor in raw.items()}
        self.cast = {name: t.to(dtype) for name, t in self.w.items() if t.dim() >= 2 or name.endswith("bias")}

    def linear(self, x, name):
        return F.linear(x, self.cast[name + ".weight"], self.cast[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (self.width,), self.w[name + ".weight"], self.w[name + ".bias"], self.eps)

    @torch.no_grad()
    def tokens(self, pictures, blocks):
        """uint8 [B, S, S, 3] -> ([B, len(blocks), L, W] in the tower's type, class token [B, W] fp32).

        Blocks count from 0. The class token is that of the last block asked for, after the final norm where the
        weights have one.
        """
        x = pictures.to(self.device).permute(0, 3, 1, 2).float().div_(255)
        x = ((x - self.mean) / self.std).to(self.dtype)
        x = F.conv2d(x, self.cast["patch_embed.proj.weight"], self.cast["patch_embed.proj.bias"], stride=self.patch)
        x = x.flatten(2).transpose(1, 2).float()
        cls = self.w["cls_token"].expand(len(x), -1, -1)
        x = torch.cat([cls, x], 1) + self.w["pos_embed"]
        taps = {}
        for b in range(max(blocks) + 1):
            p = f"blocks.{b}."
            y = self.linear(self.norm(x, p + "norm1").to(self.dtype), p + "attn.qkv")
            q, k, v = y.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self.linear(y, p + "attn.proj").float() * self.w[p + "ls1.gamma"]
            y = F.gelu(self.linear(self.norm(x, p + "norm2").to(self.dtype), p + "mlp.fc1"))
            x = x + self.linear(y, p + "mlp.fc2").float() * self.w[p + "ls2.gamma"]
            if b in blocks:
                taps[b] = x[:, 1:].to(self.dtype)
        cls = x[:, 0]
        if "norm.weight" in self.w:
            cls = self.norm(cls, "norm")
        return torch.stack([taps[b] for b in blocks], 1), cls
