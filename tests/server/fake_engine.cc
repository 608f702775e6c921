#include "tests/server/fake_engine.h"

#include <algorithm>
#include <stdexcept>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/clock.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace hfwa::server::testing {
namespace {

absl::Status With(absl::Status status, const char* url, const std::string& text) {
  status.SetPayload(url, absl::Cord(text));
  return status;
}

absl::Status NoProduct() { return absl::NotFoundError("no such product"); }

absl::Status BrokenImage() {
  return With(absl::InvalidArgumentError("JPEG ends after 6 bytes"), engine::kFieldPayload,
              "image.content");
}

engine::DetectResult ResultFor(const std::string& text, const engine::DetectOutputs& outputs) {
  engine::DetectResult result;
  const bool bad = text == "bad";
  result.score = bad ? 0.9 : 0.1;
  result.verdict = bad ? engine::Verdict::kAnomalous : engine::Verdict::kGood;
  result.threshold = 0.5;
  result.calibration = engine::CalibrationState::kProvisional;
  result.method = engine::Method::kFewShot;
  result.text_probability = 0.25;
  result.map_max = 0.75;
  result.revision = 3;
  result.batch_size = 1;
  result.image_width = 8;
  result.image_height = 6;
  result.times.stage[static_cast<int>(engine::Stage::kEncode)] = absl::Milliseconds(1500);
  result.times.total = absl::Milliseconds(1600);
  if (outputs.map) {
    engine::RenderedMap map;
    map.width = 4;
    map.height = 3;
    map.format = outputs.format;
    map.data = "map";
    result.map = map;
  }
  if (outputs.regions) {
    result.regions.push_back({.polygon = {{1, 1}, {2, 1}, {2, 2}},
                              .x = 1,
                              .y = 1,
                              .width = 2,
                              .height = 2,
                              .area = 4,
                              .peak = 0.5F,
                              .peak_point = {2, 2}});
  }
  return result;
}

}  // namespace

// Store
// ---------------------------------------------------------------------------------------------

void FakeStore::Touch(store::Product* product) {
  product->etag = absl::StrCat("e", ++etags_);
  product->update_time = absl::FromUnixSeconds(1'700'000'000 + etags_);
}

absl::Status FakeStore::Repeated(const store::Retry& retry, std::string* reply) {
  if (retry.request_id.empty()) return absl::OkStatus();
  const auto it = replies_.find(retry.request_id);
  if (it == replies_.end()) return absl::OkStatus();
  if (it->second.first != retry.fingerprint) return absl::InvalidArgumentError("other contents");
  *reply = it->second.second;
  return absl::OkStatus();
}

void FakeStore::Remember(const store::Retry& retry, const std::string& reply) {
  const std::lock_guard lock(mu_);
  if (!retry.request_id.empty()) replies_[retry.request_id] = {retry.fingerprint, reply};
}

void FakeStore::PutBytes(const std::string& sha256, std::string bytes) {
  const std::lock_guard lock(mu_);
  objects_[sha256] = std::move(bytes);
}

absl::StatusOr<store::Product> FakeStore::CreateProduct(store::Product product,
                                                        const store::Retry& retry) {
  const std::lock_guard lock(mu_);
  std::string earlier;
  HFWA_RETURN_IF_ERROR(Repeated(retry, &earlier));
  if (!earlier.empty()) return products_[earlier].product;
  if (products_.contains(product.id)) return absl::AlreadyExistsError("taken");
  product.uid = "uid-" + product.id;
  product.create_time = absl::FromUnixSeconds(1'700'000'000);
  Touch(&product);
  products_[product.id].product = product;
  if (!retry.request_id.empty()) replies_[retry.request_id] = {retry.fingerprint, product.id};
  return product;
}

absl::StatusOr<store::Product> FakeStore::GetProduct(const std::string& id) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(id);
  if (it == products_.end()) return NoProduct();
  return it->second.product;
}

absl::StatusOr<std::vector<store::Product>> FakeStore::ListProducts(const store::Page& page) {
  const std::lock_guard lock(mu_);
  std::vector<store::Product> found;
  for (auto it = products_.upper_bound(page.after_id);
       it != products_.end() && found.size() < static_cast<size_t>(page.size); ++it) {
    found.push_back(it->second.product);
  }
  return found;
}

absl::StatusOr<store::Product> FakeStore::UpdateProduct(const std::string& id,
                                                        const store::ProductPatch& patch,
                                                        const std::string& etag,
                                                        const store::Retry&) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(id);
  if (it == products_.end()) return NoProduct();
  store::Product& product = it->second.product;
  if (!etag.empty() && etag != product.etag) return absl::AbortedError("etag");
  if (patch.display_name) product.display_name = *patch.display_name;
  if (patch.class_name) product.class_name = *patch.class_name;
  if (patch.labels) product.labels = *patch.labels;
  if (patch.threshold) product.threshold = *patch.threshold;
  if (patch.coreset_ratio) product.coreset_ratio = *patch.coreset_ratio;
  if (patch.method) product.method = *patch.method;
  Touch(&product);
  return product;
}

