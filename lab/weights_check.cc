#include "lab/weights_check.h"

#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::lab {
namespace {

struct KnownBlock {
  int block;  // from 0
  std::array<double, 4> first_token;
  std::array<double, 4> last_token;
  double mean_magnitude;  // of all patch tokens
};

constexpr char kName[] = "dinov2-small-b6-i8";
constexpr std::array<KnownBlock, 2> kBlocks = {{
    {2, {0.0545, -0.0649, 0.0208, -0.0621}, {0.0443, -0.0175, 0.1355, -0.0124}, 0.04681},
    {5, {0.1291, -0.0787, 0.0144, 0.0159}, {0.1593, 0.0776, 0.0992, -0.1465}, 0.07295},
}};
// Half of the last printed digit, and rounding.
constexpr double kTokenTolerance = 6e-5;
constexpr double kMeanTolerance = 6e-6;

// pixel(c, y, x) = ((7y + 13x + 29c) mod 256) / 255, normalised.
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

void CompareToken(const std::string& name, const at::Tensor& token,
                  const std::array<double, 4>& expected, Report& report) {
  const at::Tensor values = at::tensor(std::vector<double>(expected.begin(), expected.end()));
  report.Compare(name, token.slice(0, 0, 4), values, kTokenTolerance);
}

}  // namespace

absl::StatusOr<Report> CheckWeightsOf(const std::string& directory,
                                      const model::HfwaOptions& options) {
  HFWA_ASSIGN_OR_RETURN(model::ModelFiles files, model::ReadModelDirectory(directory));
  if (files.config.name != kName) {
    return absl::NotFoundError(absl::StrCat("no values are known for '", files.config.name, "'"));
  }
  std::map<std::string, at::Tensor> traced;
  model::HfwaOptions traced_options = options;
  traced_options.trace = [&traced](std::string_view name, const at::Tensor& value) {
    traced[std::string(name)] = value.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  };
  HFWA_ASSIGN_OR_RETURN(const auto hfwa, model::Hfwa::Create(std::move(files), traced_options));
  const std::vector<int> first_class = {0};
  HFWA_ASSIGN_OR_RETURN(const auto result,
                        hfwa->Forward(MadeUpPicture(hfwa->config()), first_class));
  Report report;
  for (int level = 0; level < hfwa->config().levels(); ++level) {
    for (const KnownBlock& known : kBlocks) {
      if (known.block != hfwa->config().taps[static_cast<size_t>(level)]) continue;
      const at::Tensor tokens = traced.at(absl::StrCat("patches.", level))[0];
      const std::string block = absl::StrCat("block ", known.block + 1);
      CompareToken(block + " first token", tokens[0], known.first_token, report);
      CompareToken(block + " last token", tokens[-1], known.last_token, report);
      report.Compare(block + " mean magnitude", tokens.abs().mean(),
                     at::scalar_tensor(known.mean_magnitude, at::kDouble), kMeanTolerance);
    }
  }
  return report;
}

}  // namespace hfwa::lab
