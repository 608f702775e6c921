#include "lab/train/model_card.h"

#include <ATen/Parallel.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/strings.h"
#include "lab/train/trainer.h"

namespace hfwa::lab::train {
namespace {

// A name from outside within a line of Markdown.
std::string Plain(const std::string& text) {
  std::string plain;
  for (const char c : text) plain += c == '|' || c == '`' || (c >= 0 && c < ' ') ? '?' : c;
  return IsValidUtf8(plain) ? plain : "?";
}

std::string Table(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string text = "| | |\n|---|---|\n";
  for (const auto& [name, value] : rows) absl::StrAppend(&text, "| ", name, " | ", value, " |\n");
  return text;
}

const char* AdapterName(model::AdapterConfig::Type type) {
  switch (type) {
    case model::AdapterConfig::Type::kFwa:
      return "window attention";
    case model::AdapterConfig::Type::kLinear:
      return "linear";
    case model::AdapterConfig::Type::kNone:
      return "no";
  }
  return "no";
}

std::string Variant(const model::ModelConfig& config) {
  const bool linear = config.adapter.type == model::AdapterConfig::Type::kLinear;
  const bool fixed = config.prompt.type == model::PromptConfig::Type::kFixed;
  return absl::StrFormat(
      "%s adapters%s, %s prompts (%d normal, %d anomaly states, %d classes)%s%s",
      AdapterName(config.adapter.type), linear && config.share_weight ? ", one for all levels" : "",
      fixed ? "fixed" : "learned", config.prompt.states_normal.size(),
      config.prompt.states_anomaly.size(), config.prompt.class_names.size(),
      config.residual_encoder ? absl::StrFormat(", residual encoder (gamma %g)", config.gamma) : "",
      config.value_encoder ? ", tokens of v-v attention" : "");
}

std::string Options(const TrainOptions& options) {
  std::vector<std::pair<std::string, std::string>> rows;
  const nlohmann::json identity = Identity(options);
  for (const auto& [key, value] : identity.items()) {
    rows.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  rows.emplace_back("epochs", absl::StrCat(options.epochs));
  rows.emplace_back("threads", absl::StrCat(at::get_num_threads()));
  return Table(rows);
}

std::string Epochs(const std::vector<EpochResult>& epochs,
                   const std::vector<std::string>& loss_parts, int best) {
  std::string text = "| epoch | loss |", rule = "|---|---|";
  for (const std::string& part : loss_parts) {
    absl::StrAppend(&text, " ", part, " |");
    absl::StrAppend(&rule, "---|");
  }
  absl::StrAppend(&text, " learning rate | s/image | through the backbone |\n", rule,
                  "---|---|---|\n");
  for (const EpochResult& e : epochs) {
    absl::StrAppendFormat(&text, "| %d%s | %.6f |", e.epoch + 1, e.epoch == best ? " (kept)" : "",
                          e.losses.total);
    for (const double part : e.losses.parts) absl::StrAppendFormat(&text, " %.6f |", part);
    absl::StrAppendFormat(&text, " %g | %.4f | %d for %d |\n", e.learning_rate, e.seconds_per_image,
                          e.backbone_images, e.images);
  }
  return text;
}

std::string Metrics(const TrainOptions& options, const std::vector<CardMetrics>& sets) {
  if (sets.empty()) return "";
  const int references = options.samples.references;
  std::string text = absl::StrCat(
      "\n## Measured\n\n",
      references > 0 ? absl::StrCat("With ", references, " references") : "Without references",
      ", in percent, means over classes.\n\n| data |");
  for (const auto& [name, value] : sets.front().values) absl::StrAppend(&text, " ", name, " |");
  absl::StrAppend(&text, "\n|---|");
  for (size_t i = 0; i < sets.front().values.size(); ++i) absl::StrAppend(&text, "---|");
  for (const CardMetrics& set : sets) {
    absl::StrAppend(&text, "\n| ", Plain(set.data), " |");
    for (const auto& [name, value] : set.values) absl::StrAppend(&text, " ", value, " |");
  }
  return text + "\n";
}

}  // namespace

std::string ModelCard(const TrainOptions& options, const model::ModelConfig& config,
                      const DataSet& data, const CardFacts& facts,
                      const std::vector<EpochResult>& epochs) {
  std::vector<std::string> classes;
  for (const ItemClass& c : data.classes) classes.push_back(Plain(c.name));
  const bool hfwa = options.method == TrainMethod::kHfwa;
  const std::string what = Table({
      {"variant", hfwa ? Variant(config) : MethodName(options.method)},
      {"digest", facts.digest},
      {"frozen CLIP", absl::StrCat(Plain(options.model), ", digest ", facts.frozen_digest)},
      {"data", absl::StrCat(Plain(options.data), " (", Plain(data.layout), "), listing ",
                            facts.data_digest)},
      {"classes", absl::StrJoin(classes, ", ")},
      {"images", absl::StrFormat("%d, of them %d anomalous (%d without a mask)", facts.images,
                                 facts.anomalous, facts.without_mask)},
  });
  return absl::StrCat(
      "# ", config.name.empty() ? "HFWA model" : Plain(config.name), "\n\nTrained by hfwa-train: ",
      hfwa ? "contexts, adapters and text linear"
           : absl::StrCat("the networks of ", MethodName(options.method)),
      " over a frozen CLIP.\n\n", what, "\n## Options\n\n", Options(options),
      "\n## Losses on the training images\n\nMeans over an epoch's batches, while "
      "it learnt.\n\n",
      Epochs(epochs, facts.loss_parts, facts.best_epoch), Metrics(options, facts.metrics));
}

}  // namespace hfwa::lab::train
