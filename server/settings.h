#pragma once

// One table of settings. Flags, environment variables (HFWA_NAME), TOML keys, --help,
// docs/configuration.md and `hfwa-server config print` are made from it. Order: flag > environment
// > file > default. An unknown key or variable, a wrong type, a value out of range and a
// contradiction are errors that name key and source.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/config.h"

namespace hfwa::server {

enum class SettingType { kText, kInteger, kBytes, kDuration, kBool, kChoice, kAddress };
using SettingValue = std::variant<std::string, int64_t, absl::Duration, bool>;

struct Setting {
  const char*
      name;  // "max-image-bytes": flag --max-image-bytes, variable HFWA_MAX_IMAGE_BYTES, TOML key
  SettingType type;
  const char* default_text;
  const char* help;
  double smallest;  // of integers and bytes; seconds of durations
  double largest;
  std::vector<const char*> choices;
  void (*apply)(const SettingValue& value, ServerConfig* config);
};

absl::Span<const Setting> Settings();
const Setting* FindSetting(std::string_view name);
std::string EnvironmentName(const Setting& setting);
// "text", "integer", "bytes", ...
std::string_view TypeName(SettingType type);

// Where a value came from.
struct EffectiveSetting {
  const Setting* setting;
  std::string text;
  std::string origin;  // "flag --listen", "environment HFWA_LISTEN", "file /etc/hfwa.toml line 3",
                       // "default"
};

struct LoadedConfig {
  ServerConfig config;
  std::vector<EffectiveSetting> effective;  // in table order
};

using TextValues = std::map<std::string, std::string>;  // setting name, or variable name, to text

// `flags`: setting name to text. `environment`: every variable; those that don't start with HFWA_
// are ignored, as are those of the scripts and the client (HFWA_CACHE, HFWA_VENV, HFWA_LIBTORCH,
// HFWA_SERVER). Reads the file that `config` names. INVALID_ARGUMENT names key and source.
absl::StatusOr<LoadedConfig> LoadConfig(const TextValues& flags, const TextValues& environment);

// The process's environment.
TextValues ProcessEnvironment();

// Valid TOML with the origins as comments.
std::string PrintConfig(const LoadedConfig& loaded);
// The table of docs/configuration.md.
std::string SettingsMarkdown();

}  // namespace hfwa::server
