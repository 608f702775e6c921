#include "core/engine/engine.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"

namespace hfwa::engine {

std::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kDecode:
      return "decode";
    case Stage::kPreprocess:
      return "preprocess";
    case Stage::kQueue:
      return "queue";
    case Stage::kEncode:
      return "encode";
    case Stage::kMatch:
      return "match";
    case Stage::kScore:
      return "score";
    case Stage::kRender:
      return "render";
  }
  return "";
}

absl::Status Annotate(absl::Status status, std::string_view reason, std::string_view field,
                      absl::Duration retry_after) {
  status.SetPayload(kReasonPayload, absl::Cord(ToAbsl(reason)));
  if (!field.empty()) status.SetPayload(kFieldPayload, absl::Cord(ToAbsl(field)));
  if (retry_after > absl::ZeroDuration()) {
    status.SetPayload(kRetryPayload,
                      absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(retry_after))));
  }
  return status;
}

}  // namespace hfwa::engine
