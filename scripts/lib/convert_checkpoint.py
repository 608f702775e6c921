"""Turns PyTorch checkpoints into a model directory's files; called by scripts/convert-checkpoint, whose --help
describes it. Names and aliases: hfwa-spec 9, formats: training spec 8."""
import argparse
import json
import pathlib
import re
import sys

import numpy as np
from safetensors.numpy import save_file

from fetching import say, write_whole
from simple_bpe import SimpleBpe
from torch_archive import Archive, ArchiveError, named_tensors

ARCHIVE_SCALARS = {"input_resolution", "context_length", "vocab_size"}
BLOCK = [("ln_1.weight", "w"), ("ln_1.bias", "w"), ("attn.in_proj_weight", "3w,w"), ("attn.in_proj_bias", "3w"),
         ("attn.out_proj.weight", "w,w"), ("attn.out_proj.bias", "w"), ("ln_2.weight", "w"), ("ln_2.bias", "w"),
         ("mlp.c_fc.weight", "4w,w"), ("mlp.c_fc.bias", "4w"), ("mlp.c_proj.weight", "w,4w"), ("mlp.c_proj.bias", "w")]
WHOLE_ALIASES = ("prompt_learner.clip_model.", "visual_encoder.clip_model.",
                 "prompt_encoder.prompt_learner.clip_model.", "prompt_encoder.prompt_learner.model.")
TEXT_ALIASES = ("text_encoder.", "prompt_encoder.text_encoder.")
CONSTANTS = re.compile(r"(relative_coords_table|relative_position_index|attn_mask|token_prefix_(pos|neg)|"
                       r"token_suffix_(pos|neg)|prompt_learner\.text_features)$")
FROZEN_IN_ADAPTER = re.compile(r"visual_encoder\.adapters\.(\d+)\.blocks\.\d+\.attn\.(qkv|proj\.weight|proj\.bias)$")
IN_BLOCK = {"qkv": "attn.in_proj_weight", "proj.weight": "attn.out_proj.weight", "proj.bias": "attn.out_proj.bias"}
LEARNT = re.compile(r"(visual_encoder\.adapters\.\d+\.|prompt_learner\.ctx_(pos|neg)$|cross_fusion\.linear\.(weight|bias)$)")
TOKENS = re.compile(r"prompt_learner\.tokenized_prompts_(pos|neg)$")


