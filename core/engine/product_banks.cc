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
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/engine/image_input.h"
#include "core/engine/maps.h"

namespace hfwa::engine {
namespace {

// References that are judged against the others; more would only cost time.
constexpr int kJudgedMax = 16;

// Banks that are built at a time for calls that wait; the device is what limits them.
constexpr int kBuilders = 2;

}  // namespace

ProductBanks::ProductBanks(store::Store* store, store::FeatureCache* features, Encoder* encoder,
                           TensorPool* buffers, const image::DecodeOptions& decode,
                           int64_t bytes_max)
    : store_(store),
      features_(features),
      encoder_(encoder),
      buffers_(buffers),
      decode_(decode),
      bytes_max_(bytes_max),
      // One task for each product with calls that wait, and those are bounded by admission.
      builders_("hfwa-banks", kBuilders, std::numeric_limits<size_t>::max()) {}

// Snapshots --------------------------------------------------------------------------------------

bool ProductBanks::Fits(const ProductBank& bank, const store::Product& product) const {
  return bank.product_uid == product.uid &&
         bank.class_index == encoder_->model().ClassIndex(product.class_name) &&
         bank.coreset_ratio == product.coreset_ratio;
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
  if (revision.references.empty()) return snapshot;
  store::Product built = product;
  built.revision = revision.number;
  HFWA_RETURN_IF_ERROR(Fill(*snapshot, revision, built));
  return snapshot;
}

absl::StatusOr<std::shared_ptr<const bank::Bank>> ProductBanks::MakeBank(
    const store::Revision& revision, int class_index, const bank::Bank::Selection& selection) {
  return bank::Bank::Create(
      static_cast<int>(revision.references.size()), encoder_->model().kernels(),
      [&](int k) -> absl::StatusOr<at::Tensor> {
        HFWA_ASSIGN_OR_RETURN(
            const Features features,
            LoadFeatures(revision.references[static_cast<size_t>(k)].sha256, class_index));
        return features.tokens.to(encoder_->model().options().device);
      },
      selection);
}

absl::Status ProductBanks::Fill(ProductBank& snapshot, const store::Revision& revision,
                                const store::Product& product) {
  const int class_index = snapshot.class_index;
  const bool all = product.coreset_ratio >= 1;
  const auto score_model = LoadScoreModel(product, class_index);
  auto selection = all ? bank::Bank::Selection() : LoadCoreset(product);
  if (score_model.ok() && selection.ok()) {
    HFWA_ASSIGN_OR_RETURN(snapshot.bank, MakeBank(revision, class_index, *selection));
    snapshot.score_model = *score_model;
    return absl::OkStatus();
  }
  HFWA_ASSIGN_OR_RETURN(const auto full, MakeBank(revision, class_index, {}));
  snapshot.bank = full;
  if (!all) {
    selection = full->Coreset(product.coreset_ratio);
    HFWA_ASSIGN_OR_RETURN(snapshot.bank, full->Keep(encoder_->model().kernels(), *selection));
    SaveCoreset(product, *selection);
  }
  HFWA_ASSIGN_OR_RETURN(
      snapshot.score_model,
      Calibrate({.kept = *snapshot.bank, .full = *full, .coreset_ratio = product.coreset_ratio},
                revision, class_index));
  SaveScoreModel(product, class_index, snapshot.score_model);
  return absl::OkStatus();
}

std::string ProductBanks::CoresetKey(const store::Product& product) {
  return Sha256Hex(
      absl::StrCat("coreset ", product.uid, " ", product.revision, " ", product.coreset_ratio));
}

absl::StatusOr<bank::Bank::Selection> ProductBanks::LoadCoreset(const store::Product& product) {
  const model::ModelConfig& config = encoder_->model().config();
  const auto levels = static_cast<size_t>(config.levels());
  const auto size = static_cast<size_t>(
      bank::CoresetSize(int64_t{product.reference_count} * config.vision.patches(),
                        product.reference_count, product.coreset_ratio));
  HFWA_ASSIGN_OR_RETURN(const std::vector<float> rows,
                        features_->Get(CoresetKey(product), kCoresetHeader, levels * size));
  bank::Bank::Selection selection(levels, std::vector<int64_t>(size));
  for (size_t i = 0; i < rows.size(); ++i)
    selection[i / size][i % size] = static_cast<int64_t>(rows[i]);
  return selection;
}

void ProductBanks::SaveCoreset(const store::Product& product,
                               const bank::Bank::Selection& selection) {
  std::vector<float> rows;  // below 2^24, so exact: at most 4096 references of 1024 patches
  for (const auto& level : selection) rows.insert(rows.end(), level.begin(), level.end());
  // The cache may fail: then the next start chooses again, and chooses the same.
  features_->Put(CoresetKey(product), kCoresetHeader, rows).IgnoreError();
}

// Features ---------------------------------------------------------------------------------------

std::string ProductBanks::FeatureHeader(int class_index) const {
  const model::ModelConfig& config = encoder_->model().config();
  // Tokens do not depend on the class; the language side does.
  return absl::StrCat("levels=", config.levels(), " patches=", config.vision.patches(),
                      " embed=", config.embed_dim,
                      " class=", config.has_language() ? class_index : -1);
}

size_t ProductBanks::FeatureCount() const {
  const model::ModelConfig& config = encoder_->model().config();
  const size_t values =
      static_cast<size_t>(config.levels()) * static_cast<size_t>(config.vision.patches());
  return values * static_cast<size_t>(config.embed_dim) + (config.has_language() ? values + 1 : 0);
}

absl::Status ProductBanks::EncodeReference(const std::string& image_sha256, at::Tensor image,
                                           int class_index) {
  Encoder::Request request;
  request.image = std::move(image);
  request.class_index = class_index;
  request.lane = batching::Lane::kRegister;
  HFWA_ASSIGN_OR_RETURN(const Encoded encoded, encoder_->EncodeNow(std::move(request)));
  std::vector<float> values;
  values.reserve(FeatureCount());
  const auto append = [&values](const at::Tensor& tensor) {
    const at::Tensor plain = tensor.cpu().contiguous();
    const float* data = plain.data_ptr<float>();
    values.insert(values.end(), data, data + plain.numel());
  };
  append(encoded.tokens);
  if (encoded.language_diff.defined()) {
    append(encoded.language_diff);
    values.push_back(static_cast<float>(encoded.text_probability));
  }
  return features_->Put(image_sha256, FeatureHeader(class_index), values);
}

absl::StatusOr<at::Tensor> ProductBanks::StoredImage(const std::string& image_sha256) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, store_->ReadObject(image_sha256));
  HFWA_ASSIGN_OR_RETURN(const image::Image picture, image::Decode(bytes, decode_));
  return ToModelTensor(picture, encoder_->model().config(), buffers_->Take());
}

