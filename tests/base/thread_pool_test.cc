#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"

namespace hfwa {
namespace {

TEST(ThreadPoolTest, runs_everything_before_it_ends) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool("test", 3, 1000);
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.Submit([&] { ++done; }).ok());
  }
  EXPECT_EQ(done, 500);
}

TEST(ThreadPoolTest, refuses_beyond_the_queue) {
  absl::Notification go;
  absl::Notification started;
  {
    ThreadPool pool("test", 1, 1);
    ASSERT_TRUE(pool.Submit([&] {
                      started.Notify();
                      go.WaitForNotification();
                    })
                    .ok());
    started.WaitForNotification();
    EXPECT_TRUE(pool.Submit([] {}).ok());
    EXPECT_TRUE(absl::IsResourceExhausted(pool.Submit([] {})));
    go.Notify();
  }
}

}  // namespace
}  // namespace hfwa
