// Kills a writing process at random instants and compares what it acknowledged with what is there.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/store/script.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

constexpr int kKills = 25;

// Starts the writer, kills it after `microseconds` from its first acknowledgement, and gives back
// what it printed.
std::vector<std::string> RunAndKill(const std::string& directory, int seed, int microseconds) {
  int out[2];
  if (::pipe(out) != 0) std::abort();
  const std::string seed_text = absl::StrCat(seed);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::close(out[0]);
    ::close(out[1]);
    ::execl(HFWA_CRASH_WRITER, HFWA_CRASH_WRITER, directory.c_str(), seed_text.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(out[1]);
  std::string text;
  char buffer[4096];
  std::thread killer;
  for (ssize_t n; (n = ::read(out[0], buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
    if (!killer.joinable()) {
      killer = std::thread([=] {  // the random instant is the point of the wait
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        ::kill(child, SIGKILL);
      });
    }
  }
  if (killer.joinable()) killer.join();
  ::close(out[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status))
      << "the writer ended by itself, with status " << status << ", seed " << seed;
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void Apply(const std::string& line, Model& model) {
  std::istringstream words(line);
  std::string verb, id, text;
  words >> verb >> id;
  if (verb == "create") model[id];
  if (verb == "erase") model.erase(id);
  while (words >> text) {
    auto& texts = model[id];
    const bool there = std::find(texts.begin(), texts.end(), text) != texts.end();
    if (verb == "remove") std::erase(texts, text);
    if (verb == "add" && !there) texts.push_back(text);
  }
}

TEST(KillTest, killed_writer_loses_nothing_acknowledged_and_leaves_nothing_half) {
  const TemporaryDirectory directory;
  const SqliteStoreOptions options{.directory = directory.path() + "/data"};
  std::mt19937 random(20240229);
  Model model;
  size_t acknowledged = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    const int microseconds = static_cast<int>(random() % 40000);
    const auto lines = RunAndKill(options.directory, kill, microseconds);
    Model maybe = model;
    for (const std::string& line : lines) {
      if (line.starts_with("try ")) {
        maybe = model;
        Apply(line.substr(4), maybe);
      } else {
        Apply(line, model);
        maybe = model;
        ++acknowledged;
      }
    }
    const auto store = OpenSqliteStore(options);
    ASSERT_TRUE(store.ok()) << "kill " << kill << ": " << store.status();
    const std::string difference = Difference(**store, options.directory, model);
    if (!difference.empty()) {
      ASSERT_EQ(Difference(**store, options.directory, maybe), "")
          << "kill " << kill << " after " << microseconds
          << " us; without the last call: " << difference;
      model = maybe;
    }
  }
  EXPECT_GT(acknowledged, 100U) << "the writer does too little";
  RecordProperty("acknowledged", static_cast<int>(acknowledged));
}

}  // namespace
}  // namespace hfwa::store
