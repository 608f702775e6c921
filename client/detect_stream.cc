#include "client/detect_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/detect_stream_impl.h"
#include "client/error.h"
#include "core/base/strings.h"
#include "hfwa/v1/detection_service.grpc.pb.h"

namespace hfwa::client {
namespace {

class Stream;

// One gRPC stream. Its reactions only leave word in the Stream; the Stream's own thread acts on it.
class Connection final
    : public grpc::ClientBidiReactor<v1::DetectStreamRequest, v1::DetectStreamResponse> {
 public:
  explicit Connection(Stream* owner) : owner_(owner) {}

  void Start(v1::DetectionService::Stub& stub) {
    stub.async()->DetectStream(&context_, this);
    // The Stream's writes come from outside any reaction; the hold keeps OnDone away until Release.
    AddHold();
    StartRead(&response_);
    StartCall();
  }
  void Write(v1::DetectStreamRequest message) {
    request_ = std::move(message);
    StartWrite(&request_);
  }
  void CloseWrites() { StartWritesDone(); }
  // Once, after OnReadDone(false); no Write or CloseWrites may follow.
  void Release() { RemoveHold(); }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  Stream* const owner_;
  grpc::ClientContext context_;
  v1::DetectStreamRequest request_;
  v1::DetectStreamResponse response_;
};

// All decisions are made on one thread (Run), woken by word from the caller and from the
// Connection.
class Stream final : public DetectStream {
 public:
  Stream(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<Retrier> retrier,
         absl::Duration default_deadline, DetectStreamOptions options)
      : stub_(v1::DetectionService::NewStub(std::move(channel))),
        retrier_(std::move(retrier)),
        max_in_flight_(std::max<size_t>(options.max_in_flight, 1)),
        deadline_(options.deadline.value_or(default_deadline)),
        cancel_(std::move(options.cancel), [this] { Wake(&Stream::cancelled_); }),
        thread_([this] { Run(); }) {}

  ~Stream() override {
    if (!thread_.joinable()) return;
    Wake(&Stream::cancelled_);
    Wake(&Stream::finishing_);
    thread_.join();
  }

  void Send(v1::DetectRequest request, Callback done) override {
    retrier_->OnRequest();
    if (Enqueue(std::move(request), done)) return;
    done(absl::FailedPreconditionError("the detect stream is closed"));
  }

  absl::Status Finish() override {
    Wake(&Stream::finishing_);
    if (thread_.joinable()) thread_.join();
    absl::MutexLock lock(&mu_);
    ended_ = true;
    return cancelled_ ? absl::CancelledError("cancelled by the caller") : absl::OkStatus();
  }

  // From the Connection. --------------------------------------------------------------------------
  void OnMessage(v1::DetectStreamResponse message) {
    absl::MutexLock lock(&mu_);
    inbox_.push_back(std::move(message));
    last_heard_ = absl::Now();
    signalled_ = true;
  }
  void OnReadsEnded() { Wake(&Stream::reads_ended_); }
  void OnWritten() {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    signalled_ = true;
  }
  // The last word of a Connection.
  void OnClosed(const grpc::Status& status) {
    absl::MutexLock lock(&mu_);
    closed_ = ToStatus(status);
    signalled_ = true;
  }

 private:
  struct Item {
    v1::DetectRequest request;
    Callback done;
    absl::Time deadline;
    absl::Time not_before = absl::InfinitePast();  // Of a retry.
    int retries = 0;
    bool sent = false;  // On the present connection.
  };
  struct Answer {
    Callback done;
    absl::StatusOr<v1::DetectResponse> response;
  };

  // False, with `done` left alone, once Finish has returned.
  bool Enqueue(v1::DetectRequest request, Callback& done) {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &Stream::HasRoomOrEnded));
    if (ended_) return false;
    Item& item = items_[next_id_++];
    item.request = std::move(request);
    item.done = std::move(done);
    item.deadline = absl::Now() + deadline_;
    signalled_ = true;
    return true;
  }

