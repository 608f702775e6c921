#include "core/model/safetensors.h"

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::model {
namespace {

using ::testing::HasSubstr;

std::string FileOf(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string MessageOf(const std::string& bytes) {
  const auto file = SafetensorsFile::Parse(bytes, "x.safetensors");
  return file.ok() ? "accepted" : std::string(file.status().message());
}

std::string TemporaryPath(const std::string& name) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return testing::TempDir() + "/" + test->name() + "_" + std::to_string(getpid()) + "_" + name;
}

constexpr char kTwo[] =
    R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[2,2],"data_offsets":[8,12]}})";

TEST(Safetensors, read_gives_shape_type_and_values_when_the_file_is_good) {
  std::string data(12, '\0');
  const float values[2] = {1.5F, -2.0F};
  std::memcpy(data.data(), values, 8);
  data[8] = -3;
  const std::string bytes = FileOf(kTwo, data);
  const auto file = SafetensorsFile::Parse(bytes, "x");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().at("b").dtype, at::kChar);
  EXPECT_TRUE(at::equal(*file->Read("a"), at::tensor({1.5F, -2.0F})));
  EXPECT_EQ(file->ReadFp32("b")->flatten()[0].item<float>(), -3.0F);
  EXPECT_EQ(file->Read("c").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file->Read("c").status().message()), HasSubstr("c"));
}

TEST(Safetensors, every_type_reads_back_bit_for_bit_when_written) {
  const std::string path = TemporaryPath("types.safetensors");
  std::map<std::string, at::Tensor> tensors;
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kByte, at::kBool}) {
    tensors[c10::toString(type)] = at::arange(0, 6, at::kLong).reshape({2, 3}).to(type);
  }
  tensors["empty"] = at::zeros({0, 4});
  tensors["scalar"] = at::scalar_tensor(2.5);
  tensors["transposed"] = at::arange(0, 6, at::kFloat).reshape({2, 3}).t();
  ASSERT_TRUE(WriteSafetensors(path, tensors).ok());
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const auto read = file->Read(name);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(*read, tensor)) << name;
  }
  std::filesystem::remove(path);
}

TEST(Safetensors, read_all_widens_floats_and_keeps_whole_numbers_when_types_are_mixed) {
  const auto all = ReadAllTensors(std::string(HFWA_SOURCE_DIR) +
                                  "/tests/parity/fixtures/formats/hf_sharded/"
                                  "model-00001-of-00002.safetensors");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->at("text_model.embeddings.position_ids").scalar_type(), at::kLong);
  EXPECT_EQ(all->at("logit_scale").scalar_type(), at::kFloat);
}

TEST(Safetensors, every_cut_is_refused_when_a_file_is_truncated) {
  const std::string whole = FileOf(kTwo, std::string(12, '\1'));
  ASSERT_EQ(MessageOf(whole), "accepted");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THAT(MessageOf(whole.substr(0, length)), HasSubstr("x.safetensors"))
        << "cut at " << length;
  }
  EXPECT_THAT(MessageOf(whole + "z"), HasSubstr("1 bytes after the last tensor"));
}

TEST(Safetensors, every_cut_of_a_real_file_is_refused) {
  std::ifstream in(
      std::string(HFWA_SOURCE_DIR) + "/tests/parity/fixtures/formats/expected_learned.safetensors",
      std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_EQ(MessageOf(whole), "accepted");
  uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  for (size_t length = 0; length < whole.size(); length += length < header + 16 ? 1 : 61) {
    // The cut copy has an allocation of its own, so that a sanitizer sees a read beyond it.
    const std::string cut = whole.substr(0, length);
    ASSERT_FALSE(SafetensorsFile::Parse(cut, "x").ok()) << "cut at " << length;
  }
}

struct BadHeader {
  const char* header;
  const char* message;
};

TEST(Safetensors, the_fault_is_named_when_a_header_lies) {
  const BadHeader cases[] = {
      {"[]", "not a JSON object"},
      {"{", "not JSON"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}})", "twice"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
       "tensor a: has 8 bytes where its shape needs 12"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "tensor a"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", "do not lie"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})",
       "do not lie"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})",
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}})",
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", "not a whole number"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}})", "not a whole number"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})",
       "too many dimensions"},
      {R"({"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}})", "type Q4"},
      {R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", "of the wrong kind"},
      {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", "absent"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "of the wrong kind"},
      {R"({"a":7})", "not an object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "gap"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       "4 bytes after the last tensor"},
      {"{\"\xff\":1}", "not JSON"},
  };
  for (const BadHeader& bad : cases) {
    EXPECT_THAT(MessageOf(FileOf(bad.header, std::string(8, '\0'))), HasSubstr(bad.message))
        << bad.header;
  }
}

TEST(Safetensors, a_header_length_beyond_the_file_is_refused) {
  std::string bytes = FileOf("{}", "");
  for (const uint64_t length :
       {uint64_t{3}, uint64_t{1} << 40, std::numeric_limits<uint64_t>::max(),
        std::numeric_limits<uint64_t>::max() - 7}) {
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_THAT(MessageOf(bytes), HasSubstr("does not fit"));
  }
}

TEST(Safetensors, open_names_the_file_when_it_is_absent_or_no_file) {
  EXPECT_EQ(SafetensorsFile::Open("/nowhere/a.safetensors").status().code(),
            absl::StatusCode::kNotFound);
  const auto folder = SafetensorsFile::Open(testing::TempDir());
  EXPECT_EQ(folder.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hfwa::model
