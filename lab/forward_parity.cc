#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/maps.h"
#include "core/model/torch_errors.h"
#include "lab/fixture.h"
#include "lab/parity.h"
#include "lab/seeded_model.h"
#include "lab/tolerances.h"

namespace hfwa::lab {
namespace {

// Models at least this wide count as full-size.
constexpr int kFullWidth = 512;

// Intermediate values by name; what comes image by image is joined into a batch.
class Collector {
 public:
  void Add(std::string_view name, const at::Tensor& value) {
    values_[std::string(name)].push_back(value.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true));
  }
  Tensors Take() {
    Tensors joined;
    for (auto& [name, parts] : values_) joined[name] = at::cat(parts);
    values_.clear();
    return joined;
  }

 private:
  std::map<std::string, std::vector<at::Tensor>> values_;
};

class ForwardRun {
 public:
  ForwardRun(Fixture fixture, const ParityOptions& options)
      : fixture_(std::move(fixture)), options_(options) {}

  absl::StatusOr<Report> Run() {
    HFWA_RETURN_IF_ERROR(CompleteFixture());
    HFWA_RETURN_IF_ERROR(CreateModel());
    HFWA_RETURN_IF_ERROR(RunQueries());
    HFWA_RETURN_IF_ERROR(RunReferences());
    AddSelections();
    return Compare();
  }

 private:
  // Weights and images that the folder does not store come from the recipe.
  absl::Status CompleteFixture();
  absl::Status CreateModel();
  absl::Status RunQueries();
  absl::Status RunReferences();
  void AddSelections();
  Report Compare() const;

  absl::StatusOr<at::Tensor> Input(const std::string& name) const {
    const auto found = fixture_.inputs.find(name);
    if (found == fixture_.inputs.end()) {
      return absl::NotFoundError(absl::StrCat("inputs.safetensors holds no ", name));
    }
    return found->second;
  }
  at::Tensor Positions(const std::string& key) const {
    return at::tensor(fixture_.config.at(key).get<std::vector<int64_t>>(), at::kLong);
  }

