#include "core/engine/maps.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/model/maps.h"

namespace hfwa::engine {

at::Tensor CombinedMap(const model::ModelConfig& config, const at::Tensor& language_diff,
                       const at::Tensor& few) {
  at::Tensor map;
  if (language_diff.defined()) map = model::ZeroShotMap(config, language_diff.unsqueeze(0));
  if (few.defined()) {
    const at::Tensor visual = model::FewShotMap(config, few.unsqueeze(0));
    map = map.defined() ? map + visual : visual;
  }
  return map.squeeze(0).cpu().contiguous();
}

at::Tensor LevelMaps(const model::ModelConfig& config, const at::Tensor& language_diff,
                     const at::Tensor& few) {
  at::Tensor maps;
  if (language_diff.defined()) {
    maps = model::LanguageMaps(language_diff.unsqueeze(0), config.map_size).squeeze(0);
  }
  if (few.defined()) {
    const at::Tensor visual = model::UpsampleMaps(few.unsqueeze(0), config.map_size).squeeze(0);
    maps = maps.defined() ? maps + visual : visual;
  }
  return maps.cpu().contiguous();
}

image::FloatMap ToFloatMap(const at::Tensor& map) {
  image::FloatMap plain{.width = static_cast<int>(map.size(1)),
                        .height = static_cast<int>(map.size(0)),
                        .values = std::vector<float>(static_cast<size_t>(map.numel()))};
  const at::Tensor contiguous = map.contiguous();
  std::copy_n(contiguous.data_ptr<float>(), plain.values.size(), plain.values.begin());
  return plain;
}

}  // namespace hfwa::engine
