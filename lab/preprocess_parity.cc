#include <filesystem>
#include <string>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/image/decode.h"
#include "core/image/mask.h"
#include "core/image/preprocess.h"
#include "core/model/config.h"
#include "core/model/safetensors.h"
#include "lab/fixture.h"
#include "lab/parity.h"

namespace hfwa::lab {
namespace {

namespace fs = std::filesystem;

// Side of the stored tensors and masks.
constexpr int kSide = 56;

std::string PixelHash(const uint8_t* pixels, size_t count) {
  return Sha256Hex({reinterpret_cast<const char*>(pixels), count});
}
std::string PixelHash(const image::Image& image) {
  return PixelHash(image.rgb.data(), image.rgb.size());
}

absl::StatusOr<image::Image> DecodeFile(const fs::path& path) {
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path.string()));
  return image::Decode(bytes, image::DecodeOptions::Paper());
}

void CheckImage(const fs::path& folder, const std::string& name, const nlohmann::json& expected,
                Report& report) {
  const auto decoded = DecodeFile(folder / "src" / name);
  if (!decoded.ok()) {
    report.Check(name, false, std::string(decoded.status().message()));
    return;
  }
  report.Check(absl::StrCat(name, " pixels"),
               decoded->width == expected.at("width").get<int>() &&
                   decoded->height == expected.at("height").get<int>() &&
                   PixelHash(*decoded) == expected.at("rgb_sha256").get<std::string>(),
               "decoded pixels differ");
  for (const auto& [size, resized] : expected.at("expected").items()) {
    const int side = std::stoi(size);
    const image::Image image = image::Resize(*decoded, side, side, image::Resampling::kBicubic);
    report.Check(absl::StrCat(name, " at ", size),
                 PixelHash(image) == resized.at("sha256").get<std::string>(),
                 "resized pixels differ");
  }
}

void CheckMask(const fs::path& folder, const std::string& name, const nlohmann::json& expected,
               Report& report) {
  const auto decoded = DecodeFile(folder / "masks" / name);
  if (!decoded.ok()) {
    report.Check(name, false, std::string(decoded.status().message()));
    return;
  }
  const image::Mask mask = image::PrepareMask(*decoded, kSide, kSide);
  report.Check(
      absl::StrCat(name, " mask"),
      PixelHash(mask.values.data(), mask.values.size()) == expected.at("sha256").get<std::string>(),
      "mask differs");
  int training = 0, evaluation = 0;
  for (const uint8_t value : mask.values) {
    training += value >= image::kTrainingMaskMin ? 1 : 0;
    evaluation += value >= image::kEvaluationMaskMin ? 1 : 0;
  }
  report.Check(absl::StrCat(name, " counts"),
               training == expected.at("positive_train").get<int>() &&
                   evaluation == expected.at("positive_test").get<int>(),
               absl::StrCat(training, " and ", evaluation, " positive"));
}

void CheckTensor(const fs::path& folder, const std::string& name, const at::Tensor& expected,
                 Report& report) {
  const auto decoded = DecodeFile(folder / "src" / name);
  if (!decoded.ok()) {
    report.Check(name, false, std::string(decoded.status().message()));
    return;
  }
  const model::ModelConfig defaults;
  const image::Image image = image::Resize(*decoded, kSide, kSide, image::Resampling::kBicubic);
  at::Tensor tensor = at::empty({3, kSide, kSide}, at::kFloat);
  image::ToTensor(image, {defaults.mean, defaults.std},
                  absl::MakeSpan(tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())));
  report.Compare(absl::StrCat(name, " tensor"), tensor, expected, 0);
}

}  // namespace

absl::StatusOr<Report> PreprocessParity(const std::string& folder) {
  const fs::path path = folder;
  HFWA_ASSIGN_OR_RETURN(const nlohmann::json expected, ReadJson((path / "expected.json").string()));
  HFWA_ASSIGN_OR_RETURN(const Tensors tensors,
                        model::ReadAllTensors((path / "tensors56.safetensors").string()));
  Report report;
  for (const auto& [name, image] : expected.at("images").items()) {
    CheckImage(path, name, image, report);
  }
  for (const auto& [name, mask] : expected.at("masks").items()) CheckMask(path, name, mask, report);
  for (const auto& [name, tensor] : tensors) CheckTensor(path, name, tensor, report);
  return report;
}

}  // namespace hfwa::lab
