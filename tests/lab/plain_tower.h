#pragma once

// CLIP's frozen vision tower written out once more, in plain operators on the raw weights: what the
// methods over it are tested against.

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/model/config.h"
#include "core/model/weights.h"

namespace hfwa::lab {

class PlainTower {
 public:
  PlainTower(const model::ModelConfig& config, const model::Weights& weights)
      : config_(config), weights_(weights) {}

  at::Tensor W(const std::string& name) const { return weights_.tensors().at("visual." + name); }
  at::Tensor Norm(const at::Tensor& x, const std::string& name) const {
    const at::Tensor centred = x - x.mean(-1, /*keepdim=*/true);
    const at::Tensor variance = centred.square().mean(-1, /*keepdim=*/true);
    return centred / (variance + config_.vision.layer_norm_eps).sqrt() * W(name + ".weight") +
           W(name + ".bias");
  }
  // image [3, S, S] -> [L+1, W], as the first block takes them.
  at::Tensor Embed(const at::Tensor& image) const {
    const int64_t side = config_.vision.patch_size;
    const at::Tensor patches =
        at::conv2d(image.unsqueeze(0), W("conv1.weight"), {}, {side, side}).flatten(2)[0].t();
    return Norm(at::cat({W("class_embedding").unsqueeze(0), patches}) + W("positional_embedding"),
                "ln_pre");
  }
  // What block b's attention adds to x [T, W]; `values`: with v in the place of q and k.
  at::Tensor Attended(const at::Tensor& x, int b, bool values) const {
    const std::string at = absl::StrCat("transformer.resblocks.", b, ".");
    const int64_t width = config_.vision.width, heads = config_.vision.heads, d = width / heads;
    const at::Tensor qkv = at::matmul(Norm(x, at + "ln_1"), W(at + "attn.in_proj_weight").t()) +
                           W(at + "attn.in_proj_bias");
    std::vector<at::Tensor> parts;
    for (int64_t h = 0; h < heads; ++h) {
      const at::Tensor q = qkv.narrow(1, h * d, d), k = qkv.narrow(1, width + h * d, d),
                       v = qkv.narrow(1, 2 * width + h * d, d);
      const at::Tensor logits = at::matmul(values ? v : q, (values ? v : k).t());
      parts.push_back(at::matmul(at::softmax(logits / std::sqrt(static_cast<double>(d)), 1), v));
    }
    return at::matmul(at::cat(parts, 1), W(at + "attn.out_proj.weight").t()) +
           W(at + "attn.out_proj.bias");
  }
  at::Tensor Block(const at::Tensor& x, int b) const {
    const std::string at = absl::StrCat("transformer.resblocks.", b, ".");
    const at::Tensor y = x + Attended(x, b, false);
    at::Tensor hidden =
        at::matmul(Norm(y, at + "ln_2"), W(at + "mlp.c_fc.weight").t()) + W(at + "mlp.c_fc.bias");
    hidden = hidden * at::sigmoid(1.702 * hidden);
    return y + at::matmul(hidden, W(at + "mlp.c_proj.weight").t()) + W(at + "mlp.c_proj.bias");
  }
  // Tokens [T, W] after `blocks` blocks.
  at::Tensor Blocks(at::Tensor x, int blocks) const {
    for (int b = 0; b < blocks; ++b) x = Block(x, b);
    return x;
  }
  // [..., W] -> [..., E].
  at::Tensor NormedAndProjected(const at::Tensor& x) const {
    return at::matmul(Norm(x, "ln_post"), W("proj"));
  }
  // The second stream after block `tap`, where it starts at the input of block `from`.
  at::Tensor Values(const at::Tensor& image, int from, int tap) const {
    at::Tensor x = Blocks(Embed(image), from), values = x;
    for (int b = from; b <= tap; ++b) {
      values = values + Attended(x, b, true);
      x = Block(x, b);
    }
    return values;
  }

 private:
  const model::ModelConfig& config_;
  const model::Weights& weights_;
};

inline at::Tensor UnitRows(const at::Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true); }

}  // namespace hfwa::lab
