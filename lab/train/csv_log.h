#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hfwa::lab::train {

// Rows of numbers, the first of which counts up; each is on disk when Add returns.
class CsvLog {
 public:
  // Rows of an earlier run whose first number is at most `keep` stay; -1: none.
  absl::Status Open(const std::string& path, const std::string& header, int64_t keep);
  void Add(int64_t first, const std::vector<double>& rest);

 private:
  std::ofstream out_;
};

}  // namespace hfwa::lab::train
