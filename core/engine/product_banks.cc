#include "core/engine/product_banks.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/bank/coreset.h"
#include "core/bank/product_levels.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/engine/method.h"

namespace hfwa::engine {
namespace {

// Pictures of the largest bank of which a coreset without each reference is made; the time for all
// of them grows with the third power.
constexpr int kLeftOutPicturesMax = 64;

// Banks that are built at a time for calls that wait; the device is what limits them.
constexpr int kBuilders = 2;

}  // namespace

ProductBanks::ProductBanks(store::Store* store, store::FeatureCache* cache, Encoder* encoder,
                           ReferenceFeatures* features, int64_t bytes_max)
    : store_(store),
      cache_(cache),
      encoder_(encoder),
      features_(features),
      bytes_max_(bytes_max),
      // One task for each product with calls that wait, and those are bounded by admission.
      builders_("hfwa-banks", kBuilders, std::numeric_limits<size_t>::max()) {}

// Snapshots --------------------------------------------------------------------------------------

bool ProductBanks::Fits(const ProductBank& bank, const store::Product& product) const {
  return bank.product_uid == product.uid &&
         bank.class_index == encoder_->model().ClassIndex(product.class_name) &&
         bank.coreset_ratio == product.coreset_ratio && bank.method == product.method;
}

ProductBanks::Snapshot ProductBanks::Find(const store::Product& product, bool any_revision) {
  const auto it = entries_.find(product.id);
  if (it == entries_.end() || !Fits(*it->second.snapshot, product)) return nullptr;
  // A caller may have read the product just before a newer revision came into force.
  if (!any_revision && it->second.snapshot->revision < product.revision) return nullptr;
  recency_.splice(recency_.end(), recency_, it->second.recency);
  return it->second.snapshot;
}

void ProductBanks::Insert(const std::string& product_id, Snapshot snapshot) {
  if (const auto old = entries_.find(product_id); old != entries_.end()) {
    bytes_ -= old->second.bytes;
    recency_.erase(old->second.recency);
    entries_.erase(old);
  }
  const int64_t bytes = snapshot->bank == nullptr ? 0 : snapshot->bank->bytes();
  entries_[product_id] = {std::move(snapshot), bytes, recency_.insert(recency_.end(), product_id)};
  bytes_ += bytes;
  while (bytes_ > bytes_max_ && entries_.size() > 1) {
    const auto oldest = entries_.find(recency_.front());
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
    recency_.pop_front();
  }
}

absl::StatusOr<ProductBanks::Snapshot> ProductBanks::Get(const store::Product& product) {
  {
    absl::MutexLock lock(&mu_);
    const bool refreshing = building_.count(product.id) > 0;
    if (Snapshot found = Find(product, refreshing)) return found;
  }
  HFWA_RETURN_IF_ERROR(Refresh(product));
  absl::MutexLock lock(&mu_);
  if (Snapshot found = Find(product, true)) return found;
  // Deleted, or changed its class, or pushed out in the same instant.
  return absl::UnavailableError("the product's memory bank changed too fast");
}

void ProductBanks::WhenReady(const store::Product& product, const Ready& done) {
  Snapshot found;
  {
    absl::MutexLock lock(&mu_);
    found = Find(product, building_.count(product.id) > 0);
    if (found == nullptr) {
      std::vector<Waiting>& waiting = waiting_[product.id];
      waiting.push_back({product, done});
      if (waiting.size() > 1) return;
    }
  }
  if (found != nullptr) {
    done(std::move(found));
    return;
  }
  const auto serve = [this, id = product.id] { ServeWaiting(id); };
  if (!builders_.Submit(serve).ok()) serve();
}

void ProductBanks::ServeWaiting(const std::string& product_id) {
  const auto get = [this](const store::Product& product) -> absl::StatusOr<Snapshot> {
    try {
      return Get(product);
    } catch (const std::exception& e) {
      return absl::InternalError(e.what());
    }
  };
  store::Product first;
  {
    absl::MutexLock lock(&mu_);
    first = waiting_.at(product_id).front().product;
  }
  const absl::StatusOr<Snapshot> snapshot = get(first);
  std::vector<Waiting> waiting;
  {
    absl::MutexLock lock(&mu_);
    waiting = std::move(waiting_.extract(product_id).mapped());
  }
  for (const Waiting& call : waiting) {
    // While the build went on, the product may have been changed or made anew.
    const bool same = snapshot.ok() ? Fits(**snapshot, call.product) &&
                                          (*snapshot)->revision >= call.product.revision
                                    : first.uid == call.product.uid;
    call.done(same ? snapshot : get(call.product));
  }
}

absl::Status ProductBanks::Refresh(const store::Product& product) {
  {
    absl::MutexLock lock(&mu_);
    const auto free = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return building_.count(product.id) == 0;
    };
    mu_.Await(absl::Condition(&free));
    if (Find(product, false) != nullptr) return absl::OkStatus();  // somebody else built it
    building_.insert(product.id);
  }
  const auto done = absl::MakeCleanup([&] {
    absl::MutexLock lock(&mu_);
    building_.erase(product.id);
  });
  HFWA_ASSIGN_OR_RETURN(Snapshot snapshot, Build(product));
  absl::MutexLock lock(&mu_);
  Insert(product.id, std::move(snapshot));
  return absl::OkStatus();
}

