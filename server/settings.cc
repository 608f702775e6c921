#include "server/settings.h"

#include <unistd.h>

#include <optional>
#include <set>
#include <utility>

#include <toml++/toml.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/errors.h"
#include "server/log.h"

namespace hfwa::server {
namespace {

// These configure the repository's scripts and the client, not the server.
const std::set<std::string> kForeignVariables = {"HFWA_CACHE", "HFWA_VENV", "HFWA_LIBTORCH",
                                                 "HFWA_SERVER"};

absl::Status Wrong(const std::string& key, const std::string& origin, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(key, " (", origin, "): ", what));
}

// Digits, with a minus before or, for bytes, one of B, kB, MB, GB, KiB, MiB, GiB after them.
std::optional<int64_t> ParseInteger(const std::string& text, bool with_unit) {
  size_t digits = !with_unit && !text.empty() && text.front() == '-' ? 1 : 0;
  while (digits < text.size() &&
         (absl::ascii_isdigit(static_cast<unsigned char>(text[digits])) != 0))
    ++digits;
  int64_t number = 0;
  if (!absl::SimpleAtoi(text.substr(0, digits), &number)) return std::nullopt;
  const std::string unit = text.substr(digits);
  if (unit.empty()) return number;
  if (!with_unit) return std::nullopt;
  static const std::map<std::string, int64_t> kUnits = {
      {"B", 1},         {"kB", 1000},     {"MB", 1000000}, {"GB", 1000000000},
      {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  const auto it = kUnits.find(unit);
  int64_t product = 0;
  if (it == kUnits.end() || __builtin_mul_overflow(number, it->second, &product))
    return std::nullopt;
  return product;
}

bool IsAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0) return false;
  const std::string host = text.substr(0, colon);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != std::string::npos) return false;
  return absl::SimpleAtoi(text.substr(colon + 1), &port) && port >= 0 && port <= 65535;
}

absl::Status CheckRange(const Setting& setting, double value, const std::string& origin) {
  if (value >= setting.smallest && value <= setting.largest) return absl::OkStatus();
  return Wrong(setting.name, origin,
               absl::StrFormat("must be %.0f to %.0f%s", setting.smallest, setting.largest,
                               setting.type == SettingType::kDuration ? " seconds" : ""));
}

absl::StatusOr<SettingValue> ParseText(const Setting& setting, const std::string& text,
                                       const std::string& origin) {
  const auto wrong = [&](std::string_view wanted) {
    return Wrong(setting.name, origin,
                 absl::StrCat("want ", ToAbsl(wanted), ", got ", Quote(text)));
  };
  if (!IsValidUtf8(text) || text.find('\0') != std::string::npos) return wrong("UTF-8 text");
  switch (setting.type) {
    case SettingType::kText:
      return SettingValue(text);
    case SettingType::kAddress:
      if (!IsAddress(text) &&
          !(text.empty() && std::string_view(setting.name) == "metrics-listen")) {
        return wrong("ADDRESS:PORT");
      }
      return SettingValue(text);
    case SettingType::kChoice:
      for (const char* choice : setting.choices) {
        if (text == choice) return SettingValue(text);
      }
      return wrong(absl::StrCat("one of ", absl::StrJoin(setting.choices, ", ")));
    case SettingType::kBool:
      if (text != "true" && text != "false") return wrong("true or false");
      return SettingValue(text == "true");
    case SettingType::kInteger:
    case SettingType::kBytes: {
      const bool bytes = setting.type == SettingType::kBytes;
      const auto number = ParseInteger(text, bytes);
      if (!number.has_value())
        return wrong(bytes ? "a number of bytes such as 33554432 or 32MiB" : "an integer");
      HFWA_RETURN_IF_ERROR(CheckRange(setting, static_cast<double>(*number), origin));
      return SettingValue(*number);
    }
    case SettingType::kDuration: {
      absl::Duration duration;
      if (!absl::ParseDuration(text, &duration) || text == "0" ||
          duration == absl::InfiniteDuration()) {
        return wrong("a duration such as 5s or 500ms");
      }
      HFWA_RETURN_IF_ERROR(CheckRange(setting, absl::ToDoubleSeconds(duration), origin));
      return SettingValue(duration);
    }
  }
  return absl::InternalError("setting of unknown type");
}

// A text per setting and where it came from; later layers replace earlier ones.
struct Given {
  std::string text;
  std::string origin;
};
using Layers = std::map<std::string, Given>;

// The node's value as the text that a flag would have, if its TOML type fits the setting's.
absl::StatusOr<std::string> NodeText(const Setting& setting, const toml::node& node,
                                     const std::string& origin) {
  const bool number = setting.type == SettingType::kInteger || setting.type == SettingType::kBytes;
  if (const auto* integer = node.as_integer(); integer != nullptr && number)
    return absl::StrCat(integer->get());
  if (const auto* boolean = node.as_boolean();
      boolean != nullptr && setting.type == SettingType::kBool) {
    return std::string(boolean->get() ? "true" : "false");
  }
  if (const auto* text = node.as_string(); text != nullptr &&
                                           setting.type != SettingType::kInteger &&
                                           setting.type != SettingType::kBool) {
    return text->get();
  }
  const std::string_view wanted = number                               ? "integer"
                                  : setting.type == SettingType::kBool ? "boolean"
                                                                       : "string";
  std::string got;
  switch (node.type()) {
    case toml::node_type::table:
      got = "a table";
      break;
    case toml::node_type::array:
      got = "an array";
      break;
    case toml::node_type::string:
      got = "a string";
      break;
    case toml::node_type::integer:
      got = "an integer";
      break;
    case toml::node_type::floating_point:
      got = "a float";
      break;
    case toml::node_type::boolean:
      got = "a boolean";
      break;
    default:
      got = "a date or time";
      break;
  }
  return Wrong(setting.name, origin,
               absl::StrCat("want TOML type ", ToAbsl(wanted), ", got ", got));
}

