#include "server/add_references.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "hfwa/v1/product_service.pb.h"
#include "server/convert.h"
#include "server/errors.h"
#include "server/product_service.h"
#include "server/unary.h"
#include "server/validate.h"

namespace hfwa::server {
namespace {

constexpr char kProductType[] = "hfwa.dev/Product";

bool RefusesImageAlone(absl::StatusCode code) {
  return code == absl::StatusCode::kInvalidArgument ||
         code == absl::StatusCode::kFailedPrecondition;
}

// Hash of everything that the stream holds besides the request id; parts are told apart by their
// lengths.
class StreamFingerprint {
 public:
  void Add(std::string_view part) {
    hash_.Update(absl::StrCat(part.size(), ":"));
    hash_.Update(part);
  }
  void Add(const v1::AddReferencesRequest::Item& item) {
    Add(item.source_name());
    if (item.image().has_content()) {
      Add("content");
      Add(item.image().content());
    } else if (item.image().has_raw()) {
      const v1::RawImage& raw = item.image().raw();
      Add(absl::StrCat("raw ", raw.width(), " ", raw.height(), " ", raw.stride(), " ",
                       static_cast<int>(raw.format())));
      Add(raw.data());
    } else {
      Add("none");
    }
  }
  std::string Finish() { return hash_.FinishHex(); }

 private:
  Sha256 hash_;
};

// What was sent so far and what came of it; no gRPC. One thread at a time.
class Upload {
 public:
  Upload(const Shared& shared, Call* call) : shared_(shared), call_(*call) {}

  // The next message of the stream. An error ends the stream.
  absl::Status Take(const v1::AddReferencesRequest& message) {
    if (registration_ == nullptr) {
      if (!message.has_config()) return OrderError("the first message must be config");
      return Open(message.config());
    }
    if (!message.has_item()) return OrderError("after the first message only items may come");
    if (results_.size() >= static_cast<size_t>(kStreamImagesMax)) {
      return ReasonError(reason::kTooManyImages,
                         absl::StrCat("a stream holds at most ", kStreamImagesMax, " images"));
    }
    fingerprint_.Add(message.item());
    const absl::Status status = AddItem(message.item());
    if (!status.ok() && !RefusesImageAlone(status.code()))
      return FromStore(status, kProductType, parent_);
    return absl::OkStatus();
  }

  // The stream has ended as it should.
  absl::Status Finish(v1::AddReferencesResponse* response) {
    if (registration_ == nullptr) return OrderError("the first message must be config");
    const store::Retry retry{.request_id = request_id_,
                             .fingerprint = request_id_.empty() ? "" : fingerprint_.Finish()};
    if (!request_id_.empty()) {
      const auto earlier = shared_.engine->FindReply(retry);
      if (!earlier.ok()) return FromStore(earlier.status(), kProductType, parent_);
      if (earlier->has_value()) {
        call_.Note("repeated", true);
        return Repeat(**earlier, response);
      }
    }
    bool replied = false;
    const auto outcome =
        registration_->Finish(retry, [&](const engine::Registration::Outcome& done) {
          response->Clear();
          FillResponse(done, response);
          replied = true;
          return response->SerializeAsString();
        });
    registration_.reset();
    if (!outcome.ok()) return FromStore(outcome.status(), kProductType, parent_);
    if (!replied) FillResponse(*outcome, response);
    // Not part of what is remembered, for it may take the device.
    FillCalibratedProduct(shared_, outcome->product, response->mutable_product());
    Count(*response);
    return absl::OkStatus();
  }

 private:
  // An image of the stream: refused here, or the engine's item of that number.
  struct Result {
    absl::Status refused;
    size_t engine_item = 0;
  };

  static absl::Status OrderError(std::string_view text) {
    return InvalidFields({{"message", std::string(text)}}, reason::kStreamOrder);
  }

  absl::Status Open(const v1::AddReferencesRequest::Config& config) {
    Violations violations;
    const std::string product_id = CheckProductName(config.parent(), "config.parent", &violations);
    request_id_ = CheckRequestId(config.request_id(), &violations);
    HFWA_RETURN_IF_ERROR(violations.status());
    product_id_ = product_id;
    parent_ = config.parent();
    call_.Note("product", product_id);
    fingerprint_.Add("AddReferences");
    fingerprint_.Add(parent_);
    auto registration = shared_.engine->Register(product_id);
    if (!registration.ok()) return FromStore(registration.status(), kProductType, parent_);
    registration_ = *std::move(registration);
    return absl::OkStatus();
  }