void ProductBanks::Drop(const std::string& product_id) {
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(product_id);
  if (it == entries_.end()) return;
  bytes_ -= it->second.bytes;
  recency_.erase(it->second.recency);
  entries_.erase(it);
}

absl::StatusOr<ProductBanks::Snapshot> ProductBanks::Build(const store::Product& product) {
  const int class_index = encoder_->model().ClassIndex(product.class_name);
  HFWA_ASSIGN_OR_RETURN(const store::Revision revision, store_->CurrentRevision(product.id));
  auto snapshot = std::make_shared<ProductBank>();
  snapshot->product_uid = product.uid;
  snapshot->revision = revision.number;
  snapshot->class_index = class_index;
  snapshot->score_model = scoring::ScoreModel::ZeroShot(encoder_->model().config().levels());
  snapshot->coreset_ratio = product.coreset_ratio;
  snapshot->method = product.method;
  if (revision.references.empty()) return snapshot;
  store::Product built = product;
  built.revision = revision.number;
  HFWA_RETURN_IF_ERROR(Fill(*snapshot, revision, built));
  return snapshot;
}

absl::StatusOr<std::shared_ptr<const bank::Bank>> ProductBanks::MakeBank(
    const store::Revision& revision, const ProductBank& snapshot,
    const bank::Bank::Selection& selection) {
  const int each = store::PicturesPerReference(snapshot.method);
  return bank::Bank::Create(
      each * static_cast<int>(revision.references.size()), encoder_->model().kernels(),
      [&](int picture) -> absl::StatusOr<at::Tensor> {
        const store::Reference& reference =
            revision.references[static_cast<size_t>(picture / each)];
        HFWA_ASSIGN_OR_RETURN(
            const ReferenceFeatures::Features features,
            features_->Load(reference.sha256, picture % each, snapshot.class_index));
        return features.tokens.to(encoder_->model().options().device);
      },
      selection, encoder_->model().config().level_weights);
}

absl::Status ProductBanks::Fill(ProductBank& snapshot, const store::Revision& revision,
                                const store::Product& product) {
  const int class_index = snapshot.class_index;
  const bool all = product.coreset_ratio >= 1;
  const auto calibration = LoadCalibration(product, class_index);
  auto selection = all ? bank::Bank::Selection() : LoadCoreset(product);
  if (calibration.ok() && selection.ok()) {
    HFWA_ASSIGN_OR_RETURN(snapshot.bank, MakeBank(revision, snapshot, *selection));
    if (!calibration->level_weights.empty())
      snapshot.bank = snapshot.bank->WithLevelWeights(calibration->level_weights);
    snapshot.score_model = calibration->score_model;
    return absl::OkStatus();
  }
  HFWA_ASSIGN_OR_RETURN(const auto full, MakeBank(revision, snapshot, {}));
  snapshot.bank = full;
  if (!all) {
    selection = full->Coreset(product.coreset_ratio);
    HFWA_ASSIGN_OR_RETURN(snapshot.bank, full->Keep(encoder_->model().kernels(), *selection));
    SaveCoreset(product, *selection);
  }
  HFWA_RETURN_IF_ERROR(Calibrate(snapshot, *full, revision));
  SaveCalibration(product, class_index,
                  {snapshot.score_model,
                   HasProductLevels() ? snapshot.bank->level_weights() : std::vector<float>()});
  return absl::OkStatus();
}

