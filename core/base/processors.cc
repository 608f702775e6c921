#include "core/base/processors.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace hfwa {
namespace {

constexpr int kProcessorsMax = CPU_SETSIZE;

std::optional<std::string> FirstLine(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  return line;
}

std::vector<int> Allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> allowed;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return allowed;
  for (int i = 0; i < kProcessorsMax; ++i) {
    if (CPU_ISSET(i, &set)) allowed.push_back(i);
  }
  return allowed;
}

// "200000 100000" or "max 100000", as version 2 of control groups says it.
double LimitOf(const std::string& quota, const std::string& period) {
  double granted = 0, of = 0;
  if (!absl::SimpleAtod(quota, &granted) || !absl::SimpleAtod(period, &of) || granted <= 0 ||
      of <= 0) {
    return std::numeric_limits<double>::infinity();
  }
  return granted / of;
}

// The folder of this process below its hierarchy's root: "/kubepods/pod1". "/" if not found.
std::string GroupPath(const std::string& root, const std::string& controller) {
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {  // 4:cpu,cpuacct:/path or 0::/path
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), controller) != controllers.end())
      return parts[2];
  }
  return "/";
}

// The smallest limit of the group and those above it. Inside a container the path may be one that
// only the host knows; the folder that is mounted is then the container's own.
double SmallestLimit(const std::string& mount, std::string path, bool version_2) {
  double smallest = std::numeric_limits<double>::infinity();
  while (true) {
    const std::string folder = mount + (path == "/" ? "" : path);
    if (version_2) {
      if (const auto line = FirstLine(folder + "/cpu.max")) {
        const std::vector<std::string> parts = absl::StrSplit(*line, ' ');
        if (parts.size() == 2) smallest = std::min(smallest, LimitOf(parts[0], parts[1]));
      }
    } else {
      const auto quota = FirstLine(folder + "/cpu.cfs_quota_us");
      const auto period = FirstLine(folder + "/cpu.cfs_period_us");
      if (quota && period) smallest = std::min(smallest, LimitOf(*quota, *period));
    }
    if (path.empty() || path == "/") return smallest;
    path.erase(path.rfind('/'));
    if (path.empty()) path = "/";
  }
}

absl::StatusOr<std::vector<int>> ProcessorsOfNode(int node, const std::string& root) {
  const auto line =
      FirstLine(absl::StrCat(root, "/sys/devices/system/node/node", node, "/cpulist"));
  if (!line) return absl::NotFoundError(absl::StrCat("this machine has no NUMA node ", node));
  return ParseProcessorList(*line);
}

}  // namespace

absl::StatusOr<std::vector<int>> ParseProcessorList(const std::string& text) {
  std::vector<int> list;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<std::string> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first = 0, last = 0;
    if (!absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) ||
        first < 0 || last < first || last >= kProcessorsMax) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no list of processors"));
    }
    for (int i = first; i <= last; ++i) list.push_back(i);
  }
  return list;
}

int UsableProcessors(const std::string& root) {
  const std::string groups = root + "/sys/fs/cgroup";
  const double limit =
      std::min(SmallestLimit(groups, GroupPath(root, ""), /*version_2=*/true),
               SmallestLimit(groups + "/cpu", GroupPath(root, "cpu"), /*version_2=*/false));
  const auto allowed = std::max<double>(1, static_cast<double>(Allowed().size()));
  return static_cast<int>(std::max(1.0, std::min(allowed, std::ceil(limit))));
}

std::vector<int> NumaNodes(const std::string& root) {
  // Nodes with memory or processors; "0-1".
  const auto online = FirstLine(root + "/sys/devices/system/node/online");
  const auto listed = ParseProcessorList(online.value_or(""));
  const std::vector<int> allowed = Allowed();
  std::vector<int> nodes;
  if (!listed.ok()) return nodes;
  for (const int node : *listed) {
    const auto processors = ProcessorsOfNode(node, root);
    if (!processors.ok()) continue;
    const bool any = std::any_of(processors->begin(), processors->end(), [&](int p) {
      return std::binary_search(allowed.begin(), allowed.end(), p);
    });
    if (any) nodes.push_back(node);
  }
  return nodes;
}

absl::Status BindToNumaNode(int node, const std::string& root) {
  HFWA_ASSIGN_OR_RETURN(const std::vector<int> processors, ProcessorsOfNode(node, root));
  const std::vector<int> allowed = Allowed();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors) {
    if (std::binary_search(allowed.begin(), allowed.end(), processor)) CPU_SET(processor, &set);
  }
  if (CPU_COUNT(&set) == 0 || sched_setaffinity(0, sizeof(set), &set) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("no processor of NUMA node ", node, " may be used by this process"));
  }
  return absl::OkStatus();
}

}  // namespace hfwa