absl::Status FakeStore::DeleteProduct(const std::string& id, const std::string& etag,
                                      const store::Retry&) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(id);
  if (it == products_.end()) return NoProduct();
  if (!etag.empty() && etag != it->second.product.etag) return absl::AbortedError("etag");
  products_.erase(it);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<store::Store::ObjectLease>> FakeStore::PutObject(std::string_view) {
  return absl::UnimplementedError("not in the fake");
}

absl::StatusOr<std::string> FakeStore::ReadObject(const std::string& sha256) {
  const std::lock_guard lock(mu_);
  const auto it = objects_.find(sha256);
  if (it == objects_.end()) return absl::DataLossError("object is gone");
  return it->second;
}

absl::StatusOr<store::Store::Registration> FakeStore::AddReferences(
    const std::string& product_id, std::vector<store::Reference> references, int limit,
    const store::Retry&, const std::function<std::string(const Registration&)>&) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(product_id);
  if (it == products_.end()) return NoProduct();
  Entry& entry = it->second;
  Registration registration;
  bool changed = false;
  for (const store::Reference& reference : references) {
    const auto same = [&](const store::Reference& r) { return r.id == reference.id; };
    const bool duplicate = std::any_of(entry.references.begin(), entry.references.end(), same);
    if (!duplicate && static_cast<int>(entry.references.size()) >= limit) {
      return absl::FailedPreconditionError("too many references");
    }
    if (!duplicate) entry.references.push_back(reference);
    changed = changed || !duplicate;
    registration.references.push_back(reference);
    registration.duplicate.push_back(duplicate);
  }
  if (changed) ++entry.product.revision;
  entry.product.reference_count = static_cast<int>(entry.references.size());
  Touch(&entry.product);
  registration.product = entry.product;
  return registration;
}

absl::StatusOr<store::Product> FakeStore::DeleteReference(const std::string& product_id,
                                                          const std::string& reference_id,
                                                          const store::Retry&) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(product_id);
  if (it == products_.end()) return NoProduct();
  auto& references = it->second.references;
  const auto found = std::find_if(references.begin(), references.end(),
                                  [&](const auto& r) { return r.id == reference_id; });
  if (found == references.end()) return absl::NotFoundError("no such reference");
  references.erase(found);
  it->second.product.reference_count = static_cast<int>(references.size());
  ++it->second.product.revision;
  return it->second.product;
}

absl::StatusOr<std::vector<store::Reference>> FakeStore::ListReferences(
    const std::string& product_id, const store::Page& page) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(product_id);
  if (it == products_.end()) return NoProduct();
  const auto& all = it->second.references;
  auto from = all.begin();
  if (!page.after_id.empty()) {
    from =
        std::find_if(all.begin(), all.end(), [&](const auto& r) { return r.id == page.after_id; });
    if (from != all.end()) ++from;
  }
  const auto count = std::min<ptrdiff_t>(page.size, all.end() - from);
  return std::vector<store::Reference>(from, from + count);
}

