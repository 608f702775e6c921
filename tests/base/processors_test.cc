#include "core/base/processors.h"

#include <sched.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A machine's /proc and /sys as far as they are read.
class FakeRoot {
 public:
  FakeRoot() : path_(testing::TempDir() + "/processors_" + std::to_string(counter_++)) {
    std::filesystem::remove_all(path_);
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  void Write(const std::string& file, const std::string& text) const {
    const std::filesystem::path full = path_ + "/" + file;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  const std::string& path() const { return path_; }

 private:
  static inline int counter_ = 0;
  const std::string path_;
};

int AllowedNow() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  return CPU_COUNT(&set);
}

// A list that covers any machine's processors.
constexpr char kAll[] = "0-1023\n";

TEST(ProcessorsTest, without_limits_all_that_the_scheduler_allows_are_used) {
  EXPECT_EQ(UsableProcessors(FakeRoot().path()), AllowedNow());
  EXPECT_GE(UsableProcessors(), 1);
  EXPECT_LE(UsableProcessors(), AllowedNow());
}

TEST(ProcessorsTest, a_limit_of_the_group_or_of_one_above_it_counts_rounded_up) {
  const FakeRoot root;
  root.Write("proc/self/cgroup", "0::/pods/one\n");
  root.Write("sys/fs/cgroup/pods/one/cpu.max", "max 100000\n");
  EXPECT_EQ(UsableProcessors(root.path()), AllowedNow());
  root.Write("sys/fs/cgroup/pods/cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableProcessors(root.path()), 1);
  root.Write("sys/fs/cgroup/pods/cpu.max", "150000 100000\n");
  EXPECT_EQ(UsableProcessors(root.path()), std::min(2, AllowedNow()));
}

TEST(ProcessorsTest, a_containers_own_folder_counts_where_the_path_is_the_hosts) {
  const FakeRoot root;
  root.Write("proc/self/cgroup", "0::/system.slice/only-the-host-has-this\n");
  root.Write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(UsableProcessors(root.path()), 1);
}

TEST(ProcessorsTest, version_1_of_control_groups_counts_too) {
  const FakeRoot root;
  root.Write("proc/self/cgroup", "4:cpu,cpuacct:/pod\n3:memory:/pod\n");
  root.Write("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "-1\n");
  root.Write("sys/fs/cgroup/cpu/pod/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(UsableProcessors(root.path()), AllowedNow());
  root.Write("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "90000\n");
  EXPECT_EQ(UsableProcessors(root.path()), 1);
}

TEST(ProcessorsTest, nonsense_is_no_limit) {
  const FakeRoot root;
  root.Write("proc/self/cgroup", "nonsense\n0::\n");
  for (const char* text : {"", "\n", "x y\n", "0 0\n", "-5 100000\n", "1e400 1\n", "100000\n"}) {
    root.Write("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(UsableProcessors(root.path()), AllowedNow()) << text;
  }
}

TEST(ProcessorsTest, lists_of_processors_are_parsed_and_nonsense_is_refused) {
  EXPECT_THAT(*ParseProcessorList("0-3,8\n"), ElementsAre(0, 1, 2, 3, 8));
  EXPECT_THAT(*ParseProcessorList(""), IsEmpty());
  for (const char* text : {"a", "3-1", "-1", "1-", "0-99999999999", "1,x", "2000"})
    EXPECT_EQ(ParseProcessorList(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
}

TEST(ProcessorsTest, nodes_are_those_whose_processors_may_be_used) {
  const FakeRoot root;
  EXPECT_THAT(NumaNodes(root.path()), IsEmpty());
  root.Write("sys/devices/system/node/online", "0,2-3\n");
  root.Write("sys/devices/system/node/node0/cpulist", kAll);
  root.Write("sys/devices/system/node/node2/cpulist", "\n");  // memory alone
  root.Write("sys/devices/system/node/node3/cpulist", kAll);
  EXPECT_THAT(NumaNodes(root.path()), ElementsAre(0, 3));
}

TEST(ProcessorsTest, binding_holds_for_the_thread_and_those_it_starts) {
  const FakeRoot root;
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  int first = 0;
  while (!CPU_ISSET(first, &set)) ++first;
  root.Write("sys/devices/system/node/node1/cpulist", std::to_string(first) + "\n");
  root.Write("sys/devices/system/node/node2/cpulist", "1023\n");
  std::thread([&] {
    EXPECT_EQ(BindToNumaNode(0, root.path()).code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(BindToNumaNode(2, root.path()).code(), absl::StatusCode::kFailedPrecondition);
    ASSERT_TRUE(BindToNumaNode(1, root.path()).ok());
    std::thread([] { EXPECT_EQ(AllowedNow(), 1); }).join();
    EXPECT_EQ(UsableProcessors(root.path()), 1);
  }).join();
}

}  // namespace
}  // namespace hfwa
