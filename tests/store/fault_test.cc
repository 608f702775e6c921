// Fails the n-th file or SQLite call for n = 1, 2, 3 … until a run of the script meets no fault.

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/store/faults.h"
#include "tests/store/script.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

struct Loop {
  Fault fault;
  bool sticky;
};

class FaultTest : public testing::TestWithParam<Loop> {
 protected:
  // Runs the script with the n-th call failing. False once n is beyond the last call.
  bool RunWithFault(int n);
  // Opens; a fault may stop the first try, nothing the second.
  void OpenStore();
  void CheckCode(const absl::Status& status, const std::string& what);

  FaultPlan plan_;
  FaultyFileSystem files_{plan_};
  FaultyVfs vfs_{plan_};
  SqliteStoreOptions options_;
  std::unique_ptr<Store> store_;
};

void FaultTest::CheckCode(const absl::Status& status, const std::string& what) {
  const bool full = GetParam().fault == Fault::kDiskFull;
  EXPECT_EQ(status.code(),
            full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable)
      << what << ": " << status;
}

void FaultTest::OpenStore() {
  store_.reset();
  auto store = OpenSqliteStore(options_);
  if (!store.ok()) {
    ASSERT_TRUE(plan_.fired()) << store.status();
    CheckCode(store.status(), "open");
    plan_.Disarm();
    store = OpenSqliteStore(options_);
  }
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
}

bool FaultTest::RunWithFault(int n) {
  const TemporaryDirectory directory;
  // A checkpoint after every commit: its calls are to fail as well.
  options_ = {.directory = directory.path() + "/data",
              .checkpoint_frames = 1,
              .files = &files_,
              .vfs = FaultyVfs::name()};
  plan_.Arm(GetParam().fault, n, GetParam().sticky);
  OpenStore();
  Model model;
  for (const Step& step : MakeScript()) {
    if (store_ == nullptr) return false;
    absl::Status status = step.run(*store_);
    if (!status.ok()) {
      CheckCode(status, step.name);
      EXPECT_TRUE(plan_.fired()) << step.name << " failed by itself: " << status;
      plan_.Disarm();
      if (GetParam().fault == Fault::kDiskFull) {
        EXPECT_TRUE(store_->healthy().ok())
            << "a full disk is no reason to stop: " << store_->healthy();
      }
      if (!store_->healthy().ok()) {
        EXPECT_TRUE(absl::IsUnavailable(step.run(*store_)))
            << "after a failed fsync nothing is written";
        EXPECT_TRUE(store_->ListProducts({}).ok()) << "reading goes on";
        OpenStore();
      }
      status = step.run(*store_);
    }
    EXPECT_TRUE(status.ok()) << step.name << " repeated: " << status;
    step.apply(model);
  }
  const bool fired = plan_.fired();
  plan_.Disarm();
  OpenStore();
  EXPECT_EQ(Difference(*store_, options_.directory, model), "");
  store_.reset();
  return fired;
}

TEST_P(FaultTest, every_call_may_fail) {
  int n = 1;
  for (; RunWithFault(n) && !HasFailure(); ++n) {
    ASSERT_LT(n, 5000) << "the loop does not end";
  }
  EXPECT_FALSE(HasFailure()) << "call " << n << " of the run";
  EXPECT_GT(n, 40) << "the faults reach too little";
  RecordProperty("calls", n);
}

INSTANTIATE_TEST_SUITE_P(All, FaultTest,
                         testing::Values(Loop{Fault::kIoError, false}, Loop{Fault::kIoError, true},
                                         Loop{Fault::kDiskFull, false},
                                         Loop{Fault::kDiskFull, true}),
                         [](const testing::TestParamInfo<Loop>& loop) {
                           return absl::StrCat(
                               loop.param.fault == Fault::kIoError ? "io_error" : "disk_full",
                               loop.param.sticky ? "_for_good" : "_once");
                         });

}  // namespace
}  // namespace hfwa::store
