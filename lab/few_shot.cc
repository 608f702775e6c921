#include "lab/few_shot.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/bank/bank.h"
#include "core/base/status_macros.h"
#include "core/model/maps.h"
#include "core/model/torch_errors.h"
#include "core/scoring/score_model.h"
#include "lab/image_set.h"
#include "lab/metrics/statistics.h"
#include "lab/model_input.h"
#include "lab/python_random.h"

namespace hfwa::lab {
namespace {

constexpr int kDrawn = 4;  // the protocol draws four whatever K is

struct Encoded {
  at::Tensor tokens;         // [n, L, E] fp16: a set's tokens must fit in memory
  at::Tensor language_map;   // [S, S]; undefined without language
  double probability = 0.0;  // of a defect, by language
};

// What one image gives against one bank.
struct Judged {
  double top1 = 0.0;
  double max = 0.0;
  double combined_max = 0.0;
  double combined_mean = 0.0;
};

class FewShotRun {
 public:
  FewShotRun(const FewShotOptions& options, std::ostream& out) : options_(options), out_(out) {}

  absl::Status Run() {
    HFWA_RETURN_IF_ERROR(Check());
    HFWA_ASSIGN_OR_RETURN(set_, ReadImageSet(options_.data));
    HFWA_ASSIGN_OR_RETURN(model::ModelFiles files, model::ReadModelDirectory(options_.model));
    HFWA_ASSIGN_OR_RETURN(hfwa_, model::Hfwa::Create(std::move(files), options_.hfwa));
    if (Drawn() > static_cast<int>(set_.pool.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("the pool has ", set_.pool.size(), " images, fewer than references"));
    }
    HFWA_RETURN_IF_ERROR(EncodeAll());
    for (const double ratio : options_.coreset_ratios) {
      coreset_ratio_ = ratio;
      aurocs_.clear();
      called_.clear();
      for (const int shots : options_.shots) Measure(shots);
      Print();
    }
    return absl::OkStatus();
  }

 private:
  using Key = std::pair<int, std::string>;  // shots, score
  // Share of test images called anomalous at the service's own threshold, one a seed, by kind.
  using Called = std::map<std::string, std::vector<double>>;

  absl::Status Check() const;
  int Drawn() const {
    return std::max(kDrawn, *std::max_element(options_.shots.begin(), options_.shots.end()));
  }
  absl::Status EncodeAll();
  absl::StatusOr<Encoded> Encode(const std::string& path) const;
  void Measure(int shots);
  // These references' tokens, or their coreset.
  std::shared_ptr<const bank::Bank> MakeBank(const std::vector<int>& indices) const;
  scoring::ScoreModel ServiceScore(const std::vector<int>& drawn, int shots) const;
  scoring::RawScore Raw(const Encoded& image, const Judged& judged) const;
  void AddService(int shots, const std::vector<Judged>& judged, const scoring::ScoreModel& model);
  Judged Judge(const Encoded& image, const at::Tensor& few) const;
  std::vector<double> Scores(const std::vector<Judged>& judged, const std::string& score) const;
  void Add(const Key& key, const std::vector<double>& scores);
  void Print() const;

