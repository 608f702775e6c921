#pragma once

// Which processors this process may use: what threads are counted by. Linux.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hfwa {

// Processors that the scheduler lets the calling thread run on, or fewer where a control group (a
// container's CPU limit) grants less time, rounded up; at least 1. `root` stands for "/" in tests.
int UsableProcessors(const std::string& root = "");

// Nodes of memory whose processors the calling thread may run on, ascending; empty where the system
// does not say.
std::vector<int> NumaNodes(const std::string& root = "");

// Lets the calling thread, and those that it starts from now on, run on this node's processors
// alone; the system then takes their memory from that node. NOT_FOUND if there is no such node,
// FAILED_PRECONDITION if none of its processors may be used.
absl::Status BindToNumaNode(int node, const std::string& root = "");

// "0-3,8" -> {0, 1, 2, 3, 8}, as the kernel writes lists of processors. INVALID_ARGUMENT.
absl::StatusOr<std::vector<int>> ParseProcessorList(const std::string& text);

}  // namespace hfwa
