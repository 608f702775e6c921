#pragma once

// Pictures and masks of a data set, as the paper's code reads them (training-and-data spec,
// sections 4.3 and 5).

#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/image/image.h"
#include "core/image/mask.h"
#include "core/model/config.h"
#include "lab/data/data_set.h"

namespace hfwa::lab {

// A file of the set; its size is checked before memory is taken. NOT_FOUND, INVALID_ARGUMENT.
absl::StatusOr<std::string> LoadBytes(const DataSet& set, const std::string& file);

// The item's picture at its own size. INVALID_ARGUMENT says what is wrong with the file, which the
// caller names. Thread-safe, as all here.
absl::StatusOr<image::Image> LoadPicture(const DataSet& set, const Item& item);

// The item's mask as a picture, absent where it has none. INVALID_ARGUMENT if it is not of the
// picture's size or no image.
absl::StatusOr<std::optional<image::Image>> LoadMask(const DataSet& set, const Item& item,
                                                     const image::Image& picture);

// The mask resized; all 0 where there is none. What counts as a defect: image::kTrainingMaskMin and
// image::kEvaluationMaskMin.
image::Mask ResizeMask(const std::optional<image::Image>& mask, int side);

// The picture as the model takes it: resized, normalised, [1, 3, S, S] fp32.
at::Tensor ToModelInput(const image::Image& picture, const model::ModelConfig& config);

}  // namespace hfwa::lab
