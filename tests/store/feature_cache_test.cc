#include "core/store/feature_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

using testing::ElementsAreArray;

const std::string kImage = Sha256Hex("image");

std::vector<std::string> FilesUnder(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadFile(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

class FeatureCacheTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  FeatureCache cache_{directory_.path() + "/cache", "model ../x"};
  const std::vector<float> values_ = {0.0F, -1.5F, 3.25e-8F, 1e30F};
};

TEST_F(FeatureCacheTest, gives_back_the_values_to_the_bit) {
  EXPECT_TRUE(absl::IsNotFound(cache_.Get(kImage, "[2, 2]", 4).status()));
  ASSERT_TRUE(cache_.Put(kImage, "[2, 2]", values_).ok());
  const auto read = cache_.Get(kImage, "[2, 2]", 4);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(*read, ElementsAreArray(values_));
  ASSERT_TRUE(cache_.Put(kImage, "[2, 2]", {values_.data(), 3}).ok()) << "replaces";
  EXPECT_EQ(cache_.Get(kImage, "[2, 2]", 3)->size(), 3U);
  cache_.Remove(kImage);
  EXPECT_TRUE(absl::IsNotFound(cache_.Get(kImage, "[2, 2]", 3).status()));
  ASSERT_TRUE(cache_.Put(kImage, "", {}).ok());
  EXPECT_EQ(cache_.Get(kImage, "", 0)->size(), 0U);
}

TEST_F(FeatureCacheTest, another_fingerprint_header_or_count_is_no_hit) {
  ASSERT_TRUE(cache_.Put(kImage, "[2, 2]", values_).ok());
  const FeatureCache other(directory_.path() + "/cache", "another model");
  EXPECT_TRUE(absl::IsNotFound(other.Get(kImage, "[2, 2]", 4).status()));
  EXPECT_TRUE(absl::IsDataLoss(cache_.Get(kImage, "[4, 1]", 4).status()));
  EXPECT_TRUE(absl::IsNotFound(cache_.Get(kImage, "[2, 2]", 4).status())) << "it was removed";
  ASSERT_TRUE(cache_.Put(kImage, "[2, 2]", values_).ok());
  EXPECT_TRUE(absl::IsDataLoss(cache_.Get(kImage, "[2, 2]", 3).status()));
}

TEST_F(FeatureCacheTest, every_flipped_bit_and_every_cut_is_found_and_the_file_removed) {
  ASSERT_TRUE(cache_.Put(kImage, "[2, 2]", values_).ok());
  const std::string path = FilesUnder(directory_.path()).at(0);
  const std::string intact = ReadFile(path);
  std::vector<std::string> damaged;
  for (size_t bit = 0; bit < intact.size() * 8; ++bit) {
    damaged.push_back(intact);
    damaged.back()[bit / 8] ^= static_cast<char>(1U << bit % 8);
  }
  for (size_t size = 0; size < intact.size(); ++size) damaged.push_back(intact.substr(0, size));
  damaged.push_back(intact + '\0');
  for (size_t i = 0; i < damaged.size(); ++i) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged[i];
    ASSERT_TRUE(absl::IsDataLoss(cache_.Get(kImage, "[2, 2]", 4).status())) << "damage " << i;
    ASSERT_FALSE(std::filesystem::exists(path)) << "damage " << i;
  }
}

