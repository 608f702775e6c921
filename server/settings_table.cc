#include <cctype>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/settings.h"

namespace hfwa::server {
namespace {

constexpr double kNone = 0;
constexpr double kGiB = 1024.0 * 1024 * 1024;

template <auto Member>
void Set(const SettingValue& value, ServerConfig* config) {
  using T = std::remove_reference_t<decltype(config->*Member)>;
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string> ||
                std::is_same_v<T, absl::Duration>) {
    config->*Member = std::get<T>(value);
  } else {
    config->*Member = static_cast<T>(std::get<int64_t>(value));
  }
}

const std::vector<Setting>& Table() {
  using C = ServerConfig;
  using T = SettingType;
  static const auto* const table = new std::vector<Setting>{
      {"config",
       T::kText,
       "",
       "TOML file with any of the other settings.",
       kNone,
       kNone,
       {},
       Set<&C::config>},
      {"listen",
       T::kAddress,
       "127.0.0.1:50051",
       "Where gRPC listens; port 0 takes a free one, which the ready line names. Without TLS: keep "
       "it to localhost "
       "or a network you trust.",
       kNone,
       kNone,
       {},
       Set<&C::listen>},
      {"metrics-listen",
       T::kAddress,
       "127.0.0.1:9464",
       "Where /metrics is served over HTTP; empty for nowhere.",
       kNone,
       kNone,
       {},
       Set<&C::metrics_listen>},
      {"model",
       T::kText,
       "models/default",
       "Directory of the model.",
       kNone,
       kNone,
       {},
       Set<&C::model>},
      {"data",
       T::kText,
       "data",
       "Data directory, made if absent. One server at a time; a local file system.",
       kNone,
       kNone,
       {},
       Set<&C::data>},
      {"device", T::kText, "cpu", "cpu, or cuda:0 and so on.", kNone, kNone, {}, Set<&C::device>},
      {"precision",
       T::kChoice,
       "fp32",
       "Number format of the model's arithmetic; auto takes the fastest that the device has, int8 "
       "excepted.",
       kNone,
       kNone,
       {"fp32", "bf16", "fp16", "int8", "auto"},
       Set<&C::precision>},
      {"cuda-graphs",
       T::kBool,
       "true",
       "On a GPU, starts the forward pass of up to 8 images as one recorded piece: half the time "
       "of "
       "a single image.",
       kNone,
       kNone,
       {},
       Set<&C::cuda_graphs>},
      {"threads",
       T::kInteger,
       "0",
       "Threads for arithmetic; 0 for one per processor that may be used, CPU limits of containers "
       "counted.",
       0,
       1024,
       {},
       Set<&C::threads>},
      {"decode-threads",
       T::kInteger,
       "0",
       "Threads that decode images and render heatmaps; 0 for as many as for arithmetic, at least "
       "2.",
       0,
       1024,
       {},
       Set<&C::decode_threads>},
      {"numa-node",
       T::kInteger,
       "-1",
       "Run on this NUMA node's processors and memory alone; -1 for all. On machines with several "
       "nodes one server per node is fastest.",
       -1,
       1023,
       {},
       Set<&C::numa_node>},
      {"max-image-bytes",
       T::kBytes,
       "32MiB",
       "Largest encoded image, and largest raw pixel data.",
       1024,
       kGiB,
       {},
       Set<&C::max_image_bytes>},
      {"max-image-pixels",
       T::kInteger,
       "40000000",
       "Most pixels of an image, by its header.",
       1,
       1e9,
       {},
       Set<&C::max_image_pixels>},
      {"max-image-side",
       T::kInteger,
       "16384",
       "Longest side of an image in pixels.",
       1,
       65535,
       {},
       Set<&C::max_image_side>},
      {"max-jpeg-scans",
       T::kInteger,
       "64",
       "Most scans of a progressive JPEG.",
       1,
       1000,
       {},
       Set<&C::max_jpeg_scans>},
      {"max-references",
       T::kInteger,
       "256",
       "Most references of a product; an eighth with method ANOMALY_DINO.",
       1,
       100000,
       {},
       Set<&C::max_references>},
      {"queue-images",
       T::kInteger,
       "64",
       "Most images that wait for the device; beyond it calls are refused.",
       1,
       1e6,
       {},
       Set<&C::queue_images>},
      {"queue-bytes",
       T::kBytes,
       "512MiB",
       "Most bytes of images that are not done: as sent, while decoded, and as tensors.",
       1024 * 1024,
       1024 * kGiB,
       {},
       Set<&C::queue_bytes>},
      {"queue-wait-max",
       T::kDuration,
       "30s",
       "Calls without a deadline are refused when they would wait longer than this at the speed of "
       "the last batches; 0 for no such bound.",
       0,
       86400,
       {},
       Set<&C::queue_wait_max>},
      {"max-batch",
       T::kInteger,
       "8",
       "Most images that the device takes at once.",
       1,
       1024,
       {},
       Set<&C::max_batch>},
      {"bank-cache-bytes",
       T::kBytes,
       "1GiB",
       "Memory for the products' memory banks.",
       1024 * 1024,
       1024 * kGiB,
       {},
       Set<&C::bank_cache_bytes>},
      {"feature-cache-bytes",
       T::kBytes,
       "64GiB",
       "Disk for the features of reference images; the least recently used go first and are made "
       "again from the images.",
       1024 * 1024,
       1024 * 1024 * kGiB,
       {},
       Set<&C::feature_cache_bytes>},
      {"grey16",
       T::kChoice,
       "scale",
       "16-bit grey to 8 bits: scale takes the upper 8 bits, clip cuts at 255 as the paper's code "
       "does.",
       kNone,
       kNone,
       {"scale", "clip"},
       Set<&C::grey16>},
      {"exif-orientation",
       T::kChoice,
       "apply",
       "Whether an image is turned upright by its EXIF orientation.",
       kNone,
       kNone,
       {"apply", "ignore"},
       Set<&C::exif_orientation>},
      {"log-level",
       T::kChoice,
       "info",
       "Least level that is logged; info has a line per request.",
       kNone,
       kNone,
       {"debug", "info", "warning", "error"},
       Set<&C::log_level>},
      {"idle-timeout",
       T::kDuration,
       "30s",
       "When a stream ends (IDLE) whose caller sends nothing, or takes no reply; a message, too, "
       "must have arrived in that time.",
       1,
       86400,
       {},
       Set<&C::idle_timeout>},
      {"keepalive-time",
       T::kDuration,
       "20s",
       "When a connection from which nothing was heard is asked for a sign of life.",
       1,
       86400,
       {},
       Set<&C::keepalive_time>},
      {"keepalive-timeout",
       T::kDuration,
       "10s",
       "When a connection that gave none is closed, with what is under way on it.",
       1,
       3600,
       {},
       Set<&C::keepalive_timeout>},
      {"drain-grace",
       T::kDuration,
       "5s",
       "After SIGTERM: how long calls are still answered while health says NOT_SERVING.",
       0,
       3600,
       {},
       Set<&C::drain_grace>},
      {"drain-timeout",
       T::kDuration,
       "25s",
       "After SIGTERM: when the program has ended at the latest; at least 4 s more than "
       "drain-grace.",
       4,
       7200,
       {},
       Set<&C::drain_timeout>},
      {"reflection",
       T::kBool,
       "true",
       "Whether gRPC reflection is offered.",
       kNone,
       kNone,
       {},
       Set<&C::reflection>},
  };
  return *table;
}

std::string RangeText(const Setting& setting) {
  switch (setting.type) {
    case SettingType::kChoice:
      return absl::StrJoin(setting.choices, ", ");
    case SettingType::kInteger:
    case SettingType::kBytes:
      return absl::StrFormat("%d to %d", static_cast<int64_t>(setting.smallest),
                             static_cast<int64_t>(setting.largest));
    case SettingType::kDuration:
      return absl::StrFormat("%ds to %ds", static_cast<int64_t>(setting.smallest),
                             static_cast<int64_t>(setting.largest));
    case SettingType::kBool:
      return "true, false";
    default:
      return "";
  }
}

}  // namespace

