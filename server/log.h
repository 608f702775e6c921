#pragma once

// JSON lines on stderr: {"ts":...,"level":...,"msg":CONSTANT,...fields}. Whatever text a user sent
// is escaped, so one record is one line of valid JSON. Thread-safe.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"

namespace hfwa::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogValue =
    std::variant<std::string, int64_t, double, bool, std::map<std::string, std::string>>;
using LogFields = std::vector<std::pair<const char*, LogValue>>;  // names are constants

// `text` as a JSON string, with quotes. Bytes that are not UTF-8 become U+FFFD.
std::string JsonString(std::string_view text);

class Logger {
 public:
  using Sink = std::function<void(std::string_view line)>;  // line ends with '\n'

  explicit Logger(LogLevel level, const Clock& clock = Clock::Real());
  Logger(LogLevel level, const Clock& clock, Sink sink);

  // `message` is a constant; what varies goes into fields.
  void Debug(const char* message, const LogFields& fields = {}) {
    Log(LogLevel::kDebug, message, fields);
  }
  void Info(const char* message, const LogFields& fields = {}) {
    Log(LogLevel::kInfo, message, fields);
  }
  void Error(const char* message, const LogFields& fields = {}) {
    Log(LogLevel::kError, message, fields);
  }
  // At most once a second for each message; the next one says how many were left out.
  void Warning(const char* message, const LogFields& fields = {});

 private:
  void Log(LogLevel level, const char* message, const LogFields& fields);
  std::string Format(LogLevel level, const char* message, const LogFields& fields) const;

  struct Site {
    absl::Duration last = -absl::InfiniteDuration();
    int64_t suppressed = 0;
  };
  const LogLevel level_;
  const Clock& clock_;
  const Sink sink_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Site> sites_ ABSL_GUARDED_BY(mu_);
};

}  // namespace hfwa::server
