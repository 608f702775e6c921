#include "client/cli/detect_caller.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/channel.h"
#include "client/error.h"
#include "core/base/status_macros.h"
// Brings what reads messages out of gRPC's buffers.
#include "hfwa/v1/detection_service.grpc.pb.h"

namespace hfwa::cli {
namespace {

// Of a request's bytes ready-made, of a reply the message.
using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, v1::DetectResponse>;

struct OneCall {
  grpc::ClientContext context;
  v1::DetectResponse reply;
};

// Those that wait for their answers. Outlives the caller in the last callbacks.
class Outstanding {
 public:
  void Add(const std::shared_ptr<OneCall>& call) {
    absl::MutexLock lock(&mu_);
    calls_.insert(call);
    if (cancelled_) call->context.TryCancel();
  }
  void Remove(const std::shared_ptr<OneCall>& call) {
    absl::MutexLock lock(&mu_);
    calls_.erase(call);
  }
  void CancelAll() {
    std::vector<std::shared_ptr<OneCall>> calls;
    {
      absl::MutexLock lock(&mu_);
      cancelled_ = true;
      calls.assign(calls_.begin(), calls_.end());
    }
    for (const auto& call : calls) call->context.TryCancel();
  }

 private:
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<std::shared_ptr<OneCall>> calls_ ABSL_GUARDED_BY(mu_);
};

float Milliseconds(const google::protobuf::Duration& duration) {
  return static_cast<float>(static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6);
}

bench::Outcome OutcomeOf(const grpc::Status& status, const v1::DetectResponse& reply) {
  if (!status.ok()) {
    const absl::Status error = client::ToStatus(status);
    return {.code = error.code(), .reason = client::DetailsOf(error).reason};
  }
  const auto& times = reply.times();
  return {.stages_ms = {Milliseconds(times.decode()), Milliseconds(times.preprocess()),
                        Milliseconds(times.queue()), Milliseconds(times.encode()),
                        Milliseconds(times.match()), Milliseconds(times.score()),
                        Milliseconds(times.render()), Milliseconds(times.total())},
          .batch_size = reply.batch_size()};
}

}  // namespace

struct DetectCaller::Impl {
  const std::string method = "/hfwa.v1.DetectionService/Detect";
  std::vector<Stub> stubs;
  absl::Duration deadline;
  // A request is one of each, one behind the other: a message's fields may come in any order.
  std::vector<grpc::Slice> products;
  std::vector<grpc::Slice> pictures;
  std::atomic<size_t> next_stub = 0;
  std::shared_ptr<Outstanding> outstanding = std::make_shared<Outstanding>();
};

DetectCaller::DetectCaller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DetectCaller::~DetectCaller() = default;

absl::StatusOr<std::unique_ptr<DetectCaller>> DetectCaller::Connect(
    const client::ClientOptions& options, size_t connections, absl::Duration deadline,
    const v1::DetectOutputs& outputs, const std::vector<std::string>& products,
    std::vector<v1::Image> pictures) {
  auto impl = std::make_unique<Impl>();
  impl->deadline = deadline;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (size_t i = 0; i < connections; ++i) {
    HFWA_ASSIGN_OR_RETURN(auto channel, client::MakeChannel(options, /*own_connection=*/true));
    channel->GetState(/*try_to_connect=*/true);
    impl->stubs.emplace_back(channel);
    channels.push_back(std::move(channel));
  }
  const auto limit = absl::ToChronoTime(absl::Now() + options.default_deadline);
  for (const auto& channel : channels) {
    if (!channel->WaitForConnected(limit)) return absl::UnavailableError("no connection");
  }
  for (const std::string& product : products) {
    v1::DetectRequest request;
    request.set_product(client::ProductName(product));
    if (outputs.map()) *request.mutable_outputs() = outputs;
    impl->products.emplace_back(request.SerializeAsString());
  }
  size_t bytes = 0;
  for (v1::Image& picture : pictures) {
    v1::DetectRequest request;
    request.mutable_image()->Swap(&picture);
    impl->pictures.emplace_back(request.SerializeAsString());
    bytes += impl->pictures.back().size();
  }
  std::unique_ptr<DetectCaller> caller(new DetectCaller(std::move(impl)));
  caller->picture_bytes_ = bytes;
  return caller;
}

void DetectCaller::Call(const bench::Pick& pick, Done done) {
  const std::array<grpc::Slice, 2> parts{impl_->products[pick.product],
                                         impl_->pictures[pick.picture]};
  const grpc::ByteBuffer request(parts.data(), parts.size());
  auto call = std::make_shared<OneCall>();
  call->context.set_deadline(absl::ToChronoTime(absl::Now() + impl_->deadline));
  impl_->outstanding->Add(call);
  Stub& stub = impl_->stubs[impl_->next_stub++ % impl_->stubs.size()];
  OneCall* const sent = call.get();
  // The call, and with it a reference to its channel, goes before `done`: whoever waits for that
  // may end the channels, and gRPC's own thread, which this runs on, must not be left with the last
  // one.
  stub.UnaryCall(&sent->context, impl_->method, grpc::StubOptions(), &request, &sent->reply,
                 [outstanding = impl_->outstanding, call = std::move(call),
                  done = std::move(done)](const grpc::Status& status) mutable {
                   bench::Outcome outcome = OutcomeOf(status, call->reply);
                   outstanding->Remove(call);
                   call.reset();
                   done(std::move(outcome));
                 });
}

void DetectCaller::CancelAll() { impl_->outstanding->CancelAll(); }

}  // namespace hfwa::cli
