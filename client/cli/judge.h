#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/client.h"

namespace hfwa::cli {

struct JudgeOptions {
  std::string product;
  std::filesystem::path out;  // Folder for heatmaps and overlays; empty: none are made.
  size_t total = 0;           // For the progress line; 0 if unknown.
  size_t name_width = 0;      // Columns of the table's first column.
  bool in_order = true;       // Print in the order of Submit, not of the answers.
  bool exit_code = false;     // Exit 1 if a part is anomalous.
  bool bulk = false;          // Behind the live requests of others.
};

// Sends files to the server, several at a time, prints what comes back and counts. Submit is for
// one thread; answers are printed from another.
class Judge {
 public:
  // `context` outlives this.
  Judge(const Context& context, client::Client& client, JudgeOptions options);
  ~Judge();

  // Reads and sends a file; waits while many are outstanding.
  void Submit(const std::filesystem::path& file);
  // Waits for the last answer, prints the summary and returns the exit code, as if never
  // interrupted.
  int Finish();
  // Files handed over and not yet answered.
  size_t Outstanding();

 private:
  struct Pending;
  // Paths of what was written; empty where nothing was.
  struct Saved {
    std::string heatmap;
    std::string overlay;
  };

  void Answer(const Pending& file, absl::StatusOr<v1::DetectResponse> response);
  Saved Save(const Pending& file, const v1::DetectResponse& response);
  std::string Row(const Pending& file, const v1::DetectResponse& response, const Saved& saved,
                  absl::Duration round_trip) const;
  std::string FailedRow(const Pending& file, const absl::Status& status) const;
  void Print(size_t index, std::string line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PrintLine(const std::string& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Note(const std::string& text);
  void ClearProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Summary() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Context& context_;
  const JudgeOptions options_;
  OutputNames names_;  // Submit's thread alone.
  size_t submitted_ = 0;
  const absl::Time started_ = absl::Now();

  absl::Mutex mu_;
  std::map<size_t, std::string> held_back_ ABSL_GUARDED_BY(mu_);  // Lines whose turn has not come.
  size_t next_line_ ABSL_GUARDED_BY(mu_) = 0;
  size_t answered_ ABSL_GUARDED_BY(mu_) = 0;
  size_t good_ ABSL_GUARDED_BY(mu_) = 0;
  size_t anomalous_ ABSL_GUARDED_BY(mu_) = 0;
  size_t without_verdict_ ABSL_GUARDED_BY(mu_) = 0;
  size_t failed_ ABSL_GUARDED_BY(mu_) = 0;
  size_t unavailable_ ABSL_GUARDED_BY(mu_) = 0;
  size_t cancelled_ ABSL_GUARDED_BY(mu_) = 0;

  std::unique_ptr<client::DetectStream> stream_;  // Last: its callbacks use the rest.
};

}  // namespace hfwa::cli