absl::Status ReadFile(const std::string& path, const std::string& named_by, Layers* layers) {
  toml::table table;
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("config (", named_by, "): file ", path, " line ",
                                                   error.source().begin.line, ": ",
                                                   ToAbsl(error.description())));
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string origin = absl::StrCat("file ", path, " line ", key.source().begin.line);
    const Setting* setting = FindSetting(name);
    if (setting == nullptr) return Wrong(Quote(name), origin, "there is no such setting");
    if (name == "config") return Wrong(name, origin, "a file cannot name another one");
    HFWA_ASSIGN_OR_RETURN(const std::string text, NodeText(*setting, node, origin));
    (*layers)[name] = {text, origin};
  }
  return absl::OkStatus();
}

absl::Status ReadEnvironment(const TextValues& environment, Layers* layers) {
  std::map<std::string, const Setting*> by_variable;
  for (const Setting& setting : Settings()) by_variable[EnvironmentName(setting)] = &setting;
  for (const auto& [variable, text] : environment) {
    if (!absl::StartsWith(variable, "HFWA_") || kForeignVariables.contains(variable)) continue;
    const auto it = by_variable.find(variable);
    if (it == by_variable.end()) return Wrong(variable, "environment", "there is no such setting");
    (*layers)[it->second->name] = {text, absl::StrCat("environment ", variable)};
  }
  return absl::OkStatus();
}

absl::Status CheckTogether(const ServerConfig& config, const Layers& layers) {
  const auto origin = [&](const char* name) { return layers.at(name).origin; };
  if (config.drain_timeout < config.drain_grace + kDrainReserve + absl::Seconds(1)) {
    return Wrong(
        "drain-timeout", origin("drain-timeout"),
        absl::StrCat("must be at least 4 s more than drain-grace (", origin("drain-grace"), ")"));
  }
  if (config.max_image_bytes > config.queue_bytes) {
    return Wrong(
        "queue-bytes", origin("queue-bytes"),
        absl::StrCat("must be at least max-image-bytes (", origin("max-image-bytes"), ")"));
  }
  if (config.max_batch > config.queue_images) {
    return Wrong("queue-images", origin("queue-images"),
                 absl::StrCat("must be at least max-batch (", origin("max-batch"), ")"));
  }
  if (config.model.empty()) return Wrong("model", origin("model"), "must not be empty");
  if (config.data.empty()) return Wrong("data", origin("data"), "must not be empty");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadedConfig> LoadConfig(const TextValues& flags, const TextValues& environment) {
  Layers from_flags;
  for (const auto& [name, text] : flags) {
    if (FindSetting(name) == nullptr) return Wrong(Quote(name), "flag", "there is no such setting");
    from_flags[name] = {text, absl::StrCat("flag --", name)};
  }
  Layers from_environment;
  HFWA_RETURN_IF_ERROR(ReadEnvironment(environment, &from_environment));

  Layers layers;
  for (const Setting& setting : Settings())
    layers[setting.name] = {setting.default_text, "default"};
  const Given file = from_flags.contains("config")         ? from_flags["config"]
                     : from_environment.contains("config") ? from_environment["config"]
                                                           : Given{};
  if (!file.text.empty()) HFWA_RETURN_IF_ERROR(ReadFile(file.text, file.origin, &layers));
  for (auto& [name, given] : from_environment) layers[name] = given;
  for (auto& [name, given] : from_flags) layers[name] = given;

  LoadedConfig loaded;
  for (const Setting& setting : Settings()) {
    const Given& given = layers[setting.name];
    HFWA_ASSIGN_OR_RETURN(const SettingValue value, ParseText(setting, given.text, given.origin));
    setting.apply(value, &loaded.config);
    loaded.effective.push_back({&setting, given.text, given.origin});
  }
  HFWA_RETURN_IF_ERROR(CheckTogether(loaded.config, layers));
  return loaded;
}

TextValues ProcessEnvironment() {
  TextValues values;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      values[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  return values;
}

std::string PrintConfig(const LoadedConfig& loaded) {
  std::string text;
  for (const EffectiveSetting& one : loaded.effective) {
    const bool bare =
        one.setting->type == SettingType::kInteger || one.setting->type == SettingType::kBool;
    const std::string value =
        bare ? one.text : JsonString(one.text);  // a JSON string is a TOML basic string
    // The file that was read cannot name itself.
    const char* comment = std::string_view(one.setting->name) == "config" ? "# " : "";
    absl::StrAppendFormat(&text, "%s%s = %s  # %s\n", comment, one.setting->name, value,
                          one.origin);
  }
  return text;
}

}  // namespace hfwa::server
