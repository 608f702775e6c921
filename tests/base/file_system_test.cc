#include "core/base/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>

namespace hfwa {
namespace {

using testing::ElementsAre;

class FileSystemTest : public testing::Test {
 protected:
  FileSystemTest() {
    std::string name = (std::filesystem::temp_directory_path() / "hfwa_files_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
  }
  ~FileSystemTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  void Write(const std::string& path, const std::string& bytes) {
    auto file = files_.Create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Write(bytes).ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE((*file)->Close().ok());
  }

  FileSystem& files_ = FileSystem::Real();
  std::string root_;
};

TEST_F(FileSystemTest, writes_renames_lists_and_removes) {
  Write(root_ + "/b", "bytes");
  Write(root_ + "/c", "other");
  EXPECT_EQ(*files_.Read(root_ + "/b", 5), "bytes");
  ASSERT_TRUE(files_.Rename(root_ + "/c", root_ + "/b").ok());
  EXPECT_EQ(*files_.Read(root_ + "/b", 5), "other");
  ASSERT_TRUE(files_.MakeDirectory(root_ + "/a").ok());
  ASSERT_TRUE(files_.SyncFile(root_ + "/b").ok());
  ASSERT_TRUE(files_.SyncDirectory(root_).ok());
  EXPECT_THAT(*files_.List(root_), ElementsAre("a", "b"));
  ASSERT_TRUE(files_.Remove(root_ + "/b").ok());
  EXPECT_FALSE(*files_.Exists(root_ + "/b"));
  EXPECT_GT(*files_.FreeBytes(root_), 0);
}

TEST_F(FileSystemTest, tells_size_and_time) {
  Write(root_ + "/a", "12345");
  std::filesystem::last_write_time(
      root_ + "/a", std::filesystem::file_time_type::clock::now() - std::chrono::hours(48));
  EXPECT_EQ(files_.Stat(root_ + "/a")->bytes, 5);
  EXPECT_LT(files_.Stat(root_ + "/a")->modified, absl::Now() - absl::Hours(47));
  ASSERT_TRUE(files_.Touch(root_ + "/a").ok());
  EXPECT_GT(files_.Stat(root_ + "/a")->modified, absl::Now() - absl::Hours(1));
  EXPECT_EQ(*files_.Read(root_ + "/a", 5), "12345");
}

TEST_F(FileSystemTest, codes_say_what_is_wrong) {
  EXPECT_TRUE(absl::IsNotFound(files_.Stat(root_ + "/none").status()));
  EXPECT_TRUE(absl::IsNotFound(files_.Touch(root_ + "/none")));
  EXPECT_TRUE(absl::IsNotFound(files_.Read(root_ + "/none", 9).status()));
  EXPECT_TRUE(absl::IsNotFound(files_.Remove(root_ + "/none")));
  EXPECT_TRUE(absl::IsNotFound(files_.List(root_ + "/none").status()));
  Write(root_ + "/a", "12345");
  EXPECT_TRUE(absl::IsAlreadyExists(files_.Create(root_ + "/a").status()));
  EXPECT_TRUE(absl::IsAlreadyExists(files_.MakeDirectory(root_ + "/a")));
  EXPECT_TRUE(absl::IsOutOfRange(files_.Read(root_ + "/a", 4).status()));
  EXPECT_TRUE(absl::IsUnavailable(files_.Read(root_, 4).status())) << "a folder";
  EXPECT_TRUE(absl::IsResourceExhausted(FileError(ENOSPC, "write", "x")));
  EXPECT_TRUE(absl::IsUnavailable(FileError(EIO, "write", "x")));
}

TEST_F(FileSystemTest, files_and_folders_are_private) {
  ASSERT_TRUE(MakeDirectories(files_, root_ + "/p/q/r").ok());
  ASSERT_TRUE(MakeDirectories(files_, root_ + "/p/q/r").ok());
  Write(root_ + "/p/a", "");
  struct stat info;
  ASSERT_EQ(::stat((root_ + "/p/q/r").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(::stat((root_ + "/p/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(ParentDirectoryTest, names_the_folder_above) {
  EXPECT_EQ(ParentDirectory("/a/b"), "/a");
  EXPECT_EQ(ParentDirectory("/a/b/"), "/a");
  EXPECT_EQ(ParentDirectory("/a"), "/");
  EXPECT_EQ(ParentDirectory("/"), "/");
  EXPECT_EQ(ParentDirectory("a"), ".");
  EXPECT_EQ(ParentDirectory("a//b"), "a");
  EXPECT_EQ(ParentDirectory(""), ".");
}

}  // namespace
}  // namespace hfwa
