#include "lab/report.h"

#include <algorithm>
#include <iomanip>
#include <utility>

#include <ATen/ATen.h>

namespace hfwa::lab {

void Report::Compare(const std::string& name, const at::Tensor& computed,
                     const at::Tensor& expected, double tolerance) {
  if (computed.sizes() != expected.sizes()) {
    Missing(name, "shape differs");
    return;
  }
  const at::Tensor difference =
      (computed.to(at::kCPU, at::kDouble) - expected.to(at::kCPU, at::kDouble)).abs();
  const double largest = difference.numel() == 0 ? 0.0 : difference.max().item<double>();
  Add({name, largest, tolerance, largest <= tolerance ? "ok" : "FAIL", ""});  // NaN compares false
}

void Report::Check(const std::string& name, bool equal, const std::string& note) {
  Add({name, equal ? 0.0 : 1.0, 0.0, equal ? "ok" : "FAIL", equal ? "" : note});
}

void Report::Missing(const std::string& name, const std::string& note) {
  Add({name, 0.0, 0.0, "MISSING", note});
}

void Report::Skip(const std::string& name, const std::string& note) {
  Add({name, 0.0, 0.0, "skipped", note});
}

void Report::Add(Row row) {
  if (row.verdict == "FAIL" || row.verdict == "MISSING") ++failed_;
  if (row.verdict != "skipped") ++compared_;
  rows_.push_back(std::move(row));
}

void Report::Print(std::ostream& out) const {
  size_t width = 8;
  for (const Row& row : rows_) width = std::max(width, row.name.size());
  const auto flags = out.flags();
  for (const Row& row : rows_) {
    out << std::left << std::setw(static_cast<int>(width) + 2) << row.name << std::scientific
        << std::setprecision(2) << row.difference << "  " << row.tolerance << "  " << row.verdict;
    if (!row.note.empty()) out << "  (" << row.note << ")";
    out << "\n";
  }
  out.flags(flags);
  out << compared_ << " compared, " << failed_ << " failed";
  if (compared_ == 0) out << ": nothing to compare";
  out << "\n";
}

}  // namespace hfwa::lab
