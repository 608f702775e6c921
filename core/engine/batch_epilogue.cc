#include "core/engine/batch_epilogue.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/engine/transfer.h"
#include "core/kernels/epilogue.h"

namespace hfwa::engine {
namespace {

using kernels::CombinedMaps;
using kernels::Epilogue;

kernels::MapSpec SpecOf(const model::ModelConfig& config) {
  return {config.map_size, config.filter_sigma};
}

at::Tensor IndexOf(const std::vector<int64_t>& places, at::Device device) {
  return at::tensor(places, at::kLong).to(device);
}

// Images `places` of a batch.
at::Tensor Pick(const at::Tensor& batch, const std::vector<int64_t>& places) {
  if (!batch.defined() || static_cast<int64_t>(places.size()) == batch.size(0)) return batch;
  return batch.index_select(0, IndexOf(places, batch.device()));
}

// Weighed distances of images `places`, [b, n, g, g]; 0 where an image has no bank, undefined
// where none has.
at::Tensor MatchBanks(const Epilogue& epilogue, const model::ForwardResult& forward, int64_t grid,
                      absl::Span<const FinishRequest> requests,
                      const std::vector<int64_t>& places) {
  const at::Tensor tokens = forward.tokens.to(at::kHalf);  // once, not for each image and level
  std::vector<kernels::RowMatch> matches;
  std::vector<int64_t> matched;  // indices into `places`
  std::vector<const bank::Bank*> banks;
  for (size_t i = 0; i < places.size(); ++i) {
    const bank::Bank* bank = requests[static_cast<size_t>(places[i])].bank.get();
    if (bank == nullptr) continue;
    bank->AddMatches(tokens[places[i]], matches);
    matched.push_back(static_cast<int64_t>(i));
    banks.push_back(bank);
  }
  if (matches.empty()) return {};
  at::Tensor few = at::rsub(epilogue.Maxima(matches), 1)
                       .view({static_cast<int64_t>(matched.size()), -1, grid, grid});
  bank::Bank::Weigh(banks, few);
  if (matched.size() == places.size()) return few;
  at::Tensor all =
      at::zeros({static_cast<int64_t>(places.size()), few.size(1), grid, grid}, few.options());
  return all.index_copy_(0, IndexOf(matched, few.device()), few);
}

const at::Tensor& ColourTable() {
  static const at::Tensor table = [] {
    image::FloatMap ramp{.width = 256, .height = 1, .values = {}};
    for (int i = 0; i < 256; ++i) ramp.values.push_back(static_cast<float>(i));
    const image::Image colours = image::ColorMap(ramp, 0, 255);
    return at::tensor(at::ArrayRef<uint8_t>(colours.rgb), at::kByte).view({256, 3});
  }();
  return table;
}

template <typename T>
std::vector<T> Values(const at::Tensor& tensor) {
  const T* const values = tensor.const_data_ptr<T>();
  return {values, values + tensor.numel()};
}

// Those of images `places` for which `wants` is set.
std::vector<int64_t> Wanting(absl::Span<const FinishRequest> requests,
                             const std::vector<int64_t>& places, bool FinishRequest::*wants) {
  std::vector<int64_t> wanting;
  for (size_t i = 0; i < places.size(); ++i) {
    if (requests[static_cast<size_t>(places[i])].*wants) wanting.push_back(static_cast<int64_t>(i));
  }
  return wanting;
}

}  // namespace

bool CanFinish(const model::Hfwa& model) {
  const Epilogue* epilogue = model.kernels().epilogue();
  return epilogue != nullptr && epilogue->Takes(SpecOf(model.config()));
}

std::vector<FinishedMap> FinishBatch(const model::Hfwa& model, const model::ForwardResult& forward,
                                     absl::Span<const FinishRequest> requests) {
  std::vector<FinishedMap> finished(requests.size());
  std::vector<int64_t> places;  // of the images that are wanted
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].wanted) places.push_back(static_cast<int64_t>(i));
  }
  if (places.empty()) return finished;
  const Epilogue& epilogue = *model.kernels().epilogue();
  const int side = model.config().map_size;

  const at::Tensor few =
      MatchBanks(epilogue, forward, model.config().vision.grid(), requests, places);
  const CombinedMaps maps =
      epilogue.Combine(SpecOf(model.config()), Pick(forward.language_diff, places), few);

  const std::vector<int64_t> plain = Wanting(requests, places, &FinishRequest::values);
  const std::vector<int64_t> coloured = Wanting(requests, places, &FinishRequest::coloured);
  at::Tensor values, colours;
  if (!plain.empty()) values = Pick(maps.map, plain);
  if (!coloured.empty()) {
    std::vector<float> low, high;
    for (const int64_t i : coloured) {
      const auto place = static_cast<size_t>(places[static_cast<size_t>(i)]);
      low.push_back(requests[place].low);
      high.push_back(requests[place].high);
    }
    colours = epilogue.Colour(Pick(maps.map, coloured), low, high, ColourTable());
  }

  const std::vector<at::Tensor> here = Download({maps.keys, values, colours});
  const std::vector<float> maxima = kernels::MaximaOf({maps.map, here[0]});
  const auto of = [&](int64_t i) -> FinishedMap& {
    return finished[static_cast<size_t>(places[static_cast<size_t>(i)])];
  };
  for (size_t i = 0; i < places.size(); ++i) of(static_cast<int64_t>(i)).maximum = maxima[i];
  for (size_t i = 0; i < plain.size(); ++i)
    of(plain[i]).values = {side, side, Values<float>(here[1][static_cast<int64_t>(i)])};
  for (size_t i = 0; i < coloured.size(); ++i)
    of(coloured[i]).coloured = {side, side, Values<uint8_t>(here[2][static_cast<int64_t>(i)])};
  return finished;
}

}  // namespace hfwa::engine