  Fixture fixture_;
  const ParityOptions options_;
  model::ModelConfig config_;
  Collector collector_;
  std::unique_ptr<model::Hfwa> hfwa_;
  at::Tensor tokens_;  // of the queries, [B, n, L, E]
  Tensors computed_;
};

absl::Status ForwardRun::CompleteFixture() {
  HFWA_ASSIGN_OR_RETURN(config_, model::ParseModelConfig(fixture_.config_text));
  const uint64_t seed = fixture_.config.value("seed", uint64_t{0});
  if (fixture_.weights.empty()) {
    const model::Weights seeded = SeededWeights(config_, seed);
    fixture_.weights = seeded.tensors();
  }
  for (const auto& [input, prefix, count] : {std::tuple("images", "image", "batch"),
                                             std::tuple("references", "reference", "references")}) {
    const int images = fixture_.config.value(count, 0);
    if (fixture_.inputs.count(input) == 0 && images > 0) {
      fixture_.inputs[input] = SeededImages(config_, seed, prefix, images);
    }
  }
  return absl::OkStatus();
}

absl::Status ForwardRun::CreateModel() {
  model::ModelFiles files;
  files.config = config_;
  files.config_json = fixture_.config_text;
  for (auto& [name, tensor] : fixture_.weights) files.weights.Set(name, std::move(tensor));
  fixture_.weights.clear();
  model::ResolveAliases(config_, files.weights);
  HFWA_RETURN_IF_ERROR(model::CheckWeights(config_, files.weights));

  model::HfwaOptions options;
  options.device = options_.device;
  options.precision = options_.precision;
  options.trace = [this](std::string_view name, const at::Tensor& value) {
    collector_.Add(name, value);
  };
  if (config_.has_language()) {
    options.prompt_tokens.emplace();
    HFWA_ASSIGN_OR_RETURN(options.prompt_tokens->normal, Input("prompt_tokens_normal"));
    HFWA_ASSIGN_OR_RETURN(options.prompt_tokens->anomaly, Input("prompt_tokens_anomaly"));
  }
  HFWA_ASSIGN_OR_RETURN(hfwa_, model::Hfwa::Create(std::move(files), options));
  return absl::OkStatus();
}

absl::Status ForwardRun::RunQueries() {
  HFWA_ASSIGN_OR_RETURN(const at::Tensor stored, Input("images"));
  const int64_t batch = fixture_.config.value("batch", stored.size(0));
  const at::Tensor images = stored.narrow(0, 0, std::min(batch, stored.size(0))).contiguous();
  std::vector<int> classes;
  for (int64_t b = 0; b < images.size(0); ++b) {
    classes.push_back(
        hfwa_->ClassIndex(fixture_.config.at("request_classes").at(b).get<std::string>()));
  }
  const auto start = std::chrono::steady_clock::now();
  HFWA_ASSIGN_OR_RETURN(const model::ForwardResult result, hfwa_->Forward(images, classes));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << "forward: " << images.size(0) << " images in " << seconds.count() << " s\n";
  computed_ = collector_.Take();
  tokens_ = result.tokens;
  const std::vector<int64_t> wide_classes(classes.begin(), classes.end());
  computed_["class_index"] = at::tensor(wide_classes, at::kLong);

  computed_["text_probs"] = result.text_probs;
  computed_["score_zero"] = result.text_probs.select(1, 1);
  const at::Tensor maps = model::LanguageMaps(result.language_diff, config_.map_size);
  for (int level = 0; level < config_.levels(); ++level) {
    computed_[absl::StrCat("maps.", level)] = maps.select(1, level);
  }
  computed_["map_sum"] = maps.sum(1);
  computed_["map_filtered"] = model::ZeroShotMap(config_, result.language_diff);
  return absl::OkStatus();
}

absl::Status ForwardRun::RunReferences() {
  if (fixture_.inputs.count("references") == 0) return absl::OkStatus();
  HFWA_ASSIGN_OR_RETURN(const at::Tensor stored, Input("references"));
  const int64_t count = fixture_.config.value("references", stored.size(0));
  const at::Tensor images = stored.narrow(0, 0, std::min(count, stored.size(0))).contiguous();
  const std::vector<int> classes(images.size(0), 0);
  HFWA_ASSIGN_OR_RETURN(const model::ForwardResult result,
                        hfwa_->Forward(images, classes, {.language = false, .tokens = true}));
  const Tensors traced = collector_.Take();
  for (int level = 0; level < config_.levels(); ++level) {
    computed_[absl::StrCat("bank.", level)] = traced.at(absl::StrCat("patches.", level));
  }
  // [K, n, L, E] -> [n, K * L, E]
  const auto bank = model::PackedBank::Pack(
      hfwa_->kernels(), result.tokens.transpose(0, 1).flatten(1, 2).contiguous());
  const at::Tensor few = model::MatchTokens(tokens_, bank);
  for (int level = 0; level < config_.levels(); ++level) {
    computed_[absl::StrCat("few.", level)] = few.select(1, level);
  }
  computed_["few_sum"] = model::FewShotMap(config_, few);
  computed_["combined"] = computed_["map_filtered"] + computed_["few_sum"];
  const at::Tensor peaks = computed_["combined"].flatten(1).amax(1);
  const at::Tensor scaled = (peaks - peaks.min()) / (peaks.max() - peaks.min());
  computed_["score_few"] = 0.5 * (computed_["score_zero"] + scaled);
  return absl::OkStatus();
}

// Full-size folders store parts of the large tensors.
void ForwardRun::AddSelections() {
  for (int level = 0; level < config_.levels(); ++level) {
    const auto name = [level](const char* base) { return absl::StrCat(base, ".", level); };
    computed_[name("tap_class")] = computed_[name("tap")].select(1, 0);
    if (fixture_.config.contains("positions")) {
      computed_[name("patches_at")] =
          computed_[name("patches")].index_select(1, Positions("positions"));
    }
    if (fixture_.config.contains("positions_adapted")) {
      computed_[name("patch_features_at")] =
          computed_[name("patch_features")].index_select(1, Positions("positions_adapted"));
    }
  }
  if (!fixture_.config.contains("map_stride")) return;
  const auto stride = fixture_.config.at("map_stride").get<int64_t>();
  for (const std::string name : {"map_filtered", "combined"}) {
    if (computed_.count(name) == 0) continue;
    computed_[absl::StrCat(name, "_s", stride)] =
        computed_[name].slice(1, 0, c10::nullopt, stride).slice(2, 0, c10::nullopt, stride);
  }
}

Report ForwardRun::Compare() const {
  Report report;
  const bool full = config_.vision.width >= kFullWidth;
  // Unknown classes must fall back as in the paper's program.
  const auto classes = fixture_.inputs.find("class_index");
  if (classes != fixture_.inputs.end()) {
    const at::Tensor& computed = computed_.at("class_index");
    report.Compare("class_index", computed, classes->second.narrow(0, 0, computed.size(0)), 0);
  }
  for (const auto& [name, expected] : fixture_.expected) {
    const double tolerance = Tolerance(name, options_.precision, full);
    const auto found = computed_.find(name);
    if (found == computed_.end() || tolerance < 0) {
      report.Missing(name, found == computed_.end() ? "not computed" : "no tolerance known");
    } else {
      report.Compare(name, found->second, expected, tolerance);
    }
  }
  return report;
}

}  // namespace

absl::StatusOr<Report> ForwardParity(const std::string& folder, const ParityOptions& options) {
  HFWA_ASSIGN_OR_RETURN(Fixture fixture, ReadFixture(folder));
  if (fixture.expected.empty()) {
    return absl::NotFoundError(absl::StrCat(folder, " holds no expected.safetensors"));
  }
  ForwardRun run(std::move(fixture), options);
  return model::CatchTorchErrors([&] { return run.Run(); });
}

}  // namespace hfwa::lab
