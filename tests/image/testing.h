#pragma once

// What the image tests share.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/sha256.h"
#include "core/image/decode.h"

namespace hfwa::image {

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string SamplePath(std::string_view name) {
  return std::string(HFWA_SOURCE_DIR "/tests/image/fixtures/") + std::string(name);
}
inline std::string ParityPath(std::string_view name) {
  return std::string(HFWA_SOURCE_DIR "/tests/parity/fixtures/preprocess/") + std::string(name);
}

inline std::string Sha256Of(const std::vector<uint8_t>& bytes) {
  return Sha256Hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// A decoded picture, or an empty one and a failed test.
inline Image MustDecode(std::string_view bytes,
                        const DecodeOptions& options = DecodeOptions::Paper()) {
  absl::StatusOr<Image> image = Decode(bytes, options);
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *std::move(image) : Image{};
}

}  // namespace hfwa::image
