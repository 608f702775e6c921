#include "lab/train/csv_log.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "lab/train/checkpoint.h"

namespace hfwa::lab::train {

absl::Status CsvLog::Open(const std::string& path, const std::string& header, int64_t keep) {
  std::string text = header + "\n";
  std::ifstream old(path);
  std::string line;
  bool same = std::getline(old, line) && line == header;
  while (same && std::getline(old, line)) {
    int64_t first = 0;
    const size_t columns = static_cast<size_t>(std::count(line.begin(), line.end(), ','));
    same = columns == static_cast<size_t>(std::count(header.begin(), header.end(), ',')) &&
           absl::SimpleAtoi(line.substr(0, line.find(',')), &first) && first <= keep;
    if (same) absl::StrAppend(&text, line, "\n");
  }
  old.close();
  HFWA_RETURN_IF_ERROR(WriteTextDurably(path, text));
  out_.open(path, std::ios::app);
  if (!out_) return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
  return absl::OkStatus();
}

void CsvLog::Add(int64_t first, const std::vector<double>& rest) {
  std::string line = absl::StrCat(first);
  for (const double value : rest) absl::StrAppendFormat(&line, ",%.9g", value);
  out_ << line << "\n" << std::flush;
}

}  // namespace hfwa::lab::train