class Conversion:
    """Tensors sorted by what they are; `finish` reads, checks and returns the two tables."""

    def __init__(self, archive, config):
        self.archive, self.config = archive, config
        self.frozen, self.learnt, self.tokens, self.unexpected = {}, {}, {}, []
        self.aliases = []  # (name, frozen name)
        self.adapter_aliases = []  # (name, level, name in block)
        state = archive.root.get("state_dict") if isinstance(archive.root, dict) else None
        if isinstance(state, dict):
            self.tensors = named_tensors(state)
            for name in self.tensors:
                self.sort_lightning(name)
        else:
            self.tensors = named_tensors(archive.root)
            for name in self.tensors:
                self.sort_plain(name)
        if not self.tensors:
            raise ArchiveError("holds no tensors")

    def sort_plain(self, name):
        if LEARNT.match(name):
            self.learnt[name] = name
        elif name not in ARCHIVE_SCALARS:
            self.frozen[name] = name

    def sort_lightning(self, key):
        name = key.removeprefix("net.").removeprefix("_orig_mod.")
        if name == key:
            self.unexpected.append(key)
            return
        plain = name.removeprefix("prompt_encoder.")
        adapter = FROZEN_IN_ADAPTER.match(name)
        if name.startswith("clip_model."):
            if name.removeprefix("clip_model.") not in ARCHIVE_SCALARS:
                self.frozen[name.removeprefix("clip_model.")] = key
        elif name == "visual_encoder.proj":
            self.aliases.append((key, "visual.proj"))
        elif adapter:
            self.adapter_aliases.append((key, int(adapter[1]), IN_BLOCK[adapter[2]]))
        elif CONSTANTS.search(name):
            pass
        elif TOKENS.match(plain):
            self.tokens[TOKENS.match(plain)[1]] = key
        else:
            for prefix in WHOLE_ALIASES + TEXT_ALIASES:
                if name.startswith(prefix):
                    if name.removeprefix(prefix) not in ARCHIVE_SCALARS:
                        self.aliases.append((key, name.removeprefix(prefix)))
                    return
            if LEARNT.match(plain):
                self.learnt[plain] = key
            else:
                self.unexpected.append(key)

    def read(self, key):
        return self.archive.read(self.tensors[key])

    def same(self, key, frozen_name):
        """Do both hold the same numbers? Most aliases share one storage, which needs no reading."""
        theirs = self.frozen.get(frozen_name)
        if theirs is None:
            return False
        return self.tensors[key] == self.tensors[theirs] or np.array_equal(self.read(key), self.read(theirs))

    def check_aliases(self):
        wrong = [key for key, name in self.aliases if not self.same(key, name)]
        if wrong:
            raise ArchiveError("aliases differ from the backbone: " + ", ".join(wrong[:10]))

    def check_taps(self):
        """The adapters' frozen matrices say which block each level taps."""
        taps = {}
        layers = count_blocks(self.frozen, "visual.transformer.resblocks.")
        for key, level, part in self.adapter_aliases:
            fits = {b for b in range(layers) if self.same(key, f"visual.transformer.resblocks.{b}.{part}")}
            taps[level] = taps.get(level, fits) & fits
        for level, fits in sorted(taps.items()):
            if not fits:
                raise ArchiveError(f"level {level}: its frozen matrices are no block's of this backbone")
            configured = self.config["taps"] if self.config else None
            if configured and (level >= len(configured) or configured[level] % layers not in fits):
                raise ArchiveError(f"level {level}: the checkpoint taps block {sorted(fits)}, the configuration "
                                   f"says {configured}")
        if taps:
            say("taps in the checkpoint: " + ", ".join("|".join(map(str, sorted(taps[level]))) for level in sorted(taps)))

    def check_tokens(self, merges):
        if not self.tokens or not self.config:
            return
        prompt = self.config.get("prompt", {})
        words = prompt.get("token_ids_of_words")
        encode = word_encoder(words) if words else SimpleBpe(merges).encode if merges else None
        if encode is None:
            say("warning: prompt ids are not compared with the configured texts; give --merges")
            return
        for side, key, default in (("pos", "states_normal", ["{}"]), ("neg", "states_anomaly", ["damaged {}"])):
            if side not in self.tokens:
                continue
            stored = self.read(self.tokens[side])
            rows = [[encode("X " * prompt.get("length", 12) + state.replace("{}", name) + ".", stored.shape[-1])
                     for state in prompt.get(key, default)] for name in prompt.get("class_names", ["object"])]
            if not np.array_equal(stored, np.array(rows)):
                raise ArchiveError(f"{self.tokens[side]}: the prompts differ from the configured {key}")

    def finish(self, merges):
        self.check_aliases()
        self.check_taps()
        self.check_tokens(merges)
        wanted = required_frozen(self)
        missing = sorted(set(wanted) - set(self.frozen))
        if missing:
            raise ArchiveError("missing: " + ", ".join(missing[:20]))
        self.unexpected += [key for name, key in self.frozen.items() if name not in wanted and name != "logit_scale"]
        frozen = {name: self.read(key) for name, key in self.frozen.items() if name in wanted or name == "logit_scale"}
        learnt = {name: self.read(key) for name, key in self.learnt.items()}
        check_levels(learnt, self.config)
        wrong = [f"{name} is {list(frozen[name].shape)}, not {list(shape)}" for name, shape in wanted.items()
                 if frozen[name].shape != tuple(shape)]
        wrong += [f"{name} holds NaN or infinity" for table in (frozen, learnt) for name, values in table.items()
                  if not np.isfinite(values).all()]
        wrong += [f"{name} is not floating point" for table in (frozen, learnt) for name, values in table.items()
                  if values.dtype != np.float32]
        if wrong:
            raise ArchiveError("; ".join(wrong[:20]))
        return frozen, learnt


def count_blocks(names, prefix):
    numbers = [int(name[len(prefix):].split(".", 1)[0]) for name in names
               if name.startswith(prefix) and name[len(prefix):].split(".", 1)[0].isdigit()]
    return max(numbers, default=-1) + 1