std::string ProductBanks::CoresetKey(const store::Product& product) {
  return Sha256Hex(
      absl::StrCat("coreset ", product.uid, " ", product.revision, " ", product.coreset_ratio));
}

absl::StatusOr<bank::Bank::Selection> ProductBanks::LoadCoreset(const store::Product& product) {
  const model::ModelConfig& config = encoder_->model().config();
  const auto levels = static_cast<size_t>(config.levels());
  const int pictures = product.reference_count * store::PicturesPerReference(product.method);
  const auto size = static_cast<size_t>(bank::CoresetSize(
      int64_t{pictures} * config.vision.patches(), pictures, product.coreset_ratio));
  HFWA_ASSIGN_OR_RETURN(const std::vector<float> rows,
                        cache_->Get(CoresetKey(product), kCoresetHeader, levels * size));
  bank::Bank::Selection selection(levels, std::vector<int64_t>(size));
  for (size_t i = 0; i < rows.size(); ++i)
    selection[i / size][i % size] = static_cast<int64_t>(rows[i]);
  return selection;
}

void ProductBanks::SaveCoreset(const store::Product& product,
                               const bank::Bank::Selection& selection) {
  std::vector<float> rows;  // below 2^24, so exact: at most 4096 pictures of 1024 patches
  for (const auto& level : selection) rows.insert(rows.end(), level.begin(), level.end());
  // The cache may fail: then the next start chooses again, and chooses the same.
  cache_->Put(CoresetKey(product), kCoresetHeader, rows).IgnoreError();
}

// Score model ------------------------------------------------------------------------------------

scoring::ReferenceRaw ProductBanks::Raw(const ProductBank& snapshot,
                                        const ReferenceFeatures::Features& features,
                                        const at::Tensor& few) const {
  const model::ModelConfig& config = encoder_->model().config();
  const Judged judged = JudgeMatches(config, snapshot.method, features.language_diff, few.cpu());
  scoring::ReferenceRaw raw;
  raw.raw.map_max = judged.distance();
  raw.map_mean = judged.map.mean().item<float>();
  if (UsesLanguage(config, snapshot.method)) raw.raw.text_probability = features.text_probability;
  return raw;
}

