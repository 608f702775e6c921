#include "server/detect.h"

#include <map>
#include <string>
#include <utility>

#include "core/base/status_macros.h"
#include "server/convert.h"
#include "server/errors.h"
#include "server/validate.h"

namespace hfwa::server {
namespace {

absl::Status Translate(const Shared& shared, Call& call, const v1::DetectRequest& request,
                       engine::DetectCall* out) {
  Violations violations;
  out->product_id = CheckProductName(request.product(), "product", &violations);
  CheckLabels(request.labels(), "labels", &violations);
  if (request.has_image()) {
    out->image = CheckImage(request.image(), "image", shared.max_image_bytes, &violations);
  } else {
    violations.Add("image", "must be set");
  }
  if (request.outputs().map_format() < 0 || request.outputs().map_format() > v1::FLOAT32) {
    violations.Add("outputs.map_format", "must be one of the known formats");
  }
  if (request.outputs().map_size() < 0 || request.outputs().map_size() > v1::IMAGE) {
    violations.Add("outputs.map_size", "must be one of the known sizes");
  }
  if (request.priority() < 0 || request.priority() > v1::BULK) {
    violations.Add("priority", "must be one of the known priorities");
  }
  HFWA_RETURN_IF_ERROR(violations.status());
  out->priority =
      request.priority() == v1::BULK ? engine::Priority::kBulk : engine::Priority::kLive;
  out->outputs = OutputsOf(request.outputs());
  call.Note("product", out->product_id);
  if (!request.labels().empty()) {
    call.Note("labels",
              std::map<std::string, std::string>(request.labels().begin(), request.labels().end()));
  }
  return absl::OkStatus();
}

void Reply(const Shared& shared, Call& call, const v1::DetectRequest& request,
           engine::DetectResult&& result, v1::DetectResponse* response) {
  shared.metrics->OnVerdict(result.verdict);
  call.Note("score", result.score);
  call.Note("verdict", std::string(VerdictText(result.verdict)));
  call.Note("revision", result.revision);
  FillDetectResponse(request, shared.engine->model().digest, std::move(result), response);
}

}  // namespace

void StartDetect(const Shared& shared, Call& call, const v1::DetectRequest& request,
                 absl::Duration deadline, const std::shared_ptr<std::atomic<bool>>& cancelled,
                 const char* field_prefix, v1::DetectResponse* response,
                 std::function<void(const absl::Status&)> done) {
  // `done` may free all that is referred to here, and the engine may fail after it called back:
  // whether it was called is kept apart.
  struct Ending {
    std::atomic<bool> ended{false};
    std::function<void(const absl::Status&)> done;
  };
  std::shared_ptr<Ending> ending;
  const bool bulk = request.priority() == v1::BULK;
  call.set_lane(bulk ? batching::Lane::kBulk : batching::Lane::kLive);
  absl::Status status = Guard([&] {
    ending = std::make_shared<Ending>();
    return absl::OkStatus();
  });
  if (!status.ok()) {
    call.End(status);
    return done(status);
  }
  ending->done = std::move(done);
  const auto end = [ending, &call](const absl::Status& outcome) {
    if (ending->ended.exchange(true)) return;
    call.End(outcome);
    ending->done(outcome);
  };

  engine::DetectCall detect;
  status = Guard([&]() -> absl::Status {
    HFWA_RETURN_IF_ERROR(Admit(shared, call));
    return PrefixFields(Translate(shared, call, request, &detect), field_prefix);
  });
  if (!status.ok()) return end(status);
  detect.deadline = deadline;
  detect.cancelled = [cancelled] { return cancelled->load(std::memory_order_relaxed); };
  detect.done = [&shared, &call, &request, field_prefix, response, end,
                 ending](absl::StatusOr<engine::DetectResult> result) {
    if (ending->ended) return;
    end(Guard([&]() -> absl::Status {
      if (result.ok()) {
        Reply(shared, call, request, *std::move(result), response);
        return absl::OkStatus();
      }
      const bool unknown = result.status().code() == absl::StatusCode::kNotFound;
      if (unknown)
        return ResourceError(reason::kProductNotFound, "hfwa.dev/Product", request.product());
      return PrefixFields(result.status(), field_prefix);
    }));
  };
  status = Guard([&] {
    shared.engine->Detect(std::move(detect));
    return absl::OkStatus();
  });
  if (!status.ok()) end(status);
}

}  // namespace hfwa::server
