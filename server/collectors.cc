#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "server/errors.h"
#include "server/metrics.h"

namespace hfwa::server {
namespace {

prometheus::MetricFamily Family(const char* name, const char* help, prometheus::MetricType type,
                                double value) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.resize(1);
  if (type == prometheus::MetricType::Counter) {
    family.metric[0].counter.value = value;
  } else {
    family.metric[0].gauge.value = value;
  }
  return family;
}

double BootTime() {
  std::ifstream in("/proc/stat");
  std::string word;
  double seconds = 0;
  while (in >> word) {
    if (word == "btime") return in >> seconds ? seconds : 0;
  }
  return 0;
}

int64_t OpenFiles() {
  std::error_code error;
  int64_t count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  return count > 0 ? count - 1 : 0;  // without the one that listed them
}

class ProcessCollector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    std::ifstream in("/proc/self/stat");
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const size_t paren = text.rfind(')');  // the name before it may hold spaces
    if (paren == std::string::npos) return {};
    std::istringstream fields(text.substr(paren + 1));
    std::string word;
    double value[25] = {};
    for (int i = 3; i < 25 && fields >> word; ++i)
      value[i] = i == 3 ? 0 : std::strtod(word.c_str(), nullptr);
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    using prometheus::MetricType;
    return {
        Family("process_cpu_seconds_total", "User and system CPU time spent.", MetricType::Counter,
               (value[14] + value[15]) / ticks),
        Family("process_start_time_seconds", "Start of the process since the epoch.",
               MetricType::Gauge, BootTime() + value[22] / ticks),
        Family("process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge, value[23]),
        Family("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
               value[24] * static_cast<double>(sysconf(_SC_PAGESIZE))),
        Family("process_open_fds", "Open file descriptors.", MetricType::Gauge,
               static_cast<double>(OpenFiles())),
    };
  }
};

class StoreCollector final : public prometheus::Collectable {
 public:
  explicit StoreCollector(engine::Engine* engine) : engine_(engine) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    store::Store::Counts counts;
    const absl::Status status = Guard([&] {
      const auto counted = engine_->store().Count();
      if (counted.ok()) counts = *counted;
      return counted.status();
    });
    if (!status.ok()) return {};  // a gap in the graph says more than a zero
    return {Family("hfwa_products", "Products.", prometheus::MetricType::Gauge,
                   static_cast<double>(counts.products)),
            Family("hfwa_references", "Reference images of all products.",
                   prometheus::MetricType::Gauge, static_cast<double>(counts.references))};
  }

 private:
  engine::Engine* const engine_;
};

}  // namespace

std::shared_ptr<prometheus::Collectable> MakeProcessCollector() {
  return std::make_shared<ProcessCollector>();
}

std::shared_ptr<prometheus::Collectable> MakeStoreCollector(engine::Engine* engine) {
  return std::make_shared<StoreCollector>(engine);
}

}  // namespace hfwa::server