absl::Span<const Setting> Settings() { return Table(); }

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : Table()) {
    if (name == setting.name) return &setting;
  }
  return nullptr;
}

std::string EnvironmentName(const Setting& setting) {
  std::string name = "HFWA_";
  for (const char* c = setting.name; *c != '\0'; ++c) {
    name += *c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  }
  return name;
}

std::string_view TypeName(SettingType type) {
  switch (type) {
    case SettingType::kText:
      return "text";
    case SettingType::kInteger:
      return "integer";
    case SettingType::kBytes:
      return "bytes";
    case SettingType::kDuration:
      return "duration";
    case SettingType::kBool:
      return "boolean";
    case SettingType::kChoice:
      return "choice";
    case SettingType::kAddress:
      return "address:port";
  }
  return "";
}

std::string SettingsMarkdown() {
  std::string text = "| setting | type | default | values | meaning |\n|---|---|---|---|---|\n";
  for (const Setting& s : Table()) {
    const std::string default_text =
        *s.default_text == '\0' ? "" : absl::StrCat("`", s.default_text, "`");
    absl::StrAppendFormat(&text, "| `%s` | %s | %s | %s | %s |\n", s.name,
                          std::string(TypeName(s.type)), default_text, RangeText(s), s.help);
  }
  return text;
}

}  // namespace hfwa::server