  const FewShotOptions& options_;
  std::ostream& out_;
  ImageSet set_;
  std::unique_ptr<model::Hfwa> hfwa_;
  std::map<int, Encoded> references_;  // by index in the pool
  std::vector<Encoded> tests_;
  std::map<Key, std::map<std::string, std::vector<double>>> aurocs_;  // kind -> one a seed
  double coreset_ratio_ = 1;
  std::map<int, Called> called_;  // by shots
};

absl::Status FewShotRun::Check() const {
  static const std::set<std::string> kScores = {"top1", "max", "paper", "service"};
  for (const std::string& score : options_.scores) {
    if (kScores.count(score) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("score '", score, "' is none of top1, max, paper, service"));
    }
  }
  for (const int shots : options_.shots) {
    if (shots < 1) return absl::InvalidArgumentError("shots must be at least 1");
  }
  for (const int seed : options_.seeds) {
    if (seed < 0) return absl::InvalidArgumentError("seeds must not be negative");
  }
  for (const double ratio : options_.coreset_ratios) {
    if (!(ratio > 0 && ratio <= 1)) {
      return absl::InvalidArgumentError("coreset ratios must be more than 0 and at most 1");
    }
  }
  if (options_.shots.empty() || options_.seeds.empty() || options_.coreset_ratios.empty()) {
    return absl::InvalidArgumentError("at least one shot, seed and coreset ratio are needed");
  }
  return absl::OkStatus();
}

absl::StatusOr<Encoded> FewShotRun::Encode(const std::string& path) const {
  HFWA_ASSIGN_OR_RETURN(const at::Tensor image, ReadModelInput(path, hfwa_->config()));
  const std::vector<int> first_class = {0};
  HFWA_ASSIGN_OR_RETURN(const model::ForwardResult result, hfwa_->Forward(image, first_class));
  Encoded encoded;
  encoded.tokens = result.tokens[0].to(at::kCPU, at::kHalf);
  if (result.text_probs.defined()) {
    encoded.probability = result.text_probs[0][1].item<double>();
    encoded.language_map = model::ZeroShotMap(hfwa_->config(), result.language_diff)[0].cpu();
  }
  return encoded;
}

absl::Status FewShotRun::EncodeAll() {
  for (const int seed : options_.seeds) {
    for (const int index : PythonRandom(static_cast<uint32_t>(seed))
                               .Sample(static_cast<int>(set_.pool.size()), Drawn())) {
      if (references_.count(index) > 0) continue;
      const std::string& path = set_.pool[static_cast<size_t>(index)];
      HFWA_ASSIGN_OR_RETURN(references_[index], Encode(path));
    }
  }
  for (const TestImage& test : set_.tests) {
    HFWA_ASSIGN_OR_RETURN(Encoded encoded, Encode(test.path));
    tests_.push_back(std::move(encoded));
  }
  return absl::OkStatus();
}

void FewShotRun::Measure(int shots) {
  for (const int seed : options_.seeds) {
    std::vector<int> drawn = PythonRandom(static_cast<uint32_t>(seed))
                                 .Sample(static_cast<int>(set_.pool.size()), Drawn());
    const auto bank = MakeBank({drawn.begin(), drawn.begin() + shots});
    std::vector<Judged> judged;
    for (const Encoded& test : tests_)
      judged.push_back(Judge(test, bank->Match(test.tokens.to(at::kFloat)).unsqueeze(0)));
    for (const std::string& score : options_.scores) {
      if (score == "service") {
        AddService(shots, judged, ServiceScore(drawn, shots));
      } else {
        Add({shots, score}, Scores(judged, score));
      }
    }
  }
}

scoring::RawScore FewShotRun::Raw(const Encoded& image, const Judged& judged) const {
  scoring::RawScore raw;
  raw.map_max = judged.combined_max;
  if (hfwa_->config().has_language()) raw.text_probability = image.probability;
  return raw;
}

std::shared_ptr<const bank::Bank> FewShotRun::MakeBank(const std::vector<int>& indices) const {
  const auto full = *bank::Bank::Create(
      static_cast<int>(indices.size()), hfwa_->kernels(),
      [&](int k) { return references_.at(indices[static_cast<size_t>(k)]).tokens.to(at::kFloat); });
  if (coreset_ratio_ >= 1) return full;
  return *full->Keep(hfwa_->kernels(), full->Coreset(coreset_ratio_));
}

// As the engine derives it from a product's references (docs/scoring.md).
scoring::ScoreModel FewShotRun::ServiceScore(const std::vector<int>& drawn, int shots) const {
  std::vector<scoring::ReferenceRaw> raws;
  for (int k = 0; k < shots; ++k) {
    const Encoded& reference = references_.at(drawn[static_cast<size_t>(k)]);
    const at::Tensor tokens = reference.tokens.to(at::kFloat);
    std::vector<int> others(drawn.begin(), drawn.begin() + shots);
    if (shots > 1) others.erase(others.begin() + k);
    const auto bank = MakeBank(others);
    const at::Tensor few =
        (shots == 1 ? bank->MatchSelf(tokens, 0) : bank->Match(tokens)).unsqueeze(0);
    const Judged judged = Judge(reference, few);
    raws.push_back({.raw = Raw(reference, judged), .map_mean = judged.combined_mean});
  }
  return scoring::ScoreModel::FromReferences(raws);
}

void FewShotRun::AddService(int shots, const std::vector<Judged>& judged,
                            const scoring::ScoreModel& model) {
  std::vector<double> scores;
  std::map<std::string, std::vector<double>> called;
  for (size_t i = 0; i < judged.size(); ++i) {
    scores.push_back(model.Score(Raw(tests_[i], judged[i])));
    called[set_.tests[i].kind].push_back(scores.back() >= *model.threshold() ? 100.0 : 0.0);
  }
  Add({shots, "service"}, scores);
  for (const auto& [kind, values] : called) called_[shots][kind].push_back(Mean(values));
}

// `few` [1, n, g, g]: the image's distances to a bank.
Judged FewShotRun::Judge(const Encoded& image, const at::Tensor& few) const {
  const at::Tensor sum = few.sum(1).flatten();
  const auto hundredth = std::max<int64_t>(1, std::lround(0.01 * static_cast<double>(sum.numel())));
  at::Tensor combined = model::FewShotMap(hfwa_->config(), few)[0];
  if (image.language_map.defined()) combined = combined + image.language_map;
  return {std::get<0>(sum.topk(hundredth)).mean().item<double>(), sum.max().item<double>(),
          combined.max().item<double>(), combined.mean().item<double>()};
}

std::vector<double> FewShotRun::Scores(const std::vector<Judged>& judged,
                                       const std::string& score) const {
  double low = judged.front().combined_max, high = low;
  for (const Judged& image : judged) {
    low = std::min(low, image.combined_max);
    high = std::max(high, image.combined_max);
  }
  std::vector<double> scores;
  for (size_t i = 0; i < judged.size(); ++i) {
    if (score == "top1") {
      scores.push_back(judged[i].top1);
    } else if (score == "max") {
      scores.push_back(judged[i].max);
    } else {
      // Undefined where all are equal; zero then.
      const double scaled = high > low ? (judged[i].combined_max - low) / (high - low) : 0.0;
      scores.push_back(hfwa_->config().has_language() ? 0.5 * (tests_[i].probability + scaled)
                                                      : scaled);
    }
  }
  return scores;
}

void FewShotRun::Add(const Key& key, const std::vector<double>& scores) {
  std::vector<double> good, all;
  std::map<std::string, std::vector<double>> defects;
  for (size_t i = 0; i < scores.size(); ++i) {
    const std::string& kind = set_.tests[i].kind;
    if (kind == "good") {
      good.push_back(scores[i]);
    } else {
      defects[kind].push_back(scores[i]);
      all.push_back(scores[i]);
    }
  }
  aurocs_[key]["all"].push_back(100 * Auroc(good, all));
  for (const auto& [kind, values] : defects)
    aurocs_[key][kind].push_back(100 * Auroc(good, values));
}

void FewShotRun::Print() const {
  out_ << set_.tests.size() << " test images, references from " << set_.pool.size()
       << ", image AUROC in % (deviation over " << options_.seeds.size() << " seeds)\n";
  if (coreset_ratio_ < 1) out_ << "coreset ratio " << coreset_ratio_ << "\n";
  for (const auto& [key, kinds] : aurocs_) {
    out_ << "K=" << key.first << " " << std::left << std::setw(6) << key.second;
    const auto cell = [&](const std::string& kind, const std::vector<double>& values) {
      out_ << "  " << kind << " "
           << absl::StrFormat("%.1f (%.1f)", Mean(values), Deviation(values));
    };
    cell("all", kinds.at("all"));
    for (const auto& [kind, values] : kinds) {
      if (kind != "all") cell(kind, values);
    }
    out_ << "\n";
  }
  for (const auto& [shots, kinds] : called_) {
    out_ << "K=" << shots << " called anomalous at the service's own threshold, %:";
    for (const auto& [kind, values] : kinds) {
      out_ << "  " << kind << " "
           << absl::StrFormat("%.1f (%.1f)", Mean(values), Deviation(values));
    }
    out_ << "\n";
  }
}

}  // namespace

absl::Status RunFewShot(const FewShotOptions& options, std::ostream& out) {
  FewShotRun run(options, out);
  return model::CatchTorchErrors([&] { return run.Run(); });
}

}  // namespace hfwa::lab