ProductBanks::Features ProductBanks::Unpack(const std::vector<float>& values) const {
  const model::ModelConfig& config = encoder_->model().config();
  const int64_t levels = config.levels();
  const int64_t grid = config.vision.grid();
  const at::Tensor all = at::tensor(at::ArrayRef<float>(values));
  Features features;
  const int64_t tokens = levels * grid * grid * config.embed_dim;
  features.tokens = all.narrow(0, 0, tokens).view({levels, grid * grid, config.embed_dim});
  if (config.has_language()) {
    features.language_diff = all.narrow(0, tokens, levels * grid * grid).view({levels, grid, grid});
    features.text_probability = values.back();
  }
  return features;
}

absl::StatusOr<ProductBanks::Features> ProductBanks::LoadFeatures(const std::string& image_sha256,
                                                                  int class_index) {
  const std::string header = FeatureHeader(class_index);
  auto values = features_->Get(image_sha256, header, FeatureCount());
  if (!values.ok()) {
    // Absent, damaged or of another model: the image is the truth.
    HFWA_ASSIGN_OR_RETURN(at::Tensor image, StoredImage(image_sha256));
    HFWA_RETURN_IF_ERROR(EncodeReference(image_sha256, std::move(image), class_index));
    values = features_->Get(image_sha256, header, FeatureCount());
    if (!values.ok()) return values.status();
  }
  return Unpack(*values);
}

// Score model ------------------------------------------------------------------------------------