  // Answers as the first request of this id did. Calibration is added while the product is still as
  // it was then.
  absl::Status Repeat(const std::string& earlier, v1::AddReferencesResponse* response) {
    if (!response->ParseFromString(earlier))
      return absl::InternalError("remembered reply is damaged");
    const auto product = shared_.engine->store().GetProduct(product_id_);
    if (!product.ok()) return absl::OkStatus();
    v1::Product now;
    FillProduct(*product, nullptr, &now);
    if (now.revision() == response->product().revision() &&
        now.etag() == response->product().etag()) {
      FillCalibratedProduct(shared_, *product, response->mutable_product());
    }
    return absl::OkStatus();
  }

  // The image's own result; recorded unless it ends the registration.
  absl::Status AddItem(const v1::AddReferencesRequest::Item& item) {
    Violations violations;
    CheckText(item.source_name(), 255, "item.source_name", &violations);
    const engine::ImageInput image =
        CheckImage(item.image(), "item.image", shared_.max_image_bytes, &violations);
    if (!violations.empty()) {
      results_.push_back({violations.status(), 0});
      return violations.status();
    }
    absl::Status status = registration_->Add(image, item.source_name());
    if (status.ok() || RefusesImageAlone(status.code()))
      results_.push_back({absl::OkStatus(), engine_items_++});
    return status;
  }

  void FillResponse(const engine::Registration::Outcome& outcome,
                    v1::AddReferencesResponse* response) const {
    for (size_t i = 0; i < results_.size(); ++i) {
      auto* out = response->add_results();
      out->set_index(static_cast<int32_t>(i));
      const Result& result = results_[i];
      absl::Status refused = result.refused;
      const engine::Registration::Item* item = nullptr;
      if (refused.ok()) {
        if (result.engine_item >= outcome.items.size()) {
          refused = absl::InternalError("the engine lost an image");
        } else {
          item = &outcome.items[result.engine_item];
          refused = PrefixFields(item->status, "item.");
        }
      }
      if (!refused.ok()) {
        out->set_outcome(v1::AddReferencesResponse::Result::REFUSED);
        *out->mutable_error() = ToRpcStatus(refused, call_.request_id());
        continue;
      }
      out->set_outcome(item->duplicate ? v1::AddReferencesResponse::Result::DUPLICATE
                                       : v1::AddReferencesResponse::Result::ADDED);
      FillReference(product_id_, item->reference, out->mutable_reference());
    }
    FillProduct(outcome.product, nullptr, response->mutable_product());
  }

  void Count(const v1::AddReferencesResponse& response) {
    int64_t counts[4] = {};
    for (const auto& result : response.results()) ++counts[result.outcome()];
    call_.Note("added", counts[v1::AddReferencesResponse::Result::ADDED]);
    call_.Note("duplicate", counts[v1::AddReferencesResponse::Result::DUPLICATE]);
    call_.Note("refused", counts[v1::AddReferencesResponse::Result::REFUSED]);
  }