TEST_F(FeatureCacheTest, swapped_files_are_found) {
  const std::string other = Sha256Hex("other image");
  ASSERT_TRUE(cache_.Put(kImage, "h", values_).ok());
  ASSERT_TRUE(cache_.Put(other, "h", values_).ok());
  const auto files = FilesUnder(directory_.path());
  std::filesystem::copy_file(files.at(0), files.at(1),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(cache_.Get(kImage, "h", 4).ok(), cache_.Get(other, "h", 4).ok());
}

TEST_F(FeatureCacheTest, hostile_arguments_are_refused) {
  EXPECT_TRUE(absl::IsInvalidArgument(cache_.Put("../../x", "h", values_)));
  EXPECT_TRUE(absl::IsInvalidArgument(cache_.Get("../../x", "h", 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(cache_.Get(kImage, "h", ~size_t{0}).status()));
  cache_.Remove("../../x");
  EXPECT_FALSE(std::filesystem::exists(directory_.path() + "/cache")) << "nothing was written";
}

TEST_F(FeatureCacheTest, concurrent_writers_and_readers_see_whole_files) {
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(cache_.Put(kImage, "h", values_).ok());
        ASSERT_TRUE(cache_.Get(kImage, "h", 4).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(FilesUnder(directory_.path()).size(), 1U) << "temporary files are gone";
}

class FeatureCacheBudget : public testing::Test {
 protected:
  static constexpr int kFiles = 5;

  std::string Root() const { return directory_.path() + "/cache"; }
  static std::string Image(int i) { return Sha256Hex(absl::StrCat("image ", i)); }
  int64_t BytesOnDisk() const {
    int64_t bytes = 0;
    for (const std::string& path : FilesUnder(Root()))
      bytes += static_cast<int64_t>(std::filesystem::file_size(path));
    return bytes;
  }
  // Bytes of one file.
  int64_t FileSize() {
    FeatureCache cache(Root(), "size");
    EXPECT_TRUE(cache.Put(Image(0), "h", values_).ok());
    const int64_t bytes = cache.bytes();
    cache.Remove(Image(0));
    EXPECT_EQ(cache.bytes(), 0);
    return bytes;
  }
  void PutAll(FeatureCache& cache) {
    for (int i = 0; i < kFiles; ++i) ASSERT_TRUE(cache.Put(Image(i), "h", values_).ok());
  }
  static std::vector<int> Kept(const FeatureCache& cache) {
    std::vector<int> kept;
    for (int i = 0; i < kFiles; ++i) {
      if (cache.Get(Image(i), "h", 100).ok()) kept.push_back(i);
    }
    return kept;
  }

  TemporaryDirectory directory_;
  const std::vector<float> values_ = std::vector<float>(100, 1.0F);
};

TEST_F(FeatureCacheBudget, the_least_recently_used_go) {
  FeatureCache cache(Root(), "m", 3 * FileSize());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(cache.Put(Image(i), "h", values_).ok());
  ASSERT_TRUE(cache.Get(Image(0), "h", 100).ok());
  ASSERT_TRUE(cache.Put(Image(3), "h", values_).ok());
  EXPECT_THAT(Kept(cache), testing::ElementsAre(0, 2, 3));
  EXPECT_EQ(cache.bytes(), BytesOnDisk());
  ASSERT_TRUE(cache.Put(Image(0), "h", values_).ok()) << "replaces, and counts once";
  EXPECT_EQ(cache.bytes(), BytesOnDisk());
}

TEST_F(FeatureCacheBudget, one_file_stays_however_small_the_budget) {
  FeatureCache cache(Root(), "m", 1);
  PutAll(cache);
  EXPECT_THAT(Kept(cache), testing::ElementsAre(kFiles - 1));
}

TEST_F(FeatureCacheBudget, a_restart_knows_what_is_there_and_when_it_was_used) {
  const int64_t size = FileSize();
  FeatureCache first(Root(), "m");
  PutAll(first);
  for (int i = 0; i < kFiles; ++i) {  // of another day each
    for (const std::string& path : FilesUnder(Root())) {
      if (path.find(Image(i).substr(2)) == std::string::npos) continue;
      std::filesystem::last_write_time(
          path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * (9 - i)));
    }
  }
  ASSERT_TRUE(first.Get(Image(1), "h", 100).ok()) << "used today";
  FeatureCache second(Root(), "m", 2 * size);
  EXPECT_EQ(second.bytes(), 2 * size);
  EXPECT_EQ(BytesOnDisk(), 2 * size);
  EXPECT_THAT(Kept(second), testing::ElementsAre(1, kFiles - 1));
}

TEST_F(FeatureCacheBudget, another_model_s_files_go_first_and_temporary_ones_at_the_start) {
  const int64_t size = FileSize();
  FeatureCache old(Root(), "old model");
  FeatureCache own(Root(), "m");
  PutAll(own);
  PutAll(old);
  const std::string left_over = FilesUnder(Root()).front() + ".1.2.tmp";
  std::ofstream(left_over) << "half";
  FeatureCache now(Root(), "m", (kFiles + 1) * size);
  EXPECT_EQ(Kept(now).size(), static_cast<size_t>(kFiles));
  EXPECT_EQ(FilesUnder(Root()).size(), static_cast<size_t>(kFiles) + 1);
  EXPECT_FALSE(std::filesystem::exists(left_over));
}

}  // namespace
}  // namespace hfwa::store
