#pragma once

// The seeded model with a language side, for tests of methods over it.

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/image/image.h"
#include "core/model/hfwa.h"
#include "lab/eval/method.h"
#include "lab/seeded_model.h"

namespace hfwa::lab {

class ClipModel {
 public:
  explicit ClipModel(model::Precision precision = model::Precision::kFp32)
      : ClipModel(SeededFiles(), precision) {}
  explicit ClipModel(model::ModelFiles files, model::Precision precision = model::Precision::kFp32)
      : files_(std::move(files)) {
    at::set_num_threads(1);
    model::HfwaOptions options;
    options.precision = precision;
    auto hfwa = model::Hfwa::Create(files_, options);
    if (!hfwa.ok()) throw std::runtime_error(hfwa.status().ToString());
    hfwa_ = *std::move(hfwa);
  }

  static model::ModelFiles SeededFiles() {
    auto files = model::ReadModelDirectory(HFWA_SEEDED_MODEL);
    if (!files.ok()) throw std::runtime_error(files.status().ToString());
    return *std::move(files);
  }

  const model::ModelFiles& files() const { return files_; }
  const model::ModelConfig& config() const { return files_.config; }
  const model::Hfwa& hfwa() const { return *hfwa_; }
  LoadedModel loaded() const {
    return {.hfwa = *hfwa_, .files = files_, .directory = HFWA_SEEDED_MODEL};
  }
  // [3, S, S], normalised.
  at::Tensor Image(int number) const {
    return SeededImage("image." + std::to_string(number), config().vision.image_size, 3,
                       number % 2 == 0);
  }
  at::Tensor Look(const View& view, const at::Tensor& image,
                  const std::string& class_name = "") const {
    const image::Image picture;
    const at::Tensor input = image.unsqueeze(0);
    auto seen = view.Look({.picture = picture, .model_input = input, .class_name = class_name});
    if (!seen.ok()) throw std::runtime_error(seen.status().ToString());
    return *std::move(seen);
  }

 private:
  model::ModelFiles files_;
  std::unique_ptr<model::Hfwa> hfwa_;
};

}  // namespace hfwa::lab
