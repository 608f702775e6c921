// Decoding, resizing, tensors and masks against what Pillow and torchvision gave, byte for byte.

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/image/mask.h"
#include "core/image/preprocess.h"
#include "tests/image/testing.h"

namespace hfwa::image {
namespace {

constexpr Normalization kClip = {{0.48145466F, 0.4578275F, 0.40821073F},
                                 {0.26862954F, 0.26130258F, 0.27577711F}};

nlohmann::json ParityExpectations() {
  return nlohmann::json::parse(ReadFile(ParityPath("expected.json")));
}

TEST(Parity, decodes_every_source_to_pillows_pixels) {
  const nlohmann::json expected = ParityExpectations();
  EXPECT_EQ(expected["images"].size(), 22U);
  for (const auto& [name, entry] : expected["images"].items()) {
    SCOPED_TRACE(name);
    const Image image = MustDecode(ReadFile(ParityPath("src/" + name)));
    EXPECT_EQ(image.width, entry["width"]);
    EXPECT_EQ(image.height, entry["height"]);
    EXPECT_EQ(Sha256Of(image.rgb), entry["rgb_sha256"]);
  }
}

TEST(Parity, resizes_every_source_to_pillows_pixels) {
  int resized_count = 0;
  const nlohmann::json expected = ParityExpectations();
  for (const auto& [name, entry] : expected["images"].items()) {
    const Image image = MustDecode(ReadFile(ParityPath("src/" + name)));
    for (const auto& [size_text, result] : entry["expected"].items()) {
      SCOPED_TRACE(::testing::Message() << name << " at " << size_text);
      const int size = std::stoi(size_text);
      const Image resized = Resize(image, size, size, Resampling::kBicubic);
      EXPECT_EQ(Sha256Of(resized.rgb), result["sha256"]);
      const Image stored = MustDecode(ReadFile(ParityPath(std::string(result["file"]))));
      EXPECT_TRUE(resized.rgb == stored.rgb);
      ++resized_count;
    }
  }
  EXPECT_EQ(resized_count, 26);
}

TEST(Parity, tensors_are_equal_to_the_bit) {
  const std::string file = ReadFile(ParityPath("tensors56.safetensors"));
  uint64_t header_size = 0;
  std::memcpy(&header_size, file.data(), 8);
  const nlohmann::json header = nlohmann::json::parse(file.substr(8, header_size));
  for (const auto& [name, entry] : header.items()) {
    SCOPED_TRACE(name);
    const Image image =
        Resize(MustDecode(ReadFile(ParityPath("src/" + name))), 56, 56, Resampling::kBicubic);
    std::vector<float> tensor(3 * 56 * 56);
    ToTensor(image, kClip, absl::MakeSpan(tensor));
    const size_t begin = entry["data_offsets"][0];
    ASSERT_EQ(entry["data_offsets"][1].get<size_t>() - begin, tensor.size() * sizeof(float));
    std::vector<float> expected(tensor.size());
    std::memcpy(expected.data(), file.data() + 8 + header_size + begin,
                tensor.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(tensor.data(), expected.data(), tensor.size() * sizeof(float)), 0);
  }
}

TEST(Parity, masks_are_equal_and_count_the_same_positives) {
  const nlohmann::json expected = ParityExpectations();
  EXPECT_EQ(expected["masks"].size(), 3U);
  for (const auto& [name, entry] : expected["masks"].items()) {
    SCOPED_TRACE(name);
    const Image image = MustDecode(ReadFile(ParityPath("masks/" + name)));
    EXPECT_EQ(image.width, entry["width"]);
    const Mask mask = PrepareMask(image, 56, 56);
    const Image stored = MustDecode(ReadFile(ParityPath(std::string(entry["expected"]))));
    for (size_t i = 0; i < mask.values.size(); ++i)
      ASSERT_EQ(mask.values[i], stored.rgb[3 * i]) << i;
    const auto positives = [&](uint8_t least) {
      return std::count_if(mask.values.begin(), mask.values.end(),
                           [least](uint8_t value) { return value >= least; });
    };
    EXPECT_EQ(positives(kTrainingMaskMin), entry["positive_train"]);
    EXPECT_EQ(positives(kEvaluationMaskMin), entry["positive_test"]);
  }
}

TEST(Parity, samples_of_all_formats_decode_as_in_pillow) {
  const nlohmann::json expected = nlohmann::json::parse(ReadFile(SamplePath("expected.json")));
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SamplePath(""))) {
    files += entry.path().filename() != "expected.json";
  }
  EXPECT_EQ(expected.size(), files);
  for (const auto& [name, entry] : expected.items()) {
    SCOPED_TRACE(name);
    const Image image = MustDecode(ReadFile(SamplePath(name)));
    EXPECT_EQ(image.width, entry["width"]);
    EXPECT_EQ(image.height, entry["height"]);
    EXPECT_EQ(Sha256Of(image.rgb), entry["rgb_sha256"]);
  }
}

TEST(Parity, orientation_is_applied_when_asked_for) {
  const nlohmann::json expected = nlohmann::json::parse(ReadFile(SamplePath("expected.json")));
  int checked = 0;
  for (const auto& [name, entry] : expected.items()) {
    if (!entry.contains("upright")) continue;
    SCOPED_TRACE(name);
    const std::string bytes = ReadFile(SamplePath(name));
    const Image image = MustDecode(bytes, DecodeOptions());
    EXPECT_EQ(image.width, entry["upright"]["width"]);
    EXPECT_EQ(image.height, entry["upright"]["height"]);
    EXPECT_EQ(Sha256Of(image.rgb), entry["upright"]["rgb_sha256"]);
    const absl::StatusOr<Header> header = ReadHeader(bytes, Limits());
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->orientation, name[11] - '0');
    EXPECT_EQ(header->width, 17);
    ++checked;
  }
  EXPECT_EQ(checked, 11);
}

}  // namespace
}  // namespace hfwa::image