absl::Status ProductBanks::Calibrate(ProductBank& snapshot, const bank::Bank& full,
                                     const store::Revision& revision) {
  const model::ModelConfig& config = encoder_->model().config();
  const std::vector<int> judged =
      scoring::JudgedReferences(static_cast<int>(revision.references.size()));
  std::vector<bank::ReferenceLevels> references;
  for (const int k : judged) {
    bank::ReferenceLevels& reference = references.emplace_back();
    HFWA_ASSIGN_OR_RETURN(reference.few, MatchOthers(snapshot, full, k));
    if (!HasProductLevels()) continue;
    const int own = k * store::PicturesPerReference(snapshot.method);
    HFWA_RETURN_IF_ERROR(encoder_->RunTask(batching::Lane::kRegister, [&] {
      reference.halves_ratio = bank::HalvesRatio(full.ReferenceTokens(own));
      return absl::OkStatus();
    }));
  }
  HFWA_RETURN_IF_ERROR(encoder_->RunTask(batching::Lane::kRegister, [&] {
    snapshot.bank = bank::WeighForProduct(config, snapshot.bank, references);
    return absl::OkStatus();
  }));
  std::vector<scoring::ReferenceRaw> raws;
  for (size_t i = 0; i < judged.size(); ++i) {
    ReferenceFeatures::Features features;
    if (UsesLanguage(config, snapshot.method)) {
      const auto k = static_cast<size_t>(judged[i]);
      HFWA_ASSIGN_OR_RETURN(features, features_->Load(revision.references[k].sha256,
                                                      /*orientation=*/0, snapshot.class_index));
    }
    raws.push_back(Raw(snapshot, features, references[i].few));
  }
  snapshot.score_model = scoring::ScoreModel::FromReferences(raws);
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> ProductBanks::MatchOthers(const ProductBank& snapshot,
                                                     const bank::Bank& full, int k) {
  const int each = store::PicturesPerReference(snapshot.method);
  const int pictures = full.references();
  const int count = pictures / each;
  const bank::Bank::Span own{k * each, each};
  const at::Tensor tokens = full.ReferenceTokens(own.first);
  const bank::Bank* against = snapshot.bank.get();
  std::shared_ptr<const bank::Bank> others;
  // A coreset made without the reference is what another good part would meet; among many
  // references one hardly matters.
  if (snapshot.coreset_ratio < 1 && count > 1 && count <= scoring::kJudgedMax &&
      pictures <= kLeftOutPicturesMax) {
    HFWA_ASSIGN_OR_RETURN(
        others, full.Keep(encoder_->model().kernels(), full.Coreset(snapshot.coreset_ratio, own)));
    against = others.get();
  }
  at::Tensor few;
  const auto add_range = [&](int first, int end) -> absl::Status {
    for (; first < end; first += bank::Bank::kBlock) {
      // One block a task: detection goes on in between.
      HFWA_RETURN_IF_ERROR(encoder_->RunTask(batching::Lane::kRegister, [&] {
        at::Tensor part =
            against->MatchRange(tokens, first, std::min(bank::Bank::kBlock, end - first));
        few = few.defined() ? at::minimum(few, part) : part;
        return absl::OkStatus();
      }));
    }
    return absl::OkStatus();
  };
  if (count == 1) {
    HFWA_RETURN_IF_ERROR(encoder_->RunTask(batching::Lane::kRegister, [&] {
      few = against->MatchSelf(tokens, own.first);
      return absl::OkStatus();
    }));
  }
  if (count > 1) {
    HFWA_RETURN_IF_ERROR(add_range(0, own.first));
    HFWA_RETURN_IF_ERROR(add_range(own.first + own.count, pictures));
  }
  return few;
}

bool ProductBanks::HasProductLevels() const {
  return encoder_->model().config().product_levels.has_value();
}

void ProductBanks::SaveCalibration(const store::Product& product, int class_index,
                                   const Calibration& calibration) {
  const auto numbers = calibration.score_model.Serialize();
  std::vector<float> packed(numbers.size() * 2);
  std::memcpy(packed.data(), numbers.data(), numbers.size() * sizeof(double));
  packed.insert(packed.end(), calibration.level_weights.begin(), calibration.level_weights.end());
  // The cache may fail: then the next start computes it again.
  cache_->Put(CalibrationKey(product, class_index), kCalibrationHeader, packed).IgnoreError();
  store::Product before = product;
  before.revision -= 1;
  cache_->Remove(CalibrationKey(before, class_index));
}

std::string ProductBanks::CalibrationKey(const store::Product& product, int class_index) {
  return Sha256Hex(
      absl::StrCat("score model ", product.uid, " ", product.revision, " ", class_index,
                   product.coreset_ratio < 1 ? absl::StrCat(" ", product.coreset_ratio) : "",
                   product.method == store::Method::kHfwa
                       ? ""
                       : absl::StrCat(" ", ToAbsl(store::MethodName(product.method)))));
}

absl::StatusOr<ProductBanks::Calibration> ProductBanks::LoadCalibration(
    const store::Product& product, int class_index) {
  scoring::ScoreModel::Numbers numbers;
  const size_t weights =
      HasProductLevels()
          ? bank::kWindows.size() * static_cast<size_t>(encoder_->model().config().levels())
          : 0;
  HFWA_ASSIGN_OR_RETURN(const std::vector<float> packed,
                        cache_->Get(CalibrationKey(product, class_index), kCalibrationHeader,
                                    numbers.size() * 2 + weights));
  std::memcpy(numbers.data(), packed.data(), numbers.size() * sizeof(double));
  return Calibration{scoring::ScoreModel::Deserialize(numbers),
                     {packed.end() - static_cast<std::ptrdiff_t>(weights), packed.end()}};
}

absl::StatusOr<scoring::ScoreModel> ProductBanks::GetScoreModel(const store::Product& product) {
  const int class_index = encoder_->model().ClassIndex(product.class_name);
  if (product.reference_count == 0) {
    return scoring::ScoreModel::ZeroShot(encoder_->model().config().levels());
  }
  {
    absl::MutexLock lock(&mu_);
    if (const Snapshot found = Find(product, false)) return found->score_model;
  }
  const auto stored = LoadCalibration(product, class_index);
  if (stored.ok()) return stored->score_model;
  HFWA_ASSIGN_OR_RETURN(const Snapshot snapshot, Get(product));
  return snapshot->score_model;
}

}  // namespace hfwa::engine
