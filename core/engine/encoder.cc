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
#include "core/kernels/graph.h"
#include "core/model/torch_errors.h"

namespace hfwa::engine {

// An image that waits for its forward pass.
struct Encoder::Work final : batching::Item {
  Work(Request r, Done d, absl::Duration now)
      : request(std::move(r)), done(std::move(d)), submitted(now) {}
  bool Cancelled() const override { return request.cancelled(); }
  void Refuse(const absl::Status& status) override { done(status); }

  Request request;
  Uploaded image;
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
    : Encoder(std::move(model), options, hang_limit, clock, observer, std::nullopt) {}

Encoder::Encoder(std::unique_ptr<model::Hfwa> model, const batching::PlannerOptions& options,
                 absl::Duration hang_limit, const Clock* clock, Observer* observer,
                 std::optional<bool> errors_stick)
    : model_(std::move(model)),
      hang_limit_(hang_limit),
      clock_(clock),
      observer_(observer),
      errors_stick_(errors_stick.value_or(!model_->kernels().device().is_cpu())),
      finishes_(CanFinish(*model_)),
      uploader_(model_->kernels().device()),
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

absl::Status Encoder::WarmUp(int batch_max) {
  if (model_->kernels().device().is_cpu()) {
    HFWA_RETURN_IF_ERROR(TimeBatch(1).status());
    for (const int size : {1, 2}) HFWA_RETURN_IF_ERROR(LearnBatch(size));
    return absl::OkStatus();
  }
  for (int size = 1; size <= std::min(batch_max, kWarmSizeMax); ++size) {
    const auto first = TimeBatch(size);
    // What does not fit is for PartRunner to halve.
    if (absl::IsResourceExhausted(first.status())) break;
    HFWA_RETURN_IF_ERROR(first.status());
    HFWA_RETURN_IF_ERROR(LearnBatch(size));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> Encoder::TimeBatch(int size) {
  const int side = model_->config().vision.image_size;
  const std::vector<int> classes(static_cast<size_t>(size), 0);
  absl::Duration took;
  const absl::Status status = RunTask(batching::Lane::kLive, [&]() -> absl::Status {
    const absl::Duration start = clock_->SteadyNow();
    HFWA_RETURN_IF_ERROR(ForwardBatch(at::zeros({size, 3, side, side}), classes).status());
    Synchronize(model_->kernels().device());
    took = clock_->SteadyNow() - start;
    return absl::OkStatus();
  });
  HFWA_RETURN_IF_ERROR(status);
  return took;
}

absl::Status Encoder::LearnBatch(int size) {
  HFWA_ASSIGN_OR_RETURN(const absl::Duration took, TimeBatch(size));
  batcher_->ObserveBatch(size, took);
  return absl::OkStatus();
}

absl::Status Encoder::UseGraphs(int batch_max) {
  return RunTask(batching::Lane::kLive, [&]() -> absl::Status {
    std::string why;
    auto graphed = model::GraphedForward::Create(
        *model_, batch_max, [&] { return kernels::MakeGraph(model_->kernels().device(), &why); });
    if (!graphed.ok()) {
      return absl::Status(graphed.status().code(),
                          absl::StrCat("CUDA graphs: ", graphed.status().message(), " ", why));
    }
    graphed_ = *std::move(graphed);
    return absl::OkStatus();
  });
}

void Encoder::Encode(Request request, const Done& done) {
  batching::ItemInfo info{.lane = request.lane,
                          .product = request.product,
                          .deadline = request.deadline,
                          .bytes = static_cast<int64_t>(request.image.nbytes()),
                          .alone = false,
                          .promised = request.promised};
  auto work = std::make_unique<Work>(std::move(request), done, clock_->SteadyNow());
  try {
    work->image = uploader_.Upload(work->request.image);
  } catch (const std::exception& e) {
    done(DeviceError(e));
    return;
  }
  work->request.image.reset();
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
      } catch (const std::exception& e) {
        outcome = DeviceError(e);
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
  std::vector<Work*> works;
  works.reserve(items.size());
  for (const auto& item : items) works.push_back(static_cast<Work*>(item.get()));
  const Works all(works);
  const int size = static_cast<int>(works.size());
  observer_->OnBatch(size, batching::ReasonName(reason));
  parts_.Run(
      size,
      [&](int first, int count) {
        return RunPart(all.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
      },
      [&](int image, const absl::Status& status) {
        all[static_cast<size_t>(image)]->done(status);
      });
}

absl::StatusOr<model::ForwardResult> Encoder::Forward(Works works,
                                                      std::vector<double>& probabilities) {
  std::vector<at::Tensor> images;
  std::vector<int> classes;
  for (const Work* work : works) {
    Await(work->image);
    images.push_back(work->image.values);
    classes.push_back(work->request.class_index);
  }
  // An image that found no room on the device when it came is still on the host.
  if (images.size() > 1) {
    for (at::Tensor& image : images) image = image.to(model_->kernels().device());
  }
  HFWA_ASSIGN_OR_RETURN(
      model::ForwardResult result,
      ForwardBatch(images.size() == 1 ? images[0].unsqueeze(0) : at::stack(images), classes));
  if (result.text_probs.defined()) {
    const at::Tensor anomalous = result.text_probs.select(1, 1).contiguous().cpu();
    std::copy_n(anomalous.data_ptr<float>(), works.size(), probabilities.begin());
  } else {
    Synchronize(model_->kernels().device());  // so that the time is the encoder's
  }
  return result;
}

absl::Status Encoder::RunPart(Works works) {
  const absl::Duration start = clock_->SteadyNow();
  std::vector<double> probabilities(works.size(), 0.0);
  model::ForwardResult result;
  std::vector<FinishedMap> finished;
  absl::Duration encoded_at;
  try {
    auto forward = Forward(works, probabilities);
    if (!forward.ok()) return Failed(forward.status());
    result = *std::move(forward);
    encoded_at = clock_->SteadyNow();
    observer_->OnStage(Stage::kEncode, encoded_at - start);
    if (finishes_) {
      std::vector<FinishRequest> requests;
      for (const Work* work : works) requests.push_back(work->request.finish);
      finished = FinishBatch(*model_, result, requests);
    }
  } catch (const std::exception& e) {
    return DeviceError(e);
  }
  const absl::Duration finish_time = clock_->SteadyNow() - encoded_at;
  for (size_t i = 0; i < works.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    Encoded encoded;
    encoded.text_probability = probabilities[i];
    if (result.language_diff.defined()) encoded.language_diff = result.language_diff[place];
    encoded.tokens = result.tokens[place];
    encoded.queue_time = start - works[i]->submitted;
    encoded.encode_time = encoded_at - start;
    encoded.finish_time = finish_time;
    encoded.batch_size = static_cast<int>(works.size());
    if (finishes_ && works[i]->request.finish.wanted) encoded.finished = std::move(finished[i]);
    works[i]->done(std::move(encoded));
  }
  return absl::OkStatus();
}

absl::Status Encoder::Failed(absl::Status status) {
  if (errors_stick_ && absl::IsInternal(status)) {
    absl::MutexLock lock(&mu_);
    if (failure_.ok())
      failure_ = Annotate(absl::UnavailableError(status.message()), "DEVICE_FAILED");
  }
  return status;
}

absl::Status Encoder::DeviceError(const std::exception& error) {
  return Failed(model::StatusFromException(error));
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