absl::StatusOr<store::Reference> FakeStore::GetReference(const std::string& product_id,
                                                         const std::string& reference_id) {
  const std::lock_guard lock(mu_);
  const auto it = products_.find(product_id);
  if (it == products_.end()) return NoProduct();
  for (const store::Reference& reference : it->second.references) {
    if (reference.id == reference_id) return reference;
  }
  return absl::NotFoundError("no such reference");
}

absl::StatusOr<store::Revision> FakeStore::CurrentRevision(const std::string&) {
  return absl::UnimplementedError("not in the fake");
}

absl::StatusOr<std::optional<std::string>> FakeStore::FindReply(const store::Retry& retry) {
  const std::lock_guard lock(mu_);
  std::string reply;
  HFWA_RETURN_IF_ERROR(Repeated(retry, &reply));
  if (reply.empty()) return std::optional<std::string>();
  return std::optional<std::string>(reply);
}

absl::StatusOr<store::Store::Counts> FakeStore::Count() {
  const std::lock_guard lock(mu_);
  Counts counts;
  counts.products = static_cast<int64_t>(products_.size());
  for (const auto& [id, entry] : products_)
    counts.references += static_cast<int64_t>(entry.references.size());
  return counts;
}

// Registration
// --------------------------------------------------------------------------------------

class FakeRegistration final : public engine::Registration {
 public:
  FakeRegistration(FakeEngine* engine, std::string product_id)
      : engine_(engine), product_id_(std::move(product_id)) {}

  absl::Status Add(const engine::ImageInput& image, const std::string& source_name) override {
    const std::string bytes(image.raw ? image.raw->data : image.encoded);
    if (bytes == "throw") throw std::runtime_error("secret of add");
    if (bytes == "disk") return absl::UnavailableError("/secret/path: I/O error");
    Item item;
    if (bytes == "broken") {
      item.status = BrokenImage();
    } else {
      item.reference.sha256 = Sha256Hex(bytes);
      item.reference.id = "r" + item.reference.sha256.substr(0, 32);
      item.reference.size_bytes = static_cast<int64_t>(bytes.size());
      item.reference.media_type = "image/png";
      item.reference.source_name = source_name;
      engine_->store_.PutBytes(item.reference.sha256, bytes);
    }
    items_.push_back(item);
    return items_.back().status;
  }

  absl::StatusOr<Outcome> Finish(
      const store::Retry& retry,
      const std::function<std::string(const Outcome&)>& make_reply) override {
    std::vector<store::Reference> references;
    for (const Item& item : items_) {
      if (item.status.ok()) references.push_back(item.reference);
    }
    HFWA_ASSIGN_OR_RETURN(auto registered,
                          engine_->store_.AddReferences(product_id_, references, 256, retry, {}));
    Outcome outcome{registered.product, items_};
    size_t next = 0;
    for (Item& item : outcome.items) {
      if (item.status.ok()) item.duplicate = registered.duplicate[next++];
    }
    engine_->store_.Remember(retry, make_reply(outcome));
    ++engine_->committed_;
    return outcome;
  }

 private:
  FakeEngine* const engine_;
  const std::string product_id_;
  std::vector<Item> items_;
};

// Engine
// --------------------------------------------------------------------------------------------

FakeEngine::FakeEngine() {
  model_.name = "fake";
  model_.digest = std::string(64, 'd');
  model_.config_json = "{}";
  model_.device = "cpu";
  model_.precision = "fp32";
  model_.has_language = true;
  model_.image_size = 336;
  model_.grid_size = 24;
  model_.class_names = {"object", "metal_nut"};
  poller_ = std::thread([this] { Poll(); });
}