  bool HasRoomOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return ended_ || items_.size() < max_in_flight_;
  }

  void Wake(bool Stream::*flag) {
    absl::MutexLock lock(&mu_);
    this->*flag = true;
    signalled_ = true;
  }

  void Run() {
    while (true) {
      std::vector<Answer> answers;
      bool ended = false;
      {
        absl::MutexLock lock(&mu_);
        mu_.AwaitWithDeadline(absl::Condition(&signalled_), NextEvent());
        signalled_ = false;
        Step(answers);
        ended = finishing_ && items_.empty() && connection_ == nullptr;
      }
      for (Answer& answer : answers) answer.done(std::move(answer.response));
      if (ended) return;
    }
  }

  void Step(std::vector<Answer>& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    TakeInbox(answers);
    TakeClosed(answers);
    Expire(answers);
    GiveUpOnSilence();
    if (connection_ == nullptr && FindReady() != items_.end()) Open();
    if (connection_ == nullptr) return;
    if (reads_ended_) {
      if (!std::exchange(released_, true)) connection_->Release();
      return;
    }
    if (writing_ || writes_closed_) return;
    if (auto ready = FindReady(); ready != items_.end()) {
      WriteItem(ready->first, ready->second);
    } else if (finishing_ && items_.empty()) {
      writes_closed_ = true;
      last_heard_ = absl::Now();
      connection_->CloseWrites();
    }
  }

  void TakeInbox(std::vector<Answer>& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (; !inbox_.empty(); inbox_.pop_front()) {
      expired_ = false;
      v1::DetectStreamResponse& message = inbox_.front();
      uint64_t id = 0;
      if (!absl::SimpleAtoi(message.id(), &id)) continue;
      const auto found = items_.find(id);
      // Late: the item's deadline passed, or it was sent again on another connection.
      if (found == items_.end()) continue;
      if (message.has_response()) {
        End(found, std::move(*message.mutable_response()), answers);
      } else {
        absl::Status error = ToStatus(message.error());
        if (error.ok()) error = absl::InternalError("the server's reply is empty");
        RetryOrEnd(found, error, answers);
      }
    }
  }

  void TakeClosed(std::vector<Answer>& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!closed_.has_value()) return;
    absl::Status error = *std::exchange(closed_, std::nullopt);
    // A server that drains may end the stream in order with answers still owed.
    if (error.ok()) error = absl::UnavailableError("the server ended the stream");
    // What was sent in the very moment when the server gave up waiting is sent again.
    if (DetailsOf(error).reason == "IDLE") error = absl::UnavailableError(error.message());
    if (given_up_) error = absl::UnavailableError("the server has gone silent");
    connection_.reset();
    writing_ = writes_closed_ = reads_ended_ = released_ = given_up_ = false;
    std::vector<uint64_t> unanswered;
    for (const auto& [id, item] : items_) {
      if (item.sent) unanswered.push_back(id);
    }
    for (const uint64_t id : unanswered) RetryOrEnd(items_.find(id), error, answers);
  }

  void Expire(std::vector<Answer>& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (cancelled_ && connection_ != nullptr) connection_->Cancel();
    const absl::Time now = absl::Now();
    for (auto item = items_.begin(); item != items_.end();) {
      const auto next = std::next(item);
      if (cancelled_) {
        End(item, absl::CancelledError("cancelled by the caller"), answers);
      } else if (item->second.deadline <= now) {
        // Stays so until a message arrives: an item that is gone leaves no trace of what is owed.
        expired_ = true;
        End(item, absl::DeadlineExceededError("no answer before the deadline"), answers);
      }
      item = next;
    }
  }

  // A peer that vanished without a word would hold the stream, and the end of it, for ever. Nothing
  // at all for as long as one image may take means that it is gone.
  void GiveUpOnSilence() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (connection_ == nullptr || given_up_ || absl::Now() < SilentSince() + deadline_) return;
    given_up_ = true;
    connection_->Cancel();
  }

  // Since when an answer or the stream's end is owed; the far future if none is.
  absl::Time SilentSince() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || writes_closed_ || expired_) return last_heard_;
    return absl::InfiniteFuture();
  }

  using ItemMap = std::map<uint64_t, Item>;

  void End(ItemMap::iterator item, absl::StatusOr<v1::DetectResponse> response,
           std::vector<Answer>& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    answers.push_back({std::move(item->second.done), std::move(response)});
    items_.erase(item);
  }

  void RetryOrEnd(ItemMap::iterator found, const absl::Status& error, std::vector<Answer>& answers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Item& item = found->second;
    const auto delay = retrier_->NextDelay(error, item.retries);
    const absl::Time at = absl::Now() + delay.value_or(absl::ZeroDuration());
    if (!delay.has_value() || at >= item.deadline) return End(found, error, answers);
    ++item.retries;
    item.not_before = at;
    item.sent = false;
  }

  void Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    last_heard_ = absl::Now();
    expired_ = false;
    connection_ = std::make_unique<Connection>(this);
    connection_->Start(*stub_);
  }

  void WriteItem(uint64_t id, Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    v1::DetectStreamRequest message;
    message.set_id(absl::StrCat(id));
    // A copy: the item keeps its image for a retry.
    *message.mutable_request() = item.request;
    item.sent = true;
    if (!expired_) last_heard_ = absl::Now();
    writing_ = true;
    connection_->Write(std::move(message));
  }

  ItemMap::iterator FindReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Time now = absl::Now();
    return std::find_if(items_.begin(), items_.end(), [now](const auto& entry) {
      return !entry.second.sent && entry.second.not_before <= now;
    });
  }

  // When the clock alone gives something to do.
  absl::Time NextEvent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    absl::Time next = absl::InfiniteFuture();
    if (connection_ != nullptr && !given_up_) next = SilentSince() + deadline_;
    for (const auto& [id, item] : items_) {
      next = std::min(next, item.deadline);
      // One that is ready already waits for the write before it, which signals.
      if (!item.sent && item.not_before > absl::Now()) next = std::min(next, item.not_before);
    }
    return next;
  }

  const std::unique_ptr<v1::DetectionService::Stub> stub_;
  const std::shared_ptr<Retrier> retrier_;
  const size_t max_in_flight_;
  const absl::Duration deadline_;

  absl::Mutex mu_;
  ItemMap items_ ABSL_GUARDED_BY(mu_);  // Not yet answered, oldest first.
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 0;
  bool signalled_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;

  std::unique_ptr<Connection> connection_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool writes_closed_ ABSL_GUARDED_BY(mu_) = false;
  bool reads_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool released_ ABSL_GUARDED_BY(mu_) = false;
  bool given_up_ ABSL_GUARDED_BY(mu_) = false;
  // An item's deadline passed and nothing was heard since.
  bool expired_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time last_heard_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::DetectStreamResponse> inbox_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mu_);

  // Last, so that they see the rest made and are gone first.
  std::stop_callback<std::function<void()>> cancel_;
  std::thread thread_;
};

void Connection::OnReadDone(bool ok) {
  if (!ok) return owner_->OnReadsEnded();
  owner_->OnMessage(std::move(response_));
  response_.Clear();
  StartRead(&response_);
}
void Connection::OnWriteDone(bool) { owner_->OnWritten(); }
void Connection::OnDone(const grpc::Status& status) { owner_->OnClosed(status); }

}  // namespace

std::unique_ptr<DetectStream> NewDetectStream(std::shared_ptr<grpc::Channel> channel,
                                              std::shared_ptr<Retrier> retrier,
                                              absl::Duration default_deadline,
                                              DetectStreamOptions options) {
  return std::make_unique<Stream>(std::move(channel), std::move(retrier), default_deadline,
                                  std::move(options));
}

}  // namespace hfwa::client
