#include "tests/bench/work.h"

#include "core/model/weights.h"

namespace hfwa::bench {
namespace {

double Product(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

}  // namespace

Work LinearWork(int64_t rows, int64_t in, int64_t out, Widths widths) {
  return {.flops = 2 * Product(rows * in, out),
          .bytes = widths.activation * (Product(rows, in) + Product(rows, out)) +
                   widths.weight * Product(in, out)};
}

Work AttentionWork(int64_t windows, int64_t tokens, int64_t width, int64_t parts, Widths widths) {
  return {.flops = 4 * Product(windows * tokens, tokens * width),
          .bytes = widths.activation * Product(windows * tokens, (parts + 1) * width)};
}

Work WindowsWork(const model::ModelConfig& config, Widths widths) {
  const int64_t patches = config.vision.patches(), width = config.vision.width;
  const int64_t inside = int64_t{config.effective_window()} * config.effective_window();
  const int64_t parts = config.adapter.value_only ? 1 : 3;
  Work work = LinearWork(patches, width, parts * width, widths);
  work += AttentionWork(patches / inside, inside, width, parts, widths);
  work += LinearWork(patches, width, width, widths);
  return work;
}

Work ForwardWork(const model::ModelConfig& config, bool language, Widths widths) {
  const model::VisionConfig& vision = config.vision;
  const int64_t patches = vision.patches(), tokens = patches + 1, width = vision.width;
  Work work =
      LinearWork(patches, int64_t{3} * vision.patch_size * vision.patch_size, width, widths);
  for (int b = 0; b < config.vision_blocks(); ++b) {
    work += LinearWork(tokens, width, 3 * width, widths);
    work += AttentionWork(1, tokens, width, 3, widths);
    work += LinearWork(tokens, width, width, widths);
    work += LinearWork(tokens, width, 4 * width, widths);
    work += LinearWork(tokens, 4 * width, width, widths);
  }
  const bool projects = vision.projection || vision.level_projections;
  for (int level = 0; level < config.levels(); ++level) {
    if (projects) work += LinearWork(patches, width, config.embed_dim, widths);
    if (!language || !config.has_language()) continue;
    const bool fwa = config.adapter.type == model::AdapterConfig::Type::kFwa;
    for (int block = 0; block < (fwa ? config.adapter.depth : 1); ++block) {
      if (fwa) work += WindowsWork(config, widths);
      for (const model::AdapterLayer& layer : model::AdapterLayers(config, level, block))
        work += LinearWork(patches, layer.in, layer.out, widths);
    }
    if (projects) work += LinearWork(patches, width, config.embed_dim, widths);
  }
  return work;
}

Work MatchWork(const model::ModelConfig& config, int references, Widths widths) {
  const int64_t patches = config.vision.patches();
  Work work;
  for (int level = 0; level < config.levels(); ++level) {
    work.flops += 2 * Product(patches * config.embed_dim, references * patches);
    work.bytes += widths.activation * Product(patches * config.embed_dim, references + 1);
  }
  return work;
}

}  // namespace hfwa::bench
