#include "server/detect_stream.h"

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "hfwa/v1/detection_service.pb.h"
#include "server/detect.h"
#include "server/errors.h"
#include "server/unary.h"
#include "server/validate.h"

namespace hfwa::server {
namespace {

constexpr size_t kIdMax = 128;

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// One request of a stream, until its reply is queued.
struct Pending {
  Pending(const Shared& shared, const CallIdentity& identity)
      : call(shared, "DetectStream", identity) {}
  Call call;
  v1::DetectStreamRequest request;
  v1::DetectStreamResponse reply;
};

class DetectStreamReactor final : public Reactor,
                                  public Drainable,
                                  public std::enable_shared_from_this<DetectStreamReactor> {
 public:
  DetectStreamReactor(const Shared& shared, grpc::CallbackServerContext* context)
      : shared_(shared),
        context_(context),
        identity_(CallIdentity::From(*context)),
        deadline_(SteadyDeadline(*context, *shared.clock)),
        heard_(shared.clock->SteadyNow()) {
    context->AddInitialMetadata("x-request-id", identity_.request_id);
  }

  void Start() {
    self_ = shared_from_this();  // until OnDone
    shared_.admission->Register(self_);
    StartSendInitialMetadata();  // a client that waits for it may send its first image only then
    if (shared_.admission->refusing()) BeginDrain();
    Proceed();
  }

  void OnReadDone(bool ok) override {
    grpc::ByteBuffer bytes;
    {
      absl::MutexLock lock(&mu_);
      reading_ = false;
      heard_ = shared_.clock->SteadyNow();
      if (ended_) return;
      if (ok) {
        ++inflight_;
        bytes.Swap(&read_bytes_);
      } else {
        read_ended_ = true;
      }
    }
    if (ok) Take(&bytes);
    Proceed();
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      heard_ = shared_.clock->SteadyNow();
      if (!ok) broken_ = true;
    }
    Proceed();
  }

  void OnCancel() override {
    *cancelled_ = true;
    {
      absl::MutexLock lock(&mu_);
      broken_ = true;
    }
    Proceed();
  }

  void BeginDrain() override {
    {
      absl::MutexLock lock(&mu_);
      draining_ = true;
    }
    Proceed();
  }

  void EndIfIdle(absl::Duration time) override {
    {
      absl::MutexLock lock(&mu_);
      if (writing_) {
        stuck_ = write_began_ < time;  // the caller does not take its replies
        if (!stuck_) return;
      } else {
        if (Held() > 0 || heard_ >= time || failure_.has_value()) return;
        failure_ = ReasonError(reason::kIdle, "no message came for too long");
      }
    }
    Proceed();
  }

  void OnDone() override {
    shared_.admission->Unregister(this);
    const auto last = std::move(self_);
  }

 private:
  // Parses a message and gives it to the engine.
  void Take(grpc::ByteBuffer* bytes) {
    std::shared_ptr<Pending> pending;
    absl::Status status = Guard([&]() -> absl::Status {
      pending = std::make_shared<Pending>(shared_, identity_);
      return ParseMessage(bytes, &pending->request);
    });
    if (!status.ok()) {
      // Whose reply it would be is not known, so it cannot be told in a reply.
      if (pending != nullptr) pending->call.End(status);
      return EndStream(status);
    }
    status = Guard([&]() -> absl::Status {
      const std::string& id = pending->request.id();
      if (id.size() <= kIdMax) pending->reply.set_id(id);
      Violations violations;
      CheckText(id, kIdMax, "id", &violations);
      if (!pending->request.has_request()) violations.Add("request", "must be set");
      return violations.status();
    });
    if (!status.ok()) {
      pending->call.End(status);
      return Answered(pending, status);
    }
    Pending& p = *pending;
    // The callback holds the reactor: once its reply is queued another thread may end the stream.
    StartDetect(shared_, p.call, p.request.request(), deadline_, cancelled_, "request.",
                p.reply.mutable_response(),
                [self = shared_from_this(), pending](const absl::Status& outcome) {
                  self->Answered(pending, outcome);
                });
  }