scoring::ReferenceRaw ProductBanks::Raw(const Features& features, const at::Tensor& few) const {
  const model::ModelConfig& config = encoder_->model().config();
  const at::Tensor map = CombinedMap(config, features.language_diff, few.cpu());
  scoring::ReferenceRaw raw;
  raw.raw.map_max = map.max().item<float>();
  raw.map_mean = map.mean().item<float>();
  if (config.has_language()) raw.raw.text_probability = features.text_probability;
  return raw;
}

absl::StatusOr<scoring::ScoreModel> ProductBanks::Calibrate(const Banks& banks,
                                                            const store::Revision& revision,
                                                            int class_index) {
  HFWA_ASSIGN_OR_RETURN(const auto raws, LeaveOneOut(banks, revision, class_index));
  return scoring::ScoreModel::FromReferences(raws);
}

absl::StatusOr<std::vector<scoring::ReferenceRaw>> ProductBanks::LeaveOneOut(
    const Banks& banks, const store::Revision& revision, int class_index) {
  const int count = banks.full.references();
  const int judged = std::min(count, kJudgedMax);
  std::vector<scoring::ReferenceRaw> raws;
  for (int j = 0; j < judged; ++j) {
    const int k = static_cast<int>(static_cast<int64_t>(j) * count / judged);  // spread over all
    Features features;
    if (encoder_->model().config().has_language()) {
      HFWA_ASSIGN_OR_RETURN(
          features, LoadFeatures(revision.references[static_cast<size_t>(k)].sha256, class_index));
    }
    HFWA_ASSIGN_OR_RETURN(const at::Tensor few, MatchOthers(banks, k));
    raws.push_back(Raw(features, few));
  }
  return raws;
}

absl::StatusOr<at::Tensor> ProductBanks::MatchOthers(const Banks& banks, int k) {
  const int count = banks.full.references();
  const at::Tensor tokens = banks.full.ReferenceTokens(k);
  const bank::Bank* against = &banks.kept;
  std::shared_ptr<const bank::Bank> others;
  // A coreset made without the reference is what another good part would meet; among many
  // references one hardly matters.
  if (banks.coreset_ratio < 1 && count > 1 && count <= kJudgedMax) {
    HFWA_ASSIGN_OR_RETURN(others, banks.full.Keep(encoder_->model().kernels(),
                                                  banks.full.Coreset(banks.coreset_ratio, k)));
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
      few = against->MatchSelf(tokens, 0);
      return absl::OkStatus();
    }));
  }
  HFWA_RETURN_IF_ERROR(add_range(0, k));
  HFWA_RETURN_IF_ERROR(add_range(k + 1, count));
  return few;
}

void ProductBanks::SaveScoreModel(const store::Product& product, int class_index,
                                  const scoring::ScoreModel& score_model) {
  const auto numbers = score_model.Serialize();
  std::vector<float> packed(numbers.size() * 2);
  std::memcpy(packed.data(), numbers.data(), numbers.size() * sizeof(double));
  // The cache may fail: then the next start computes it again.
  features_->Put(ScoreModelKey(product, class_index), kScoreModelHeader, packed).IgnoreError();
  store::Product before = product;
  before.revision -= 1;
  features_->Remove(ScoreModelKey(before, class_index));
}

std::string ProductBanks::ScoreModelKey(const store::Product& product, int class_index) {
  return Sha256Hex(
      absl::StrCat("score model ", product.uid, " ", product.revision, " ", class_index,
                   product.coreset_ratio < 1 ? absl::StrCat(" ", product.coreset_ratio) : ""));
}

absl::StatusOr<scoring::ScoreModel> ProductBanks::LoadScoreModel(const store::Product& product,
                                                                 int class_index) {
  scoring::ScoreModel::Numbers numbers;
  HFWA_ASSIGN_OR_RETURN(
      const std::vector<float> packed,
      features_->Get(ScoreModelKey(product, class_index), kScoreModelHeader, numbers.size() * 2));
  std::memcpy(numbers.data(), packed.data(), numbers.size() * sizeof(double));
  return scoring::ScoreModel::Deserialize(numbers);
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
  auto stored = LoadScoreModel(product, class_index);
  if (stored.ok()) return stored;
  HFWA_ASSIGN_OR_RETURN(const Snapshot snapshot, Get(product));
  return snapshot->score_model;
}

}  // namespace hfwa::engine