  const Shared& shared_;
  Call& call_;
  std::unique_ptr<engine::Registration> registration_;
  std::string product_id_;
  std::string parent_;
  std::string request_id_;
  StreamFingerprint fingerprint_;
  std::vector<Result> results_;
  size_t engine_items_ = 0;
};

// Reads, hands the message to the pool, reads on: exactly one of a read, a task and the last send
// is under way. A read that takes too long is given up with the call.
class AddReferencesReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer>,
                                   public Drainable,
                                   public std::enable_shared_from_this<AddReferencesReactor> {
 public:
  AddReferencesReactor(const Shared& shared, grpc::CallbackServerContext* context,
                       grpc::ByteBuffer* response)
      : shared_(shared),
        call_(shared, "AddReferences", CallIdentity::From(*context)),
        response_bytes_(response),
        upload_(std::make_unique<Upload>(shared, &call_)) {
    context->AddInitialMetadata("x-request-id", call_.request_id());
    call_.set_lane(batching::Lane::kRegister);
  }
  ~AddReferencesReactor() override {
    if (entered_) shared_.admission->LeaveRegistration();
  }

  void Start() {
    self_ = shared_from_this();  // until OnDone
    shared_.admission->Register(self_);
    absl::Status status = Admit(shared_, call_);
    if (status.ok()) {
      entered_ = shared_.admission->TryEnterRegistration(shared_.registrations_max);
      if (!entered_) {
        status = ReasonError(reason::kTooManyRegistrations, "too many registrations are running");
        shared_.metrics->OnRefusal(reason::kTooManyRegistrations, call_.lane());
      }
    }
    if (status.ok()) {
      Read();
    } else {
      End(status);
    }
  }

  void OnReadDone(bool ok) override {
    State reading = State::kReading;
    if (!state_.compare_exchange_strong(reading, State::kBusy)) return;  // given up
    read_began_ = kNever;
    if (!ok) {
      // The end of the stream looks the same whether the client has said so or has gone, and what a
      // client that has gone did send must not be committed. A client that has said so still
      // listens, so this send succeeds.
      StartSendInitialMetadata();
      return;
    }
    Submit([this] { Take(); });
  }

  void OnSendInitialMetadataDone(bool ok) override {
    if (!ok) cancelled_ = true;
    Submit([this] { Complete(); });
  }

  void OnCancel() override { cancelled_ = true; }
  void OnDone() override {
    shared_.admission->Unregister(this);
    const auto last = std::move(self_);
  }

  void BeginDrain() override {}  // what has begun is finished
  void EndIfIdle(absl::Duration time) override {
    if (read_began_ >= absl::ToInt64Nanoseconds(time)) return;
    State reading = State::kReading;
    if (!state_.compare_exchange_strong(reading, State::kGivenUp)) return;
    End(ReasonError(reason::kIdle, "no message came for too long"));
  }

 private:
  enum class State { kBusy, kReading, kGivenUp };
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  void Read() {
    const auto held = self_;  // the call may be over before this is
    state_ = State::kReading;
    StartRead(&message_bytes_);
    // After the start, so that nobody gives up what has not begun. If it has ended by now the time
    // is that of the next one, or nearly.
    read_began_ = absl::ToInt64Nanoseconds(shared_.clock->SteadyNow());
  }

  template <typename Task>
  void Submit(Task&& task) {
    // Each registration has at most one task, so the pool's queue never fills.
    const absl::Status status = Guard([&] { return shared_.registration_pool->Submit(task); });
    if (!status.ok()) End(ReasonError(reason::kQueueFull, "too many registrations wait"));
  }

  absl::Status Cancelled() const {
    return cancelled_ ? ReasonError(reason::kCancelled, "the caller gave the call up")
                      : absl::OkStatus();
  }

  void Take() {
    const absl::Status status = Guard([this]() -> absl::Status {
      HFWA_RETURN_IF_ERROR(Cancelled());
      v1::AddReferencesRequest message;
      HFWA_RETURN_IF_ERROR(ParseMessage(&message_bytes_, &message));
      return upload_->Take(message);
    });
    if (status.ok()) {
      Read();
    } else {
      End(status);
    }
  }

  void Complete() {
    End(Guard([this]() -> absl::Status {
      HFWA_RETURN_IF_ERROR(Cancelled());
      v1::AddReferencesResponse response;
      HFWA_RETURN_IF_ERROR(upload_->Finish(&response));
      return SerializeMessage(response, response_bytes_);
    }));
  }

  void End(const absl::Status& status) {
    upload_.reset();  // before the reply: nothing half done is left when the caller hears of it
    call_.End(status);
    Finish(ToGrpcStatus(status, call_.request_id()));
  }

  const Shared& shared_;
  Call call_;
  grpc::ByteBuffer* const response_bytes_;
  std::unique_ptr<Upload> upload_;
  grpc::ByteBuffer message_bytes_;
  bool entered_ = false;
  std::atomic<bool> cancelled_{false};
  std::atomic<State> state_{State::kBusy};
  std::atomic<int64_t> read_began_{kNever};  // nanoseconds of the steady clock
  std::shared_ptr<AddReferencesReactor> self_;
};

class RefusedUpload final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedUpload(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* StartAddReferences(const Shared& shared,
                                                              grpc::CallbackServerContext* context,
                                                              grpc::ByteBuffer* response) {
  std::shared_ptr<AddReferencesReactor> reactor;
  const absl::Status status = Guard([&] {
    reactor = std::make_shared<AddReferencesReactor>(shared, context, response);
    return absl::OkStatus();
  });
  if (!status.ok()) return new RefusedUpload(ToGrpcStatus(status, ""));
  reactor->Start();
  return reactor.get();
}

}  // namespace hfwa::server