  // The request's reply is known; queues it.
  void Answered(const std::shared_ptr<Pending>& pending, const absl::Status& outcome) {
    grpc::ByteBuffer bytes;
    const absl::Status status = Guard([&]() -> absl::Status {
      if (!outcome.ok()) {
        pending->reply.clear_response();
        *pending->reply.mutable_error() = ToRpcStatus(outcome, identity_.request_id);
      }
      return SerializeMessage(pending->reply, &bytes);
    });
    if (!status.ok()) return EndStream(status);
    const absl::Status queued = Guard([&] {
      absl::MutexLock lock(&mu_);
      --inflight_;
      replies_.push_back(std::move(bytes));
      return absl::OkStatus();
    });
    if (!queued.ok()) return EndStream(queued);
    Proceed();
  }

  // The stream cannot go on; it ends with `why` once nothing is in flight. Accounts for one
  // request.
  void EndStream(const absl::Status& why) {
    {
      absl::MutexLock lock(&mu_);
      --inflight_;
      if (!failure_.has_value()) failure_ = why;
    }
    Proceed();
  }

  struct Step {
    bool read = false;
    bool write = false;
    bool cancel = false;
    std::optional<absl::Status> end;
  };

  // Requests whose reply has not been taken.
  int Held() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return inflight_ + static_cast<int>(replies_.size()) + (writing_ ? 1 : 0);
  }

  Step NextStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Step step;
    if (broken_) replies_.clear();
    const bool last = read_ended_ || broken_ || draining_ || failure_.has_value();
    if (!writing_ && !replies_.empty()) {
      write_bytes_.Swap(&replies_.front());
      replies_.pop_front();
      writing_ = step.write = true;
      write_began_ = shared_.clock->SteadyNow();
    }
    if (std::exchange(stuck_, false) && !broken_) broken_ = step.cancel = true;
    const int held = Held();
    if (!last && !reading_ && held < shared_.stream_inflight_max) reading_ = step.read = true;
    if (last && held == 0) {
      ended_ = true;
      step.end = EndStatus();
    }
    return step;
  }

  // Starts whatever may be started. One thread acts at a time and without the lock, since gRPC may
  // react on that very thread; whoever comes meanwhile leaves it to the one that acts. After Finish
  // nothing is touched.
  void Proceed() {
    {
      absl::MutexLock lock(&mu_);
      again_ = true;
      if (acting_) return;
      acting_ = true;
    }
    while (true) {
      Step step;
      {
        absl::MutexLock lock(&mu_);
        if (!again_ || ended_) {
          acting_ = false;
          return;
        }
        again_ = false;
        step = NextStep();
      }
      if (step.write) StartWrite(&write_bytes_);
      if (step.read) StartRead(&read_bytes_);
      if (step.cancel) context_->TryCancel();  // it lives until Finish, and nobody else finishes
      if (step.end.has_value()) return Finish(ToGrpcStatus(*step.end, identity_.request_id));
    }
  }

  absl::Status EndStatus() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (failure_.has_value()) return *failure_;
    if (broken_) return ReasonError(reason::kCancelled, "the caller gave the stream up");
    if (draining_ && !read_ended_)
      return ReasonError(reason::kDraining, "the server is about to end");
    return absl::OkStatus();
  }

  const Shared& shared_;
  grpc::CallbackServerContext* const context_;
  const CallIdentity identity_;
  const absl::Duration deadline_;
  std::shared_ptr<DetectStreamReactor> self_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  grpc::ByteBuffer read_bytes_;   // of the one read under way
  grpc::ByteBuffer write_bytes_;  // of the one write under way

  absl::Mutex mu_;
  std::deque<grpc::ByteBuffer> replies_ ABSL_GUARDED_BY(mu_);
  int inflight_ ABSL_GUARDED_BY(mu_) = 0;  // requests read whose reply is not queued
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration heard_ ABSL_GUARDED_BY(mu_);  // when the caller last sent or took something
  absl::Duration write_began_ ABSL_GUARDED_BY(mu_);
  bool stuck_ ABSL_GUARDED_BY(mu_) = false;  // the write that is under way
  bool read_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;  // no reply reaches the client any more
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> failure_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool acting_ ABSL_GUARDED_BY(mu_) = false;
  bool again_ ABSL_GUARDED_BY(mu_) = false;
};

class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

Reactor* StartDetectStream(const Shared& shared, grpc::CallbackServerContext* context) {
  std::shared_ptr<DetectStreamReactor> reactor;
  const absl::Status status = Guard([&] {
    reactor = std::make_shared<DetectStreamReactor>(shared, context);
    return absl::OkStatus();
  });
  if (!status.ok()) return new RefusedStream(ToGrpcStatus(status, ""));
  reactor->Start();
  return reactor.get();
}

}  // namespace hfwa::server
