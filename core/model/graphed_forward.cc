#include "core/model/graphed_forward.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/status_macros.h"
#include "core/model/torch_errors.h"

namespace hfwa::model {

absl::StatusOr<std::unique_ptr<GraphedForward>> GraphedForward::Create(
    const Hfwa& model, int batch_max, const MakeGraph& make_graph) {
  std::unique_ptr<GraphedForward> graphed(new GraphedForward(model));
  std::vector<int> sizes;
  for (const int size : kBuckets) {
    sizes.push_back(size);
    if (size >= batch_max) break;
  }
  for (auto size = sizes.rbegin(); size != sizes.rend(); ++size)
    HFWA_RETURN_IF_ERROR(graphed->Record(*size, make_graph));
  return graphed;
}

absl::Status GraphedForward::Record(int size, const MakeGraph& make_graph) {
  const at::NoGradGuard no_grad;
  const int side = model_.config().vision.image_size;
  return CatchTorchErrors([&]() -> absl::Status {
    const at::Device device = model_.kernels().device();
    auto graph = make_graph();
    if (graph == nullptr) return absl::UnavailableError("there are no graphs");
    Bucket& bucket = buckets_[size];
    bucket.graph = std::move(graph);
    bucket.images = at::zeros({size, 3, side, side}, at::device(device).dtype(at::kFloat));
    bucket.classes = at::zeros({size}, at::device(device).dtype(at::kLong));
    // What libraries make on first use is made before anything is recorded.
    for (int i = 0; i < 2; ++i) (void)model_.ForwardOnDevice(bucket.images, bucket.classes);
    bucket.graph->Capture([this, &bucket] {
      bucket.results = model_.ForwardOnDevice(bucket.images, bucket.classes);
    });
    return absl::OkStatus();
  });
}

absl::StatusOr<ForwardResult> GraphedForward::Forward(const at::Tensor& images,
                                                      absl::Span<const int> class_index) {
  const auto found = buckets_.lower_bound(static_cast<int>(images.size(0)));
  if (found == buckets_.end()) return model_.Forward(images, class_index);
  HFWA_RETURN_IF_ERROR(model_.CheckInputs(images, class_index));
  const at::NoGradGuard no_grad;
  return CatchTorchErrors([&]() -> absl::StatusOr<ForwardResult> {
    const Bucket& bucket = found->second;
    const int64_t count = images.size(0), size = found->first;
    std::vector<int64_t> classes(class_index.begin(), class_index.end());
    classes.resize(static_cast<size_t>(size), classes.back());
    bucket.classes.copy_(at::tensor(classes, at::kLong));
    bucket.images.narrow(0, 0, count).copy_(images);
    if (size > count) {
      bucket.images.narrow(0, count, size - count).copy_(images.narrow(0, count - 1, 1));
    }
    bucket.graph->Replay();
    // The next replay writes where this one did.
    const auto own = [count](const at::Tensor& result) {
      return result.defined() ? result.narrow(0, 0, count).clone() : result;
    };
    return ForwardResult{own(bucket.results.text_probs), own(bucket.results.language_diff),
                         own(bucket.results.tokens)};
  });
}

}  // namespace hfwa::model
