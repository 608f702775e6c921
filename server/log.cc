#include "server/log.h"

#include <unistd.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/strings.h"

namespace hfwa::server {
namespace {

constexpr const char* kLevelNames[] = {"debug", "info", "warning", "error"};

// Length of the well-formed UTF-8 sequence at `s[i]`, 0 if there is none.
size_t SequenceAt(std::string_view s, size_t i) {
  const auto lead = static_cast<unsigned char>(s[i]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC0 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF8 ? 4
                                      : 0;
  if (length == 0 || i + length > s.size() || !IsValidUtf8(s.substr(i, length))) return 0;
  return length;
}

void AppendValue(const LogValue& value, std::string* line) {
  struct Visitor {
    std::string* line;
    void operator()(const std::string& v) const { *line += JsonString(v); }
    void operator()(int64_t v) const { absl::StrAppend(line, v); }
    void operator()(double v) const {
      if (std::isfinite(v)) {
        absl::StrAppendFormat(line, "%.6g", v);
      } else {
        *line += "null";
      }
    }
    void operator()(bool v) const { *line += v ? "true" : "false"; }
    void operator()(const std::map<std::string, std::string>& v) const {
      *line += '{';
      for (auto it = v.begin(); it != v.end(); ++it) {
        absl::StrAppend(line, it == v.begin() ? "" : ",", JsonString(it->first), ":",
                        JsonString(it->second));
      }
      *line += '}';
    }
  };
  std::visit(Visitor{line}, value);
}

// One write per record, so that records of several threads do not mix.
void WriteToStderr(std::string_view line) {
  while (!line.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
    if (n <= 0) return;
    line.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const size_t length = SequenceAt(text, i);
    const auto c = static_cast<unsigned char>(text[i]);
    if (length == 0) {
      out += "\\ufffd";
      ++i;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i++];
    } else if (c < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
      ++i;
    } else if (c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) {  // C1 controls
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(text[i + 1]));
      i += 2;
    } else if (c == 0xE2 &&
               (text.substr(i, 3) == "\xE2\x80\xA8" || text.substr(i, 3) == "\xE2\x80\xA9")) {
      // Line and paragraph separators end a line for some readers.
      out += text[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 3;
    } else {
      out.append(text.substr(i, length));
      i += length;
    }
  }
  out += '"';
  return out;
}

Logger::Logger(LogLevel level, const Clock& clock) : Logger(level, clock, WriteToStderr) {}

Logger::Logger(LogLevel level, const Clock& clock, Sink sink)
    : level_(level), clock_(clock), sink_(std::move(sink)) {}

std::string Logger::Format(LogLevel level, const char* message, const LogFields& fields) const {
  std::string line = absl::StrCat(
      "{\"ts\":\"",
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", clock_.WallNow(), absl::UTCTimeZone()),
      "\",\"level\":\"", kLevelNames[static_cast<int>(level)], "\",\"msg\":", JsonString(message));
  for (const auto& [name, value] : fields) {
    absl::StrAppend(&line, ",\"", name, "\":");
    AppendValue(value, &line);
  }
  line += "}\n";
  return line;
}

void Logger::Log(LogLevel level, const char* message, const LogFields& fields) {
  if (level < level_) return;
  sink_(Format(level, message, fields));
}

void Logger::Warning(const char* message, const LogFields& fields) {
  if (LogLevel::kWarning < level_) return;
  int64_t suppressed = 0;
  {
    absl::MutexLock lock(&mu_);
    Site& site = sites_[message];
    const absl::Duration now = clock_.SteadyNow();
    if (now - site.last < absl::Seconds(1)) {
      ++site.suppressed;
      return;
    }
    site.last = now;
    suppressed = std::exchange(site.suppressed, 0);
  }
  if (suppressed == 0) return Log(LogLevel::kWarning, message, fields);
  LogFields more = fields;
  more.emplace_back("suppressed", suppressed);
  Log(LogLevel::kWarning, message, more);
}

}  // namespace hfwa::server
