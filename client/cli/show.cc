#include "client/cli/show.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace hfwa::cli {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}";
  return json;
}

std::string ShowTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() <= 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%SZ", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string ShowThreshold(bool set, double threshold) {
  return set ? absl::StrFormat("%.4f", threshold) : "-";
}

}  // namespace hfwa::cli
