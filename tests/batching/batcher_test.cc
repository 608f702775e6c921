#include "core/batching/batcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"

namespace hfwa::batching {
namespace {

struct Tally {
  std::atomic<int> ran = 0;
  std::atomic<int> refused = 0;
  std::atomic<int> deadline = 0;
  std::atomic<int> cancelled = 0;
};

class CountingItem final : public Item {
 public:
  CountingItem(Tally* tally, std::function<void()> end, std::atomic<bool>* cancel = nullptr)
      : tally_(tally), end_(std::move(end)), cancel_(cancel) {}
  bool Cancelled() const override { return cancel_ != nullptr && *cancel_; }
  void Refuse(const absl::Status& status) override {
    ++tally_->refused;
    if (absl::IsDeadlineExceeded(status)) ++tally_->deadline;
    if (absl::IsCancelled(status)) ++tally_->cancelled;
    end_();
  }
  void Ran() {
    ++tally_->ran;
    end_();
  }

 private:
  Tally* tally_;
  std::function<void()> end_;
  std::atomic<bool>* cancel_;
};

void RunAll(std::vector<std::unique_ptr<Item>> batch) {
  for (auto& item : batch) static_cast<CountingItem&>(*item).Ran();
}

TEST(BatcherTest, every_item_ends_exactly_once) {
  Tally tally;
  std::atomic<int> ended = 0;
  std::atomic<int> accepted = 0;
  {
    Batcher batcher(
        {.batch_max = 4, .items_max = 64}, &Clock::Real(),
        [](auto batch, Reason) { RunAll(std::move(batch)); }, nullptr);
    std::vector<std::thread> callers;
    callers.reserve(4);
    for (int c = 0; c < 4; ++c) {
      callers.emplace_back([&, c] {
        std::mt19937 random(static_cast<unsigned>(c));
        // Until the device had a turn, however busy the machine is.
        for (int i = 0; i < 2000 || tally.ran == 0; ++i) {
          const auto deadline =
              random() % 3 == 0 ? Clock::Real().SteadyNow() + absl::Microseconds(random() % 3000)
                                : absl::InfiniteDuration();
          if (batcher
                  .Submit(std::make_unique<CountingItem>(&tally, [&] { ++ended; }),
                          {.deadline = deadline, .alone = random() % 50 == 0})
                  .ok()) {
            ++accepted;
          }
        }
      });
    }
    for (auto& caller : callers) caller.join();
  }
  EXPECT_EQ(ended, accepted);
  EXPECT_EQ(tally.ran + tally.refused, accepted);
  EXPECT_GT(tally.ran, 0);
}

TEST(BatcherTest, a_late_item_is_refused_while_a_batch_runs) {
  Tally tally;
  absl::Notification release;
  absl::Notification running;
  absl::BlockingCounter ended(2);
  Batcher batcher(
      {}, &Clock::Real(),
      [&](auto batch, Reason) {
        if (!running.HasBeenNotified()) {
          running.Notify();
          release.WaitForNotification();
        }
        RunAll(std::move(batch));
      },
      nullptr);
  absl::Notification refused;
  ASSERT_TRUE(
      batcher.Submit(std::make_unique<CountingItem>(&tally, [&] { ended.DecrementCount(); }), {})
          .ok());
  running.WaitForNotification();
  EXPECT_TRUE(batcher.RunningSince().has_value());
  ASSERT_TRUE(batcher
                  .Submit(std::make_unique<CountingItem>(&tally,
                                                         [&] {
                                                           refused.Notify();
                                                           ended.DecrementCount();
                                                         }),
                          {.deadline = Clock::Real().SteadyNow() + absl::Milliseconds(20)})
                  .ok());
  // The device is still busy: only the reaper can end it.
  EXPECT_TRUE(refused.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(tally.deadline, 1);
  release.Notify();
  ended.Wait();
  EXPECT_TRUE(batcher.WaitIdle(absl::Seconds(10)));
}

TEST(BatcherTest, a_cancelled_item_never_reaches_the_device) {
  Tally tally;
  absl::Notification release;
  absl::Notification running;
  absl::BlockingCounter ended(2);
  std::atomic<bool> cancel = false;
  Batcher batcher(
      {.batch_max = 1}, &Clock::Real(),
      [&](auto batch, Reason) {
        if (!running.HasBeenNotified()) {
          running.Notify();
          release.WaitForNotification();
        }
        RunAll(std::move(batch));
      },
      nullptr);
  const auto end = [&] { ended.DecrementCount(); };
  ASSERT_TRUE(batcher.Submit(std::make_unique<CountingItem>(&tally, end), {}).ok());
  running.WaitForNotification();
  ASSERT_TRUE(batcher.Submit(std::make_unique<CountingItem>(&tally, end, &cancel), {}).ok());
  cancel = true;
  release.Notify();
  ended.Wait();
  EXPECT_EQ(tally.ran, 1);
  EXPECT_EQ(tally.cancelled, 1);
}

}  // namespace
}  // namespace hfwa::batching
