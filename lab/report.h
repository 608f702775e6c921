#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace hfwa::lab {

// What parity found, a row per value compared.
class Report {
 public:
  // Largest absolute difference against the tolerance; another shape or a NaN fails.
  void Compare(const std::string& name, const at::Tensor& computed, const at::Tensor& expected,
               double tolerance);
  // Exact agreement, 0 or 1 difference.
  void Check(const std::string& name, bool equal, const std::string& note = "");
  void Missing(const std::string& name, const std::string& note);
  // Not compared and not a failure; says why.
  void Skip(const std::string& name, const std::string& note);

  // At least one row was compared and none failed.
  bool ok() const { return compared_ > 0 && failed_ == 0; }
  void Print(std::ostream& out) const;

 private:
  struct Row {
    std::string name;
    double difference;
    double tolerance;
    std::string verdict;
    std::string note;
  };
  void Add(Row row);

  std::vector<Row> rows_;
  int compared_ = 0;
  int failed_ = 0;
};

}  // namespace hfwa::lab