def required_frozen(conversion):
    """Names and shapes of CLIP's tensors; sizes are those of the checkpoint, or the configuration's."""
    def shape(name, dimensions):
        key = conversion.frozen.get(name)
        if key is None or len(conversion.tensors[key].shape) != dimensions:
            raise ArchiveError(f"missing, or not of {dimensions} dimensions: {name}; is this CLIP?")
        return conversion.tensors[key].shape
    width, _, patch, _ = shape("visual.conv1.weight", 4)
    tokens = shape("visual.positional_embedding", 2)[0]
    vocabulary, text_width = shape("token_embedding.weight", 2)
    context = shape("positional_embedding", 2)[0]
    embed = shape("visual.proj", 2)[1]
    layers = count_blocks(conversion.frozen, "visual.transformer.resblocks.")
    text_layers = count_blocks(conversion.frozen, "transformer.resblocks.")
    if conversion.config:
        vision, text = conversion.config["vision"], conversion.config.get("text") or {}
        width, patch, layers, embed = vision["width"], vision["patch_size"], vision["layers"], conversion.config["embed_dim"]
        tokens = (vision["image_size"] // patch) ** 2 + 1
        vocabulary, text_width = text.get("vocab_size", vocabulary), text.get("width", text_width)
        context, text_layers = text.get("context_length", context), text.get("layers", text_layers)
    wanted = {"visual.conv1.weight": (width, 3, patch, patch), "visual.class_embedding": (width,),
              "visual.positional_embedding": (tokens, width), "visual.proj": (width, embed),
              "token_embedding.weight": (vocabulary, text_width), "positional_embedding": (context, text_width),
              "text_projection": (text_width, embed)}
    for norm, size in (("visual.ln_pre", width), ("visual.ln_post", width), ("ln_final", text_width)):
        wanted[norm + ".weight"] = wanted[norm + ".bias"] = (size,)
    for prefix, count, size in (("visual.transformer.resblocks", layers, width),
                                ("transformer.resblocks", text_layers, text_width)):
        for block in range(count):
            for name, sides in BLOCK:
                wanted[f"{prefix}.{block}.{name}"] = tuple(int(side[:-1] or 1) * size for side in sides.split(","))
    return wanted


def check_levels(learnt, config):
    """Every level has the tensors that level 0 has; both contexts are there or neither."""
    prefix = "visual_encoder.adapters."
    levels = count_blocks(learnt, prefix)
    if config and learnt and levels != len(config["taps"]):
        raise ArchiveError(f"has adapters of {levels} levels, the configuration taps {len(config['taps'])}")
    parts = [{name.split(".", 3)[3] for name in learnt if name.startswith(f"{prefix}{level}.")} for level in range(levels)]
    for level, names in enumerate(parts):
        if names != parts[0]:
            raise ArchiveError(f"adapter {level} lacks or exceeds adapter 0's: " + ", ".join(sorted(names ^ parts[0])[:10]))
    for first, second in (("prompt_learner.ctx_pos", "prompt_learner.ctx_neg"),
                          ("cross_fusion.linear.weight", "cross_fusion.linear.bias")):
        if (first in learnt) != (second in learnt):
            raise ArchiveError(f"has only one of {first} and {second}")


def word_encoder(words):
    """Encodes by a table of whole words, which small test models have in place of a merge list."""
    def encode(text, length):
        pieces = re.findall(r"[a-z0-9_]+|[^\sa-z0-9_]+", text.lower())
        ids = [words["<|startoftext|>"], *(words[piece] for piece in pieces), words["<|endoftext|>"]]
        return ids + [0] * (length - len(ids))
    return encode


def convert(path, config, merges):
    """(frozen, learnt, unexpected names) of a checkpoint, or ArchiveError."""
    conversion = Conversion(Archive(path), config)
    frozen, learnt = conversion.finish(merges)
    return frozen, learnt, sorted(conversion.unexpected)


def save(folder, name, table, origin=None):
    """`origin`: texts by name that the file carries along."""
    # ascontiguousarray makes a vector of a scalar.
    tensors = {key: np.ascontiguousarray(values).reshape(values.shape) for key, values in sorted(table.items())}
    write_whole(folder / name, lambda path: save_file(tensors, path, metadata=origin))
    say(f"{folder / name}: {len(table)} tensors, {sum(v.size for v in table.values()):,} numbers")


def main():
    parser = argparse.ArgumentParser(prog="scripts/convert-checkpoint")
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--config", type=pathlib.Path)
    parser.add_argument("--merges", type=pathlib.Path)
    parser.add_argument("--strict", action="store_true")
    arguments = parser.parse_args()
    try:
        config = json.loads(arguments.config.read_text(encoding="utf-8")) if arguments.config else None
        frozen, learnt, unexpected = convert(arguments.checkpoint, config, arguments.merges)
        if unexpected:
            say("unexpected, left out: " + ", ".join(unexpected[:20]) + (" and more" if len(unexpected) > 20 else ""))
            if arguments.strict:
                raise ArchiveError("--strict: unexpected tensors")
        arguments.out.mkdir(parents=True, exist_ok=True)
        save(arguments.out, "weights.safetensors", frozen)
        if learnt:
            save(arguments.out, "learned.safetensors", learnt)
    except (ArchiveError, OSError, ValueError, KeyError) as error:
        sys.exit(f"convert-checkpoint: {arguments.checkpoint}: {error}")


if __name__ == "__main__":
    main()
