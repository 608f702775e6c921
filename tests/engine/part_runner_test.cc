#include "core/engine/part_runner.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace hfwa::engine {
namespace {

// A device on which `room` images fit.
struct Device {
  explicit Device(int r) : room(r) {}
  int room;
  std::vector<std::pair<int, int>> tried;  // first, count
  std::vector<int> done;
  std::vector<int> failed;

  void Run(PartRunner& runner, int size) {
    tried.clear();
    done.clear();
    failed.clear();
    runner.Run(
        size,
        [&](int first, int count) -> absl::Status {
          tried.emplace_back(first, count);
          if (count > room) return absl::ResourceExhaustedError("no memory");
          for (int i = 0; i < count; ++i) done.push_back(first + i);
          return absl::OkStatus();
        },
        [&](int image, const absl::Status&) { failed.push_back(image); });
  }
};

std::vector<int> Numbers(int count) {
  std::vector<int> numbers;
  for (int i = 0; i < count; ++i) numbers.push_back(i);
  return numbers;
}

TEST(PartRunnerTest, a_batch_that_fits_runs_whole) {
  PartRunner runner;
  Device device(8);
  device.Run(runner, 8);
  EXPECT_EQ(device.tried, (std::vector<std::pair<int, int>>{{0, 8}}));
  EXPECT_EQ(runner.limit(), 0);
}

TEST(PartRunnerTest, every_image_is_done_once_whatever_fits) {
  for (int room = 1; room <= 9; ++room) {
    PartRunner runner;
    Device device(room);
    for (int size = 1; size <= 33; ++size) {
      device.Run(runner, size);
      EXPECT_EQ(device.done, Numbers(size)) << "room " << room;
      EXPECT_TRUE(device.failed.empty());
    }
    // Halved, not crept up to: at least half of what fits is used.
    EXPECT_GT(2 * runner.limit(), room - 1);
  }
}

TEST(PartRunnerTest, the_next_batch_keeps_to_what_fitted_and_tries_more_after_a_while) {
  PartRunner runner;
  Device device(3);
  device.Run(runner, 8);
  EXPECT_EQ(device.tried.front().second, 8);
  for (int i = 0; i < PartRunner::kPatience; ++i) {
    device.Run(runner, 8);
    ASSERT_EQ(device.tried.size(), 4u) << "nothing is tried in vain";
  }
  device.room = 8;  // a bank has gone
  device.Run(runner, 8);
  EXPECT_EQ(device.tried.size(), 2u);
}

TEST(PartRunnerTest, one_image_that_does_not_fit_fails_alone) {
  PartRunner runner;
  std::vector<int> done, failed;
  runner.Run(
      4,
      [&](int first, int count) -> absl::Status {
        if (first <= 2 && 2 < first + count) return absl::ResourceExhaustedError("no memory");
        for (int i = 0; i < count; ++i) done.push_back(first + i);
        return absl::OkStatus();
      },
      [&](int image, const absl::Status& status) {
        EXPECT_TRUE(absl::IsResourceExhausted(status));
        failed.push_back(image);
      });
  EXPECT_EQ(done, (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(failed, std::vector<int>{2});
}

TEST(PartRunnerTest, another_error_fails_its_part_and_is_not_tried_again) {
  PartRunner runner;
  std::vector<int> failed;
  int runs = 0;
  runner.Run(
      3,
      [&](int, int) {
        ++runs;
        return absl::InternalError("CUDA error");
      },
      [&](int image, const absl::Status&) { failed.push_back(image); });
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(failed, Numbers(3));
}

}  // namespace
}  // namespace hfwa::engine
