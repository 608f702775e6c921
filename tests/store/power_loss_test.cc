// Cuts the power at the n-th changing call for n = 1, 2, 3 … to the script's end, and once after
// it.

#include "tests/store/power_loss.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/store/script.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

using Lies = std::function<bool(const std::string& path)>;

struct Outcome {
  bool finished = false;  // the power outlasted the script
  std::string difference;
};

// What differs from both the acknowledged steps and those plus the one under way.
Outcome RunUntilPowerLoss(int calls, PowerLossFileSystem::Torn torn, const Lies& lies) {
  const TemporaryDirectory directory;
  PowerLossFileSystem files(directory.path(), calls, lies);
  SqliteStoreOptions options{.directory = directory.path() + "/data", .files = &files};
  Model before, after;
  {
    const auto store = OpenSqliteStore(options);
    const auto script = store.ok() ? MakeScript() : std::vector<Step>();
    for (const Step& step : script) {
      before = after;
      step.apply(after);
      if (!step.run(**store).ok()) break;
      before = after;
    }
    // Collecting objects fails silently, so the power may be gone though every step was
    // acknowledged.
  }
  Outcome outcome{.finished = !files.power_gone(), .difference = ""};
  files.Crash(torn);
  options.files = &FileSystem::Real();
  const auto reopened = OpenSqliteStore(options);
  if (!reopened.ok()) {
    outcome.difference = reopened.status().ToString();
    return outcome;
  }
  outcome.difference = Difference(**reopened, options.directory, before);
  if (!outcome.difference.empty() && Difference(**reopened, options.directory, after).empty())
    outcome.difference = "";
  return outcome;
}

constexpr PowerLossFileSystem::Torn kTorn[] = {PowerLossFileSystem::Torn::kEmpty,
                                               PowerLossFileSystem::Torn::kHalf,
                                               PowerLossFileSystem::Torn::kZeros};

TEST(PowerLossTest, nothing_acknowledged_is_lost_at_any_call) {
  const auto honest = [](const std::string&) { return false; };
  int calls = 0;
  for (bool finished = false; !finished; ++calls) {
    ASSERT_LT(calls, 1000);
    const Outcome outcome = RunUntilPowerLoss(calls, kTorn[calls % 3], honest);
    ASSERT_EQ(outcome.difference, "") << "power lost after call " << calls;
    finished = outcome.finished;
  }
  EXPECT_GT(calls, 40) << "the cuts reach too little";
}

// Each sync that the store makes is needed: without it some cut loses what was acknowledged.
TEST(PowerLossTest, without_any_one_kind_of_sync_something_is_lost) {
  const auto folder_name = [](const std::string& path) { return path.substr(path.rfind('/') + 1); };
  const std::map<std::string, Lies> kinds = {
      {"an object's bytes",
       [](const std::string& path) { return absl::StrContains(path, "/objects/tmp/"); }},
      {"an object's name",
       [&](const std::string& path) {
         return folder_name(ParentDirectory(path)) == "objects" && folder_name(path).size() == 2;
       }},
      {"the name of objects/ab",
       [&](const std::string& path) { return folder_name(path) == "objects"; }},
      {"the name of objects", [&](const std::string& path) { return folder_name(path) == "data"; }},
      {"the data directory's name",
       [&](const std::string& path) { return absl::StartsWith(folder_name(path), "hfwa_store_"); }},
  };
  for (const auto& [kind, lies] : kinds) {
    bool lost = false;
    for (int calls = 0; !lost; ++calls) {
      const Outcome outcome = RunUntilPowerLoss(calls, kTorn[calls % 3], lies);
      lost = !outcome.difference.empty();
      if (outcome.finished) break;
    }
    EXPECT_TRUE(lost) << "nothing is lost without the sync of " << kind;
  }
}

}  // namespace
}  // namespace hfwa::store
