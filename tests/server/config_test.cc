#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "server/settings.h"

namespace hfwa::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// A file that is gone after the test.
class TempFile {
 public:
  explicit TempFile(const std::string& text) : path_(::testing::TempDir() + "hfwa-config-XXXXXX") {
    const int fd = mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    close(fd);
    std::ofstream(path_) << text;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string ErrorOf(const TextValues& flags, const TextValues& environment) {
  const auto loaded = LoadConfig(flags, environment);
  return loaded.ok() ? "" : std::string(loaded.status().message());
}

std::string FileError(const std::string& text) {
  const TempFile file(text);
  return ErrorOf({{"config", file.path()}}, {});
}

TEST(Config, defaults_load_when_nothing_is_given) {
  const auto loaded = LoadConfig({}, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.listen, "127.0.0.1:50051");
  EXPECT_EQ(loaded->config.max_image_bytes, 32 << 20);
  EXPECT_EQ(loaded->config.drain_grace, absl::Seconds(5));
  EXPECT_TRUE(loaded->config.reflection);
}

TEST(Config, flag_beats_environment_beats_file_beats_default) {
  const TempFile file(
      "threads = 1\nmax-batch = 2\nqueue-images = 10\nmax-image-bytes = \"1MiB\"\n");
  const auto loaded =
      LoadConfig({{"config", file.path()}, {"threads", "3"}},
                 {{"HFWA_THREADS", "2"}, {"HFWA_MAX_BATCH", "4"}, {"PATH", "/bin"}});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.threads, 3);
  EXPECT_EQ(loaded->config.max_batch, 4);
  EXPECT_EQ(loaded->config.queue_images, 10);
  EXPECT_EQ(loaded->config.max_image_bytes, 1 << 20);
  std::map<std::string, std::string> origins;
  for (const EffectiveSetting& one : loaded->effective) origins[one.setting->name] = one.origin;
  EXPECT_EQ(origins["threads"], "flag --threads");
  EXPECT_EQ(origins["max-batch"], "environment HFWA_MAX_BATCH");
  EXPECT_THAT(origins["queue-images"], AllOf(HasSubstr(file.path()), HasSubstr("line 3")));
  EXPECT_EQ(origins["listen"], "default");
}

TEST(Config, file_may_be_named_by_the_environment) {
  const TempFile file("threads = 7\n");
  const auto loaded = LoadConfig({}, {{"HFWA_CONFIG", file.path()}});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.threads, 7);
}

TEST(Config, unknown_names_are_errors_that_name_the_source) {
  EXPECT_THAT(ErrorOf({}, {{"HFWA_THREDS", "2"}}),
              AllOf(HasSubstr("HFWA_THREDS"), HasSubstr("environment")));
  EXPECT_THAT(FileError("threads = 1\nthreds = 2\n"),
              AllOf(HasSubstr("threds"), HasSubstr("line 2")));
  EXPECT_THAT(FileError("[server]\nthreads = 1\n"), HasSubstr("server"));
  EXPECT_EQ(
      ErrorOf(
          {},
          {{"HFWA_CACHE", "x"}, {"HFWA_VENV", "x"}, {"HFWA_LIBTORCH", "x"}, {"HFWA_SERVER", "x"}}),
      "");
}

TEST(Config, wrong_types_and_ranges_are_errors_that_name_key_and_source) {
  EXPECT_THAT(ErrorOf({{"threads", "many"}}, {}),
              AllOf(HasSubstr("threads"), HasSubstr("flag --threads")));
  EXPECT_THAT(ErrorOf({{"threads", "-1"}}, {}), HasSubstr("threads"));
  EXPECT_THAT(ErrorOf({{"threads", "99999"}}, {}), HasSubstr("0 to 1024"));
  EXPECT_THAT(ErrorOf({{"threads", "99999999999999999999"}}, {}), HasSubstr("integer"));
  EXPECT_THAT(ErrorOf({}, {{"HFWA_REFLECTION", "yes"}}), HasSubstr("HFWA_REFLECTION"));
  EXPECT_THAT(ErrorOf({{"grey16", "round"}}, {}), HasSubstr("scale, clip"));
  EXPECT_THAT(ErrorOf({{"listen", "localhost"}}, {}), HasSubstr("ADDRESS:PORT"));
  EXPECT_THAT(ErrorOf({{"listen", "::1:80"}}, {}), HasSubstr("ADDRESS:PORT"));
  EXPECT_THAT(ErrorOf({{"listen", "a:70000"}}, {}), HasSubstr("ADDRESS:PORT"));
  EXPECT_THAT(ErrorOf({{"drain-grace", "5"}}, {}), HasSubstr("duration"));
  EXPECT_THAT(ErrorOf({{"drain-grace", "inf"}}, {}), HasSubstr("duration"));
  EXPECT_THAT(ErrorOf({{"max-image-bytes", "32MeB"}}, {}), HasSubstr("bytes"));
  EXPECT_THAT(ErrorOf({{"max-image-bytes", "9999999999GiB"}}, {}), HasSubstr("bytes"));
  EXPECT_THAT(FileError("\nthreads = \"1\"\n"), AllOf(HasSubstr("string"), HasSubstr("line 2")));
  EXPECT_THAT(FileError("listen = 80\n"), HasSubstr("want TOML type string"));
  EXPECT_THAT(FileError("threads = \n"), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf({{"config", "/no/such/file.toml"}}, {}), HasSubstr("/no/such/file.toml"));
}

TEST(Config, contradictions_are_errors) {
  EXPECT_THAT(ErrorOf({{"drain-grace", "30s"}}, {}), HasSubstr("drain-timeout"));
  EXPECT_THAT(ErrorOf({{"max-image-bytes", "64MiB"}, {"queue-bytes", "32MiB"}}, {}),
              HasSubstr("queue-bytes"));
  EXPECT_THAT(ErrorOf({{"max-batch", "100"}}, {}), HasSubstr("queue-images"));
  EXPECT_THAT(ErrorOf({{"data", ""}}, {}), HasSubstr("data"));
}

TEST(Config, print_reads_back_as_the_same_configuration) {
  const auto first = LoadConfig({{"model", "a \"quoted\" \\ path"}, {"threads", "5"}}, {});
  ASSERT_TRUE(first.ok()) << first.status();
  const TempFile file(PrintConfig(*first));
  const auto second = LoadConfig({{"config", file.path()}}, {});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->config.model, first->config.model);
  EXPECT_EQ(second->config.threads, 5);
}

TEST(Config, documentation_lists_every_setting) {
  EXPECT_THAT(ReadAll(HFWA_SOURCE_DIR "/docs/configuration.md"), HasSubstr(SettingsMarkdown()))
      << "put this table into docs/configuration.md:\n"
      << SettingsMarkdown();
}

}  // namespace
}  // namespace hfwa::server
