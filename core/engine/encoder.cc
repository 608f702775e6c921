#include "core/engine/encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"

namespace hfwa::engine {

// An image that waits for its forward pass.
struct Encoder::Work final : batching::Item {
  Work(Request r, Done d, absl::Duration now)
      : request(std::move(r)), done(std::move(d)), submitted(now) {}
  bool Cancelled() const override { return request.cancelled(); }
  void Refuse(const absl::Status& status) override { done(status); }

  Request request;
  Done done;
  absl::Duration submitted;
};

// Anything else for the device thread.
struct Encoder::Task final : batching::Item {
  explicit Task(std::function<void(std::optional<absl::Status>)> r) : run(std::move(r)) {}
  bool Cancelled() const override { return false; }
  void Refuse(const absl::Status& status) override { run(status); }

  std::function<void(std::optional<absl::Status>)> run;  // the status if it was refused
};

Encoder::Encoder(std::unique_ptr<model::Hfwa> model, const batching::PlannerOptions& options,
                 absl::Duration hang_limit, const Clock* clock, Observer* observer)
    : model_(std::move(model)),
      hang_limit_(hang_limit),
      clock_(clock),
      observer_(observer),
      batcher_(std::make_unique<batching::Batcher>(
          options, clock,
          [this](auto items, batching::Reason reason) { Run(std::move(items), reason); },
          [observer](const batching::Batcher::Load& load) {
            for (size_t i = 0; i < load.size(); ++i) {
              observer->OnQueue(static_cast<batching::Lane>(i), load[i].waiting,
                                load[i].waiting_bytes, load[i].running);
            }
          })) {}

Encoder::~Encoder() { batcher_.reset(); }  // its threads use the other members

absl::Status Encoder::WarmUp() {
  const int side = model_->config().vision.image_size;
  absl::Status status;
  for (const int size :
       {1, 1, 2}) {  // the first run pays for what is made once, so it is not counted
    const std::vector<int> classes(static_cast<size_t>(size), 0);
    absl::Duration took;
    HFWA_RETURN_IF_ERROR(RunTask(batching::Lane::kLive, [&]() -> absl::Status {
      const absl::Duration start = clock_->SteadyNow();
      status = model_->Forward(at::zeros({size, 3, side, side}), classes).status();
      took = clock_->SteadyNow() - start;
      return status;
    }));
    batcher_->ObserveBatch(size, took);
  }
  return absl::OkStatus();
}

void Encoder::Encode(Request request, const Done& done) {
  batching::ItemInfo info{.lane = request.lane,
                          .product = request.product,
                          .deadline = request.deadline,
                          .bytes = static_cast<int64_t>(request.image.nbytes()),
                          .alone = false,
                          .promised = request.promised};
  auto work = std::make_unique<Work>(std::move(request), done, clock_->SteadyNow());
  if (absl::Status status = batcher_->Submit(std::move(work), info); !status.ok())
    done(std::move(status));
}

absl::StatusOr<Encoded> Encoder::EncodeNow(Request request) {
  absl::Notification ended;
  absl::StatusOr<Encoded> outcome;
  Encode(std::move(request), [&](absl::StatusOr<Encoded> encoded) {
    outcome = std::move(encoded);
    ended.Notify();
  });
  ended.WaitForNotification();
  return outcome;
}

absl::Status Encoder::RunTask(batching::Lane lane, std::function<absl::Status()> task) {
  absl::Notification ended;
  absl::Status outcome;
  auto item = std::make_unique<Task>([&](std::optional<absl::Status> refused) {
    if (refused.has_value()) {
      outcome = *refused;
    } else {
      try {
        at::NoGradGuard no_grad;
        outcome = task();
      } catch (const c10::Error& e) {
        outcome = absl::InternalError(e.what_without_backtrace());
      } catch (const std::exception& e) {
        outcome = absl::InternalError(e.what());
      }
    }
    ended.Notify();
  });
  const batching::ItemInfo info{.lane = lane, .alone = true};
  HFWA_RETURN_IF_ERROR(batcher_->Submit(std::move(item), info));
  ended.WaitForNotification();
  return outcome;
}

void Encoder::Run(std::vector<std::unique_ptr<batching::Item>> items, batching::Reason reason) {
  if (auto* task = dynamic_cast<Task*>(items.front().get())) {
    task->run(std::nullopt);
    return;
  }
  at::NoGradGuard no_grad;
  const absl::Duration start = clock_->SteadyNow();
  std::vector<Work*> works;
  std::vector<at::Tensor> images;
  std::vector<int> classes;
  for (const auto& item : items) {
    works.push_back(static_cast<Work*>(item.get()));
    images.push_back(works.back()->request.image);
    classes.push_back(works.back()->request.class_index);
  }
  const int size = static_cast<int>(works.size());
  absl::StatusOr<model::ForwardResult> result = absl::UnknownError("");
  std::vector<double> probabilities(works.size(), 0.0);
  try {
    result = model_->Forward(size == 1 ? images[0].unsqueeze(0) : at::stack(images), classes);
    if (result.ok() && result->text_probs.defined()) {
      const at::Tensor anomalous = result->text_probs.select(1, 1).contiguous().cpu();
      std::copy_n(anomalous.data_ptr<float>(), size, probabilities.begin());
    }
  } catch (const std::exception& e) {
    result = absl::InternalError(e.what());
  }
  const absl::Duration took = clock_->SteadyNow() - start;
  observer_->OnBatch(size, batching::ReasonName(reason));
  observer_->OnStage(Stage::kEncode, took);
  if (!result.ok()) {
    const bool on_device = model_->options().device != "cpu";
    if (on_device && absl::IsInternal(result.status())) {  // CUDA errors stay with the process
      absl::MutexLock lock(&mu_);
      failure_ = Annotate(absl::UnavailableError(result.status().message()), "DEVICE_FAILED");
    }
    for (Work* work : works) work->done(result.status());
    return;
  }
  for (int i = 0; i < size; ++i) {
    Encoded encoded;
    encoded.text_probability = probabilities[static_cast<size_t>(i)];
    if (result->language_diff.defined()) encoded.language_diff = result->language_diff[i];
    encoded.tokens = result->tokens[i];
    encoded.queue_time = start - works[static_cast<size_t>(i)]->submitted;
    encoded.encode_time = took;
    encoded.batch_size = size;
    works[static_cast<size_t>(i)]->done(std::move(encoded));
  }
}

absl::Status Encoder::healthy() const {
  {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
  }
  const auto since = batcher_->RunningSince();
  if (since.has_value() && clock_->SteadyNow() - *since > hang_limit_) {
    return Annotate(absl::UnavailableError("the device has not answered for too long"),
                    "DEVICE_FAILED");
  }
  return absl::OkStatus();
}

}  // namespace hfwa::engine
