#include "lab/weights_check.h"

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "lab/fixture.h"

namespace hfwa::lab {
namespace {

struct KnownBlock {
  at::Tensor tokens;  // [positions, values], fp64
  std::optional<double> magnitude;
};

struct KnownTokens {
  double token_tolerance = 0;
  double magnitude_tolerance = 0;
  std::vector<int64_t> positions;
  std::map<int, KnownBlock> blocks;  // from 0
};

// Throws nlohmann::json::exception.
absl::StatusOr<KnownBlock> ParseBlock(const nlohmann::json& json, size_t positions) {
  const auto rows = json.at("tokens").get<std::vector<std::vector<double>>>();
  if (rows.size() != positions) return absl::InvalidArgumentError("needs a row a position");
  KnownBlock block;
  std::vector<double> values;
  for (const std::vector<double>& row : rows) {
    if (row.empty() || row.size() != rows[0].size()) {
      return absl::InvalidArgumentError("needs rows of one length");
    }
    values.insert(values.end(), row.begin(), row.end());
  }
  block.tokens = at::tensor(values, at::kDouble).view({static_cast<int64_t>(positions), -1});
  if (json.contains("magnitude")) block.magnitude = json.at("magnitude").get<double>();
  return block;
}

// Throws nlohmann::json::exception.
absl::StatusOr<KnownTokens> ParseTokens(const nlohmann::json& json) {
  KnownTokens known;
  known.token_tolerance = json.at("token_tolerance").get<double>();
  known.magnitude_tolerance = json.value("magnitude_tolerance", 0.0);
  known.positions = json.at("positions").get<std::vector<int64_t>>();
  if (known.positions.empty()) return absl::InvalidArgumentError("names no position");
  for (const auto& [name, block] : json.at("blocks").items()) {
    int number = 0;
    if (!absl::SimpleAtoi(name, &number) || number < 1) {
      return absl::InvalidArgumentError(absl::StrCat("has a block '", name, "'"));
    }
    HFWA_ASSIGN_OR_RETURN(known.blocks[number - 1], ParseBlock(block, known.positions.size()));
  }
  return known;
}

absl::StatusOr<KnownTokens> ReadTokens(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJson(path));
  absl::StatusOr<KnownTokens> known;
  try {
    known = ParseTokens(json);
  } catch (const nlohmann::json::exception& error) {
    known = absl::InvalidArgumentError(error.what());
  }
  if (known.ok()) return known;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", known.status().message()));
}

at::Tensor MadeUpPicture(const model::ModelConfig& config) {
  const int side = config.vision.image_size;
  at::Tensor image = at::empty({1, 3, side, side}, at::kFloat);
  auto values = image.accessor<float, 4>();
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const float pixel = static_cast<float>((7 * y + 13 * x + 29 * c) % 256) / 255.0F;
        const auto channel = static_cast<size_t>(c);
        values[0][c][y][x] = (pixel - config.mean[channel]) / config.std[channel];
      }
    }
  }
  return image;
}

// The tower alone, each of its blocks tapped.
model::ModelConfig TowerAlone(model::ModelConfig config) {
  config.taps.resize(static_cast<size_t>(config.vision_blocks()));
  for (size_t block = 0; block < config.taps.size(); ++block) {
    config.taps[block] = static_cast<int>(block);
  }
  config.vision.projection = false;
  config.vision.level_projections = false;
  config.embed_dim = config.vision.width;
  config.level_weights.clear();
  config.product_levels.reset();
  config.text.reset();
  config.residual_encoder = false;
  config.value_encoder = false;
  return config;
}

// Output of each block for the made-up picture: [L + 1, W].
absl::StatusOr<std::vector<at::Tensor>> BlockOutputs(model::ModelFiles files,
                                                     const model::HfwaOptions& options) {
  files.config = TowerAlone(std::move(files.config));
  std::vector<at::Tensor> outputs(files.config.taps.size());
  model::HfwaOptions traced = options;
  traced.trace = [&outputs](std::string_view name, const at::Tensor& value) {
    for (size_t block = 0; block < outputs.size(); ++block) {
      if (name == absl::StrCat("tap.", block)) {
        outputs[block] = value[0].to(at::kCPU, at::kDouble);
      }
    }
  };
  HFWA_ASSIGN_OR_RETURN(const auto hfwa, model::Hfwa::Create(std::move(files), traced));
  const std::vector<int> first_class = {0};
  HFWA_RETURN_IF_ERROR(hfwa->Forward(MadeUpPicture(hfwa->config()), first_class).status());
  return outputs;
}

void CompareBlock(const std::string& name, const at::Tensor& output, const KnownTokens& known,
                  const KnownBlock& block, Report& report) {
  const at::Tensor rows = output.index_select(0, at::tensor(known.positions, at::kLong));
  report.Compare(name + " tokens", rows.slice(1, 0, block.tokens.size(1)), block.tokens,
                 known.token_tolerance);
  if (!block.magnitude.has_value()) return;
  report.Compare(name + " mean magnitude", output.slice(0, 1).abs().mean(),
                 at::scalar_tensor(*block.magnitude, at::kDouble), known.magnitude_tolerance);
}

}  // namespace

absl::StatusOr<Report> CheckWeightsOf(const std::string& directory, const std::string& tokens_path,
                                      const model::HfwaOptions& options) {
  HFWA_ASSIGN_OR_RETURN(const KnownTokens known, ReadTokens(tokens_path));
  HFWA_ASSIGN_OR_RETURN(model::ModelFiles files, model::ReadModelDirectory(directory));
  HFWA_ASSIGN_OR_RETURN(const auto outputs, BlockOutputs(std::move(files), options));
  for (const int64_t position : known.positions) {
    if (position < 0 || position >= outputs[0].size(0)) {
      return absl::InvalidArgumentError(
          absl::StrCat(tokens_path, ": position ", position, " is not in the picture"));
    }
  }
  Report report;
  for (const auto& [number, block] : known.blocks) {
    const std::string name = absl::StrCat("block ", number + 1);
    if (number < static_cast<int>(outputs.size())) {
      CompareBlock(name, outputs[static_cast<size_t>(number)], known, block, report);
    } else {
      report.Skip(name, "the model does not use it");
    }
  }
  return report;
}

}  // namespace hfwa::lab