FakeEngine::~FakeEngine() {
  {
    const std::lock_guard lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  poller_.join();
}

void FakeEngine::Detect(engine::DetectCall call) {
  if (!store_.GetProduct(call.product_id).ok()) return call.done(NoProduct());
  {
    const std::lock_guard lock(mu_);
    if (draining_) {
      return call.done(
          With(absl::UnavailableError("draining"), engine::kReasonPayload, "DRAINING"));
    }
  }
  const std::string text(call.image.raw ? call.image.raw->data : call.image.encoded);
  if (text == "throw") throw std::runtime_error("secret of detect");
  if (text == "throw-later") {
    call.done(ResultFor("good", call.outputs));
    throw std::runtime_error("secret after the callback");
  }
  if (text == "broken") return call.done(BrokenImage());
  if (text == "bug") return call.done(absl::InternalError("secret of the engine"));
  if (text == "full") {
    return call.done(With(
        With(absl::ResourceExhaustedError("64 images wait"), engine::kReasonPayload, "QUEUE_FULL"),
        engine::kRetryPayload, "250"));
  }
  if (text == "wait") {
    const std::lock_guard lock(mu_);
    waiting_.push_back(std::move(call));
    waiting_max_ = std::max<int>(waiting_max_, static_cast<int>(waiting_.size()));
    changed_.notify_all();
    return;
  }
  call.done(ResultFor(text, call.outputs));
}

void FakeEngine::Poll() {
  std::unique_lock lock(mu_);
  while (!stopping_) {
    changed_.wait_for(lock, std::chrono::milliseconds(2));
    for (size_t i = 0; i < waiting_.size();) {
      const bool gone = waiting_[i].cancelled();
      const bool late = Clock::Real().SteadyNow() >= waiting_[i].deadline;
      if (!gone && !late && !released_ && !stopping_) {
        ++i;
        continue;
      }
      engine::DetectCall call = std::move(waiting_[i]);
      waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
      lock.unlock();
      if (gone) {
        ++cancelled_;
        call.done(absl::CancelledError("gone"));
      } else if (late) {
        call.done(absl::DeadlineExceededError("late"));
      } else {
        call.done(ResultFor("good", call.outputs));
      }
      lock.lock();
    }
    changed_.notify_all();
  }
}

void FakeEngine::Release() {
  const std::lock_guard lock(mu_);
  released_ = true;
  changed_.notify_all();
}

bool FakeEngine::AwaitWaiting(int count) {
  std::unique_lock lock(mu_);
  return changed_.wait_for(lock, std::chrono::seconds(5),
                           [&] { return static_cast<int>(waiting_.size()) >= count; });
}

absl::StatusOr<std::unique_ptr<engine::Registration>> FakeEngine::Register(
    const std::string& product_id) {
  const auto product = store_.GetProduct(product_id);
  if (!product.ok()) return product.status();
  return std::unique_ptr<engine::Registration>(
      std::make_unique<FakeRegistration>(this, product_id));
}

absl::StatusOr<std::optional<std::string>> FakeEngine::FindReply(const store::Retry& retry) {
  return store_.FindReply(retry);
}

absl::StatusOr<store::Product> FakeEngine::DeleteReference(const std::string& product_id,
                                                           const std::string& reference_id,
                                                           const store::Retry& retry) {
  return store_.DeleteReference(product_id, reference_id, retry);
}

absl::StatusOr<store::Product> FakeEngine::UpdateProduct(const std::string& product_id,
                                                         store::ProductPatch patch,
                                                         const std::string& etag,
                                                         const store::Retry& retry) {
  return store_.UpdateProduct(product_id, patch, etag, retry);
}

absl::Status FakeEngine::DeleteProduct(const std::string& product_id, const std::string& etag,
                                       const store::Retry& retry) {
  return store_.DeleteProduct(product_id, etag, retry);
}

absl::StatusOr<engine::Calibration> FakeEngine::GetCalibration(const store::Product& product) {
  if (product.reference_count == 0) return engine::Calibration{};
  return engine::Calibration{engine::CalibrationState::kProvisional, 0.4};
}

absl::StatusOr<std::string> FakeEngine::ReferenceThumbnail(const store::Reference&) {
  return std::string("thumb");
}

absl::Status FakeEngine::healthy() const {
  const std::lock_guard lock(mu_);
  return health_;
}

void FakeEngine::SetHealth(absl::Status status) {
  const std::lock_guard lock(mu_);
  health_ = std::move(status);
}

void FakeEngine::Drain(absl::Duration timeout) {
  std::unique_lock lock(mu_);
  draining_ = true;
  changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [&] { return waiting_.empty(); });
}

}  // namespace hfwa::server::testing
